// Package scrub reads every stored image byte from time to time, before somebody needs a byte that has rotted.
//
// It owns the walk, its rate, and the report of the last one. Reading, verifying and mending an object is image's:
//
//	registered manifests ── each object once ──▶ rate ──▶ image.Check ──▶ counts; what cannot be mended, with who needs it
package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vitrine/internal/digest"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/pace"
	"vitrine/internal/store"
)

// ErrBusy is a scrub while another is under way.
var ErrBusy = errors.New("image: a scrub is under way")

const (
	key       = "image/scrub"
	kind      = "image.scrub"
	maxDamage = 1000 // that a report lists
	showEvery = 256  // chunks
)

// Damage is bytes that are lost: no region has them whole.
type Damage struct {
	Region  string   `json:"region"`
	Object  string   `json:"object"`
	Offset  int64    `json:"offset"`  // in the disk; -1: everywhere, it is the manifest
	Holders []string `json:"holders"` // resources that need it
	Fault   string   `json:"fault"`
}

// Report is one scrub.
type Report struct {
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"` // zero: it is under way, or was cut off
	Manifests int       `json:"manifests"`
	Chunks    int       `json:"chunks"`
	Bytes     int64     `json:"bytes"`
	Mended    int       `json:"mended"`
	Resealed  int       `json:"resealed"` // encrypted anew with the present key
	Damaged   int       `json:"damaged"`
	Damage    []Damage  `json:"damage"` // the first thousand
}

// Config is what a Scrubber needs.
type Config struct {
	Images *image.Store
	Store  *store.Store // keeps the last report
	Rate   int64        // stored bytes a second; 0: no limit
	Log    *slog.Logger // nil: nothing is said
	Now    func() time.Time
}

// Scrubber scrubs the images of a server, one scrub at a time.
type Scrubber struct {
	Config
	busy sync.Mutex
	mu   sync.Mutex
	now  *Report // of the scrub under way

	totals Totals
}

// New makes one.
func New(c Config) *Scrubber {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Scrubber{Config: c}
}

// walk is one scrub.
type walk struct {
	*Scrubber
	limit  *pace.Limiter
	reseal bool
	report Report
	told   Report                  // what of it Status and Totals know
	done   map[digest.Digest]error // chunks of one region and domain: nil when sound
}

// Run scrubs everything once. Objects that are not encrypted with their domain's present key are encrypted anew if reseal is
// set. Lost bytes are no error of Run: the report has them. ErrBusy.
func (s *Scrubber) Run(ctx context.Context, reseal bool) (Report, error) {
	if !s.busy.TryLock() {
		return Report{}, ErrBusy
	}
	defer s.busy.Unlock()
	w := &walk{Scrubber: s, limit: pace.New(s.Rate), reseal: reseal, report: Report{Started: s.Now().UTC(), Damage: []Damage{}}}
	w.show()
	s.tally(func(t *Totals) { t.Begun++ })
	defer func() {
		w.show() // also what a scrub did that was cut off
		s.mu.Lock()
		s.now = nil
		s.mu.Unlock()
	}()
	list, err := s.Images.Registered(ctx, "")
	if err != nil {
		return w.report, fmt.Errorf("scrub: %w", err)
	}
	place := func(r image.Registered) string { return r.Region + "/" + r.Ref.Domain }
	for i, r := range list { // sorted by region, then domain
		if i == 0 || place(r) != place(list[i-1]) {
			w.done = map[digest.Digest]error{}
		}
		if err := w.manifest(ctx, r); err != nil {
			return w.report, fmt.Errorf("scrub: %w", err)
		}
		w.show()
	}
	w.report.Ended = s.Now().UTC()
	s.tally(func(t *Totals) { t.Ended, t.Took = t.Ended+1, t.Took+w.report.Ended.Sub(w.report.Started) })
	s.Log.Info("scrubbed", "manifests", w.report.Manifests, "chunks", w.report.Chunks, "bytes", w.report.Bytes, "mended", w.report.Mended,
		"resealed", w.report.Resealed, "damaged", w.report.Damaged, "took", w.report.Ended.Sub(w.report.Started))
	return w.report, s.keep(ctx, w.report)
}

// manifest checks one, and those of its chunks that no other has led to.
func (w *walk) manifest(ctx context.Context, r image.Registered) error {
	reader, c, err := w.Images.CheckManifest(ctx, r.Region, r.Ref, w.reseal)
	w.report.Manifests++
	if err != nil {
		return w.judge(r, -1, chunk.ManifestObject(r.Ref.Domain, r.Ref.ID), err)
	}
	w.count(c)
	for _, e := range reader.Entries() {
		fault, known := w.done[e.ID]
		if !known {
			if err := w.limit.Wait(ctx, int64(e.Length)); err != nil { // what is stored is less, and not known yet
				return err
			}
			c, fault = reader.Check(ctx, e, w.reseal)
			w.done[e.ID] = fault
			w.report.Chunks++
			w.count(c)
			if w.report.Chunks%showEvery == 0 {
				w.show()
			}
		}
		if fault == nil {
			continue
		}
		if err := w.judge(r, e.Offset, chunk.Object(r.Ref.Domain, e.ID), fault); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) count(c image.Checked) {
	w.report.Bytes += c.Bytes
	if c.Mended {
		w.report.Mended++
	}
	if c.Resealed {
		w.report.Resealed++
	}
}

// judge notes damage, with who needs it here. What a collection took meanwhile, or a shredding, is none; the rest is returned.
func (w *walk) judge(r image.Registered, offset int64, object string, err error) error {
	if errors.Is(err, image.ErrNotFound) || errors.Is(err, image.ErrShredded) {
		return nil
	}
	if _, ok := errors.AsType[*image.CorruptError](err); !ok {
		return err
	}
	w.report.Damaged++
	if len(w.report.Damage) < maxDamage {
		w.report.Damage = append(w.report.Damage, Damage{r.Region, object, offset, r.Holders, err.Error()})
	}
	return nil
}

// tally changes the totals.
func (s *Scrubber) tally(f func(*Totals)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.totals)
}

// show lets Status and Totals see how far it is.
func (w *walk) show() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.report
	r.Damage = slices.Clone(r.Damage)
	w.totals.add(r, w.told)
	w.now, w.told = &r, r
}

func (s *Scrubber) keep(ctx context.Context, r Report) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		old, err := tx.Get(key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		_, err = tx.Put(store.Document{Key: key, Kind: kind, Body: body, ETag: old.ETag})
		return err
	})
}

// Status gives the scrub under way in this server, or else the last one that was completed in any; ok: there was one.
func (s *Scrubber) Status(ctx context.Context) (r Report, ok bool, err error) {
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	if now != nil {
		return *now, true, nil
	}
	return s.Last(ctx)
}

// Last gives the report of the last scrub that ran to its end, also while another runs; ok: there is one.
func (s *Scrubber) Last(ctx context.Context) (r Report, ok bool, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) error {
		d, err := tx.Get(key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		ok = err == nil
		if ok {
			err = json.Unmarshal(d.Body, &r)
		}
		return err
	})
	return r, ok, err
}
