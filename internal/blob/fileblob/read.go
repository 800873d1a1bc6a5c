package fileblob

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
)

// Get implements blob.Driver.
func (d *driver) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return d.read(ctx, key, offset, length, nil)
}

// Fill implements blob.Filler.
func (d *driver) Fill(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error) {
	return d.read(ctx, key, offset, length, dst)
}

// read asks the system itself: an os.File costs five more calls than the four that are needed, and objects are small.
func (d *driver) read(ctx context.Context, key string, offset, length int64, dst []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := again(func() (int, error) { return unix.Open(d.path(key), unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, absent(key, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%w: %q", blob.ErrNotFound, key)
	}
	if length < 0 {
		length = st.Size - offset
	}
	if offset > st.Size || length > st.Size-offset {
		return nil, fmt.Errorf("%w: %d bytes from %d of %q, which has %d", blob.ErrRange, length, offset, key, st.Size)
	}
	if length > blob.MaxObject {
		return nil, fmt.Errorf("%w: %q", blob.ErrTooLarge, key)
	}
	if int64(cap(dst)) < length || dst == nil {
		dst = make([]byte, length)
	}
	if err := readFull(fd, dst[:length], offset); err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return dst[:length], nil
}

func readFull(fd int, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := again(func() (int, error) { return unix.Pread(fd, p, offset) })
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// again repeats what a signal interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR { //nolint:errorlint // it is the system's own word
			return n, err
		}
	}
}
