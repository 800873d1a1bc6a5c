// Package format knows the files in which disks travel: raw, VHD, VHDX, VMDK, qcow2.
//
// It owns their recognition by our own reading, the refusal of those that would read other files of this host, fill it or lie
// about themselves, the footer of a fixed VHD, and the form of the files that are written. It stores and converts nothing.
// Nothing is ever probed by QEMU: it is told the format that was recognised here.
//
//	file ── Sniff: the header ─▶ Info{Kind, Size} or *Error ── Check: every table ─▶ format/convert ──▶ raw disk
//	raw + VHDFooter(size) = what Azure takes as a fixed VHD ── CheckFixedVHD ──▶ size of the raw part
package format

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Kind is a disk format, by the name that QEMU's -f knows it.
type Kind string

// The formats that Sniff tells apart.
const (
	Raw        Kind = "raw"
	FixedVHD   Kind = "fixed-vhd" // converted here; QEMU is never asked
	DynamicVHD Kind = "vpc"
	VHDX       Kind = "vhdx"
	QCOW2      Kind = "qcow2"
	VMDK       Kind = "vmdk"
)

// MaxSize bounds virtual sizes: 64 TiB, the largest disk of Azure.
const MaxSize = 64 << 40

// Info is what a header says. Size is the virtual size in bytes.
type Info struct {
	Kind Kind
	Size int64
}

// Reason says why a file was refused; texts are for people, reasons for programs.
type Reason string

// The reasons of an Error.
const (
	Truncated     Reason = "Truncated"     // shorter than its own header says
	Damaged       Reason = "Damaged"       // a checksum or a constant is wrong
	NoFooter      Reason = "NoFooter"      // no VHD footer where one must be
	NotFixed      Reason = "NotFixed"      // a VHD, but not a fixed one
	SizeMismatch  Reason = "SizeMismatch"  // the footer's size is not the file's
	BackingFile   Reason = "BackingFile"   // it would read another file
	AbsurdSize    Reason = "AbsurdSize"    // virtual size zero, negative, unaligned or beyond MaxSize
	Unsupported   Reason = "Unsupported"   // a feature that is not taken
	ConvertFailed Reason = "ConvertFailed" // qemu-img could not read it, or exceeded its limits
	OutOfFile     Reason = "OutOfFile"     // a table speaks of places outside the file
	Overlap       Reason = "Overlap"       // two things lie in one place, or a table in itself
	NeedsReplay   Reason = "NeedsReplay"   // a log holds changes that are not in their place yet
	Encrypted     Reason = "Encrypted"     // the disk is encrypted in the file
	Snapshots     Reason = "Snapshots"     // it holds further states of the disk
	Bomb          Reason = "Bomb"          // it grows beyond all proportion
	Archive       Reason = "Archive"       // a file of files, or packed in a way that is not taken
	NotRegular    Reason = "NotRegular"    // no plain file: a link, pipe, device or folder
)

// Error is a fault of the file, for whoever sent it.
type Error struct {
	Reason Reason
	Text   string
	Err    error // the cause, for the log
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Text }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func fault(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Text: fmt.Sprintf(format, args...)}
}

// Sniff recognises the file in r, size bytes long, and refuses what must not be opened. What has no known header is raw.
func Sniff(r io.ReaderAt, size int64) (Info, error) {
	head := make([]byte, min(size, 4096))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return Info{}, fmt.Errorf("read header: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return sniffQCOW2(head)
	case bytes.HasPrefix(head, []byte("vhdxfile")):
		x, err := openVHDX(r, size)
		return Info{VHDX, x.size}, err
	case bytes.HasPrefix(head, []byte("KDMV")):
		x, err := openVMDK(r, head, size)
		return Info{VMDK, x.size()}, err
	case bytes.HasPrefix(head, []byte("COWD")):
		return Info{}, fault(Unsupported, "VMDK of ESX 2 (COWD) is not supported")
	case isDescriptor(head):
		return Info{}, fault(BackingFile, "a VMDK descriptor only names other files; send a monolithic sparse VMDK")
	case bytes.HasPrefix(head, []byte(vhdCookie)):
		return sniffDynamicVHD(r, head, size)
	}
	if name, reason := stranger(head); name != "" {
		return Info{}, fault(reason, "%s", name)
	}
	if f, err := readFooter(r, size); err == nil && string(f[:8]) == vhdCookie {
		raw, err := CheckFixedVHD(r, size)
		return Info{FixedVHD, raw}, err
	}
	return Info{Raw, size}, checkSize(uint64(size))
}

// Check is Sniff, and reads every table of the file besides: all that they name must lie in the file, once. It reads no
// content, so that it takes as long as the tables are large; ctx ends it.
func Check(ctx context.Context, r io.ReaderAt, size int64) (Info, error) {
	info, err := Sniff(r, size)
	if err != nil {
		return info, err
	}
	switch info.Kind {
	case QCOW2:
		err = checkQCOW2(ctx, r, size)
	case VHDX:
		err = checkVHDX(ctx, r, size)
	case VMDK:
		err = checkVMDK(ctx, r, size)
	case DynamicVHD:
		err = checkDynamicVHD(ctx, r, size)
	}
	return info, err
}

// stranger names what must not be taken for a raw disk.
func stranger(head []byte) (string, Reason) {
	for _, s := range []struct {
		at     int
		magic  string
		reason Reason
		name   string
	}{
		{0, "LUKS\xba\xbe", Encrypted, "the disk is encrypted with LUKS; decrypt it first (cryptsetup, or qemu-img convert)"},
		{0, "QED\x00", Unsupported, "QED disks are not supported"},
		{0x40, "\x7f\x10\xda\xbe", Unsupported, "VDI disks of VirtualBox are not supported"},
		{0, "WithoutFreeSpace", Unsupported, "disks of Parallels are not supported"},
		{0, "WithouFreSpacExt", Unsupported, "disks of Parallels are not supported"},
		{0, "Bochs Virtual HD Image", Unsupported, "disks of Bochs are not supported"},
		{0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop", Unsupported, "cloop disks are not supported"},
		{257, "ustar", Archive, "a tar archive (an OVA is one); unpack it, and import the disk inside"},
		{0, "PK\x03\x04", Archive, "a zip archive; unpack it, and import the disk inside"},
		{0, "7z\xbc\xaf\x27\x1c", Archive, "a 7z archive; unpack it, and import the disk inside"},
		{0, "Rar!\x1a\x07", Archive, "a RAR archive; unpack it, and import the disk inside"},
		{4, "1AY&SY", Archive, "packed by bzip2; unpack it first (bunzip2)"},
		{0, "\x04\x22\x4d\x18", Archive, "packed by lz4; unpack it first (unlz4)"},
		{0, "LZIP\x01", Archive, "packed by lzip; unpack it first (lzip -d)"},
		{0, "\x1f\x8b\x08", Archive, "packed by gzip once more; unpack it first (gunzip)"},
		{0, "\xfd7zXZ\x00", Archive, "packed by xz once more; unpack it first (unxz)"},
		{0, "\x28\xb5\x2f\xfd", Archive, "packed by zstd once more; unpack it first (unzstd)"},
	} {
		if len(head) > s.at && bytes.HasPrefix(head[s.at:], []byte(s.magic)) {
			return s.name, s.reason
		}
	}
	return "", ""
}

func checkSize(size uint64) error {
	if size == 0 || size > MaxSize || size%512 != 0 {
		return fault(AbsurdSize, "a virtual size of %d bytes (whole sectors of 512 bytes, at most %d)", size, int64(MaxSize))
	}
	return nil
}

// As tells whether err is a fault of the file, and which.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
