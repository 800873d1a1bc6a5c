package image

import (
	"context"
	"io"

	"vitrine/internal/image/chunk"
	"vitrine/internal/image/format"
	"vitrine/internal/image/unpack"
)

// Stream gives yield the bytes [off, off+n) in order, each verified; beside it, the next ones are fetched. What yield is given is its own
// until it returns. Errors are those of ReadAt.
func (r *Reader) Stream(ctx context.Context, off, n int64, yield func([]byte) error) error {
	if off < 0 || n < 0 || off+n > r.m.Size {
		return io.ErrUnexpectedEOF
	}
	return unpack.Stream(ctx, r.m.Entries, Range{Start: off, End: off + n}, r.store.Workers, parts{r, r.store.codec}, yield)
}

// parts is a Reader as unpack asks it.
type parts struct {
	r *Reader
	*chunk.Codec
}

// Part implements unpack.Source.
func (p parts) Part(ctx context.Context, e chunk.Entry, from, to int64, dst []byte) ([]byte, error) {
	if from == 0 && to == int64(e.Length) {
		return p.r.fetch(ctx, e, dst)
	}
	dst = dst[:to-from]
	return dst, p.r.chunk(e, dst, from)
}

// Export shows a disk as the fixed VHD that a client downloads.
type Export struct {
	*format.VHD
	r *Reader
}

// VHD gives the disk with a VHD footer behind it.
func (r *Reader) VHD() *Export { return &Export{format.NewVHD(r, r.Size()), r} }

// Stream is Reader's, the footer included.
func (e *Export) Stream(ctx context.Context, off, n int64, yield func([]byte) error) error {
	disk := min(n, max(0, e.r.Size()-off))
	if disk > 0 {
		if err := e.r.Stream(ctx, off, disk, yield); err != nil {
			return err
		}
	}
	if disk == n {
		return nil
	}
	foot := make([]byte, n-disk)
	if got, err := e.ReadAt(foot, off+disk); got < len(foot) {
		return err
	}
	return yield(foot)
}

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
