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
	parts, release, err := b.ReadParts(p, off)
	if err != nil {
		return 0, err
	}
	defer release()
	n := 0
	for _, part := range parts {
		if len(part) > 0 && &p[n] != &part[0] {
			copy(p[n:], part)
		}
		n += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// ReadParts gives what ReadAt would, up to the end of the disk, in the parts in which it lies in memory until release is called: what comes of
// the file in p, in its place, and what was just fetched where it was decoded to, without a copy.
func (b *Base) ReadParts(p []byte, off int64) (parts [][]byte, release func(), err error) {
	if off < 0 || off >= b.Size {
		return nil, nil, io.EOF
	}
	p = p[:min(int64(len(p)), b.Size-off)]
	b.tasks.Add(1)
	defer b.tasks.Done()
	missing, err := b.missing(off, int64(len(p)))
	if err != nil {
		return nil, nil, err
	}
	got := make([]*held, len(missing))
	release = func() {
		for _, h := range got {
			if h != nil {
				h.release()
			}
		}
	}
	if err = b.wait(missing, got); err == nil {
		parts, err = b.join(p, off, missing, got)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return parts, release, nil
}

// smallPart is copied, so that neither many small parts nor a little of a large chunk is held while a client takes its time.
const smallPart = 16 << 10

// join puts what was fetched between what the file has.
func (b *Base) join(p []byte, off int64, missing []int, got []*held) ([][]byte, error) {
	parts := make([][]byte, 0, 2*len(got)+1)
	at, end := off, off+int64(len(p))
	file := func(to int64) error {
		if at >= to {
			return nil
		}
		part := p[at-off : to-off]
		parts = append(parts, part)
		return b.read(part, at)
	}
	for k, i := range missing {
		if got[k] == nil { // it came meanwhile
			continue
		}
		e := b.Entries[i]
		from, to := max(e.Offset, off), min(e.End(), end)
		if err := file(from); err != nil {
			return nil, err
		}
		part := got[k].plain[from-e.Offset : to-e.Offset]
		if len(part) < smallPart {
			copy(p[from-off:], part)
			part = p[from-off : to-off]
			got[k].release()
			got[k] = nil
		}
		parts = append(parts, part)
		at = to
	}
	return parts, file(end)
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

// wait fetches entries for a guest; what it got is to be released, also after an error.
func (b *Base) wait(missing []int, got []*held) (err error) {
	if len(missing) == 0 {
		return nil
	}
	b.Shift.enter()
	defer b.Shift.leave()
	if len(missing) == 1 {
		got[0], err = b.bring(missing[0], true)
		return err
	}
	var next atomic.Int64
	var g errgroup.Group
	for range min(b.Workers, len(missing)) {
		g.Go(func() (err error) {
			for err == nil {
				k := int(next.Add(1)) - 1
				if k >= len(missing) {
					return nil
				}
				got[k], err = b.bring(missing[k], true)
			}
			next.Store(int64(len(missing))) // the others need not go on
			return err
		})
	}
	return g.Wait()
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
