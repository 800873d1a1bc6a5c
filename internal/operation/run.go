package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// Run is an operation in a worker's hands.
type Run struct {
	Operation
	engine *Engine
	lease  store.Lease
	log    *slog.Logger
}

// Log is the logger that names the operation.
func (r *Run) Log() *slog.Logger { return r.log }

// Read decodes the input of the operation into v.
func (r *Run) Read(v any) error { return json.Unmarshal(r.Input, v) }

// Recall decodes what Keep kept into v; nothing kept leaves v as it is.
func (r *Run) Recall(v any) error {
	if len(r.State) == 0 {
		return nil
	}
	return json.Unmarshal(r.State, v)
}

// Update runs f in a transaction that fails unless this worker still holds the operation.
func (r *Run) Update(ctx context.Context, f func(store.Tx) error) error {
	return r.engine.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Fence(r.lease); err != nil {
			return err
		}
		return f(tx)
	})
}

// View runs f in a reading transaction.
func (r *Run) View(ctx context.Context, f func(store.Tx) error) error {
	return r.engine.store.View(ctx, f)
}

// Canceled tells whether the operation is to end meanwhile, for a step that takes long.
func (r *Run) Canceled(ctx context.Context) (yes bool) {
	err := r.View(ctx, func(tx store.Tx) error {
		o, err := Get(tx, r.ID)
		yes = err == nil && o.Cancel
		return err
	})
	return yes && err == nil
}

// Alone are the steps of a deletion that need not do more than wait for the end of what it called off: until no other operation
// on the resource is open.
func Alone(ctx context.Context, r *Run) []Step {
	return []Step{{Name: "wait", Do: func() error {
		var open []*Operation
		err := r.View(ctx, func(tx store.Tx) (err error) {
			open, err = Open(tx, r.Resource)
			return err
		})
		if err == nil && len(open) > 1 {
			return Again{After: 200 * time.Millisecond}
		}
		return err
	}}}
}

// Keep records v as the state for later steps.
func (r *Run) Keep(ctx context.Context, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.State = raw
	return r.record(ctx, time.Now(), nil)
}

// record writes the operation and, in the same transaction, what f writes.
func (r *Run) record(ctx context.Context, due time.Time, f func(store.Tx) error) error {
	return r.Update(ctx, func(tx store.Tx) error {
		stored, d, err := load(tx, r.ID)
		if err != nil {
			return err
		}
		if stored.Terminal() { // superseded meanwhile
			return store.ErrLease
		}
		r.Cancel = stored.Cancel
		if f != nil {
			if err := f(tx); err != nil {
				return err
			}
		}
		return save(tx, &r.Operation, d.ETag, due)
	})
}

// advance runs the steps that are not done, then ends the operation.
func (r *Run) advance(ctx context.Context) error {
	work, ok := r.engine.works[r.Work]
	if !ok {
		return r.end(ctx, Work{}, fmt.Errorf("no work is called %q", r.Work))
	}
	if r.Error != nil {
		return r.conclude(ctx, work)
	}
	if r.Status == Pending {
		if err := r.start(ctx); err != nil {
			if visible, ok := errors.AsType[*arm.Error](err); ok {
				return r.end(ctx, work, visible)
			}
			return err
		}
	}
	for _, step := range work.Steps(ctx, r) {
		if slices.Contains(r.Done, step.Name) {
			continue
		}
		if r.Cancel {
			return r.end(ctx, work, arm.Errorf(409, "OperationPreempted", "The operation was canceled."))
		}
		if err := guard(step.Do); err != nil {
			return r.setback(ctx, work, step, err)
		}
		r.Done, r.Tries = append(r.Done, step.Name), 0
		if err := r.record(ctx, time.Now(), nil); err != nil {
			return err
		}
	}
	return r.end(ctx, work, nil)
}

func (r *Run) start(ctx context.Context) error {
	r.Status = Running
	return r.record(ctx, time.Now(), func(tx store.Tx) error {
		if r.engine.Starting == nil {
			return nil
		}
		return r.engine.Starting(tx, &r.Operation)
	})
}

// setback decides what a step's error means.
func (r *Run) setback(ctx context.Context, work Work, step Step, err error) error {
	var again Again
	var visible *arm.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // shutting down, or the lease is lost: not the step's fault
	case errors.As(err, &again):
		time.AfterFunc(again.After, r.engine.Kick) // else the workers' next look would come later
		return r.record(ctx, time.Now().Add(again.After), nil)
	case errors.As(err, &visible):
		return r.end(ctx, work, err)
	}
	r.Tries++
	r.log.Warn("step failed", "step", step.Name, "try", r.Tries, "error", err)
	if r.Tries >= maxTries {
		return r.end(ctx, work, fmt.Errorf("step %s: %w", step.Name, err))
	}
	return r.record(ctx, time.Now().Add(r.engine.time.retry<<(r.Tries-1)), nil)
}

// end writes the terminal status. A failure is recorded before it is undone, so that a crash in between resumes with the
// undoing and never with steps whose products are half gone.
func (r *Run) end(ctx context.Context, work Work, cause error) error {
	if cause != nil {
		r.Error, r.Tries = failure(cause, r.ID), 0
		r.log.Info("operation failed", "code", r.Error.Code, "error", cause)
		if err := r.record(ctx, time.Now(), nil); err != nil {
			return err
		}
	}
	return r.conclude(ctx, work)
}

func (r *Run) conclude(ctx context.Context, work Work) error {
	if r.Error != nil && work.Undo != nil {
		if err := guard(func() error { return work.Undo(ctx, r) }); err != nil {
			return r.later(ctx, "undo failed; it is tried again", err)
		}
	}
	r.Status, r.End = Succeeded, time.Now()
	switch {
	case r.Error != nil && r.Cancel:
		r.Status = Canceled
	case r.Error != nil:
		r.Status = Failed
	}
	var refused error // what Finish itself answered, apart from what the store did
	err := r.record(ctx, time.Time{}, func(tx store.Tx) error {
		if refused = nil; work.Finish != nil {
			refused = guard(func() error { return work.Finish(tx, r, r.Error) })
		}
		if refused == nil && r.engine.Ended != nil {
			return r.engine.Ended(tx, &r.Operation)
		}
		return refused
	})
	if err == nil || refused == nil || ctx.Err() != nil || errors.Is(err, store.ErrLease) {
		return err
	}
	r.Status, r.End = Running, time.Time{}
	return r.unfinished(ctx, work, refused)
}

// unfinished decides what an error of Finish means. It is tried again, then the success becomes a failure; a failure whose
// Finish never comes off ends without it, since a client waits for the end.
func (r *Run) unfinished(ctx context.Context, work Work, err error) error {
	var visible *arm.Error
	r.Tries++
	switch {
	case r.Error == nil && (errors.As(err, &visible) || r.Tries >= maxTries):
		r.Tries = 0
		return r.end(ctx, work, fmt.Errorf("finish: %w", err))
	case r.Tries < maxTries:
		return r.later(ctx, "finish failed; it is tried again", err)
	}
	r.log.Error("finish failed; the operation ends without it", "error", err)
	return r.conclude(ctx, Work{})
}

// later tries the whole end again after a while: what was built must not be left behind.
func (r *Run) later(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.log.Error(what, "error", err)
	return r.record(ctx, time.Now().Add(r.engine.time.undo), nil)
}
