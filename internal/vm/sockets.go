package vm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSocketDir leaves room in the 107 bytes of a Unix socket's path for "/" and a name of at most 24 bytes.
const maxSocketDir = 107 - 25

// SocketDir makes the folder for the sockets of a data folder and answers its path: data/run, or, when that path is
// too long for a Unix socket, a private folder under /tmp to which data/run is then a symbolic link (so that a server
// with another TMPDIR finds it again).
func SocketDir(data string) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	run := filepath.Join(data, "run")
	if len(run) <= maxSocketDir {
		return run, privateDir(run)
	}
	h := shortHash(data)
	short := fmt.Sprintf("/tmp/vitrine-%d-%s", os.Getuid(), hex.EncodeToString(h[:6]))
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", err
	}
	if err := os.Symlink(short, run); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return short, privateDir(short)
}

// privateDir makes a folder that is ours alone, or checks that an existing one is: under /tmp anybody may have made it.
func privateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || st.Mode().Perm()&0o077 != 0 || !ok || int(sys.Uid) != os.Getuid() {
		return fmt.Errorf("vm: %s must be a folder of this user with mode 0700", dir)
	}
	return nil
}

// Socket answers the path of a socket in a folder from SocketDir: id is any string, kind a short word.
func Socket(dir, id, kind string) string {
	h := shortHash(strings.ToLower(id))
	return filepath.Join(dir, hex.EncodeToString(h[:8])+"."+kind)
}

// NICSocket answers where QEMU listens for the network process of a NIC.
func NICSocket(dir, nic string) string { return Socket(dir, nic, "nic") }

func shortHash(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }

// cleanPath accepts an absolute path that QEMU and QMP carry unchanged.
func cleanPath(p string) bool {
	return filepath.IsAbs(p) && filepath.Clean(p) == p && !strings.ContainsAny(p, "\n\r\x00")
}
