package edge

import (
	"os"
	"path/filepath"
	"testing"
)

// A bundle that is right stays as it is; whatever else lies there is replaced by a file of its own.
func TestBundleIsKept(t *testing.T) {
	r := start(t, nil)
	path := filepath.Join(t.TempDir(), "bundle.pem")
	write := func() os.FileInfo {
		t.Helper()
		if err := r.WriteBundle(path); err != nil {
			t.Fatal(err)
		}
		st, err := os.Lstat(path)
		if err != nil || st.Mode() != 0o644 {
			t.Fatalf("%v, %v", st, err)
		}
		return st
	}
	first := write()
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, write()) {
		t.Error("an unchanged bundle was written again")
	}
	wrong := append([]byte("#"), right[1:]...)
	wrong[0]++
	spoil := map[string]func() error{
		"another text": func() error { return os.WriteFile(path, wrong, 0o644) },
		"cut short":    func() error { return os.Truncate(path, int64(len(right)-1)) },
		"another mode": func() error { return os.Chmod(path, 0o600) },
		"a link": func() error {
			other := path + ".other"
			if err := os.Rename(path, other); err != nil {
				return err
			}
			return os.Symlink(other, path)
		},
	}
	for name, f := range spoil {
		before := write()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if after := write(); os.SameFile(before, after) {
			t.Errorf("%s: the file stayed", name)
		}
		if is, err := os.ReadFile(path); err != nil || string(is) != string(right) {
			t.Errorf("%s: %d bytes, %v", name, len(is), err)
		}
	}
}
