package chunk

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"vitrine/internal/digest"
)

// SecretSize is the length in bytes of the secret that a key is made of.
const SecretSize = 32

const (
	keyIDSize = 8
	nonceSize = 12
	sealedLen = 1 + keyIDSize + nonceSize // what stands before the ciphertext
)

// Key encrypts the objects of a domain and names its chunks. It may be used by many goroutines.
type Key struct {
	id     string
	raw    []byte // the id's bytes
	aead   cipher.AEAD
	naming sync.Pool // of hash.Hash
}

// NewKey derives from a secret what names, what encrypts, and the id that objects carry: three values of which none
// tells another. The same secret makes the same key.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) != SecretSize {
		return nil, fmt.Errorf("a domain's secret has %d bytes, not %d", len(secret), SecretSize)
	}
	raw, err1 := hkdf.Key(sha256.New, secret, nil, "vitrine image v2 key id", keyIDSize)
	name, err2 := hkdf.Key(sha256.New, secret, nil, "vitrine image v2 chunk id", sha256.Size)
	enc, err3 := hkdf.Key(sha256.New, secret, nil, "vitrine image v2 aes-256-gcm", SecretSize)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(enc)
	if err != nil {
		return nil, err
	}
	k := &Key{id: hex.EncodeToString(raw), raw: raw}
	k.naming.New = func() any { return hmac.New(sha256.New, name) }
	k.aead, err = cipher.NewGCM(block)
	return k, err
}

// ID names the key and does not reveal it: 16 hexadecimal digits.
func (k *Key) ID() string {
	if k == nil {
		return ""
	}
	return k.id
}

// Name gives the id of a chunk: HMAC-SHA-256 of its plain bytes; of a nil key, which is format version 1, SHA-256.
func (k *Key) Name(plain []byte) digest.Digest {
	if k == nil {
		return digest.Of(plain)
	}
	h := k.naming.Get().(hash.Hash)
	h.Reset()
	h.Write(plain)
	var id digest.Digest
	h.Sum(id[:0])
	k.naming.Put(h)
	return id
}

// Verify says whether plain is what id names: nil or a *digest.Mismatch.
func (k *Key) Verify(id digest.Digest, plain []byte) error {
	if got := k.Name(plain); got != id {
		return &digest.Mismatch{Want: id, Got: got}
	}
	return nil
}

// seal encrypts frame[sealedLen:] where it lies and fills in what stands before it. Nonces are random: a domain may
// write 2^32 objects with one key (NIST SP 800-38D, 8.3), which is 256 TiB of chunks.
func (k *Key) seal(frame []byte, object string) []byte {
	frame[0] = frameSealed
	copy(frame[1:], k.raw)
	nonce := frame[1+keyIDSize : sealedLen]
	rand.Read(nonce)
	return k.aead.Seal(frame[:sealedLen], nonce, frame[sealedLen:], []byte(object))
}

// open appends to dst[:0] what is in a sealed frame. dst is apart from the frame, or is frame[sealedLen:sealedLen]: where it lies.
func (k *Key) open(dst, frame []byte, object string) ([]byte, error) {
	body := frame[sealedLen:]
	inner, err := k.aead.Open(dst[:0], frame[1+keyIDSize:sealedLen], body, []byte(object))
	if err != nil {
		return nil, fmt.Errorf("the frame was changed, or belongs elsewhere: %w", err)
	}
	return inner, nil
}

// SealedWith gives the id of the key that a frame is encrypted with; empty: it is not.
func SealedWith(frame []byte) string {
	if len(frame) < sealedLen || frame[0] != frameSealed {
		return ""
	}
	return hex.EncodeToString(frame[1 : 1+keyIDSize])
}
