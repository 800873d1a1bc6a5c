package packs

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
)

type faulty struct {
	*blob.Bucket
	full bool
	eio  string
}

func (f *faulty) Get(ctx context.Context, key string, o, l int64) ([]byte, error) {
	if key == f.eio && l < 0 {
		return nil, errors.New("get: input/output error")
	}
	if l < 0 {
		return f.Bucket.Get(ctx, key)
	}
	return f.Bucket.GetRange(ctx, key, o, l)
}
func (f *faulty) Put(ctx context.Context, key string, d []byte) (bool, error) {
	if f.full && strings.HasPrefix(key, "packs/") {
		return false, blob.ErrFull
	}
	return f.Bucket.Put(ctx, key, d)
}

func faultyWorld(t *testing.T) (*world, *faulty, []string) {
	f := &faulty{Bucket: memblob.New()}
	w := newWorldOn(t, blob.New(f), 1, func(c *Config) { *c = c.InFiles() })
	b := w.servers[0]
	var ks []string
	all := map[string][]byte{}
	for n := range 40 {
		all[key(n)] = bytes.Repeat([]byte{byte(n)}, 400)
		ks = append(ks, key(n))
	}
	w.must(w.batch(b, all))
	slices.Sort(ks) // 11 a pack: packs of ks[0:10], ...
	return w, f, ks
}

// Without a byte of room a pack in which nothing lives goes, though those in which something does must stay.
func TestTidyWithoutRoom(t *testing.T) {
	w, f, ks := faultyWorld(t)
	before := len(w.packs())
	w.must(w.servers[0].DeleteMany(t.Context(), ks[:15]))
	f.full = true
	w.later()
	_, err := w.servers[0].Tidy(t.Context(), "chunks/", w.clock, false)
	t.Logf("tidy: %v; packs %d -> %d", err, before, len(w.packs()))
	if len(w.packs()) == before {
		t.Error("nothing freed though a pack is wholly dead")
	}
}

// A pack that cannot be read keeps neither the others of its domain nor those of other domains.
func TestTidyUnreadable(t *testing.T) {
	w, f, ks := faultyWorld(t)
	before := len(w.packs())
	w.must(w.servers[0].DeleteMany(t.Context(), ks[:15]))
	// find the half dead pack
	for _, p := range w.packs() {
		if data, err := f.Bucket.Get(t.Context(), p); err == nil && bytes.Contains(data, mustGet(t, w.servers[0], ks[15])) {
			f.eio = p
		}
	}
	other := "packs/zz/00"
	_, err := f.Bucket.Put(t.Context(), other, []byte("orphan"))
	w.must(err)
	for range 3 {
		w.later()
		_, err = w.servers[0].Tidy(t.Context(), "chunks/", w.clock, false)
	}
	t.Logf("tidy: %v; packs %d -> %d", err, before+1, len(w.packs()))
	if slices.Contains(w.packs(), other) {
		t.Error("another tenant's waste stays")
	}
	if len(w.packs()) >= before+1 {
		t.Error("nothing freed")
	}
}

func mustGet(t *testing.T, b *blob.Bucket, k string) []byte {
	d, err := b.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What a scrub seals anew does not stay in the open as the object of its own that it was, also when the server died in between.
func TestReplacedObjectOfItsOwn(t *testing.T) {
	w := newWorld(t, 1)
	_, err := w.raw.Put(t.Context(), key(1), []byte("PLAINTEXT OF VERSION 1"))
	w.must(err)
	gone := func(when string) {
		t.Helper()
		if got, err := w.raw.Get(t.Context(), key(1)); err == nil {
			t.Errorf("%s still on the disk: %q", when, got)
		}
		if got := mustGet(t, w.servers[0], key(1)); string(got) != "sealed" {
			t.Errorf("%s %q is read", when, got)
		}
	}
	w.must(w.servers[0].Replace(t.Context(), key(1), []byte("sealed")))
	gone("replaced,")
	_, err = w.raw.Put(t.Context(), key(1), []byte("PLAINTEXT OF VERSION 1"))
	w.must(err)
	w.tidy(w.servers[0])
	gone("tidied,")
}
