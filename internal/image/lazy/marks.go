package lazy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"syscall"

	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

// A map is blocks of one sector, so that a torn write leaves old or new blocks: a head, then bits, each with a checksum
// that also covers the block's place. A block that is not sound says that nothing is there.
const (
	sector    = 512
	body      = sector - 4
	perBlock  = body * 8
	markMagic = "VITRINEL"
	markForm  = 1
)

// identity is what a map is of. The inode is that of the file: a copy or another file of the same name has other bytes.
type identity struct {
	content digest.Digest
	size    int64
	inode   uint64
	entries int
}

func (d identity) head() []byte {
	b := make([]byte, 0, sector)
	b = append(b, markMagic...)
	b = binary.BigEndian.AppendUint32(b, markForm)
	b = append(b, d.content[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(d.size))
	b = binary.BigEndian.AppendUint64(b, d.inode)
	b = binary.BigEndian.AppendUint64(b, uint64(d.entries))
	return seal(b[:body], 0)
}

// seal appends the checksum of a block.
func seal(b []byte, block int) []byte { return binary.BigEndian.AppendUint32(b, checksum(b, block)) }

func checksum(b []byte, block int) uint32 {
	at := binary.BigEndian.AppendUint64(nil, uint64(block))
	return crc32.Update(crc32.ChecksumIEEE(at), crc32.IEEETable, b)
}

func sound(b []byte, block int) bool {
	return binary.BigEndian.Uint32(b[body:]) == checksum(b[:body], block)
}

// marks says which entries are in the file. The Base's lock guards all but file.
type marks struct {
	file   file
	bits   []byte // of all blocks, without head and checksums
	count  int
	behind map[int]struct{} // blocks whose bits are not on the disk
	head   []byte           // to be written with the first block; nil: it is there
}

// readMarks reads the map of d; one of something else, or none, is an empty one.
func readMarks(f file, d identity, entries int) (*marks, error) {
	blocks := (entries + perBlock - 1) / perBlock
	m := &marks{file: f, bits: make([]byte, blocks*body), behind: map[int]struct{}{}}
	raw := make([]byte, (1+blocks)*sector)
	n, err := f.ReadAt(raw, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("lazy: %w", err)
	}
	clear(raw[n:])
	if !slices.Equal(raw[:sector], d.head()) {
		m.head = d.head()
		return m, nil
	}
	for k := range blocks {
		if b := raw[(1+k)*sector:][:sector]; sound(b, 1+k) {
			copy(m.bits[k*body:], b[:body])
		}
	}
	for i := range blocks * perBlock {
		if m.has(i) && i < entries {
			m.count++
		} else if m.has(i) {
			m.bits[i/8] &^= 1 << (i % 8)
		}
	}
	return m, nil
}

func (m *marks) has(i int) bool { return m.bits[i/8]&(1<<(i%8)) != 0 }

func (m *marks) set(i int) {
	if m.has(i) {
		return
	}
	m.bits[i/8] |= 1 << (i % 8)
	m.count++
	m.behind[i/perBlock] = struct{}{}
}

// changed is a block as it is to be written.
type changed struct {
	block int
	bytes []byte
}

// dirty takes the blocks that are not on the disk, as they are now.
func (m *marks) dirty() (list []changed) {
	for k := range m.behind {
		list = append(list, changed{k, slices.Clone(m.bits[k*body:][:body])})
	}
	clear(m.behind)
	return list
}

// again notes that blocks could not be written.
func (m *marks) again(list []changed) {
	for _, c := range list {
		m.behind[c.block] = struct{}{}
	}
}

// write is called by one goroutine at a time. A map that was of something else is emptied, and that is on the disk, before it
// gets this head: else a crash could leave the head above bits of the other.
func (m *marks) write(list []changed) error {
	if m.head != nil {
		empty := make([]byte, sector+len(m.bits)/body*sector)
		if _, err := m.file.WriteAt(empty, 0); err != nil {
			return err
		}
		if err := m.file.Sync(); err != nil {
			return err
		}
		if _, err := m.file.WriteAt(m.head, 0); err != nil {
			return err
		}
		m.head = nil
	}
	for _, c := range list {
		if _, err := m.file.WriteAt(seal(c.bytes, 1+c.block), int64(1+c.block)*sector); err != nil {
			return err
		}
	}
	return m.file.Sync()
}

func inodeOf(st os.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}

// find gives the index of the first entry that ends after off.
func find(entries []chunk.Entry, off int64) int {
	i, _ := slices.BinarySearchFunc(entries, off, func(e chunk.Entry, off int64) int {
		if e.End() <= off {
			return -1
		}
		return 1
	})
	return i
}
