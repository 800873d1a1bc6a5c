package packs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

const (
	tailGuess = 32 << 10         // bytes that are read of a pack's end: nearly every directory fits
	maxFrame  = chunk.Max + 1024 // bytes of a chunk's frame: what seals it takes some
)

var errPack = errors.New("malformed pack")

// packID reads the key of a pack of a domain.
func packID(domain, key string) (raw [idSize]byte, ok bool) {
	name, found := strings.CutPrefix(key, packPrefix(domain))
	if !found || len(name) != 2*idSize || strings.ToLower(name) != name {
		return raw, false
	}
	n, err := hex.Decode(raw[:], []byte(name))
	return raw, err == nil && n == idSize
}

// directory reads where the frames of a pack lie, by its last bytes alone. The head is not read: its sum stands in the foot, and the pack's
// key says what must be in it. errPack refuses anything that build does not make; blob.ErrNotFound.
func directory(ctx context.Context, b *blob.Bucket, raw [idSize]byte, key string, size int64) ([]located, error) {
	if size < headLen+footLen || size > blob.MaxObject {
		return nil, fmt.Errorf("%w: %d bytes", errPack, size)
	}
	n := min(size, tailGuess)
	tail, err := part(ctx, b, key, size-n, n)
	if err != nil {
		return nil, err
	}
	foot := tail[n-footLen:]
	length := int64(binary.BigEndian.Uint32(foot))
	count := length / entryLen
	start := size - footLen - length
	if string(foot[footLen-len(magic):]) != magic || length%entryLen != 0 || count > maxFrames || start < headLen {
		return nil, fmt.Errorf("%w: no foot, or a directory of %d bytes in %d", errPack, length, size)
	}
	entries := tail[:n-footLen]
	if length <= int64(len(entries)) {
		entries = entries[int64(len(entries))-length:]
	} else if entries, err = part(ctx, b, key, start, length); err != nil {
		return nil, err
	}
	if sum := sumOf(appendHead(nil, raw, int(count)), entries); !bytes.Equal(sum[:], foot[4:4+sha256.Size]) {
		return nil, fmt.Errorf("%w: head or directory was changed, or it is the one of another pack", errPack)
	}
	return spotsOf(entries, start)
}

// spotsOf lists the frames before start.
func spotsOf(entries []byte, start int64) ([]located, error) {
	spots, at := make([]located, 0, len(entries)/entryLen), int64(headLen)
	for ; len(entries) > 0; entries = entries[entryLen:] {
		n := binary.BigEndian.Uint32(entries[sha256.Size:])
		if n > maxFrame || at+int64(n) > start {
			return nil, fmt.Errorf("%w: a frame of %d bytes at %d, where %d is the end", errPack, n, at, start)
		}
		spots = append(spots, located{digest.Digest(entries), uint32(at), n})
		at += int64(n)
	}
	if at != start {
		return nil, fmt.Errorf("%w: its frames end at %d, not at %d", errPack, at, start)
	}
	return spots, nil
}

// part is a range of a pack; one that is shorter than its listing says is malformed.
func part(ctx context.Context, b *blob.Bucket, key string, offset, length int64) ([]byte, error) {
	data, err := b.GetRange(ctx, key, offset, length)
	if errors.Is(err, blob.ErrRange) {
		return nil, fmt.Errorf("%w: %w", errPack, err)
	}
	return data, err
}
