package image

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
	"vitrine/internal/store"
)

func noGrace(c *Config) { c.Grace = time.Nanosecond }

func (w *world) collect(t testing.TB, region string) Report {
	t.Helper()
	r, err := w.Collect(t.Context(), region)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) wantReadable(t testing.TB, region string, ref Ref, want []byte) {
	t.Helper()
	w.cache.Forget(region, ref)
	r, err := w.Open(t.Context(), region, ref)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, r, ref.Size), want) {
		t.Fatal("other bytes came back")
	}
}

func TestCollect(t *testing.T) {
	busy := true
	w := newWorld(t, noGrace, func(c *Config) { c.InUse = func(string) bool { return busy } })
	a, b := disk(20, 4<<20), disk(20, 4<<20)
	copy(b[2<<20:], disk(21, 1<<20)) // shares most of a
	refA, refB := w.pack(t, "eastus", a), w.pack(t, "eastus", b)
	w.pin(t, refA, "eastus", "/subscriptions/S/a")
	w.pin(t, refA, "eastus", "/subscriptions/s/A") // the same holder
	w.pin(t, refB, "eastus", "/b")
	base, err := w.Base(t.Context(), "eastus", refA)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.collect(t, "eastus"); r.Manifests+r.Objects+r.Bases != 0 || r.Kept == 0 {
		t.Fatalf("with pins: %+v", r)
	}
	w.unpin(t, refA, "eastus", "/SUBSCRIPTIONS/s/a")
	w.unpin(t, refA, "eastus", "/SUBSCRIPTIONS/s/a")
	if r := w.collect(t, "eastus"); r.Manifests != 1 || r.Objects < 2 || r.Bytes == 0 || r.Bases != 0 {
		t.Fatalf("without a's pin: %+v", r)
	}
	w.wantReadable(t, "eastus", refB, b)
	if _, err := w.Open(t.Context(), "eastus", refA); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of a collected manifest = %v", err)
	}
	if err := w.Store.Store.Update(t.Context(), func(tx store.Tx) error { return w.Pin(tx, refA, "eastus", "/x") }); !errors.Is(err, ErrNotFound) {
		t.Errorf("Pin of a collected manifest = %v", err)
	}
	busy = false
	if r := w.collect(t, "eastus"); r.Bases != 1 {
		t.Errorf("base: %+v", r)
	}
	if _, err := os.Stat(base); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("base is still there: %v", err)
	}
	w.unpin(t, refB, "eastus", "/b")
	w.collect(t, "eastus")
	if n := w.count(t, "eastus", ""); n != 0 {
		t.Errorf("%d objects are orphaned", n)
	}
}

func TestGrace(t *testing.T) {
	now := time.Now()
	w := newWorld(t, func(c *Config) { c.Grace = time.Hour; c.Now = func() time.Time { return now } })
	ref := w.pack(t, "eastus", disk(22, 1<<20))
	if r := w.collect(t, "eastus"); r.Manifests+r.Objects != 0 {
		t.Fatalf("young: %+v", r)
	}
	now = now.Add(2 * time.Hour)
	w.pack(t, "eastus", disk(22, 1<<20)) // packed again: young again
	if r := w.collect(t, "eastus"); r.Manifests+r.Objects != 0 {
		t.Fatalf("packed again: %+v", r)
	}
	w.wantReadable(t, "eastus", ref, disk(22, 1<<20))
	now = now.Add(2 * time.Hour)
	if r := w.collect(t, "eastus"); r.Manifests != 1 || r.Kept != 0 {
		t.Fatalf("old: %+v", r)
	}
}

// What cannot be read might need anything: nothing is deleted beside a damaged manifest.
func TestCollectStopsAtDamage(t *testing.T) {
	w := newWorld(t, noGrace)
	ref := w.pack(t, "eastus", disk(23, 1<<20))
	w.pin(t, ref, "eastus", "/a")
	w.pack(t, "eastus", disk(24, 1<<20))
	w.replace(t, chunk.ManifestObject(dom, ref.ID), []byte{0})
	n := w.count(t, "eastus", "chunks/")
	var c *CorruptError
	if _, err := w.Collect(t.Context(), "eastus"); !errors.As(err, &c) {
		t.Errorf("Collect = %v", err)
	}
	if left := w.count(t, "eastus", "chunks/"); left != n {
		t.Errorf("%d chunks of %d are left", left, n)
	}
}

// A server died in the middle of a sweep. Whoever comes next finishes it, and what it packs is whole.
func TestDeadSweep(t *testing.T) {
	now := time.Now()
	w := newWorld(t, noGrace, func(c *Config) { c.Now = func() time.Time { return now } })
	want := disk(25, 1<<20)
	w.pack(t, "eastus", want)
	p := place{"eastus", dom}
	e, err := w.quiet(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	e.Sweeps++
	e.Sweep = &sweep{Until: now.Add(sweepTime)}
	for i, err := range w.buckets["eastus"].All(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e.Sweep.Keys = append(e.Sweep.Keys, i.Key)
	}
	err = w.Store.Store.Update(t.Context(), func(tx store.Tx) error {
		_, etag, err := p.read(tx)
		return errors.Join(err, p.save(tx, e, etag))
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Pack(ctx, "eastus", dom, bytes.NewReader(want), int64(len(want)), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Pack beside a living sweep = %v, want to wait", err)
	}
	now = now.Add(sweepTime + skew + time.Second)
	ref := w.pack(t, "eastus", want)
	w.wantReadable(t, "eastus", ref, want)
}

// Writers and collectors cross as often as they can, without any grace, over the same few contents. Whatever could be
// pinned is whole, and in the end nothing is left over.
func TestPackBesideCollect(t *testing.T) {
	w := newWorld(t, noGrace)
	disks := make([][]byte, 4)
	for i := range disks {
		disks[i] = disk(30, 512<<10)
		copy(disks[i][i*100_000:], disk(uint64(31+i), 50_000))
	}
	stop := make(chan struct{})
	var collectors, writers sync.WaitGroup
	for range 2 {
		collectors.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := w.Collect(t.Context(), "eastus"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var pinned sync.Map
	for g := range 3 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 5))
			holder := "/w/" + string(rune('0'+g))
			for range 40 {
				w.cycle(t, disks[rng.IntN(len(disks))], holder, &pinned)
			}
		})
	}
	writers.Wait()
	close(stop)
	collectors.Wait()
	if _, ok := pinned.Load("any"); !ok {
		t.Error("nothing was ever pinned: the test proves nothing")
	}
	w.collect(t, "eastus")
	if n := w.count(t, "eastus", ""); n != 0 {
		t.Errorf("%d objects are orphaned", n)
	}
}

// cycle packs, pins if the manifest is still there, reads and unpins.
func (w *world) cycle(t *testing.T, d []byte, holder string, pinned *sync.Map) {
	ref, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(d), int64(len(d)), nil)
	if errors.Is(err, errSwept) {
		return // collections kept interfering: an honest failure
	}
	if err != nil {
		t.Error(err)
		return
	}
	err = w.Store.Store.Update(t.Context(), func(tx store.Tx) error { return w.Pin(tx, ref, "eastus", holder) })
	if errors.Is(err, ErrNotFound) {
		return // collected before it was pinned: there is no grace here
	}
	if err != nil {
		t.Error(err)
		return
	}
	pinned.Store("any", true)
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Error(err)
		return
	}
	for _, e := range r.m.Entries {
		if _, err := r.fetch(t.Context(), e, nil); err != nil {
			t.Error(err)
		}
	}
	w.unpin(t, ref, "eastus", holder)
}

func TestRefOf(t *testing.T) {
	want := Ref{Domain: dom, ID: digest.Of(nil).Hex()}
	if got, err := refOf(registerKey("eastus", want)); err != nil || got != want {
		t.Errorf("refOf = %v, %v", got, err)
	}
}

// A plan says what would go, with bytes and reasons, and is right; nothing has changed.
func TestPlan(t *testing.T) {
	w := newWorld(t, noGrace)
	kept := w.pack(t, "eastus", disk(26, 1<<20))
	w.pin(t, kept, "eastus", "/a")
	gone := w.pack(t, "eastus", disk(27, 1<<20))
	base, err := w.Base(t.Context(), "eastus", gone)
	if err != nil {
		t.Fatal(err)
	}
	n := w.count(t, "eastus", "")
	plan, err := w.Plan(t.Context(), "eastus", time.Nanosecond)
	if err != nil || plan.Manifests != 1 || plan.Objects < 2 || plan.Bases != 1 || len(plan.Freed) != 1+plan.Objects+plan.Bases {
		t.Fatalf("%+v, %v", plan, err)
	}
	var bytes int64
	for _, f := range plan.Freed {
		if f.Why == "" || f.Bytes == 0 && f.What != registerKey("eastus", gone) {
			t.Errorf("%+v", f)
		}
		if f.What != base {
			bytes += f.Bytes
		}
	}
	if left := w.count(t, "eastus", ""); left != n || bytes != plan.Bytes {
		t.Errorf("%d of %d objects, %d bytes of %d", left, n, bytes, plan.Bytes)
	}
	w.wantReadable(t, "eastus", gone, disk(27, 1<<20))
	done := w.collect(t, "eastus")
	plan.Freed = nil
	if done.Objects != plan.Objects || done.Bytes != plan.Bytes || done.Manifests != plan.Manifests || done.Bases != plan.Bases || done.Kept != plan.Kept {
		t.Errorf("planned %+v, done %+v", plan, done)
	}
}
