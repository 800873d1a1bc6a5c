package format

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Plan is the form of a disk's file: where each of its bytes goes, and what else is in it. The whole is known before the first
// byte of content, so that a file can be written in any order, in parts, and to a pipe.
type Plan struct {
	Size  int64 // of the file
	Disk  int64 // of the disk
	Head  []byte
	Tail  []byte // at the end of the file
	index []int64
}

// planCluster is the size of qcow2's clusters, QEMU's default.
const planCluster = 64 << 10

// Span is a stretch of a disk that may hold something, half-open.
type Span struct{ Start, End int64 }

// PlanRaw is the disk as it is.
func PlanRaw(size int64) *Plan { return &Plan{Size: size, Disk: size} }

// PlanFixedVHD is the disk with a footer.
func PlanFixedVHD(size int64) *Plan {
	f := VHDFooter(size)
	return &Plan{Size: size + FooterSize, Disk: size, Tail: f[:]}
}

// maxPlan bounds disks that are written as qcow2: their tables are kept in memory, 1/8192 of the disk.
const maxPlan = 4 << 40

// PlanQCOW2 is a qcow2 of version 3 with clusters for the spans alone, in the disk's order, and no more than its tables before
// them. Spans ascend.
func PlanQCOW2(size int64, spans []Span) (*Plan, error) {
	if size > maxPlan {
		return nil, fmt.Errorf("a disk of %d bytes is not written as qcow2; at most %d are", size, int64(maxPlan))
	}
	p := &Plan{Disk: size}
	for _, s := range spans {
		for c := s.Start / planCluster; c*planCluster < min(s.End, size); c++ {
			if n := len(p.index); n == 0 || p.index[n-1] < c {
				p.index = append(p.index, c)
			}
		}
	}
	const perTable, perBlock = planCluster / 8, planCluster / 2
	tables := int64(0) // L2 tables that hold anything
	for i, c := range p.index {
		if i == 0 || p.index[i-1]/perTable != c/perTable {
			tables++
		}
	}
	entries := (size + perTable*planCluster - 1) / (perTable * planCluster) // of L1
	l1 := up(entries*8, planCluster) / planCluster
	rest := 1 + l1 + tables + int64(len(p.index))
	blocks, refs := int64(0), int64(0)
	for total := int64(-1); total != rest+blocks+refs; { // refcounts count themselves
		total = rest + blocks + refs
		blocks = up(total, perBlock) / perBlock
		refs = up(blocks*8, planCluster) / planCluster
	}
	first := 1 + refs + blocks + l1 + tables // cluster of the content
	p.Head = make([]byte, first*planCluster)
	p.Size = (first + int64(len(p.index))) * planCluster
	q := qcow2Plan{Plan: p, refs: refs, blocks: blocks, l1: l1, entries: entries}
	q.header()
	q.fill(first)
	return p, nil
}

func up(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// qcow2Plan writes the head: header, refcount table, refcount blocks, L1, L2 tables.
type qcow2Plan struct {
	*Plan
	refs, blocks, l1, entries int64
}

func (q *qcow2Plan) header() {
	be, b := binary.BigEndian, q.Head
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], uint64(q.Disk))
	be.PutUint32(b[36:], uint32(q.entries))
	be.PutUint64(b[40:], uint64(1+q.refs+q.blocks)*planCluster)
	be.PutUint64(b[48:], planCluster)
	be.PutUint32(b[56:], uint32(q.refs))
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 104)
}

func (q *qcow2Plan) fill(first int64) {
	be, b := binary.BigEndian, q.Head
	for i := range q.blocks {
		be.PutUint64(b[planCluster+8*i:], uint64(1+q.refs+i)*planCluster)
	}
	for i := range q.Size / planCluster {
		be.PutUint16(b[(1+q.refs)*planCluster+2*i:], 1)
	}
	const copied, perTable = 1 << 63, planCluster / 8
	l1, table := (1+q.refs+q.blocks)*planCluster, q.refs+q.blocks+q.l1 // the table before the first
	last := int64(-1)
	for i, c := range q.index {
		if c/perTable != last {
			last = c / perTable
			table++
			be.PutUint64(b[l1+8*last:], copied|uint64(table)*planCluster)
		}
		be.PutUint64(b[table*planCluster+8*(c%perTable):], copied|uint64(first+int64(i))*planCluster)
	}
}

// Place says where the disk's byte at off goes in the file, and how many from there on go to one stretch, n at most. When they
// go nowhere, being zeros, at is negative.
func (p *Plan) Place(off, n int64) (at, length int64) {
	if p.index == nil {
		if p.Head != nil { // a qcow2 of nothing
			return -1, n
		}
		return off, n
	}
	c := off / planCluster
	i, found := slices.BinarySearch(p.index, c)
	if !found {
		next := p.Disk
		if i < len(p.index) {
			next = p.index[i] * planCluster
		}
		return -1, min(n, next-off)
	}
	run := int64(1)
	for i+int(run) < len(p.index) && p.index[i+int(run)] == c+run && run*planCluster < n+planCluster {
		run++
	}
	return int64(len(p.Head)) + int64(i)*planCluster + off%planCluster, min(n, run*planCluster-off%planCluster)
}
