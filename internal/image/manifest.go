package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"vitrine/internal/digest"
)

const (
	manifestMagic   = "VITRINEM"
	manifestVersion = 1
	idSHA256        = 1 // a chunk's id is the SHA-256 of its plain bytes
	headerLen       = 8 + 2 + 1 + 1 + 4 + 8 + 8
	entryLen        = 8 + 4 + sha256Len
	sha256Len       = len(digest.Digest{})
	maxManifest     = 512 << 20
)

// entry places a chunk in the disk.
type entry struct {
	offset int64
	length int
	id     digest.Digest
}

func (e entry) end() int64 { return e.offset + int64(e.length) }

// manifest is the ordered list of chunks that makes one disk; what it does not cover is zero.
type manifest struct {
	domain  string
	keyID   string // of the key that chunks are encrypted with; empty: they are not
	size    int64
	entries []entry
}

var errManifest = errors.New("malformed manifest")

// marshal gives the canonical bytes; see docs/design/image-format.md.
func (m *manifest) marshal() []byte {
	b := make([]byte, 0, headerLen+2+len(m.domain)+len(m.keyID)+entryLen*len(m.entries))
	b = append(b, manifestMagic...)
	b = binary.BigEndian.AppendUint16(b, manifestVersion)
	b = append(b, cutRule, idSHA256)
	b = binary.BigEndian.AppendUint32(b, block)
	b = binary.BigEndian.AppendUint64(b, uint64(m.size))
	b = binary.BigEndian.AppendUint64(b, uint64(len(m.entries)))
	b = append(append(b, byte(len(m.domain))), m.domain...)
	b = append(append(b, byte(len(m.keyID))), m.keyID...)
	for _, e := range m.entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.offset))
		b = binary.BigEndian.AppendUint32(b, uint32(e.length))
		b = append(b, e.id[:]...)
	}
	return b
}

// parseManifest reads what marshal writes and nothing else: one manifest has one spelling.
func parseManifest(b []byte) (*manifest, error) {
	if len(b) < headerLen || string(b[:8]) != manifestMagic {
		return nil, fmt.Errorf("%w: no header", errManifest)
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != manifestVersion {
		return nil, fmt.Errorf("%w: format version %d is not known here", errManifest, v)
	}
	if b[10] != cutRule || b[11] != idSHA256 || binary.BigEndian.Uint32(b[12:]) != block {
		return nil, fmt.Errorf("%w: cut rule %d, id rule %d or block size is not known here", errManifest, b[10], b[11])
	}
	m := &manifest{size: int64(binary.BigEndian.Uint64(b[16:]))}
	count := binary.BigEndian.Uint64(b[24:])
	rest := b[headerLen:]
	var err error
	if m.domain, rest, err = takeText(rest); err != nil {
		return nil, err
	}
	if m.keyID, rest, err = takeText(rest); err != nil {
		return nil, err
	}
	if count > uint64(maxManifest/entryLen) || uint64(len(rest)) != count*uint64(entryLen) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", errManifest, count, len(rest))
	}
	m.entries = make([]entry, 0, count)
	for ; len(rest) > 0; rest = rest[entryLen:] {
		e := entry{int64(binary.BigEndian.Uint64(rest)), int(binary.BigEndian.Uint32(rest[8:])), digest.Digest(rest[12:entryLen])}
		m.entries = append(m.entries, e)
	}
	err = m.check()
	return m, err
}

func takeText(b []byte) (string, []byte, error) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, fmt.Errorf("%w: cut short", errManifest)
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], nil
}

// check holds the rules that readers rely on: ascending, whole blocks except at the end of the disk, inside the disk.
func (m *manifest) check() error {
	if err := checkSize(m.size); err != nil {
		return fmt.Errorf("%w: %w", errManifest, err)
	}
	if err := checkName("domain", m.domain); err != nil {
		return fmt.Errorf("%w: %w", errManifest, err)
	}
	if m.keyID != "" {
		return fmt.Errorf("%w: encrypted with key %.40q, which is not known here", errManifest, m.keyID)
	}
	at := int64(0)
	for i, e := range m.entries {
		switch {
		case e.offset < at || e.offset%block != 0 || e.offset >= m.size,
			e.length <= 0 || e.length > maxChunk || e.end() > m.size,
			e.length%block != 0 && e.end() != m.size:
			return fmt.Errorf("%w: entry %d: %d bytes at %d", errManifest, i, e.length, e.offset)
		}
		at = e.end()
	}
	return nil
}

// ref names the manifest whose canonical bytes are b.
func (m *manifest) ref(b []byte) Ref {
	return Ref{Domain: m.domain, ID: digest.Of(b).Hex(), Size: m.size}
}

// find returns the index of the first entry that ends after offset.
func (m *manifest) find(offset int64) int {
	i, _ := slices.BinarySearchFunc(m.entries, offset, func(e entry, off int64) int {
		if e.end() <= off {
			return -1
		}
		return 1
	})
	return i
}
