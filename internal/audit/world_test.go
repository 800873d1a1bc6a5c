package audit

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vitrine/internal/seal"
	"vitrine/internal/store"
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
