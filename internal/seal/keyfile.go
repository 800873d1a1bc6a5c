package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Load reads the master key from the file at path and makes that file, with a new random key and mode 0600, when there
// is none; its folder must exist. Of several processes that start at once one makes the file and all use its key.
// A file that group or others may read, or that is not exactly KeySize bytes long, is refused. The key in the file with
// FormerSuffix, if there is one, opens values too.
func Load(path string) (*Sealer, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(path); err != nil {
			return nil, fmt.Errorf("make master key file %s: %w", path, err)
		}
		key, err = readKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	s, err := New(key)
	if err != nil {
		return nil, err
	}
	old, err := readKey(path + FormerSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("former master key file: %w", err)
	}
	s.former, err = New(old)
	return s, err
}

// FormerSuffix is added to the name of the master key file for the one before, which opens what it sealed and seals no more.
const FormerSuffix = ".old"

func readKey(path string) ([]byte, error) {
	// Looked at before it is opened, since opening a named pipe would wait for a writer.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so that others than its owner may use it; run: chmod 600 %s", path, perm, path)
	}
	key, err := io.ReadAll(io.LimitReader(f, KeySize+1))
	if err != nil {
		return nil, err
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("%s has %d bytes, want exactly %d", path, info.Size(), KeySize)
	}
	return key, nil
}

// createKey makes the file under a temporary name and links it into place when it is whole and on disk: a link, unlike a
// rename, never replaces a key that another process made in the meantime.
func createKey(path string) (err error) {
	key := make([]byte, KeySize)
	rand.Read(key)
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
