package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/packs"
)

func TestRoundTrip(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int{512, 4096, 4096 + 512, segment - 512, segment, 3*segment + 1536, 9 << 20} {
		want := disk(uint64(size), size)
		want[size-1] = 1 // the last chunk.Block is not whole: it must be kept all the same
		var last int64
		ref, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(want), int64(size), func(done int64) {
			if done < last {
				t.Errorf("progress fell from %d to %d", last, done)
			}
			last = done
		})
		if err != nil || last != int64(size) || ref.Size != int64(size) {
			t.Fatalf("Pack = %v, %v, progress %d of %d", ref, err, last, size)
		}
		r, err := w.Open(t.Context(), "eastus", ref)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, r, r.Size()), want) {
			t.Fatalf("size %d: other bytes came back", size)
		}
		rng := rand.New(rand.NewPCG(7, 7))
		for range 200 {
			off := rng.IntN(size)
			p := make([]byte, 1+rng.IntN(100_000))
			n, err := r.ReadAt(p, int64(off))
			wantN := min(len(p), size-off)
			if n != wantN || (n < len(p)) != errors.Is(err, io.EOF) || !bytes.Equal(p[:n], want[off:off+n]) {
				t.Fatalf("size %d: ReadAt(%d, %d) = %d, %v", size, len(p), off, n, err)
			}
		}
	}
}

// How a source is laid out must not show in the name.
func TestSameNameHoweverRead(t *testing.T) {
	w := newWorld(t)
	want := disk(3, 20<<20)
	clear(want[5<<20 : 9<<20])
	dense := w.pack(t, "eastus", want)
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; at < len(want); at += 512 { // only what is not zero is written: holes where the file system can
		if p := want[at : at+512]; !chunk.IsZero(p) {
			if _, err := f.WriteAt(p, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Truncate(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	sparse, err := w.Pack(t.Context(), "westus", dom, f, int64(len(want)), nil)
	if err != nil || sparse != dense {
		t.Errorf("sparse file: %v, %v, want %v", sparse, err, dense)
	}
	r, err := w.Open(t.Context(), "eastus", dense)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Pack(t.Context(), "eastus", dom, r, r.Size(), nil)
	if err != nil || again != dense {
		t.Errorf("packed from its own reader: %v, %v", again, err)
	}
}

func TestDedup(t *testing.T) {
	w := newWorld(t)
	a := disk(4, 16<<20)
	w.pack(t, "eastus", a)
	n := w.count(t, "eastus", "chunks/")
	w.pack(t, "eastus", a)
	if again := w.count(t, "eastus", "chunks/"); again != n {
		t.Errorf("the same disk again made %d chunks of %d", again, n)
	}
	// The same content moved by blocks shares nearly everything; moved by bytes it cannot.
	moved := append(bytes.Repeat([]byte{9}, 5*chunk.Block), a[:len(a)-5*chunk.Block]...)
	w.pack(t, "eastus", moved)
	if fresh := w.count(t, "eastus", "chunks/") - n; fresh > n/10 {
		t.Errorf("moved by 5 blocks: %d new chunks beside %d", fresh, n)
	}
	if _, err := w.Pack(t.Context(), "eastus", "tenant-2", bytes.NewReader(a), int64(len(a)), nil); err != nil {
		t.Fatal(err)
	}
	if other := w.count(t, "eastus", "chunks/tenant-2/"); other != n {
		t.Errorf("another domain has %d chunks, want its own %d", other, n)
	}
}

func TestZerosAreFree(t *testing.T) {
	w := newWorld(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 8 << 40
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	ref, err := w.Pack(t.Context(), "eastus", dom, f, size, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.pack(t, "eastus", make([]byte, 1<<20))
	if n := w.count(t, "eastus", "chunks/"); n != 0 {
		t.Errorf("zeros made %d chunks", n)
	}
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.Ranges(t.Context(), 0, size); err != nil || len(list) != 0 {
		t.Errorf("Ranges = %v, %v", list, err)
	}
}

func TestPackRefuses(t *testing.T) {
	w := newWorld(t)
	for name, f := range map[string]func() error{
		"domain":   func() error { _, err := w.Pack(t.Context(), "eastus", "../x", nil, 512, nil); return err },
		"region":   func() error { _, err := w.Pack(t.Context(), "../x", dom, nil, 512, nil); return err },
		"size":     func() error { _, err := w.Pack(t.Context(), "eastus", dom, nil, 513, nil); return err },
		"no size":  func() error { _, err := w.Pack(t.Context(), "eastus", dom, nil, 0, nil); return err },
		"too much": func() error { _, err := w.Pack(t.Context(), "eastus", dom, nil, MaxSize+512, nil); return err },
		"ref": func() error {
			_, err := w.Open(t.Context(), "eastus", Ref{Domain: dom, ID: "x", Size: 512})
			return err
		},
		"upload": func() error { return w.CreateUpload("../x", 512) },
	} {
		if err := f(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := w.Pack(t.Context(), "eastus", dom, bytes.NewReader(make([]byte, 512)), 1024, nil); err == nil {
		t.Error("a source that ends early was packed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Pack(ctx, "eastus", dom, bytes.NewReader(disk(1, 9<<20)), 9<<20, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Pack = %v", err)
	}
	if n := w.count(t, "eastus", "manifests/"); n != 0 {
		t.Errorf("%d manifests after failures", n)
	}
}

// A flipped byte anywhere in any object is found, and named.
func TestCorruption(t *testing.T) {
	w := newWorld(t)
	want := disk(5, 2<<20)
	ref := w.pack(t, "eastus", want)
	w.pin(t, ref, "eastus", "/holder")
	b := w.buckets["eastus"]
	for _, prefix := range []string{"chunks/", "manifests/"} {
		for info, err := range b.All(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			good, err := b.Get(t.Context(), info.Key)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, 1, len(good) / 2, len(good) - 1} {
				bad := bytes.Clone(good)
				bad[at] ^= 0x40
				w.replace(t, info.Key, bad)
				w.wantCorrupt(t, ref, info.Key)
			}
			w.replace(t, info.Key, good[:len(good)-1])
			w.wantCorrupt(t, ref, info.Key)
			w.replace(t, info.Key, good)
		}
	}
	w.forgetAll(ref)
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil || !bytes.Equal(read(t, r, ref.Size), want) {
		t.Errorf("after repair: %v", err)
	}
}

func (w *world) replace(t *testing.T, key string, data []byte) {
	t.Helper()
	b := w.buckets["eastus"]
	if err := b.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func (w *world) forgetAll(ref Ref) {
	w.cache.Forget("eastus", ref)
	w.cache.ForgetChunks()
}

func (w *world) wantCorrupt(t *testing.T, ref Ref, key string) {
	t.Helper()
	w.forgetAll(ref)
	r, err := w.Open(t.Context(), "eastus", ref)
	if err == nil {
		_, err = r.ReadAt(make([]byte, ref.Size), 0)
	}
	var c *CorruptError
	if !errors.As(err, &c) || c.Key != key || c.Region != "eastus" {
		t.Fatalf("damage of %s: %v", key, err)
	}
	if _, err := w.Base(t.Context(), "eastus", ref); !errors.As(err, &c) || c.Key != key {
		t.Fatalf("base on damage of %s: %v", key, err)
	}
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); !errors.As(err, &c) {
		t.Fatalf("replica of damage of %s: %v", key, err)
	}
	if n := w.count(t, "westus", "manifests/"); n != 0 {
		t.Fatalf("a damaged manifest was replicated")
	}
	for i, err := range w.buckets["westus"].All(t.Context(), "") { // what came over before the fault
		if err != nil {
			t.Fatal(err)
		}
		if err := w.buckets["westus"].Delete(t.Context(), i.Key); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReplicate(t *testing.T) {
	w := newWorld(t)
	want := disk(6, 8<<20)
	ref := w.pack(t, "eastus", want)
	if ok, err := w.Has(t.Context(), "westus", ref); ok || err != nil {
		t.Fatalf("Has before = %v, %v", ok, err)
	}
	// One chunk is there already: it must not travel.
	var first blob.Info
	for i, err := range w.buckets["eastus"].All(t.Context(), "chunks/") {
		if err != nil {
			t.Fatal(err)
		}
		first = i
		break
	}
	if _, err := w.buckets["westus"].Put(t.Context(), first.Key, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	var done, total int64
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", func(d, n int64) { done, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if done != total || total == 0 {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if kept, err := w.buckets["westus"].Get(t.Context(), first.Key); err != nil || string(kept) != "kept" {
		t.Errorf("a present chunk was written again: %v", err)
	}
	if a, b := w.count(t, "eastus", ""), w.count(t, "westus", ""); a != b {
		t.Errorf("%d objects there, %d here", b, a)
	}
	if ok, err := w.Has(t.Context(), "westus", ref); !ok || err != nil {
		t.Errorf("Has = %v, %v", ok, err)
	}
	if err := w.Replicate(t.Context(), Ref{Domain: dom, ID: strings.Repeat("0", 64), Size: 512}, "eastus", "westus", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("Replicate of nothing = %v", err)
	}
}

// A replication that was cut off goes on with what had arrived, and keeps below its rate.
func TestReplicateGoesOn(t *testing.T) {
	const rate = 2 << 20
	w := newWorld(t, func(c *Config) { c.Rate = rate })
	ref := w.pack(t, "eastus", disk(12, 3<<20))
	all := w.count(t, "eastus", "chunks/")
	ctx, cancel := context.WithCancel(t.Context())
	err := w.Replicate(ctx, ref, "eastus", "westus", func(done, total int64) {
		if done > total/3 {
			cancel()
		}
	})
	there := w.count(t, "westus", "chunks/")
	if !errors.Is(err, context.Canceled) || there < all/4 || there == all {
		t.Fatalf("cut off: %v, %d of %d chunks are there", err, there, all)
	}
	if n := w.count(t, "westus", "manifests/"); n != 0 {
		t.Error("half a disk is registered")
	}
	var before, bytes int64
	for _, region := range []string{"westus", "eastus"} {
		for i, err := range w.buckets[region].All(t.Context(), "chunks/") {
			if err != nil {
				t.Fatal(err)
			}
			if region == "westus" {
				before += i.Size
			} else {
				bytes += i.Size
			}
		}
	}
	start := time.Now()
	if err := w.Replicate(t.Context(), ref, "eastus", "westus", nil); err != nil {
		t.Fatal(err)
	}
	least := time.Duration(float64(bytes-before) / rate * float64(time.Second))
	if took := time.Since(start); took < least-200*time.Millisecond {
		t.Errorf("%d bytes in %v, faster than the rate (%v)", bytes-before, took, least)
	}
	w.wantReadable(t, "westus", ref, disk(12, 3<<20))
}

func TestBase(t *testing.T) {
	w := newWorld(t)
	want := disk(8, 8<<20)
	ref := w.pack(t, "eastus", want)
	var wg sync.WaitGroup
	paths := make([]string, 8)
	for i := range paths {
		wg.Go(func() {
			var err error
			if paths[i], err = w.Base(t.Context(), "eastus", ref); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(paths[0])
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("base: %v", err)
	}
	st, err := os.Stat(paths[0])
	if err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if half, err := os.ReadDir(w.halfDir()); err != nil || len(half) != 0 {
		t.Errorf("left over: %v, %v", half, err)
	}
}

func TestFilesFromEndToEnd(t *testing.T) {
	root := t.TempDir()
	b, err := fileblob.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.buckets["eastus"] = laid(t, b, w.Store.Store, "eastus")
	want := disk(9, 6<<20)
	ref := w.pack(t, "eastus", want)
	r, err := w.Open(t.Context(), "eastus", ref)
	if err != nil || !bytes.Equal(read(t, r, ref.Size), want) {
		t.Fatalf("from files: %v", err)
	}
}

// A data folder of before chunks were gathered in packs: what is stored is read, counts as stored, and is collected.
func TestFromFilesToPacks(t *testing.T) {
	b, err := fileblob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, noGrace)
	first := w.Store
	defer func() { w.Store = first }() // which the world closes
	w.buckets["eastus"] = b
	old := disk(9, 6<<20)
	ref := w.pack(t, "eastus", old)
	w.pin(t, ref, "eastus", "/old")
	loose := w.count(t, "eastus", "chunks/")

	next, err := packs.New(packs.Config{Bucket: b, Store: w.Store.Store, Region: "eastus"}.InFiles())
	if err != nil {
		t.Fatal(err)
	}
	w.buckets["eastus"] = next
	// A server of its own, as after an update: nothing of it is remembered.
	again, err := New(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	w.Store = again
	w.wantReadable(t, "eastus", ref, old)
	fresh := slices.Concat(old[:3<<20], disk(10, 3<<20))
	both := w.pack(t, "eastus", fresh)
	w.pin(t, both, "eastus", "/new")
	if n := w.count(t, "eastus", "chunks/"); n <= loose || n >= 2*loose {
		t.Errorf("%d chunks, %d of them from before: half of them are the same", n, loose)
	}
	if n := count(t, b, "chunks/"); n != loose {
		t.Errorf("%d chunks are files of their own, %d before", n, loose)
	}
	if n := count(t, b, "packs/"); n != 1 {
		t.Errorf("%d packs, want what is new in one", n)
	}
	w.wantReadable(t, "eastus", both, fresh)
	w.unpin(t, ref, "eastus", "/old")
	w.collect(t, "eastus")
	if n := count(t, b, "chunks/"); n == 0 || n >= loose {
		t.Errorf("%d of %d files are left: one half is needed", n, loose)
	}
	w.wantReadable(t, "eastus", both, fresh)
	w.unpin(t, both, "eastus", "/new")
	w.collect(t, "eastus")
	if n := count(t, b, ""); n != 0 {
		t.Errorf("%d objects are left of nothing", n)
	}
}

func count(t *testing.T, b *blob.Bucket, prefix string) (n int) {
	t.Helper()
	for _, err := range b.All(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkPack(b *testing.B) {
	for _, kind := range []string{"memory", "files"} {
		b.Run(kind, func(b *testing.B) {
			d := disk(11, 256<<20)
			b.SetBytes(int64(len(d)))
			for b.Loop() {
				w := newWorld(b)
				if kind == "files" {
					bucket, err := fileblob.Open(b.TempDir())
					if err != nil {
						b.Fatal(err)
					}
					w.buckets["eastus"] = bucket
				}
				w.pack(b, "eastus", d)
			}
		})
	}
}
