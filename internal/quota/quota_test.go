package quota

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

type world struct {
	*testing.T
	store *store.Store
}

func newWorld(t *testing.T) *world {
	w := &world{t, store.New(memstore.Open())}
	t.Cleanup(func() { w.store.Close() })
	return w
}

func (w *world) do(f func(store.Tx) error) error {
	return w.store.Update(context.Background(), f)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) hold(tenant, holder string, n int64) error {
	return w.do(func(tx store.Tx) error { return Hold(tx, tenant, holder, n) })
}

func (w *world) limit(tenant string, n int64) {
	w.Helper()
	w.must(w.do(func(tx store.Tx) error { return Set(tx, tenant, Limits{Own: &n}) }))
}

func (w *world) used(tenant string, want int64) {
	w.Helper()
	var a Account
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) { a, err = Of(tx, tenant); return err }))
	if a.Used != want {
		w.Errorf("%s holds %d bytes, want %d", tenant, a.Used, want)
	}
}

func (w *world) refused(err error) {
	w.Helper()
	var visible *arm.Error
	var exceeded *Exceeded
	if !errors.As(err, &visible) || visible.Code != "QuotaExceeded" || visible.Status != 409 || !errors.As(err, &exceeded) {
		w.Errorf("%v", err)
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.hold("A", "/one", 60))
	w.must(w.hold("b", "/other", 1000))
	w.limit("a", 100)
	err := w.hold("a", "/two", 41)
	w.refused(err)
	for _, say := range []string{"tenant 'a'", "Limit: 100,", "Usage: 60,", "Required: 41,", "New Limit Required: 101."} {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("%v does not say %q", err, say)
		}
	}
	w.used("a", 60)
	w.must(w.hold("a", "/two", 40))
	w.must(w.hold("a", "/two", 40)) // the same again is nothing more
	w.used("A", 100)
	w.refused(w.hold("a", "/one", 61))
	w.limit("a", 10) // what is held stays, and may become less
	w.must(w.hold("a", "/one", 60))
	w.must(w.hold("a", "/one", 50))
	w.refused(w.hold("a", "/one", 51))
	w.must(w.do(func(tx store.Tx) error { return errors.Join(Drop(tx, "/one"), Drop(tx, "/one"), Drop(tx, "/never")) }))
	w.used("a", 40)
	w.must(w.hold("b", "/two", 40)) // the subscription is another tenant's now
	w.used("a", 0)
	w.used("b", 1040)
	w.refused(w.hold("b", "/huge", math.MaxInt64)) // the sum does not wrap
	if err := w.hold("b", "/two", -1); err == nil {
		t.Error("less than nothing")
	}
}

func TestGrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grow := func(n int64) error { return w.do(func(tx store.Tx) error { return Grow(tx, "box", n) }) }
	w.must(grow(5)) // of nobody
	w.must(w.do(func(tx store.Tx) error { return Open(tx, "a", "box") }))
	w.limit("a", 10)
	w.must(grow(10))
	w.refused(grow(1))
	w.must(grow(-4))
	w.used("a", 6)
	if grow(-7) == nil {
		t.Error("less than nothing")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n, small, bad := int64(10), int64(3), int64(-1)
	set := func(l Limits) { w.Helper(); w.must(w.do(func(tx store.Tx) error { return Set(tx, "a", l) })) }
	w.must(w.do(func(tx store.Tx) error { return SetDefault(tx, &n) }))
	w.refused(w.hold("a", "/x", 11))
	set(Limits{Unlimited: true})
	w.must(w.hold("a", "/x", 11))
	w.refused(w.hold("b", "/y", 11))
	set(Limits{Own: &small})
	w.refused(w.hold("a", "/x", 12))
	set(Limits{})
	w.refused(w.hold("a", "/x", 12))
	w.must(w.do(func(tx store.Tx) error { return SetDefault(tx, nil) }))
	w.must(w.hold("a", "/x", 12))
	w.used("a", 12) // limits never change what is counted
	if w.do(func(tx store.Tx) error { return SetDefault(tx, &bad) }) == nil || w.do(func(tx store.Tx) error { return Set(tx, "a", Limits{Own: &bad}) }) == nil {
		t.Error("a negative limit")
	}
}

// Reservations count like what is held, whoever made them, until they are released or a crash has made them old.
func TestReserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	reserve := func(n int64) (Reservation, error) { return Reserve(t.Context(), w.store, "box", n, now) }
	w.must(w.do(func(tx store.Tx) error { return Open(tx, "a", "box") }))
	r, err := reserve(1 << 50)
	if err != nil || r != (Reservation{}) {
		t.Fatal("without a limit nothing is written", r, err)
	}
	w.limit("a", 10)
	first, err := reserve(6)
	w.must(err)
	_, err = reserve(5)
	w.refused(err)
	w.refused(w.hold("a", "/disk", 5))
	w.used("a", 6)
	w.must(w.do(func(tx store.Tx) error { return errors.Join(first.Release(tx), Grow(tx, "box", 6)) }))
	w.must(w.do(first.Release)) // again is nothing
	w.used("a", 6)
	_, err = reserve(4)
	w.must(err)
	w.must(Sweep(t.Context(), w.store, now.Add(Stale-time.Minute)))
	w.used("a", 10)
	w.must(Sweep(t.Context(), w.store, now.Add(Stale+time.Second)))
	w.used("a", 6)
}

// Writers who come together take what there is and no more, and all of it is there again when they have gone.
func TestRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit("a", 100)
	w.must(w.do(func(tx store.Tx) error { return Open(tx, "a", "box") }))
	const writers, each = 40, 7
	var group sync.WaitGroup
	won := make([]bool, writers)
	for i := range writers {
		group.Go(func() {
			var err error
			if i%2 == 0 {
				err = w.hold("a", fmt.Sprint("/disk/", i), each)
			} else {
				var r Reservation
				if r, err = Reserve(context.Background(), w.store, "box", each, time.Now()); err == nil {
					err = w.do(func(tx store.Tx) error { return errors.Join(r.Release(tx), Grow(tx, "box", each)) })
				}
			}
			if won[i] = err == nil; err != nil {
				w.refused(err)
			}
		})
	}
	group.Wait()
	n := 0
	for _, ok := range won {
		if ok {
			n++
		}
	}
	if n != 100/each {
		t.Errorf("%d writers of %d bytes found room in 100", n, each)
	}
	w.used("a", int64(n*each))
	for i := range writers {
		w.must(w.do(func(tx store.Tx) error { return Drop(tx, fmt.Sprint("/disk/", i)) }))
	}
	w.must(w.do(func(tx store.Tx) error { return Drop(tx, "box") }))
	w.used("a", 0)
}

func TestUsages(t *testing.T) {
	t.Parallel()
	limit := int64(5<<30 + 1)
	if used, most, ok := (Account{Used: 1<<30 + 1, Limit: &limit}).Gigabytes(); used != 2 || most != 5 || !ok {
		t.Error(used, most, ok)
	}
	if _, _, ok := (Account{}).Gigabytes(); ok || (Account{}).Most() != -1 {
		t.Error("no limit is one")
	}
}
