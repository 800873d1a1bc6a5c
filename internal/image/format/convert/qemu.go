package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"vitrine/internal/image/format"
	"vitrine/internal/image/nbd"
	"vitrine/internal/proc"
	"vitrine/internal/proc/sandbox"
)

// ToRaw writes the disk in the job's source, which format.Check passed as info, sparse. A fault of the source is a
// *format.Error. Raw disks and fixed VHDs are their own raw form; they are not converted.
func ToRaw(ctx context.Context, info format.Info, j Job) error {
	l, tell := j.Limits.orDefaults(), j.Tell
	if info.Size > l.Size {
		return fault(format.AbsurdSize, nil, "a virtual size of %d bytes; at most %d are taken here", info.Size, l.Size)
	}
	if err := j.Dst.Truncate(info.Size); err != nil {
		return err
	}
	var top func(int64)
	if tell != nil {
		top = func(n int64) { tell(n, info.Size) }
	}
	out := newSink(j.Dst, j.Size, l, top)
	err := qemuImg(ctx, info, nbd.Export{Size: (j.Size + 511) &^ 511, Reader: tail{j.Source, j.Size}}, nbd.Export{Size: info.Size, Reader: j.Dst, Sink: out}, l)
	if err = deadline(ctx, firstOf(out.err, err), l); err == nil && tell != nil {
		tell(info.Size, info.Size)
	}
	return err
}

// qemuImg runs it with the two disks on sockets. It is told the format, and probes nothing.
func qemuImg(ctx context.Context, info format.Info, in, out nbd.Export, l Limits) error {
	from, to, err := newPair(in)
	if err != nil {
		return err
	}
	defer from.close()
	outFrom, outTo, err := newPair(out)
	if err != nil {
		to.Close()
		return err
	}
	defer outFrom.close()
	source := "driver=" + string(info.Kind)
	if info.Kind == format.DynamicVHD { // the footer's size, not the geometry's, is what Azure goes by
		source += ",force_size_calc=current_size"
	}
	_, err = sandbox.Run(ctx, proc.Spec{Path: "qemu-img", Files: []*os.File{to, outTo}, Limit: 64 << 10, Args: []string{"convert", "-n", "--target-is-zero",
		"-t", "writeback", "--image-opts", "--target-image-opts", source + ",file.driver=nbd,file.server.type=fd,file.server.str=3",
		"driver=raw,file.driver=nbd,file.server.type=fd,file.server.str=4"}}, sandbox.Limits{Memory: l.Memory, Time: l.Time})
	to.Close()
	outTo.Close()
	inErr, outErr := from.end(), outFrom.end()
	var exit *proc.ExitError
	if errors.As(err, &exit) {
		err = fault(format.ConvertFailed, err, "qemu-img could not convert it: %s", lastLine(exit.Stderr))
	}
	return firstOf(outErr, inErr, err)
}

// pair is our end of a socket pair on which a disk is served.
type pair struct {
	conn  net.Conn
	ended chan struct{}
	err   error // once ended
}

// newPair serves e on one end; the other one is for a process.
func newPair(e nbd.Export) (*pair, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "nbd"), os.NewFile(uintptr(fds[1]), "nbd")
	defer ours.Close() // FileConn has a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	p := &pair{conn: conn, ended: make(chan struct{})}
	go func() {
		p.err = nbd.Serve(conn, e)
		conn.Close()
		close(p.ended)
	}()
	return p, theirs, nil
}

// close ends it where something else failed already.
func (p *pair) close() {
	p.conn.Close()
	<-p.ended
}

// end closes our end and gives what failed in serving it.
func (p *pair) end() error {
	p.close()
	if errors.Is(p.err, net.ErrClosed) || errors.Is(p.err, syscall.EPIPE) || errors.Is(p.err, syscall.ECONNRESET) {
		return nil
	}
	return p.err
}

// tail reads zeros where the file has ended inside its last sector.
type tail struct {
	r    io.ReaderAt
	size int64
}

// ReadAt implements io.ReaderAt.
func (t tail) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < t.size {
		want := p[:min(int64(len(p)), t.size-off)]
		got, err := t.r.ReadAt(want, off)
		if got < len(want) {
			return got, err
		}
		n = got
	}
	clear(p[n:])
	return len(p), nil
}
