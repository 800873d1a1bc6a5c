package packs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"vitrine/internal/digest"
)

// The server follows its records, and NewReader needs a directory alone. This is how somebody reads who has a whole pack.

// open reads the directory of a whole pack and refuses anything that build does not make.
func open(pack []byte) (raw [idSize]byte, spots []located, err error) {
	if len(pack) < headLen+footLen || string(pack[:8]) != magic || string(pack[len(pack)-8:]) != magic {
		return raw, nil, fmt.Errorf("%w: no head or no foot", errPack)
	}
	if v := binary.BigEndian.Uint16(pack[8:]); v != version || binary.BigEndian.Uint16(pack[10:]) != 0 {
		return raw, nil, fmt.Errorf("%w: version %d is not known here", errPack, v)
	}
	count, foot := int64(binary.BigEndian.Uint32(pack[12:])), pack[len(pack)-footLen:]
	size := int64(binary.BigEndian.Uint32(foot))
	start := int64(len(pack)) - footLen - size
	if size != count*entryLen || start < headLen {
		return raw, nil, fmt.Errorf("%w: %d frames and a directory of %d bytes in %d", errPack, count, size, len(pack))
	}
	directory := pack[start : start+size]
	if sum := sumOf(pack[:headLen], directory); !bytes.Equal(sum[:], foot[4:4+sha256.Size]) {
		return raw, nil, fmt.Errorf("%w: head or directory was changed", errPack)
	}
	copy(raw[:], pack[headLen-idSize:])
	at := int64(headLen)
	for ; len(directory) > 0; directory = directory[entryLen:] {
		n := binary.BigEndian.Uint32(directory[sha256.Size:])
		spots = append(spots, located{digest.Digest(directory), uint32(at), n})
		if at += int64(n); at > start {
			break
		}
	}
	if at != start {
		return raw, nil, fmt.Errorf("%w: the frames are not as long as the directory says", errPack)
	}
	return raw, spots, nil
}
