package format

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
)

// The names of regions and metadata items in [MS-VHDX], as their bytes lie in the file.
const (
	regionBAT      = "6677c22d23f600429d64115e9bfd4a08"
	regionMetadata = "06a27c8b90479a4bb8fe575f050f886e"

	itemParameters = "3767a1ca36fa434db3b633f0aa44e76b"
	itemSize       = "2442a52f1bcd7648b2115dbed83bf4b8"
	itemDisk       = "ab12cabee6b2234593efc309e000c746"
	itemLogical    = "1dbf41816fa90947ba47f233a8faab5f"
	itemPhysical   = "c748a3cd5d4471449cc9e9885251c556"
	itemParent     = "2d5fd3a80bb34d45abf7d3d84834ab0c"
)

const mib = 1 << 20

// vhdx is what the headers, the regions and the metadata say.
type vhdx struct {
	size         int64 // of the disk
	block        uint64
	sector       uint64
	bat          tableAt
	metadata     tableAt
	log          tableAt
	fixed        *pieces // what is not content
	hasSize      bool
	hasSector    bool
	hasParameter bool
}

// openVHDX follows [MS-VHDX] 2: two headers, two region tables, metadata.
func openVHDX(r io.ReaderAt, size int64) (vhdx, error) {
	x := vhdx{fixed: &pieces{size: size}}
	if size < mib {
		return x, fault(Truncated, "a VHDX has headers of 1 MiB")
	}
	if err := x.fixed.add("the headers", 0, mib); err != nil {
		return x, err
	}
	for _, step := range []func(io.ReaderAt) error{x.header, x.regions, x.items} {
		if err := step(r); err != nil {
			return x, err
		}
	}
	return x, checkSize(uint64(x.size))
}

// sum is CRC-32C with the four bytes at 4 taken as zeros.
func sum(b []byte) uint32 {
	c := make([]byte, len(b))
	copy(c, b)
	clear(c[4:8])
	return crc32.Checksum(c, crc32.MakeTable(crc32.Castagnoli))
}

// header takes the newer one of the two that are whole.
func (x *vhdx) header(r io.ReaderAt) error {
	le := binary.LittleEndian
	var now []byte
	for _, at := range []int64{64 << 10, 128 << 10} {
		b, err := exactly(r, "a VHDX header", at, 4096)
		if err != nil {
			return err
		}
		if string(b[:4]) == "head" && sum(b) == le.Uint32(b[4:]) && (now == nil || le.Uint64(b[8:]) > le.Uint64(now[8:])) {
			now = b
		}
	}
	if now == nil {
		return fault(Damaged, "neither header of this VHDX has its checksum")
	}
	x.log = tableAt{le.Uint64(now[72:]), uint64(le.Uint32(now[68:]))}
	switch {
	case le.Uint16(now[66:]) != 1 || le.Uint16(now[64:]) != 0:
		return fault(Unsupported, "VHDX version %d, log version %d", le.Uint16(now[66:]), le.Uint16(now[64:]))
	case [16]byte(now[48:64]) != [16]byte{}:
		return fault(NeedsReplay, "the log of this VHDX holds changes that are not in place yet: it was not closed. Close it with the program that made it, or qemu-img check -r all")
	case x.log.at%mib != 0 || x.log.bytes%mib != 0:
		return fault(Damaged, "the log of this VHDX is not at a whole MiB")
	}
	return x.fixed.add("the log of this VHDX", x.log.at, x.log.bytes)
}

// regions finds the BAT and the metadata.
func (x *vhdx) regions(r io.ReaderAt) error {
	le := binary.LittleEndian
	var table []byte
	for _, at := range []int64{192 << 10, 256 << 10} {
		b, err := exactly(r, "a region table", at, 64<<10)
		if err != nil {
			return err
		}
		if string(b[:4]) == "regi" && sum(b) == le.Uint32(b[4:]) {
			table = b
			break
		}
	}
	if table == nil {
		return fault(Damaged, "neither region table of this VHDX has its checksum")
	}
	n := le.Uint32(table[8:])
	if n > 2047 {
		return fault(Damaged, "a region table of %d entries", n)
	}
	for i := range n {
		e := table[16+32*i:]
		t := tableAt{le.Uint64(e[16:]), uint64(le.Uint32(e[24:]))}
		name := hex.EncodeToString(e[:16])
		if t.at%mib != 0 || t.bytes%mib != 0 || t.at < mib || t.bytes == 0 {
			return fault(Damaged, "a region of this VHDX is not whole MiB at a whole MiB")
		}
		switch {
		case name == regionBAT && x.bat.bytes == 0:
			x.bat = t
		case name == regionMetadata && x.metadata.bytes == 0:
			x.metadata = t
		case name == regionBAT, name == regionMetadata:
			return fault(Overlap, "this VHDX has a region twice")
		case le.Uint32(e[28:])&1 != 0:
			return fault(Unsupported, "this VHDX needs a region %s", name)
		}
		if err := x.fixed.add("a region of this VHDX", t.at, t.bytes); err != nil {
			return err
		}
	}
	if x.bat.bytes == 0 || x.metadata.bytes == 0 {
		return fault(Damaged, "this VHDX has no block table or no metadata")
	}
	return x.fixed.apart()
}

// items reads the metadata.
func (x *vhdx) items(r io.ReaderAt) error {
	le := binary.LittleEndian
	table, err := exactly(r, "the metadata table", int64(x.metadata.at), 64<<10)
	if err != nil {
		return err
	}
	n := le.Uint16(table[10:])
	if string(table[:8]) != "metadata" || n > 1023 {
		return fault(Damaged, "the metadata table of this VHDX is none")
	}
	for i := range int(n) {
		e := table[32+32*i:]
		at, length, flags := uint64(le.Uint32(e[16:])), uint64(le.Uint32(e[20:])), le.Uint32(e[24:])
		name := hex.EncodeToString(e[:16])
		if at < 64<<10 || at+length > x.metadata.bytes {
			return fault(OutOfFile, "a metadata item of this VHDX lies outside the metadata")
		}
		value := make([]byte, 8)
		if length > 0 && length <= 8 {
			if b, err := exactly(r, "a metadata item", int64(x.metadata.at+at), int(length)); err != nil {
				return err
			} else {
				copy(value, b)
			}
		}
		if err := x.item(name, value, length, flags); err != nil {
			return err
		}
	}
	if !x.hasSize || !x.hasSector || !x.hasParameter {
		return fault(Damaged, "the metadata of this VHDX lacks the disk's size, sector or block")
	}
	return nil
}

func (x *vhdx) item(name string, value []byte, length uint64, flags uint32) error {
	le := binary.LittleEndian
	switch name {
	case itemParameters:
		if le.Uint32(value[4:])&2 != 0 {
			return fault(BackingFile, "this VHDX is a differencing disk and needs its parent; merge it first")
		}
		x.block, x.hasParameter = uint64(le.Uint32(value)), true
		if length != 8 || x.block < mib || x.block > 256*mib || x.block&(x.block-1) != 0 {
			return fault(Damaged, "a VHDX with blocks of %d bytes", x.block)
		}
	case itemParent:
		return fault(BackingFile, "this VHDX names a parent; merge it first")
	case itemSize:
		x.hasSize = true
		if v := le.Uint64(value); length != 8 || v > MaxSize {
			return checkSize(max(v, MaxSize+1))
		}
		x.size = int64(le.Uint64(value))
	case itemLogical:
		x.sector, x.hasSector = le.Uint64(value), true
		if x.sector != 512 && x.sector != 4096 {
			return fault(Damaged, "a VHDX with sectors of %d bytes", x.sector)
		}
	case itemDisk, itemPhysical:
	default:
		if flags&4 != 0 {
			return fault(Unsupported, "this VHDX needs a metadata item %s", name)
		}
	}
	return nil
}

// checkVHDX reads the block allocation table.
func checkVHDX(ctx context.Context, r io.ReaderAt, size int64) error {
	x, err := openVHDX(r, size)
	if err != nil {
		return err
	}
	blocks := (uint64(x.size) + x.block - 1) / x.block
	ratio := (1 << 23) * x.sector / x.block // payload blocks to one of bitmaps
	entries := blocks + (blocks-1)/ratio
	if entries*8 > x.bat.bytes {
		return fault(OutOfFile, "the block table of this VHDX needs %d entries and has room for %d", entries, x.bat.bytes/8)
	}
	le := binary.LittleEndian
	err = stretches(ctx, r, "the block table", int64(x.bat.at), int64(entries)*8, func(done int64, b []byte) error {
		for i := uint64(done) / 8; len(b) > 0; i, b = i+1, b[8:] {
			e := le.Uint64(b)
			bitmap := i%(ratio+1) == ratio
			switch state := e & 7; {
			case state < 4 && !bitmap, state == 0:
			case state == 7, bitmap:
				return fault(BackingFile, "a block of this VHDX is partly in a parent")
			case state != 6:
				return fault(Damaged, "a block of this VHDX is in a state %d", state)
			default:
				if err := x.fixed.add("a block of this VHDX", e>>20<<20, x.block); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return x.fixed.apart()
}
