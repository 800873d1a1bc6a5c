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
func (r *Reader) VHD() *Export { return &Export{format.NewVHD(r, r.size), r} }

// Ranges lists the data inside [off, off+n), the footer included.
func (e *Export) Ranges(ctx context.Context, off, n int64) ([]Range, error) {
	list, err := e.r.Ranges(ctx, off, min(n, max(0, e.r.size-off)))
	if err != nil || off+n <= e.r.size {
		return list, err
	}
	foot := Range{max(off, e.r.size), min(off+n, e.Size())}
	if k := len(list); k > 0 && list[k-1].End == foot.Start {
		list[k-1].End = foot.End
		return list, nil
	}
	return append(list, foot), nil
}

// Close does nothing; it is here for whoever closes what they opened.
func (e *Export) Close() error { return nil }
