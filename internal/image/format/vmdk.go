package format

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
)

func isDescriptor(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head[:min(len(head), 512)], "\ufeff \t\r\n"), []byte("# Disk DescriptorFile"))
}

// sparse is the header of a sparse extent.
type sparse struct {
	version, flags     uint32
	capacity, grain    uint64 // in sectors
	perTable           uint64 // entries of a grain table
	directory, reserve uint64 // sector of the directory and of its copy
	algorithm          uint16
}

const (
	directoryAtEnd = 1<<64 - 1 // of a stream-optimised extent: a footer has the header that counts
	hasCopy        = 1 << 1
	zeroGrains     = 1 << 2
	packedGrains   = 1 << 16
	markers        = 1 << 17
)

func (x sparse) size() int64 { return int64(x.capacity) * 512 }

func parseSparse(b []byte) sparse {
	le := binary.LittleEndian
	return sparse{version: le.Uint32(b[4:]), flags: le.Uint32(b[8:]), capacity: le.Uint64(b[12:]), grain: le.Uint64(b[20:]),
		perTable: uint64(le.Uint32(b[44:])), reserve: le.Uint64(b[48:]), directory: le.Uint64(b[56:]), algorithm: le.Uint16(b[77:])}
}

// openVMDK follows VMware's Virtual Disk Format 5.0: a sparse extent with its descriptor inside.
func openVMDK(r io.ReaderAt, head []byte, size int64) (sparse, error) {
	if len(head) < 512 {
		return sparse{}, fault(Truncated, "a VMDK header has 512 bytes")
	}
	le := binary.LittleEndian
	x := parseSparse(head)
	at, n := le.Uint64(head[28:]), le.Uint64(head[36:])
	switch {
	case x.version < 1 || x.version > 3:
		return sparse{}, fault(Unsupported, "VMDK version %d", x.version)
	case x.capacity == 0 || x.capacity > MaxSize/512:
		return sparse{}, fault(AbsurdSize, "a VMDK of %d sectors", x.capacity)
	case x.flags&1 != 0 && string(head[73:77]) != "\n \r\n":
		return sparse{}, fault(Damaged, "the line ends in the header of this VMDK were changed on the way")
	case x.grain < 8 || x.grain > 1<<15 || x.grain&(x.grain-1) != 0:
		return sparse{}, fault(Damaged, "a VMDK with grains of %d sectors", x.grain)
	case x.perTable == 0 || x.perTable > 512:
		return sparse{}, fault(Damaged, "a VMDK with grain tables of %d entries", x.perTable)
	case x.algorithm > 1:
		return sparse{}, fault(Unsupported, "VMDK compression %d", x.algorithm)
	case at == 0 || n == 0 || n > 2048 || at > uint64(size)/512 || n > uint64(size)/512-at:
		return sparse{}, fault(Damaged, "a VMDK without its descriptor inside")
	}
	text, err := exactly(r, "the descriptor of this VMDK", int64(at)*512, int(n)*512)
	if err != nil {
		return sparse{}, err
	}
	return x, checkDescriptor(text)
}

// checkDescriptor takes one extent, in this very file, and no parent.
func checkDescriptor(text []byte) error {
	extents := 0
	if !isDescriptor(text) {
		return fault(Damaged, "the descriptor of this VMDK is none")
	}
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

// checkVMDK reads the footer, the grain directory and the grain tables.
func checkVMDK(ctx context.Context, r io.ReaderAt, size int64) error {
	head, err := exactly(r, "the VMDK header", 0, 512)
	if err != nil {
		return err
	}
	x := parseSparse(head)
	if x.directory == directoryAtEnd {
		if x, err = footerVMDK(r, size, x); err != nil {
			return err
		}
	}
	span := x.grain * x.perTable
	tables := (x.capacity + span - 1) / span
	used := &pieces{size: size}
	if err := used.add("the VMDK header", 0, 512); err != nil {
		return err
	}
	if x.directory == 0 || x.directory > uint64(size)/512 {
		return fault(OutOfFile, "the grain directory of this VMDK lies outside the file of %d bytes", size)
	}
	if err := used.add("the grain directory", x.directory*512, tables*4); err != nil {
		return err
	}
	le, n := binary.LittleEndian, uint64(0)
	err = stretches(ctx, r, "the grain directory", int64(x.directory)*512, int64(tables)*4, func(_ int64, b []byte) error {
		for ; len(b) > 0; b, n = b[4:], n+1 {
			at := uint64(le.Uint32(b))
			if at == 0 {
				continue
			}
			if err := used.add("a grain table", at*512, x.perTable*4); err != nil {
				return err
			}
			if err := x.table(r, used, at, n); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return used.apart()
}

// footerVMDK reads the header that a stream-optimised VMDK has at its end, between two markers.
func footerVMDK(r io.ReaderAt, size int64, head sparse) (sparse, error) {
	if size < 512+1536 {
		return sparse{}, fault(Truncated, "the VMDK ends before its footer")
	}
	b, err := exactly(r, "the VMDK footer", size&^511-1536, 1536)
	if err != nil {
		return sparse{}, err
	}
	le := binary.LittleEndian
	const footer, endOfStream = 3, 0
	if le.Uint64(b) != 1 || le.Uint32(b[12:]) != footer || string(b[512:516]) != "KDMV" || le.Uint64(b[1024:]) != 0 || le.Uint32(b[1036:]) != endOfStream {
		return sparse{}, fault(Truncated, "the VMDK has no footer at its end, where its header says that it is; it was cut off")
	}
	x := parseSparse(b[512:])
	if x.directory == directoryAtEnd || x.capacity != head.capacity || x.grain != head.grain || x.perTable != head.perTable || x.flags != head.flags {
		return sparse{}, fault(Damaged, "the footer of this VMDK is another one's than its header")
	}
	return x, nil
}

// table reads the n-th grain table.
func (x sparse) table(r io.ReaderAt, used *pieces, at, n uint64) error {
	b, err := exactly(r, "a grain table", int64(at)*512, int(x.perTable)*4)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for i := range x.perTable {
		sector := uint64(le.Uint32(b[i*4:]))
		if sector == 0 || sector == 1 && x.flags&zeroGrains != 0 {
			continue
		}
		first := (n*x.perTable + i) * x.grain
		if first >= x.capacity {
			return fault(Damaged, "this VMDK has a grain beyond the end of its disk")
		}
		length := x.grain * 512
		if x.flags&packedGrains != 0 {
			if length, err = x.packed(r, sector, first); err != nil {
				return err
			}
		}
		if err := used.add("a grain", sector*512, min(length, (x.capacity-first)*512)); err != nil {
			return err
		}
	}
	return nil
}

// packed reads the marker before a compressed grain: which sector of the disk it is, and how many bytes follow.
func (x sparse) packed(r io.ReaderAt, sector, first uint64) (uint64, error) {
	m, err := exactly(r, "a compressed grain", int64(sector)*512, 12)
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	where, n := le.Uint64(m), uint64(le.Uint32(m[8:]))
	if x.flags&markers == 0 {
		return 0, fault(Unsupported, "a VMDK with compressed grains and no markers")
	}
	if where != first || n == 0 || n > 2*x.grain*512 {
		return 0, fault(Damaged, "a compressed grain of this VMDK says that it is %d bytes for sector %d; the table says sector %d", n, where, first)
	}
	return 12 + n, nil
}
