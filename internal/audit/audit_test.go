package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"go.uber.org/goleak"

	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/store/sqlstore"
	"vitrine/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "11111111-0000-4000-8000-000000000001"
	sub    = "aaaaaaaa-0000-4000-8000-00000000000a"
)

// clock is a time that tests move.
type clock struct{ micro atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.micro.Add(1)).UTC() }
func (c *clock) advance(d time.Duration) { c.micro.Add(d.Microseconds()) }

type world struct {
	*testing.T
	log   *Log
	clock clock
}

func newWorld(t *testing.T, d store.Driver, change ...func(*Config)) *world {
	t.Helper()
	sealer, err := seal.New(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t}
	w.clock.micro.Store(time.Now().Add(-time.Hour).UnixMicro()) // what is due by this clock is due by the store's
	c := Config{Store: store.New(d), Sealer: sealer, Owner: "a", Now: w.clock.now}
	for _, f := range change {
		f(&c)
	}
	w.log = New(c)
	w.log.time.idle = 10000 * time.Hour
	t.Cleanup(func() { _ = c.Store.Close() })
	return w
}

func event(n int) Event {
	return Event{Tenant: tenant, Subscription: sub, Category: Administrative, Action: "Microsoft.Compute/galleries/write", Status: Succeeded,
		Resource: fmt.Sprintf("/subscriptions/%s/resourceGroups/g/providers/Microsoft.Compute/galleries/g%d", sub, n), Caller: Caller{ObjectID: "o"}}
}

func (w *world) record(n int) {
	w.Helper()
	if err := w.log.Store.Update(w.Context(), func(tx store.Tx) error { return w.log.Record(tx, event(n)) }); err != nil {
		w.Fatal(err)
	}
}

// sealed seals everything there is.
func (w *world) sealed() {
	w.Helper()
	for range 100 {
		if !w.log.work(w.Context()) {
			return
		}
	}
	w.Fatal("the worker never rests")
}

func (w *world) verify(mark Mark) Report {
	w.Helper()
	r, err := w.log.Verify(w.Context(), tenant, mark)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) good(sealed, unsealed int64) Report {
	w.Helper()
	r := w.verify(Mark{})
	if r.Broken != "" || r.Events != sealed || r.Unsealed != unsealed {
		w.Fatalf("%+v; want %d sealed and %d not", r, sealed, unsealed)
	}
	return r
}

func (w *world) list(q Query) []Event {
	w.Helper()
	var all []Event
	q.Tenant = tenant
	for {
		var some []Event
		err := w.log.Store.View(w.Context(), func(tx store.Tx) (err error) {
			some, q.After, err = List(tx, q)
			return err
		})
		if err != nil {
			w.Fatal(err)
		}
		if all = append(all, some...); q.After == "" {
			return all
		}
	}
}

func sqlite(t testing.TB) store.Driver {
	t.Helper()
	d, err := sqlstore.OpenSQLite(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func postgres(t testing.TB) store.Driver {
	t.Helper()
	d, err := sqlstore.OpenPostgres(pgtest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRecordIsOfItsTransaction(t *testing.T) {
	w := newWorld(t, memstore.Open())
	refused := errors.New("no")
	err := w.log.Store.Update(t.Context(), func(tx store.Tx) error { return errors.Join(w.log.Record(tx, event(1)), refused) })
	if !errors.Is(err, refused) || len(w.list(Query{Subscription: sub})) != 0 {
		t.Errorf("%v; an event of what never happened", err)
	}
	w.good(0, 0)
	w.record(1)
	w.good(0, 1)
	w.sealed()
	if r := w.good(1, 0); r.Sequence != 1 || r.Hash == "" {
		t.Errorf("%+v", r)
	}
}

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

func TestRepeatsAreCounted(t *testing.T) {
	w := newWorld(t, memstore.Open())
	denial := func(action, caller string) Event {
		e := event(1)
		e.Action, e.Status, e.Code, e.Caller.ObjectID = action, Failed, "AuthorizationFailed", caller
		e.Request.CorrelationID = "c"
		return e
	}
	note := func(e Event) {
		t.Helper()
		if err := w.log.Note(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		note(denial("read", "o"))
	}
	note(denial("write", "o"))
	note(denial("read", "p"))
	if all := w.list(Query{Subscription: sub}); len(all) != 3 {
		t.Fatalf("%d events before the minute is over: %+v", len(all), all)
	}
	if err := w.log.flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if all := w.list(Query{Subscription: sub}); len(all) != 3 {
		t.Fatalf("%d events: told too early", len(all))
	}
	w.clock.advance(time.Minute)
	if err := w.log.flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	all := w.list(Query{Subscription: sub})
	if len(all) != 4 || all[0].Count != 999 || all[0].Action != "read" || !all[0].First.Before(all[0].Last) || all[0].Request.CorrelationID != "" {
		t.Fatalf("%d events, the newest %+v", len(all), all[0])
	}
	for n := range 5000 { // whoever varies what it asks for
		note(denial(fmt.Sprint("read", n), "hammer"))
	}
	w.clock.advance(time.Minute)
	if err := w.log.flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	mine := 0
	total := 0
	for _, place := range []string{sub, ""} {
		for _, e := range w.list(Query{Subscription: place}) {
			if e.Caller.ObjectID == "hammer" {
				mine, total = mine+1, total+max(1, e.Count)
			}
		}
	}
	if mine != maxPerCaller+2 || total != 5000 {
		t.Errorf("%d events that stand for %d", mine, total)
	}
	if len(w.log.tallies) != 0 || len(w.log.callers) != 0 {
		t.Errorf("%d tallies and %d callers are left", len(w.log.tallies), len(w.log.callers))
	}
}

// TestStopTellsTheCounts ends a server within the minute.
func TestStopTellsTheCounts(t *testing.T) {
	w := newWorld(t, memstore.Open())
	for range 3 {
		if err := w.log.Note(t.Context(), event(1)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.log.Run(ctx) }()
	cancel()
	<-done
	if all := w.list(Query{Subscription: sub}); len(all) != 2 || all[0].Count != 2 {
		t.Errorf("%+v", all)
	}
}

func TestRetention(t *testing.T) {
	w := newWorld(t, memstore.Open(), func(c *Config) { c.Keep = 24 * time.Hour })
	w.log.part = 4
	w.clock.advance(-72 * time.Hour)
	for n := range 30 {
		if w.record(n); n%10 == 9 {
			w.sealed()
			w.clock.advance(12 * time.Hour)
		}
	}
	old := w.good(30-10, 0) // the first batch is older than a day by now, the sweep came with the third
	if old.Expired != 10 || old.Sequence != 9 {
		t.Fatalf("%+v", old)
	}
	if r := w.verify(Mark{1, "00"}); r.Broken != "" { // gone by age
		t.Error(r.Broken)
	}
	w.clock.advance(24 * time.Hour)
	w.record(99)
	w.sealed()
	if r := w.good(1, 0); r.Expired != 30 || len(w.docs(EventKind)) != 1 || len(w.docs(SealKind)) != 1 {
		t.Errorf("%+v", r)
	}
	d := w.docs(EventKind)[0]
	d.Key, d.ETag, d.Terms = d.Key+"0", 0, []string{batchTerm(tenant, 2)}
	if err := w.log.Store.Update(t.Context(), func(tx store.Tx) error { _, err := tx.Put(d); return err }); err != nil {
		t.Fatal(err)
	}
	if r := w.verify(Mark{}); !strings.Contains(r.Broken, "outside the chain") {
		t.Errorf("an event of a time that was swept: %+v", r)
	}
}

// TestRetentionCrash stops the sweep after each of its transactions; the chain is whole at each of them.
func TestRetentionCrash(t *testing.T) {
	for stop := range int64(16) {
		d := memstore.Open()
		w := newWorld(t, d, func(c *Config) { c.Keep = 24 * time.Hour })
		w.log.part = 4
		w.clock.advance(-96 * time.Hour)
		for n := range 20 {
			if w.record(n); n%10 == 9 {
				w.sealed()
			}
		}
		w.clock.advance(48 * time.Hour)
		w.record(20) // makes the chain due
		broken := &crashing{Driver: d}
		broken.left.Store(stop)
		c := w.log.Config
		c.Store = store.New(broken)
		l := New(c)
		l.time.lease, l.time.idle, l.part = time.Millisecond, w.log.time.idle, 4
		l.work(t.Context())
		if r := w.verify(Mark{}); r.Broken != "" {
			t.Fatalf("after %d transactions: %+v", stop, r)
		}
		wait(t.Context(), 2*time.Millisecond)
		w.sealed()
		if r := w.good(1, 0); r.Expired != 20 || len(w.docs(EventKind)) != 1 {
			t.Errorf("after %d transactions and on: %+v", stop, r)
		}
	}
}

func TestListAndExport(t *testing.T) {
	w := newWorld(t, memstore.Open())
	var middle time.Time
	for n := range 50 {
		w.clock.advance(time.Minute)
		if w.record(n); n == 24 {
			middle = w.clock.now()
		}
	}
	all := w.list(Query{Subscription: strings.ToUpper(sub), Limit: 7})
	if len(all) != 50 {
		t.Fatal(len(all))
	}
	for i := range all[1:] {
		if !all[i].Time.After(all[i+1].Time) {
			t.Fatalf("%s before %s", all[i].Time, all[i+1].Time)
		}
	}
	if late, early := w.list(Query{Subscription: sub, From: middle}), w.list(Query{Subscription: sub, To: middle}); len(late) != 25 || len(early) != 25 {
		t.Errorf("%d and %d", len(late), len(early))
	}
	if exact := w.list(Query{Subscription: sub, From: all[3].Time, To: all[3].Time}); len(exact) != 1 || exact[0].ID != all[3].ID {
		t.Errorf("%+v", exact)
	}
	if other := w.list(Query{}); len(other) != 0 {
		t.Errorf("%+v", other)
	}
	var out bytes.Buffer
	if err := w.log.Export(t.Context(), &out, tenant, middle); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 25 {
		t.Errorf("%d lines", n)
	}
	err := w.log.Store.View(t.Context(), func(tx store.Tx) error {
		places, err := Places(tx, tenant)
		if len(places) != 1 || places[0] != sub {
			t.Errorf("%q", places)
		}
		tenants, err2 := Tenants(tx)
		if len(tenants) != 1 || tenants[0] != tenant {
			t.Errorf("%q", tenants)
		}
		_, _, err3 := List(tx, Query{Tenant: tenant, Subscription: sub, After: "resource"})
		if err3 == nil {
			t.Error("a page of something else")
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStrangersTexts has a client put into what it may choose what would break the lines of a log or the terminal of its reader.
func TestStrangersTexts(t *testing.T) {
	w := newWorld(t, memstore.Open())
	const bad = "a\tb\r\n\x1b[2J\x7f\u0085\u202e\u2028\ufeff\x00\xff"
	e := event(1)
	e.Group, e.Resource, e.Type, e.Action, e.Code, e.Message = bad, bad, bad, bad, bad, bad
	e.Caller = Caller{Tenant: bad, ObjectID: bad, AppID: bad, Name: "Zoë " + bad, Kind: bad, HomeTenant: bad, TokenID: bad, Auxiliary: bad}
	e.Request = Request{ID: bad, ClientID: "é" + bad, CorrelationID: bad, Source: bad, Method: bad, URI: bad}
	e.Operation, e.Facts = bad, map[string]string{bad: bad}
	if err := w.log.Note(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	kept := w.list(Query{Subscription: sub})
	if len(kept) != 1 {
		t.Fatalf("%d events", len(kept))
	}
	if id := kept[0].Request.ClientID; id != "?a?b???[2J???????" {
		t.Errorf("clientRequestId %q", id)
	}
	if name := kept[0].Caller.Name; !strings.HasPrefix(name, "Zoë a?b") {
		t.Errorf("name %q", name)
	}
	raw, err := json.Marshal(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(raw) {
		if !unicode.IsGraphic(r) {
			t.Fatalf("%U in %q", r, raw)
		}
	}
	if bytes.Contains(raw, []byte(`\u`)) || bytes.Contains(raw, []byte(`\t`)) || bytes.Contains(raw, []byte(`\r`)) || bytes.Contains(raw, []byte(`\n`)) {
		t.Errorf("%s", raw)
	}
}

func BenchmarkRecord(b *testing.B) {
	sealer, _ := seal.New(make([]byte, seal.KeySize))
	l := New(Config{Store: store.New(sqlite(b)), Sealer: sealer, Owner: "b"})
	defer l.Store.Close()
	for b.Loop() {
		if err := l.Store.Update(b.Context(), func(tx store.Tx) error { return l.Record(tx, event(1)) }); err != nil {
			b.Fatal(err)
		}
	}
}
