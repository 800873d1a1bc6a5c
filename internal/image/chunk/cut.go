package chunk

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The cut rule, number 1 of the format. Changing any of this means a new number: equal disks would otherwise share
// nothing. Sizes in bytes.
const (
	cutRule = 1
	minimum = 4 * Block // a cut by hash is not looked for before
	cutBits = 4         // a block ends a chunk when so many high bits of its hash are zero: 1 in 16

	// Block is what disks are cut at.
	Block = 4096
	// Max is the most that a chunk can have; a cut is made there at the latest.
	Max = 64 * Block
)

// Next finds the first chunk of data, which begins at a block boundary of the disk. It returns its length and whether
// it is a run of zero blocks, which is not stored. Length 0 asks for more data; final says that no more will come
// before a hole or the end of the disk.
//
// A chunk ends before a zero block, after Max, and after any block from minimum on whose hash says so. Each of
// these depends on content since the last cut alone, so the same content is found again at any 4 KiB distance.
func Next(data []byte, final bool) (n int, zero bool) {
	if run := zeroRun(data); run > 0 {
		return run, true
	}
	for end := Block; ; end += Block {
		switch {
		case end > len(data):
			if final {
				return len(data), false
			}
			return 0, false
		case end > Block && IsZero(data[end-Block:end]):
			return end - Block, false
		case end == Max:
			return end, false
		case end >= minimum && hashBlock(data[end-Block:end])>>(64-cutBits) == 0:
			return end, false
		}
	}
}

// zeroRun is the length of the zero blocks that data begins with. A part of a block at the end counts if it is zero:
// only the end of a disk is not whole.
func zeroRun(data []byte) int {
	n := 0
	for n < len(data) {
		end := min(n+Block, len(data))
		if !IsZero(data[n:end]) {
			break
		}
		n = end
	}
	return n
}

// IsZero says so of at most a block.
func IsZero(b []byte) bool {
	var zeros [Block]byte
	return bytes.Equal(b, zeros[:len(b)])
}

// The primes of XXH64.
const (
	prime1 = 0x9E3779B185EBCA87
	prime2 = 0xC2B2AE3D27D4EB4F
	prime3 = 0x165667B19E3779F9
	prime4 = 0x85EBCA77C2B2AE63
)

// hashBlock is XXH64 with seed 0 for input whose length is a multiple of 32, as a Block's is: no remainder to mix in.
func hashBlock(b []byte) uint64 {
	n := uint64(len(b))
	v1, v2, v3, v4 := uint64(prime1), uint64(prime2), uint64(0), uint64(0)
	v1 += prime2
	v4 -= prime1
	for ; len(b) >= 32; b = b[32:] {
		v1 = round(v1, binary.LittleEndian.Uint64(b[0:8:8]))
		v2 = round(v2, binary.LittleEndian.Uint64(b[8:16:16]))
		v3 = round(v3, binary.LittleEndian.Uint64(b[16:24:24]))
		v4 = round(v4, binary.LittleEndian.Uint64(b[24:32:32]))
	}
	h := bits.RotateLeft64(v1, 1) + bits.RotateLeft64(v2, 7) + bits.RotateLeft64(v3, 12) + bits.RotateLeft64(v4, 18)
	for _, v := range [...]uint64{v1, v2, v3, v4} {
		h = (h^round(0, v))*prime1 + prime4
	}
	h += n
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}

func round(acc, input uint64) uint64 {
	return bits.RotateLeft64(acc+input*prime2, 31) * prime1
}
