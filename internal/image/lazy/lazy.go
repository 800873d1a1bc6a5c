// Package lazy is the disk below a machine's overlay while its bytes still lie in the chunk store: what is read is fetched,
// verified and kept in a sparse file, what is not is fetched in the background, and in the end the file is the disk.
//
// It owns that file, the map of what it has, their order on the disk, and who waits for whom. It does not know where chunks
// come from, how they are verified, or who reads:
//
//	guest ── ReadAt ──┬─ in the file ─▶ pread
//	                  └─ not yet ─▶ Fetch, once for all who wait ─▶ queue ─▶ PATH.part ┐ then, now and then: part synced, and only
//	Hydrate ── while no guest waits, below a rate ─▶ Fetch ─────────────────▶ PATH.part ┘ after it the bits in PATH.map
//	all there ─▶ part synced ─▶ renamed to PATH ─▶ map removed
//
// A bit in the map on the disk so always stands for bytes on the disk; what a crash loses is fetched again.
package lazy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

// ErrGone is read from a base whose file was taken away, as shredding does.
var ErrGone = errors.New("lazy: the base was taken away")

// Config says what to serve.
type Config struct {
	Path    string        // of the finished file; PATH.part and PATH.map stand beside it until then
	ID      digest.Digest // of the content; the map of another is not believed
	Size    int64         // bytes
	Entries []chunk.Entry // where data lies, ascending; the rest is zeros
	// Fetch gives the bytes of an entry, verified. It may use dst, and is asked by several goroutines.
	Fetch func(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error)
	// Room says why the file must not grow by n bytes now; nil: there is always room.
	Room func(n int) error
	// Shift paces Hydrate; nil: nothing does.
	Shift   *Shift
	Workers int // fetches side by side for one read; 0: 2
	Log     *slog.Logger

	open func(path string) (file, error) // of tests
}

// file is what a base needs of one.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// Status is how far a base is.
type Status struct {
	Chunks, Present int   // of the content; of them in the file
	Bytes, Kept     int64 // the same in bytes
	Done            bool  // PATH is there, and whole
	Full            bool  // what is read cannot be kept for want of room
	Faults          []Fault
}

// Fault is a chunk that could not be had.
type Fault struct {
	Offset int64 // in the disk
	Err    error
	At     time.Time // the latest time
}

// Base is one disk. It may be read by many goroutines.
type Base struct {
	Config
	part  file
	inode uint64
	marks *marks // of what is in the file
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	total  int64      // bytes of all entries
	saving sync.Mutex // one save at a time

	memory memory
	wake   chan struct{} // has one in it when something is queued
	flush1 sync.Mutex    // one flush at a time

	mu      sync.Mutex
	flights map[int]*flight
	queue   queue // chunks that readers have, and the file not yet
	spare   spare // chunks that the file has no room for
	faults  map[int]Fault
	kept    int64
	last    int // entry behind the latest that a guest waited for
	full    time.Time
	done    bool
	gone    bool
}

// flight is one fetch and those who wait for it.
type flight struct {
	done    chan struct{}
	waiting int // besides whoever fetches
	chunk   *held
	err     error
}

const (
	partSuffix = ".part"
	mapSuffix  = ".map"
	// saveTime is between two looks at what is to be saved. Each waits for the disk, and what is written meanwhile may wait too; what
	// a crash loses is fetched again.
	saveTime  = 5 * time.Second
	maxFaults = 100 // that are remembered
)

// Partial names what stands beside PATH until it is there.
func Partial(path string) (part, marks string) { return path + partSuffix, path + mapSuffix }

// Create makes an empty base, unless there is one. The map of an earlier one is removed before: its bits are not for this file.
func Create(path string, size int64) error {
	part, marks := Partial(path)
	if _, err := os.Lstat(part); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := removeFile(marks); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), part); err != nil && !errors.Is(err, os.ErrExist) { // somebody else may have been faster
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Remove takes a base away in whatever state.
func Remove(path string) error {
	err := RemovePartial(path)
	if err == nil {
		err = removeFile(path)
	}
	return err
}

// RemovePartial takes away what is not whole; the map goes first, so that no crash leaves one without its file.
func RemovePartial(path string) error {
	part, marks := Partial(path)
	err := removeFile(marks)
	if err == nil {
		err = removeFile(part)
	}
	return err
}

func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Open goes on with what Create made. Close it.
func Open(c Config) (*Base, error) {
	if c.Workers <= 0 {
		c.Workers = 2
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Room == nil {
		c.Room = func(int) error { return nil }
	}
	if c.open == nil {
		c.open = func(path string) (file, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
	}
	b := &Base{Config: c, flights: map[int]*flight{}, faults: map[int]Fault{}}
	part, marks := Partial(c.Path)
	st, err := os.Lstat(part)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() != c.Size {
		return nil, fmt.Errorf("lazy: %s is no file of %d bytes", part, c.Size)
	}
	b.inode = inodeOf(st)
	if b.part, err = c.open(part); err != nil {
		return nil, err
	}
	f, err := c.open(marks)
	if err == nil {
		b.marks, err = readMarks(f, b.identity(), len(c.Entries))
	}
	if err != nil {
		return nil, errors.Join(err, b.part.Close())
	}
	for i, e := range c.Entries {
		b.total += int64(e.Length)
		if b.marks.has(i) {
			b.kept += int64(e.Length)
		}
	}
	b.wake = make(chan struct{}, 1)
	b.life, b.end = context.WithCancel(context.Background())
	b.tasks.Go(b.tend)
	b.tasks.Go(b.write)
	return b, nil
}

func (b *Base) identity() identity {
	return identity{content: b.ID, size: b.Size, inode: b.inode, entries: len(b.Entries)}
}

// tend saves what has come since the last time.
func (b *Base) tend() {
	tick := time.NewTicker(saveTime)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-tick.C:
			err := b.Save()
			if err != nil && !failing { // told once: a full disk may stay so for long
				b.Log.Warn("the map of a base cannot be saved; what it lacks is fetched again after a restart", "base", b.Path, "error", err)
			}
			failing = err != nil
		case <-b.life.Done():
			return
		}
	}
}

// Save makes what was kept so far outlast a crash: bytes first, bits after.
func (b *Base) Save() error {
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.Lock()
	blocks := b.marks.dirty()
	b.mu.Unlock()
	if len(blocks) == 0 {
		return nil
	}
	err := b.part.Sync()
	if err == nil {
		err = b.marks.write(blocks)
	}
	if err != nil {
		b.mu.Lock()
		b.marks.again(blocks)
		b.mu.Unlock()
	}
	return err
}

// Close ends what is under way, saves and closes. Nobody may read any more.
func (b *Base) Close() error {
	b.end()
	b.tasks.Wait()
	b.flush()
	b.mu.Lock()
	done := b.done || b.gone
	b.mu.Unlock()
	var err error
	if !done {
		err = b.Save()
	}
	return errors.Join(err, b.part.Close(), b.marks.file.Close())
}

// Stop fetches nothing any more: reads that need a fetch fail.
func (b *Base) Stop() { b.end() }

// Stands says whether the base's file is still there, under one of its names.
func (b *Base) Stands() bool {
	part, _ := Partial(b.Path)
	for _, path := range []string{part, b.Path, part, b.Path} { // it may be renamed between two looks
		if b.isAt(path) {
			return true
		}
	}
	return false
}

// Whole says whether the file has its name by now: that is seen by others before Status is Done.
func (b *Base) Whole() bool { return b.isAt(b.Path) }

func (b *Base) isAt(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && inodeOf(st) == b.inode
}

// Forget makes every read fail from now on with ErrGone, and fetches nothing any more.
func (b *Base) Forget() {
	b.mu.Lock()
	b.gone = true
	b.spare.clear()
	b.queue.clear()
	b.mu.Unlock()
	b.end()
}

// Status tells how far it is.
func (b *Base) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Chunks: len(b.Entries), Present: b.marks.count, Bytes: b.total, Kept: b.kept, Done: b.done, Full: !b.full.IsZero()}
	for _, f := range b.faults {
		s.Faults = append(s.Faults, f)
	}
	return s
}
