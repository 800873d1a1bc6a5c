package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/cli/progress"
	"vitrine/internal/proc"
	"vitrine/internal/vm/qemu"
)

// checkQEMU looks for the two programs and says which ones they are.
func (e *env) checkQEMU(ctx context.Context) []finding {
	var all []finding
	for _, tool := range []struct{ name, pkg string }{{"qemu-system-x86_64", "qemu-system-x86"}, {"qemu-img", "qemu-utils"}} {
		path, err := proc.LookPath(tool.name)
		if err != nil {
			all = append(all, finding{tool.name, trouble, "not found on PATH", "install it (Debian: apt-get install --no-install-recommends " + tool.pkg + ")"})
			continue
		}
		version, err := firstLine(ctx, path, "--version")
		if err != nil {
			all = append(all, finding{tool.name, trouble, err.Error(), "reinstall the package " + tool.pkg})
			continue
		}
		all = append(all, good(tool.name, "%s: %s", path, version))
	}
	return all
}

func firstLine(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := proc.Run(ctx, proc.Spec{Path: path, Args: args})
	line, _, _ := strings.Cut(string(out.Stdout), "\n")
	return strings.TrimSpace(line), err
}

// checkAccel boots a guest of one sector: a /dev/kvm that can be opened proves nothing.
func (e *env) checkAccel(ctx context.Context) []finding {
	const name = "acceleration"
	scratch, err := os.MkdirTemp("", "vitrine-doctor-")
	if err != nil {
		return []finding{{name, trouble, err.Error(), "make room in " + os.TempDir()}}
	}
	defer os.RemoveAll(scratch)
	accel, why := qemu.ProbeAccel(ctx, scratch)
	if accel == "kvm" {
		return []finding{good(name, "KVM: %s", why)}
	}
	began := time.Now()
	if err := qemu.Probe(ctx, scratch, accel, time.Minute); err != nil {
		return []finding{{name, trouble, fmt.Sprintf("%s; and without it %v", why, err), "see what QEMU says; without a working QEMU no machine runs here"}}
	}
	return []finding{{name, notice, fmt.Sprintf("%s; machines run under TCG, about ten times slower (a probe guest ran in %d ms)", why, time.Since(began).Milliseconds()),
		"for KVM: enable virtualisation in the firmware or, in a virtual machine, nested virtualisation; add this user to the group kvm"}}
}

func (e *env) checkFirmware(context.Context) []finding {
	const name = "UEFI firmware"
	for _, pattern := range []string{"/usr/share/OVMF/OVMF_CODE*.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/x64/OVMF_CODE*.fd"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return []finding{good(name, "%s", found[0])}
		}
	}
	return []finding{{name, notice, "not found; images of generation V2 cannot boot here", "install it (Debian: apt-get install --no-install-recommends ovmf)"}}
}

const portRemedy = `let sshd listen on the addresses that need it (ListenAddress in /etc/ssh/sshd_config; as root), or
use 'vitrine vm ssh NAME', or ssh -o ProxyCommand='vitrine vm connect %h %p', which need no port at all`

// checkPorts names who would answer in a machine's place.
func (e *env) checkPorts(context.Context) []finding {
	const name = "port 22"
	if others := listeners(22); len(others) > 0 {
		return []finding{{name, notice, strings.Join(others, " and ") + " takes the port on every address, 127.x.y.z too: machines' public addresses cannot have it", portRemedy}}
	}
	return []finding{good(name, "nobody listens on it for every address")}
}

// checkLoopback binds port 22, or as near to it as this user may, on an address of its own.
func (e *env) checkLoopback(context.Context) []finding {
	const name = "loopback addresses"
	l, err := net.Listen("tcp", "127.93.81.7:22")
	switch {
	case err == nil:
		_ = l.Close()
		return []finding{good(name, "127.x.y.z:22 can be bound")}
	case errors.Is(err, syscall.EACCES):
		return []finding{{name, notice, "this user may not bind ports below 1024, so SSH to a machine's public address does not work",
			"as root: sysctl net.ipv4.ip_unprivileged_port_start=22, or use 'vitrine vm ssh NAME'"}}
	case errors.Is(err, syscall.EADDRINUSE):
		return []finding{good(name, "127.x.y.z exists; its port 22 is taken, see above")}
	}
	return []finding{{name, trouble, err.Error(), "bring up the interface lo with 127.0.0.1/8"}}
}

// minimum of free space below which an image of a usual size does not fit.
const leastSpace = 4 << 30

// checkData looks at the folder, or at where it will be made.
func (e *env) checkData(context.Context) []finding {
	const name = "data folder"
	at, made := e.data, true
	for !exists(at) && at != filepath.Dir(at) {
		at, made = filepath.Dir(at), false
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return []finding{{name, trouble, err.Error(), "choose another one by --data"}}
	}
	st, err := os.Stat(at)
	if err != nil || !st.IsDir() {
		return []finding{{name, trouble, at + " is not a folder", "choose another one by --data"}}
	}
	free := int64(fs.Bavail) * fs.Bsize
	says := fmt.Sprintf("%s (%s, %s free)", e.data, fileSystem(fs.Type), progress.Amount(free))
	switch {
	case unix.Access(at, unix.W_OK) != nil:
		return []finding{{name, trouble, says + ": this user may not write there", "choose another one by --data"}}
	case made && st.Mode().Perm()&0o077 != 0:
		return []finding{{name, trouble, fmt.Sprintf("%s: its mode is %04o; whoever may enter it can act as the operator", says, st.Mode().Perm()), "chmod 700 " + quote(e.data)}}
	case network(fs.Type):
		return []finding{{name, notice, says + ": locks and sockets are unsafe on a network file system", "choose a local one by --data"}}
	case free < leastSpace:
		return []finding{{name, notice, says + ": little room for disks", "make room, or choose another one by --data"}}
	}
	all := []finding{good(name, "%s", says)}
	if len(filepath.Join(e.data, "run")) > 82 {
		all = append(all, finding{"socket paths", notice, "the data folder's path is long; sockets go to a private folder below /tmp", "a shorter --data keeps everything in one place"})
	}
	return all
}

func network(magic int64) bool {
	switch magic {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.V9FS_MAGIC:
		return true
	}
	return false
}

func fileSystem(magic int64) string {
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.SMB2_SUPER_MAGIC: "smb", unix.V9FS_MAGIC: "9p"}
	if n, ok := names[magic]; ok {
		return n
	}
	return fmt.Sprintf("file system %#x", magic)
}

// checkAz finds az and says whether it is the build that is known to be broken.
func (e *env) checkAz(ctx context.Context) []finding {
	const name = "az"
	path, err := proc.LookPath("az")
	if err != nil {
		return []finding{{name, notice, "not on PATH; other clients of Azure work as well", "install the Azure CLI (Debian: apt-get install azure-cli)"}}
	}
	home, err := os.MkdirTemp("", "vitrine-doctor-")
	if err != nil {
		return []finding{{name, notice, err.Error(), "make room in " + os.TempDir()}}
	}
	defer os.RemoveAll(home)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := proc.Run(ctx, proc.Spec{Path: path, Args: []string{"version", "--output", "json"},
		Env: append(os.Environ(), "AZURE_CONFIG_DIR="+home, "AZURE_CORE_COLLECT_TELEMETRY=no")})
	if err != nil {
		return []finding{{name, notice, fmt.Sprintf("%s does not start: %.200s", path, err), "reinstall it"}}
	}
	version, err := azVersion(out.Stdout)
	if err != nil {
		return []finding{{name, notice, err.Error(), "reinstall it"}}
	}
	if azBroken(path, version) {
		return []finding{{name, notice, fmt.Sprintf("%s: %s of Debian 12, whose commands for machines, images and networks crash in its default profile", path, version),
			"az cloud update --profile " + hybridProfile + "  (with the environment of 'vitrine env'), or a newer az"}}
	}
	return []finding{good(name, "%s: %s", path, version)}
}

var bundleName = regexp.MustCompile(`^(CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|SSL_CERT_FILE|NODE_EXTRA_CA_CERTS)$`)

// checkVariables looks at what of the environment decides whether clients trust the server.
func (e *env) checkVariables(context.Context) []finding {
	s, err := e.server()
	if err != nil {
		return nil
	}
	var astray []string
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if bundleName.MatchString(name) && value != s.Bundle {
			astray = append(astray, name+"="+value)
		}
	}
	proxy := os.Getenv("HTTPS_PROXY")
	switch {
	case proxy == "" && len(astray) == 0:
		return []finding{{"environment", notice, "this shell does not lead to the server", `eval "$(vitrine env --data ` + quote(e.data) + `)"`}}
	case len(astray) > 0 || proxy != s.Proxy:
		return []finding{{"environment", notice, "this shell leads elsewhere: " + strings.Join(append(astray, "HTTPS_PROXY="+proxy), " "), `eval "$(vitrine env --data ` + quote(e.data) + `)"`}}
	}
	return []finding{good("environment", "az, Terraform, Node and Python reach the server from this shell")}
}
