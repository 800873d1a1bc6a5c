package operation

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"vitrine/internal/arm"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) all() []string { d.mu.Lock(); defer d.mu.Unlock(); return slices.Clone(d.lines) }

type world struct {
	t     *testing.T
	store *store.Store
	diary diary
	log   bytes.Buffer
	logMu sync.Mutex
}

func (w *world) Write(p []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(p)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: store.New(memstore.Open())}
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

// quick tries again at once, and lets a lease run out where time is the bubble's alone: on a busy host a worker of this process may stand still
// for longer than any lease that a test would like to wait for.
var quick = timing{lease: 30 * time.Second, renew: 3 * time.Second, poll: 5 * time.Millisecond, retry: time.Millisecond, undo: time.Millisecond}

// start runs an engine; the returned function stops it and waits for its workers.
func (w *world) start(owner string, workers int, works map[string]Work) (stop func()) {
	e := New(w.store, owner, works, slog.New(slog.NewTextHandler(w, nil)))
	e.time = quick
	return w.run(e, workers)
}

func (w *world) run(e *Engine, workers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx, workers) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) begin(id, work, input string) {
	w.t.Helper()
	o := Operation{ID: id, Work: work, Resource: "/r/" + id, Tenant: "t", Start: time.Now()}
	if input != "" {
		o.Input = []byte(input)
	}
	w.update(func(tx store.Tx) error { return Begin(tx, o) })
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

// end waits until an operation has ended.
func (w *world) end(id string) *Operation {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		var o *Operation
		var revision int64
		if err := w.store.View(ctx, func(tx store.Tx) (err error) {
			if revision, err = tx.Revision(); err == nil {
				o, err = Get(tx, id)
			}
			return err
		}); err != nil {
			w.t.Fatalf("%v; diary %q", err, w.diary.all())
		}
		if o.Terminal() {
			return o
		}
		if err := w.store.Wait(ctx, revision); err != nil {
			w.t.Fatalf("%s is %s: %v; diary %q", id, o.Status, err, w.diary.all())
		}
	}
}

func (w *world) want(lines ...string) {
	w.t.Helper()
	if diff := cmp.Diff(lines, w.diary.all()); diff != "" {
		w.t.Error(diff)
	}
}

func (w *world) step(name string) Step {
	return Step{Name: name, Do: func() error { w.diary.note("%s", name); return nil }}
}

// work is one whose end is noted; undo too when asked.
func (w *world) work(undo bool, steps func(ctx context.Context, r *Run) []Step) Work {
	work := Work{Steps: steps, Finish: func(_ store.Tx, _ *Run, failure *arm.Error) error {
		if failure != nil {
			w.diary.note("finish %s", failure.Code)
		} else {
			w.diary.note("finish")
		}
		return nil
	}}
	if undo {
		work.Undo = func(context.Context, *Run) error { w.diary.note("undo"); return nil }
	}
	return work
}
