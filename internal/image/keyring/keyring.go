// Package keyring keeps the keys of domains: secrets made at random, sealed under the master key, one document a domain.
//
// It owns making, finding, rotating, wrapping anew and shredding them. What a key does to bytes is chunk's; who must
// agree before a domain is shredded is for the caller to know.
//
//	Pack ── Current ──▶ the newest key       frame, manifest ── Find(id) ──▶ that key, or ErrShredded
//	operator ── Rotate, Rewrap, Shred ──▶ the document; other servers see it within Fresh
package keyring

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"vitrine/internal/image/chunk"
	"vitrine/internal/seal"
	"vitrine/internal/store"
)

// The failures that callers tell apart with errors.Is.
var (
	// ErrShredded is a key that was destroyed, and with it what it encrypts.
	ErrShredded = errors.New("image: the key was shredded")
	// ErrUnknown is a key that this installation never had.
	ErrUnknown = errors.New("image: the key is not known here")
)

// Fresh is for how long a server believes what it read: another server's shredding is felt after at most that.
const Fresh = 5 * time.Second

const (
	kind   = "image.key"
	prefix = "image/key/"
)

// Ring is the keys of all domains.
type Ring struct {
	store  *store.Store
	sealer *seal.Sealer
	now    func() time.Time

	mu     sync.Mutex
	opened map[string]*opened // by domain
}

// opened is what one domain's document said when it was read.
type opened struct {
	read    time.Time
	keys    map[string]*chunk.Key
	current string
	body    body
}

// body is a domain's document.
type body struct {
	Keys     []record   `json:"keys"` // the last one is current
	Shredded []Shredded `json:"shredded,omitempty"`
}

type record struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Sealed  string    `json:"sealed"`
}

// Shredded is one shredding of a domain.
type Shredded struct {
	At   time.Time `json:"at"`
	Keys []string  `json:"keys"`
	Done bool      `json:"done"` // the objects are deleted too
}

// Info describes the keys of a domain, the newest last.
type Info struct {
	Domain   string
	Keys     []KeyInfo
	Shredded []Shredded
}

// KeyInfo describes a key.
type KeyInfo struct {
	ID      string
	Created time.Time
	Current bool
	Master  string // id of the master key that wraps it
}

// New makes a ring. now may be nil.
func New(s *store.Store, sealer *seal.Sealer, now func() time.Time) *Ring {
	if now == nil {
		now = time.Now
	}
	return &Ring{store: s, sealer: sealer, now: now, opened: map[string]*opened{}}
}

func docKey(domain string) string { return prefix + domain }

// read gives a domain's document and its ETag; none is an empty one.
func read(tx store.Tx, domain string) (b body, etag int64, err error) {
	d, err := tx.Get(docKey(domain))
	if errors.Is(err, store.ErrNotFound) {
		return body{}, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Body, &b)
	}
	if err != nil {
		return body{}, 0, fmt.Errorf("keys of %s: %w", domain, err)
	}
	return b, d.ETag, nil
}

func save(tx store.Tx, domain string, b body, etag int64) error {
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: docKey(domain), Kind: kind, Body: raw, ETag: etag})
	return err
}

// change rewrites a domain's document and forgets what was read of it.
func (r *Ring) change(ctx context.Context, domain string, f func(*body) error) error {
	if err := chunk.CheckName("domain", domain); err != nil {
		return err
	}
	err := r.store.Update(ctx, func(tx store.Tx) error {
		b, etag, err := read(tx, domain)
		if err != nil {
			return err
		}
		if err := f(&b); err != nil {
			return err
		}
		return save(tx, domain, b, etag)
	})
	r.Forget(domain)
	return err
}

// Forget makes the next look at a domain read its document.
func (r *Ring) Forget(domain string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.opened, domain)
}

// open gives the keys of a domain as they are, or were at most Fresh ago.
func (r *Ring) open(ctx context.Context, domain string) (*opened, error) {
	r.mu.Lock()
	o := r.opened[domain]
	r.mu.Unlock()
	now := r.now()
	if o != nil && now.Sub(o.read) < Fresh && !now.Before(o.read) {
		return o, nil
	}
	o = &opened{read: now, keys: map[string]*chunk.Key{}}
	err := r.store.View(ctx, func(tx store.Tx) (err error) {
		o.body, _, err = read(tx, domain)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, k := range o.body.Keys {
		key, err := r.unwrap(domain, k)
		if err != nil {
			return nil, err
		}
		o.keys[k.ID], o.current = key, k.ID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[domain] = o
	return o, nil
}

func (r *Ring) unwrap(domain string, k record) (*chunk.Key, error) {
	secret, err := r.sealer.Open(k.Sealed, docKey(domain))
	if err != nil {
		return nil, fmt.Errorf("key %s of %s: %w", k.ID, domain, err)
	}
	key, err := chunk.NewKey(secret)
	if err == nil && key.ID() != k.ID {
		err = errors.New("it is another key than its document says")
	}
	if err != nil {
		return nil, fmt.Errorf("key %s of %s: %w", k.ID, domain, err)
	}
	return key, nil
}

// make gives a new key, wrapped.
func (r *Ring) make(domain string) (record, error) {
	secret := make([]byte, chunk.SecretSize)
	rand.Read(secret)
	key, err := chunk.NewKey(secret)
	if err != nil {
		return record{}, err
	}
	sealed, err := r.sealer.Seal(secret, docKey(domain))
	return record{ID: key.ID(), Created: r.now().UTC(), Sealed: sealed}, err
}

// Current gives the key that a domain writes with. The first caller makes it.
func (r *Ring) Current(ctx context.Context, domain string) (*chunk.Key, error) {
	o, err := r.open(ctx, domain)
	if err == nil && o.current == "" {
		err = r.change(ctx, domain, func(b *body) error {
			if len(b.Keys) > 0 {
				return nil
			}
			k, err := r.make(domain)
			b.Keys = append(b.Keys, k)
			return err
		})
		if err == nil {
			o, err = r.open(ctx, domain)
		}
	}
	if err != nil {
		return nil, err
	}
	if key := o.keys[o.current]; key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("%w: that of %s, a moment ago", ErrShredded, domain)
}

// Find gives one of a domain's keys. ErrShredded; ErrUnknown.
func (r *Ring) Find(ctx context.Context, domain, id string) (*chunk.Key, error) {
	o, err := r.open(ctx, domain)
	if err != nil {
		return nil, err
	}
	if o.keys[id] == nil { // another server may have made it since
		r.Forget(domain)
		if o, err = r.open(ctx, domain); err != nil {
			return nil, err
		}
	}
	if key := o.keys[id]; key != nil {
		return key, nil
	}
	return nil, o.body.lacks(domain, id)
}

// Held fails unless the domain still has the key: what is written with it may be registered. ErrShredded; ErrUnknown when
// the key was retired since.
func Held(tx store.Tx, domain, id string) error {
	b, _, err := read(tx, domain)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(b.Keys, func(k record) bool { return k.ID == id }) {
		return b.lacks(domain, id)
	}
	return nil
}

// lacks says why a domain does not have a key.
func (b body) lacks(domain, id string) error {
	for _, s := range b.Shredded {
		if slices.Contains(s.Keys, id) {
			return fmt.Errorf("%w: %s of %s, at %s", ErrShredded, id, domain, s.At.Format(time.RFC3339))
		}
	}
	return fmt.Errorf("%w: %s of %s", ErrUnknown, id, domain)
}

// Rotate makes a new key, with which the domain writes from now on; the former ones still open what they sealed.
func (r *Ring) Rotate(ctx context.Context, domain string) (Info, error) {
	err := r.change(ctx, domain, func(b *body) error {
		k, err := r.make(domain)
		b.Keys = append(b.Keys, k)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return r.Info(ctx, domain)
}

// Rewrap seals every key that another master key wraps under the present one, and says how many there were.
func (r *Ring) Rewrap(ctx context.Context) (n int, err error) {
	all, err := r.List(ctx)
	for _, d := range all {
		if err != nil {
			break
		}
		err = r.change(ctx, d.Domain, func(b *body) error {
			for i, k := range b.Keys {
				if masterOf(k) == r.sealer.KeyID() {
					continue
				}
				secret, err := r.sealer.Open(k.Sealed, docKey(d.Domain))
				if err != nil {
					return err
				}
				if b.Keys[i].Sealed, err = r.sealer.Seal(secret, docKey(d.Domain)); err != nil {
					return err
				}
				n++
			}
			return nil
		})
	}
	return n, err
}

// masterOf reads the master key's id in a sealed value.
func masterOf(k record) string {
	parts := strings.SplitN(k.Sealed, ".", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// ShredIn destroys all keys of a domain in the caller's transaction: nothing opens what they sealed, here from Forget on,
// on other servers within Fresh. The next Current makes a new key.
func (r *Ring) ShredIn(tx store.Tx, domain string) error {
	b, etag, err := read(tx, domain)
	if err != nil {
		return err
	}
	s := Shredded{At: r.now().UTC(), Keys: []string{}}
	for _, k := range b.Keys {
		s.Keys = append(s.Keys, k.ID)
	}
	b.Keys, b.Shredded = nil, append(b.Shredded, s)
	return save(tx, domain, b, etag)
}

// Unfinished gives the time of the latest shredding whose objects are not known to be deleted; zero: there is none.
func (r *Ring) Unfinished(ctx context.Context, domain string) (time.Time, error) {
	r.Forget(domain)
	o, err := r.open(ctx, domain)
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	for _, s := range o.body.Shredded {
		if !s.Done {
			at = s.At
		}
	}
	return at, nil
}

// Finished notes that the objects of shreddings up to at are deleted.
func (r *Ring) Finished(ctx context.Context, domain string, at time.Time) error {
	return r.change(ctx, domain, func(b *body) error {
		for i := range b.Shredded {
			b.Shredded[i].Done = b.Shredded[i].Done || !b.Shredded[i].At.After(at)
		}
		return nil
	})
}

// Retire forgets the keys that are older than every one that registered manifests name, which used lists when it is
// asked. An empty id stands for format version 1, which is older than all keys.
func Retire(tx store.Tx, domain string, used func() (map[string]struct{}, error)) error {
	b, etag, err := read(tx, domain)
	if err != nil || len(b.Keys) < 2 {
		return err
	}
	ids, err := used()
	if _, plain := ids[""]; plain || err != nil {
		return err
	}
	oldest := slices.IndexFunc(b.Keys, func(k record) bool { _, ok := ids[k.ID]; return ok })
	if oldest < 0 {
		oldest = len(b.Keys) - 1
	}
	if oldest == 0 {
		return nil
	}
	b.Keys = b.Keys[oldest:]
	return save(tx, domain, b, etag)
}

// Info describes one domain's keys.
func (r *Ring) Info(ctx context.Context, domain string) (Info, error) {
	r.Forget(domain)
	o, err := r.open(ctx, domain)
	if err != nil {
		return Info{}, err
	}
	return o.body.info(domain), nil
}

func (b body) info(domain string) Info {
	i := Info{Domain: domain, Shredded: b.Shredded}
	for n, k := range b.Keys {
		i.Keys = append(i.Keys, KeyInfo{ID: k.ID, Created: k.Created, Current: n == len(b.Keys)-1, Master: masterOf(k)})
	}
	return i
}

// List describes the keys of all domains.
func (r *Ring) List(ctx context.Context) (list []Info, err error) {
	err = r.store.View(ctx, func(tx store.Tx) error {
		list = nil
		docs, err := tx.List(store.Query{Kind: kind, Prefix: prefix})
		for _, d := range docs {
			var b body
			if err := json.Unmarshal(d.Body, &b); err != nil {
				return fmt.Errorf("%s: %w", d.Key, err)
			}
			list = append(list, b.info(strings.TrimPrefix(d.Key, prefix)))
		}
		return err
	})
	return list, err
}
