package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// crashing is a store whose process dies: after so many transactions nothing works any more.
type crashing struct {
	store.Driver
	left atomic.Int64
}

var errCrash = errors.New("crash")

func (c *crashing) Update(ctx context.Context, f func(store.Tx) error) error {
	if c.left.Add(-1) < 0 {
		return errCrash
	}
	return c.Driver.Update(ctx, f)
}

func (c *crashing) Release(context.Context, store.Lease) error { return nil }

// TestWritersAndCrashes writes from many goroutines while workers seal and die at every point of their way.
func TestWritersAndCrashes(t *testing.T) {
	for name, open := range map[string]func(testing.TB) store.Driver{"memory": func(testing.TB) store.Driver { return memstore.Open() }, "sqlite": sqlite, "postgres": postgres} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			w := newWorld(t, d, func(c *Config) { c.Now = time.Now })
			quick := timing{batch: time.Millisecond, poll: time.Millisecond, lease: 20 * time.Millisecond, window: time.Second, sweep: time.Hour, idle: time.Hour}
			w.log.time = quick
			writers, each := 32, 100
			if name == "postgres" { // each commit waits for a disk
				each = 30
			}
			ctx, stop := context.WithCancel(t.Context())
			var write, work sync.WaitGroup
			for n := range 3 {
				work.Go(func() {
					for life := 0; ctx.Err() == nil; life++ {
						broken := &crashing{Driver: d}
						broken.left.Store(int64(life % 7))
						c := w.log.Config
						c.Store, c.Owner = store.New(broken), fmt.Sprintf("%d-%d", n, life)
						l := New(c)
						l.time, l.part = quick, 16
						for broken.left.Load() > 0 && ctx.Err() == nil {
							if !l.work(ctx) {
								wait(ctx, time.Millisecond)
							}
						}
						if life > 6 && life%7 == 6 {
							wait(ctx, 2*time.Millisecond)
						}
					}
				})
			}
			for n := range writers {
				write.Go(func() {
					for i := range each {
						w.record(n*each + i)
					}
				})
			}
			write.Wait()
			if r := w.verify(Mark{}); r.Broken != "" || r.Events+r.Unsealed != int64(writers*each) {
				t.Errorf("between: %+v", r)
			}
			stop()
			work.Wait()
			for r := w.verify(Mark{}); r.Unsealed > 0 && r.Broken == ""; r = w.verify(Mark{}) {
				w.log.work(t.Context())
				wait(t.Context(), time.Millisecond)
			}
			r := w.good(int64(writers*each), 0)
			t.Logf("%d events in %d seals", r.Events, r.Seals)
			seen := map[string]bool{}
			for _, e := range w.list(Query{Subscription: sub, Limit: 1000}) {
				seen[e.Resource] = true
			}
			if len(seen) != writers*each {
				t.Errorf("%d of %d events are listed", len(seen), writers*each)
			}
		})
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// TestLateCommit has an event with an early ID commit after the batch of its time was sealed.
func TestLateCommit(t *testing.T) {
	w := newWorld(t, memstore.Open())
	early := event(1)
	early.Time = w.clock.now()
	w.clock.advance(time.Minute)
	w.record(2)
	w.sealed()
	if err := w.log.Store.Update(t.Context(), func(tx store.Tx) error { return w.log.Record(tx, early) }); err != nil {
		t.Fatal(err)
	}
	w.good(1, 1)
	w.sealed()
	w.good(2, 0)
}

// TestClockBack turns the clock back between batches and within one: what counts is what was committed, so the chain holds, and old
// events are not taken for new ones.
func TestClockBack(t *testing.T) {
	w := newWorld(t, memstore.Open())
	for n := range 30 {
		if w.record(n); n%7 == 6 {
			w.clock.advance(-time.Hour)
		}
		if n%10 == 9 {
			w.sealed()
		}
	}
	good := w.good(30, 0)
	d := w.docs(EventKind)[4]
	d.Body = bytes.Replace(d.Body, []byte(`"object":"o"`), []byte(`"object":"x"`), 1)
	if err := w.log.Store.Update(t.Context(), func(tx store.Tx) error { _, err := tx.Put(d); return err }); err != nil {
		t.Fatal(err)
	}
	if r := w.verify(Mark{good.Sequence, good.Hash}); !strings.Contains(r.Broken, "is not as seal") {
		t.Errorf("%+v", r)
	}
}

func (w *world) docs(kind string) (docs []store.Document) {
	w.Helper()
	err := w.log.Store.View(w.Context(), func(tx store.Tx) (err error) {
		docs, err = tx.List(store.Query{Kind: kind})
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return docs
}

func TestTampering(t *testing.T) {
	put := func(w *world, d store.Document) {
		w.Helper()
		if err := w.log.Store.Update(w.Context(), func(tx store.Tx) error { _, err := tx.Put(d); return err }); err != nil {
			w.Fatal(err)
		}
	}
	remove := func(w *world, d store.Document) {
		w.Helper()
		if err := w.log.Store.Update(w.Context(), func(tx store.Tx) error { return tx.Delete(d.Key, 0) }); err != nil {
			w.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		do   func(w *world)
		want string
	}{
		"a caller changed": {func(w *world) {
			d := w.docs(EventKind)[13]
			d.Body = bytes.Replace(d.Body, []byte(`"object":"o"`), []byte(`"object":"x"`), 1)
			put(w, d)
		}, "is not as seal 2 has it"},
		"a space added":               {func(w *world) { d := w.docs(EventKind)[0]; d.Body = append(d.Body, ' '); put(w, d) }, "is not as seal 3 has it"},
		"an event removed":            {func(w *world) { remove(w, w.docs(EventKind)[13]) }, "an event of seal 2 is missing, before"},
		"the last of a batch removed": {func(w *world) { remove(w, w.docs(EventKind)[19]) }, "an event of seal 2 is missing"},
		"an event put in": {func(w *world) {
			d := w.docs(EventKind)[13]
			d.Key, d.ETag = strings.Replace(d.Key, "-", "-0", 1), 0
			put(w, d)
		}, "was put into seal 2 afterwards"},
		"an event put in at the end": {func(w *world) { d := w.docs(EventKind)[19]; d.Key, d.ETag = d.Key+"0", 0; put(w, d) }, "was put into seal 2 afterwards"},
		"two exchanged": {func(w *world) {
			all := w.docs(EventKind)
			all[12].Body, all[13].Body = all[13].Body, all[12].Body
			put(w, all[12])
			put(w, all[13])
		}, "seal 2"},
		"moved to another batch": {func(w *world) { d := w.docs(EventKind)[13]; d.Terms = []string{batchTerm(tenant, 1)}; put(w, d) }, "seal 1 afterwards"},
		"taken out of its batch": {func(w *world) { d := w.docs(EventKind)[13]; d.Terms = nil; put(w, d) }, "an event of seal 2 is missing"},
		"one without a batch":    {func(w *world) { d := w.docs(EventKind)[13]; d.Key, d.ETag, d.Terms = d.Key+"0", 0, nil; put(w, d) }, "outside the chain"},
		"one of a batch to come": {func(w *world) {
			d := w.docs(EventKind)[13]
			d.Key, d.ETag, d.Terms = d.Key+"0", 0, []string{batchTerm(tenant, 9)}
			put(w, d)
		}, "outside the chain"},
		"a seal removed":    {func(w *world) { remove(w, w.docs(SealKind)[1]) }, "seal 2 is missing"},
		"the first removed": {func(w *world) { remove(w, w.docs(SealKind)[0]) }, "seal 1 is missing"},
		"the last removed":  {func(w *world) { remove(w, w.docs(SealKind)[2]) }, "seal 3 is missing"},
		"the head removed":  {func(w *world) { remove(w, w.docs(HeadKind)[0]) }, "the head of the chain is missing"},
		"the key removed":   {func(w *world) { remove(w, w.docs(keyKind)[0]) }, "the key of the seals"},
		"the head turned back": {func(w *world) {
			d := w.docs(HeadKind)[0]
			d.Body = bytes.Replace(d.Body, []byte(`"sequence":3`), []byte(`"sequence":2`), 1)
			put(w, d)
		}, "the head of the chain was changed"},
		"an anchor made up": {func(w *world) {
			put(w, store.Document{Key: anchorKey(tenant), Kind: AnchorKind, Body: []byte(`{"tenant":"` + tenant + `","sequence":1,"batch":1,"hash":""}`)})
		}, "the beginning of the chain was changed"},
		"a seal made anew without the key": {func(w *world) {
			d := w.docs(SealKind)[2]
			var k link
			_ = json.Unmarshal(d.Body, &k)
			k.Digests[5] ^= 1
			k.Hash, _ = k.sum()
			d.Body, _ = json.Marshal(k)
			put(w, d)
		}, "seal 3 was made with another key"},
		"two seals exchanged": {func(w *world) {
			all := w.docs(SealKind)
			all[0].Body, all[1].Body = all[1].Body, all[0].Body
			put(w, all[0])
			put(w, all[1])
		}, "seal 1"},
		"a seal written once more at the end": {func(w *world) { d := w.docs(SealKind)[2]; d.Key, d.ETag = sealKey(tenant, 4), 0; put(w, d) }, "seal 4"},
		"the chain begun anew": {func(w *world) {
			for _, kind := range []string{EventKind, SealKind, HeadKind} {
				for _, d := range w.docs(kind) {
					remove(w, d)
				}
			}
			for n := range 40 { // more than there was, by who has the key: the server itself
				if w.record(n); n%10 == 9 {
					w.sealed()
				}
			}
			if r := w.verify(Mark{}); r.Broken != "" {
				w.Errorf("a chain that a server made does not verify: %s", r.Broken)
			}
		}, "seal 3 is not the one that was noted outside"},
		"another tenant's event put in": {func(w *world) {
			d := w.docs(EventKind)[13]
			d.Key, d.ETag = strings.Replace(d.Key, tenant, "22222222-0000-4000-8000-000000000002", 1), 0
			put(w, d)
		}, "was put into seal 2 afterwards"},
		"every trace removed": {func(w *world) {
			for _, kind := range []string{EventKind, SealKind, HeadKind} {
				for _, d := range w.docs(kind) {
					remove(w, d)
				}
			}
		}, "noted outside, is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, memstore.Open())
			for n := range 30 {
				if w.record(n); n%10 == 9 {
					w.sealed()
				}
			}
			good := w.good(30, 0)
			mark := Mark{good.Sequence, good.Hash}
			if r := w.verify(mark); r.Broken != "" {
				t.Fatal(r.Broken)
			}
			c.do(w)
			if r := w.verify(mark); !strings.Contains(r.Broken, c.want) {
				t.Errorf("%+v; want %q", r, c.want)
			}
		})
	}
}

// TestEveryByte changes each byte of an event and of a seal in turn.
func TestEveryByte(t *testing.T) {
	w := newWorld(t, memstore.Open())
	w.record(1)
	w.sealed()
	for _, kind := range []string{EventKind, SealKind} {
		was := w.docs(kind)[0]
		for i := range was.Body {
			d := w.docs(kind)[0]
			if d.Body[i] = was.Body[i] ^ 1; !json.Valid(d.Body) {
				continue
			}
			err := w.log.Store.Update(t.Context(), func(tx store.Tx) error { _, err := tx.Put(d); return err })
			if err != nil {
				t.Fatal(err)
			}
			if r := w.verify(Mark{}); r.Broken == "" {
				t.Fatalf("byte %d of the %s can be changed: %s", i, kind, d.Body)
			}
		}
		now := w.docs(kind)[0]
		now.Body = was.Body
		if err := w.log.Store.Update(t.Context(), func(tx store.Tx) error { _, err := tx.Put(now); return err }); err != nil {
			t.Fatal(err)
		}
		w.good(1, 0)
	}
}
