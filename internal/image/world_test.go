package image

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/image/packs"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const dom = "tenant-1"

// packed says that chunks are gathered in packs. Every test runs both ways.
var packed bool

func TestMain(m *testing.M) {
	code := m.Run()
	if packed = true; code == 0 {
		code = m.Run()
	}
	os.Exit(code)
}

// laid gives the bucket that an image store sees over b.
func laid(t testing.TB, b *blob.Bucket, docs *store.Store, region string) *blob.Bucket {
	t.Helper()
	if !packed {
		return b
	}
	b, err := packs.New(packs.Config{Bucket: b, Store: docs, Region: region, Target: 1 << 20, MinLive: 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world is a Store with its buckets in memory.
type world struct {
	*Store
	buckets map[string]*blob.Bucket
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{buckets: map[string]*blob.Bucket{"eastus": memblob.New(), "westus": memblob.New()}}
	sealer, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: t.TempDir(), Store: store.New(memstore.Open()), Workers: 3, Sealer: sealer, Regions: []string{"eastus", "westus"}, Buckets: func(region string) (*blob.Bucket, error) {
		if b, ok := w.buckets[region]; ok {
			return b, nil
		}
		return nil, errors.New("no such region")
	}}
	for _, f := range change {
		f(&c)
	}
	for region, b := range w.buckets {
		w.buckets[region] = laid(t, b, c.Store, region)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Store = s
	return w
}

func (w *world) count(t testing.TB, region, prefix string) (n int) {
	t.Helper()
	for _, err := range w.buckets[region].All(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func (w *world) pack(t testing.TB, region string, disk []byte) Ref {
	t.Helper()
	ref, err := w.Pack(t.Context(), region, dom, bytes.NewReader(disk), int64(len(disk)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (w *world) pin(t testing.TB, ref Ref, region, holder string) {
	t.Helper()
	if err := w.Store.Store.Update(t.Context(), func(tx store.Tx) error { return w.Pin(tx, ref, region, holder) }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) unpin(t testing.TB, ref Ref, region, holder string) {
	t.Helper()
	if err := w.Store.Store.Update(t.Context(), func(tx store.Tx) error { return w.Unpin(tx, ref, region, holder) }); err != nil {
		t.Fatal(err)
	}
}

// disk makes n bytes: stretches of noise, of text and of zeros, whose bounds are not blocks'.
func disk(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for at := 0; at < n; {
		end := min(n, at+1+r.IntN(400_000))
		switch r.IntN(3) {
		case 0:
			for i := at; i < end; i++ {
				b[i] = byte(r.Uint32())
			}
		case 1:
			for i := at; i < end; i++ {
				b[i] = "the quick brown fox "[r.IntN(20)]
			}
		}
		at = end
	}
	return b
}

func read(t testing.TB, r io.ReaderAt, size int64) []byte {
	t.Helper()
	b := make([]byte, size)
	if n, err := r.ReadAt(b, 0); int64(n) != size || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("ReadAt = %d, %v", n, err)
	}
	return b
}
