package packs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/cryptotest"
	"time"

	"vitrine/internal/blob"
)

// meddler is a bucket in which something happens to somebody else whenever a pack is put or read.
type meddler struct {
	*blob.Bucket
	meddle func() error
}

func (m meddler) Put(ctx context.Context, key string, data []byte) (bool, error) {
	created, err := m.Bucket.Put(ctx, key, data)
	return created, errors.Join(err, m.meddle())
}

func (m meddler) Get(ctx context.Context, key string, offset, length int64) (data []byte, err error) {
	if length < 0 {
		data, err = m.Bucket.Get(ctx, key)
	} else {
		data, err = m.Bucket.GetRange(ctx, key, offset, length)
	}
	return data, errors.Join(err, m.meddle())
}

var errDead = errors.New("the server is dead")

// run is one interleaving: servers put, replace, delete and tidy the same few chunks, in each other's midst, and die.
type run struct {
	*world
	rng   *rand.Rand
	truth map[string][]byte
	depth int
	count int
	stats map[string]int
}

func (r *run) meddle() error {
	if r.depth > 3 || r.rng.IntN(3) > 0 {
		return nil
	}
	if r.rng.IntN(4) == 0 {
		r.stats["deaths"]++
		return errDead
	}
	r.step()
	return nil
}

func (r *run) data() []byte {
	r.count++
	return bytes.Repeat(fmt.Appendf(nil, "%d,", r.count), 1+r.rng.IntN(100))
}

// step does something as some server, and then to the truth.
func (r *run) step() {
	r.depth++
	defer func() { r.depth-- }()
	b, ctx := r.servers[r.rng.IntN(len(r.servers))], r.t.Context()
	k := key(r.rng.IntN(12))
	what := [...]string{"batch", "batch", "batch", "put", "replace", "delete", "delete", "tidy", "tidy", "look", "look"}[r.rng.IntN(11)]
	var err error
	switch what {
	case "batch":
		chunks := map[string][]byte{}
		for range 1 + r.rng.IntN(5) {
			chunks[key(r.rng.IntN(12))] = r.data()
		}
		if err = r.batch(b, chunks); err == nil {
			for k, data := range chunks {
				if r.truth[k] == nil {
					r.truth[k] = data
				}
			}
		}
	case "put":
		data := r.data()
		if _, err = b.Put(ctx, k, data); err == nil && r.truth[k] == nil {
			r.truth[k] = data
		}
	case "replace":
		data := r.data()
		if err = b.Replace(ctx, k, data); err == nil {
			r.truth[k] = data
		}
	case "delete":
		if err = b.DeleteMany(ctx, []string{k, key(r.rng.IntN(12)), k}); err == nil {
			r.again(b)
		}
	case "tidy":
		r.later()
		_, err = b.Tidy(ctx, "chunks/", r.clock, false)
	case "look":
		r.look(b, k)
	}
	if err != nil && !errors.Is(err, errDead) {
		r.t.Fatalf("%s: %v", what, err)
	}
	r.stats[what]++
}

// again finds out which two a deletion took: nothing else can have happened since.
func (r *run) again(b *blob.Bucket) {
	there := map[string]bool{}
	for i, err := range b.All(r.t.Context(), "chunks/") {
		r.must(err)
		there[i.Key] = true
	}
	gone := 0
	for k := range r.truth {
		if !there[k] {
			delete(r.truth, k)
			gone++
		}
	}
	if gone > 2 {
		r.t.Fatalf("a deletion of two took %d", gone)
	}
}

// look asks as a writer does: what is there at the beginning of a batch or later.
func (r *run) look(b *blob.Bucket, k string) {
	batch, err := b.Batch(r.t.Context())
	r.must(err)
	defer batch.Discard()
	i, err := b.Stat(r.t.Context(), k)
	want := r.truth[k]
	if (want == nil) != errors.Is(err, blob.ErrNotFound) || want != nil && i.Size != int64(len(want)) {
		r.t.Fatalf("Stat(%s) = %+v, %v, want %d bytes", k, i, err, len(want))
	}
	r.depth += 10 // nobody meddles while we compare
	defer func() { r.depth -= 10 }()
	r.later()
	got, err := b.Get(r.t.Context(), k)
	if (want == nil) != errors.Is(err, blob.ErrNotFound) || !bytes.Equal(got, want) {
		r.t.Fatalf("Get(%s) = %.20q, %v, want %.20q", k, got, err, want)
	}
}

func TestInterleavings(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	runs, stats := 400, map[string]int{}
	if os.Getenv("VITRINE_FULL") != "" {
		runs = 2000
	}
	for seed := range runs {
		r := &run{rng: rand.New(rand.NewPCG(uint64(seed), 5)), truth: map[string][]byte{}, stats: stats}
		r.world = newWorld(t, 3, func(c *Config) {
			c.Bucket, c.MinLive = blob.New(meddler{c.Bucket, r.meddle}), []float64{0.5, 1}[seed%2]
		})
		for range 60 {
			r.step()
		}
		r.depth = 10
		r.tidy(r.servers[0])
		r.tidy(r.servers[1]) // what the first one's servers left
		for i, b := range r.servers {
			r.want(b, r.truth)
			if waste, err := b.Tidy(t.Context(), "chunks/", r.clock.Add(time.Hour), true); err != nil || len(waste) > 0 {
				t.Fatalf("seed %d, server %d: %v, %v", seed, i, waste, err)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Log(stats)
	for _, what := range []string{"batch", "replace", "delete", "tidy", "look", "deaths"} {
		if stats[what] < runs {
			t.Errorf("%d times %s in %d runs", stats[what], what, runs)
		}
	}
}
