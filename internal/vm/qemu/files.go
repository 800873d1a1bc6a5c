package qemu

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// record is status.json, the supervisor's own account.
type record struct {
	Version    int           `json:"version"`
	Attempt    string        `json:"attempt"`
	Started    bool          `json:"started"` // QEMU ran, however it ended
	Supervisor proc.Identity `json:"supervisor"`
	QEMU       proc.Identity `json:"qemu"`
	Status     vm.Status     `json:"status"`
}

func readRecord(dir string) (record, error) {
	var r record
	err := proc.ReadState(filepath.Join(dir, "status.json"), &r)
	return r, err
}

// lockFile is held by a machine's supervisor for as long as it lives.
func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// copyOnce copies a template unless the copy is there: a machine keeps its UEFI variables.
func copyOnce(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return proc.Replace(to, func(f *os.File) error {
		_, err := io.Copy(f, src)
		return err
	})
}

// maxSerial is the size at which the serial log begins anew; one older file is kept.
const maxSerial = 512 << 10

// rotated is a log whose writer, a guest, may be hostile: it never takes more than twice maxSerial.
type rotated struct {
	path string
	f    *os.File
	size int64
}

func openRotated(path string) (*rotated, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &rotated{path: path, f: f, size: st.Size()}, nil
}

// Write never fails: a full disk must not end the machine.
func (r *rotated) Write(p []byte) (int, error) {
	if r.size+int64(len(p)) > maxSerial {
		if os.Rename(r.path, r.path+".1") == nil {
			r.f.Close()
			f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err == nil {
				r.f, r.size = f, 0
			}
		}
	}
	n, _ := r.f.Write(p)
	r.size += int64(n)
	return len(p), nil
}

// Close closes the current file.
func (r *rotated) Close() error { return r.f.Close() }

// readRotated answers what is kept, the older part first.
func readRotated(path string) ([]byte, error) {
	var all []byte
	for _, p := range []string{path + ".1", path} {
		b, err := os.ReadFile(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu    sync.Mutex
	b     []byte
	limit int
}

// Write implements io.Writer.
func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - t.limit; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(string(t.b)), "?")
}

func tailOf(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return strings.TrimSpace(string(b))
}
