package vm

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketDir(t *testing.T) {
	for name, data := range map[string]string{
		"short": filepath.Join(t.TempDir(), "data"),
		"long":  filepath.Join(t.TempDir(), strings.Repeat("d/", 60), "data"),
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := SocketDir(data)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if again, err := SocketDir(data); err != nil || again != dir {
				t.Errorf("%q, %v; before %q", again, err, dir)
			}
			path := NICSocket(dir, strings.Repeat("x", 100))
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			if _, err := os.Stat(filepath.Join(data, "run", filepath.Base(path))); err != nil {
				t.Errorf("not found by the data folder: %v", err)
			}
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := SocketDir(data); err == nil {
				t.Error("a folder open to others was accepted")
			}
		})
	}
	if Socket("d", "ABC", "x") != Socket("d", "abc", "x") {
		t.Error("the case of an ID matters")
	}
}
