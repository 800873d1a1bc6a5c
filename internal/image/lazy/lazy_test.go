package lazy

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"vitrine/internal/image/chunk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What was saved is not fetched again; what was not is.
func TestGoesOnWhereItWas(t *testing.T) {
	d := newDisk(7, 40)
	c := d.config(t.TempDir())
	b := open(t, c)
	for _, e := range d.entries[:25] {
		d.check(t, b, e.Offset, 512)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	d.fetched.Store(0)
	b = open(t, c)
	d.check(t, b, 0, c.Size)
	if n := d.fetched.Load(); n != 15 {
		t.Errorf("%d chunks were fetched after 25 of 40 were saved", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// Many readers of one chunk wait for one fetch.
func TestOneFetchForAll(t *testing.T) {
	d := newDisk(3, 1)
	d.hold = make(chan struct{})
	b := open(t, d.config(t.TempDir()))
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { d.check(t, b, 0, 512) })
	}
	group.Go(func() { _, _ = b.bring(0, false) })
	close(d.hold)
	group.Wait()
	if n := d.fetched.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// A damaged chunk fails the reads that need it and no others, is told, and is read as soon as it is mended.
func TestDamagedChunk(t *testing.T) {
	d := newDisk(17, 20)
	c := d.config(t.TempDir())
	bad := d.entries[9]
	d.bad.Store(bad.Offset, true)
	b := open(t, c)
	defer b.Close()
	for i, e := range d.entries {
		p := make([]byte, 512)
		_, err := b.ReadAt(p, e.Offset)
		if errors.Is(err, errBad) != (i == 9) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if s := b.Status(); len(s.Faults) != 1 || s.Faults[0].Offset != bad.Offset || !errors.Is(s.Faults[0].Err, errBad) {
		t.Errorf("faults: %v", s.Faults)
	}
	if whole, err := b.round(t.Context()); whole || err != nil {
		t.Errorf("a round with a damaged chunk: whole %v, %v", whole, err)
	}
	d.bad.Delete(bad.Offset)
	d.check(t, b, 0, c.Size)
	if s := b.Status(); len(s.Faults) != 0 {
		t.Errorf("it is mended, and still a fault: %v", s.Faults)
	}
}

// fullFile takes half of what is written, and says so, while there is no room.
type fullFile struct {
	*os.File
	full *atomic.Bool
}

func (f fullFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.full.Load() {
		return f.File.WriteAt(p, off)
	}
	n, err := f.File.WriteAt(p[:len(p)/2], off)
	return n, errors.Join(err, syscall.ENOSPC)
}

// Without room, what is read is right and not kept; with room again it is.
func TestNoRoom(t *testing.T) {
	t.Run("seen before", func(t *testing.T) {
		noRoom(t, func(c *Config, full *atomic.Bool) {
			c.Room = func(int) error {
				if full.Load() {
					return syscall.ENOSPC
				}
				return nil
			}
		})
	})
	t.Run("met while writing", func(t *testing.T) {
		noRoom(t, func(c *Config, full *atomic.Bool) {
			c.open = func(path string) (file, error) {
				f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
				return fullFile{f, full}, err
			}
		})
	})
}

func noRoom(t *testing.T, set func(*Config, *atomic.Bool)) {
	d := newDisk(19, 30)
	c := d.config(t.TempDir())
	var full atomic.Bool
	full.Store(true)
	set(&c, &full)
	b := open(t, c)
	d.check(t, b, 0, c.Size)
	b.flush()
	if s := b.Status(); !s.Full || s.Present != 0 {
		t.Errorf("%+v", s)
	}
	before := d.fetched.Load()
	d.check(t, b, d.entries[29].Offset, 512)
	if d.fetched.Load() != before {
		t.Error("the latest chunk is not remembered while there is no room")
	}
	if _, err := b.round(t.Context()); !errors.Is(err, errFull) {
		t.Errorf("the background goes on without room: %v", err)
	}
	full.Store(false)
	if err := b.Hydrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(c.Path); err != nil || !bytes.Equal(raw, d.bytes) {
		t.Errorf("the file is not the image: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// The map of another content, of a replaced file or with flipped bits is not believed.
func TestForeignMaps(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, c *Config){
		"other content": func(_ *testing.T, c *Config) { c.ID[0] ^= 1 },
		"another file": func(t *testing.T, c *Config) {
			part, _ := Partial(c.Path)
			must(t, os.Rename(part, part+"x")) // so that the number of its inode is not free
			f, err := os.Create(part)
			must(t, err)
			must(t, errors.Join(f.Truncate(c.Size), f.Close()))
		},
		"removed by hand": func(t *testing.T, c *Config) {
			part, _ := Partial(c.Path)
			must(t, os.Remove(part))
		},
		"a flipped bit": func(t *testing.T, c *Config) {
			_, marks := Partial(c.Path)
			raw, err := os.ReadFile(marks)
			must(t, err)
			raw[sector+3] ^= 4
			must(t, os.WriteFile(marks, raw, 0o600))
		},
		"cut short": func(t *testing.T, c *Config) {
			_, marks := Partial(c.Path)
			must(t, os.Truncate(marks, sector+100))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(23, 50)
			c := d.config(t.TempDir())
			b := open(t, c)
			for _, e := range d.entries[:30] {
				d.check(t, b, e.Offset, 512)
			}
			must(t, b.Close())
			spoil(t, &c)
			b = open(t, c)
			defer b.Close()
			if n := b.Status().Present; n != 0 {
				t.Errorf("%d chunks are taken for present", n)
			}
			d.check(t, b, 0, c.Size)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForget(t *testing.T) {
	d := newDisk(29, 5)
	d.hold = make(chan struct{})
	b := open(t, d.config(t.TempDir()))
	ended := make(chan error, 1)
	go func() {
		_, err := b.ReadAt(make([]byte, 512), 0)
		ended <- err
	}()
	b.Forget()
	if err := <-ended; err == nil {
		t.Error("a read that waited was answered")
	}
	if _, err := b.ReadAt(make([]byte, 512), 0); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	if err := b.Hydrate(t.Context()); err == nil {
		t.Error("it is hydrated")
	}
	must(t, b.Close())
}

// Readers and the background side by side (with -race).
func TestSideBySide(t *testing.T) {
	d := newDisk(31, 400)
	c := d.config(t.TempDir())
	b := open(t, c)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 300 {
				off := r.Int64N(c.Size)
				d.check(t, b, off, 1+r.Int64N(min(c.Size-off, 20*chunk.Block)))
			}
		})
	}
	if err := b.Hydrate(t.Context()); err != nil {
		t.Error(err)
	}
	group.Wait()
	if n := d.fetched.Load(); n != 400 {
		t.Errorf("%d fetches of 400 chunks", n)
	}
	must(t, b.Close())
}

func BenchmarkReadPresent(b *testing.B) {
	d := newDisk(1, 1000)
	base := open(b, d.config(b.TempDir()))
	defer base.Close()
	if _, err := base.ReadAt(make([]byte, len(d.bytes)), 0); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 4096)
	for i := 0; b.Loop(); i++ {
		if _, err := base.ReadAt(p, int64(i*7919*512)%(int64(len(d.bytes))-4096)); err != nil {
			b.Fatal(fmt.Sprint(err))
		}
	}
}
