// Package source gives the raw disk in a file, a stream or a web address, for an import.
//
// It owns how the bytes are fetched and kept meanwhile, and what is said about those that are no disk. It does not know what is done
// with the disk. A file is read where it is; a stream and whatever has to be unpacked or converted lie in files without a name, so that a
// run that is killed leaves nothing; a download alone lies in a folder, so that it goes on where it was cut off.
//
//	FILE, - or URL ─▶ Open ─▶ Source{Identity} ─▶ Fit: unpack, check ─▶ Disk: convert ─▶ io.ReaderAt, whole MiB
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/image/extent"
	"vitrine/internal/image/format"
	"vitrine/internal/image/format/convert"
)

// Report is told how it goes on.
type Report interface {
	Say(line string)                      // something begins or is done
	Bytes(what string, done, total int64) // an amount that grows
}

// Config says where the bytes come from.
type Config struct {
	Name   string    // a path, "-" for In, or an https address
	In     io.Reader // standard input
	SHA256 string    // of the bytes as they come, in hexadecimal; empty: not compared
	Cache  string    // folder of unfinished downloads
	Report Report
	Limits convert.Limits
	Fetch  Fetch
}

// Source is the bytes, fetched.
type Source struct {
	Config
	file     *os.File // the bytes as they came
	size     int64
	began    os.FileInfo // of file, when it was read for its digest
	identity string
	forget   func() // removes what a download keeps

	disk     *os.File // unpacked; file itself where it was not packed
	diskSize int64
	info     format.Info
}

// Open fetches the bytes and names them.
func Open(ctx context.Context, cfg Config) (*Source, error) {
	s := &Source{Config: cfg, forget: func() {}}
	var err error
	switch {
	case cfg.Name == "-":
		err = s.standardInput(ctx)
	case strings.Contains(cfg.Name, "://"):
		err = s.download(ctx)
	default:
		s.file, err = openFile(cfg.Name)
	}
	if err == nil {
		err = s.digest(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Title is how the source is called in messages: without the query of an address, which may be a secret.
func (s *Source) Title() string {
	switch {
	case s.Name == "-":
		return "standard input"
	case strings.Contains(s.Name, "://"):
		return bare(s.Name)
	}
	return s.Name
}

// Identity is a digest of the bytes as they came: sha256 of them all, or, of a file with much more holes than that is worth, a digest
// in which zeros cost nothing.
func (s *Source) Identity() string { return s.identity }

// Close forgets everything but an unfinished download.
func (s *Source) Close() {
	if s.disk != nil && s.disk != s.file {
		s.disk.Close()
	}
	if s.file != nil {
		s.file.Close()
	}
}

// Done says that the bytes are not needed again: what a download kept is removed.
func (s *Source) Done() { s.forget() }

// Unchanged says whether a file still is what its digest was made of.
func (s *Source) Unchanged() error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	if st.Size() != s.began.Size() || !st.ModTime().Equal(s.began.ModTime()) {
		return fmt.Errorf("%s was changed while it was imported; run the command again once it is whole", s.Title())
	}
	return nil
}

// openFile opens a regular file alone, and not through a link: what is checked must be what was named. To open a pipe
// would wait for its other end, which no signal cuts short.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		to, _ := filepath.EvalSymlinks(path) // empty: it leads nowhere
		return nil, notRegular("%s is a symbolic link; name the file itself (%s)", path, to)
	}
	if errors.Is(err, syscall.ENXIO) {
		return nil, notRegular("%s is not a regular file; sockets cannot be imported", path)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = notRegular("%s is not a regular file; pipes and devices cannot be imported as a file: send what they hold to standard input, and name it -", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func notRegular(text string, args ...any) error {
	bad := &format.Error{Reason: format.NotRegular, Text: fmt.Sprintf(text, args...)}
	return &Unfit{bad, bad.Text}
}

// standardInput takes a file that was redirected as it is, and keeps a copy of anything else.
func (s *Source) standardInput(ctx context.Context) error {
	if f, ok := s.In.(*os.File); ok {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if st.Mode().IsRegular() && err == nil && at == 0 {
			fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
			s.file = os.NewFile(uintptr(fd), "standard input")
			return err
		}
	}
	var err error
	if s.file, err = scratch(); err != nil {
		return err
	}
	limit := limitOf(s.Limits)
	n, err := io.Copy(s.file, io.LimitReader(&watched{ctx: ctx, r: s.In, tell: func(n int64) { s.Report.Bytes("Reading", n, 0) }}, limit+1))
	switch {
	case err != nil:
		return fmt.Errorf("standard input: %w", err)
	case n == 0:
		return errors.New("standard input is empty")
	case n > limit:
		return fmt.Errorf("standard input has more than %d bytes", limit)
	}
	return nil
}

func limitOf(l convert.Limits) int64 {
	if l.Size == 0 {
		return 2 << 40
	}
	return l.Size
}

// watched reads until its context ends, which a reader that waits is not told otherwise.
type watched struct {
	ctx  context.Context
	r    io.Reader
	done int64
	tell func(done int64)
}

// Read leaves a read that waits to itself when the context ends; the program is about to end then.
func (w *watched) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	c := make(chan result, 1)
	own := make([]byte, len(p)) // p must not be written once this returns
	go func() {
		n, err := w.r.Read(own)
		c <- result{n, err}
	}()
	select {
	case r := <-c:
		copy(p, own[:r.n])
		w.done += int64(r.n)
		w.tell(w.done)
		return r.n, r.err
	case <-w.ctx.Done():
		return 0, w.ctx.Err()
	}
}

// scratch is a file without a name: whatever ends the program removes it. It lies in $TMPDIR, else in /var/tmp: /tmp is often memory.
func scratch() (*os.File, error) {
	dir := os.Getenv("TMPDIR")
	if dir == "" {
		dir = "/var/tmp"
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "vitrine-import")), nil
	}
	f, err := os.CreateTemp(dir, "vitrine-import-") // a file system that has no files without a name
	if err != nil {
		return nil, fmt.Errorf("a file for what is unpacked or converted (TMPDIR names another folder): %w", err)
	}
	return f, os.Remove(f.Name())
}

// Fit unpacks the disk and refuses what is none. What was downloaded and is refused is removed.
func (s *Source) Fit(ctx context.Context) error {
	if s.disk != nil {
		return nil
	}
	err := s.fit(ctx)
	if _, bad := format.As(err); bad {
		s.forget()
	}
	return s.unfit(err)
}

func (s *Source) fit(ctx context.Context) (err error) {
	head := make([]byte, min(s.size, 16))
	if n, err := s.file.ReadAt(head, 0); n < len(head) {
		return err
	}
	disk, size := s.file, s.size
	if m := convert.Packed(head); m != convert.None {
		s.Report.Say(fmt.Sprintf("Unpacking %s (%s).", filepath.Base(s.Title()), m))
		if disk, err = scratch(); err != nil {
			return err
		}
		size, err = convert.Unpack(ctx, m, convert.Job{Source: s.file, Size: s.size, Dst: disk, Limits: s.Limits, Tell: s.meter("Unpacking")})
	}
	if err == nil {
		s.info, err = format.Check(ctx, disk, size)
	}
	if err != nil {
		if disk != s.file {
			disk.Close()
		}
		return err
	}
	s.disk, s.diskSize = disk, size
	return nil
}

func (s *Source) meter(what string) convert.Progress {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); done == total || now.Sub(last) > time.Second/10 {
			last = now
			s.Report.Bytes(what, done, total)
		}
	}
}

// WholeSize is what Azure takes disks in.
const WholeSize = 1 << 20

// Disk gives the raw disk, converted if need be, and its size in whole MiB; what is beyond the file reads as zeros. It is
// good until Close.
func (s *Source) Disk(ctx context.Context) (io.ReaderAt, int64, error) {
	if err := s.Fit(ctx); err != nil {
		return nil, 0, err
	}
	disk := s.disk
	if s.info.Kind != format.Raw && s.info.Kind != format.FixedVHD {
		s.Report.Say(fmt.Sprintf("Converting %s from %s to raw.", filepath.Base(s.Title()), s.info.Kind))
		raw, err := scratch()
		if err != nil {
			return nil, 0, err
		}
		if err := convert.ToRaw(ctx, s.info, convert.Job{Source: s.disk, Size: s.diskSize, Dst: raw, Limits: s.Limits, Tell: s.meter("Converting")}); err != nil {
			raw.Close()
			if _, bad := format.As(err); bad {
				s.forget()
			}
			return nil, 0, s.unfit(err)
		}
		if s.disk != s.file {
			s.disk.Close()
		}
		disk, s.disk, s.diskSize, s.info.Kind = raw, raw, s.info.Size, format.Raw
	}
	return zeroTail{disk, s.info.Size}, (s.info.Size + WholeSize - 1) / WholeSize * WholeSize, nil
}

// zeroTail reads zeros where r has ended.
type zeroTail struct {
	r    io.ReaderAt
	size int64
}

// NextData tells where a file has holes.
func (z zeroTail) NextData(off int64) (extent.Range, error) {
	if f, ok := z.r.(*os.File); ok {
		return extent.Seek(f, off)
	}
	return extent.Range{Start: off, End: z.size}, nil
}

// ReadAt implements io.ReaderAt.
func (z zeroTail) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < z.size {
		want := p[:min(int64(len(p)), z.size-off)]
		got, err := z.r.ReadAt(want, off)
		if got < len(want) {
			return got, err
		}
		n = got
	}
	clear(p[n:])
	return len(p), nil
}

// unfit words what is wrong with the bytes for whoever sent them.
func (s *Source) unfit(err error) error {
	bad, ok := format.As(err)
	if !ok {
		return err
	}
	return &Unfit{bad, fmt.Sprintf("%s cannot be imported: %s", s.Title(), remedy(bad))}
}

// Unfit is what is told of bytes that are no disk, or none that is taken.
type Unfit struct {
	Fault *format.Error
	text  string
}

func (u *Unfit) Error() string { return u.text }

// Unwrap gives the fault.
func (u *Unfit) Unwrap() error { return u.Fault }

func remedy(bad *format.Error) string {
	switch bad.Reason {
	case format.AbsurdSize:
		return "a disk is a whole number of sectors of 512 bytes, not empty and at most 64 TiB large. Was it copied as a whole? (" + bad.Text + ".) " +
			"A raw disk that lacks a part of its last sector is filled up by: truncate --size=%512 FILE"
	case format.Truncated, format.OutOfFile:
		return "it ends too early (" + bad.Text + "). Copy it again."
	case format.Damaged, format.SizeMismatch, format.NoFooter, format.Overlap:
		return "it is damaged (" + bad.Text + "). Copy it again, or make it anew by qemu-img convert."
	case format.BackingFile:
		return "it does not hold the whole disk (" + bad.Text + "). Make one file of all by: qemu-img convert -O qcow2 FILE WHOLE.qcow2"
	case format.Unsupported, format.NotFixed, format.Snapshots:
		return "it has a form that is not supported (" + bad.Text + "). Convert it by: qemu-img convert -O raw FILE DISK.raw"
	case format.Encrypted, format.Archive, format.NeedsReplay, format.Bomb:
		return bad.Text + "."
	}
	return bad.Text + ". Check the file by: qemu-img info FILE"
}
