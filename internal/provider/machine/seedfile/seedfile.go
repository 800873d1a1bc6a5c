// Package seedfile keeps the disks by which guests learn their name, user and keys at their first boot, each in a file for as long as
// its machine is being started.
//
// It knows files, names and who starts; what is on a disk, its callers say. A disk holds the client's custom data in clear, so it is
// gone when the start returns: QEMU has it open, and needs no name for it. What a crash leaves, Sweep removes.
package seedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	suffix  = ".iso"
	partial = ".part" // not yet whole
)

// Folder is where the files lie, by machine.
type Folder struct {
	dir string

	mu     sync.Mutex
	starts map[string]int // by machine: those under way
}

// Open makes the folder when it is missing; dir is absolute.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("seeds: %w", err)
	}
	return &Folder{dir: dir, starts: map[string]int{}}, nil
}

// Path is the file of a machine's disk, there only while With runs.
func (f *Folder) Path(machine string) string {
	return filepath.Join(f.dir, strings.ToLower(machine)+suffix)
}

// With runs start while the file of a machine's disk is there. Two starts of one machine share it.
func (f *Folder) With(machine string, disk func() ([]byte, error), start func() error) error {
	f.launching(machine, 1)
	defer f.launching(machine, -1)
	iso, err := disk()
	if err != nil {
		return err
	}
	path := f.Path(machine)
	err = os.WriteFile(path+partial, iso, 0o600)
	if err == nil {
		err = os.Rename(path+partial, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("seed: %w", err), f.Remove(machine))
	}
	return errors.Join(start(), f.Remove(machine))
}

// launching counts the starts of a machine that are under way and use its file.
func (f *Folder) launching(machine string, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := strings.ToLower(machine)
	if f.starts[id] += more; f.starts[id] == 0 {
		delete(f.starts, id)
	}
}

// Sweep removes what a crash left.
func (f *Folder) Sweep() error {
	entries, err := os.ReadDir(f.dir)
	faults := []error{err}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range entries {
		id, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), partial), suffix)
		if ok && !e.IsDir() && f.starts[id] == 0 {
			faults = append(faults, f.Remove(id))
		}
	}
	return errors.Join(faults...)
}

// Remove removes a machine's file; one that is not there is no error.
func (f *Folder) Remove(machine string) error {
	for _, path := range []string{f.Path(machine), f.Path(machine) + partial} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
