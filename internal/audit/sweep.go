package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"vitrine/internal/store"
)

const maxRemove = 500 // events in one transaction

// sweep removes whole batches that are too old. The anchor moves first, so that a crash leaves events that are known to be
// on their way out, and never a gap in the chain.
func (l *Log) sweep(ctx context.Context, tenant string, lease store.Lease) error {
	for l.Keep > 0 {
		var err error
		if lease, err = l.renew(ctx, lease); err != nil {
			return err
		}
		if err := l.clear(ctx, tenant, lease); err != nil {
			return err
		}
		moved, err := l.advance(ctx, tenant, lease)
		if err != nil {
			return err
		}
		if !moved {
			break
		}
	}
	return l.fenced(ctx, lease, func(tx store.Tx) error {
		h, d, err := readHead(tx, tenant)
		if err != nil {
			return err
		}
		h.Swept = l.Now().UTC()
		return h.write(tx, d, d.Due)
	})
}

// advance moves the anchor over the oldest batch if all of it is too old.
func (l *Log) advance(ctx context.Context, tenant string, lease store.Lease) (moved bool, err error) {
	before := l.Now().Add(-l.Keep)
	err = l.fenced(ctx, lease, func(tx store.Tx) error {
		moved = false
		key, err := l.keyOrNew(tx)
		if err != nil {
			return err
		}
		a, d, err := readAnchor(tx, tenant)
		if err != nil {
			return err
		}
		next, old, err := l.oldest(tx, a, key, before)
		if err != nil || !old {
			return err
		}
		next.Clearing, moved = true, true
		return next.write(tx, d, key)
	})
	return moved, err
}

// oldest gives the anchor behind the oldest batch, and whether all events of that are from before a moment.
func (l *Log) oldest(tx store.Tx, a anchor, key []byte, before time.Time) (anchor, bool, error) {
	for {
		docs, err := tx.List(store.Query{Kind: SealKind, Prefix: sealPrefix(a.Tenant), After: sealKey(a.Tenant, a.Sequence), Limit: 1})
		if err != nil || len(docs) == 0 {
			return a, false, err
		}
		k, err := l.readLink(docs[0], key)
		if err != nil { // what is broken is kept, to be looked at
			return a, false, fmt.Errorf("audit: %s %w", docs[0].Key, err)
		}
		if k.Sequence != a.Sequence+1 || !k.To.Before(before) {
			return a, false, nil
		}
		a.Sequence, a.Batch, a.Hash, a.Events = k.Sequence, k.Batch, k.Hash, a.Events+int64(k.count())
		if k.End {
			return a, true, nil
		}
	}
}

// clear removes what the anchor has passed.
func (l *Log) clear(ctx context.Context, tenant string, lease store.Lease) error {
	for more := true; more; {
		err := l.fenced(ctx, lease, func(tx store.Tx) error {
			more = false
			a, d, err := readAnchor(tx, tenant)
			if err != nil || !a.Clearing {
				return err
			}
			if more, err = l.removeSome(tx, a); err != nil || more {
				return err
			}
			key, err := l.key(tx)
			if err != nil {
				return err
			}
			a.Clearing = false
			return a.write(tx, d, key)
		})
		if err != nil {
			return err
		}
		if lease, err = l.renew(ctx, lease); err != nil {
			return err
		}
	}
	return nil
}

// removeSome removes some events of the anchor's batch, and at last its seals.
func (l *Log) removeSome(tx store.Tx, a anchor) (more bool, err error) {
	docs, err := tx.List(store.Query{Kind: EventKind, All: []string{batchTerm(a.Tenant, a.Batch)}, Limit: maxRemove})
	if err != nil {
		return false, err
	}
	more = len(docs) == maxRemove
	if !more {
		seals, err := tx.List(store.Query{Kind: SealKind, Prefix: sealPrefix(a.Tenant), Limit: maxRemove})
		if err != nil {
			return false, err
		}
		for _, d := range seals {
			var k link
			if json.Unmarshal(d.Body, &k) == nil && k.Sequence <= a.Sequence {
				docs = append(docs, d)
			}
		}
	}
	for _, d := range docs {
		if err := tx.Delete(d.Key, 0); err != nil {
			return false, err
		}
	}
	return more, nil
}
