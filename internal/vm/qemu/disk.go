package qemu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// CreateDisk implements vm.Runtime, with the base's format always named.
func (r *Runtime) CreateDisk(_ context.Context, d vm.NewDisk) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if have, err := readQCOW2(d.Path); err == nil {
		if have.base == d.Base && (d.Size == 0 || have.size == d.Size) {
			return nil
		}
		return fmt.Errorf("disk %s is there already, with %d bytes on base %q", d.Path, have.size, have.base)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("disk %s: %w", d.Path, err)
	}
	return createQCOW2(d)
}

// createQCOW2 writes the file itself: as it has no cluster yet, that is a header and three tables, and less than a process costs.
func createQCOW2(d vm.NewDisk) error {
	if d.Base != "" && !d.Later {
		st, err := os.Stat(d.Base)
		if err != nil {
			return fmt.Errorf("disk %s: base: %w", d.Path, err)
		}
		if d.Size == 0 && d.BaseFormat == vm.Raw {
			d.Size = (st.Size() + 511) &^ 511
		} else if d.Size == 0 {
			have, err := readQCOW2(d.Base)
			if err != nil {
				return fmt.Errorf("disk %s: base %s: %w", d.Path, d.Base, err)
			}
			d.Size = have.size
		}
	}
	err := proc.Replace(d.Path, func(f *os.File) error { return writeQCOW2(f, d) })
	if err != nil {
		return fmt.Errorf("disk %s: %w", d.Path, err)
	}
	return flush(filepath.Dir(d.Path))
}

// GrowDisk implements vm.Runtime. qemu-img refuses a file that a running QEMU holds. It is told of no base, which may not be there
// yet: a base is never longer than the disk on it, so what is new is zeros.
func (r *Runtime) GrowDisk(ctx context.Context, path string, size int64) error {
	have, err := readQCOW2(path)
	if err != nil || have.size >= size {
		return err
	}
	img, err := proc.LookPath("qemu-img")
	if err != nil {
		return err
	}
	node := "json:" + object("driver", "qcow2", "file", file(path, false), "backing", nil)
	if _, err := proc.Run(ctx, proc.Spec{Path: img, Args: []string{"resize", "-q", node, fmt.Sprint(size)}, Dir: filepath.Dir(path)}); err != nil {
		return fmt.Errorf("grow disk %s: %w", path, err)
	}
	return flush(path)
}

func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type qcow2 struct {
	size int64
	base string
}

// readQCOW2 reads the header that qemu-img wrote (docs/interop/qcow2.txt in QEMU's source).
func readQCOW2(path string) (qcow2, error) {
	f, err := os.Open(path)
	if err != nil {
		return qcow2{}, err
	}
	defer f.Close()
	var h [32]byte
	if _, err := io.ReadFull(f, h[:]); err != nil || string(h[:4]) != "QFI\xfb" {
		return qcow2{}, errors.New("not a qcow2 file")
	}
	q := qcow2{size: int64(binary.BigEndian.Uint64(h[24:]))}
	if n := binary.BigEndian.Uint32(h[16:]); n > 0 && n <= 1023 {
		name := make([]byte, n)
		if _, err := f.ReadAt(name, int64(binary.BigEndian.Uint64(h[8:]))); err != nil {
			return qcow2{}, err
		}
		q.base = string(name)
	}
	return q, nil
}
