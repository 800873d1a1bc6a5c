package audit

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"vitrine/internal/store"
)

// work claims a chain that is due and brings it up to date. It tells whether there was one.
func (l *Log) work(ctx context.Context) bool {
	lease, err := l.Store.Claim(ctx, HeadKind, l.Owner, l.time.lease)
	if err != nil {
		if !errors.Is(err, store.ErrNothing) && ctx.Err() == nil {
			l.Log.Error("activity log: claim", "error", err)
		}
		return false
	}
	tenant := strings.TrimPrefix(lease.Key, HeadKind+"/")
	if err := l.tend(ctx, tenant, lease); err != nil {
		if ctx.Err() != nil {
			l.release(ctx, lease)
		} else if !errors.Is(err, store.ErrLease) {
			l.Log.Error("activity log: not sealed; it is tried again when the lease ends", "tenant", tenant, "error", err)
		}
		return true
	}
	l.release(ctx, lease)
	return true
}

// release gives the chain back, also when the server is stopping: the next one shall not have to wait.
func (l *Log) release(ctx context.Context, lease store.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.time.batch)
	defer cancel()
	if err := l.Store.Release(ctx, lease); err != nil && !errors.Is(err, store.ErrLease) {
		l.Log.Warn("activity log: release", "error", err)
	}
}

func (l *Log) tend(ctx context.Context, tenant string, lease store.Lease) error {
	h, err := l.shut(ctx, tenant, lease)
	if err != nil {
		return err
	}
	for h.Sealed+1 < h.Open {
		if lease, err = l.renew(ctx, lease); err != nil {
			return err
		}
		if h, err = l.seal(ctx, h, lease); err != nil {
			return err
		}
	}
	if h.Swept.IsZero() || l.Now().Sub(h.Swept) >= l.time.sweep {
		if err := l.sweep(ctx, tenant, lease); err != nil {
			return err
		}
	}
	return l.rest(ctx, tenant, lease)
}

func (l *Log) renew(ctx context.Context, lease store.Lease) (store.Lease, error) {
	return l.Store.Renew(ctx, lease, l.time.lease)
}

func (l *Log) fenced(ctx context.Context, lease store.Lease, f func(store.Tx) error) error {
	return l.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Fence(lease); err != nil {
			return err
		}
		return f(tx)
	})
}

// shut closes the open batch if it has events: from this commit on they are a fixed set.
func (l *Log) shut(ctx context.Context, tenant string, lease store.Lease) (h head, err error) {
	err = l.fenced(ctx, lease, func(tx store.Tx) error {
		var d store.Document
		if h, d, err = readHead(tx, tenant); err != nil {
			return err
		}
		some, err := tx.List(store.Query{Kind: EventKind, All: []string{batchTerm(tenant, h.Open)}, Limit: 1})
		if err != nil || len(some) == 0 {
			return err
		}
		h.Open++
		return h.write(tx, d, d.Due)
	})
	return h, err
}

// seal writes the next seal of the oldest batch that is closed. The hashing is done in a reading transaction, so that
// nobody who writes waits for it.
func (l *Log) seal(ctx context.Context, h head, lease store.Lease) (head, error) {
	k := link{Tenant: h.Tenant, Sequence: h.Sequence + 1, Batch: h.Sealed + 1, Previous: h.Hash, Sealed: l.Now().UTC().Truncate(time.Microsecond)}
	if err := l.Store.View(ctx, func(tx store.Tx) error { return l.gather(tx, h, &k) }); err != nil {
		return h, err
	}
	var err error
	if k.Hash, err = k.sum(); err != nil {
		return h, err
	}
	err = l.fenced(ctx, lease, func(tx store.Tx) error {
		key, err := l.keyOrNew(tx)
		if err != nil {
			return err
		}
		next, d, err := readHead(tx, h.Tenant)
		if err != nil {
			return err
		}
		k.MAC = mac(key, "seal", k.Hash)
		body, err := json.Marshal(k)
		if err != nil {
			return err
		}
		if _, err := tx.Put(store.Document{Key: sealKey(k.Tenant, k.Sequence), Kind: SealKind, Body: body}); err != nil {
			return err
		}
		if next.Sequence, next.Hash = k.Sequence, k.Hash; k.End {
			next.Sealed = k.Batch
		}
		next.MAC = next.mac(key)
		h = next
		return next.write(tx, d, d.Due)
	})
	return h, err
}

// gather reads the next events of a batch into a seal.
func (l *Log) gather(tx store.Tx, h head, k *link) error {
	after := ""
	if h.Sequence > 0 { // the batch may be sealed in part
		d, err := tx.Get(sealKey(h.Tenant, h.Sequence))
		if err != nil && !errors.Is(err, store.ErrNotFound) { // a chain whose end was taken away goes on, and Verify tells
			return err
		}
		var before link
		if err == nil && json.Unmarshal(d.Body, &before) == nil && before.Batch == k.Batch {
			after = before.Last
		}
	}
	docs, err := tx.List(store.Query{Kind: EventKind, All: []string{batchTerm(h.Tenant, k.Batch)}, After: after, Limit: l.part + 1})
	if err != nil {
		return err
	}
	if k.End = len(docs) <= l.part; !k.End {
		docs = docs[:l.part]
	}
	k.Digests = make([]byte, 0, len(docs)*sizeHash)
	for i, d := range docs {
		var e Event
		_ = json.Unmarshal(d.Body, &e) // what is no event any more is sealed as it is: its digest counts
		if k.Digests = append(k.Digests, digest(d)...); i == 0 {
			k.First, k.From, k.To = d.Key, e.Time, e.Time
		}
		if k.Last = d.Key; e.Time.Before(k.From) {
			k.From = e.Time
		}
		if e.Time.After(k.To) {
			k.To = e.Time
		}
	}
	return nil
}

// rest says when the chain is due again: soon if events came meanwhile, else for the next sweep.
func (l *Log) rest(ctx context.Context, tenant string, lease store.Lease) error {
	return l.fenced(ctx, lease, func(tx store.Tx) error {
		h, d, err := readHead(tx, tenant)
		if err != nil {
			return err
		}
		some, err := tx.List(store.Query{Kind: EventKind, All: []string{batchTerm(tenant, h.Open)}, Limit: 1})
		if err != nil {
			return err
		}
		due := l.Now().Add(l.time.idle)
		if len(some) > 0 {
			due = l.Now().Add(l.time.batch)
		}
		return h.write(tx, d, due)
	})
}
