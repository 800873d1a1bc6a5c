package usage_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/image"
	"vitrine/internal/image/packs"
	"vitrine/internal/image/usage"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// The sums are held against what a collection really frees, version by version, whether chunks are objects or gathered in packs.
func TestSumsAreTrue(t *testing.T) {
	t.Run("objects", func(t *testing.T) { sumsAreTrue(t, store.New(memstore.Open()), memblob.New()) })
	t.Run("packs", func(t *testing.T) {
		docs := store.New(memstore.Open())
		b, err := packs.New(packs.Config{Bucket: memblob.New(), Store: docs, Region: "eastus", Target: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		sumsAreTrue(t, docs, b)
	})
}

func sumsAreTrue(t *testing.T, docs *store.Store, bucket *blob.Bucket) {
	t.Helper()
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	s, err := image.New(image.Config{Store: docs, Dir: t.TempDir(), Sealer: sealer, Grace: time.Nanosecond, Buckets: func(string) (*blob.Bucket, error) { return bucket, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	change := func(f func(store.Tx) error) {
		t.Helper()
		if err := docs.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(domain string, d []byte, holders ...string) image.Ref {
		t.Helper()
		ref, err := s.Pack(t.Context(), "eastus", domain, bytes.NewReader(d), int64(len(d)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range holders {
			change(func(tx store.Tx) error { return s.Pin(tx, ref, "eastus", h) })
		}
		return ref
	}
	stored := func() (n int64) {
		for i, err := range bucket.All(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			n += i.Size
		}
		return n
	}
	measure := func(domain string) (map[string]usage.Row, []usage.Total) {
		t.Helper()
		r, err := usage.Measure(t.Context(), s, domain)
		if err != nil {
			t.Fatal(err)
		}
		rows := map[string]usage.Row{}
		for _, row := range r.Rows {
			if row.Unique+row.Shared != row.Stored || row.Allocated > row.Logical {
				t.Errorf("%+v does not add up", row)
			}
			rows[row.Holder] = row
		}
		return rows, r.Totals
	}
	base := noise(1, 2<<20)
	refs := map[string]image.Ref{
		"/a": publish("t1", append(bytes.Clone(base), make([]byte, 1<<20)...), "/a"),
		"/b": publish("t1", append(bytes.Clone(base), noise(2, 512<<10)...), "/b", "/disk"),
	}
	publish("t1", noise(3, 256<<10)) // nobody needs it
	publish("t2", base, "/c")

	rows, totals := measure("")
	a, b := rows["/a"], rows["/b"]
	if len(rows) != 4 || a.Logical != 3<<20 || a.Allocated != 2<<20 || a.Shared < 1<<20 || a.Unique == 0 || b.Unique < 400<<10 || b.Reclaimable != 0 {
		t.Errorf("a: %+v\nb: %+v", a, b)
	}
	if len(totals) != 2 || totals[0].Domain != "t1" || totals[0].Stored+totals[1].Stored != stored() || totals[0].Manifests != 3 || totals[1].Reclaimable != 0 {
		t.Errorf("totals: %+v", totals)
	}
	if own, _ := measure("t2"); len(own) != 1 || own["/c"].Domain != "t2" {
		t.Errorf("of t2: %v", own)
	}
	frees := func(what string, said int64) {
		t.Helper()
		before := stored()
		if _, err := s.Collect(t.Context(), "eastus"); err != nil {
			t.Fatal(err)
		}
		if freed := before - stored(); freed != said || said == 0 {
			t.Errorf("%s: said %d bytes, freed %d", what, said, freed)
		}
	}
	frees("what nobody pins", totals[0].Reclaimable)
	for _, step := range []string{"/disk", "/b", "/a"} {
		publish("t1", append(bytes.Clone(base[:1<<20]), noise(9, 64<<10)...)) // nobody needs it, and it names chunks of a and b
		rows, totals := measure("t1")
		ref := refs[step]
		if step == "/disk" {
			ref = refs["/b"]
		}
		change(func(tx store.Tx) error { return s.Unpin(tx, ref, "eastus", step) })
		if step != "/disk" { // b holds it still
			frees(step, rows[step].Reclaimable+totals[0].Reclaimable)
		}
	}
}
