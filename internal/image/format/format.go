// Package format knows the files in which disks travel: raw, VHD, VHDX, VMDK, qcow2.
//
// It owns their recognition by our own reading of the header, the refusal of those that would read other files of this
// host or fill it, the footer of a fixed VHD, and the conversion to raw by qemu-img. It does not store anything. Nothing
// is ever probed by QEMU: it is told the format that was recognised here.
//
//	file ── Sniff ──▶ Info{Kind, Size} or *Error ── Convert ──▶ raw file
//	raw + VHDFooter(size) = what Azure takes as a fixed VHD ── CheckFixedVHD ──▶ size of the raw part
package format

import (
	"bytes"
	"encoding/binary"
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

// Info is what a header says. Size is the virtual size in bytes; 0 for VHDX, whose size lies deeper than its header.
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
		return sniffVHDX(size)
	case bytes.HasPrefix(head, []byte("KDMV")):
		return sniffVMDK(r, head, size)
	case bytes.HasPrefix(head, []byte("COWD")):
		return Info{}, fault(Unsupported, "VMDK of ESX 2 (COWD) is not supported")
	case isDescriptor(head):
		return Info{}, fault(BackingFile, "a VMDK descriptor only names other files; send a monolithic sparse VMDK")
	case bytes.HasPrefix(head, []byte(vhdCookie)):
		return sniffDynamicVHD(r, head, size)
	}
	if f, err := readFooter(r, size); err == nil && string(f[:8]) == vhdCookie {
		raw, err := CheckFixedVHD(r, size)
		return Info{FixedVHD, raw}, err
	}
	return Info{Raw, size}, checkSize(uint64(size))
}

func checkSize(size uint64) error {
	if size == 0 || size > MaxSize || size%512 != 0 {
		return fault(AbsurdSize, "a virtual size of %d bytes (whole sectors of 512 bytes, at most %d)", size, int64(MaxSize))
	}
	return nil
}

// sniffQCOW2 follows QEMU's docs/interop/qcow2.txt.
func sniffQCOW2(head []byte) (Info, error) {
	if len(head) < 72 {
		return Info{}, fault(Truncated, "a qcow2 header has 72 bytes or more")
	}
	be := binary.BigEndian
	version, backing, clusterBits := be.Uint32(head[4:]), be.Uint64(head[8:]), be.Uint32(head[20:])
	size, crypt := be.Uint64(head[24:]), be.Uint32(head[32:])
	switch {
	case version != 2 && version != 3:
		return Info{}, fault(Unsupported, "qcow2 version %d", version)
	case backing != 0 || be.Uint32(head[16:]) != 0:
		return Info{}, fault(BackingFile, "this qcow2 has a backing file; flatten it first (qemu-img convert)")
	case crypt != 0:
		return Info{}, fault(Unsupported, "this qcow2 is encrypted")
	case clusterBits < 9 || clusterBits > 21:
		return Info{}, fault(Damaged, "qcow2 clusters of 2^%d bytes", clusterBits)
	case be.Uint32(head[60:]) != 0:
		return Info{}, fault(Unsupported, "this qcow2 has internal snapshots; flatten it first (qemu-img convert)")
	}
	if version == 3 {
		if err := qcow2Features(head); err != nil {
			return Info{}, err
		}
	}
	return Info{QCOW2, int64(size)}, checkSize(size)
}

// qcow2Features refuses incompatible features but the dirty bit (0) and a compression type (3), and among the header
// extensions those that name other files.
func qcow2Features(head []byte) error {
	be := binary.BigEndian
	if len(head) < 104 {
		return fault(Truncated, "a qcow2 version 3 header has 104 bytes or more")
	}
	features, length := be.Uint64(head[72:]), be.Uint32(head[100:])
	switch {
	case features&(1<<2) != 0:
		return fault(BackingFile, "this qcow2 keeps its data in an external file")
	case features&(1<<1) != 0:
		return fault(Damaged, "this qcow2 is marked corrupt; repair it first (qemu-img check -r)")
	case features&^(1<<0|1<<3|1<<4) != 0:
		return fault(Unsupported, "qcow2 incompatible features %#x", features)
	case length < 104 || length%8 != 0 || int(length) > len(head):
		return fault(Damaged, "a qcow2 header of %d bytes", length)
	}
	for rest := head[length:]; len(rest) >= 8; {
		kind, n := be.Uint32(rest), uint64(be.Uint32(rest[4:]))
		if kind == 0 {
			return nil
		}
		if kind == 0xE2792ACA || kind == 0x44415441 { // backing file format, external data file name
			return fault(BackingFile, "this qcow2 has a header extension %#x that names another file", kind)
		}
		if n = (n + 7) / 8 * 8; n > uint64(len(rest)-8) {
			return fault(Damaged, "a qcow2 header extension of %d bytes", n)
		}
		rest = rest[8+n:]
	}
	return nil
}

// sniffVHDX: [MS-VHDX] has 1 MiB of headers. Size and parent are deeper; QEMU's driver refuses a VHDX that has a
// parent (block/vhdx.c), and Convert refuses a size beyond its limit when it knows it.
func sniffVHDX(size int64) (Info, error) {
	if size < 1<<20 {
		return Info{}, fault(Truncated, "a VHDX has headers of 1 MiB")
	}
	return Info{Kind: VHDX}, nil
}

func isDescriptor(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head[:min(len(head), 512)], "\ufeff \t\r\n"), []byte("# Disk DescriptorFile"))
}

// sniffVMDK follows VMware's Virtual Disk Format 5.0: a sparse extent with its descriptor inside.
func sniffVMDK(r io.ReaderAt, head []byte, size int64) (Info, error) {
	if len(head) < 512 {
		return Info{}, fault(Truncated, "a VMDK header has 512 bytes")
	}
	le := binary.LittleEndian
	capacity, at, n := le.Uint64(head[12:]), le.Uint64(head[28:]), le.Uint64(head[36:])
	if v := le.Uint32(head[4:]); v < 1 || v > 3 {
		return Info{}, fault(Unsupported, "VMDK version %d", v)
	}
	if capacity > MaxSize/512 {
		return Info{}, fault(AbsurdSize, "a VMDK of %d sectors", capacity)
	}
	if at == 0 || n == 0 || n > 2048 || at > uint64(size)/512 || n > uint64(size)/512-at {
		return Info{}, fault(Damaged, "a VMDK without its descriptor inside")
	}
	text := make([]byte, n*512)
	if got, err := r.ReadAt(text, int64(at)*512); got < len(text) {
		return Info{}, &Error{Truncated, "the VMDK ends inside its descriptor", err}
	}
	if err := checkDescriptor(text); err != nil {
		return Info{}, err
	}
	return Info{VMDK, int64(capacity) * 512}, checkSize(capacity * 512)
}

// checkDescriptor takes one extent, in this very file, and no parent.
func checkDescriptor(text []byte) error {
	extents := 0
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		key, value, _ := bytes.Cut(line, []byte("="))
		key, value = bytes.ToLower(bytes.TrimSpace(key)), bytes.ToLower(bytes.Trim(value, " \t\""))
		switch {
		case string(key) == "parentcid" && string(value) != "ffffffff", bytes.HasPrefix(key, []byte("parentfilename")):
			return fault(BackingFile, "this VMDK has a parent; flatten it first")
		case string(key) == "createtype" && string(value) != "monolithicsparse" && string(value) != "streamoptimized":
			return fault(BackingFile, "VMDK of type %.40q: only monolithicSparse and streamOptimized are one file", value)
		case bytes.HasPrefix(line, []byte("RW ")), bytes.HasPrefix(line, []byte("RDONLY ")), bytes.HasPrefix(line, []byte("NOACCESS ")):
			if f := bytes.Fields(line); len(f) < 3 || string(f[2]) != "SPARSE" {
				return fault(BackingFile, "this VMDK has an extent in another file")
			}
			extents++
		}
	}
	if extents != 1 {
		return fault(Unsupported, "a VMDK of %d extents", extents)
	}
	return nil
}

// As tells whether err is a fault of the file, and which.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
