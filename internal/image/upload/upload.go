// Package upload keeps the sparse files that clients write disks and page blobs into.
//
// It owns the folder, and who may write a file when: any number of writers, none while it is packed and after. What the
// bytes are, and where they go from here, is the image store's to know:
//
//	CreateUpload ─▶ sparse file ◀─ Upload: WriteAt, Clear        Shut ─▶ pack ─▶ RemoveUpload
package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/image/chunk"
	"vitrine/internal/image/extent"
)

const page = 512 // what a page blob is written in

// ErrUpload is an upload that does not exist, or that is finished.
var ErrUpload = errors.New("image: no such upload")

// Store is a folder of uploads.
type Store struct {
	dir   string
	half  string // where files lie that are not complete
	gates gates
}

// New uses the folders dir and half, on one file system; the caller has made dir.
func New(dir, half string) *Store { return &Store{dir: dir, half: half} }

// KeptPrefix begins the names of uploads that are kept: page blobs of storage accounts. The rest are disks being uploaded.
const KeptPrefix = "blob-"

// Info describes an upload.
type Info struct {
	ID       string
	Size     int64 // bytes on the wire, a VHD's footer included
	Modified time.Time
}

// CreateUpload makes a sparse file of zeros for a client to write into; one that exists with this size stays as it is.
// It may be written from then on, also after a FinishUpload. Of a disk uploaded as a fixed VHD, size is the disk's plus
// format.FooterSize. *TooLarge when the file system refuses it.
func (s *Store) CreateUpload(id string, size int64) error {
	if err := errors.Join(chunk.CheckName("upload", id), chunk.CheckSize(size)); err != nil {
		return err
	}
	if err := s.gates.of(id).reopen(); err != nil {
		return err
	}
	if st, err := os.Lstat(s.uploadPath(id)); err == nil {
		if st.Size() != size {
			return fmt.Errorf("%w: upload %s exists with %d bytes, not %d", chunk.ErrInvalid, id, st.Size(), size)
		}
		return nil
	}
	if err := os.MkdirAll(s.half, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.half, "upload-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Truncate(size); err != nil {
		return errors.Join(tooLarge(f, err), f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("create upload: %w", err)
	}
	if err := os.Rename(f.Name(), s.uploadPath(id)); err != nil {
		return fmt.Errorf("create upload: %w", err)
	}
	return syncDir(s.dir)
}

// TooLarge says that an upload does not fit into a file of this host.
type TooLarge struct {
	Limit int64 // bytes of the largest file that does, in whole GiB
	Cause error
}

// Error implements error.
func (e *TooLarge) Error() string {
	return fmt.Sprintf("a file may have %d bytes at most here: %v", e.Limit, e.Cause)
}

// Unwrap gives the cause.
func (e *TooLarge) Unwrap() error { return e.Cause }

// tooLarge makes of a refused size an error that names the largest one, found by trying: file systems do not tell.
func tooLarge(f *os.File, err error) error {
	if !errors.Is(err, unix.EFBIG) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("create upload: %w", err)
	}
	n := sort.Search(chunk.MaxSize>>30, func(n int) bool { return f.Truncate(int64(n+1)<<30) != nil })
	return &TooLarge{Limit: int64(n) << 30, Cause: err}
}

func (s *Store) uploadPath(id string) string { return filepath.Join(s.dir, id) }

// OpenUpload opens one for reading and writing; ErrUpload. Close it.
func (s *Store) OpenUpload(id string) (*Upload, error) {
	if err := chunk.CheckName("upload", id); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.uploadPath(id), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrUpload, id)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Upload{f: f, size: st.Size(), gate: s.gates.of(id)}, nil
}

// HoldUpload opens one for reading: until it is closed, nobody can write it, and whoever wrote has ended. ErrUpload.
func (s *Store) HoldUpload(id string) (*Upload, error) {
	u, err := s.OpenUpload(id)
	if err == nil {
		u.gate.hold(1)
		u.held.Store(true)
	}
	return u, err
}

// RemoveUpload removes one; one that does not exist is no error.
func (s *Store) RemoveUpload(id string) error {
	if err := chunk.CheckName("upload", id); err != nil {
		return err
	}
	if err := os.Remove(s.uploadPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.gates.forget(id) // not before: one who comes between would write to a file that goes
	return nil
}

// Uploads lists all of them, so that the abandoned ones can be removed.
func (s *Store) Uploads() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Info{e.Name(), st.Size(), st.ModTime()})
	}
	return list, nil
}

// Shut lets nobody write the upload any more, also who has it open, and waits for who is writing. Call end afterwards:
// with again, it may be written as before; else only after the next CreateUpload.
func (u *Upload) Shut() (end func(again bool)) {
	u.gate.close()
	return u.gate.packed
}

// Upload is an open upload. It may be used by many goroutines.
type Upload struct {
	f    *os.File
	size int64
	gate *gate
	held atomic.Bool // closing lets the writers in
}

// Size in bytes on the wire.
func (u *Upload) Size() int64 { return u.size }

// ReadAt implements io.ReaderAt.
func (u *Upload) ReadAt(p []byte, off int64) (int, error) { return u.f.ReadAt(p, off) }

// WriteAt writes whole pages of 512 bytes inside the size. They last a crash of the machine after Sync. ErrUpload once
// the upload is finished.
func (u *Upload) WriteAt(p []byte, off int64) (n int, err error) {
	if err := u.checkPages(off, int64(len(p))); err != nil {
		return 0, err
	}
	err = u.gate.pass(func() (err error) { n, err = u.f.WriteAt(p, off); return err })
	return n, err
}

// WriteIf writes like WriteAt if may, asked while the upload cannot be finished, has no objection.
func (u *Upload) WriteIf(may func() error, p []byte, off int64) error {
	if err := u.checkPages(off, int64(len(p))); err != nil {
		return err
	}
	return u.gate.pass(func() error {
		if err := may(); err != nil {
			return err
		}
		_, err := u.f.WriteAt(p, off)
		return err
	})
}

// Clear makes whole pages zero. ErrUpload once the upload is finished.
func (u *Upload) Clear(off, n int64) error { return u.ClearIf(func() error { return nil }, off, n) }

// ClearIf clears if may, asked while the upload cannot be finished, has no objection.
func (u *Upload) ClearIf(may func() error, off, n int64) error {
	if err := u.checkPages(off, n); err != nil {
		return err
	}
	return u.gate.pass(func() error {
		if err := may(); err != nil {
			return err
		}
		return u.punch(off, n)
	})
}

func (u *Upload) punch(off, n int64) error {
	err := unix.Fallocate(int(u.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = io.Copy(io.NewOffsetWriter(u.f, off), io.LimitReader(zeros{}, n))
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (u *Upload) checkPages(off, n int64) error {
	if off < 0 || n <= 0 || off%page != 0 || n%page != 0 || off > u.size || n > u.size-off {
		return fmt.Errorf("%w: %d bytes at %d of an upload of %d (pages are of 512)", chunk.ErrInvalid, n, off, u.size)
	}
	return nil
}

// Sync waits until all that was written is on the disk.
func (u *Upload) Sync() error { return u.f.Sync() }

// Close releases it.
func (u *Upload) Close() error {
	if u.held.Swap(false) {
		u.gate.hold(-1)
	}
	return u.f.Close()
}

// Modified is when it was last written.
func (u *Upload) Modified() (time.Time, error) {
	st, err := u.f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// Touch sets when it was last written: a file system's own clock may stand still between two writes.
func (u *Upload) Touch(t time.Time) error {
	v := unix.NsecToTimeval(t.UnixNano())
	return unix.Futimes(int(u.f.Fd()), []unix.Timeval{v, v})
}

// NextData implements Sparse, as exact as the file system is.
func (u *Upload) NextData(off int64) (extent.Range, error) { return extent.Seek(u.f, off) }

// Ranges lists the pages inside [off, off+n) that are not zero, neighbours merged. It looks at the bytes: a client
// that resumes must not be told that a block holds what only its neighbour in the same file system block got.
func (u *Upload) Ranges(ctx context.Context, off, n int64) ([]extent.Range, error) {
	data, err := extent.List(u, off, n)
	if err != nil {
		return nil, err
	}
	var list []extent.Range
	buffer := make([]byte, 1<<20)
	for _, d := range data {
		d.Start = d.Start / page * page
		for d.Start < d.End {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			got, err := u.f.ReadAt(buffer[:min(int64(len(buffer)), d.End-d.Start)], d.Start)
			if got == 0 {
				return nil, err
			}
			list = appendPages(list, buffer[:got], d.Start)
			d.Start += int64(got)
		}
	}
	return list, nil
}

// appendPages adds the pages of b, which lies at offset at, that are not zero.
func appendPages(list []extent.Range, b []byte, at int64) []extent.Range {
	var blank [page]byte
	for ; len(b) > 0; at += page {
		n := min(page, len(b))
		if !bytes.Equal(b[:n], blank[:n]) {
			if k := len(list); k > 0 && list[k-1].End == at {
				list[k-1].End = at + int64(n)
			} else {
				list = append(list, extent.Range{Start: at, End: at + int64(n)})
			}
		}
		b = b[n:]
	}
	return list
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
