// Package digest is the name of bytes: "sha256:" and 64 lower-case hexadecimal digits.
//
// It owns how such a name is written, read and checked. It does not know what the bytes are:
//
//	bytes ── Of ──▶ Digest ── String ──▶ document, key …  ── Parse ──▶ Digest ── Verify(bytes) ──▶ nil or *Mismatch
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const prefix = "sha256:"

// Digest is the SHA-256 of some bytes. The zero value names nothing that occurs in practice.
type Digest [sha256.Size]byte

// Of names b.
func Of(b []byte) Digest { return sha256.Sum256(b) }

// String gives the written form, "sha256:<64 hex>".
func (d Digest) String() string { return prefix + d.Hex() }

// Hex gives the 64 hexadecimal digits alone, as used in object keys.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// Parse reads what String writes. Upper-case digits are refused, so that a name has one spelling.
func Parse(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return Digest{}, fmt.Errorf("digest %.80q does not begin with %q", s, prefix)
	}
	return ParseHex(h)
}

// ParseHex reads what Hex writes.
func ParseHex(h string) (Digest, error) {
	var d Digest
	if len(h) != hex.EncodedLen(len(d)) || strings.ToLower(h) != h {
		return d, fmt.Errorf("digest %.80q is not 64 lower-case hexadecimal digits", h)
	}
	if _, err := hex.Decode(d[:], []byte(h)); err != nil {
		return Digest{}, fmt.Errorf("digest %.80q: %w", h, err)
	}
	return d, nil
}

// Verify reports whether b are the bytes that d names; otherwise the error is a *Mismatch.
func (d Digest) Verify(b []byte) error {
	if got := Of(b); got != d {
		return &Mismatch{Want: d, Got: got}
	}
	return nil
}

// Mismatch says that bytes are not those that their name promises.
type Mismatch struct{ Want, Got Digest }

func (m *Mismatch) Error() string {
	return fmt.Sprintf("content is damaged: want %s, got %s", m.Want, m.Got)
}
