package operation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

const maxTries = 5

// timing is how long things are waited for; a test shortens it.
type timing struct {
	lease time.Duration // a crash costs at most this much waiting
	renew time.Duration
	poll  time.Duration // for work that other servers began and for delayed steps
	retry time.Duration // after the first failure of a step; doubles with each
	undo  time.Duration // between tries of an end that does not come off
}

func usual() timing {
	return timing{lease: 10 * time.Second, renew: 3 * time.Second, poll: 500 * time.Millisecond, retry: time.Second, undo: 5 * time.Second}
}

// Work is how one kind of operation is done.
type Work struct {
	// Steps lists the work in order. It is called anew after each resumption and must give the same names.
	Steps func(ctx context.Context, r *Run) []Step
	// Undo takes back what the steps built outside the store; called before a failed or cancelled operation ends.
	Undo func(ctx context.Context, r *Run) error
	// Finish writes the end into the resource, in the transaction that ends the operation. failure is nil on success.
	Finish func(tx store.Tx, r *Run, failure *arm.Error) error
}

// Engine runs operations.
type Engine struct {
	store *store.Store
	works map[string]Work
	owner string
	log   *slog.Logger
	kick  chan struct{}
	time  timing

	// Starting is asked in the transaction in which an operation's work starts; an *arm.Error of it ends the operation before
	// its first step. Nil: nobody is asked. It is set before Run.
	Starting func(tx store.Tx, o *Operation) error

	// Ended is told the end of each operation in the transaction that ends it; nil: nobody is. It is set before Run.
	Ended func(tx store.Tx, o *Operation) error
}

// New makes an engine. owner names this process among all that share the store.
func New(s *store.Store, owner string, works map[string]Work, log *slog.Logger) *Engine {
	return &Engine{store: s, works: works, owner: owner, log: log, kick: make(chan struct{}, 1), time: usual()}
}

// Kick tells the workers that a transaction began an operation, so that they need not wait for their next look.
func (e *Engine) Kick() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// Run works with n workers until ctx ends; steps under way are cancelled and resumed by the next engine.
func (e *Engine) Run(ctx context.Context, n int) {
	var group sync.WaitGroup
	for range n {
		group.Go(func() { e.worker(ctx) })
	}
	group.Wait()
}

func (e *Engine) worker(ctx context.Context) {
	timer := time.NewTicker(e.time.poll)
	defer timer.Stop()
	for ctx.Err() == nil {
		lease, err := e.store.Claim(ctx, Kind, e.owner, e.time.lease)
		if err == nil {
			e.Kick() // there may be more
			e.work(ctx, lease)
			continue
		}
		if !errors.Is(err, store.ErrNothing) && ctx.Err() == nil {
			e.log.Error("claim", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-e.kick:
		case <-timer.C:
		}
	}
}

// work runs a claimed operation as far as it goes, holding its lease.
func (e *Engine) work(ctx context.Context, lease store.Lease) {
	ctx, cancel := context.WithCancel(ctx)
	r := &Run{engine: e, lease: lease, log: e.log}
	if err := json.Unmarshal(lease.Body, &r.Operation); err != nil {
		e.log.Error("operation cannot be read", "key", lease.Key, "error", err)
		cancel()
		return
	}
	r.log = e.log.With("operation", r.ID, "work", r.Work, "resource", r.Resource)
	var keeper sync.WaitGroup
	keeper.Go(func() { e.keep(ctx, cancel, lease) })
	err := guard(func() error { return r.advance(ctx) })
	cancel()
	keeper.Wait()
	if err != nil && !errors.Is(err, store.ErrLease) && !errors.Is(err, context.Canceled) {
		r.log.Error("operation; it is resumed when the lease ends", "error", err)
		return // not released: what fails outside its steps would fail again at once
	}
	background, stop := context.WithTimeout(context.Background(), e.time.renew)
	defer stop()
	if err := e.store.Release(background, lease); err != nil && !errors.Is(err, store.ErrLease) && !errors.Is(err, store.ErrNotFound) {
		r.log.Warn("release", "error", err)
	}
}

// keep renews the lease until ctx ends; when it is lost, the work is cancelled since another worker has it.
func (e *Engine) keep(ctx context.Context, cancel func(), lease store.Lease) {
	timer := time.NewTicker(e.time.renew)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if _, err := e.store.Renew(ctx, lease, e.time.lease); errors.Is(err, store.ErrLease) {
				cancel()
				return
			}
		}
	}
}

// guard turns a panic into an error: a work that panics must not take the server down, and again at each resumption.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
