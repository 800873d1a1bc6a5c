package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/store"
)

// Report says what a collection freed.
type Report struct {
	Manifests int   // manifests that nobody pinned
	Objects   int   // objects deleted: chunks, and manifests that nothing registered
	Bytes     int64 // stored bytes of these objects
	Bases     int   // base files removed
	Kept      int   // objects that stay
}

const (
	sweepSize    = 256 // objects deleted between two looks at the store
	collectTries = 20  // looks at a place that is being written to, before the next collection's turn
)

// Collect deletes from a region what is neither pinned nor younger than Config.Grace: manifests, chunks that no
// registered manifest names, base files that no machine runs on. It may run beside Pack, Replicate and another Collect.
func (s *Store) Collect(ctx context.Context, region string) (Report, error) {
	return s.CollectOlder(ctx, region, s.Grace)
}

// CollectOlder is Collect with another grace. A manifest that was packed a moment ago and is not pinned yet needs some: with
// none, whoever is about to pin it fails, and packs again.
func (s *Store) CollectOlder(ctx context.Context, region string, grace time.Duration) (Report, error) {
	b, err := s.bucket(region)
	if err != nil {
		return Report{}, err
	}
	var r Report
	before := s.Now().Add(-grace)
	if err := s.unregister(ctx, region, before, &r); err != nil {
		return r, fmt.Errorf("collect %s: %w", region, err)
	}
	domains, err := domains(ctx, b)
	if err != nil {
		return r, fmt.Errorf("collect %s: %w", region, err)
	}
	for domain := range domains {
		if err := s.collectPlace(ctx, place{region, domain}, b, &sweeper{before: before, report: &r}); err != nil {
			return r, fmt.Errorf("collect %s/%s: %w", region, domain, err)
		}
	}
	err = s.collectBases(ctx, region, &r)
	return r, err
}

// unregister makes every manifest that is old and without pins stop counting.
func (s *Store) unregister(ctx context.Context, region string, before time.Time, r *Report) error {
	for after := ""; ; {
		var page []store.Document
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.List(store.Query{Kind: manifestKind, Prefix: "image/manifest/" + region + "/", After: after, Limit: 100})
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, d := range page {
			gone, err := s.unregisterOne(ctx, region, d.Key, before)
			if err != nil {
				return err
			}
			if gone {
				r.Manifests++
			}
		}
		after = page[len(page)-1].Key
	}
}

func (s *Store) unregisterOne(ctx context.Context, region, key string, before time.Time) (gone bool, err error) {
	ref, err := refOf(key)
	if err != nil {
		return false, err
	}
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		gone = false
		d, err := tx.Get(key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var body registered
		if err := json.Unmarshal(d.Body, &body); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		pins, err := tx.List(store.Query{Kind: pinKind, Prefix: pinPrefix(region, ref), Limit: 1})
		if err != nil || len(pins) > 0 || body.Written.After(before) {
			return err
		}
		gone = true
		return tx.Delete(key, d.ETag)
	})
	if gone {
		s.cache.forget(region, ref)
	}
	return gone && err == nil, err
}

// refOf reads a key that registerKey made; it knows no size.
func refOf(key string) (Ref, error) {
	parts := strings.Split(key, "/")
	if len(parts) != 5 {
		return Ref{}, fmt.Errorf("%w: document key %q", ErrInvalid, key)
	}
	return Ref{Domain: parts[3], ID: parts[4]}, nil
}

// domains lists the domains that have objects.
func domains(ctx context.Context, b *blob.Bucket) (map[string]struct{}, error) {
	found := map[string]struct{}{}
	for _, kind := range []string{"chunks/", "manifests/"} {
		for after := ""; ; {
			page, err := b.List(ctx, kind, after, 1)
			if err != nil {
				return nil, err
			}
			if len(page) == 0 {
				break
			}
			domain, _, _ := strings.Cut(page[0].Key[len(kind):], "/")
			found[domain] = struct{}{}
			after = kind + domain + "0" // '0' follows '/': after all that lies in it
		}
	}
	return found, nil
}

// collectPlace sweeps one place, and looks again whenever somebody wrote to it meanwhile.
func (s *Store) collectPlace(ctx context.Context, p place, b *blob.Bucket, w *sweeper) error {
	for range collectTries {
		e, err := s.quiet(ctx, p)
		if err != nil {
			return err
		}
		live, err := s.live(ctx, p, b)
		if errors.Is(err, ErrNotFound) && s.swept(ctx, p, e) {
			continue // another collection took a manifest that we were about to read
		}
		if err != nil {
			return err // what cannot be read might be needed: nothing is deleted
		}
		kept := w.report.Kept
		w.epoch, w.live, w.batch = e, live, nil
		err = s.sweepAll(ctx, p, b, w)
		if !errors.Is(err, errWritten) {
			return err
		}
		w.report.Kept = kept
	}
	return nil
}

// swept says whether somebody else's sweep began or ended since e was read.
func (s *Store) swept(ctx context.Context, p place, e epoch) bool {
	now, err := s.quiet(ctx, p)
	return err == nil && now.Sweeps != e.Sweeps
}

// live lists the keys of every object that a registered manifest needs.
func (s *Store) live(ctx context.Context, p place, b *blob.Bucket) (map[digest.Digest]struct{}, error) {
	var docs []store.Document
	prefix := "image/manifest/" + p.region + "/" + p.domain + "/"
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		docs, err = tx.List(store.Query{Kind: manifestKind, Prefix: prefix})
		return err
	})
	if err != nil {
		return nil, err
	}
	live := map[digest.Digest]struct{}{}
	for _, d := range docs {
		ref, err := refOf(d.Key)
		if err != nil {
			return nil, err
		}
		var body registered
		if err := json.Unmarshal(d.Body, &body); err != nil {
			return nil, err
		}
		ref.Size = body.Size
		m, err := s.loadManifest(ctx, b, p.region, ref)
		if err != nil {
			return nil, err
		}
		id, err := digest.ParseHex(ref.ID)
		if err != nil {
			return nil, err
		}
		live[id] = struct{}{}
		for _, e := range m.entries {
			live[e.id] = struct{}{}
		}
	}
	return live, nil
}

// sweeper is one look at a place.
type sweeper struct {
	before time.Time // what was written later stays
	epoch  epoch     // as it was when live was made, and as our own sweeps changed it since
	live   map[digest.Digest]struct{}
	report *Report
	batch  []blob.Info
}

func (s *Store) sweepAll(ctx context.Context, p place, b *blob.Bucket, w *sweeper) error {
	for _, prefix := range []string{"manifests/" + p.domain + "/", "chunks/" + p.domain + "/"} {
		for info, err := range b.All(ctx, prefix) {
			if err != nil {
				return err
			}
			id, err := digest.ParseHex(info.Key[strings.LastIndexByte(info.Key, '/')+1:])
			if _, needed := w.live[id]; needed || err != nil || info.Modified.After(w.before) {
				w.report.Kept++
				continue
			}
			if w.batch = append(w.batch, info); len(w.batch) == sweepSize {
				if err := s.sweepBatch(ctx, p, b, w); err != nil {
					return err
				}
			}
		}
	}
	return s.sweepBatch(ctx, p, b, w)
}

// sweepBatch announces, deletes, and ends the announcement.
func (s *Store) sweepBatch(ctx context.Context, p place, b *blob.Bucket, w *sweeper) error {
	if len(w.batch) == 0 {
		return nil
	}
	announced := epoch{Writes: w.epoch.Writes, Sweeps: w.epoch.Sweeps + 1, Sweep: &sweep{Until: s.Now().Add(sweepTime)}}
	var bytes int64
	for _, i := range w.batch {
		announced.Sweep.Keys = append(announced.Sweep.Keys, i.Key)
		bytes += i.Size
	}
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		now, etag, err := p.read(tx)
		if err != nil {
			return err
		}
		if now.Writes != w.epoch.Writes || now.Sweeps != w.epoch.Sweeps {
			return errWritten
		}
		return p.save(tx, announced, etag)
	})
	if err != nil {
		return err
	}
	// Writers wait from here on: a caller that gives up does not leave them waiting.
	w.epoch, err = s.runSweep(context.WithoutCancel(ctx), p, b, announced)
	if err != nil {
		return err
	}
	w.report.Objects += len(w.batch)
	w.report.Bytes += bytes
	w.batch = w.batch[:0]
	return nil
}

// collectBases removes base files whose manifest is not pinned in the region any more.
func (s *Store) collectBases(ctx context.Context, region string, r *Report) error {
	for _, base := range s.basesOf(region) {
		var pins []string
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			pins, err = s.Pins(tx, base.ref, region)
			return err
		})
		if err != nil {
			return err
		}
		if len(pins) > 0 || s.InUse != nil && s.InUse(base.path) {
			continue
		}
		if err := os.Remove(base.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		r.Bases++
	}
	return nil
}
