package app

import (
	"bytes"
	"path/filepath"
	"testing"

	"vitrine/internal/image/chunk"
)

// A server without any option stores no image byte in the clear.
func TestImagesAreSealed(t *testing.T) {
	data := t.TempDir()
	a, err := New(t.Context(), Config{Data: data, Listen: "127.0.0.1:0", Accel: "tcg"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	disk := bytes.Repeat([]byte("secret "), 100<<10)
	disk = disk[:len(disk)/512*512]
	if _, err := a.rooms.images.Pack(t.Context(), "eastus", "tenant-1", bytes.NewReader(disk), int64(len(disk)), nil); err != nil {
		t.Fatal(err)
	}
	b, err := a.rooms.images.Buckets("eastus")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, err := range b.All(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		raw, err := b.Get(t.Context(), i.Key)
		if err != nil || chunk.SealedWith(raw) == "" {
			t.Errorf("%s is not sealed: %v", filepath.Base(i.Key), err)
		}
		n++
	}
	if n < 2 {
		t.Errorf("%d objects", n)
	}
}
