package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/image/keyring"
	"vitrine/internal/store"
)

// A writer that finds a chunk in the bucket does not write it again; a collector that finds a chunk unnamed deletes it.
// Each place, one domain in one region, has a document that keeps the two from crossing, without locking either out:
//
//	writer     reads Sweeps (waiting while a sweep is under way), stores chunks and manifest, and then registers the
//	           manifest in a transaction that fails if Sweeps has changed: then it does its work again, at little cost
//	collector  reads Writes, finds what no registered manifest names, and then announces a sweep of a few objects in
//	           a transaction that fails if Writes has changed: then it looks again. It counts Sweeps at the announcement
//	           and again when the objects are gone
//
// A sweep whose server died is finished by whoever comes next: it lists its keys and the time by which it had to end.
type place struct{ region, domain string }

// epoch is the body of a place's document.
type epoch struct {
	Writes int64  `json:"writes"` // manifests registered
	Sweeps int64  `json:"sweeps"` // beginnings and ends of sweeps
	Sweep  *sweep `json:"sweep,omitempty"`
}

// sweep is a deletion under way.
type sweep struct {
	Keys  []string  `json:"keys"`
	Until time.Time `json:"until"` // its owner deletes nothing after this
}

const (
	sweepTime = 10 * time.Second // how long one sweep may take
	skew      = 10 * time.Second // how far the clocks of two servers may differ
)

// errSwept tells a writer that what it found may be gone, errWritten a collector that what it found may be needed.
var (
	errSwept   = errors.New("image: objects were collected meanwhile")
	errWritten = errors.New("image: a manifest was registered meanwhile")
	errBusy    = errors.New("image: a sweep is under way")
)

const (
	epochKind    = "image.epoch"
	manifestKind = "image.manifest"
	pinKind      = "image.pin"
)

func (p place) key() string { return "image/epoch/" + p.region + "/" + p.domain }

func (p place) read(tx store.Tx) (epoch, int64, error) {
	d, err := tx.Get(p.key())
	if errors.Is(err, store.ErrNotFound) {
		return epoch{}, 0, nil
	}
	if err != nil {
		return epoch{}, 0, err
	}
	var e epoch
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return epoch{}, 0, fmt.Errorf("%s: %w", p.key(), err)
	}
	return e, d.ETag, nil
}

func (p place) save(tx store.Tx, e epoch, etag int64) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = tx.Put(store.Document{Key: p.key(), Kind: epochKind, Body: body, ETag: etag})
	return err
}

// quiet reads the epoch of p when no sweep is under way; it waits for one, and finishes one whose owner is gone.
func (s *Store) quiet(ctx context.Context, p place) (epoch, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var e epoch
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			e, _, err = p.read(tx)
			return err
		})
		if err != nil || e.Sweep == nil {
			return e, err
		}
		if s.Now().After(e.Sweep.Until.Add(skew)) {
			if err := s.finishSweep(ctx, p, e); err != nil {
				return e, err
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

// finishSweep does again what a dead collector began.
func (s *Store) finishSweep(ctx context.Context, p place, e epoch) error {
	b, err := s.bucket(p.region)
	if err != nil {
		return err
	}
	// Prolong it first: two who find it must not both believe that it is theirs and over.
	taken := e
	taken.Sweep = &sweep{Keys: e.Sweep.Keys, Until: s.Now().Add(sweepTime)}
	taken.Sweeps++
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		now, etag, err := p.read(tx)
		if err != nil || now.Sweeps != e.Sweeps {
			return errors.Join(err, errBusy)
		}
		return p.save(tx, taken, etag)
	})
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.runSweep(ctx, p, b, taken)
	return err
}

// runSweep deletes what an announced sweep lists, and ends it. On an error the announcement stays, for quiet to finish.
func (s *Store) runSweep(ctx context.Context, p place, b *blob.Bucket, e epoch) (epoch, error) {
	if s.Now().After(e.Sweep.Until) {
		return e, fmt.Errorf("sweep of %s/%s: %w", p.region, p.domain, context.DeadlineExceeded)
	}
	ending, cancel := context.WithTimeout(ctx, e.Sweep.Until.Sub(s.Now()))
	defer cancel()
	if err := b.DeleteMany(ending, e.Sweep.Keys); err != nil {
		return e, err
	}
	var after epoch
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, etag, err := p.read(tx)
		if err != nil {
			return err
		}
		if now.Sweeps != e.Sweeps {
			return errBusy
		}
		after = epoch{Writes: now.Writes, Sweeps: now.Sweeps + 1}
		return p.save(tx, after, etag)
	})
	return after, err
}

// beginWrite returns the count of sweeps that register must find again.
func (s *Store) beginWrite(ctx context.Context, p place) (int64, error) {
	e, err := s.quiet(ctx, p)
	return e.Sweeps, err
}

// registered is the body of a manifest's document.
type registered struct {
	Size    int64     `json:"size"`
	Written time.Time `json:"written"`         // last time that a Pack or Replicate came to this manifest
	Key     string    `json:"key,omitempty"`   // that its writer encrypted with; empty: none, or an older server wrote it
	Named   string    `json:"named,omitempty"` // that names its chunks; empty: format version 1, or not known
}

func registerKey(region string, r Ref) string {
	return "image/manifest/" + region + "/" + r.Domain + "/" + r.ID
}

// register makes a stored manifest count, or fails with errSwept, or with ErrShredded when its key is gone meanwhile.
func (s *Store) register(ctx context.Context, p place, r Ref, as registered, sweeps int64) error {
	as.Written = s.Now().UTC()
	body, err := json.Marshal(as)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		e, etag, err := p.read(tx)
		if err != nil {
			return err
		}
		if e.Sweeps != sweeps || e.Sweep != nil {
			return errSwept
		}
		for _, key := range []string{as.Key, as.Named} {
			if key == "" {
				continue
			}
			if err := keyring.Held(tx, p.domain, key); err != nil {
				return err
			}
		}
		e.Writes++
		if err := p.save(tx, e, etag); err != nil {
			return err
		}
		key := registerKey(p.region, r)
		old, err := tx.Get(key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		_, err = tx.Put(store.Document{Key: key, Kind: manifestKind, Body: body, ETag: old.ETag})
		return err
	})
}
