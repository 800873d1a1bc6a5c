// Package extent says where a disk has data: the stretches between its holes.
//
// It owns the form of such a stretch and the ways to ask for it. What lies in a stretch is nobody's business here:
//
//	Sparse, *os.File, any io.ReaderAt ── Next ──▶ Range, Range, … ──▶ who packs or answers a client
package extent

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"vitrine/internal/image/chunk"
)

// Range is a half-open interval of bytes, [Start, End).
type Range struct{ Start, End int64 }

// Sparse is what Pack asks of a source that knows its holes. Readers and uploads do; of an *os.File Pack asks the
// file system; any other io.ReaderAt is read as a whole.
type Sparse interface {
	// NextData returns the first stretch at or after off that may hold something other than zeros, or io.EOF.
	NextData(off int64) (Range, error)
}

// Next gives the next data of r, rounded out to blocks and cut at size.
func Next(r io.ReaderAt, off, size int64) (Range, error) {
	if off >= size {
		return Range{}, io.EOF
	}
	found := Range{off, size}
	var err error
	switch r := r.(type) {
	case Sparse:
		found, err = r.NextData(off)
	case *os.File:
		found, err = Seek(r, off)
	}
	if err != nil {
		return Range{}, err
	}
	found.Start = max(off, found.Start/chunk.Block*chunk.Block)
	found.End = min(size, (found.End+chunk.Block-1)/chunk.Block*chunk.Block)
	if found.Start >= found.End {
		return Range{}, io.EOF
	}
	return found, nil
}

// Seek asks the file system. One that does not know says that all is data.
func Seek(f *os.File, off int64) (Range, error) {
	start, err := f.Seek(off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return Range{}, io.EOF
	}
	if err != nil {
		return wholeFile(f, off)
	}
	end, err := f.Seek(start, unix.SEEK_HOLE)
	if err != nil {
		return wholeFile(f, off)
	}
	return Range{start, end}, nil
}

func wholeFile(f *os.File, off int64) (Range, error) {
	st, err := f.Stat()
	if err != nil {
		return Range{}, err
	}
	if off >= st.Size() {
		return Range{}, io.EOF
	}
	return Range{off, st.Size()}, nil
}

// List gives the data inside [off, off+n), neighbours as they come; between them are zeros.
func List(s Sparse, off, n int64) ([]Range, error) {
	var list []Range
	for end := off + n; off < end; {
		found, err := s.NextData(off)
		if errors.Is(err, io.EOF) || err == nil && found.Start >= end {
			break
		}
		if err != nil {
			return nil, err
		}
		found.End = min(found.End, end)
		list, off = append(list, found), found.End
	}
	return list, nil
}
