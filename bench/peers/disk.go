package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vitrine/internal/image/extent"
)

// cutDisk gives the path of the beginning of a disk that has about so many bytes of data, or of the whole disk for 0, and says what it is.
// A sparse file's virtual size says little: it is data that costs.
func (b *bench) cutDisk(ctx context.Context, name string, want int64) (path, note string, err error) {
	whole := b.disk(name)
	f, err := os.Open(whole)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	stretches, data, err := beginning(f, st.Size(), want)
	if err != nil {
		return "", "", err
	}
	end := st.Size()
	if want > 0 && data >= want {
		end = stretches[len(stretches)-1].End
	}
	note = fmt.Sprintf("%d MiB of data in %d MiB", data>>20, end>>20)
	if end == st.Size() {
		return whole, note, nil
	}
	path = filepath.Join(b.work, fmt.Sprintf("%s-%d.raw", name, want))
	if _, err := os.Stat(path); err == nil {
		return path, note, nil
	}
	return path, note, copyOut(ctx, f, path, end, stretches)
}

// beginning lists the data of a disk up to so many bytes; 0: all.
func beginning(f *os.File, size, want int64) (list []extent.Range, sum int64, err error) {
	for at := int64(0); want == 0 || sum < want; {
		r, err := extent.Next(f, at, size)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if want > 0 && sum+r.End-r.Start > want {
			r.End = r.Start + (want-sum+4095)/4096*4096
		}
		list, sum, at = append(list, r), sum+r.End-r.Start, r.End
	}
	return list, sum, nil
}

func copyOut(ctx context.Context, f *os.File, path string, size int64, stretches []extent.Range) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, r := range stretches {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, r.Start), io.NewSectionReader(f, r.Start, r.End-r.Start)); err != nil {
			return err
		}
	}
	return out.Truncate(size)
}

// warm reads a file, so that whoever comes first does not pay for the disk.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	stretches, _, err := beginning(f, st.Size(), 0)
	for _, r := range stretches {
		if _, err := io.Copy(io.Discard, io.NewSectionReader(f, r.Start, r.End-r.Start)); err != nil {
			return err
		}
	}
	return err
}
