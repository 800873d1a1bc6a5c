package upload

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"vitrine/internal/image/chunk"
)

func TestTooLarge(t *testing.T) {
	root := t.TempDir()
	w := New(root, filepath.Join(root, "half"))
	err := w.CreateUpload("u", chunk.MaxSize)
	var large *TooLarge
	if err == nil {
		t.Skip("this file system holds files of 64 TiB: no upload is too large for it")
	}
	if !errors.As(err, &large) || large.Limit <= 0 || large.Limit >= chunk.MaxSize {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(w.half); err != nil || len(entries) > 0 {
		t.Errorf("left: %v %v", entries, err)
	}
	if err := w.CreateUpload("u", large.Limit); err != nil {
		t.Errorf("the limit that it names does not hold: %v", err)
	}
}

func TestOtherFaultsAreNotTooLarge(t *testing.T) {
	var large *TooLarge
	if err := tooLarge(nil, unix.EIO); errors.As(err, &large) || !errors.Is(err, unix.EIO) {
		t.Error(err)
	}
}
