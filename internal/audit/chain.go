package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/store"
)

const (
	maxPart  = 1024 // events in one seal; their digests are 32 bytes each
	keyKey   = "audit/key"
	sizeHash = sha256.Size
)

// link is one seal: the digests of some events of a batch in the order of their keys, and the hash of the seal before.
type link struct {
	Tenant   string    `json:"tenant"`
	Sequence int64     `json:"sequence"` // from 1, without a gap
	Batch    int64     `json:"batch"`
	End      bool      `json:"end"` // no more seals of this batch
	Previous []byte    `json:"previous"`
	Digests  []byte    `json:"digests"` // 32 bytes for each event
	First    string    `json:"first"`   // key
	Last     string    `json:"last"`
	From     time.Time `json:"from"` // oldest event
	To       time.Time `json:"to"`   // newest
	Sealed   time.Time `json:"sealed"`
	Hash     []byte    `json:"hash,omitempty"` // over everything above
	MAC      []byte    `json:"mac,omitempty"`  // of the hash, by the installation's key
}

func (k link) count() int { return len(k.Digests) / sizeHash }

func (k link) sum() ([]byte, error) {
	k.Hash, k.MAC = nil, nil
	body, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return sum[:], nil
}

// digest names an event: its key and every byte of its document.
func digest(d store.Document) []byte {
	h := sha256.New()
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(d.Key)))
	h.Write(size[:])
	h.Write([]byte(d.Key))
	h.Write(d.Body)
	return h.Sum(nil)
}

func mac(key []byte, what string, parts ...any) []byte {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "vitrine audit %s v1", what)
	for _, p := range parts {
		fmt.Fprintf(h, "\x00%x", p)
	}
	return h.Sum(nil)
}

func (h head) mac(key []byte) []byte {
	return mac(key, "head", h.Tenant, h.Sealed, h.Sequence, h.Hash)
}

// anchor is where a chain begins after its oldest seals were swept away.
type anchor struct {
	Tenant   string `json:"tenant"`
	Sequence int64  `json:"sequence"` // the last seal that is gone
	Batch    int64  `json:"batch"`    // and its batch, gone whole
	Hash     []byte `json:"hash"`
	Events   int64  `json:"events"`   // gone in all
	Clearing bool   `json:"clearing"` // their removal is under way
	MAC      []byte `json:"mac"`
}

func (a anchor) mac(key []byte) []byte {
	return mac(key, "anchor", a.Tenant, a.Sequence, a.Batch, a.Hash, a.Events, []byte(fmt.Sprint(a.Clearing)))
}

func readAnchor(tx store.Tx, tenant string) (anchor, store.Document, error) {
	a := anchor{Tenant: tenant}
	d, err := tx.Get(anchorKey(tenant))
	if errors.Is(err, store.ErrNotFound) {
		return a, store.Document{Key: anchorKey(tenant), Kind: AnchorKind}, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &a)
	}
	return a, d, err
}

// signed writes the anchor with its MAC.
func (a anchor) write(tx store.Tx, d store.Document, key []byte) error {
	a.MAC = a.mac(key)
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	d.Body = body
	_, err = tx.Put(d)
	return err
}

func (l *Log) readLink(d store.Document, key []byte) (link, error) {
	var k link
	if err := json.Unmarshal(d.Body, &k); err != nil {
		return k, fmt.Errorf("is not a seal: %w", err)
	}
	whole, err := json.Marshal(k)
	if err != nil {
		return k, err
	}
	sum, err := k.sum()
	switch {
	case err != nil:
		return k, err
	case !bytes.Equal(whole, d.Body) || !bytes.Equal(sum, k.Hash) || len(k.Digests)%sizeHash != 0 || d.Key != sealKey(k.Tenant, k.Sequence):
		return k, errors.New("was changed")
	case !hmac.Equal(k.MAC, mac(key, "seal", k.Hash)):
		return k, errors.New("was made with another key")
	}
	return k, nil
}

// errNoKey is the absence of the key of the MACs.
var errNoKey = errors.New("the key of the seals is gone")

// key reads the key of the MACs, which lies in the store sealed by the master key.
func (l *Log) key(tx store.Tx) ([]byte, error) {
	d, err := tx.Get(keyKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, err
	}
	var sealed string
	if err := json.Unmarshal(d.Body, &sealed); err != nil {
		return nil, err
	}
	return l.Sealer.Open(sealed, keyKey)
}

// keyOrNew makes the key when the installation has none yet.
func (l *Log) keyOrNew(tx store.Tx) ([]byte, error) {
	key, err := l.key(tx)
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	key = make([]byte, sizeHash)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	sealed, err := l.Sealer.Seal(key, keyKey)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(sealed)
	if err != nil {
		return nil, err
	}
	_, err = tx.Put(store.Document{Key: keyKey, Kind: keyKind, Body: body})
	return key, err
}
