package operation

import (
	"context"
	"log/slog"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// Who is asked when work starts can stop it before its first step, once, and only then.
func TestStarting(t *testing.T) {
	w := newWorld(t)
	e := New(w.store, "a", map[string]Work{"w": w.work(false, func(context.Context, *Run) []Step {
		return []Step{w.step("one")}
	})}, slog.New(slog.NewTextHandler(w, nil)))
	e.time = quick
	e.Starting = func(_ store.Tx, o *Operation) error {
		w.diary.note("asked for %s", o.ID)
		if o.ID == "locked" {
			return arm.Errorf(409, "ScopeLocked", "It is locked.")
		}
		return nil
	}
	w.run(e, 1)
	w.begin("locked", "w", "")
	if o := w.end("locked"); o.Status != Failed || o.Error.Code != "ScopeLocked" || len(o.Done) != 0 {
		t.Errorf("%+v", o)
	}
	w.begin("free", "w", "")
	if o := w.end("free"); o.Status != Succeeded {
		t.Errorf("%+v", o)
	}
	w.want("asked for locked", "finish ScopeLocked", "asked for free", "one", "finish")
}
