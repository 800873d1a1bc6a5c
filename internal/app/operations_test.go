package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// open makes the program on a data folder, without serving.
func open(t *testing.T, data string, now func() time.Time) *App {
	t.Helper()
	a, err := New(t.Context(), Config{Data: data, Listen: "127.0.0.1:0", Accel: "tcg", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// A server that was killed holds its operations no longer than until the next one starts, and what has ended goes in time.
func TestOperationsOfAnEarlierServer(t *testing.T) {
	data, ctx := t.TempDir(), t.Context()
	dead := open(t, data, nil)
	if err := dead.store.Update(ctx, func(tx store.Tx) error {
		return operation.Begin(tx, operation.Operation{ID: "1", Work: "nothing", Resource: "/r", Start: time.Now()})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := dead.store.Claim(ctx, operation.Kind, "dead", time.Hour); err != nil {
		t.Fatal(err)
	}
	dead.Close()

	var ahead time.Duration
	a := open(t, data, func() time.Time { return time.Now().Add(ahead) })
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); a.engine.Run(running, 1) }()
	defer func() { stop(); <-ended }()
	if s := status(t, a, "1"); s != operation.Failed {
		t.Errorf("an unknown work is %s", s)
	}
	for _, x := range []struct {
		ahead time.Duration
		kept  bool
	}{{0, true}, {keepOperations - time.Hour, true}, {keepOperations + 48*time.Hour, false}} {
		ahead = x.ahead
		if err := a.sweep(ctx); err != nil {
			t.Fatal(err)
		}
		err := a.store.View(ctx, func(tx store.Tx) error { _, err := operation.Get(tx, "1"); return err })
		if x.kept != (err == nil) || err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after %s: %v", x.ahead, err)
		}
	}
}

// status waits for the end of an operation.
func status(t *testing.T, a *App, id string) operation.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		var o *operation.Operation
		var revision int64
		if err := a.store.View(ctx, func(tx store.Tx) (err error) {
			if revision, err = tx.Revision(); err == nil {
				o, err = operation.Get(tx, id)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if o.Terminal() {
			return o.Status
		}
		if err := a.store.Wait(ctx, revision); err != nil {
			t.Fatalf("%s is %s: %v", id, o.Status, err)
		}
	}
}
