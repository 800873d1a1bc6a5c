package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

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
