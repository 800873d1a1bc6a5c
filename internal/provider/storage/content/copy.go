package content

import (
	"context"
	"errors"
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
	// Changed is when it was: a source that is written meanwhile makes no copy of one moment.
	Changed time.Time `json:"changed"`
}

// busy refuses writes to a blob that is being filled.
func busy(b *Blob) error {
	if b.Copy != nil && b.Copy.Status == Pending {
		return refuse("PendingCopyOperation")
	}
	return nil
}

// Source is what a copy is made of.
type Source struct {
	At   Address
	URL  string // as it is shown afterwards
	Fits Check  // nil: whatever is there; else it looks at the blob
}

// StartCopy begins to fill a blob from another; Run does the work. The blob is there at once, empty or of zeros. Onto itself
// a blob is copied at once: it gets the metadata.
func (s *Store) StartCopy(ctx context.Context, c Container, next *Blob, source Source, check Check) error {
	from := source.At
	src, err := s.Head(ctx, from)
	if err != nil {
		return err
	}
	if err := busy(src); err != nil {
		return err
	}
	if source.Fits != nil {
		if err := source.Fits(src); err != nil {
			return err
		}
	}
	next.Copy = &Copy{ID: uuid.NewString(), Status: Pending, Source: source.URL, Total: src.Size, From: Origin{from, src.UID, src.Modified()}}
	if from.UID == c.UID && from.Name == next.Name {
		return s.copyInPlace(ctx, from, next, check)
	}
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
		s.wake()
	}
	return err
}

func (s *Store) copyInPlace(ctx context.Context, at Address, next *Blob, check Check) error {
	b, err := s.Change(ctx, at, func(b *Blob) error {
		if err := busy(b); err != nil {
			return err
		}
		if err := check(b); err != nil {
			return err
		}
		if next.Metadata != nil {
			b.Metadata = next.Metadata
		}
		b.Copy = next.Copy
		b.Copy.Status, b.Copy.Done, b.Copy.Ended = Success, b.Copy.Total, s.Now()
		return nil
	})
	if err == nil {
		*next = *b
	}
	return err
}

// AbortCopy ends a copy under way; the blob stays with zero length, as in the service.
func (s *Store) AbortCopy(ctx context.Context, at Address, id string, check Check) error {
	return s.empty(ctx, at, func(b *Blob) error {
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
}

// empty takes its bytes from a blob that a copy was to fill, in the transaction in which f changes it. A page blob gets
// another file: whoever still fills the old one does no harm.
func (s *Store) empty(ctx context.Context, at Address, f func(*Blob) error) error {
	fresh := uuid.NewString()
	if err := s.Images.CreateUpload(upload(fresh), 512); err != nil {
		return err
	}
	used := false
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		used = false
		b, err := s.held(tx, at)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		b.Changed = b.Modified()
		if b.Kind != Page {
			return s.save(tx, b)
		}
		if err := s.note(tx, leftover{Container: b.Container, Region: b.Region, Upload: upload(b.UID)}); err != nil {
			return err
		}
		b.UID, b.Size, used = fresh, 0, true
		return s.save(tx, b)
	})
	if !used || err != nil && surely(err) {
		err = errors.Join(err, s.Images.RemoveUpload(upload(fresh)))
	}
	if errors.Is(err, store.ErrNotFound) {
		return refuse("BlobNotFound")
	}
	return err
}
