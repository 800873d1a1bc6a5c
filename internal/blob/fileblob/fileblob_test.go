package fileblob

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/blob"
	"vitrine/internal/blob/blobtest"
)

func open(t *testing.T, root string) *blob.Bucket {
	t.Helper()
	b, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) *blob.Bucket { return open(t, t.TempDir()) })
}

func temps(t *testing.T, root string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, tempDir), func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A process that was killed between temp and rename leaves nothing visible, and the next start removes its temps,
// but not those of a process that lives.
func TestLeftovers(t *testing.T) {
	root := t.TempDir()
	b := open(t, root)
	batch, err := b.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Put(t.Context(), "a/b", []byte("1")); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(root, tempDir, "dead")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, root)
	if infos, err := again.List(t.Context(), "", "", 10); err != nil || len(infos) != 0 {
		t.Errorf("visible: %v, %v", infos, err)
	}
	if n := temps(t, root); n != 1 {
		t.Errorf("%d temporary files, want the living process's one", n)
	}
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Get(t.Context(), "a/b"); err != nil || string(got) != "1" {
		t.Errorf("Get = %q, %v", got, err)
	}
	if n := temps(t, root); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestFailedPutLeavesNothing(t *testing.T) {
	root := t.TempDir()
	b := open(t, root)
	if _, err := b.Put(t.Context(), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "a/b", []byte("1")); err == nil {
		t.Error("an object became a folder")
	}
	if n := temps(t, root); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestModes(t *testing.T) {
	root := filepath.Join(t.TempDir(), "r")
	b := open(t, root)
	if _, err := b.Put(t.Context(), "a/b", []byte("1")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "drwx------", "a": "drwx------", "a/b": "-rw-------"} {
		st, err := os.Stat(filepath.Join(root, path))
		if err != nil || st.Mode().String() != want {
			t.Errorf("%q: %v, %v, want %s", path, st.Mode(), err, want)
		}
	}
}

// A link planted in the folder is not followed out of it by a listing or a Stat.
func TestLinks(t *testing.T) {
	root := t.TempDir()
	b := open(t, root)
	if err := os.Symlink("/etc", filepath.Join(root, "etc")); err != nil {
		t.Fatal(err)
	}
	infos, err := b.List(t.Context(), "", "", 10)
	if err != nil || len(infos) != 0 {
		t.Errorf("List = %v, %v", infos, err)
	}
	if _, err := b.Stat(t.Context(), "etc"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("Stat = %v", err)
	}
}
