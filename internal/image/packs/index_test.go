package packs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

// reading gives a bucket that reads a world's packs without its store.
func (w *world) reading(change ...func(*ReaderConfig)) *blob.Bucket {
	w.t.Helper()
	c := ReaderConfig{Bucket: w.raw, pause: time.Millisecond, old: time.Hour}
	for _, f := range change {
		f(&c)
	}
	b, err := NewReader(c)
	w.must(err)
	return b
}

// finds checks that each chunk is read, whole and in part.
func (w *world) finds(b *blob.Bucket, all map[string][]byte) {
	w.t.Helper()
	for k, data := range all {
		got, err := b.Get(w.t.Context(), k)
		if err != nil || !bytes.Equal(got, data) {
			w.t.Fatalf("%s: %.20q, %v, want %.20q", k, got, err, data)
		}
		part, err := b.GetRange(w.t.Context(), k, 1, int64(len(data))-1)
		if err != nil || !bytes.Equal(part, data[1:]) {
			w.t.Fatalf("part of %s: %.20q, %v", k, part, err)
		}
		if i, err := b.Stat(w.t.Context(), k); err != nil || i.Size != int64(len(data)) {
			w.t.Fatalf("Stat of %s: %+v, %v", k, i, err)
		}
	}
}

func some(from, to, size int) map[string][]byte {
	all := map[string][]byte{}
	for n := from; n < to; n++ {
		all[key(n)] = bytes.Repeat([]byte{byte(n), byte(n >> 8)}, size/2)
	}
	return all
}

func TestReaderFinds(t *testing.T) {
	run := func(t *testing.T, raw *blob.Bucket) {
		t.Helper()
		w := newWorldOn(t, raw, 1)
		all := some(0, 200, 150)
		w.must(w.batch(w.servers[0], all))
		b := w.reading()
		w.finds(b, all)
		_, err := b.GetRange(t.Context(), key(1), 100, 51)
		if !errors.Is(err, blob.ErrRange) {
			t.Errorf("past the end: %v", err)
		}
		if _, err := b.Get(t.Context(), chunk.Object("tenant-2", digest.Of([]byte{1, 0}))); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("another domain's: %v", err)
		}
		more := some(200, 220, 100)
		w.must(w.batch(w.servers[0], more))
		w.finds(b, more) // it looks when one is missing
	}
	t.Run("memory", func(t *testing.T) { run(t, memblob.New()) })
	t.Run("server", func(t *testing.T) {
		server, err := s3blob.Dial(t.Context(), s3test.Start(t, "images").Config("images"))
		if err != nil {
			t.Fatal(err)
		}
		run(t, server.Bucket("eastus"))
	})
}

// Ten thousand chunks cost some requests for the packs, and then one each at most; several readers look once.
func TestReaderManyChunks(t *testing.T) {
	w := newWorld(t, 1, func(c *Config) { c.Target = 64 << 10 })
	all := some(0, 10_000, 100)
	w.must(w.batch(w.servers[0], all))
	below := &counter{Bucket: w.raw}
	b := w.reading(func(c *ReaderConfig) { c.Bucket = blob.New(below) })
	keys, packs := slices.Sorted(maps.Keys(all)), int64(len(w.packs()))
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			if got, err := b.Get(t.Context(), keys[0]); err != nil || !bytes.Equal(got, all[keys[0]]) {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	if n := below.gets.Load(); n > packs+8 {
		t.Errorf("%d requests for the first chunk in %d packs", n, packs)
	}
	below.gets.Store(0)
	for _, k := range keys {
		if got, err := b.Get(t.Context(), k); err != nil || !bytes.Equal(got, all[k]) {
			t.Fatalf("%s: %v", k, err)
		}
	}
	if n := below.gets.Load(); n > 10_000 {
		t.Errorf("%d requests for 10,000 chunks", n)
	}
}

// Whoever waits for a chunk of a young pack does not wait for the directories of the others, and who needs those does not wait for another look.
func TestReaderYoungFirst(t *testing.T) {
	w := newWorld(t, 1)
	for n := range 32 {
		w.must(w.batch(w.servers[0], some(10*n, 10*n+10, 100)))
	}
	below := &counter{Bucket: w.raw}
	b := w.reading(func(c *ReaderConfig) { c.Bucket, c.atOnce, c.pause, c.old = blob.New(below), 4, time.Hour, time.Hour })
	w.finds(b, some(319, 320, 100))
	if n := below.gets.Load(); n > 4+4 {
		t.Errorf("%d requests for a chunk in the youngest of 32 packs", n)
	}
	w.finds(b, some(0, 320, 100))
	below.gets.Store(0)
	w.finds(b, some(0, 1, 100))
	if n := below.gets.Load(); n > 2 {
		t.Errorf("%d requests for a chunk that was found before", n)
	}
}

// Loose chunks are found without a look for each, also among packed ones, and other objects go through.
func TestReaderLooseChunks(t *testing.T) {
	w := newWorld(t, 1)
	loose, packed := some(0, 50, 60), some(50, 100, 60)
	for k, data := range loose {
		_, err := w.raw.Put(t.Context(), k, data)
		w.must(err)
	}
	w.must(w.batch(w.servers[0], packed))
	_, err := w.raw.Put(t.Context(), "manifests/tenant-1/x", []byte("a manifest"))
	w.must(err)
	b := w.reading(func(c *ReaderConfig) { c.pause = time.Hour }) // a second look would take that long
	w.finds(b, loose)
	w.finds(b, packed)
	w.finds(b, map[string][]byte{"manifests/tenant-1/x": []byte("a manifest")})
}

// meddled is a bucket in which something happens before a list or a read.
type meddled struct {
	*blob.Bucket
	list func()
	get  func(key string) error
}

func (m meddled) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	infos, err := m.Bucket.List(ctx, prefix, after, limit)
	if m.list != nil && strings.HasPrefix(prefix, "packs/") {
		m.list()
	}
	return infos, err
}

func (m meddled) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if m.get != nil {
		if err := m.get(key); err != nil {
			return nil, err
		}
	}
	return below(ctx, m.Bucket, key, offset, length, nil)
}

// A collection rewrites the packs, again and again: between two reads, between a list and the directories, between those and the chunk.
func TestReaderWhilePacksAreRewritten(t *testing.T) {
	w := newWorld(t, 1, func(c *Config) { c.MinLive = 1 })
	s, all, waste := w.servers[0], some(0, 100, 150), 1000
	w.must(w.batch(s, all))
	rewrite := func() {
		one := some(waste, waste+60, 150) // they share packs with those that live, once joined
		waste += 60
		w.must(w.batch(s, one))
		w.must(s.DeleteMany(t.Context(), slices.Collect(maps.Keys(one))))
		for k := range all { // a new pack of one, which is joined with others
			w.must(s.Replace(t.Context(), k, all[k]))
		}
		before := w.packs()
		w.tidy(s)
		for _, k := range w.packs() {
			if slices.Contains(before, k) && len(before) < 20 {
				t.Fatalf("%s was not rewritten", k)
			}
		}
	}
	var mu sync.Mutex // several directories are read at once
	lists, gets := 0, 0
	b := w.reading(func(c *ReaderConfig) {
		c.Bucket = blob.New(meddled{w.raw, func() {
			mu.Lock()
			defer mu.Unlock()
			if lists++; lists%2 == 1 {
				rewrite()
			}
		}, func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if gets++; gets%61 == 0 {
				rewrite()
			}
			return nil
		}})
	})
	for range 3 {
		for k, data := range all {
			if got, err := b.Get(blob.Itself(t.Context()), k); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s: %v", k, err)
			}
		}
		mu.Lock()
		rewrite()
		mu.Unlock()
	}
	if lists < 6 {
		t.Errorf("%d looks: little was rewritten under it", lists)
	}
}

// A list that is read page by page may show neither the pack that a chunk left nor the one that it moved to.
func TestReaderTornList(t *testing.T) {
	w := newWorld(t, 1)
	all := some(0, 20, 150)
	w.must(w.batch(w.servers[0], all))
	var lists atomic.Int64
	b := w.reading(func(c *ReaderConfig) { c.Bucket = blob.New(torn{w.raw, &lists}) })
	w.finds(b, all)
}

type torn struct {
	*blob.Bucket
	lists *atomic.Int64
}

func (b torn) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return below(ctx, b.Bucket, key, offset, length, nil)
}

func (b torn) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	if strings.HasPrefix(prefix, "packs/") && b.lists.Add(1) == 1 {
		return nil, nil
	}
	return b.Bucket.List(ctx, prefix, after, limit)
}

// Those who miss something at the same time look once; a look after that waits; what nobody asks for is forgotten.
func TestReaderLooksTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		all := some(0, 20, 150)
		w.must(w.batch(w.servers[0], all))
		lists := 0
		b, err := NewReader(ReaderConfig{Bucket: blob.New(meddled{Bucket: w.raw, list: func() {
			lists++
			time.Sleep(time.Second / 4)
		}})})
		w.must(err)
		var readers sync.WaitGroup
		for k, data := range all {
			readers.Go(func() { w.finds(b, map[string][]byte{k: data}) })
		}
		readers.Wait()
		if lists != 1 {
			t.Errorf("%d lists for %d chunks that are looked for at once", lists, len(all))
		}
		for n := range 5 {
			readers.Go(func() {
				if _, err := b.Get(t.Context(), key(600+n)); !errors.Is(err, blob.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		if lists != 3 {
			t.Errorf("%d lists for five that are missing", lists-1)
		}
		lists = 1
		began := time.Now()
		for range 3 {
			if _, err := b.Get(t.Context(), key(500)); !errors.Is(err, blob.ErrNotFound) {
				t.Error(err)
			}
		}
		if took := time.Since(began); lists != 7 || took < 6*time.Second {
			t.Errorf("%d lists in %v", lists-1, took)
		}
		time.Sleep(2 * idleTime)
		w.finds(b, all)
		if lists != 8 {
			t.Errorf("%d lists: what was known long ago is remembered", lists)
		}
	})
}

// What lay in a pack that is missing is missing, until it is mended; the rest is found.
func TestReaderMissingPack(t *testing.T) {
	w := newWorld(t, 1)
	all := some(0, 100, 150)
	w.must(w.batch(w.servers[0], all))
	b := w.reading()
	_, err := b.Stat(t.Context(), key(0)) // it knows where all lie, and has read none
	w.must(err)
	w.must(w.raw.Delete(t.Context(), w.packs()[0]))
	lost := map[string][]byte{}
	for k, data := range all {
		got, err := b.Get(t.Context(), k)
		switch {
		case errors.Is(err, blob.ErrNotFound):
			lost[k] = data
		case err != nil || !bytes.Equal(got, data):
			t.Fatalf("%s: %v", k, err)
		}
	}
	if len(lost) == 0 || len(lost) == len(all) {
		t.Fatalf("%d of %d are missing", len(lost), len(all))
	}
	for k, data := range lost {
		w.must(w.servers[0].Replace(t.Context(), k, data))
	}
	w.finds(b, all)
}

// A chunk that was damaged and is mended is read from the pack that mends it, also when the other one was known first.
func TestReaderSeesMended(t *testing.T) {
	w := newWorld(t, 1)
	w.must(w.batch(w.servers[0], some(0, 20, 150)))
	b := w.reading(func(c *ReaderConfig) { c.old = time.Nanosecond })
	w.finds(b, some(0, 20, 150))
	mended := map[string][]byte{key(3): []byte("mended")}
	w.must(w.servers[0].Replace(t.Context(), key(3), mended[key(3)]))
	w.finds(b, mended)
	w.finds(w.reading(), mended)
}

// forge puts a pack whose foot is right, whatever the rest says.
func (w *world) forge(name string, count int, directory []byte, frames []byte) {
	w.t.Helper()
	raw, ok := packID(dom, packPrefix(dom)+name)
	if !ok {
		w.t.Fatal(name)
	}
	b := append(append(appendHead(nil, raw, count), frames...), directory...)
	sum := sumOf(b[:headLen], directory)
	b = binary.BigEndian.AppendUint32(b, uint32(len(directory)))
	_, err := w.raw.Put(w.t.Context(), packPrefix(dom)+name, append(append(b, sum[:]...), magic...))
	w.must(err)
}

func line(n int, length uint32) []byte {
	id := sha256.Sum256([]byte{byte(n), byte(n >> 8)})
	return binary.BigEndian.AppendUint32(id[:], length)
}

// Packs that lie are passed over and those beside them read.
func TestReaderHostileDirectories(t *testing.T) {
	w := newWorld(t, 1)
	all := some(0, 40, 150)
	w.must(w.batch(w.servers[0], all))
	good, err := w.raw.Get(t.Context(), w.packs()[0])
	w.must(err)
	name := func(n int) string { return fmt.Sprintf("%032x", n) }
	w.forge(name(1), 1, line(900, 1000), make([]byte, 10))                                 // past the end
	w.forge(name(2), 2, append(line(900, 1<<32-1), line(901, 1<<32-1)...), []byte("data")) // a sum that wraps
	w.forge(name(3), 1, line(900, 3), []byte("longer"))                                    // not up to the directory
	w.forge(name(4), 1, line(900, maxFrame+1), make([]byte, maxFrame+1))                   // more than a chunk can have
	w.forge(name(5), 7, line(900, 4), []byte("data"))                                      // another count in the head
	w.forge(name(6), maxFrames+1, bytes.Repeat(line(900, 0), maxFrames+1), nil)            // more than a pack can have
	for n, data := range map[int][]byte{7: good, 8: good[:len(good)/2], 9: good[len(good)/2:], 10: nil, 11: bytes.Repeat([]byte{0xff}, 500)} {
		_, err := w.raw.Put(t.Context(), packPrefix(dom)+name(n), data) // 7: a pack under another name
		w.must(err)
	}
	for _, key := range []string{packPrefix(dom) + "x", packPrefix(dom) + "deeper/" + name(1)} {
		_, err := w.raw.Put(t.Context(), key, good)
		w.must(err)
	}
	b := w.reading()
	w.finds(b, all)
	for n := range 2 {
		if _, err := b.Get(t.Context(), key(900+n)); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("what a lying pack has: %v", err)
		}
	}
	for at := range good { // no byte of head, directory and foot may be another; the head is the key's business
		bad := bytes.Clone(good)
		bad[at] ^= 1
		one := memblob.New()
		_, err := one.Put(t.Context(), w.packs()[0], bad)
		w.must(err)
		raw := [idSize]byte(good[headLen-idSize:])
		_, want, err := open(good)
		w.must(err)
		got, err := directory(t.Context(), one, raw, w.packs()[0], int64(len(bad)))
		if end := want[len(want)-1]; at < int(end.offset+end.length) {
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("byte %d: %v", at, err)
			}
		} else if !errors.Is(err, errPack) {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

// A directory longer than the first guess is read whole.
func TestReaderLongDirectory(t *testing.T) {
	w := newWorld(t, 1, func(c *Config) { c.Target = 1 << 20 })
	all := some(0, 5000, 2)
	w.must(w.batch(w.servers[0], all))
	if n := len(w.packs()); n != 1 {
		t.Fatalf("%d packs", n)
	}
	w.finds(w.reading(), all)
}

// A store that does not answer is no damage, and what was known stays known.
func TestReaderStoreAway(t *testing.T) {
	w := newWorld(t, 1)
	all := some(0, 40, 150)
	w.must(w.batch(w.servers[0], all))
	var away atomic.Bool
	b := w.reading(func(c *ReaderConfig) {
		c.Bucket = blob.New(meddled{Bucket: w.raw, get: func(string) error {
			if away.Load() {
				return blob.ErrAway
			}
			return nil
		}})
	})
	away.Store(true)
	if _, err := b.Get(t.Context(), key(1)); !errors.Is(err, blob.ErrAway) {
		t.Errorf("with the store away: %v", err)
	}
	away.Store(false)
	w.finds(b, all)
}

func TestReaderBounds(t *testing.T) {
	w := newWorld(t, 1)
	w.must(w.batch(w.servers[0], some(0, 100, 150)))
	b := w.reading(func(c *ReaderConfig) { c.most = 99 })
	if _, err := b.Get(t.Context(), key(1)); !errors.Is(err, blob.ErrAway) {
		t.Errorf("more chunks than may be located: %v", err)
	}
	w.finds(w.reading(func(c *ReaderConfig) { c.most, c.idle = 100, time.Nanosecond }), some(0, 100, 150))
}

func TestReaderOnlyReads(t *testing.T) {
	b := newWorld(t, 1).reading()
	_, put := b.Put(t.Context(), key(1), nil)
	_, batch := b.Batch(t.Context())
	_, list := b.List(t.Context(), "chunks/", "", 1)
	for what, err := range map[string]error{"put": put, "replace": b.Replace(t.Context(), key(1), nil), "delete": b.Delete(t.Context(), key(1)), "batch": batch, "list": list} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
