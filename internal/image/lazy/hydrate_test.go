package lazy

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/image/chunk"
)

func TestHydrate(t *testing.T) {
	d := newDisk(11, 300)
	c := d.config(t.TempDir())
	c.Shift = &Shift{}
	b := open(t, c)
	d.check(t, b, c.Size/2, 4096)
	if err := b.Hydrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(c.Path); err != nil || !bytes.Equal(raw, d.bytes) {
		t.Errorf("the file is not the image: %v", err)
	}
	if st, err := os.Stat(c.Path); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(c.Path)); err != nil || len(list) != 1 {
		t.Errorf("%v is left, %v", list, err)
	}
	before := d.fetched.Load()
	if int(before) != len(d.entries) {
		t.Errorf("%d fetches of %d chunks", before, len(d.entries))
	}
	d.check(t, b, 0, c.Size) // who had it open reads on
	if d.fetched.Load() != before || !b.Status().Done {
		t.Error("what is there was fetched again")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// Who sees the whole file removes what stood beside it; that the map has gone is no reason not to end.
func TestHydrateWithoutItsMap(t *testing.T) {
	d := newDisk(12, 20)
	c := d.config(t.TempDir())
	b := open(t, c)
	_, marks := Partial(c.Path)
	must(t, os.Remove(marks))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Hydrate(ctx); err != nil || !b.Status().Done {
		t.Errorf("%v, %+v", err, b.Status())
	}
	must(t, b.Close())
}

// An end that failed behind the renaming, as when the folder cannot be synced, is one when it is tried again.
func TestHydrateAfterHalfAnEnd(t *testing.T) {
	d := newDisk(14, 20)
	c := d.config(t.TempDir())
	b := open(t, c)
	part, _ := Partial(c.Path)
	must(t, os.Rename(part, c.Path))
	if !b.Whole() || b.Status().Done {
		t.Errorf("%t, %+v", b.Whole(), b.Status())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.Hydrate(ctx); err != nil || !b.Status().Done {
		t.Errorf("%v, %+v", err, b.Status())
	}
	if raw, err := os.ReadFile(c.Path); err != nil || !bytes.Equal(raw, d.bytes) {
		t.Errorf("the file is not the image: %v", err)
	}
	must(t, b.Close())
}

// A killed hydration goes on where it was, and its half-finished file is never taken for the whole.
func TestHydrateAfterKill(t *testing.T) {
	d := newDisk(13, 200)
	c := d.config(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fetch := c.Fetch
	c.Fetch = func(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
		if d.fetched.Load() == 120 {
			cancel()
			return nil, context.Canceled
		}
		return fetch(ctx, e, dst)
	}
	b := open(t, c)
	if err := b.Hydrate(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	b.Forget()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Path); !os.IsNotExist(err) {
		t.Fatalf("half a base has the name of a whole one: %v", err)
	}
	d.fetched.Store(0)
	c.Fetch = fetch
	b = open(t, c)
	if err := b.Hydrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := d.fetched.Load(); n != 80 {
		t.Errorf("%d chunks were fetched after 120 of 200", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// The background waits while a guest does, and its rate holds.
func TestShift(t *testing.T) {
	s := &Shift{}
	s.SetRate(1 << 20)
	s.enter()
	turned := make(chan struct{})
	go func() {
		defer close(turned)
		_ = s.turn(t.Context(), 1)
	}()
	select {
	case <-turned:
		t.Fatal("the background did not wait for the guest")
	case <-time.After(5 * idleTime):
	}
	s.leave()
	<-turned
	began := time.Now()
	for range 4 {
		if err := s.turn(t.Context(), 1<<18); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(began); d < 600*time.Millisecond {
		t.Errorf("a MiB at a MiB a second took %s", d)
	}
	s.SetRate(-1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.turn(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the background works where it should rest: %v", err)
	}
	s.SetRate(0)
	if err := s.turn(ctx, 1); err == nil {
		t.Error("a turn after the end")
	}
}
