package format

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

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
	case crypt == 2:
		return Info{}, fault(Encrypted, "this qcow2 is encrypted with LUKS; decrypt it first (qemu-img convert)")
	case crypt != 0:
		return Info{}, fault(Encrypted, "this qcow2 is encrypted (AES); decrypt it first (qemu-img convert)")
	case clusterBits < 9 || clusterBits > 21:
		return Info{}, fault(Damaged, "qcow2 clusters of 2^%d bytes", clusterBits)
	case be.Uint32(head[60:]) != 0:
		return Info{}, fault(Snapshots, "this qcow2 has internal snapshots; flatten it first (qemu-img convert)")
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
	case features&(1<<3) != 0 && (length <= 104 || len(head) <= 104 || head[104] > 1):
		return fault(Unsupported, "this qcow2 is compressed by a method that is not known (zlib and zstd are)")
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
		if kind == 0x0537be77 {
			return fault(Encrypted, "this qcow2 has the header of an encryption")
		}
		if n = (n + 7) / 8 * 8; n > uint64(len(rest)-8) {
			return fault(Damaged, "a qcow2 header extension of %d bytes", n)
		}
		rest = rest[8+n:]
	}
	return nil
}

const (
	maxClusters = 1 << 26  // of a file: two bytes of memory each
	maxL1       = 32 << 20 // bytes of an L1 or refcount table; QEMU takes no more either
	maxPacked   = 1 << 24  // compressed clusters: eight bytes of memory each

	exclusive = 1 << 15 // in a count: the cluster is one thing's alone
)

// qcow2Walk counts who uses each cluster of the file.
type qcow2Walk struct {
	r       io.ReaderAt
	size    int64 // of the file
	bits    uint32
	entry   int64 // bytes of an L2 entry
	version uint32
	counts  []uint16
	packed  []uint64 // where compressed clusters begin
}

// checkQCOW2 reads the L1, L2 and refcount tables. The header passed sniffQCOW2.
func checkQCOW2(ctx context.Context, r io.ReaderAt, size int64) error {
	head := make([]byte, 112)
	if n, err := r.ReadAt(head, 0); n < 72 {
		return err
	}
	be := binary.BigEndian
	w := &qcow2Walk{r: r, size: size, bits: be.Uint32(head[20:]), version: be.Uint32(head[4:]), entry: 8}
	var features uint64
	order := uint32(4)
	if w.version == 3 {
		features, order = be.Uint64(head[72:]), be.Uint32(head[96:])
	}
	if features&(1<<4) != 0 {
		w.entry = 16
	}
	if order > 6 {
		return fault(Damaged, "qcow2 refcounts of 2^%d bits", order)
	}
	clusters := (uint64(size) + w.cluster() - 1) >> w.bits
	if clusters > maxClusters {
		return fault(Unsupported, "a qcow2 file of %d clusters; at most %d are taken", clusters, maxClusters)
	}
	w.counts = make([]uint16, clusters)
	if err := w.claim("the header", 0, 1); err != nil {
		return err
	}
	l1 := tableAt{be.Uint64(head[40:]), uint64(be.Uint32(head[36:])) * 8}
	if span := uint64(w.cluster()) / uint64(w.entry) << w.bits; l1.bytes/8 < (be.Uint64(head[24:])+span-1)/span {
		return fault(Damaged, "the L1 table of this qcow2 is too short for its size")
	}
	refs := tableAt{be.Uint64(head[48:]), uint64(be.Uint32(head[56:])) << w.bits}
	if err := errors.Join(w.table("the refcount table", refs), w.table("the L1 table", l1)); err != nil {
		return err
	}
	if err := w.tables(ctx, l1); err != nil {
		return err
	}
	if err := w.once(); err != nil {
		return err
	}
	return w.refcounts(ctx, refs, order, features&1 != 0)
}

// tableAt is where a table lies.
type tableAt struct{ at, bytes uint64 }

func (w *qcow2Walk) cluster() uint64 { return 1 << w.bits }

// claim takes whole clusters for one thing.
func (w *qcow2Walk) claim(what string, at, n uint64) error {
	first := at >> w.bits
	if at%w.cluster() != 0 {
		return fault(Damaged, "%s of this qcow2 at %d is not at the beginning of a cluster", what, at)
	}
	if first > uint64(len(w.counts)) || n > uint64(len(w.counts))-first {
		return fault(OutOfFile, "%s of this qcow2 at %d lies outside the file of %d bytes", what, at, w.size)
	}
	for i := first; i < first+n; i++ {
		if w.counts[i] != 0 {
			return fault(Overlap, "%s of this qcow2 at %d lies where something else is", what, at)
		}
		w.counts[i] = exclusive
	}
	return nil
}

func (w *qcow2Walk) table(what string, t tableAt) error {
	if t.bytes > maxL1 {
		return fault(AbsurdSize, "%s of this qcow2 has %d bytes", what, t.bytes)
	}
	if t.at+t.bytes > uint64(w.size) || t.at > uint64(w.size) {
		return fault(OutOfFile, "%s of this qcow2 at %d lies outside the file of %d bytes", what, t.at, w.size)
	}
	return w.claim(what, t.at, (t.bytes+w.cluster()-1)>>w.bits)
}

const place = 0x00fffffffffffe00 // the bits of an entry that are an offset

// tables walks L1 and every L2.
func (w *qcow2Walk) tables(ctx context.Context, l1 tableAt) error {
	be := binary.BigEndian
	return stretches(ctx, w.r, "the L1 table", int64(l1.at), int64(l1.bytes), func(_ int64, b []byte) error {
		for ; len(b) > 0; b = b[8:] {
			e := be.Uint64(b)
			if e&^(place|1<<63) != 0 {
				return fault(Damaged, "an L1 entry of this qcow2 has reserved bits (%#x)", e)
			}
			at := e & place
			if at == 0 {
				continue
			}
			if err := w.claim("an L2 table", at, 1); err != nil {
				return err
			}
			if err := stretches(ctx, w.r, "an L2 table", int64(at), int64(w.cluster()), w.l2); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *qcow2Walk) l2(_ int64, b []byte) error {
	be := binary.BigEndian
	for ; len(b) > 0; b = b[w.entry:] {
		e := be.Uint64(b)
		if e&(1<<62) != 0 {
			if err := w.compressed(e); err != nil {
				return err
			}
			continue
		}
		reserved := ^uint64(place | 1<<63)
		if w.version == 3 && w.entry == 8 {
			reserved &^= 1 // reads as zeros
		}
		if e&reserved != 0 {
			return fault(Damaged, "an L2 entry of this qcow2 has reserved bits (%#x)", e)
		}
		if at := e & place; at != 0 {
			if err := w.claim("a cluster", at, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// compressed takes the sectors of a compressed cluster; others may end and begin in the same ones.
func (w *qcow2Walk) compressed(e uint64) error {
	x := 62 - (w.bits - 8)
	at, sectors := e&(1<<x-1), e&^(3<<62)>>x+1
	end := at&^511 + sectors*512
	if at == 0 || end > (uint64(w.size)+511)&^511 {
		return fault(OutOfFile, "a compressed cluster of this qcow2 at %d lies outside the file of %d bytes", at, w.size)
	}
	for i := at >> w.bits; i <= (end-1)>>w.bits && i < uint64(len(w.counts)); i++ {
		if w.counts[i] >= exclusive {
			return fault(Overlap, "a compressed cluster of this qcow2 at %d lies where something else is", at)
		}
		w.counts[i] = min(w.counts[i]+1, exclusive-1)
	}
	if len(w.packed) == maxPacked {
		return fault(Unsupported, "a qcow2 of more than %d compressed clusters", maxPacked)
	}
	w.packed = append(w.packed, at)
	return nil
}

// once refuses a compressed cluster that stands for many: a few bytes would become a disk.
func (w *qcow2Walk) once() error {
	slices.Sort(w.packed)
	for i := 1; i < len(w.packed); i++ {
		if w.packed[i] == w.packed[i-1] {
			return fault(Bomb, "this qcow2 names the compressed cluster at %d more than once", w.packed[i])
		}
	}
	return nil
}

// refcounts checks that what is used is counted as used. A file that was not closed may count too little, and says so.
func (w *qcow2Walk) refcounts(ctx context.Context, t tableAt, order uint32, dirty bool) error {
	be := binary.BigEndian
	perBlock := w.cluster() * 8 >> order
	return stretches(ctx, w.r, "the refcount table", int64(t.at), int64(t.bytes), func(done int64, b []byte) error {
		for i := 0; i < len(b); i += 8 {
			at := be.Uint64(b[i:]) &^ 511
			first := (uint64(done) + uint64(i)) / 8 * perBlock
			if at == 0 {
				if !dirty && first < uint64(len(w.counts)) && slices.ContainsFunc(w.counts[first:min(first+perBlock, uint64(len(w.counts)))], func(n uint16) bool { return n != 0 }) {
					return fault(Damaged, "the refcounts of this qcow2 lie: clusters from %d on are used and not counted", first)
				}
				continue
			}
			if err := w.claim("a refcount block", at, 1); err != nil {
				return err
			}
			if dirty || first >= uint64(len(w.counts)) {
				continue
			}
			if err := w.block(int64(at), first, order); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *qcow2Walk) block(at int64, first uint64, order uint32) error {
	b, err := exactly(w.r, "a refcount block", at, int(w.cluster()))
	if err != nil {
		return err
	}
	for i := range uint64(w.cluster() * 8 >> order) {
		n := first + i
		if n >= uint64(len(w.counts)) {
			return nil
		}
		used := uint64(w.counts[n])
		if used >= exclusive {
			used = 1
		}
		if counted(b, i, order) < used {
			return fault(Damaged, "the refcounts of this qcow2 lie: cluster %d is used by %d and counted %d times", n, used, counted(b, i, order))
		}
	}
	return nil
}

// counted is the i-th number of 2^order bits.
func counted(b []byte, i uint64, order uint32) uint64 {
	be := binary.BigEndian
	switch order {
	case 3:
		return uint64(b[i])
	case 4:
		return uint64(be.Uint16(b[i*2:]))
	case 5:
		return uint64(be.Uint32(b[i*4:]))
	case 6:
		return be.Uint64(b[i*8:])
	}
	width := uint64(1) << order // 1, 2, 4 bits: the lowest first
	return uint64(b[i*width/8]) >> (i * width % 8) & (1<<width - 1)
}
