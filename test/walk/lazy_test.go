package walk

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/test/harness"
)

// lazyWalk is a machine that boots from an image of which nothing is copied.
type lazyWalk struct {
	*crash  // for its ways to deploy
	sum     string
	payload []byte
	objects []string       // the server's arguments, where bytes lie elsewhere than in the data folder
	gateway *s3test.Server // there; nil: in the data folder
}

// payloadSize is what lies in the guest's root file system, to be read long after the boot.
const payloadSize = 40 << 20

// TestLazyBoot: a machine is created without a byte of its image being copied, boots by SSH, and reads on while the process that
// serves its disk, and the server, are killed; in the end the base is a file, which the next machine uses at once.
func TestLazyBoot(t *testing.T) { lazyBoot(t, nil) }

// TestLazyBootFromObjects is the same with the bytes in packs of an S3 server, which a collection rewrites before the guest reads them:
// the process finds them without the server's database.
func TestLazyBootFromObjects(t *testing.T) { lazyBoot(t, s3test.Start(t, "images")) }

func lazyBoot(t *testing.T, gateway *s3test.Server) {
	t.Helper()
	harness.Need(t, have("qemu-system-x86_64") && have("ssh") && have("ssh-keygen"), "QEMU or ssh is not installed")
	harness.Need(t, have("debugfs"), "debugfs is not installed (Debian: e2fsprogs)")
	t.Parallel()
	l := &lazyWalk{gateway: gateway}
	if gateway != nil {
		l.objects = []string{"--blobs", gateway.URL("images", "vitrine")}
	}
	l.crash = &crash{world: prepareBy(t, true, (*world).groupByARM, l.objects...)}
	l.sshKey()
	l.payload = make([]byte, payloadSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(l.payload)
	if gateway != nil {
		l.share()
	}
	l.fatten()
	l.restart("--hydrate-rate", "-1")
	l.deploy(l.groupID(), "first", "start")
	part, whole := l.bases()
	if len(part) != 1 || len(whole) != 0 {
		t.Fatalf("bases that are not whole %v, whole %v", part, whole)
	}
	guest := l.access("fabrikam", vmID(l.world, "first"), l.publicIP(l.groupID(), "first"), "azureuser")
	guest.answers("hostname")
	if n := l.kept(part[0]); n == 0 || n > payloadSize { // its own 23 MB, and not the payload
		t.Errorf("%d bytes were copied by the time the guest answered", n)
	}
	if gateway != nil {
		l.rewrite()
	}
	l.readsOn(guest, part[0])
	l.restart("--hydrate-rate", "0")
	l.await("the base to be whole", bootLimit, func() bool {
		part, whole = l.bases()
		return len(part) == 0 && len(whole) == 1
	})
	l.deploy(l.groupID(), "second", "start2")
	for name, plain := range map[string]bool{"first": false, "second": true} {
		line := l.qemu(name)
		if strings.Contains(line, whole[0]) != plain || strings.Contains(line, `"driver":"nbd"`) == plain {
			t.Errorf("the machine %s: %s", name, line)
		}
	}
	if said := guest.answers("md5sum /payload"); !strings.HasPrefix(said, l.sum) {
		t.Errorf("after the base became a file: %q", said)
	}
	l.access("fabrikam", vmID(l.world, "second"), l.publicIP(l.groupID(), "second"), "azureuser").answers("hostname")
	for _, name := range []string{"first", "second"} {
		l.do("fabrikam", http.MethodDelete, vmID(l.world, name), "2024-11-01", nil, nil)
	}
	l.await("the process that serves bases to end", bootLimit, func() bool { return len(l.serving()) == 0 })
}

// fatten publishes the guest with a large file in its root file system.
func (l *lazyWalk) fatten() {
	l.t.Helper()
	dir := l.t.TempDir()
	raw, payload := filepath.Join(dir, "fat.raw"), filepath.Join(dir, "payload")
	l.sum = fmt.Sprintf("%x", md5.Sum(l.payload))
	if err := os.WriteFile(payload, l.payload, 0o644); err != nil {
		l.t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", harness.Guest(l.t), raw).CombinedOutput(); err != nil {
		l.t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	out, err := exec.Command("debugfs", "-w", "-R", "write "+payload+" payload", fmt.Sprintf("%s?offset=%d", raw, rootOffset(l.t, raw))).CombinedOutput()
	if err != nil || strings.Contains(string(out), "error") {
		l.t.Fatalf("debugfs: %v\n%s", err, out)
	}
	l.version = l.image + "/versions/2.0.0"
	l.publish(raw, l.version)
}

const shared = "1.8.0"

// share publishes, before the guest's image, a disk that has a part of the payload among twice as much else: they lie in the same packs.
func (l *lazyWalk) share() {
	l.t.Helper()
	var mixed []byte
	noise := rand.NewChaCha8([32]byte{2})
	for at := payloadSize / 2; at < payloadSize; at += 1 << 20 {
		other := make([]byte, 2<<20)
		_, _ = noise.Read(other)
		mixed = append(append(mixed, l.payload[at:at+1<<20]...), other...)
	}
	raw := filepath.Join(l.t.TempDir(), "mixed.raw")
	if err := os.WriteFile(raw, mixed, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.publish(raw, l.image+"/versions/"+shared)
}

// rewrite deletes that disk and collects: what the guest needs of those packs moves to others.
func (l *lazyWalk) rewrite() {
	l.t.Helper()
	packs := func() (list []string) {
		l.t.Helper()
		list, err := filepath.Glob(filepath.Join(l.gateway.Root, "images", "vitrine", "eastus", "packs", "*", "*"))
		if err != nil {
			l.t.Fatal(err)
		}
		return list
	}
	before := packs()
	l.do("contoso", http.MethodDelete, l.image+"/versions/"+shared, "2024-03-03", nil, nil)
	l.vitrine(nil, "image", "collect", "--grace", "0s")
	now := packs()
	gone := 0
	for _, p := range before {
		if !slices.Contains(now, p) {
			gone++
		}
	}
	if gone < 2 {
		l.t.Fatalf("the collection rewrote %d of %d packs", gone, len(before))
	}
}

// rootOffset finds the partition named root in a GPT.
func rootOffset(t *testing.T, raw string) uint64 {
	t.Helper()
	f, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := make([]byte, 128*128)
	if _, err := f.ReadAt(table, 1024); err != nil {
		t.Fatal(err)
	}
	for ; len(table) > 0; table = table[128:] {
		if strings.HasPrefix(string(table[56:]), "r\x00o\x00o\x00t\x00\x00") {
			return binary.LittleEndian.Uint64(table[32:]) * 512
		}
	}
	t.Fatal("no partition is named root")
	return 0
}

// restart runs the server with other arguments.
func (l *lazyWalk) restart(args ...string) {
	l.t.Helper()
	l.stop()
	l.args = append(slices.Clone(l.objects), args...)
	l.run()
}

func (l *lazyWalk) bases() (part, whole []string) {
	l.t.Helper()
	for suffix, list := range map[string]*[]string{".raw.part": &part, ".raw": &whole} {
		var err error
		if *list, err = filepath.Glob(filepath.Join(l.data, "image", "cache", "bases", "*", "*", "*"+suffix)); err != nil {
			l.t.Fatal(err)
		}
	}
	return part, whole
}

// kept is how many bytes of a sparse file are there.
func (l *lazyWalk) kept(path string) int64 {
	l.t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		l.t.Fatal(err)
	}
	return st.Blocks * 512
}

// serving lists the process that serves bases.
func (l *lazyWalk) serving() (pids []int) {
	for pid, line := range l.strays() {
		if strings.Contains(line, " nbd ") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// qemu is the command line of a machine's QEMU.
func (l *lazyWalk) qemu(name string) string {
	l.t.Helper()
	for _, line := range l.strays() {
		if strings.Contains(line, "guest="+name+" ") {
			return line
		}
	}
	l.t.Fatalf("%s has no QEMU: %v", name, l.strays())
	return ""
}

// readsOn has the guest read what nobody has read yet, and meanwhile kills the process that serves it, then that and the server.
func (l *lazyWalk) readsOn(guest guestAccess, part string) {
	l.t.Helper()
	before := l.kept(part)
	// A MiB at a time, with pauses: however fast this host is, much is left to read when the server and the process are gone.
	guest.answers("(for i in $(seq 0 " + strconv.Itoa(payloadSize>>20-1) + "); do dd if=/payload bs=1M count=1 skip=$i; usleep 150000; done 2>/tmp/dd | md5sum >/tmp/sum; " +
		"echo ended >>/tmp/sum) >/dev/null 2>&1 </dev/null &")
	more := func(n int64) {
		l.t.Helper()
		l.awaitEvery(5*time.Millisecond, "the guest to read", bootLimit, func() bool { return l.kept(part) >= before+n })
	}
	kill := func() int {
		l.t.Helper()
		pids := l.serving()
		if len(pids) != 1 {
			l.t.Fatalf("processes that serve bases: %v", pids)
		}
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			l.t.Fatal(err)
		}
		return pids[0]
	}
	more(2 << 20)
	old := kill()
	l.await("another process to serve the base", bootLimit, func() bool { pids := l.serving(); return len(pids) == 1 && pids[0] != old })
	more(8 << 20)
	l.kill()
	more(12 << 20) // with the server away
	kill()
	l.await("the killed process to be gone", bootLimit, func() bool { return len(l.serving()) == 0 })
	if n := l.kept(part) - before; n > payloadSize*9/10 {
		l.t.Errorf("the guest had read %d bytes of %d before the server was killed", n, payloadSize)
	}
	l.run()
	var said result
	l.awaitEvery(time.Second, "the guest to end its reading", bootLimit, func() bool {
		said = guest.run("cat /tmp/sum")
		return said.code == 0 && strings.Contains(said.out, "ended")
	})
	if !strings.HasPrefix(said.out, l.sum) {
		l.t.Errorf("the guest read %q, want %s", said.out, l.sum)
	}
}
