package operation

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"vitrine/internal/store"
)

// Old ends go, in as many batches as it takes; young ones and what has not ended stay.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	put := func(id string, status Status, end time.Time) {
		w.update(func(tx store.Tx) error {
			return save(tx, &Operation{ID: id, Resource: "/r", Status: status, Start: now.Add(-900 * day), End: end}, 0, time.Time{})
		})
	}
	for i := range sweepBatch + 50 {
		put(fmt.Sprintf("old%d", i), []Status{Succeeded, Failed, Canceled}[i%3], now.Add(-8*day).Add(time.Duration(i)*-day))
	}
	put("young", Succeeded, now.Add(-6*day))
	put("edge", Failed, now.Add(-7*day))
	put("running", Running, time.Time{})
	n, err := Sweep(t.Context(), w.store, now.Add(-7*day))
	if err != nil || n != sweepBatch+50 {
		t.Fatalf("%d removed, %v", n, err)
	}
	w.update(func(tx store.Tx) error {
		for _, id := range []string{"young", "edge", "running"} {
			if _, err := Get(tx, id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		if _, err := Get(tx, "old7"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("old7: %v", err)
		}
		return nil
	})
	if n, err := Sweep(t.Context(), w.store, now.Add(-7*day)); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// What the engine ends can be found by its day.
func TestAnEndIsSwept(t *testing.T) {
	w := newWorld(t)
	w.start("a", 1, map[string]Work{"w": {}, "fails": {}})
	w.begin("1", "no such work", "")
	w.end("1")
	if n, err := Sweep(t.Context(), w.store, time.Now().Add(48*time.Hour)); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
}

// What a killed server held goes on at once; its hold is worth nothing any more.
func TestRecover(t *testing.T) {
	w := newWorld(t)
	w.begin("1", "w", "")
	lease, err := w.store.Claim(t.Context(), Kind, "killed", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := Recover(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}
	w.start("b", 1, map[string]Work{"w": w.work(false, func(context.Context, *Run) []Step { return []Step{w.step("one")} })})
	w.end("1")
	w.want("one", "finish")
	if err := w.store.Update(t.Context(), func(tx store.Tx) error { return tx.Fence(lease) }); !errors.Is(err, store.ErrLease) {
		t.Errorf("the dead server's hold: %v", err)
	}
	if err := Recover(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}
	if n, err := Sweep(t.Context(), w.store, time.Now().Add(48*time.Hour)); n != 1 || err != nil {
		t.Errorf("what had ended: %d, %v", n, err)
	}
}
