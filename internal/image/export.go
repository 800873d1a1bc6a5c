package image

import (
	"context"

	"vitrine/internal/image/format"
)

// Export shows a disk as the fixed VHD that a client downloads.
type Export struct {
	*format.VHD
	r *Reader
}

// VHD gives the disk with a VHD footer behind it.
func (r *Reader) VHD() *Export { return &Export{format.NewVHD(r, r.Size()), r} }

// Ranges lists the data inside [off, off+n), the footer included.
func (e *Export) Ranges(ctx context.Context, off, n int64) ([]Range, error) {
	list, err := e.r.Ranges(ctx, off, min(n, max(0, e.r.Size()-off)))
	if err != nil || off+n <= e.r.Size() {
		return list, err
	}
	foot := Range{Start: max(off, e.r.Size()), End: min(off+n, e.Size())}
	if k := len(list); k > 0 && list[k-1].End == foot.Start {
		list[k-1].End = foot.End
		return list, nil
	}
	return append(list, foot), nil
}

// Close does nothing; it is here for whoever closes what they opened.
func (e *Export) Close() error { return nil }
