// Package qcow2 reads the overlays that machines write: what QEMU's qcow2 format says of a disk, over the disk below it.
//
// It owns the reading of tables and clusters, and nothing else: it never writes, opens no other file than the one it is given
// (the name of a backing file in the header is not looked at), and takes only what our own overlays have: no compression, no
// encryption, no external data. The format is docs/interop/qcow2.txt in QEMU's source.
//
//	Open(file, below) ──▶ Overlay ── ReadAt, NextData ──▶ image.Store.Pack
//	    cluster allocated ─▶ the file     marked zero ─▶ zeros     neither ─▶ below, or zeros
//
// A file that is written to meanwhile reads as nothing in particular: the caller sees to it that none is, or looks afterwards
// whether it was.
package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"vitrine/internal/image"
)

// ErrFormat says that a file is not an overlay of ours.
var ErrFormat = errors.New("qcow2: not an overlay of a machine")

// Below is the disk under an overlay; *image.Reader is one.
type Below interface {
	io.ReaderAt
	image.Sparse
	Size() int64
}

// Overlay is a disk as a machine sees it. It may be read by many goroutines.
type Overlay struct {
	file    *os.File
	below   Below // nil: zeros
	size    int64
	cluster int64
	l1      []uint64

	mu     sync.Mutex
	at     int // whose table l2 is; -1: none
	tables []uint64
}

const (
	offsetMask   = 0x00fffffffffffe00
	compressed   = 1 << 62
	zeroFlag     = 1
	maxL1        = 1 << 20 // entries; 64 TiB in clusters of 64 KiB have 131,072
	badFeatures  = ^uint64(1)
	headerLength = 104
)

// Open reads the header of the overlay at path. below is the disk under it, nil when there is none; it is shorter than
// the overlay when the disk was grown, then zeros follow.
func Open(path string, below Below) (*Overlay, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	o := &Overlay{file: f, below: below, at: -1}
	if err := o.header(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return o, nil
}

func (o *Overlay) header() error {
	h := make([]byte, headerLength)
	if n, err := o.file.ReadAt(h, 0); n < 72 && err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	be := binary.BigEndian
	bits, size := be.Uint32(h[20:]), be.Uint64(h[24:])
	entries, offset := be.Uint32(h[36:]), be.Uint64(h[40:])
	switch version := be.Uint32(h[4:]); {
	case string(h[:4]) != "QFI\xfb" || version != 2 && version != 3:
		return ErrFormat
	case bits < 9 || bits > 21:
		return fmt.Errorf("%w: clusters of 2^%d bytes", ErrFormat, bits)
	case size == 0 || size > image.MaxSize || size%512 != 0:
		return fmt.Errorf("%w: a disk of %d bytes", ErrFormat, size)
	case be.Uint32(h[32:]) != 0:
		return fmt.Errorf("%w: encrypted", ErrFormat)
	case version == 3 && be.Uint64(h[72:])&badFeatures != 0: // only "dirty" is harmless: it is about reference counts
		return fmt.Errorf("%w: features %#x", ErrFormat, be.Uint64(h[72:]))
	case entries > maxL1 || uint64(entries)<<(2*bits-3) < size:
		return fmt.Errorf("%w: an L1 table of %d entries for %d bytes", ErrFormat, entries, size)
	}
	o.size, o.cluster = int64(size), 1<<bits
	var err error
	o.l1, err = o.table(int64(offset), int(entries))
	return err
}

// table reads entries of a table. What lies behind the end of the file was never written: zeros.
func (o *Overlay) table(offset int64, entries int) ([]uint64, error) {
	raw := make([]byte, entries*8)
	if err := o.raw(raw, offset); err != nil {
		return nil, err
	}
	list := make([]uint64, entries)
	for i := range list {
		list[i] = binary.BigEndian.Uint64(raw[i*8:])
	}
	return list, nil
}

func (o *Overlay) raw(p []byte, offset int64) error {
	if offset < 0 {
		return fmt.Errorf("%w: offset %d", ErrFormat, offset)
	}
	n, err := o.file.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	clear(p[n:])
	return nil
}

// Size is the disk's virtual size in bytes.
func (o *Overlay) Size() int64 { return o.size }

// Close closes the file; the disk below stays open.
func (o *Overlay) Close() error { return o.file.Close() }

// kind says where a stretch of the disk comes from.
type kind int

const (
	fromBelow kind = iota
	zeros
	fromFile
)

// stretch is a run of bytes from one place; offset is in the file.
type stretch struct {
	kind   kind
	end    int64 // of the disk
	offset int64
}

// locate gives the run that begins at a place of the disk: at most a cluster, or all that an absent table spans.
func (o *Overlay) locate(at int64) (stretch, error) {
	perTable := o.cluster / 8 * o.cluster
	i := at / perTable
	table := int64(o.l1[i] & offsetMask)
	if table == 0 {
		return stretch{kind: o.absent(), end: min(o.size, (i+1)*perTable)}, nil
	}
	entry, err := o.entry(int(i), table, int(at%perTable/o.cluster))
	if err != nil {
		return stretch{}, err
	}
	s := stretch{kind: o.absent(), end: min(o.size, (at/o.cluster+1)*o.cluster)}
	switch {
	case entry&compressed != 0:
		return s, fmt.Errorf("%w: a compressed cluster", ErrFormat)
	case entry&zeroFlag != 0:
		s.kind = zeros
	case entry&offsetMask != 0:
		s.kind, s.offset = fromFile, int64(entry&offsetMask)+at%o.cluster
	}
	return s, nil
}

func (o *Overlay) absent() kind {
	if o.below == nil {
		return zeros
	}
	return fromBelow
}

// entry reads one entry of a second-level table; the last table is kept, since disks are read in order.
func (o *Overlay) entry(i int, offset int64, j int) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at != i {
		t, err := o.table(offset, int(o.cluster/8))
		if err != nil {
			return 0, err
		}
		o.at, o.tables = i, t
	}
	return o.tables[j], nil
}

// ReadAt implements io.ReaderAt.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= o.size {
		return 0, io.EOF
	}
	done := 0
	for done < len(p) && off < o.size {
		s, err := o.locate(off)
		if err != nil {
			return done, err
		}
		part := p[done:min(int64(len(p)), int64(done)+s.end-off)]
		if err := o.fill(part, off, s); err != nil {
			return done, err
		}
		done, off = done+len(part), off+int64(len(part))
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (o *Overlay) fill(p []byte, off int64, s stretch) error {
	switch s.kind {
	case fromFile:
		return o.raw(p, s.offset)
	case fromBelow:
		n := max(0, min(int64(len(p)), o.below.Size()-off))
		clear(p[n:])
		if n == 0 {
			return nil
		}
		if got, err := o.below.ReadAt(p[:n], off); int64(got) < n {
			return fmt.Errorf("below the overlay, at %d: %w", off, err)
		}
	default:
		clear(p)
	}
	return nil
}

// NextData implements image.Sparse.
func (o *Overlay) NextData(off int64) (image.Range, error) {
	for off < o.size {
		s, err := o.locate(off)
		if err != nil {
			return image.Range{}, err
		}
		if s.kind == fromFile {
			return image.Range{Start: off, End: s.end}, nil
		}
		if s.kind == fromBelow {
			found, err := o.below.NextData(off)
			if err != nil && !errors.Is(err, io.EOF) {
				return image.Range{}, err
			}
			if err == nil && found.Start < s.end {
				return image.Range{Start: max(off, found.Start), End: min(s.end, found.End)}, nil
			}
		}
		off = s.end
	}
	return image.Range{}, io.EOF
}
