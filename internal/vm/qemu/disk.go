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

// CreateDisk implements vm.Runtime by qemu-img, with the base's format always named.
func (r *Runtime) CreateDisk(ctx context.Context, d vm.NewDisk) error {
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
	return createQCOW2(ctx, d)
}

func createQCOW2(ctx context.Context, d vm.NewDisk) error {
	img, err := proc.LookPath("qemu-img")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(d.Path), ".disk-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "new.qcow2")
	args := []string{"create", "-q", "-f", "qcow2"}
	if d.Base != "" {
		args = append(args, "-b", d.Base, "-F", string(d.BaseFormat))
	}
	args = append(args, tmp)
	if d.Size > 0 {
		args = append(args, fmt.Sprint(d.Size))
	}
	if _, err := proc.Run(ctx, proc.Spec{Path: img, Args: args, Dir: dir}); err != nil {
		return fmt.Errorf("disk %s: %w", d.Path, err)
	}
	if err := flush(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, d.Path); err != nil {
		return err
	}
	return flush(filepath.Dir(d.Path))
}

// GrowDisk implements vm.Runtime. qemu-img refuses a file that a running QEMU holds.
func (r *Runtime) GrowDisk(ctx context.Context, path string, size int64) error {
	have, err := readQCOW2(path)
	if err != nil || have.size >= size {
		return err
	}
	img, err := proc.LookPath("qemu-img")
	if err != nil {
		return err
	}
	if _, err := proc.Run(ctx, proc.Spec{Path: img, Args: []string{"resize", "-q", "-f", "qcow2", path, fmt.Sprint(size)}, Dir: filepath.Dir(path)}); err != nil {
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
