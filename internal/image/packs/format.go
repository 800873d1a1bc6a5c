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

// draft is a pack that is being filled. Its zero value is one without frames.
type draft struct {
	data  []byte // room for the head, then the frames; after finish the whole pack
	end   int    // of the frames in data; 0: there are none
	spots []located
}

// add copies a frame to the end.
func (d *draft) add(id digest.Digest, data []byte) {
	if d.end == 0 {
		d.data, d.end = append(d.data[:0], make([]byte, headLen)...), headLen
	}
	d.spots = append(d.spots, located{id, uint32(d.end), uint32(len(data))})
	d.data = append(d.data[:d.end], data...)
	d.end = len(d.data)
}

// frames is how many bytes they have.
func (d *draft) frames() int64 { return int64(max(0, d.end-headLen)) }

// reset makes it one without frames, which has the memory of this.
func (d *draft) reset() { d.end, d.spots = 0, d.spots[:0] }

// finish makes a pack of that name of one that has frames. It is the draft's own memory until the next call: finish may be called again, with another name.
func (d *draft) finish(raw [idSize]byte) []byte {
	d.data = d.data[:d.end]
	appendHead(d.data[:0], raw, len(d.spots))
	for _, at := range d.spots {
		d.data = append(d.data, at.id[:]...)
		d.data = binary.BigEndian.AppendUint32(d.data, at.length)
	}
	sum := sumOf(d.data[:headLen], d.data[d.end:])
	d.data = binary.BigEndian.AppendUint32(d.data, uint32(len(d.data)-d.end))
	d.data = append(d.data, sum[:]...)
	d.data = append(d.data, magic...)
	return d.data
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
