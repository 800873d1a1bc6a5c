package format

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"vitrine/internal/proc"
)

// Limits bound one conversion. The zero value of a member means the default beside it.
type Limits struct {
	Size   int64         // virtual size and written file, in bytes; default 2 TiB
	Memory int64         // address space of qemu-img, in bytes; default 2 GiB
	Time   time.Duration // wall clock, and CPU seconds; default 30 minutes
}

func (l Limits) orDefaults() Limits {
	if l.Size == 0 {
		l.Size = 2 << 40
	}
	if l.Memory == 0 {
		l.Memory = 2 << 30
	}
	if l.Time == 0 {
		l.Time = 30 * time.Minute
	}
	return l
}

// Convert writes the disk in the file src as raw to the new file dst, which is removed again when it fails. A fault of
// src is an *Error. A raw file and a fixed VHD are copied by us; of other formats qemu-img, told which one, reads
// nothing but src, with bounds on its memory, time and output, without our environment, and where bubblewrap is
// installed with no network and no other file in sight.
func Convert(ctx context.Context, src, dst string, l Limits) (Info, error) {
	l = l.orDefaults()
	info, err := sniffFile(src)
	if err != nil {
		return info, err
	}
	if info.Size > l.Size {
		return info, fault(AbsurdSize, "a virtual size of %d bytes; at most %d are taken here", info.Size, l.Size)
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return info, err
	}
	if info.Kind == Raw || info.Kind == FixedVHD {
		err = errors.Join(copyRaw(ctx, src, out, info.Size), out.Close())
	} else {
		err = errors.Join(out.Close(), qemuConvert(ctx, info, src, dst, l))
	}
	if err == nil {
		info.Size, err = checkOutput(dst, info, l)
	}
	if err != nil {
		os.Remove(dst)
	}
	return info, err
}

func sniffFile(src string) (Info, error) {
	f, err := os.Open(src)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	if !st.Mode().IsRegular() {
		return Info{}, fault(Unsupported, "not a regular file")
	}
	return Sniff(f, st.Size())
}

// copyRaw copies, leaving out blocks of zeros.
func copyRaw(ctx context.Context, src string, out *os.File, size int64) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := out.Truncate(size); err != nil {
		return err
	}
	buffer, blank := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); at < size; at += int64(len(buffer)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buffer[:min(int64(len(buffer)), size-at)]
		if n, err := in.ReadAt(b, at); n < len(b) {
			return &Error{Truncated, "the file became shorter while it was read", err}
		}
		if string(b) == string(blank[:len(b)]) {
			continue
		}
		if _, err := out.WriteAt(b, at); err != nil {
			return err
		}
	}
	return nil
}

func qemuConvert(ctx context.Context, info Info, src, dst string, l Limits) error {
	img, err := proc.LookPath("qemu-img")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.Time)
	defer cancel()
	if src, err = filepath.Abs(src); err != nil {
		return err
	}
	if dst, err = filepath.Abs(dst); err != nil {
		return err
	}
	spec := sandbox(src, dst, l)
	// Image options by JSON, so that no part of a path is read as an option or protocol; the file driver alone is named.
	in, err := json.Marshal(map[string]any{"driver": info.Kind, "read-only": true,
		"file": map[string]any{"driver": "file", "filename": src}})
	if err != nil {
		return err
	}
	if info.Kind == DynamicVHD { // the footer's size, not the geometry's, is what Azure goes by
		in = append(in[:len(in)-1], `,"force_size_calc":"current_size"}`...)
	}
	spec.Args = append(spec.Args, img, "convert", "-t", "writeback", "-O", "raw", "json:"+string(in), "file:"+dst)
	_, err = proc.Run(ctx, spec)
	var exit *proc.ExitError
	switch {
	case errors.As(err, &exit):
		return &Error{ConvertFailed, "qemu-img could not convert it within its limits", err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{ConvertFailed, fmt.Sprintf("the conversion took more than %v", l.Time), err}
	}
	return err
}

// sandbox gives the command line up to qemu-img's own. prlimit is part of util-linux, essential on Debian.
func sandbox(src, dst string, l Limits) proc.Spec {
	s := proc.Spec{Path: "prlimit", Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, Limit: 64 << 10}
	s.Args = []string{
		"--as=" + strconv.FormatInt(l.Memory, 10), "--fsize=" + strconv.FormatInt(l.Size, 10),
		"--cpu=" + strconv.FormatInt(int64(l.Time/time.Second)+1, 10), "--core=0", "--nofile=64", "--",
	}
	if bwrap, err := proc.LookPath("bwrap"); err == nil {
		s.Args = append(s.Args, bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
			"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
			"--symlink", "usr/lib64", "/lib64", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
			"--proc", "/proc", "--dev", "/dev", "--ro-bind", src, src, "--bind", dst, dst, "--")
	}
	return s
}

// checkOutput makes sure that what came out is what the header promised.
func checkOutput(dst string, info Info, l Limits) (int64, error) {
	f, err := os.OpenFile(dst, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	switch {
	case size > l.Size:
		return 0, fault(AbsurdSize, "it became %d bytes; at most %d are taken here", size, l.Size)
	case info.Size != 0 && size != info.Size:
		return 0, fault(SizeMismatch, "the header promised %d bytes, %d came out", info.Size, size)
	}
	return size, checkSize(uint64(size))
}
