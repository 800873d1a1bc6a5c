package packs

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/blobtest"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/blob/s3blob/s3test"
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

// later lets the records that readers know become old, and packs old enough to be tidied.
func (w *world) later() { w.clock = w.clock.Add(time.Minute) }

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

func TestGathers(t *testing.T) {
	t.Run("memory", func(t *testing.T) { gathers(t, memblob.New()) })
	t.Run("server", func(t *testing.T) {
		server, err := s3blob.Dial(t.Context(), s3test.Start(t, "images").Config("images"))
		if err != nil {
			t.Fatal(err)
		}
		gathers(t, server.Bucket("eastus"))
	})
}

func gathers(t *testing.T, raw *blob.Bucket) {
	t.Helper()
	w := newWorldOn(t, raw, 2)
	a, b := w.servers[0], w.servers[1]
	all := map[string][]byte{}
	for n := range 100 {
		all[key(n)] = bytes.Repeat([]byte{byte(n)}, 100+n)
	}
	w.must(w.batch(a, all))
	if n := len(w.packs()); n < 3 || n > 5 {
		t.Errorf("%d packs", n)
	}
	w.want(a, all)
	w.want(b, all)
	if list, err := w.raw.List(t.Context(), "chunks/", "", 1); err != nil || len(list) > 0 {
		t.Errorf("below: %v, %v", list, err)
	}
	w.must(w.batch(b, all)) // nothing is new
	w.tidy(a)
	w.want(a, all)
	if n := len(w.packs()); n > 5 {
		t.Errorf("%d packs after the same again", n)
	}
	part, err := b.GetRange(t.Context(), key(7), 5, 10)
	if err != nil || !bytes.Equal(part, all[key(7)][5:15]) {
		t.Errorf("GetRange = %q, %v", part, err)
	}
	if _, err := b.GetRange(t.Context(), key(7), 100, 8); !errors.Is(err, blob.ErrRange) {
		t.Errorf("GetRange past the end of the chunk = %v", err)
	}
	for n := range 90 {
		w.must(a.Delete(t.Context(), key(n)))
		delete(all, key(n))
	}
	w.want(b, all)
	w.must(b.Replace(t.Context(), key(95), []byte("mended")))
	all[key(95)] = []byte("mended")
	w.want(a, all)
	w.tidy(b)
	w.want(a, all)
	if n := len(w.packs()); n > 3 {
		t.Errorf("%d packs for 10 chunks", n)
	}
	for k := range all {
		w.must(a.Delete(t.Context(), k))
	}
	w.tidy(b)
	if left := w.packs(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.want(a, nil)
}

// What is no chunk goes through.
func TestOtherKeys(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) *blob.Bucket { return newWorld(t, 1).servers[0] })
}

// Chunks that are objects of their own, from before there were packs, stay readable, and can be deleted.
func TestLooseChunks(t *testing.T) {
	w := newWorld(t, 1)
	old := map[string][]byte{key(1): []byte("one"), key(2): []byte("two"), "manifests/" + dom + "/m": []byte("m")}
	for k, data := range old {
		if _, err := w.raw.Put(t.Context(), k, data); err != nil {
			t.Fatal(err)
		}
	}
	b := w.servers[0]
	w.want(b, old)
	w.must(w.batch(b, map[string][]byte{key(3): []byte("three")}))
	old[key(3)] = []byte("three")
	w.want(b, old)
	w.must(b.Replace(t.Context(), key(1), []byte("new")))
	old[key(1)] = []byte("new")
	w.want(b, old)
	for k := range old {
		w.must(b.Delete(t.Context(), k))
	}
	w.want(b, nil)
}

// What a server that died left is deleted, but not under the hands of one that lives.
func TestOrphans(t *testing.T) {
	w := newWorld(t, 1)
	b := w.servers[0]
	for _, k := range []string{"packs/" + dom + "/00", "packs/other/11"} {
		if _, err := w.raw.Put(t.Context(), k, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	young, err := b.Tidy(t.Context(), "chunks/", w.clock.Add(-time.Hour), false)
	if err != nil || len(young) > 0 {
		t.Errorf("young ones: %v, %v", young, err)
	}
	plan, err := b.Tidy(t.Context(), "chunks/", w.clock.Add(time.Minute), true)
	if err != nil || len(plan) != 2 || len(w.packs()) != 2 {
		t.Errorf("dry: %v, %v", plan, err)
	}
	if list := w.tidy(b); len(list) != 2 || len(w.packs()) != 0 {
		t.Errorf("%v", list)
	}
}

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

// A damaged pack loses what is damaged: the others of its chunks can be read and moved.
func TestDamagedPack(t *testing.T) {
	w := newWorld(t, 1)
	b, all := w.servers[0], map[string][]byte{}
	for n := range 40 {
		all[key(n)] = bytes.Repeat([]byte{byte(n)}, 150)
	}
	w.must(w.batch(b, all))
	first := w.packs()[0]
	w.must(w.raw.Delete(t.Context(), first))
	lost := 0
	for k, data := range all {
		got, err := b.Get(t.Context(), k)
		switch {
		case errors.Is(err, blob.ErrNotFound):
			w.must(b.Replace(t.Context(), k, data)) // as a mending does
			lost++
		case err != nil || !bytes.Equal(got, data):
			t.Errorf("%s: %v", k, err)
		}
	}
	if lost == 0 || lost == len(all) {
		t.Errorf("%d of %d were lost", lost, len(all))
	}
	w.tidy(b)
	w.want(b, all)
}

// The form must stay what it is: docs/design/image-format.md describes it.
func TestGoldenPack(t *testing.T) {
	raw := [idSize]byte{0: 0xa0, 15: 0xaf}
	frames := []frame{{digest.Of([]byte("one")), []byte("\x00one")}, {digest.Of([]byte("two")), []byte("\x00two two")}, {digest.Of(nil), []byte{0}}}
	got, spots := buildAs(raw, frames)
	path := filepath.Join("testdata", "pack.v1.hex")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v\n%s", err, hex.Dump(got))
	}
	id, read, err := open(want)
	if err != nil || id != raw || !slices.Equal(read, spots) {
		t.Fatalf("open = %x, %v, %v", id, read, err)
	}
	for i, f := range frames {
		if at := read[i]; at.id != f.id || !bytes.Equal(want[at.offset:at.offset+at.length], f.data) {
			t.Errorf("frame %d is elsewhere", i)
		}
	}
	for at := range want { // a changed frame is its chunk's matter: what is in it has a name
		bad := bytes.Clone(want)
		bad[at] ^= 1
		framed := at >= headLen && at < int(read[2].offset+read[2].length)
		if _, _, err := open(bad); (err == nil) != framed {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	for n := range want {
		if _, _, err := open(want[:n]); err == nil {
			t.Errorf("%d bytes of it are a pack", n)
		}
	}
}

// counter counts what is read of packs.
type counter struct {
	*blob.Bucket
	gets  atomic.Int64
	bytes atomic.Int64
}

func (c *counter) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	data, err := c.Bucket.GetRange(ctx, key, offset, length)
	c.gets.Add(1)
	c.bytes.Add(int64(len(data)))
	return data, err
}

// From front to back, by several at a time, costs few requests; here and there costs one each, and no byte more; what is verified is read anew.
func TestReadAhead(t *testing.T) {
	const n, size = 400, 10_000
	var below *counter
	w := newWorld(t, 1, func(c *Config) {
		below = &counter{Bucket: c.Bucket}
		c.Bucket, c.Target = blob.New(below), 4<<20
	})
	b, all := w.servers[0], map[string][]byte{}
	batch, err := b.Batch(t.Context())
	w.must(err)
	for i := range n {
		all[key(i)] = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2)
		w.must(batch.Put(t.Context(), key(i), all[key(i)]))
	}
	w.must(batch.Commit(t.Context()))
	get := func(ctx context.Context, i int) {
		t.Helper()
		got, err := b.Get(ctx, key(i))
		if err != nil || !bytes.Equal(got, all[key(i)]) {
			t.Errorf("chunk %d: %v", i, err)
		}
		clear(got) // whoever got it may do with it what it likes
	}
	for range 2 {
		below.gets.Store(0)
		next := make(chan int)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for i := range next {
					get(t.Context(), i)
				}
			})
		}
		for i := range n {
			next <- i
		}
		close(next)
		readers.Wait()
		if gets := below.gets.Load(); gets > 40 {
			t.Errorf("%d requests for 4 MB in a row", gets)
		}
	}
	w.later()
	below.gets.Store(0)
	below.bytes.Store(0)
	for i := range 20 {
		get(t.Context(), i*n/2%n+(i*37)%(n/2)) // to and fro
	}
	if gets, read := below.gets.Load(), below.bytes.Load(); gets != 20 || read != 20*size {
		t.Errorf("%d requests and %d bytes for 20 chunks here and there", gets, read)
	}
	below.gets.Store(0)
	for i := range 50 {
		get(blob.Itself(t.Context()), i)
	}
	if gets := below.gets.Load(); gets != 50 {
		t.Errorf("%d requests to verify 50", gets)
	}
}
