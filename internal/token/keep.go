package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/store"
)

// keptKind is the kind of all that is kept behind a secret or a name for a time.
const keptKind = "token/kept"

// ErrUnknownSecret says that nothing is kept behind a secret: it is forged, or was dropped long ago.
var ErrUnknownSecret = errors.New("nothing is kept behind this secret")

// NewSecret draws 256 bits in a form that needs no escaping in a form, a header or an address.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// kept is the document; the secret itself is nowhere in it.
type kept struct {
	Expires time.Time       `json:"expires"`
	Brief   bool            `json:"brief,omitempty"`
	Value   json.RawMessage `json:"value"`
}

// keptKey names the document by the digest of its secret. A secret of 256 random bits needs no salt and no stretching, and
// the look-up by digest tells nothing through its time.
func keptKey(room, secret string) string {
	sum := sha256.Sum256([]byte(room + "\x00" + secret))
	return "token/" + room + "/" + hex.EncodeToString(sum[:])
}

// Held is one record as a transaction read it.
type Held struct {
	doc     store.Document
	Expires time.Time
	brief   bool
}

// Keep writes v behind a secret until a time. A room is a sort of record ("code", "refresh"); a secret opens only its own
// room. store.ErrConflict: something is kept there already, which for one-time values is the proof of a replay.
func Keep(tx store.Tx, room, secret string, v any, until time.Time, terms ...string) error {
	h := Held{doc: store.Document{Key: keptKey(room, secret), Kind: keptKind, Terms: terms}, Expires: until}
	return h.Change(tx, v)
}

// KeepBriefly is Keep for what anybody may have kept: it goes soon after its time.
func KeepBriefly(tx store.Tx, room, secret string, v any, until time.Time) error {
	h := Held{doc: store.Document{Key: keptKey(room, secret), Kind: keptKind}, Expires: until, brief: true}
	return h.Change(tx, v)
}

// Kept reads what is kept behind a secret. With ErrExpired the value is returned too.
func Kept[T any](tx store.Tx, room, secret string, now time.Time) (v T, h Held, err error) {
	doc, err := tx.Get(keptKey(room, secret))
	if errors.Is(err, store.ErrNotFound) {
		return v, h, ErrUnknownSecret
	}
	if err != nil {
		return v, h, fmt.Errorf("token: read a %s: %w", room, err)
	}
	h, err = unwrap(doc, &v)
	if err == nil && !now.Before(h.Expires) {
		err = ErrExpired
	}
	return v, h, err
}

// KeptWith reads all records that hold an index term.
func KeptWith[T any](tx store.Tx, term string) ([]T, []Held, error) {
	docs, err := tx.List(store.Query{Kind: keptKind, All: []string{term}})
	if err != nil {
		return nil, nil, fmt.Errorf("token: list %s: %w", term, err)
	}
	values, held := make([]T, len(docs)), make([]Held, len(docs))
	for i, doc := range docs {
		if held[i], err = unwrap(doc, &values[i]); err != nil {
			return nil, nil, err
		}
	}
	return values, held, nil
}

func unwrap(doc store.Document, v any) (Held, error) {
	var k kept
	err := json.Unmarshal(doc.Body, &k)
	if err == nil {
		err = json.Unmarshal(k.Value, v)
	}
	if err != nil {
		return Held{doc: doc}, fmt.Errorf("token: document %s: %w", doc.Key, err)
	}
	return Held{doc: doc, Expires: k.Expires, brief: k.Brief}, nil
}

// Change writes another value in place of the one that was read.
func (h Held) Change(tx store.Tx, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("token: encode %s: %w", h.doc.Key, err)
	}
	if h.doc.Body, err = json.Marshal(kept{Expires: h.Expires.UTC(), Brief: h.brief, Value: value}); err != nil {
		return fmt.Errorf("token: encode %s: %w", h.doc.Key, err)
	}
	_, err = tx.Put(h.doc)
	return err
}

// Drop forgets the record.
func (h Held) Drop(tx store.Tx) error { return tx.Delete(h.doc.Key, h.doc.ETag) }

const (
	sweepPage  = 500
	sweepAfter = 24 * time.Hour // an expired record stays a day, so that its owner hears "expired" and not "unknown"
	sweepBrief = 5 * time.Minute
)

// gone says whether nobody needs the record any more, not even to hear that it expired.
func (k kept) gone(now time.Time) bool {
	after := sweepAfter
	if k.Brief {
		after = sweepBrief
	}
	return !k.Expires.After(now.Add(-after))
}

// sweep drops what expired more than a day ago, and what was kept briefly more than minutes ago.
func (s *Service) sweep(ctx context.Context) error {
	now := s.cfg.Now()
	for after := ""; ; {
		next, more := after, false
		err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: keptKind, After: after, Limit: sweepPage})
			if err != nil {
				return err
			}
			for _, doc := range docs {
				var k kept
				if json.Unmarshal(doc.Body, &k) == nil && !k.gone(now) {
					continue
				}
				if err := tx.Delete(doc.Key, doc.ETag); err != nil {
					return err
				}
			}
			if more = len(docs) == sweepPage; more {
				next = docs[len(docs)-1].Key
			}
			return nil
		})
		if err != nil || !more {
			return err
		}
		after = next
	}
}
