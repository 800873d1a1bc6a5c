package format

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"vitrine/internal/digest"
)

// FooterSize is what a fixed VHD has beyond the disk's bytes.
const FooterSize = 512

const (
	vhdCookie   = "conectix"
	vhdFixed    = 2
	vhdDynamic  = 3
	vhdNoOffset = 1<<64 - 1
)

// VHDFooter gives the footer of a fixed VHD with a disk of size bytes (Microsoft's Virtual Hard Disk Image Format
// Specification 1.0). The same size gives the same footer: time stamp 0, an identifier made from the size.
func VHDFooter(size int64) [FooterSize]byte {
	var f [FooterSize]byte
	be := binary.BigEndian
	copy(f[0:], vhdCookie)
	be.PutUint32(f[8:], 2)           // features: the reserved bit, always set
	be.PutUint32(f[12:], 0x00010000) // format version
	be.PutUint64(f[16:], vhdNoOffset)
	copy(f[28:], "win ") // creator: Hyper-V. Of most others QEMU (block/vpc.c) believes the geometry, which is smaller
	be.PutUint32(f[32:], 0x00010000)
	copy(f[36:], "Wi2k") // creator's host: what Azure's own tools write
	be.PutUint64(f[40:], uint64(size))
	be.PutUint64(f[48:], uint64(size))
	cylinders, heads, sectors := geometry(size / 512)
	be.PutUint16(f[56:], cylinders)
	f[58], f[59] = heads, sectors
	be.PutUint32(f[60:], vhdFixed)
	id := digest.Of(f[40:56])
	copy(f[68:84], id[:])
	be.PutUint32(f[64:], checksum(f[:]))
	return f
}

// geometry is the specification's appendix "CHS Calculation".
func geometry(total int64) (cylinders uint16, heads, sectors byte) {
	total = min(total, 65535*16*255)
	spt, h, cth := int64(17), int64(0), int64(0)
	if total >= 65535*16*63 {
		spt, h = 255, 16
		cth = total / spt
	} else {
		cth = total / spt
		h = max((cth+1023)/1024, 4)
		if cth >= h*1024 || h > 16 {
			spt, h = 31, 16
			cth = total / spt
		}
		if cth >= h*1024 {
			spt, h = 63, 16
			cth = total / spt
		}
	}
	return uint16(cth / h), byte(h), byte(spt)
}

// checksum is the ones' complement of the sum of all bytes but the checksum's own.
func checksum(f []byte) uint32 { return sumWithout(f, 64) }

// sumWithout leaves out the four bytes at the offset.
func sumWithout(f []byte, at int) uint32 {
	var sum uint32
	for i, b := range f {
		if i < at || i >= at+4 {
			sum += uint32(b)
		}
	}
	return ^sum
}

// Footer is what a VHD's footer says.
type Footer struct {
	Size  int64 // of the disk
	Fixed bool
}

// ParseFooter reads a VHD's footer and checks its checksum.
func ParseFooter(f []byte) (Footer, error) {
	be := binary.BigEndian
	switch {
	case len(f) != FooterSize || string(f[:8]) != vhdCookie:
		return Footer{}, fault(NoFooter, "the file does not end with a VHD footer")
	case checksum(f) != be.Uint32(f[64:]):
		return Footer{}, fault(Damaged, "the checksum of the VHD footer is wrong")
	case be.Uint32(f[12:]) != 0x00010000:
		return Footer{}, fault(Unsupported, "VHD version %#x", be.Uint32(f[12:]))
	}
	size, kind := be.Uint64(f[48:]), be.Uint32(f[60:])
	if err := checkSize(size); err != nil {
		return Footer{}, err
	}
	switch kind {
	case vhdFixed, vhdDynamic:
		return Footer{int64(size), kind == vhdFixed}, nil
	case 4:
		return Footer{}, fault(BackingFile, "a differencing VHD needs its parent; merge it first")
	}
	return Footer{}, fault(Unsupported, "VHD of type %d", kind)
}

func readFooter(r io.ReaderAt, size int64) ([]byte, error) {
	if size < FooterSize {
		return nil, fault(NoFooter, "%d bytes are too few for a VHD footer", size)
	}
	f := make([]byte, FooterSize)
	if n, err := r.ReadAt(f, size-FooterSize); n < FooterSize {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	return f, nil
}

// CheckFixedVHD checks that r, size bytes long, is a fixed VHD, and gives the size of the disk in it.
func CheckFixedVHD(r io.ReaderAt, size int64) (int64, error) {
	b, err := readFooter(r, size)
	if err != nil {
		return 0, err
	}
	f, err := ParseFooter(b)
	switch {
	case is(err, NoFooter):
		return 0, notVHD(r, size)
	case err != nil:
		return 0, err
	case !f.Fixed:
		return 0, fault(NotFixed, "a dynamic VHD was sent; "+fixedOnly)
	case f.Size != size-FooterSize:
		return 0, fault(SizeMismatch, "the VHD footer speaks of %d bytes, the file has %d before it", f.Size, size-FooterSize)
	}
	return f.Size, nil
}

const fixedOnly = "Azure takes fixed VHDs alone (qemu-img convert -O vpc -o subformat=fixed,force_size)"

func is(err error, r Reason) bool {
	e, ok := As(err)
	return ok && e.Reason == r
}

// notVHD says what was sent instead of a fixed VHD, by its first bytes.
func notVHD(r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 512))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return fmt.Errorf("read header: %w", err)
	}
	for magic, name := range map[string]string{"QFI\xfb": "a qcow2 image", "vhdxfile": "a VHDX", "KDMV": "a VMDK", "# Disk DescriptorFile": "the descriptor of a VMDK",
		vhdCookie: "a dynamic VHD", "\x1f\x8b\x08": "a gzip file", "\xfd7zXZ\x00": "an xz file", "\x28\xb5\x2f\xfd": "a zstd file", "LUKS\xba\xbe": "an encrypted disk (LUKS)"} {
		if string(head[:min(len(magic), len(head))]) == magic {
			return fault(NotFixed, "%s was sent; %s", name, fixedOnly)
		}
	}
	return fault(NoFooter, "the file does not end with a VHD footer; %s", fixedOnly)
}

// sniffDynamicVHD reads the copy of the footer that a dynamic VHD begins with.
func sniffDynamicVHD(r io.ReaderAt, head []byte, size int64) (Info, error) {
	if len(head) < FooterSize {
		return Info{}, fault(Truncated, "the VHD ends inside its first 512 bytes")
	}
	f, err := ParseFooter(head[:FooterSize])
	if err != nil {
		return Info{}, err
	}
	if f.Fixed {
		raw, err := CheckFixedVHD(r, size)
		return Info{FixedVHD, raw}, err
	}
	_, err = openDynamicVHD(r, head[:FooterSize], size)
	return Info{DynamicVHD, f.Size}, err
}

// dynamicVHD is the header behind the copy of the footer.
type dynamicVHD struct {
	at, table      uint64
	entries, block uint64
}

func openDynamicVHD(r io.ReaderAt, footer []byte, size int64) (dynamicVHD, error) {
	be := binary.BigEndian
	at := be.Uint64(footer[16:])
	if at > uint64(size) || uint64(size)-at < 1024 {
		return dynamicVHD{}, fault(Truncated, "the VHD ends before its dynamic header")
	}
	h, err := exactly(r, "the dynamic header of this VHD", int64(at), 1024)
	if err != nil {
		return dynamicVHD{}, err
	}
	x := dynamicVHD{at, be.Uint64(h[16:]), uint64(be.Uint32(h[28:])), uint64(be.Uint32(h[32:]))}
	switch {
	case string(h[:8]) != "cxsparse":
		return x, fault(Damaged, "the VHD has no dynamic header")
	case sumWithout(h, 36) != be.Uint32(h[36:]):
		return x, fault(Damaged, "the checksum of the VHD's dynamic header is wrong")
	case x.block < 4096 || x.block > 256<<20 || x.block&(x.block-1) != 0:
		return x, fault(Damaged, "a VHD with blocks of %d bytes", x.block)
	case x.entries < (be.Uint64(footer[48:])+x.block-1)/x.block:
		return x, fault(Damaged, "the block table of this VHD has %d entries, too few for its size", x.entries)
	}
	return x, nil
}

// checkDynamicVHD reads the footer at the end, which must be the one at the beginning, and the block allocation table.
func checkDynamicVHD(ctx context.Context, r io.ReaderAt, size int64) error {
	head, err := exactly(r, "the VHD", 0, FooterSize)
	if err != nil {
		return err
	}
	if tail, err := readFooter(r, size); err != nil || string(tail) != string(head) {
		return fault(Truncated, "the VHD does not end with the footer that it begins with; it was cut off")
	}
	x, err := openDynamicVHD(r, head, size)
	if err != nil {
		return err
	}
	used := &pieces{size: size - FooterSize}
	for _, p := range []struct {
		what       string
		at, length uint64
	}{{"the VHD's copy of the footer", 0, FooterSize}, {"the VHD's dynamic header", x.at, 1024}, {"the VHD's block table", x.table, x.entries * 4}} {
		if err := used.add(p.what, p.at, p.length); err != nil {
			return err
		}
	}
	be := binary.BigEndian
	bitmap := (x.block/512/8 + 511) &^ 511
	err = stretches(ctx, r, "the VHD's block table", int64(x.table), int64(x.entries)*4, func(_ int64, b []byte) error {
		for ; len(b) > 0; b = b[4:] {
			sector := be.Uint32(b)
			if sector == 1<<32-1 {
				continue
			}
			if err := used.add("a block of this VHD", uint64(sector)*512, bitmap+x.block); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return used.apart()
}

// VHD shows a disk as the fixed VHD that a client downloads: its bytes, then the footer.
type VHD struct {
	disk   io.ReaderAt
	size   int64
	footer [FooterSize]byte
}

// NewVHD wraps a disk of size bytes.
func NewVHD(disk io.ReaderAt, size int64) *VHD { return &VHD{disk, size, VHDFooter(size)} }

// Size is the disk's and the footer's.
func (v *VHD) Size() int64 { return v.size + FooterSize }

// ReadAt implements io.ReaderAt.
func (v *VHD) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= v.Size() {
		return 0, io.EOF
	}
	n := 0
	if off < v.size {
		want := p[:min(int64(len(p)), v.size-off)]
		got, err := v.disk.ReadAt(want, off)
		if got < len(want) {
			return got, err
		}
		n = got
	}
	if n < len(p) {
		n += copy(p[n:], v.footer[off+int64(n)-v.size:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
