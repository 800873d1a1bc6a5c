// Package store keeps the installation's JSON documents: resources, directory objects, role assignments, operations.
//
// It owns documents with ETags, index terms, transactions, the change feed and the leases by which workers claim
// documents that are due. It does not know what a document means; engines and providers do. Data passes like this:
//
//	caller ── View/Update(func(Tx)) ──▶ Store (retries lost races) ──▶ Driver (memstore, sqlstore)
//	worker ── Claim/Renew/Release ────▶ Store ──▶ Driver
//	cache  ── Changes/Wait ───────────▶ Store ──▶ Driver
//
// Every back-end passes the suite in storetest; nothing here depends on which one is used.
package store

import (
	"context"
	"errors"
	"time"
)

// The failures that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("store: document not found")
	ErrConflict = errors.New("store: document was changed by another writer") // ETag differs, or it exists already
	ErrLease    = errors.New("store: lease is no longer held")
	ErrNothing  = errors.New("store: nothing is due") // Claim found no work
	ErrInvalid  = errors.New("store: invalid")        // a document, query or claim that no back-end accepts; nothing was written
	ErrTrimmed  = errors.New("store: the change feed no longer reaches back so far; read everything again")
	ErrReadOnly = errors.New("store: this transaction only reads")
	ErrClosed   = errors.New("store: closed")
	// ErrInDoubt is an Update whose commit got no answer: it may have happened. Nothing that it names may be undone.
	ErrInDoubt = errors.New("store: it is not known whether the transaction was committed")
)

// Document is one JSON document.
type Document struct {
	Key   string    // unique, non-empty, compared bytewise; resource documents use the lower-case resource ID
	Kind  string    // the collection it belongs to, such as "microsoft.compute/disks" or "operation"
	Terms []string  // index terms, each at most 512 bytes; exact matches only; a set, so they come back sorted
	Body  []byte    // a JSON value
	ETag  int64     // revision of its last write, set by the store; 0 means "does not exist yet"
	Due   time.Time // when a worker may claim it, in microseconds; zero: never
}

// Query selects documents in key order. Empty members do not restrict.
type Query struct {
	Kind   string
	Prefix string   // keys that begin with it
	Any    []string // documents that hold at least one of these terms
	All    []string // and every one of these
	After  string   // only keys greater than this one
	Limit  int      // at most so many; 0 means no limit
}

// Tx is one transaction: what it reads and writes happens at one point in time or not at all. It ends with the function
// that was given it, which must not call the store by another way than this Tx.
type Tx interface {
	// Revision returns the last write that this transaction sees. A cache reads it together with what it keeps, and
	// follows the feed from there.
	Revision() (int64, error)
	// Get returns the document, or ErrNotFound.
	Get(key string) (Document, error)
	// List returns the documents that q selects, in key order.
	List(q Query) ([]Document, error)
	// Put writes d if the stored ETag equals d.ETag (0: it must not exist), else ErrConflict. It returns the new ETag.
	// A hold on the document stays as it was.
	Put(d Document) (int64, error)
	// Delete removes the document, and any hold on it, if its ETag equals etag (0: whatever it is). ErrNotFound, ErrConflict.
	Delete(key string, etag int64) error
	// Fence fails with ErrLease unless l is still held; a worker calls it in each transaction that records work.
	Fence(l Lease) error
}

// Lease is a worker's hold on a document.
type Lease struct {
	Document
	Owner   string
	Attempt int64     // counts claims of this document; grows with each
	Until   time.Time // end of the hold by the store's clock
}

// Change is one entry of the change feed.
type Change struct {
	Revision int64 // the ETag that the write gave; strictly growing in commit order
	Key      string
	Kind     string
	Deleted  bool
}

// Driver is what a back-end implements: the methods mean what Store says of them, and storetest checks it.
type Driver interface {
	View(ctx context.Context, f func(Tx) error) error
	Update(ctx context.Context, f func(Tx) error) error
	Claim(ctx context.Context, kind, owner string, ttl time.Duration) (Lease, error)
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	Release(ctx context.Context, l Lease) error
	Changes(ctx context.Context, after int64, limit int) ([]Change, error)
	Wait(ctx context.Context, after int64) error
	Close() error
}

// Store is the document store as callers see it.
type Store struct{ d Driver }

// New wraps a back-end.
func New(d Driver) *Store { return &Store{d: d} }

// View runs f in a transaction that only reads.
func (s *Store) View(ctx context.Context, f func(Tx) error) error { return s.d.View(ctx, f) }

// Update runs f in a transaction. f may be called again when the back-end lost a race, so it must not have effects of
// its own. An error from f rolls back and is returned unchanged.
func (s *Store) Update(ctx context.Context, f func(Tx) error) error { return s.d.Update(ctx, f) }

// Claim hands the longest-due unclaimed document of a kind to owner for ttl, or ErrNothing.
func (s *Store) Claim(ctx context.Context, kind, owner string, ttl time.Duration) (Lease, error) {
	return s.d.Claim(ctx, kind, owner, ttl)
}

// Renew makes a hold that is still held end ttl from now; else ErrLease. The document in it stays as it was claimed.
func (s *Store) Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	return s.d.Renew(ctx, l, ttl)
}

// Release gives a hold back early, or says ErrLease; the document stays due as its last Put left it.
func (s *Store) Release(ctx context.Context, l Lease) error { return s.d.Release(ctx, l) }

// Changes returns at most limit entries (0: no limit) of the feed after a revision, oldest first. Back-ends keep the
// newest FeedLength or more; whoever asks for older ones gets ErrTrimmed.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]Change, error) {
	return s.d.Changes(ctx, after, limit)
}

// Wait returns when the feed has an entry after the revision (also one written by another server), or ctx ends.
func (s *Store) Wait(ctx context.Context, after int64) error { return s.d.Wait(ctx, after) }

// Close releases the back-end.
func (s *Store) Close() error { return s.d.Close() }
