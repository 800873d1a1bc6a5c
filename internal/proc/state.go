package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteState replaces a JSON file as a whole, so that neither a reader nor a crash ever meets half of it.
func WriteState(path string, v any) error { return writeJSON(path, v, Replace) }

// WritePassing is WriteState for what means nothing any more once the host has stopped: it does not wait for the disk.
func WritePassing(path string, v any) error { return writeJSON(path, v, replace) }

func writeJSON(path string, v any, as func(string, func(*os.File) error) error) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return as(path, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}

// Replace writes a file under another name and moves it into place.
func Replace(path string, write func(*os.File) error) error {
	return replace(path, func(f *os.File) error { return errors.Join(write(f), f.Sync()) })
}

func replace(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ReadState reads what WriteState wrote.
func ReadState(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
