package operation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// An operation that another superseded has ended for its clients at once; the worker that has it in hand neither finishes it nor
// writes over its end.
func TestSupersede(t *testing.T) {
	w := newWorld(t)
	id := arm.ID{Subscription: "s", ResourceGroup: "g"}.Child("Microsoft.Test/things", "x")
	begin := func(name, action string) {
		w.update(func(tx store.Tx) error {
			return Begin(tx, Operation{ID: name, Work: "w", Resource: id.Key(), Action: action, Start: time.Now()})
		})
	}
	inHand, goOn := make(chan struct{}), make(chan struct{})
	stop := w.start("a", 1, map[string]Work{"w": w.work(true, func(_ context.Context, r *Run) []Step {
		return []Step{{Name: "step", Do: func() error {
			if r.ID == "first" {
				close(inHand)
				<-goOn
			}
			w.diary.note("step of %s", r.ID)
			return nil
		}}}
	})})
	begin("first", "things/write")
	<-inHand
	refused := func(superseded bool, says string) {
		t.Helper()
		err := w.store.View(t.Context(), func(tx store.Tx) error { return Idle(tx, id, superseded) })
		if e, ok := errors.AsType[*arm.Error](err); says == "" && err != nil || says != "" && (!ok || e.Code != "Conflict" || !strings.Contains(e.Message, says)) {
			t.Errorf("superseded %v: %v, want %q", superseded, err, says)
		}
	}
	refused(false, "Another operation is in progress")
	refused(true, "")
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		_, err := Supersede(tx, id, "", "PutThingOperation", time.Now())
		return err
	})
	if e, ok := errors.AsType[*arm.Error](err); !ok || e.Code != "Conflict" {
		t.Errorf("superseded by nothing: %v", err)
	}
	begin("second", "things/write")
	w.update(func(tx store.Tx) error {
		ended, err := Supersede(tx, id, "second", "PutThingOperation", time.Now())
		if len(ended) != 1 || ended[0].ID != "first" {
			t.Errorf("ended %v", ended)
		}
		return err
	})
	check := func() {
		t.Helper()
		o := w.end("first")
		if o.Status != Canceled || o.Error.Code != "Canceled" || o.Error.Details[0].Code != "CanceledAndSupersededDueToAnotherOperation" ||
			o.Error.Details[0].Message != "Operation PutThingOperation (first) was canceled and superseded by operation PutThingOperation (second)." {
			t.Errorf("%+v", o)
		}
	}
	check()
	close(goOn)
	if o := w.end("second"); o.Status != Succeeded {
		t.Errorf("%+v", o)
	}
	stop()
	check()
	w.want("step of first", "step of second", "finish")
	begin("third", "things/delete")
	refused(true, "marked for deletion")
}
