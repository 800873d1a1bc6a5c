package format

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
)

// maxPieces bounds what is remembered of one file: 16 bytes each.
const maxPieces = 1 << 24

// piece is a stretch of the file.
type piece struct{ start, length int64 }

// pieces are what a file's tables name. Each must lie in the file, and no two in one place.
type pieces struct {
	size int64 // of the file
	list []piece
}

// add claims a stretch for what, a name for people.
func (p *pieces) add(what string, start, length uint64) error {
	if start > uint64(p.size) || length > uint64(p.size)-start {
		return fault(OutOfFile, "%s at %d, %d bytes long, lies outside the file of %d bytes", what, start, length, p.size)
	}
	if len(p.list) == maxPieces {
		return fault(Unsupported, "its tables name more than %d pieces", maxPieces)
	}
	p.list = append(p.list, piece{int64(start), int64(length)})
	return nil
}

// apart checks that no two overlap.
func (p *pieces) apart() error {
	slices.SortFunc(p.list, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(p.list); i++ {
		if before := p.list[i-1]; before.start+before.length > p.list[i].start {
			return fault(Overlap, "its tables name the same place twice, at %d", p.list[i].start)
		}
	}
	return nil
}

// exactly reads n bytes at off; what names them for people.
func exactly(r io.ReaderAt, what string, off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if got, err := r.ReadAt(b, off); got < n {
		if errors.Is(err, io.EOF) {
			return nil, fault(Truncated, "the file ends inside %s", what)
		}
		return nil, err
	}
	return b, nil
}

// stretches calls each for pieces of a table of total bytes at off, so that a large one is never in memory as a whole.
func stretches(ctx context.Context, r io.ReaderAt, what string, off, total int64, each func(first int64, b []byte) error) error {
	const step = 1 << 20
	for done := int64(0); done < total; done += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := exactly(r, what, off+done, int(min(step, total-done)))
		if err != nil {
			return err
		}
		if err := each(done, b); err != nil {
			return err
		}
	}
	return nil
}
