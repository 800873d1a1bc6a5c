// Package packs_test measures what pack objects are for: the same disk goes to a real S3 server and comes back, each chunk an object of its
// own and gathered in packs, in turns; and what larger compressed frames would save.
//
// It owns no assertion: the numbers are in RESULTS.md, made by
//
//	VITRINE_DISK=A.raw,B.raw go test -v -run '^$' -bench . -benchtime 3x -timeout 60m ./bench/packs
//
//	disk ─▶ image store ─▶ packs or not ─▶ s3blob ─▶ versitygw ─▶ medians
package packs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
	"vitrine/internal/blob/s3blob"
	"vitrine/internal/blob/s3blob/s3test"
	"vitrine/internal/digest"
	"vitrine/internal/image"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/packs"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
)

func disks(b *testing.B) []string {
	b.Helper()
	paths := strings.Split(os.Getenv("VITRINE_DISK"), ",")
	if paths[0] == "" {
		b.Skip("left out: VITRINE_DISK names no raw disks")
	}
	return paths
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type sample struct{ wall, cpu time.Duration }

// work is what is measured, in order.
var works = []string{"pack", "pack again", "read all by 1 MiB", "1000 reads of 4 KiB at random"}

// world is an image store over a bucket of the gateway.
type world struct {
	images *image.Store
	bucket *blob.Bucket // below
	ref    image.Ref
}

func newWorld(b *testing.B, gateway *s3test.Server, name string, packed bool) *world {
	b.Helper()
	server, err := s3blob.Dial(b.Context(), gateway.Config("bench"))
	if err != nil {
		b.Fatal(err)
	}
	driver, err := sqlstore.OpenSQLite(b.TempDir() + "/db")
	if err != nil {
		b.Fatal(err)
	}
	docs := store.New(driver)
	w := &world{bucket: server.Bucket(name)}
	seen := w.bucket
	if packed {
		if seen, err = packs.New(packs.Config{Bucket: seen, Store: docs, Region: "eastus"}); err != nil {
			b.Fatal(err)
		}
	}
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	w.images, err = image.New(image.Config{Store: docs, Dir: b.TempDir(), Sealer: sealer, Buckets: func(string) (*blob.Bucket, error) { return seen, nil }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.images.Close(); err != nil {
			b.Error(err)
		}
	})
	return w
}

func (w *world) run(b *testing.B, path, what string) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	if strings.HasPrefix(what, "pack") {
		w.ref, err = w.images.Pack(b.Context(), "eastus", "t1", f, st.Size(), nil)
		if err != nil {
			b.Fatal(err)
		}
		return
	}
	r, err := w.images.Open(b.Context(), "eastus", w.ref)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 1<<20)
	if what == works[3] {
		rng := rand.New(rand.NewPCG(3, 3))
		entries := r.Entries()
		for range 1000 {
			e := entries[rng.IntN(len(entries))]
			if _, err := r.ReadAt(p[:4096], e.Offset); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	for at := int64(0); ; {
		data, err := r.NextData(at)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		for at = data.Start; at < data.End; at += int64(len(p)) {
			if n, err := r.ReadAt(p, at); n == 0 && err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkObjectStore(b *testing.B) {
	path := disks(b)[0]
	gateway := s3test.Start(b, "bench")
	samples := map[string][]sample{}
	for n := 0; b.Loop(); n++ {
		for _, packed := range []bool{false, true} {
			w := newWorld(b, gateway, fmt.Sprintf("b%d-%v", n, packed), packed)
			for _, what := range works {
				start, used := time.Now(), cpu(b)
				w.run(b, path, what)
				k := fmt.Sprintf("%-32s packs %v", what, packed)
				samples[k] = append(samples[k], sample{time.Since(start), cpu(b) - used})
			}
			count, size := 0, int64(0)
			for i, err := range w.bucket.All(b.Context(), "") {
				if err != nil {
					b.Fatal(err)
				}
				count, size = count+1, size+i.Size
			}
			b.Logf("packs %v: %d objects, %d bytes", packed, count, size)
		}
	}
	for _, what := range works {
		for _, packed := range []bool{false, true} {
			k := fmt.Sprintf("%-32s packs %v", what, packed)
			list := samples[k]
			slices.SortFunc(list, func(a, b sample) int { return int(a.wall - b.wall) })
			wall := list[len(list)/2].wall
			slices.SortFunc(list, func(a, b sample) int { return int(a.cpu - b.cpu) })
			b.Logf("%s wall %7.0f ms  cpu %7.0f ms", k, wall.Seconds()*1000, list[len(list)/2].cpu.Seconds()*1000)
		}
	}
}

// frames is one way to compress: neighbouring new chunks share a frame of so many bytes.
type frames struct {
	size     int
	enc      *zstd.Encoder
	dec      *zstd.Decoder
	group    []byte
	count    int
	stored   int64
	in, outs time.Duration
}

func (f *frames) add(b *testing.B, plain []byte) {
	b.Helper()
	if len(f.group) > 0 && len(f.group)+len(plain) > f.size {
		f.flush(b)
	}
	f.group = append(f.group, plain...)
}

func (f *frames) flush(b *testing.B) {
	b.Helper()
	start := time.Now()
	out := f.enc.EncodeAll(f.group, nil)
	middle := time.Now()
	plain, err := f.dec.DecodeAll(out, nil)
	if err != nil || !bytes.Equal(plain, f.group) {
		b.Fatal(err)
	}
	f.in, f.outs = f.in+middle.Sub(start), f.outs+time.Since(middle)
	f.stored += int64(min(len(out), len(plain)) + 37)
	f.count++
	f.group = f.group[:0]
}

func BenchmarkFrames(b *testing.B) {
	var ways []*frames
	for _, size := range []int{0, 128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		enc, err1 := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(max(chunk.Max, size)))
		dec, err2 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err := errors.Join(err1, err2); err != nil {
			b.Fatal(err)
		}
		ways = append(ways, &frames{size: size, enc: enc, dec: dec})
	}
	seen := map[digest.Digest]bool{}
	for _, path := range disks(b) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		for len(data) > 0 {
			n, zero := chunk.Next(data, true)
			plain := data[:n]
			data = data[n:]
			if id := digest.Of(plain); !zero && !seen[id] {
				seen[id] = true
				for _, f := range ways {
					f.add(b, plain)
				}
			}
		}
		for _, f := range ways {
			f.flush(b)
			b.Logf("%s: frames of %4d KiB: %6d, stored %.3f, compress %6.1f s, decompress %.2f ms a frame", path, f.size>>10, f.count,
				float64(f.stored)/float64(ways[0].stored), f.in.Seconds(), f.outs.Seconds()*1000/float64(f.count))
		}
	}
}
