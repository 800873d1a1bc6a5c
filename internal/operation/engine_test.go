package operation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/blob"
	"vitrine/internal/store"
)

func TestStepsInOrderAndOnce(t *testing.T) {
	w := newWorld(t)
	type state struct{ N int }
	stop := w.start("a", 3, map[string]Work{"w": w.work(true, func(ctx context.Context, r *Run) []Step {
		return []Step{w.step("one"), {Name: "two", Do: func() error {
			var in, kept state
			if err := r.Read(&in); err != nil {
				return err
			}
			if err := r.Recall(&kept); err != nil || kept.N != 0 {
				return fmt.Errorf("kept %v, %v", kept, err)
			}
			w.diary.note("two %d", in.N)
			r.Log().Info("keeping")
			return r.Keep(ctx, state{in.N + 1})
		}}, {Name: "three", Do: func() error {
			var kept state
			err := r.Recall(&kept)
			w.diary.note("three %d", kept.N)
			r.Output = []byte(`{"done":true}`)
			return err
		}}}
	})})
	w.begin("1", "w", `{"N":41}`)
	o := w.end("1")
	stop()
	w.want("one", "two 41", "three 42", "finish")
	if o.Status != Succeeded || o.Error != nil || o.End.Before(o.Start) || string(o.Output) != `{"done":true}` || !slices.Equal(o.Done, []string{"one", "two", "three"}) {
		t.Errorf("%+v", o)
	}
	if err := w.store.View(t.Context(), func(tx store.Tx) error {
		open, err := Open(tx, "/r/1")
		if len(open) != 0 {
			t.Errorf("an ended operation is open: %+v", open[0])
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAgainAndRetries(t *testing.T) {
	w := newWorld(t)
	waits, fails := 0, 0
	w.start("a", 1, map[string]Work{"w": w.work(true, func(context.Context, *Run) []Step {
		return []Step{{Name: "wait", Do: func() error {
			if waits++; waits <= 2*maxTries { // waiting is no failure
				return fmt.Errorf("not yet: %w", Again{time.Millisecond})
			}
			w.diary.note("waited")
			return nil
		}}, {Name: "fail", Do: func() error {
			if fails++; fails < maxTries {
				return errors.New("flaky")
			}
			w.diary.note("came off")
			return nil
		}}, w.step("last")}
	})})
	w.begin("1", "w", "")
	if o := w.end("1"); o.Status != Succeeded || o.Tries != 0 {
		t.Errorf("%+v", o)
	}
	w.want("waited", "came off", "last", "finish")
	if text := (Again{time.Second}).Error(); !strings.Contains(text, "1s") {
		t.Error(text)
	}
}

func TestAgainHoldsNoWorker(t *testing.T) {
	w := newWorld(t)
	var may atomic.Bool
	w.start("a", 1, map[string]Work{
		"waits": w.work(false, func(context.Context, *Run) []Step {
			return []Step{{Name: "wait", Do: func() error {
				if !may.Load() {
					return Again{5 * time.Millisecond}
				}
				return nil
			}}}
		}),
		"other": {Steps: func(context.Context, *Run) []Step {
			return []Step{{Name: "other", Do: func() error { may.Store(true); return nil }}}
		}},
	})
	w.begin("1", "waits", "")
	w.begin("2", "other", "")
	w.end("2")
	w.end("1")
}

func TestFailures(t *testing.T) {
	refused := arm.Errorf(409, "SkuNotAvailable", "No.")
	for name, row := range map[string]struct {
		fail  func() error
		code  string
		tries int
	}{
		"an ARM error fails at once":        {func() error { return fmt.Errorf("step: %w", refused) }, "SkuNotAvailable", 1},
		"anything else after its tries":     {func() error { return errors.New("secret detail") }, "InternalServerError", maxTries},
		"a full disk is said so":            {func() error { return fmt.Errorf("secret path: %w", blob.ErrFull) }, "InsufficientStorage", maxTries},
		"also by the system":                {func() error { return &os.PathError{Op: "secret", Err: syscall.ENOSPC} }, "InsufficientStorage", maxTries},
		"a panic is a failure like another": {func() error { panic("secret detail") }, "InternalServerError", maxTries},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tries := 0
			w.start("a", 2, map[string]Work{"w": w.work(true, func(context.Context, *Run) []Step {
				return []Step{w.step("one"), {Name: "two", Do: func() error { tries++; return row.fail() }}, w.step("three")}
			})})
			w.begin("1", "w", "")
			o := w.end("1")
			w.want("one", "undo", "finish "+row.code)
			if o.Status != Failed || o.Error.Code != row.code || tries != row.tries || strings.Contains(o.Error.Message, "secret") {
				t.Errorf("%d tries; %+v, %v", tries, o, o.Error)
			}
		})
	}
}

func TestUnknownWork(t *testing.T) {
	w := newWorld(t)
	w.start("a", 1, nil)
	w.begin("1", "nothing", "")
	if o := w.end("1"); o.Status != Failed || o.Error.Code != "InternalServerError" {
		t.Errorf("%+v", o)
	}
}

func TestACrashBetweenFailureAndUndo(t *testing.T) {
	w := newWorld(t)
	undoing := make(chan struct{})
	steps := func(context.Context, *Run) []Step {
		return []Step{{Name: "one", Do: func() error { w.diary.note("one"); return arm.Errorf(400, "Bad", "bad") }}}
	}
	first := w.work(false, steps)
	first.Undo = func(ctx context.Context, _ *Run) error { close(undoing); <-ctx.Done(); return ctx.Err() }
	stop := w.start("a", 1, map[string]Work{"w": first})
	w.begin("1", "w", "")
	<-undoing
	stop()
	w.start("b", 1, map[string]Work{"w": w.work(true, steps)})
	if o := w.end("1"); o.Status != Failed || o.Error.Code != "Bad" {
		t.Errorf("%+v", o)
	}
	w.want("one", "undo", "finish Bad")
}

func TestUndoIsTriedUntilItComesOff(t *testing.T) {
	w := newWorld(t)
	work := w.work(false, func(context.Context, *Run) []Step {
		return []Step{{Name: "one", Do: func() error { return arm.Errorf(400, "Bad", "bad") }}}
	})
	tries := 0
	work.Undo = func(context.Context, *Run) error {
		switch tries++; tries {
		case 1:
			return errors.New("busy")
		case 2:
			panic("odd")
		}
		w.diary.note("undo")
		return nil
	}
	w.start("a", 1, map[string]Work{"w": work})
	w.begin("1", "w", "")
	w.end("1")
	w.want("undo", "finish Bad")
}

func TestFinishThatFails(t *testing.T) {
	for name, row := range map[string]struct {
		fail   func(try int, failure *arm.Error) error
		status Status
		code   string
	}{
		"once":                 {func(try int, _ *arm.Error) error { return unless(try > 1) }, Succeeded, ""},
		"with a panic once":    {func(try int, _ *arm.Error) error { return panics(try == 1) }, Succeeded, ""},
		"on success, always":   {func(_ int, failure *arm.Error) error { return unless(failure != nil) }, Failed, "InternalServerError"},
		"always":               {func(int, *arm.Error) error { return errFinish }, Failed, "InternalServerError"},
		"with an ARM error":    {func(_ int, failure *arm.Error) error { return refuses(failure == nil) }, Failed, "Gone"},
		"with two ARM answers": {func(int, *arm.Error) error { return refuses(true) }, Failed, "Gone"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tries := 0
			work := w.work(true, func(context.Context, *Run) []Step { return []Step{w.step("one")} })
			work.Finish = func(tx store.Tx, _ *Run, failure *arm.Error) error {
				tries++
				if _, err := tx.Put(store.Document{Key: fmt.Sprint("trace/", tries), Kind: "trace", Body: []byte("1")}); err != nil {
					return err
				}
				return row.fail(tries, failure)
			}
			w.start("a", 1, map[string]Work{"w": work})
			w.begin("1", "w", "")
			o := w.end("1")
			if o.Status != row.status || (o.Error == nil) != (row.code == "") || o.Error != nil && o.Error.Code != row.code || o.End.IsZero() {
				t.Errorf("%+v %v", o, o.Error)
			}
			if n := strings.Count(strings.Join(w.diary.all(), " "), "one"); n != 1 {
				t.Errorf("the step ran %d times", n)
			}
			if tries > 2*maxTries {
				t.Errorf("%d tries", tries)
			}
			err := w.store.View(t.Context(), func(tx store.Tx) error {
				docs, err := tx.List(store.Query{Kind: "trace"})
				if len(docs) > 1 {
					t.Errorf("%d failed tries left what they wrote", len(docs))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

var errFinish = errors.New("finish")

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errFinish
}

func panics(yes bool) error {
	if yes {
		panic("finish")
	}
	return nil
}

func refuses(yes bool) error {
	if yes {
		return arm.Errorf(404, "Gone", "gone")
	}
	return nil
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	inside, goOn := make(chan struct{}), make(chan struct{})
	w.start("a", 1, map[string]Work{"w": w.work(true, func(context.Context, *Run) []Step {
		return []Step{{Name: "one", Do: func() error { close(inside); <-goOn; w.diary.note("one"); return nil }}, w.step("two")}
	})})
	w.begin("1", "w", "")
	<-inside
	cancel := func(tx store.Tx) error { return RequestCancel(tx, "1") }
	w.update(cancel)
	close(goOn)
	o := w.end("1")
	w.want("one", "undo", "finish OperationPreempted")
	if o.Status != Canceled || o.Error.Code != "OperationPreempted" {
		t.Errorf("%+v", o)
	}
	w.update(cancel) // after the end: nothing
	if w.end("1").Status != Canceled {
		t.Error("changed after its end")
	}
	if err := w.store.Update(t.Context(), func(tx store.Tx) error { return RequestCancel(tx, "2") }); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestManyWorkersDoEachOnce(t *testing.T) {
	w := newWorld(t)
	works := map[string]Work{"w": {
		Steps:  func(_ context.Context, r *Run) []Step { return []Step{w.step("a" + r.ID), w.step("b" + r.ID)} },
		Finish: func(_ store.Tx, r *Run, _ *arm.Error) error { w.diary.note("f%s", r.ID); return nil },
	}}
	const n = 60
	for i := range n {
		w.begin(fmt.Sprint(i), "w", "")
	}
	w.start("a", 4, works)
	w.start("b", 4, works)
	for i := range n {
		w.end(fmt.Sprint(i))
	}
	seen := map[string]int{}
	for _, line := range w.diary.all() {
		seen[line]++
	}
	for i := range n {
		for _, what := range []string{"a", "b", "f"} {
			if k := what + fmt.Sprint(i); seen[k] != 1 {
				t.Errorf("%s %d times", k, seen[k])
			}
		}
	}
}

func TestUpdateAndViewOfARun(t *testing.T) {
	w := newWorld(t)
	w.start("a", 1, map[string]Work{"w": w.work(false, func(ctx context.Context, r *Run) []Step {
		return []Step{{Name: "one", Do: func() error {
			if err := r.Update(ctx, func(tx store.Tx) error {
				_, err := tx.Put(store.Document{Key: "x", Kind: "k", Body: []byte("1")})
				return err
			}); err != nil {
				return err
			}
			return r.View(ctx, func(tx store.Tx) error { _, err := tx.Get("x"); return err })
		}}}
	})})
	w.begin("1", "w", "")
	if o := w.end("1"); o.Status != Succeeded {
		t.Errorf("%+v", o.Error)
	}
}

func TestHostileIDs(t *testing.T) {
	w := newWorld(t)
	long := "/subscriptions/" + strings.Repeat("ä", 600)
	w.update(func(tx store.Tx) error {
		return Begin(tx, Operation{ID: "1", Work: "w", Resource: long, Start: time.Now()})
	})
	if err := w.store.View(t.Context(), func(tx store.Tx) error {
		for _, id := range []string{"", "\x00", "\xff", strings.Repeat("x", 4000), "2"} {
			if _, err := Get(tx, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%.10q: %v", id, err)
			}
		}
		open, err := Open(tx, long)
		if err != nil || len(open) != 1 || open[0].Resource != long {
			t.Errorf("%v, %v", open, err)
		}
		if all, err := Unfinished(tx, 5); err != nil || len(all) != 1 {
			t.Errorf("%v, %v", all, err)
		}
		if open, err := Open(tx, long+"x"); err != nil || len(open) != 0 {
			t.Errorf("%v, %v", open, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Update(t.Context(), func(tx store.Tx) error { return Begin(tx, Operation{ID: "1", Start: time.Now()}) }); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second operation of the same ID: %v", err)
	}
}

func TestABrokenRecordStopsNobody(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: key("0"), Kind: Kind, Terms: []string{"open:/r/0"}, Body: []byte(`[]`), Due: time.Now().Add(-time.Hour)})
		return err
	})
	w.start("a", 1, map[string]Work{"w": w.work(false, func(context.Context, *Run) []Step { return nil })})
	w.begin("1", "w", "")
	w.end("1")
	if err := w.store.View(t.Context(), func(tx store.Tx) error {
		if _, err := Get(tx, "0"); err == nil {
			t.Error("a broken record is read")
		}
		if _, err := Open(tx, "/r/0"); err == nil {
			t.Error("a broken record is listed")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
