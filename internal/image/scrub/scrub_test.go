package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/packs"
	"vitrine/internal/image/scrub"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const dom = "tenant-1"

type world struct {
	*scrub.Scrubber
	docs    *store.Store
	buckets map[string]*blob.Bucket
}

func newWorld(t *testing.T, sealed bool, rate int64) *world {
	t.Helper()
	w := &world{docs: store.New(memstore.Open()), buckets: map[string]*blob.Bucket{"eastus": memblob.New(), "westus": memblob.New()}}
	if packed {
		for region, b := range w.buckets {
			var err error
			if w.buckets[region], err = packs.New(packs.Config{Bucket: b, Store: w.docs, Region: region, Target: 1 << 20}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.open(t, sealed, rate)
	return w
}

// packed says that chunks are gathered in packs. Every test runs both ways.
var packed bool

func TestMain(m *testing.M) {
	code := m.Run()
	if packed = true; code == 0 {
		code = m.Run()
	}
	os.Exit(code)
}

// open starts a server on what is there.
func (w *world) open(t *testing.T, sealed bool, rate int64) {
	t.Helper()
	c := image.Config{Store: w.docs, Dir: t.TempDir(), Regions: []string{"eastus", "westus"}, Buckets: func(r string) (*blob.Bucket, error) { return w.buckets[r], nil }}
	if sealed {
		var err error
		if c.Sealer, err = seal.New(bytes.Repeat([]byte{1}, seal.KeySize)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := image.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Scrubber = scrub.New(scrub.Config{Images: s, Store: w.docs, Rate: rate})
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// publish packs a disk and pins it.
func (w *world) publish(t *testing.T, d []byte, holder string, regions ...string) image.Ref {
	t.Helper()
	ref, err := w.Images.Pack(t.Context(), regions[0], dom, bytes.NewReader(d), int64(len(d)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range regions {
		if r != regions[0] {
			if err := w.Images.Replicate(t.Context(), ref, regions[0], r, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.docs.Update(t.Context(), func(tx store.Tx) error { return w.Images.Pin(tx, ref, r, holder) }); err != nil {
			t.Fatal(err)
		}
	}
	return ref
}

func (w *world) run(t *testing.T, reseal bool) scrub.Report {
	t.Helper()
	r, err := w.Run(t.Context(), reseal)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) objects(t *testing.T, region, prefix string) (keys []string) {
	t.Helper()
	for i, err := range w.buckets[region].All(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, i.Key)
	}
	return keys
}

// flip changes one bit of an object.
func (w *world) flip(t *testing.T, region, object string) {
	t.Helper()
	b, err := w.buckets[region].Get(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := w.buckets[region].Replace(t.Context(), object, b); err != nil {
		t.Fatal(err)
	}
}

// A bit that rots anywhere is found before anybody reads it, and mended; without a sound copy, everybody who needs it is named.
func TestRot(t *testing.T) {
	w := newWorld(t, true, 0)
	a := noise(1, 1<<20)
	b := append(noise(2, 256<<10), a[:512<<10]...)
	w.publish(t, a, "/versions/a", "eastus", "westus")
	w.publish(t, b, "/versions/b", "eastus")
	if r := w.run(t, false); r.Mended+r.Damaged+r.Resealed != 0 || r.Manifests != 3 || r.Ended.IsZero() ||
		r.Chunks != len(w.objects(t, "eastus", "chunks/"))+len(w.objects(t, "westus", "chunks/")) {
		t.Fatalf("a sound store: %+v", r)
	}
	there := w.objects(t, "westus", "")
	for _, object := range there {
		w.flip(t, "eastus", object)
	}
	if r := w.run(t, false); r.Mended != len(there) || r.Damaged != 0 {
		t.Fatalf("mended %d of %d, %+v", r.Mended, len(there), r)
	}
	if r := w.run(t, false); r.Mended != 0 || r.Damaged != 0 {
		t.Fatalf("after it was mended: %+v", r)
	}
	// A chunk of b alone has no second copy; one that both need is named twice, where it lies in each.
	only := slices.DeleteFunc(w.objects(t, "eastus", "chunks/"), func(k string) bool { return slices.Contains(there, k) })
	w.flip(t, "eastus", only[0])
	r := w.run(t, false)
	if r.Damaged != 1 || r.Damage[0].Object != only[0] || r.Damage[0].Region != "eastus" || !slices.Equal(r.Damage[0].Holders, []string{"/versions/b"}) {
		t.Fatalf("%+v", r)
	}
	if err := w.buckets["eastus"].Delete(t.Context(), only[0]); err != nil { // lost as a whole is as bad
		t.Fatal(err)
	}
	if r := w.run(t, false); r.Damaged != 1 {
		t.Fatalf("%+v", r)
	}
	kept, ok, err := w.Status(t.Context())
	if err != nil || !ok || kept.Damaged != 1 || kept.Ended.IsZero() {
		t.Errorf("Status = %+v, %v, %v", kept, ok, err)
	}
}

func TestNamedWhereItLies(t *testing.T) {
	w := newWorld(t, true, 0)
	a := noise(3, 512<<10)
	w.publish(t, a, "/a", "eastus")
	w.publish(t, append(make([]byte, 1<<20), a...), "/b", "eastus")
	w.flip(t, "eastus", w.objects(t, "eastus", "chunks/")[0])
	r := w.run(t, false)
	if len(r.Damage) != 2 || r.Damaged != 2 {
		t.Fatalf("%+v", r)
	}
	x, y := r.Damage[0], r.Damage[1]
	if x.Offset > y.Offset {
		x, y = y, x
	}
	if x.Holders[0] != "/a" || y.Holders[0] != "/b" || y.Offset-x.Offset != 1<<20 {
		t.Errorf("%+v", r.Damage)
	}
}

// A store of format version 1 is encrypted where it lies, and what is sealed with a former key anew; names stay.
func TestReseal(t *testing.T) {
	w := newWorld(t, false, 0)
	d := noise(4, 1<<20)
	ref := w.publish(t, d, "/v", "eastus")
	all := w.objects(t, "eastus", "")
	w.open(t, true, 0)
	sealedWith := func(want string) {
		t.Helper()
		for _, object := range all {
			b, err := w.buckets["eastus"].Get(t.Context(), object)
			if err != nil || chunk.SealedWith(b) != want {
				t.Fatalf("%s is sealed with %q, %v; want %q", object, chunk.SealedWith(b), err, want)
			}
		}
		r, err := w.Images.Open(t.Context(), "eastus", ref)
		got := make([]byte, len(d))
		if err == nil {
			_, err = r.ReadAt(got, 0)
		}
		if err != nil || !bytes.Equal(got, d) {
			t.Fatalf("read: %v", err)
		}
	}
	if r := w.run(t, false); r.Resealed != 0 || r.Damaged != 0 {
		t.Fatalf("%+v", r)
	}
	sealedWith("")
	if r := w.run(t, true); r.Resealed != len(all) || r.Damaged != 0 {
		t.Fatalf("%+v", r)
	}
	key, err := w.Images.Keys().Current(t.Context(), dom)
	if err != nil {
		t.Fatal(err)
	}
	sealedWith(key.ID())
	i, err := w.Images.Keys().Rotate(t.Context(), dom)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.run(t, true); r.Resealed != len(all) || r.Damaged != 0 {
		t.Fatalf("%+v", r)
	}
	sealedWith(i.Keys[len(i.Keys)-1].ID)
	if r := w.run(t, true); r.Resealed != 0 {
		t.Fatalf("%+v", r)
	}
}

// One at a time; a slow one can be watched and ended.
func TestSlow(t *testing.T) {
	w := newWorld(t, true, 1)
	w.publish(t, noise(5, 1<<20), "/v", "eastus")
	w.Rate = 0
	before := w.run(t, false)
	w.Rate = 1
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := w.Run(ctx, false); done <- err }()
	for {
		if r, ok, err := w.Status(t.Context()); err != nil {
			t.Fatal(err)
		} else if ok && r.Ended.IsZero() {
			break
		}
	}
	if _, err := w.Run(t.Context(), false); !errors.Is(err, scrub.ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	if last, ok, err := w.Last(t.Context()); err != nil || !ok || !last.Ended.Equal(before.Ended) {
		t.Errorf("while it runs the last one is %+v, %v", last, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "scrub") {
		t.Error(err)
	}
	if r, ok, err := w.Status(t.Context()); !ok || err != nil || !r.Started.Equal(before.Started) {
		t.Errorf("a scrub that was cut off is kept as done: %+v, %v", r, err)
	}
}

// Totals grow with each scrub, also by what one did that was cut off, and by damage each time it is found.
func TestTotals(t *testing.T) {
	w := newWorld(t, true, 0)
	ref := w.publish(t, noise(6, 1<<20), "/v", "eastus")
	first := w.run(t, false)
	w.run(t, false)
	got := w.Totals()
	if got.Begun != 2 || got.Ended != 2 || got.Chunks != 2*int64(first.Chunks) || got.Bytes != 2*first.Bytes || got.Manifests != 2 || got.Damaged != 0 {
		t.Errorf("%+v after two of %+v", got, first)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Run(ctx, false); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := w.Totals(); got.Begun != 3 || got.Ended != 2 {
		t.Errorf("%+v after one that was cut off", got)
	}
	for info, err := range w.buckets["eastus"].All(t.Context(), "chunks/") {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.buckets["eastus"].Replace(t.Context(), info.Key, []byte("rot")); err != nil {
			t.Fatal(err)
		}
		break
	}
	if r := w.run(t, false); r.Damaged != 1 || w.Totals().Damaged != 1 {
		t.Errorf("%s: %+v, %+v", ref.ID, r, w.Totals())
	}
}
