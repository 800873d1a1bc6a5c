package packs

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob/fileblob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

// BenchmarkFirstLook is what a process without records waits before the first chunk of a domain, whose packs are files that nobody has in
// memory. docs/design/lazy-boot.md has what it says. A pack's frames are a hole, its directory is real.
func BenchmarkFirstLook(b *testing.B) {
	for _, c := range []struct {
		packs, seek int
		what        string
	}{{256, 128, "anywhere"}, {4096, 4096 - 64, "in a young one"}, {4096, 0, "in the oldest"}} {
		n := c.packs
		b.Run(fmt.Sprintf("%d packs, %s", n, c.what), func(b *testing.B) {
			dir := b.TempDir()
			folder := filepath.Join(dir, "packs", dom)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				sparsePack(b, folder, i)
			}
			unix.Sync()
			id := digest.Of(binary.BigEndian.AppendUint64(nil, uint64(c.seek)<<32))
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer()
				chill(b, folder)
				bucket, err := fileblob.Open(dir)
				if err != nil {
					b.Fatal(err)
				}
				r, err := NewReader(ReaderConfig{Bucket: bucket})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := r.Get(b.Context(), chunk.Object(dom, id)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sparsePack makes one of 16 MiB with 400 frames.
func sparsePack(b *testing.B, folder string, n int) {
	const frames, each = 400, defaultTarget / 400
	var d draft
	for i := range frames {
		d.add(digest.Of(binary.BigEndian.AppendUint64(nil, uint64(n)<<32|uint64(i))), nil)
	}
	for i := range d.spots {
		d.spots[i].length = each
	}
	raw, _ := newID()
	whole := d.finish(raw)
	f, err := os.Create(filepath.Join(folder, hex.EncodeToString(raw[:])))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteAt(whole[:headLen], 0); err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteAt(whole[headLen:], headLen+frames*each); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// chill has the page cache forget the files of a folder.
func chill(b *testing.B, folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(folder, e.Name()))
		if err != nil {
			b.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
