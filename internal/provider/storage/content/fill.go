package content

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"vitrine/internal/store"
)

const (
	copiers   = 4        // copies that are carried out at a time
	lookEvery = 64 << 20 // bytes after which a copy looks whether it is still wanted
)

// errUnwanted ends the work for a copy that was aborted, or whose blob or container has gone.
var errUnwanted = errors.New("content: the copy is not wanted any more")

// filling are the copies that this process carries out.
type filling struct {
	mu   sync.Mutex
	done map[string]*atomic.Int64 // by the copy's ID
	last string                   // where to look on, so that one container's many copies do not keep all others waiting
}

func (f *filling) of(id string) *atomic.Int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done[id]
}

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Run carries out copies until ctx ends; those that a crash cut off are begun anew.
func (s *Store) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for {
			b, done, err := s.nextCopy(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if b == nil {
				break
			}
			group.Go(func() { s.carry(ctx, b, done) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-tick.C:
		}
	}
}

// nextCopy takes a pending copy that nobody here carries out; none when there is none, or hands are full.
func (s *Store) nextCopy(ctx context.Context) (*Blob, *atomic.Int64, error) {
	f := &s.filling
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.done) >= copiers {
		return nil, nil, nil
	}
	for round := 0; round < 2; {
		var docs []store.Document
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			docs, err = tx.List(store.Query{Kind: blobKind, Any: []string{pendingTerm}, After: f.last, Limit: sweepPage})
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		for _, d := range docs {
			f.last = d.Key
			b, err := parse(d)
			if err != nil {
				return nil, nil, err
			}
			if f.done[b.Copy.ID] != nil {
				continue
			}
			done := new(atomic.Int64)
			f.done[b.Copy.ID], f.last = done, containerPrefix(b.Container)+Last
			return b, done, nil
		}
		if len(docs) < sweepPage {
			f.last = ""
			round++
		}
	}
	return nil, nil, nil
}

// carry carries out one copy. What fails in recording its end leaves it pending: it is begun anew, and not at once, since the
// disk may be full or its container gone.
func (s *Store) carry(ctx context.Context, b *Blob, done *atomic.Int64) {
	list, failure := s.fill(ctx, b, done)
	var unrecorded error
	if ctx.Err() == nil {
		unrecorded = s.filled(ctx, b, list, failure)
	} else {
		s.drop(ctx, Container{b.Container, b.Region}, list...)
	}
	s.filling.mu.Lock()
	delete(s.filling.done, b.Copy.ID)
	s.filling.mu.Unlock()
	switch {
	case unrecorded == nil || errors.Is(unrecorded, errUnwanted):
		s.wake()
	case !isRefusal(unrecorded):
		s.Log.Error("the end of a copy is not recorded; the copy is begun anew", "copy", b.Copy.ID, "blob", b.Name, "error", unrecorded)
	}
}

// fill copies the bytes of a source that stays as it was.
func (s *Store) fill(ctx context.Context, b *Blob, done *atomic.Int64) (list []Part, err error) {
	src, err := s.source(ctx, b)
	if err != nil {
		return nil, err
	}
	step := func(n int64) error {
		was := done.Add(n) - n
		if was/lookEvery == (was+n)/lookEvery {
			return ctx.Err()
		}
		return s.wanted(ctx, b)
	}
	switch {
	case src.Kind == Page:
		err = s.fillPages(b, src, step)
	case src.Size == 0:
		list = []Part{}
	default:
		list, err = s.fillBlocks(ctx, b, src, step)
	}
	if err == nil {
		_, err = s.source(ctx, b)
	}
	return list, err
}

// source reads a copy's source, which must be what it was.
func (s *Store) source(ctx context.Context, b *Blob) (*Blob, error) {
	from := b.Copy.From
	src, err := s.Head(ctx, from.At)
	if err == nil && (src.UID != from.UID || !src.Modified().Equal(from.Changed)) {
		return nil, errors.New("the source was changed")
	}
	return src, err
}

// wanted says whether the blob still waits for this copy.
func (s *Store) wanted(ctx context.Context, b *Blob) error {
	return s.Store.View(ctx, func(tx store.Tx) error {
		if home(tx, b.Container) != nil {
			return errUnwanted
		}
		now, err := load(tx, b.Container, b.Name)
		if errors.Is(err, store.ErrNotFound) || err == nil && !now.awaits(b) {
			return errUnwanted
		}
		return err
	})
}

// awaits says whether the blob is still the one that a copy was begun for.
func (b *Blob) awaits(begun *Blob) bool {
	return b.UID == begun.UID && b.Copy != nil && b.Copy.ID == begun.Copy.ID && b.Copy.Status == Pending
}

// stepping tells step of what is read.
type stepping struct {
	io.Reader
	step func(n int64) error
}

func (r stepping) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err := r.step(int64(n)); err != nil {
		return n, err
	}
	return n, err
}

func (s *Store) fillBlocks(ctx context.Context, b, src *Blob, step func(int64) error) ([]Part, error) {
	r, err := s.Open(ctx, src)
	if err != nil {
		return nil, err
	}
	part, err := s.store(ctx, Container{b.Container, b.Region}, stepping{io.NewSectionReader(r, 0, src.Size), step}, src.Size)
	if err != nil {
		return nil, err
	}
	return []Part{part}, nil
}

func (s *Store) fillPages(b, src *Blob, step func(int64) error) error {
	in, err := s.Pages(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.Pages(b)
	if err != nil {
		return err
	}
	defer out.Close()
	buffer := make([]byte, 4<<20)
	for off := int64(0); ; {
		data, err := in.NextData(off)
		if errors.Is(err, io.EOF) {
			return out.Sync()
		}
		if err != nil {
			return err
		}
		for at := data.Start / 512 * 512; at < data.End; {
			n := min(int64(len(buffer)), (data.End-at+511)/512*512, b.Size-at)
			if n <= 0 {
				break
			}
			if _, err := in.ReadAt(buffer[:n], at); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if _, err := out.WriteAt(buffer[:n], at); err != nil {
				return err
			}
			if err := step(n); err != nil {
				return err
			}
			at += n
		}
		off = data.End
	}
}

// filled records the end of a copy, unless it was aborted meanwhile.
func (s *Store) filled(ctx context.Context, b *Blob, list []Part, failure error) error {
	at := Address{Container{b.Container, b.Region}, b.Name}
	var err error
	if failure != nil {
		err = s.empty(ctx, at, func(now *Blob) error {
			if !now.awaits(b) {
				return errUnwanted
			}
			now.Copy.Status, now.Copy.Ended, now.Copy.Done = Broken, s.Now(), 0
			now.Copy.Description = "500 InternalServerError: the source could not be read to its end as it was when the copy began"
			return nil
		})
	} else {
		err = s.Store.Update(ctx, func(tx store.Tx) error { return s.complete(tx, b, list) })
	}
	if failure != nil {
		s.drop(ctx, at.Container, list...)
	} else if err != nil {
		s.undo(ctx, err, at.Container, list...)
	}
	return err
}

func (s *Store) complete(tx store.Tx, b *Blob, list []Part) error {
	now, err := s.held(tx, Address{Container{b.Container, b.Region}, b.Name})
	if err != nil {
		return err
	}
	if !now.awaits(b) {
		return errUnwanted
	}
	now.Copy.Status, now.Copy.Ended, now.Copy.Done = Success, s.Now(), now.Copy.Total
	now.Changed = now.Modified()
	if now.Kind == Block {
		if err := tx.Delete(listKey(now), 0); err != nil {
			return err
		}
		if err := putList(tx, now, list); err != nil {
			return err
		}
	}
	return s.save(tx, now)
}
