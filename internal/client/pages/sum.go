package pages

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
)

// Sum is the digest of a raw disk by which an export is compared with what was imported. Zeros cost nothing in it, and its
// parts may come in any order: it is SHA-256 of "vitrine-disk 1\n", the size (8 bytes, big-endian), and for each window of
// 4 MiB that holds anything but zeros, ascending, its offset (8) and the SHA-256 of its bytes; the last window may be shorter.
type Sum struct {
	mu    sync.Mutex
	size  int64
	parts []sumPart
}

type sumPart struct {
	at  int64
	sum [sha256.Size]byte
}

func (d *Sum) begin(size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size, d.parts = size, nil
}

// add adds the bytes of one window, which begins at a multiple of window.
func (d *Sum) add(at int64, b []byte) {
	if blankBytes(b) {
		return
	}
	part := sumPart{at, sha256.Sum256(b)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts = append(d.parts, part)
}

// String is the digest of the windows that were added.
func (d *Sum) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.SortFunc(d.parts, func(a, b sumPart) int { return cmp.Compare(a.at, b.at) })
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64([]byte("vitrine-disk 1\n"), uint64(d.size)))
	for _, p := range d.parts {
		h.Write(append(binary.BigEndian.AppendUint64(nil, uint64(p.at)), p.sum[:]...))
	}
	return "vitrine-disk-1:" + hex.EncodeToString(h.Sum(nil))
}

func blankBytes(b []byte) bool {
	var zeros [4096]byte
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}
