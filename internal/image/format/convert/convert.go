// Package convert makes a raw disk of whatever package format recognised: it unpacks gzip, xz and zstd, and converts by qemu-img.
//
// It owns how that is bounded. gzip and zstd are decoded by us; xz and qemu-img run in proc/sandbox, where they see no file at
// all: xz has a pipe at each end, and qemu-img reads the input and writes the output by the NBD protocol on sockets that it
// inherits, whose other ends are ours. So every byte that comes out is counted here. It keeps nothing: input and output are open files.
//
//	packed file ─▶ Unpack ─▶ sparse file ─▶ format.Check ─▶ ToRaw ─▶ sandbox{qemu-img} ─▶ Sink ─▶ sparse raw file
package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"vitrine/internal/image/format"
)

// Limits bound one conversion. The zero value of a member means the default beside it.
type Limits struct {
	Size   int64         // of the output, in bytes; default 2 TiB
	Memory int64         // address space of a program, in bytes; default 2 GiB
	Time   time.Duration // wall clock, and CPU seconds; default 2 hours
	// Growth is how many bytes that are not zero may come out for each that went in, beyond the first 256 MiB; default 256.
	// Zeros take no room and are not counted.
	Growth int64
}

func (l Limits) orDefaults() Limits {
	if l.Size == 0 {
		l.Size = 2 << 40
	}
	if l.Memory == 0 {
		l.Memory = 2 << 30
	}
	if l.Time == 0 {
		l.Time = 2 * time.Hour
	}
	if l.Growth == 0 {
		l.Growth = 256
	}
	return l
}

// Progress is told how far a conversion is, in bytes; calls do not overlap. nil: nobody is told.
type Progress func(done, total int64)

// Job is one conversion.
type Job struct {
	Source io.ReaderAt
	Size   int64    // of Source
	Dst    *os.File // empty
	Limits Limits
	Tell   Progress
}

func fault(r format.Reason, err error, text string, args ...any) *format.Error {
	return &format.Error{Reason: r, Text: fmt.Sprintf(text, args...), Err: err}
}

const (
	grain = 4096 // what is zero by these is left a hole
	grace = 256 << 20
)

// sink is a sparse file that counts what comes out.
type sink struct {
	f       *os.File
	limit   int64 // of the file's size
	allowed int64 // bytes that are not zero
	written int64
	top     int64 // where nothing was written from on
	err     error // the first failure
	tell    func(top int64)
}

func newSink(f *os.File, in int64, l Limits, tell func(int64)) *sink {
	return &sink{f: f, limit: l.Size, allowed: grace + in*l.Growth, tell: tell}
}

// WriteAt leaves out zeros where the file is a hole still.
func (s *sink) WriteAt(p []byte, off int64) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	for done := 0; done < len(p); {
		at := off + int64(done)
		b := p[done:min(len(p), done+int(grain-at%grain))]
		if err := s.piece(b, at); err != nil {
			s.err = err
			return done, err
		}
		done += len(b)
	}
	if s.tell != nil {
		s.tell(s.top)
	}
	return len(p), nil
}

func (s *sink) piece(b []byte, at int64) error {
	end := at + int64(len(b))
	if end > s.limit {
		return fault(format.AbsurdSize, nil, "more than %d bytes came out", s.limit)
	}
	if at >= s.top && blank(b) {
		s.top = max(s.top, end)
		return nil
	}
	if s.written += int64(len(b)); s.written > s.allowed {
		return fault(format.Bomb, nil, "more than %d bytes that are not zero came out, which is beyond all proportion to the file", s.allowed)
	}
	s.top = max(s.top, end)
	_, err := s.f.WriteAt(b, at)
	return err
}

// Zero is WriteAt of zeros.
func (s *sink) Zero(off, n int64) error {
	var zeros [1 << 16]byte
	if off >= s.top { // a hole, and stays one
		if s.err == nil {
			s.top = off + n
		}
		return s.err
	}
	for n > 0 {
		part := zeros[:min(n, int64(len(zeros)))]
		if _, err := s.WriteAt(part, off); err != nil {
			return err
		}
		off, n = off+int64(len(part)), n-int64(len(part))
	}
	return nil
}

func blank(b []byte) bool {
	var zeros [grain]byte
	return string(b) == string(zeros[:len(b)])
}

// stream writes one piece after the other.
type stream struct {
	ctx context.Context
	*sink
	at int64
}

func (s *stream) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.WriteAt(p, s.at)
	s.at += int64(n)
	return n, err
}

// counting tells how much was read.
type counting struct {
	r    io.Reader
	done int64
	tell func(done int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done)
	}
	return n, err
}

// firstOf picks the failure that explains the others.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if _, ok := format.As(err); ok {
			return err
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// deadline words the end of the time that a conversion may take; ctx is the one from outside.
func deadline(ctx context.Context, err error, l Limits) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fault(format.ConvertFailed, err, "it took more than %v", l.Time)
	}
	return err
}
