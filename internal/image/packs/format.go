package packs

import (
	"crypto/sha256"
	"encoding/binary"

	"vitrine/internal/digest"
)

// A pack, version 1, which docs/design/image-format.md describes: head, frames one behind the other, directory, foot. Integers are big-endian.
//
//	head       VITRINEP, version (2), zero (2), count of frames (4), the pack's id (16)
//	directory  for each frame: chunk id (32), length (4)
//	foot       length of the directory (4), SHA-256 of head and directory (32), VITRINEP
const (
	magic    = "VITRINEP"
	version  = 1
	idSize   = 16
	headLen  = 8 + 2 + 2 + 4 + idSize
	entryLen = sha256.Size + 4
	footLen  = 4 + sha256.Size + 8
)

// located is where a chunk's frame lies in its pack.
type located struct {
	id             digest.Digest
	offset, length uint32
}

// build makes a pack.
func build(frames []frame) (id string, pack []byte, spots []located) {
	raw, id := newID()
	pack, spots = buildAs(raw, frames)
	return id, pack, spots
}

func buildAs(raw [idSize]byte, frames []frame) (pack []byte, spots []located) {
	total := headLen + footLen + entryLen*len(frames)
	for _, f := range frames {
		total += len(f.data)
	}
	b := appendHead(make([]byte, 0, total), raw, len(frames))
	for _, f := range frames {
		spots = append(spots, located{f.id, uint32(len(b)), uint32(len(f.data))})
		b = append(b, f.data...)
	}
	start := len(b)
	for _, f := range frames {
		b = append(b, f.id[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(f.data)))
	}
	sum := sumOf(b[:headLen], b[start:])
	b = binary.BigEndian.AppendUint32(b, uint32(len(b)-start))
	b = append(b, sum[:]...)
	return append(b, magic...), spots
}

func appendHead(b []byte, raw [idSize]byte, count int) []byte {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	return append(b, raw[:]...)
}

func sumOf(head, directory []byte) (sum digest.Digest) {
	h := sha256.New()
	h.Write(head)
	h.Write(directory)
	h.Sum(sum[:0])
	return sum
}
