// Package memstore keeps documents in memory: for tests, and for a server that shall forget everything.
//
// It owns nothing on disk and ends with its process. One lock guards a map of documents beside three indexes; a
// transaction that fails is undone from a list:
//
//	Update ── lock ──▶ tx: maps changed at once, undo list grows ──▶ f failed? undo : wake those who Wait
//	View   ── shared lock ──▶ tx that only reads
package memstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"vitrine/internal/store"
)

// Open returns an empty store.
func Open() store.Driver {
	return &memory{
		docs:  map[string]*record{},
		terms: map[string]map[string]struct{}{},
		due:   map[string]struct{}{},
		wake:  make(chan struct{}),
	}
}

// record is a document and the hold on it. created is the revision at which this life of its key began: a lease of an
// earlier life must not fence the next.
type record struct {
	store.Document
	created int64
	owner   string
	attempt int64
	until   time.Time
}

func (r *record) held(l store.Lease, now time.Time) bool {
	return r != nil && r.owner == l.Owner && r.attempt == l.Attempt && r.created <= l.ETag && r.until.After(now)
}

type memory struct {
	mu       sync.RWMutex
	docs     map[string]*record
	keys     []string                       // of docs, sorted
	terms    map[string]map[string]struct{} // term → keys
	due      map[string]struct{}            // keys of documents with Due
	revision int64
	changes  []store.Change // the last of them has revision
	wake     chan struct{}  // closed and replaced at each commit
	closed   bool
}

func (m *memory) ready(ctx context.Context) error {
	if m.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

func (m *memory) View(ctx context.Context, f func(store.Tx) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	return f(&tx{m: m})
}

func (m *memory) Update(ctx context.Context, f func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	t := &tx{m: m, writes: true}
	kept := false
	defer func() {
		if !kept { // also when f panics
			t.rollback()
		}
	}()
	if err := f(t); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	kept = true
	m.committed(len(t.undo) > 0)
	return nil
}

func (m *memory) committed(wrote bool) {
	if !wrote {
		return
	}
	if len(m.changes) > store.FeedLength+store.FeedLength/8 {
		m.changes = slices.Clone(m.changes[len(m.changes)-store.FeedLength:])
	}
	close(m.wake)
	m.wake = make(chan struct{})
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (m *memory) Claim(ctx context.Context, kind, owner string, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckClaim(kind, owner, ttl); err != nil {
		return store.Lease{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return store.Lease{}, err
	}
	at := now()
	var r *record
	for key := range m.due {
		d := m.docs[key]
		if d.Kind != kind || d.Due.After(at) || d.until.After(at) {
			continue
		}
		if r == nil || d.Due.Before(r.Due) || d.Due.Equal(r.Due) && d.Key < r.Key {
			r = d
		}
	}
	if r == nil {
		return store.Lease{}, store.ErrNothing
	}
	r.owner, r.until = owner, at.Add(ttl)
	r.attempt++
	return store.Lease{Document: clone(r.Document), Owner: owner, Attempt: r.attempt, Until: r.until}, nil
}

func (m *memory) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckClaim(l.Kind, l.Owner, ttl); err != nil {
		return store.Lease{}, err
	}
	at := now()
	l.Until = at.Add(ttl)
	return l, m.hold(ctx, l, at, func(r *record) { r.until = l.Until })
}

func (m *memory) Release(ctx context.Context, l store.Lease) error {
	return m.hold(ctx, l, now(), func(r *record) { r.owner, r.until = "", time.Time{} })
}

func (m *memory) hold(ctx context.Context, l store.Lease, at time.Time, change func(*record)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	r := m.docs[l.Key]
	if !r.held(l, at) {
		return store.ErrLease
	}
	change(r)
	return nil
}

func (m *memory) Changes(ctx context.Context, after int64, limit int) ([]store.Change, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	first := m.revision - int64(len(m.changes)) + 1
	if after+1 < first {
		return nil, store.ErrTrimmed
	}
	if after >= m.revision {
		return nil, nil
	}
	found := m.changes[max(after, 0)+1-first:]
	if limit > 0 && limit < len(found) {
		found = found[:limit]
	}
	return slices.Clone(found), nil
}

func (m *memory) Wait(ctx context.Context, after int64) error {
	for {
		m.mu.RLock()
		err, revision, wake := m.ready(ctx), m.revision, m.wake
		m.mu.RUnlock()
		if err != nil || revision > after {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.wake)
	}
	return nil
}
