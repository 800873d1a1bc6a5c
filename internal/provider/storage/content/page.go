package content

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"vitrine/internal/image"
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
	if err != nil {
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

// May looks whether a page blob is still the one that was opened, and asks check: between the bytes of a body and their
// writing a lease may have been taken or the blob replaced.
func (s *Store) May(ctx context.Context, b *Blob, check Check) error {
	return s.Store.View(ctx, func(tx store.Tx) error {
		now, err := load(tx, b.Container, b.Name)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.UID != b.UID {
			return refuse("BlobNotFound")
		}
		if err != nil {
			return err
		}
		if err := busy(now); err != nil {
			return err
		}
		now.modified = b.modified
		return check(now)
	})
}

// Pack makes an image of a page blob that holds a fixed VHD, in a domain of its region. The blob cannot be written
// meanwhile. A fault of the VHD is a *format.Error.
func (s *Store) Pack(ctx context.Context, b *Blob, domain string) (image.Ref, error) {
	if b.Kind != Page {
		return image.Ref{}, refuse("InvalidBlobType")
	}
	ref, err := s.Images.FinishUpload(ctx, upload(b.UID), b.Region, domain)
	if errors.Is(err, image.ErrUpload) {
		return image.Ref{}, refuse("BlobNotFound")
	}
	return ref, errors.Join(err, s.Images.CreateUpload(upload(b.UID), max(b.Size, 512)))
}
