// Package chunk is the form of stored images: how a disk is cut, what a manifest and a frame look like, how they are
// named and encrypted. docs/design/image-format.md is the same in words.
//
// It is functions from bytes to bytes: it opens no bucket and no store, and knows no tenants. Keys are handed to it.
//
//	disk ── Next ──▶ chunk ── Key.Name ──▶ id        Manifest ── Marshal ──▶ bytes ── SHA-256 ──▶ Ref
//	plain ── Codec.Encode, Seal ──▶ frame ── Codec.Open ──▶ plain ── Verify(id)
package chunk

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/digest"
)

// ErrInvalid is a name, size or reference that no image can have.
var ErrInvalid = errors.New("image: invalid argument")

// MaxSize bounds the virtual size of a disk, 64 TiB (the largest managed disk of Azure, an Ultra Disk).
const MaxSize = 64 << 40

// Ref names the content of one disk: a manifest.
type Ref struct {
	Domain string `json:"domain"` // where its chunks lie
	ID     string `json:"id"`     // SHA-256 of the manifest's canonical bytes, 64 hexadecimal digits
	Size   int64  `json:"size"`   // virtual size in bytes
}

// String gives domain and id.
func (r Ref) String() string { return r.Domain + "/" + r.ID }

// Check accepts what can name a manifest. ErrInvalid.
func (r Ref) Check() error {
	if err := CheckName("domain", r.Domain); err != nil {
		return err
	}
	if _, err := digest.ParseHex(r.ID); err != nil {
		return fmt.Errorf("%w: manifest id: %w", ErrInvalid, err)
	}
	return CheckSize(r.Size)
}

// CheckName accepts what may stand in object keys and paths: a-z, 0-9 and hyphens, at most 64 of them. ErrInvalid.
func CheckName(what, name string) error {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%w: %s %.80q", ErrInvalid, what, name)
	}
	return nil
}

// CheckSize accepts whole sectors, which is all that a disk can have. ErrInvalid.
func CheckSize(size int64) error {
	if size <= 0 || size > MaxSize || size%512 != 0 {
		return fmt.Errorf("%w: a disk of %d bytes (whole sectors of 512 bytes, at most 64 TiB)", ErrInvalid, size)
	}
	return nil
}

// Object is the key of a chunk in a region's bucket. Two digits of the id keep folders small.
func Object(domain string, id digest.Digest) string {
	h := hex.EncodeToString(id[:])
	return "chunks/" + domain + "/" + h[:2] + "/" + h
}

// ManifestObject is the key of a manifest in a region's bucket.
func ManifestObject(domain, id string) string { return "manifests/" + domain + "/" + id }

// IDOf reads the last part of an object's key; ok says whether it is an id.
func IDOf(object string) (id digest.Digest, ok bool) {
	id, err := digest.ParseHex(object[strings.LastIndexByte(object, '/')+1:])
	return id, err == nil
}
