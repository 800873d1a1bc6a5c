package lazy

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"vitrine/internal/image/chunk"
)

// volume is files whose unsynced writes a crash loses, keeps or tears, sector by sector.
type volume struct {
	mu    sync.Mutex
	files map[string]*volatile
}

type volatile struct {
	v       *volume
	now     []byte
	durable []byte
	pending []write
}

type write struct {
	off  int64
	data []byte
}

func (v *volume) open(size int64) func(string) (file, error) {
	return func(path string) (file, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		f := v.files[path]
		if f == nil {
			f = &volatile{v: v}
			if filepath.Ext(path) == partSuffix {
				f.now, f.durable = make([]byte, size), make([]byte, size)
			}
			v.files[path] = f
		}
		return f, nil
	}
}

func (f *volatile) ReadAt(p []byte, off int64) (int, error) {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	if off >= int64(len(f.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func place(b []byte, w write) []byte {
	if grow := w.off + int64(len(w.data)) - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[w.off:], w.data)
	return b
}

func (f *volatile) WriteAt(p []byte, off int64) (int, error) {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	w := write{off, slices.Clone(p)}
	f.now = place(f.now, w)
	f.pending = append(f.pending, w)
	return len(p), nil
}

func (f *volatile) Sync() error {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	f.durable, f.pending = slices.Clone(f.now), nil
	return nil
}

func (f *volatile) Close() error { return nil }

// crash keeps any part of what was not synced.
func (v *volume) crash(r *rand.Rand) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, path := range []string{"part", "map"} {
		for name, f := range v.files {
			if filepath.Ext(name) != "."+path {
				continue
			}
			for _, w := range f.pending {
				for at := 0; at < len(w.data); at += sector {
					if r.IntN(2) == 0 {
						f.durable = place(f.durable, write{w.off + int64(at), w.data[at:min(at+sector, len(w.data))]})
					}
				}
			}
			f.now, f.pending = slices.Clone(f.durable), nil
		}
	}
}

// TestReadsEqualTheImage: whatever is read, saved, hydrated, lost by crashes and opened again, in any order, the bytes are the image's.
func TestReadsEqualTheImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 2))
		d := newDisk(seed, 1+r.IntN(60))
		dir, err := os.MkdirTemp("", "lazy")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		v := &volume{files: map[string]*volatile{}}
		c := d.config(dir)
		c.open = v.open(c.Size)
		if err := Create(c.Path, c.Size); err != nil {
			t.Fatal(err)
		}
		b, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 9).Draw(t, "step"); {
			case k < 5:
				off := r.Int64N(c.Size)
				d.check(t, b, off, 1+r.Int64N(min(c.Size-off, 9*chunk.Block)))
			case k < 7:
				i := r.IntN(len(d.entries))
				h, err := b.bring(i, false)
				if err != nil || !b.has(i) {
					t.Fatalf("the background has not kept a chunk: %v", err)
				}
				if h != nil {
					h.release()
				}
			case k < 8:
				if err := b.Save(); err != nil {
					t.Fatal(err)
				}
			default:
				b.Forget() // a killed process saves nothing
				b.tasks.Wait()
				v.crash(r)
				if b, err = Open(c); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.check(t, b, 0, c.Size)
		b.flush()
		if s := b.Status(); s.Present != s.Chunks || s.Kept != s.Bytes {
			t.Fatalf("all was read, and %d of %d chunks are kept", s.Present, s.Chunks)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
