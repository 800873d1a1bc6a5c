package image

import (
	"context"

	"vitrine/internal/image/format"
)

// FinishUpload checks the fixed VHD that was uploaded and packs the disk in it. The upload stays until RemoveUpload, but
// from here on nobody can write it, not even who has it open, until CreateUpload is called again. A fault of what was
// sent is a *format.Error; then it may be written as before.
func (s *Store) FinishUpload(ctx context.Context, id, region, domain string) (_ Ref, err error) {
	u, err := s.OpenUpload(id)
	if err != nil {
		return Ref{}, err
	}
	defer u.Close()
	end := u.Shut()
	defer func() {
		_, faulty := format.As(err)
		end(faulty)
	}()
	if err := u.Sync(); err != nil {
		return Ref{}, err
	}
	size, err := format.CheckFixedVHD(u, u.Size())
	if err != nil {
		return Ref{}, err
	}
	return s.Pack(ctx, region, domain, u, size, nil)
}
