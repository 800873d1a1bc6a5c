package packs

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const dom = "tenant-1"

// world is some servers over one bucket and one store.
type world struct {
	t       *testing.T
	raw     *blob.Bucket
	docs    *store.Store
	clock   time.Time
	servers []*blob.Bucket
}

func newWorld(t *testing.T, servers int, change ...func(*Config)) *world {
	t.Helper()
	return newWorldOn(t, memblob.New(), servers, change...)
}

func newWorldOn(t *testing.T, raw *blob.Bucket, servers int, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, raw: raw, docs: store.New(memstore.Open()), clock: time.Now()}
	for range servers {
		c := Config{Bucket: w.raw, Store: w.docs, Region: "eastus", Target: 4096, Now: func() time.Time { return w.clock }}
		for _, f := range change {
			f(&c)
		}
		b, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		w.servers = append(w.servers, b)
	}
	return w
}

// later lets the records that readers know become old, and packs old enough to be tidied, however long the test has taken: a bucket notes
// the real time.
func (w *world) later() {
	if now := time.Now(); w.clock.Before(now) {
		w.clock = now
	}
	w.clock = w.clock.Add(time.Minute)
}

func key(n int) string { return chunk.Object(dom, digest.Of([]byte{byte(n), byte(n >> 8)})) }

func (w *world) batch(b *blob.Bucket, chunks map[string][]byte) error {
	ctx := w.t.Context()
	batch, err := b.Batch(ctx)
	if err != nil {
		return err
	}
	defer batch.Discard()
	keys := make([]string, 0, len(chunks))
	for k := range chunks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := batch.Put(ctx, k, chunks[k]); err != nil {
			return err
		}
	}
	return batch.Commit(ctx)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tidy(b *blob.Bucket) []blob.Tidied {
	w.t.Helper()
	w.later()
	list, err := b.Tidy(w.t.Context(), "chunks/", w.clock, false)
	w.must(err)
	return list
}

func (w *world) packs() (keys []string) {
	w.t.Helper()
	for i, err := range w.raw.All(w.t.Context(), "packs/") {
		w.must(err)
		keys = append(keys, i.Key)
	}
	return keys
}

// want checks what a server that looks now finds: exactly these chunks, with these bytes.
func (w *world) want(b *blob.Bucket, all map[string][]byte) {
	w.t.Helper()
	ctx := w.t.Context()
	seen := 0
	for i, err := range b.All(ctx, "") {
		w.must(err)
		if got, err := b.Get(ctx, i.Key); err != nil || all[i.Key] == nil || !bytes.Equal(got, all[i.Key]) || i.Size != int64(len(got)) {
			w.t.Fatalf("%s: %q, %v, want %q", i.Key, got, err, all[i.Key])
		}
		seen++
	}
	if seen != len(all) {
		w.t.Fatalf("%d objects, want %d", seen, len(all))
	}
}
