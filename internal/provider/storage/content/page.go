package content

import (
	"context"
	"errors"
	"hash/crc32"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/store"
)

// CreatePages makes a page blob of zeros.
func (s *Store) CreatePages(ctx context.Context, c Container, next *Blob, size int64, check Check) error {
	if size < 0 || size > MaxPages || size%512 != 0 {
		return refuse("InvalidHeaderValue")
	}
	next.Kind, next.UID, next.Size = Page, uuid.NewString(), size
	if err := s.Images.CreateUpload(upload(next.UID), max(size, 512)); err != nil {
		var large *image.TooLarge
		if errors.As(err, &large) {
			return refuse("OutOfRangeInput")
		}
		return err
	}
	err := s.replace(ctx, c, next, check, just())
	if err != nil && surely(err) {
		_ = s.Images.RemoveUpload(upload(next.UID)) // else Sweep finds it
	}
	return err
}

// Pages opens a page blob for reading and writing. Close it.
func (s *Store) Pages(b *Blob) (*image.Upload, error) {
	if b.Kind != Page {
		return nil, refuse("InvalidBlobType")
	}
	u, err := s.Images.OpenUpload(upload(b.UID))
	if errors.Is(err, image.ErrUpload) {
		return nil, refuse("BlobNotFound")
	}
	return u, err
}

// WritePages lets write write a page blob, one writer at a time. may is to be asked in the very moment of the writing:
// between the bytes of a body and their writing a lease may have been taken, the blob replaced or written by another.
func (s *Store) WritePages(ctx context.Context, b *Blob, check Check, write func(u *image.Upload, may func() error) error) (*Blob, error) {
	u, err := s.Pages(b)
	if err != nil {
		return nil, err
	}
	defer u.Close()
	turn := &s.stripes[crc32.ChecksumIEEE([]byte(b.UID))%uint32(len(s.stripes))]
	turn.Lock()
	defer turn.Unlock()
	var now *Blob
	if err := write(u, func() (err error) { now, err = s.may(ctx, b, check); return err }); err != nil {
		return nil, err
	}
	at := s.Now().UTC().Truncate(time.Microsecond)
	if was := now.Modified(); !at.After(was) { // an ETag never comes twice
		at = was.Add(time.Microsecond)
	}
	now.modified = at
	if err := u.Touch(at); err != nil || now.Lease.ID == "" || now.Lease.Locked(at) {
		return now, err
	}
	_, err = s.ChangeLease(ctx, Address{Container{b.Container, b.Region}, b.Name}, func(b *Blob) error { b.Lease.settle(at); return nil })
	return now, err
}

func (s *Store) may(ctx context.Context, b *Blob, check Check) (now *Blob, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		now, err = s.current(tx, Address{Container{b.Container, b.Region}, b.Name}, func(now *Blob) error {
			if now == nil || now.UID != b.UID {
				return refuse("BlobNotFound")
			}
			return check(now)
		})
		return err
	})
	return now, err
}

// Find reads a blob's document in a transaction of somebody else; store.ErrNotFound.
func (s *Store) Find(tx store.Tx, at Address) (*Blob, error) { return load(tx, at.UID, at.Name) }

// Hold opens a page blob that is not being filled, for reading: until it is closed, nobody can write it. It may be replaced
// or deleted meanwhile; what is read stays what it was.
func (s *Store) Hold(b *Blob) (*image.Upload, error) {
	if b.Kind != Page {
		return nil, refuse("InvalidBlobType")
	}
	if err := busy(b); err != nil {
		return nil, err
	}
	u, err := s.Images.HoldUpload(upload(b.UID))
	if errors.Is(err, image.ErrUpload) {
		return nil, refuse("BlobNotFound")
	}
	return u, err
}

// Pack makes an image of a page blob that holds a fixed VHD, in a domain of its region. The blob cannot be written
// meanwhile. A fault of the VHD is a *format.Error.
func (s *Store) Pack(ctx context.Context, b *Blob, domain string) (image.Ref, error) {
	u, err := s.Hold(b)
	if err != nil {
		return image.Ref{}, err
	}
	defer u.Close()
	size, err := format.CheckFixedVHD(u, b.Size)
	if err != nil {
		return image.Ref{}, err
	}
	return s.Images.Pack(ctx, b.Region, domain, u, size, nil)
}
