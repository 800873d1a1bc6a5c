package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"vitrine/internal/digest"
)

// Format versions of manifests. A version 1 has no key: its chunks' ids are SHA-256 of the plain bytes. Both are read;
// what is written has the version that its key asks for.
const (
	versionPlain = 1
	versionKeyed = 2
)

const (
	manifestMagic = "VITRINEM"
	idSHA256      = 1 // a chunk's id is the SHA-256 of its plain bytes
	idHMAC        = 2 // and this one's the HMAC-SHA-256 under the key that the manifest names
	headerLen     = 8 + 2 + 1 + 1 + 4 + 8 + 8
	entryLen      = 8 + 4 + len(digest.Digest{})

	// MaxManifest bounds the canonical bytes of a manifest.
	MaxManifest = 512 << 20
)

// Entry places a chunk in the disk.
type Entry struct {
	Offset int64
	Length int
	ID     digest.Digest
}

// End is the offset behind the chunk.
func (e Entry) End() int64 { return e.Offset + int64(e.Length) }

// Manifest is the ordered list of chunks that makes one disk; what it does not cover is zero.
type Manifest struct {
	Domain  string
	KeyID   string // of the key that names its chunks; empty: format version 1
	Size    int64
	Entries []Entry
}

var errManifest = errors.New("malformed manifest")

// Marshal gives the canonical bytes; see docs/design/image-format.md.
func (m *Manifest) Marshal() []byte {
	version, rule := uint16(versionPlain), byte(idSHA256)
	if m.KeyID != "" {
		version, rule = versionKeyed, idHMAC
	}
	b := make([]byte, 0, headerLen+2+len(m.Domain)+len(m.KeyID)+entryLen*len(m.Entries))
	b = append(b, manifestMagic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = append(b, cutRule, rule)
	b = binary.BigEndian.AppendUint32(b, Block)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(len(m.Entries)))
	b = append(append(b, byte(len(m.Domain))), m.Domain...)
	b = append(append(b, byte(len(m.KeyID))), m.KeyID...)
	for _, e := range m.Entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.Offset))
		b = binary.BigEndian.AppendUint32(b, uint32(e.Length))
		b = append(b, e.ID[:]...)
	}
	return b
}

// Parse reads what Marshal writes and nothing else: one manifest has one spelling.
func Parse(b []byte) (*Manifest, error) {
	if len(b) < headerLen || string(b[:8]) != manifestMagic {
		return nil, fmt.Errorf("%w: no header", errManifest)
	}
	version, rule := binary.BigEndian.Uint16(b[8:]), b[11]
	if version != versionPlain && version != versionKeyed {
		return nil, fmt.Errorf("%w: format version %d is not known here", errManifest, version)
	}
	if b[10] != cutRule || int(rule) != int(version) || binary.BigEndian.Uint32(b[12:]) != Block {
		return nil, fmt.Errorf("%w: cut rule %d, id rule %d or block size is not known here", errManifest, b[10], rule)
	}
	m := &Manifest{Size: int64(binary.BigEndian.Uint64(b[16:]))}
	count := binary.BigEndian.Uint64(b[24:])
	rest := b[headerLen:]
	var err error
	if m.Domain, rest, err = takeText(rest); err != nil {
		return nil, err
	}
	if m.KeyID, rest, err = takeText(rest); err != nil {
		return nil, err
	}
	if (m.KeyID != "") != (version == versionKeyed) {
		return nil, fmt.Errorf("%w: key %.40q in format version %d", errManifest, m.KeyID, version)
	}
	if count > uint64(MaxManifest/entryLen) || uint64(len(rest)) != count*uint64(entryLen) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", errManifest, count, len(rest))
	}
	m.Entries = make([]Entry, 0, count)
	for ; len(rest) > 0; rest = rest[entryLen:] {
		e := Entry{int64(binary.BigEndian.Uint64(rest)), int(binary.BigEndian.Uint32(rest[8:])), digest.Digest(rest[12:entryLen])}
		m.Entries = append(m.Entries, e)
	}
	err = m.Check()
	return m, err
}

func takeText(b []byte) (string, []byte, error) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, fmt.Errorf("%w: cut short", errManifest)
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], nil
}

var keyIDs = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Check holds the rules that readers rely on: ascending, whole blocks except at the end of the disk, inside the disk.
func (m *Manifest) Check() error {
	if err := CheckSize(m.Size); err != nil {
		return fmt.Errorf("%w: %w", errManifest, err)
	}
	if err := CheckName("domain", m.Domain); err != nil {
		return fmt.Errorf("%w: %w", errManifest, err)
	}
	if m.KeyID != "" && !keyIDs.MatchString(m.KeyID) {
		return fmt.Errorf("%w: %.40q is not the id of a key", errManifest, m.KeyID)
	}
	at := int64(0)
	for i, e := range m.Entries {
		switch {
		case e.Offset < at || e.Offset%Block != 0 || e.Offset >= m.Size,
			e.Length <= 0 || e.Length > Max || e.End() > m.Size,
			e.Length%Block != 0 && e.End() != m.Size:
			return fmt.Errorf("%w: entry %d: %d bytes at %d", errManifest, i, e.Length, e.Offset)
		}
		at = e.End()
	}
	return nil
}

// Ref names the manifest whose canonical bytes are b.
func (m *Manifest) Ref(b []byte) Ref {
	return Ref{Domain: m.Domain, ID: digest.Of(b).Hex(), Size: m.Size}
}

// Find returns the index of the first entry that ends after offset.
func (m *Manifest) Find(offset int64) int {
	i, _ := slices.BinarySearchFunc(m.Entries, offset, func(e Entry, off int64) int {
		if e.End() <= off {
			return -1
		}
		return 1
	})
	return i
}

// Distinct lists each chunk once, where it lies first.
func (m *Manifest) Distinct() []Entry {
	seen := make(map[digest.Digest]struct{}, len(m.Entries))
	list := make([]Entry, 0, len(m.Entries))
	for _, e := range m.Entries {
		if _, ok := seen[e.ID]; !ok {
			seen[e.ID] = struct{}{}
			list = append(list, e)
		}
	}
	return list
}
