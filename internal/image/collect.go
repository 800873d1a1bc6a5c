package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/lazy"
	"vitrine/internal/image/pace"
	"vitrine/internal/store"
)

// Report says what a collection freed.
type Report struct {
	Manifests int   // manifests that nobody pinned
	Objects   int   // objects deleted: chunks, and manifests that nothing registered
	Bytes     int64 // stored bytes of these objects
	Bases     int   // base files removed
	Kept      int   // objects that stay
	Packs     int   // objects in which the bucket gathered such, and that went or were rewritten
	PackBytes int64 // that are free by that

	Freed []Freed // of a Plan: what it would free, the first maxFreed of them
}

// Freed is something that a collection would take away.
type Freed struct {
	What  string // an object's key, or the path of a base
	Bytes int64
	Why   string
}

const maxFreed = 10_000

func (r *Report) tell(what string, bytes int64, why string) {
	if len(r.Freed) < maxFreed {
		r.Freed = append(r.Freed, Freed{what, bytes, why})
	}
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
	before := s.Now().Add(-grace)
	if err := s.wipeShredded(ctx); err != nil {
		return Report{}, fmt.Errorf("collect: %w", err)
	}
	return s.collect(ctx, region, collection{before: before})
}

// Plan says what CollectOlder would free now, and why, and frees nothing.
func (s *Store) Plan(ctx context.Context, region string, grace time.Duration) (Report, error) {
	return s.collect(ctx, region, collection{before: s.Now().Add(-grace), dry: true})
}

// collection is what is asked for.
type collection struct {
	before time.Time // what was written later stays
	dry    bool      // nothing is changed
	domain string    // only this one; empty: all
}

func (s *Store) collect(ctx context.Context, region string, c collection) (Report, error) {
	b, err := s.bucket(region)
	if err != nil {
		return Report{}, err
	}
	var r Report
	gone, err := s.unregister(ctx, region, c, &r)
	if err != nil {
		return r, fmt.Errorf("collect %s: %w", region, err)
	}
	domains, err := domains(ctx, b)
	if err != nil {
		return r, fmt.Errorf("collect %s: %w", region, err)
	}
	for domain := range domains {
		if c.domain != "" && c.domain != domain {
			continue
		}
		w := &sweeper{collection: c, report: &r}
		if c.dry { // else they may have been registered again since, and the documents tell
			w.gone = gone
		}
		if err := s.collectPlace(ctx, place{region, domain}, b, w); err != nil {
			return r, fmt.Errorf("collect %s/%s: %w", region, domain, err)
		}
	}
	if err = tidy(ctx, b, c, &r); err != nil { // bases may be what takes the room
		err = fmt.Errorf("collect %s: %w", region, err)
	}
	err = errors.Join(err, s.collectBases(ctx, region, c, &r))
	return r, err
}

// tidy frees the room of what was deleted where the bucket gathers several objects in one.
func tidy(ctx context.Context, b *blob.Bucket, c collection, r *Report) error {
	prefix := "chunks/"
	if c.domain != "" {
		prefix += c.domain + "/"
	}
	list, err := b.Tidy(ctx, prefix, c.before, c.dry)
	for _, t := range list {
		r.Packs, r.PackBytes = r.Packs+1, r.PackBytes+t.Bytes
		if c.dry {
			r.tell(t.Key, t.Bytes, t.Why)
		}
	}
	return err
}

// unregister makes every manifest that is old and without pins stop counting. A dry run says which those are.
func (s *Store) unregister(ctx context.Context, region string, c collection, r *Report) (gone map[string]struct{}, err error) {
	prefix, gone := "image/manifest/"+region+"/", map[string]struct{}{}
	if c.domain != "" {
		prefix += c.domain + "/"
	}
	for after := ""; ; {
		var page []store.Document
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.List(store.Query{Kind: manifestKind, Prefix: prefix, After: after, Limit: 100})
			return err
		})
		if err != nil || len(page) == 0 {
			return gone, err
		}
		for _, d := range page {
			why, err := s.unregisterOne(ctx, region, d.Key, c)
			if err != nil {
				return gone, err
			}
			if why == "" {
				continue
			}
			gone[d.Key] = struct{}{}
			r.Manifests++
			if c.dry {
				r.tell(d.Key, 0, why)
			}
		}
		after = page[len(page)-1].Key
	}
}

// unregisterOne says why the manifest stops counting; empty: it does not.
func (s *Store) unregisterOne(ctx context.Context, region, key string, c collection) (why string, err error) {
	ref, err := refOf(key)
	if err != nil {
		return "", err
	}
	do := s.Store.Update
	if c.dry {
		do = s.Store.View
	}
	err = do(ctx, func(tx store.Tx) error {
		why = ""
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
		if err != nil || len(pins) > 0 || body.Written.After(c.before) {
			return err
		}
		why = "nothing pins the manifest, and nobody wrote it since " + body.Written.Format(time.RFC3339)
		if c.dry {
			return nil
		}
		return tx.Delete(key, d.ETag)
	})
	if why != "" && !c.dry {
		s.cache.Forget(region, ref)
	}
	return why, err
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
		live, err := s.live(ctx, p, b, w.gone)
		if errors.Is(err, ErrNotFound) && s.swept(ctx, p, e) {
			continue // another collection took a manifest that we were about to read
		}
		if err != nil {
			return err // what cannot be read might be needed: nothing is deleted
		}
		kept := w.report.Kept
		w.epoch, w.live, w.batch = e, live.ids, nil
		err = s.sweepAll(ctx, p, b, w)
		if err == nil && !w.dry && s.ring != nil {
			err = s.retire(ctx, p.domain)
		}
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

// needed is what the registered manifests of a place name.
type needed struct{ ids map[digest.Digest]struct{} }

// live lists the ids of every object that a registered manifest needs, those of gone left out.
func (s *Store) live(ctx context.Context, p place, b *blob.Bucket, gone map[string]struct{}) (needed, error) {
	n := needed{map[digest.Digest]struct{}{}}
	docs, err := s.registered(ctx, p)
	if err != nil {
		return n, err
	}
	for _, d := range docs {
		if _, ok := gone[d.doc]; ok {
			continue
		}
		m, err := s.loadManifest(ctx, b, p.region, d.Ref)
		if err != nil {
			return n, err
		}
		id, err := digest.ParseHex(d.Ref.ID)
		if err != nil {
			return n, err
		}
		n.ids[id] = struct{}{}
		for _, e := range m.Entries {
			n.ids[e.ID] = struct{}{}
		}
	}
	return n, nil
}

// sweeper is one look at a place.
type sweeper struct {
	collection
	gone   map[string]struct{} // documents that a dry run takes for deleted
	epoch  epoch               // as it was when live was made, and as our own sweeps changed it since
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
			if w.batch = append(w.batch, info); len(w.batch) < sweepSize {
				continue
			}
			if err := s.sweepAndRest(ctx, p, b, w); err != nil {
				return err
			}
		}
	}
	return s.sweepBatch(ctx, p, b, w)
}

// sweepAndRest leaves the disk and the processors to others for as long as the batch took. Nothing is announced meanwhile: nobody waits
// for a collection that rests.
func (s *Store) sweepAndRest(ctx context.Context, p place, b *blob.Bucket, w *sweeper) error {
	begin := time.Now()
	if err := s.sweepBatch(ctx, p, b, w); err != nil || w.dry {
		return err
	}
	return pace.Sleep(ctx, time.Since(begin))
}

// sweepBatch announces, deletes, and ends the announcement.
func (s *Store) sweepBatch(ctx context.Context, p place, b *blob.Bucket, w *sweeper) error {
	if len(w.batch) == 0 {
		return nil
	}
	if w.dry {
		w.plan()
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

func (w *sweeper) plan() {
	for _, i := range w.batch {
		w.report.Objects++
		w.report.Bytes += i.Size
		w.report.tell(i.Key, i.Size, "no manifest that counts needs it, and nobody wrote it since "+i.Modified.UTC().Format(time.RFC3339))
	}
	w.batch = w.batch[:0]
}

// collectBases removes base files whose manifest is not pinned in the region any more.
func (s *Store) collectBases(ctx context.Context, region string, c collection, r *Report) error {
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
		if c.domain != "" && c.domain != base.ref.Domain {
			continue
		}
		if c.dry {
			r.Bases++
			r.tell(base.path, sizeOnDisk(base.path), "nothing pins its manifest, and no machine runs on it")
			continue
		}
		if err := lazy.Remove(base.path); err != nil {
			return err
		}
		r.Bases++
	}
	return nil
}
