package packs

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/blobtest"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/internal/digest"
)

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
	frames := []struct {
		id   digest.Digest
		data []byte
	}{{digest.Of([]byte("one")), []byte("\x00one")}, {digest.Of([]byte("two")), []byte("\x00two two")}, {digest.Of(nil), []byte{0}}}
	var full draft
	for _, f := range frames {
		full.add(f.id, f.data)
	}
	full.finish([idSize]byte{1}) // a name that is not used, as when packs are swept
	got, spots := full.finish(raw), full.spots
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

// Over files each frame is read where it lies, into the reader's own memory.
func TestDirect(t *testing.T) {
	var below *counter
	w := newWorld(t, 1, func(c *Config) {
		below = &counter{Bucket: c.Bucket}
		*c = c.InFiles()
		c.Bucket, c.Target = blob.New(below), 1<<20
	})
	all := some(0, 40, 1000)
	w.must(w.batch(w.servers[0], all))
	for _, b := range []*blob.Bucket{w.servers[0], w.reading(func(c *ReaderConfig) { c.Bucket, c.Direct = blob.New(below), true })} {
		w.finds(b, some(0, 1, 1000))
		below.gets.Store(0)
		below.bytes.Store(0)
		for i := range 40 {
			if got, err := b.Get(t.Context(), key(i)); err != nil || !bytes.Equal(got, all[key(i)]) {
				t.Fatalf("chunk %d: %v", i, err)
			}
		}
		if gets, read := below.gets.Load(), below.bytes.Load(); gets != 40 || read != 40*1000 {
			t.Errorf("%d requests and %d bytes for 40 chunks of 1000", gets, read)
		}
	}
}
