package lazy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// ReadAt implements io.ReaderAt. What cannot be fetched is an error of the whole read.
func (b *Base) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= b.Size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > b.Size-off {
		p, end = p[:b.Size-off], io.EOF
	}
	b.tasks.Add(1)
	defer b.tasks.Done()
	missing, err := b.missing(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if err := b.wait(missing, p, off); err != nil {
		return 0, err
	}
	at := int64(0) // what is before is in p
	for _, i := range missing {
		e := b.Entries[i]
		if err := b.read(p[at:max(at, e.Offset-off)], off+at); err != nil {
			return 0, err
		}
		at = min(int64(len(p)), e.End()-off)
	}
	if err := b.read(p[at:], off+at); err != nil {
		return 0, err
	}
	return len(p), end
}

// read reads what is in the file.
func (b *Base) read(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := b.part.ReadAt(p, off); err != nil {
		return fmt.Errorf("lazy: %w", err)
	}
	return nil
}

// missing lists the entries in a stretch that the file does not have.
func (b *Base) missing(off, n int64) (list []int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, ErrGone
	}
	if b.done {
		return nil, nil
	}
	for i := find(b.Entries, off); i < len(b.Entries) && b.Entries[i].Offset < off+n; i++ {
		if !b.marks.has(i) {
			list = append(list, i)
		}
	}
	return list, nil
}

// wait fetches entries for a guest who reads p at off.
func (b *Base) wait(missing []int, p []byte, off int64) error {
	if len(missing) == 0 {
		return nil
	}
	b.Shift.enter()
	defer b.Shift.leave()
	if len(missing) == 1 {
		return b.copyOut(missing[0], p, off)
	}
	var next atomic.Int64
	var g errgroup.Group
	for range min(b.Workers, len(missing)) {
		g.Go(func() error {
			for {
				k := int(next.Add(1)) - 1
				if k >= len(missing) {
					return nil
				}
				if err := b.copyOut(missing[k], p, off); err != nil {
					next.Store(int64(len(missing))) // the others need not go on
					return err
				}
			}
		})
	}
	return g.Wait()
}

// copyOut copies what p, which is read at off, has of an entry.
func (b *Base) copyOut(i int, p []byte, off int64) error {
	h, err := b.bring(i, true)
	if err != nil {
		return err
	}
	e := b.Entries[i]
	from, to := max(e.Offset, off), min(e.End(), off+int64(len(p)))
	if h == nil { // it came meanwhile
		return b.read(p[from-off:to-off], from)
	}
	copy(p[from-off:to-off], h.plain[from-e.Offset:])
	h.release()
	return nil
}

// bring gives the bytes of an entry, to be released, or nil when the file has them meanwhile. For a guest it does not wait until they are
// written.
func (b *Base) bring(i int, guest bool) (*held, error) {
	f, h, mine := b.board(i, guest)
	switch {
	case f == nil && h != nil && !guest: // somebody has read it; the file is to have it
		h.release()
		b.flush()
		return nil, nil
	case f == nil:
		return h, nil
	case !mine:
		<-f.done
		if f.err == nil && !guest {
			b.flush()
		}
		return f.chunk, f.err
	}
	if f.chunk = h; h == nil {
		f.chunk, f.err = b.fetch(i)
	}
	if f.err != nil {
		b.land(i, f, false, false)
		return nil, f.err
	}
	if guest && b.land(i, f, false, true) {
		return f.chunk, nil
	}
	b.land(i, f, b.keep(i, f.chunk.plain), false)
	return f.chunk, nil
}

// board finds an entry where it is in memory, or whoever fetches it, or says that the caller is to: then, of what could not be written, the
// chunk comes too. All of them nil: it is in the file.
func (b *Base) board(i int, guest bool) (f *flight, h *held, mine bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if guest {
		b.last = i + 1
	}
	if b.marks.has(i) {
		return nil, nil, false
	}
	if h = b.queue.get(i); h != nil {
		h.use(1)
		return nil, h, false
	}
	if f = b.flights[i]; f != nil {
		f.waiting++
		return f, nil, false
	}
	if h = b.spare.get(i); h != nil {
		h.use(1)
		if guest {
			return nil, h, false
		}
	}
	f = &flight{done: make(chan struct{})}
	b.flights[i] = f
	return f, h, true
}

func (b *Base) fetch(i int) (*held, error) {
	e := b.Entries[i]
	h := b.memory.get(e.Length)
	plain, err := b.Fetch(b.life, e, h.room)
	if err == nil && len(plain) != e.Length {
		err = fmt.Errorf("lazy: %d bytes came for a chunk of %d", len(plain), e.Length)
	}
	if err != nil {
		h.release()
		return nil, err
	}
	h.plain = plain
	return h, nil
}

// keep writes a chunk to its place. That it cannot is no failure: the chunk itself is there.
func (b *Base) keep(i int, plain []byte) bool {
	err := b.Room(len(plain))
	if err == nil {
		_, err = b.part.WriteAt(plain, b.Entries[i].Offset)
	}
	b.mu.Lock()
	was := b.full
	if b.full = (time.Time{}); err != nil {
		b.full = time.Now()
	}
	b.mu.Unlock()
	if err != nil && was.IsZero() {
		b.Log.Warn("what guests read of a base cannot be kept", "base", b.Path, "error", err)
	}
	return err == nil
}

// land notes how a fetch ended and lets those go on who wait for it. With later, that is before it is written, if the queue has room; false: it
// has not, and nothing has been done.
func (b *Base) land(i int, f *flight, kept, later bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if later {
		if !b.full.IsZero() || b.gone || !b.queue.hasRoom(f.chunk) {
			return false
		}
		b.queue.put(i, f.chunk)
		select {
		case b.wake <- struct{}{}:
		default: // it is awake
		}
	}
	delete(b.flights, i)
	switch {
	case f.err != nil && !errors.Is(f.err, context.Canceled):
		if len(b.faults) < maxFaults || !b.faults[i].At.IsZero() {
			b.faults[i] = Fault{b.Entries[i].Offset, f.err, time.Now()}
		}
	case f.err == nil && !later:
		b.note(i, f.chunk, kept)
	}
	if f.err == nil {
		delete(b.faults, i)
		f.chunk.use(f.waiting)
	}
	close(f.done)
	return true
}

// note says whether a chunk is in the file now. b is locked.
func (b *Base) note(i int, h *held, kept bool) {
	switch {
	case kept && !b.marks.has(i):
		b.marks.set(i)
		b.kept += int64(b.Entries[i].Length)
		b.spare.drop(i)
	case !kept && !b.gone:
		b.spare.put(i, h)
	}
}
