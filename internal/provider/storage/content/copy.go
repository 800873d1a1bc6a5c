package content

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/store"
)

// The states of a copy.
const (
	Pending = "pending"
	Success = "success"
	Aborted = "aborted"
	Broken  = "failed"
)

const pendingTerm = "copy:pending"

// Copy is how a blob is, or was, filled from another one.
type Copy struct {
	ID          string    `json:"id"`
	Status      string    `json:"status"`
	Description string    `json:"description,omitempty"`
	Source      string    `json:"source"` // the URL, without its query: signatures are not kept
	Done        int64     `json:"done"`
	Total       int64     `json:"total"`
	Ended       time.Time `json:"ended,omitzero"`
	From        Origin    `json:"from"`
}

// Origin is the source of a copy inside this installation; rights were checked when the copy was asked for.
type Origin struct {
	At  Address `json:"at"`
	UID string  `json:"uid"` // the very blob: when it is replaced meanwhile, the copy fails
}

// busy refuses writes to a blob that is being filled.
func busy(b *Blob) error {
	if b.Copy != nil && b.Copy.Status == Pending {
		return refuse("PendingCopyOperation")
	}
	return nil
}

// StartCopy begins to fill a blob from another; Run does the work. The blob is there at once, empty or of zeros.
func (s *Store) StartCopy(ctx context.Context, c Container, next *Blob, from Address, source string, check Check) error {
	src, err := s.Head(ctx, from)
	if err != nil {
		return err
	}
	next.Copy = &Copy{ID: uuid.NewString(), Status: Pending, Source: source, Total: src.Size, From: Origin{from, src.UID}}
	if next.Metadata == nil {
		next.Metadata = src.Metadata
	}
	next.Headers = src.Headers
	if src.Kind == Page {
		err = s.CreatePages(ctx, c, next, src.Size, check)
	} else {
		next.Kind, next.UID = Block, uuid.NewString()
		err = s.replace(ctx, c, next, check, just())
	}
	if err == nil {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	return err
}

// AbortCopy ends a copy under way; the blob stays with zero length, as in the service.
func (s *Store) AbortCopy(ctx context.Context, at Address, id string, check Check) error {
	_, err := s.Change(ctx, at, func(b *Blob) error {
		if err := check(b); err != nil {
			return err
		}
		if b.Copy == nil || b.Copy.Status != Pending {
			return refuse("NoPendingCopyOperation")
		}
		if b.Copy.ID != id {
			return refuse("CopyIdMismatch")
		}
		b.Copy.Status, b.Copy.Ended = Aborted, s.Now()
		return nil
	})
	return err
}

// Run carries out copies until ctx ends; those that a crash cut off are begun anew.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := s.copies(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-tick.C:
		}
	}
}

func (s *Store) copies(ctx context.Context) error {
	for {
		var docs []store.Document
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			docs, err = tx.List(store.Query{Kind: blobKind, Any: []string{pendingTerm}, Limit: 1})
			return err
		})
		if err != nil || len(docs) == 0 {
			return err
		}
		b, err := parse(docs[0])
		if err != nil {
			return err
		}
		list, failure := s.fill(ctx, b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.filled(ctx, b, list, failure); err != nil {
			return err
		}
	}
}

// fill copies the bytes.
func (s *Store) fill(ctx context.Context, b *Blob) ([]Part, error) {
	from := b.Copy.From
	src, err := s.Head(ctx, from.At)
	if err != nil {
		return nil, err
	}
	if src.UID != from.UID {
		return nil, errors.New("the source was replaced")
	}
	if src.Kind == Page {
		return nil, s.fillPages(ctx, b, src)
	}
	r, err := s.Open(ctx, src)
	if err != nil || src.Size == 0 {
		return []Part{}, err
	}
	part, err := s.store(ctx, Container{b.Container, b.Region}, io.NewSectionReader(r, 0, src.Size), src.Size)
	return []Part{part}, err
}

func (s *Store) fillPages(ctx context.Context, b, src *Blob) error {
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
		data.Start = data.Start / 512 * 512
		for at := data.Start; at < data.End; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(int64(len(buffer)), (data.End-at+511)/512*512, b.Size-at)
			if _, err := in.ReadAt(buffer[:n], at); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if _, err := out.WriteAt(buffer[:n], at); err != nil {
				return err
			}
			at += n
		}
		off = data.End
	}
}

// filled records the end of a copy, unless it was aborted meanwhile.
func (s *Store) filled(ctx context.Context, b *Blob, list []Part, failure error) error {
	c := Container{b.Container, b.Region}
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, err := load(tx, b.Container, b.Name)
		if err != nil {
			return err
		}
		if now.UID != b.UID || now.Copy == nil || now.Copy.ID != b.Copy.ID || now.Copy.Status != Pending {
			return store.ErrNotFound
		}
		now.Copy.Status, now.Copy.Ended, now.Copy.Done = Success, s.Now(), now.Copy.Total
		if failure != nil {
			now.Copy.Status, now.Copy.Done = Broken, 0
			now.Copy.Description = "500 InternalServerError: the source could not be read to its end"
			return s.save(tx, now)
		}
		if now.Kind == Block {
			if err := tx.Delete(listKey(now), 0); err != nil {
				return err
			}
			if err := putList(tx, now, list); err != nil {
				return err
			}
		}
		return s.save(tx, now)
	})
	if err != nil || failure != nil {
		s.drop(c, list...)
	}
	return missing(err)
}
