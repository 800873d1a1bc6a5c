package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

const (
	version    = "v1"
	keyIDSize  = 8  // bytes; 16 hexadecimal digits in a sealed value
	bindSize   = 8  // bytes of the keyed fingerprint of the resource ID
	nonceSize  = 12 // bytes, random for each value, as AES-GCM has it
	gcmTagSize = 16
)

// The reasons why a sealed value does not open; tell them apart with errors.Is.
var (
	// ErrMalformed is a text that Seal never made.
	ErrMalformed = errors.New("not a sealed value")
	// ErrKey is a value that was sealed with another master key.
	ErrKey = errors.New("sealed with another master key")
	// ErrResource is a value that was sealed for another resource.
	ErrResource = errors.New("sealed for another resource")
	// ErrTampered is a value that was changed after it was sealed.
	ErrTampered = errors.New("sealed value was changed")
)

// A Sealer seals and opens values with one master key. It may be used from many goroutines.
type Sealer struct {
	aead    cipher.AEAD
	bindKey []byte
	id      string
	former  *Sealer // opens what was sealed before the master key was changed; may be nil
}

// New returns a Sealer for a master key of KeySize bytes. It keeps no reference to key.
func New(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("master key has %d bytes, want %d", len(key), KeySize)
	}
	// The master key itself encrypts nothing: each use has a key of its own, so that the id in every value says nothing
	// about the key that encrypts.
	id, err := hkdf.Key(sha256.New, key, nil, "vitrine seal v1 key id", keyIDSize)
	if err != nil {
		return nil, fmt.Errorf("derive key id: %w", err)
	}
	bindKey, err := hkdf.Key(sha256.New, key, nil, "vitrine seal v1 resource", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive resource key: %w", err)
	}
	encKey, err := hkdf.Key(sha256.New, key, nil, "vitrine seal v1 aes-256-gcm", KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive encryption key: %w", err)
	}
	block, err := aes.NewCipher(encKey)
	if err != nil {
		return nil, fmt.Errorf("prepare cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("prepare cipher: %w", err)
	}
	return &Sealer{aead: aead, bindKey: bindKey, id: hex.EncodeToString(id)}, nil
}

// KeyID names the master key: the same key always has the same id, and the id does not reveal the key.
func (s *Sealer) KeyID() string { return s.id }

// Seal encrypts plain for the resource that resource names (any text; ASCII case does not matter, as in ARM). The
// result is printable ASCII without quotes and differs from call to call.
func (s *Sealer) Seal(plain []byte, resource string) (string, error) {
	if resource == "" {
		return "", errors.New("seal: a value must be sealed for a resource")
	}
	bind := s.bind(resource)
	raw := s.aead.Seal(bind, nil, plain, s.additional(resource))
	return version + "." + s.id + "." + base64.RawURLEncoding.EncodeToString(raw), nil
}

// Open returns what Seal was given. The error wraps ErrMalformed, ErrKey, ErrResource or ErrTampered.
func (s *Sealer) Open(sealed, resource string) ([]byte, error) {
	v, rest, _ := strings.Cut(sealed, ".")
	id, body, found := strings.Cut(rest, ".")
	if !found || v != version || len(id) != 2*keyIDSize {
		return nil, fmt.Errorf("open: %w", ErrMalformed)
	}
	if id != s.id && s.former != nil && id == s.former.id {
		return s.former.Open(sealed, resource)
	}
	if id != s.id {
		return nil, fmt.Errorf("open: %w: the value names key %q, this key is %q", ErrKey, id, s.id)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || strings.ContainsAny(body, "\r\n") || // which encoding/base64 skips
		len(raw) < bindSize+nonceSize+gcmTagSize {
		return nil, fmt.Errorf("open: %w: its text is damaged or cut short", ErrMalformed)
	}
	// GCM alone cannot tell a wrong resource from a changed value; the keyed fingerprint in front can.
	if subtle.ConstantTimeCompare(raw[:bindSize], s.bind(resource)) != 1 {
		return nil, fmt.Errorf("open: %w than %q", ErrResource, resource)
	}
	plain, err := s.aead.Open(nil, nil, raw[bindSize:], s.additional(resource))
	if err != nil {
		return nil, fmt.Errorf("open for %q: %w", resource, ErrTampered)
	}
	return plain, nil
}

// additional is what GCM authenticates beside the value: everything in front of it, and the resource ID.
func (s *Sealer) additional(resource string) []byte {
	return []byte(version + "." + s.id + "." + fold(resource))
}

func (s *Sealer) bind(resource string) []byte {
	mac := hmac.New(sha256.New, s.bindKey)
	mac.Write([]byte(fold(resource)))
	return mac.Sum(nil)[:bindSize:bindSize]
}

// fold lowers ASCII letters only: ARM compares resource IDs without case, and Unicode folding would let two distinct
// names meet.
func fold(resource string) string {
	folded := []byte(resource)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}
