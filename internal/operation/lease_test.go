package operation

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"vitrine/internal/store"
)

func TestAnotherEngineResumesAfterACrash(t *testing.T) {
	w := newWorld(t)
	inside := make(chan struct{})
	first := map[string]Work{"w": w.work(true, func(ctx context.Context, _ *Run) []Step {
		return []Step{w.step("one"), {Name: "two", Do: func() error { close(inside); <-ctx.Done(); return ctx.Err() }}}
	})}
	stop := w.start("a", 1, first)
	w.begin("1", "w", "")
	<-inside
	stop()
	w.start("b", 1, map[string]Work{"w": w.work(true, func(context.Context, *Run) []Step { return []Step{w.step("one"), w.step("two")} })})
	if o := w.end("1"); o.Status != Succeeded {
		t.Errorf("%+v", o)
	}
	w.want("one", "two", "finish")
}

// TestAKilledEngine leaves the lease behind, as SIGKILL does: nobody renews it, nobody releases it.
func TestAKilledEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.begin("1", "w", "")
		lease, err := w.store.Claim(t.Context(), Kind, "killed", quick.lease)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w.start("b", 2, map[string]Work{"w": w.work(false, func(context.Context, *Run) []Step { return []Step{w.step("one")} })})
		w.end("1")
		if waited := time.Since(began); waited < quick.lease/2 {
			t.Errorf("taken over after %s although the lease was held", waited)
		}
		w.want("one", "finish")
		if err := w.store.Update(t.Context(), func(tx store.Tx) error { return tx.Fence(lease) }); !errors.Is(err, store.ErrLease) {
			t.Errorf("the dead engine's hold: %v", err)
		}
	})
}

func TestTheLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		works := map[string]Work{"w": w.work(false, func(ctx context.Context, _ *Run) []Step {
			return []Step{{Name: "long", Do: func() error {
				w.diary.note("long")
				timer := time.NewTimer(3 * quick.lease)
				defer timer.Stop()
				select {
				case <-timer.C:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}}
		})}
		w.start("a", 1, works)
		w.start("b", 1, works)
		w.begin("1", "w", "")
		w.end("1")
		w.want("long", "finish")
	})
}

func TestALostLeaseEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inside, goOn := make(chan struct{}), make(chan struct{})
		e := New(w.store, "slow", map[string]Work{"w": w.work(true, func(context.Context, *Run) []Step {
			return []Step{{Name: "one", Do: func() error { close(inside); <-goOn; w.diary.note("slow"); return nil }}}
		})}, slog.New(slog.NewTextHandler(w, nil)))
		e.time = quick
		e.time.renew = time.Hour // as if its host were paused
		stop := w.run(e, 1)
		w.begin("1", "w", "")
		<-inside
		w.start("b", 1, map[string]Work{"w": w.work(true, func(context.Context, *Run) []Step { return []Step{w.step("one")} })})
		w.end("1")
		close(goOn)
		stop()
		w.want("one", "finish", "slow")
	})
}

func TestALostLeaseCancelsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inside := make(chan struct{})
		w.start("a", 1, map[string]Work{"w": w.work(true, func(ctx context.Context, _ *Run) []Step {
			return []Step{{Name: "one", Do: func() error { close(inside); <-ctx.Done(); w.diary.note("cancelled"); return ctx.Err() }}}
		})})
		w.begin("1", "w", "")
		<-inside
		w.update(func(tx store.Tx) error { return tx.Delete(key("1"), 0) }) // takes the hold with it
		deadline := time.After(time.Minute)
		for len(w.diary.all()) == 0 {
			select {
			case <-deadline:
				t.Fatal("the work goes on without its lease")
			case <-time.After(time.Millisecond):
			}
		}
		w.want("cancelled")
	})
}
