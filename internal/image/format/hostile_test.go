package format

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// The files of this corpus are made, not kept: each is a good file with one lie in it. The good ones are small on purpose:
// every table is there, and has one entry or two.

const cl = 512 // bytes of a cluster of goodQCOW2

// goodQCOW2 has a header, a refcount table, one block, an L1, an L2, two clusters and a compressed one, in this order.
func goodQCOW2(change func([]byte)) []byte {
	b := make([]byte, 9*cl)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 9)
	be.PutUint64(b[24:], 64<<10)
	be.PutUint32(b[36:], 2)
	be.PutUint64(b[40:], 3*cl)
	be.PutUint64(b[48:], 1*cl)
	be.PutUint32(b[56:], 1)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 104)
	be.PutUint64(b[1*cl:], 2*cl)
	for i := range 9 {
		be.PutUint16(b[2*cl+2*i:], 1)
	}
	be.PutUint16(b[2*cl+2*7:], 2) // two compressed clusters share it
	be.PutUint64(b[3*cl:], 4*cl|1<<63)
	be.PutUint64(b[4*cl:], 5*cl|1<<63)
	be.PutUint64(b[4*cl+8:], 6*cl|1<<63)
	be.PutUint64(b[4*cl+16:], 1) // zeros
	be.PutUint64(b[4*cl+24:], 1<<62|1<<61|7*cl)
	be.PutUint64(b[4*cl+32:], 1<<62|(7*cl+100))
	change(b)
	return b
}

// goodVHDX has its log at 1 MiB, the block table at 2, the metadata at 3, and one block of 1 MiB at 4.
func goodVHDX(change func([]byte)) []byte {
	b := make([]byte, 5*mib)
	le := binary.LittleEndian
	copy(b, "vhdxfile")
	for i, at := range []int{64 << 10, 128 << 10} {
		h := b[at:]
		copy(h, "head")
		le.PutUint64(h[8:], uint64(i+1))
		le.PutUint16(h[66:], 1)
		le.PutUint32(h[68:], mib)
		le.PutUint64(h[72:], 1*mib)
	}
	for _, at := range []int{192 << 10, 256 << 10} {
		h := b[at:]
		copy(h, "regi")
		le.PutUint32(h[8:], 2)
		region(h[16:], regionBAT, 2*mib)
		region(h[48:], regionMetadata, 3*mib)
	}
	m := b[3*mib:]
	copy(m, "metadata")
	le.PutUint16(m[10:], 3)
	for i, x := range []struct {
		name   string
		length uint32
		value  uint64
	}{{itemParameters, 8, mib}, {itemSize, 8, 3 * mib}, {itemLogical, 4, 512}} {
		e := m[32+32*i:]
		name, _ := hex.DecodeString(x.name)
		copy(e, name)
		le.PutUint32(e[16:], uint32(64<<10+8*i))
		le.PutUint32(e[20:], x.length)
		le.PutUint32(e[24:], 4)
		le.PutUint64(m[64<<10+8*i:], x.value)
	}
	le.PutUint64(b[2*mib+8:], 4*mib|6)
	change(b)
	for _, at := range []int{64 << 10, 128 << 10} {
		le.PutUint32(b[at+4:], sum(b[at:at+4096]))
	}
	for _, at := range []int{192 << 10, 256 << 10} {
		le.PutUint32(b[at+4:], sum(b[at:at+64<<10]))
	}
	return b
}

func region(e []byte, name string, at uint64) {
	n, _ := hex.DecodeString(name)
	copy(e, n)
	binary.LittleEndian.PutUint64(e[16:], at)
	binary.LittleEndian.PutUint32(e[24:], mib)
	binary.LittleEndian.PutUint32(e[28:], 1)
}

// both changes what stands twice in a VHDX.
func both(change func(h []byte), places ...int) func([]byte) {
	return func(b []byte) {
		for _, at := range places {
			change(b[at:])
		}
	}
}

func headers(change func(h []byte)) func([]byte) { return both(change, 64<<10, 128<<10) }
func regions(change func(h []byte)) func([]byte) { return both(change, 192<<10, 256<<10) }

// goodVHD is dynamic: footer, header, block table, one block of 4 KiB behind its bitmap, footer. Both footers and the header
// get their checksums after change.
func goodVHD(change func(b []byte)) []byte {
	b := make([]byte, 512+1024+512+512+4096+512)
	be := binary.BigEndian
	f := VHDFooter(8192)
	be.PutUint32(f[60:], vhdDynamic)
	be.PutUint64(f[16:], 512)
	copy(b, f[:])
	h := b[512:]
	copy(h, "cxsparse")
	be.PutUint64(h[8:], vhdNoOffset)
	be.PutUint64(h[16:], 1536)
	be.PutUint32(h[24:], 0x00010000)
	be.PutUint32(h[28:], 2)
	be.PutUint32(h[32:], 4096)
	be.PutUint32(b[1536:], 4)
	be.PutUint32(b[1540:], 1<<32-1)
	change(b)
	be.PutUint32(b[64:], checksum(b[:512]))
	be.PutUint32(h[36:], sumWithout(h[:1024], 36))
	copy(b[len(b)-512:], b[:512])
	return b
}

// goodVMDK has its descriptor in sector 1, the grain directory in 21, a grain table in 22 to 25, two grains of 8 sectors.
func goodVMDK(change func(b []byte)) []byte {
	b := make([]byte, (26+16)*512)
	le := binary.LittleEndian
	copy(b, "KDMV")
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 1)
	le.PutUint64(b[12:], 2048)
	le.PutUint64(b[20:], 8)
	le.PutUint64(b[28:], 1)
	le.PutUint64(b[36:], 20)
	le.PutUint32(b[44:], 512)
	le.PutUint64(b[56:], 21)
	copy(b[73:], "\n \r\n")
	copy(b[512:], goodDescriptor)
	le.PutUint32(b[21*512:], 22)
	le.PutUint32(b[22*512:], 26)
	le.PutUint32(b[22*512+4:], 34)
	change(b)
	return b
}

// streamVMDK is stream-optimised: compressed grains behind markers, the directory found by a footer.
func streamVMDK(change func(b []byte)) []byte {
	return goodVMDK(func(b []byte) {
		le := binary.LittleEndian
		le.PutUint32(b[8:], 1|packedGrains|markers)
		le.PutUint16(b[77:], 1)
		for i, at := range []int{26, 34} {
			le.PutUint64(b[at*512:], uint64(8*i))
			le.PutUint32(b[at*512+8:], 100)
		}
		end := len(b) - 1536
		le.PutUint64(b[end:], 1)
		le.PutUint32(b[end+12:], 3)
		copy(b[end+512:], b[:512])
		le.PutUint64(b[56:], directoryAtEnd)
		change(b)
	})
}

func put32(at int, v uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
}
func put64(at int, v uint64) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint64(b[at:], v) }
}
func big16(at int, v uint16) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) }
}
func big32(at int, v uint32) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) }
}
func big64(at int, v uint64) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint64(b[at:], v) }
}

// lie is a hostile file, and what is said to it.
type lie struct {
	name string
	data []byte
	want Reason
	text string
}

func lies() []lie {
	const v, m, f = 2 * mib, 3 * mib, 64 << 10
	str := func(at int, s string) func([]byte) { return func(b []byte) { copy(b[at:], s) } }
	last := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	return []lie{
		{"qcow2: L1 outside", goodQCOW2(big64(40, 99*cl)), OutOfFile, "the L1 table"},
		{"qcow2: L1 far outside", goodQCOW2(big64(40, 1<<63)), OutOfFile, "the L1 table"},
		{"qcow2: L1 of 32 GiB", goodQCOW2(big32(36, 1<<32-1)), AbsurdSize, "the L1 table"},
		{"qcow2: L1 too short", goodQCOW2(big32(36, 1)), Damaged, "L1 table of this qcow2 is too short"},
		{"qcow2: L1 unaligned", goodQCOW2(big64(40, 3*cl+8)), Damaged, "not at the beginning of a cluster"},
		{"qcow2: L1 on the header", goodQCOW2(big64(40, 0)), Overlap, "the L1 table"},
		{"qcow2: L1 entry reserved", goodQCOW2(big64(3*cl, 4*cl|1)), Damaged, "an L1 entry"},
		{"qcow2: L2 outside", goodQCOW2(big64(3*cl, 1<<40)), OutOfFile, "an L2 table"},
		{"qcow2: L2 is the L1", goodQCOW2(big64(3*cl, 3*cl)), Overlap, "an L2 table"},
		{"qcow2: L2 twice", goodQCOW2(big64(3*cl+8, 4*cl)), Overlap, "an L2 table"},
		{"qcow2: cluster is its own L2", goodQCOW2(big64(4*cl, 4*cl)), Overlap, "a cluster"},
		{"qcow2: L2 is a cluster", goodQCOW2(big64(3*cl+8, 5*cl)), Overlap, "an L2 table"},
		{"qcow2: cluster twice", goodQCOW2(big64(4*cl, 6*cl)), Overlap, "a cluster"},
		{"qcow2: cluster outside", goodQCOW2(big64(4*cl, 1<<50)), OutOfFile, "a cluster"},
		{"qcow2: cluster reserved", goodQCOW2(big64(4*cl, 5*cl|2)), Damaged, "an L2 entry"},
		{"qcow2: compressed outside", goodQCOW2(big64(4*cl+24, 1<<62|1<<40)), OutOfFile, "a compressed cluster"},
		{"qcow2: compressed too long", goodQCOW2(big64(4*cl+24, 1<<62|1<<61|8*cl)), OutOfFile, "a compressed cluster"},
		{"qcow2: compressed in a table", goodQCOW2(big64(4*cl+24, 1<<62|4*cl)), Overlap, "a compressed cluster"},
		{"qcow2: compressed bomb", goodQCOW2(big64(4*cl+32, 1<<62|1<<61|7*cl)), Bomb, "more than once"},
		{"qcow2: refcount table outside", goodQCOW2(big64(48, 1<<40)), OutOfFile, "the refcount table"},
		{"qcow2: refcount table huge", goodQCOW2(big32(56, 1<<30)), AbsurdSize, "the refcount table"},
		{"qcow2: refcount block outside", goodQCOW2(big64(cl, 1<<40)), OutOfFile, "a refcount block"},
		{"qcow2: refcount block is data", goodQCOW2(big64(cl, 5*cl)), Overlap, "a refcount block"},
		{"qcow2: refcount lie", goodQCOW2(big16(2*cl+2*5, 0)), Damaged, "cluster 5 is used by 1 and counted 0 times"},
		{"qcow2: refcount of two", goodQCOW2(big16(2*cl+2*7, 1)), Damaged, "cluster 7 is used by 2 and counted 1 times"},
		{"qcow2: no refcounts", goodQCOW2(big64(cl, 0)), Damaged, "are used and not counted"},
		{"qcow2: refcount order", goodQCOW2(big32(96, 9)), Damaged, "refcounts of 2^9 bits"},
		{"qcow2: LUKS", goodQCOW2(big32(32, 2)), Encrypted, "LUKS"},
		{"qcow2: AES", goodQCOW2(big32(32, 1)), Encrypted, "AES"},
		{"qcow2: LUKS header", goodQCOW2(func(b []byte) { big32(104, 0x0537be77)(b); big32(108, 16)(b) }), Encrypted, "header of an encryption"},
		{"qcow2: compression", goodQCOW2(func(b []byte) { big64(72, 8)(b); big32(100, 112)(b); b[104] = 7 }), Unsupported, "compressed by a method"},
		{"qcow2: cut off", last(5 * cl)(goodQCOW2(same)), OutOfFile, "an L2 table"},
		{"qcow2: snapshots", goodQCOW2(big32(60, 3)), Snapshots, "internal snapshots"},

		{"vhdx: checksums", func() []byte { b := goodVHDX(same); b[f+100]++; b[2*f+100]++; return b }(), Damaged, "neither header"},
		{"vhdx: region checksums", func() []byte { b := goodVHDX(same); b[3*f+100]++; b[4*f+100]++; return b }(), Damaged, "neither region table"},
		{"vhdx: version", goodVHDX(headers(func(h []byte) { h[66] = 2 })), Unsupported, "VHDX version 2"},
		{"vhdx: log", goodVHDX(headers(func(h []byte) { h[50] = 1 })), NeedsReplay, "was not closed"},
		{"vhdx: log in the newer header", goodVHDX(func(b []byte) { b[2*f+50] = 1 }), NeedsReplay, "was not closed"},
		{"vhdx: log outside", goodVHDX(headers(put64(72, 99*mib))), OutOfFile, "the log"},
		{"vhdx: log on the block table", goodVHDX(headers(put64(72, 2*mib))), Overlap, "the same place twice"},
		{"vhdx: region outside", goodVHDX(regions(put64(32, 99*mib))), OutOfFile, "a region"},
		{"vhdx: regions in one place", goodVHDX(regions(put64(64, 2*mib))), Overlap, "the same place twice"},
		{"vhdx: region unaligned", goodVHDX(regions(put64(32, 2*mib+512))), Damaged, "not whole MiB"},
		{"vhdx: region twice", goodVHDX(regions(func(h []byte) { region(h[48:], regionBAT, 3*mib) })), Overlap, "a region twice"},
		{"vhdx: region unknown", goodVHDX(regions(func(h []byte) { h[48]++ })), Unsupported, "needs a region"},
		{"vhdx: no metadata", goodVHDX(regions(put32(8, 1))), Damaged, "no metadata"},
		{"vhdx: regions without end", goodVHDX(regions(put32(8, 1<<31))), Damaged, "a region table of"},
		{"vhdx: no metadata table", goodVHDX(str(m, "nonsense")), Damaged, "the metadata table"},
		{"vhdx: item outside", goodVHDX(put32(m+32+16, 1<<30)), OutOfFile, "a metadata item"},
		{"vhdx: item unknown", goodVHDX(func(b []byte) { b[m+32]++ }), Unsupported, "needs a metadata item"},
		{"vhdx: differencing", goodVHDX(put32(m+f+4, 2)), BackingFile, "differencing"},
		{"vhdx: parent", goodVHDX(func(b []byte) { n, _ := hex.DecodeString(itemParent); copy(b[m+64:], n) }), BackingFile, "names a parent"},
		{"vhdx: no size", goodVHDX(func(b []byte) { b[m+64]++; b[m+64+24] = 0 }), Damaged, "lacks the disk's size"},
		{"vhdx: size absurd", goodVHDX(put64(m+f+8, 1<<60)), AbsurdSize, "a virtual size"},
		{"vhdx: size negative", goodVHDX(put64(m+f+8, 1<<63)), AbsurdSize, "a virtual size"},
		{"vhdx: size zero", goodVHDX(put64(m+f+8, 0)), AbsurdSize, "a virtual size"},
		{"vhdx: block size", goodVHDX(put32(m+f, 12345)), Damaged, "blocks of 12345"},
		{"vhdx: sector size", goodVHDX(put32(m+f+16, 3)), Damaged, "sectors of 3"},
		{"vhdx: block table short", goodVHDX(put64(m+f+8, 1<<40)), OutOfFile, "the block table"},
		{"vhdx: block outside", goodVHDX(put64(v+8, 99*mib|6)), OutOfFile, "a block"},
		{"vhdx: block is the metadata", goodVHDX(put64(v+8, 3*mib|6)), Overlap, "the same place twice"},
		{"vhdx: block twice", goodVHDX(put64(v+16, 4*mib|6)), Overlap, "the same place twice"},
		{"vhdx: block in a parent", goodVHDX(put64(v+8, 4*mib|7)), BackingFile, "partly in a parent"},
		{"vhdx: block state", goodVHDX(put64(v+8, 4*mib|5)), Damaged, "a state 5"},
		{"vhdx: cut off", last(mib)(goodVHDX(same)), OutOfFile, "a block"},
		{"vhdx: cut off early", goodVHDX(same)[:mib-1], Truncated, "headers of 1 MiB"},

		{"vhd: header checksum", func() []byte { b := goodVHD(same); b[512+600]++; return b }(), Damaged, "checksum of the VHD's dynamic header"},
		{"vhd: footer checksum", func() []byte { b := goodVHD(same); b[90]++; return b }(), Damaged, "checksum of the VHD footer"},
		{"vhd: block size", goodVHD(big32(512+32, 3)), Damaged, "blocks of 3"},
		{"vhd: too few entries", goodVHD(big32(512+28, 1)), Damaged, "too few"},
		{"vhd: table outside", goodVHD(big64(512+16, 1<<50)), OutOfFile, "block table"},
		{"vhd: table absurd", goodVHD(big32(512+28, 1<<31)), OutOfFile, "block table"},
		{"vhd: table on the header", goodVHD(big64(512+16, 512+700)), Overlap, "the same place twice"},
		{"vhd: block beyond the file", goodVHD(big32(1536, 1<<30)), OutOfFile, "a block"},
		{"vhd: block in the header", goodVHD(big32(1536, 1)), Overlap, "the same place twice"},
		{"vhd: block in the footer", goodVHD(big32(1536, 5)), OutOfFile, "a block"},
		{"vhd: block twice", goodVHD(big32(1540, 4)), Overlap, "the same place twice"},
		{"vhd: cut off", last(700)(goodVHD(same)), Truncated, "cut off"},
		{"vhd: other footer", func() []byte { b := goodVHD(same); b[len(b)-1]++; return b }(), Truncated, "cut off"},
		{"vhd: differencing", goodVHD(big32(60, 4)), BackingFile, "differencing"},

		{"vmdk: directory outside", goodVMDK(put64(56, 1<<40)), OutOfFile, "the grain directory"},
		{"vmdk: directory nowhere", goodVMDK(put64(56, 0)), OutOfFile, "the grain directory"},
		{"vmdk: table outside", goodVMDK(put32(21*512, 1<<31)), OutOfFile, "a grain table"},
		{"vmdk: table is the directory", goodVMDK(put32(21*512, 21)), Overlap, "the same place twice"},
		{"vmdk: grain outside", goodVMDK(put32(22*512, 1<<31)), OutOfFile, "a grain"},
		{"vmdk: grain is the table", goodVMDK(put32(22*512, 22)), Overlap, "the same place twice"},
		{"vmdk: grain twice", goodVMDK(put32(22*512, 34)), Overlap, "the same place twice"},
		{"vmdk: grain is the header", goodVMDK(put32(22*512, 0xffffffff)), OutOfFile, "a grain"},
		{"vmdk: beyond the disk", goodVMDK(put32(22*512+4*300, 26)), Damaged, "beyond the end"},
		{"vmdk: grain size", goodVMDK(put64(20, 7)), Damaged, "grains of 7"},
		{"vmdk: grain size zero", goodVMDK(put64(20, 0)), Damaged, "grains of 0"},
		{"vmdk: tables of a million", goodVMDK(put32(44, 1<<20)), Damaged, "grain tables of"},
		{"vmdk: line ends", goodVMDK(str(73, "\n \n\n")), Damaged, "line ends"},
		{"vmdk: compression", goodVMDK(func(b []byte) { b[77] = 9 }), Unsupported, "VMDK compression 9"},
		{"vmdk: descriptor none", goodVMDK(str(512, strings.Repeat("x", 200))), Damaged, "the descriptor"},
		{"vmdk: cut off", last(512)(goodVMDK(same)), OutOfFile, "a grain"},
		{"vmdk stream: cut off", last(512)(streamVMDK(same)), Truncated, "no footer"},
		{"vmdk stream: another's footer", streamVMDK(func(b []byte) { b[len(b)-1024+13]++ }), Damaged, "another one's"},
		{"vmdk stream: footer loops", streamVMDK(func(b []byte) { put64(len(b)-1024+56, directoryAtEnd)(b) }), Damaged, "another one's"},
		{"vmdk stream: lying grain", streamVMDK(put64(34*512, 0)), Damaged, "the table says sector 8"},
		{"vmdk stream: grain length", streamVMDK(put32(34*512+8, 1<<31)), Damaged, "the table says sector 8"},
		{"vmdk stream: no markers", streamVMDK(func(b []byte) { put32(len(b)-1024+8, 1|packedGrains)(b); put32(8, 1|packedGrains)(b) }), Unsupported, "no markers"},

		{"luks", append([]byte("LUKS\xba\xbe\x00\x02"), make([]byte, 1016)...), Encrypted, "encrypted with LUKS"},
		{"vdi", func() []byte { b := make([]byte, 1024); copy(b[0x40:], "\x7f\x10\xda\xbe"); return b }(), Unsupported, "VDI"},
		{"qed", append([]byte("QED\x00"), make([]byte, 1020)...), Unsupported, "QED"},
		{"ova", func() []byte { b := make([]byte, 1024); copy(b[257:], "ustar"); return b }(), Archive, "OVA"},
		{"zip", append([]byte("PK\x03\x04"), make([]byte, 1020)...), Archive, "zip"},
		{"7z", append([]byte("7z\xbc\xaf\x27\x1c"), make([]byte, 1018)...), Archive, "7z"},
		{"packed twice", append([]byte("\x1f\x8b\x08"), make([]byte, 1021)...), Archive, "once more"},
	}
}

func TestHostile(t *testing.T) {
	if n := len(lies()); n < 100 {
		t.Fatalf("a corpus of %d", n)
	}
	for _, l := range lies() {
		_, err := Check(t.Context(), bytes.NewReader(l.data), int64(len(l.data)))
		if e, ok := As(err); !ok || e.Reason != l.want || !strings.Contains(e.Text, l.text) {
			t.Errorf("%s: %v, want %s: … %s …", l.name, err, l.want, l.text)
		}
	}
}

// The good files pass, or the corpus would prove nothing.
func TestGoodOnes(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want Info
	}{
		"qcow2": {goodQCOW2(same), Info{QCOW2, 64 << 10}}, "vhdx": {goodVHDX(same), Info{VHDX, 3 * mib}}, "vhd": {goodVHD(same), Info{DynamicVHD, 8192}},
		"vmdk": {goodVMDK(same), Info{VMDK, mib}}, "stream": {streamVMDK(same), Info{VMDK, mib}},
		"vhdx, one header broken":           {goodVHDX(func(b []byte) { copy(b[64<<10:], "xxxx") }), Info{VHDX, 3 * mib}},
		"vhdx, log in the older header":     {goodVHDX(func(b []byte) { b[64<<10+50] = 1 }), Info{VHDX, 3 * mib}},
		"qcow2, dirty, counted too little":  {goodQCOW2(func(b []byte) { big64(72, 1)(b); big16(2*cl+2*5, 0)(b) }), Info{QCOW2, 64 << 10}},
		"qcow2, a cluster leaked":           {goodQCOW2(big64(4*cl, 0)), Info{QCOW2, 64 << 10}},
		"vmdk, a grain of zeros by its bit": {goodVMDK(func(b []byte) { put32(8, 1|zeroGrains)(b); put32(22*512, 1)(b) }), Info{VMDK, mib}},
	} {
		got, err := Check(t.Context(), bytes.NewReader(c.data), int64(len(c.data)))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A file that is cut anywhere, or has any few bytes changed, never panics, and never passes with a size beyond the limit.
func TestMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, good := range [][]byte{goodQCOW2(same), goodVHD(same), goodVMDK(same), streamVMDK(same)} {
		for range 4000 {
			b := bytes.Clone(good)
			for range 1 + r.IntN(4) {
				b[r.IntN(min(len(b), 1+r.IntN(len(b))))] = byte(r.Uint32())
			}
			check(t, b[:len(b)-r.IntN(2)*r.IntN(len(b))])
		}
	}
}

func check(t *testing.T, b []byte) {
	info, err := Check(context.Background(), bytes.NewReader(b), int64(len(b)))
	if err == nil && (info.Size <= 0 || info.Size > MaxSize || info.Size%512 != 0) {
		t.Errorf("size %d was taken", info.Size)
	}
	if err != nil {
		if _, ok := As(err); !ok {
			t.Errorf("%v is nobody's fault", err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, l := range lies() {
		if len(l.data) < 1<<16 {
			f.Add(l.data)
		}
	}
	for _, b := range [][]byte{goodQCOW2(same), goodVHD(same), goodVMDK(same), streamVMDK(same)} {
		f.Add(b)
	}
	f.Fuzz(check)
}

// FuzzVHDX gives the parser what lies behind its checksums: region table, metadata and block table, each at its place.
func FuzzVHDX(f *testing.F) {
	good := goodVHDX(same)
	f.Add(good[192<<10:192<<10+128], good[3*mib:3*mib+128], good[3*mib+64<<10:3*mib+64<<10+24], good[2*mib:2*mib+64])
	f.Fuzz(func(t *testing.T, table, items, values, blocks []byte) {
		check(t, goodVHDX(func(b []byte) {
			copy(b[192<<10:256<<10], table)
			copy(b[3*mib:3*mib+64<<10], items)
			copy(b[3*mib+64<<10:4*mib], values)
			copy(b[2*mib:3*mib], blocks)
		}))
	})
}
