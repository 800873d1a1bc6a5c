package builtin

import (
	"encoding/binary"
	"math/bits"
)

func base32(h uint64) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	out := make([]byte, 13)
	for i := range out {
		out[i] = letters[h>>59]
		h <<= 5
	}
	return string(out)
}

// Hash64 is the variant of MurmurHash3 that ARM uses: two lanes of 32 bits with the constants of the x86 128-bit form.
func Hash64(data []byte) uint64 {
	var h1, h2 uint32
	mix1 := func(k uint32) { h1 ^= bits.RotateLeft32(k*0x239b961b, 15) * 0xab0e9789 }
	mix2 := func(k uint32) { h2 ^= bits.RotateLeft32(k*0xab0e9789, 17) * 0x239b961b }
	n := uint32(len(data))
	for ; len(data) >= 8; data = data[8:] {
		mix1(binary.LittleEndian.Uint32(data))
		h1 = (bits.RotateLeft32(h1, 19)+h2)*5 + 0x561ccd1b
		mix2(binary.LittleEndian.Uint32(data[4:]))
		h2 = (bits.RotateLeft32(h2, 13)+h1)*5 + 0x0bcaa747
	}
	if len(data) > 0 {
		var tail [8]byte
		copy(tail[:], data)
		mix1(binary.LittleEndian.Uint32(tail[:]))
		if len(data) > 4 {
			mix2(binary.LittleEndian.Uint32(tail[4:]))
		}
	}
	h1 ^= n
	h2 ^= n
	h1 += h2
	h2 += h1
	h1, h2 = finish(h1), finish(h2)
	h1 += h2
	h2 += h1
	return uint64(h2)<<32 | uint64(h1)
}

func finish(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
