package lazy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is an image of random chunks and holes, and what fetches from it.
type disk struct {
	bytes   []byte
	entries []chunk.Entry
	fetched atomic.Int64
	bad     sync.Map // index of entries that cannot be had
	hold    chan struct{}
}

func newDisk(seed uint64, chunks int) *disk {
	r := rand.New(rand.NewPCG(seed, 1))
	d := &disk{}
	at := int64(0)
	for i := range chunks {
		if r.IntN(3) == 0 {
			at += int64(1+r.IntN(5)) * chunk.Block
		}
		n := (1 + r.IntN(4)) * chunk.Block
		if i == chunks-1 {
			n -= 512 // a disk need not end with a block
		}
		d.entries = append(d.entries, chunk.Entry{Offset: at, Length: n, ID: digest.Of([]byte{byte(i), byte(i >> 8)})})
		at += int64(n)
	}
	d.bytes = make([]byte, at)
	for _, e := range d.entries {
		for i := e.Offset; i < e.End(); i++ {
			d.bytes[i] = byte(1 + r.IntN(255)) // never zero, so that a hole in the file shows
		}
	}
	return d
}

var errBad = errors.New("the chunk is damaged")

func (d *disk) fetch(ctx context.Context, e chunk.Entry, _ []byte) ([]byte, error) {
	d.fetched.Add(1)
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if _, bad := d.bad.Load(e.Offset); bad {
		return nil, errBad
	}
	return slices.Clone(d.bytes[e.Offset:e.End()]), nil
}

func (d *disk) config(dir string) Config {
	return Config{Path: filepath.Join(dir, "base.raw"), ID: digest.Of(d.bytes), Size: int64(len(d.bytes)), Entries: d.entries, Fetch: d.fetch}
}

func open(t testing.TB, c Config) *Base {
	t.Helper()
	if err := Create(c.Path, c.Size); err != nil {
		t.Fatal(err)
	}
	b, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fataler is a testing.T or a rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (d *disk) check(t fataler, b io.ReaderAt, off, n int64) {
	t.Helper()
	p := make([]byte, n)
	got, err := b.ReadAt(p, off)
	want := d.bytes[off:min(off+n, int64(len(d.bytes)))]
	if err != nil && !(errors.Is(err, io.EOF) && got == len(want)) {
		t.Fatalf("read %d+%d: %v", off, n, err)
	}
	if !bytes.Equal(p[:got], want) {
		t.Fatalf("read %d+%d: other bytes than the image's", off, n)
	}
}

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
				if _, err := b.bring(r.IntN(len(d.entries)), false); err != nil {
					t.Fatal(err)
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
		if s := b.Status(); s.Present != s.Chunks || s.Kept != s.Bytes {
			t.Fatalf("all was read, and %d of %d chunks are kept", s.Present, s.Chunks)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

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

func TestHydrate(t *testing.T) {
	d := newDisk(11, 300)
	c := d.config(t.TempDir())
	c.Shift = &Shift{}
	b := open(t, c)
	d.check(t, b, c.Size/2, 4096)
	if err := b.Hydrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(c.Path); err != nil || !bytes.Equal(raw, d.bytes) {
		t.Errorf("the file is not the image: %v", err)
	}
	if st, err := os.Stat(c.Path); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(c.Path)); err != nil || len(list) != 1 {
		t.Errorf("%v is left, %v", list, err)
	}
	before := d.fetched.Load()
	if int(before) != len(d.entries) {
		t.Errorf("%d fetches of %d chunks", before, len(d.entries))
	}
	d.check(t, b, 0, c.Size) // who had it open reads on
	if d.fetched.Load() != before || !b.Status().Done {
		t.Error("what is there was fetched again")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// A killed hydration goes on where it was, and its half-finished file is never taken for the whole.
func TestHydrateAfterKill(t *testing.T) {
	d := newDisk(13, 200)
	c := d.config(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fetch := c.Fetch
	c.Fetch = func(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
		if d.fetched.Load() == 120 {
			cancel()
			return nil, context.Canceled
		}
		return fetch(ctx, e, dst)
	}
	b := open(t, c)
	if err := b.Hydrate(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	b.Forget()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Path); !os.IsNotExist(err) {
		t.Fatalf("half a base has the name of a whole one: %v", err)
	}
	d.fetched.Store(0)
	c.Fetch = fetch
	b = open(t, c)
	if err := b.Hydrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := d.fetched.Load(); n != 80 {
		t.Errorf("%d chunks were fetched after 120 of 200", n)
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

// The background waits while a guest does, and its rate holds.
func TestShift(t *testing.T) {
	s := &Shift{}
	s.SetRate(1 << 20)
	s.enter()
	turned := make(chan struct{})
	go func() {
		defer close(turned)
		_ = s.turn(t.Context(), 1)
	}()
	select {
	case <-turned:
		t.Fatal("the background did not wait for the guest")
	case <-time.After(5 * idleTime):
	}
	s.leave()
	<-turned
	began := time.Now()
	for range 4 {
		if err := s.turn(t.Context(), 1<<18); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(began); d < 600*time.Millisecond {
		t.Errorf("a MiB at a MiB a second took %s", d)
	}
	s.SetRate(-1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.turn(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the background works where it should rest: %v", err)
	}
	s.SetRate(0)
	if err := s.turn(ctx, 1); err == nil {
		t.Error("a turn after the end")
	}
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
