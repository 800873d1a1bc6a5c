package seal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"vitrine/internal/seal"
)

func TestLoadMakesAndKeepsTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	first, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != seal.KeySize {
		t.Fatalf("key file: %v, %v; want mode 0600 and %d bytes", info, err, seal.KeySize)
	}
	second, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := second.Open(mustSeal(t, first, "secret", resource), resource); err != nil || string(got) != "secret" {
		t.Errorf("after a restart Open = %q, %v", got, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestStartersAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := seal.Load(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.KeyID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("starters use different keys: %q", ids)
		}
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestLoadRefuses(t *testing.T) {
	write := func(mode os.FileMode, size int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte{9}, size), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name string
		make func(*testing.T, string)
		want string
	}{
		{"group may read", write(0o640, 32), "chmod 600"},
		{"world may read", write(0o604, 32), "chmod 600"},
		{"world may write", write(0o602, 32), "chmod 600"},
		{"empty", write(0o600, 0), "has 0 bytes, want exactly 32"},
		{"short", write(0o600, 31), "has 31 bytes, want exactly 32"},
		{"long", write(0o600, 33), "has 33 bytes, want exactly 32"},
		{"folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		{"pipe", func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "master.key")
			tt.make(t, path)
			if _, err := seal.Load(path); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v; want %q in it", err, tt.want)
			}
		})
	}
	if _, err := seal.Load(filepath.Join(t.TempDir(), "none", "master.key")); err == nil {
		t.Error("made a key in a folder that does not exist")
	}
	if _, err := seal.New(make([]byte, 16)); err == nil {
		t.Error("took a short key")
	}
}
