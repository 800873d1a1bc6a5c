package convert

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"vitrine/internal/image/format"
	"vitrine/internal/proc"
	"vitrine/internal/proc/sandbox"
)

// Method is how a file is packed.
type Method string

// The methods that are taken.
const (
	None Method = ""
	Gzip Method = "gzip"
	XZ   Method = "xz"
	Zstd Method = "zstd"
)

// Packed recognises the method by the first bytes of a file.
func Packed(head []byte) Method {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return Gzip
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return XZ
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return Zstd
	}
	return None
}

// maxWindow is how far back zstd may refer, in bytes of memory; zstd's own default is the same.
const maxWindow = 128 << 20

// Unpack writes what is packed in the job's source, and returns how much came out. A fault of the source is a *format.Error.
func Unpack(ctx context.Context, m Method, j Job) (int64, error) {
	l := j.Limits.orDefaults()
	in := &counting{r: io.NewSectionReader(j.Source, 0, j.Size)}
	if j.Tell != nil {
		in.tell = func(done int64) { j.Tell(done, j.Size) }
	}
	bounded, cancel := context.WithTimeout(ctx, l.Time)
	defer cancel()
	out := &stream{ctx: bounded, sink: newSink(j.Dst, j.Size, l, nil)}
	var err error
	switch m {
	case Gzip:
		err = ungzip(in, out)
	case Zstd:
		err = unzstd(in, out)
	case XZ:
		err = unxz(ctx, in, out, l)
	default:
		err = errors.New("convert: the file is not packed")
	}
	if err := deadline(ctx, firstOf(out.err, err), l); err != nil {
		return 0, err
	}
	return out.at, j.Dst.Truncate(out.at)
}

func ungzip(in io.Reader, out io.Writer) error {
	z, err := gzip.NewReader(bufio.NewReaderSize(in, 1<<20))
	if err == nil {
		_, err = io.Copy(out, z)
	}
	return packedFault(Gzip, err)
}

func unzstd(in io.Reader, out io.Writer) error {
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	_, err = io.Copy(out, struct{ io.Reader }{z})
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return fault(format.Unsupported, err, "packed by zstd with a window of more than %d MiB (--long); pack it again without", maxWindow>>20)
	}
	return packedFault(Zstd, err)
}

// packedFault tells what is wrong with a packed file from what is wrong with us.
func packedFault(m Method, err error) error {
	var ours *os.PathError
	switch {
	case err == nil, errors.As(err, &ours), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault(format.Truncated, err, "the %s file ends too early", m)
	}
	return fault(format.Damaged, err, "the %s file does not unpack: %v", m, err)
}

// unxz runs xz, which Debian has in every installation, in the sandbox.
func unxz(ctx context.Context, in io.Reader, out io.Writer, l Limits) error {
	_, err := sandbox.Run(ctx, proc.Spec{Path: "xz", Stdin: in, Stdout: out, Limit: 4096,
		Args: []string{"--decompress", "--stdout", "--format=xz", "--threads=1", "--memlimit-decompress=512MiB"}}, sandbox.Limits{Memory: l.Memory, Time: l.Time})
	var exit *proc.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	switch {
	case strings.Contains(exit.Stderr, "Unexpected end of input"):
		return fault(format.Truncated, err, "the xz file ends too early")
	case strings.Contains(exit.Stderr, "Memory usage limit"):
		return fault(format.Unsupported, err, "the xz file needs more than 512 MiB of memory to unpack")
	}
	return fault(format.Damaged, err, "the xz file does not unpack: %s", lastLine(exit.Stderr))
}

// lastLine is what a program said last, fit to be shown.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}
