package image

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Sparse is what Pack asks of a source that knows its holes. *Reader and *Upload do; of an *os.File Pack asks the
// file system; any other io.ReaderAt is read as a whole.
type Sparse interface {
	// NextData returns the first stretch at or after off that may hold something other than zeros, or io.EOF.
	NextData(off int64) (Range, error)
}

// nextData gives the next data of r, rounded out to blocks and cut at size.
func nextData(r io.ReaderAt, off, size int64) (Range, error) {
	if off >= size {
		return Range{}, io.EOF
	}
	found := Range{off, size}
	var err error
	switch r := r.(type) {
	case Sparse:
		found, err = r.NextData(off)
	case *os.File:
		found, err = seekData(r, off)
	}
	if err != nil {
		return Range{}, err
	}
	found.Start = max(off, found.Start/block*block)
	found.End = min(size, (found.End+block-1)/block*block)
	if found.Start >= found.End {
		return Range{}, io.EOF
	}
	return found, nil
}

// seekData asks the file system. One that does not know says that all is data.
func seekData(f *os.File, off int64) (Range, error) {
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
