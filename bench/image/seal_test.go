// Package image_test measures what encryption costs the image store: the same disk is packed and read with and without it, in turns.
//
// It owns no assertion: the numbers are in RESULTS.md, made by
//
//	go test -run '^$' -bench . -benchtime 9x ./bench/image
//
// The machine may be busy with other work, so each figure is a median, and the CPU time of the process stands beside the wall's:
//
//	disk ─▶ plain store, sealed store, plain store, … ─▶ medians ─▶ sealed / plain
package image_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vitrine/internal/blob"
	"vitrine/internal/blob/fileblob"
	"vitrine/internal/image"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const size = 96 << 20

// disk is a third noise, a third text, a third zeros, in stretches as files lie in an image.
func disk() []byte {
	r := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, size)
	words := []string{"lorem ", "ipsum ", "dolor ", "sit ", "amet ", "consectetur ", "adipiscing "}
	for at := 0; at < size; {
		end := min(size, at+4096*(1+r.IntN(200)))
		switch r.IntN(3) {
		case 0:
			for i := at; i < end; i++ {
				b[i] = byte(r.Uint32())
			}
		case 1:
			for at < end {
				at += copy(b[at:end], words[r.IntN(len(words))])
			}
		}
		at = end
	}
	return b
}

type sample struct{ wall, cpu time.Duration }

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// open makes an empty store on files.
func open(b *testing.B, sealed bool) *image.Store {
	b.Helper()
	bucket, err := fileblob.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	c := image.Config{Dir: b.TempDir(), Store: store.New(memstore.Open()), Buckets: func(string) (*blob.Bucket, error) { return bucket, nil }}
	if sealed {
		if c.Sealer, err = seal.New(make([]byte, seal.KeySize)); err != nil {
			b.Fatal(err)
		}
	}
	s, err := image.New(c)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func stored(b *testing.B, s *image.Store) (n float64) {
	b.Helper()
	bucket, err := s.Buckets("eastus")
	if err != nil {
		b.Fatal(err)
	}
	for i, err := range bucket.All(b.Context(), "") {
		if err != nil {
			b.Fatal(err)
		}
		n += float64(i.Size)
	}
	return n
}

func BenchmarkSealing(b *testing.B) {
	d := disk()
	work := []string{"pack", "pack-again", "stream-1MiB", "random-4KiB"}
	samples := map[string]*[2][]sample{}
	for _, w := range work {
		samples[w] = &[2][]sample{}
	}
	var bytesStored [2]float64
	for b.Loop() {
		for kind, sealed := range []bool{false, true} {
			s := open(b, sealed)
			timed := func(what string, f func() error) {
				wall, used := time.Now(), cpu(b)
				if err := f(); err != nil {
					b.Fatal(err)
				}
				samples[what][kind] = append(samples[what][kind], sample{time.Since(wall), cpu(b) - used})
			}
			var ref image.Ref
			pack := func() (err error) {
				ref, err = s.Pack(b.Context(), "eastus", "t", bytes.NewReader(d), size, nil)
				return err
			}
			timed("pack", pack)
			bytesStored[kind] = stored(b, s)
			timed("pack-again", pack)
			timed("stream-1MiB", func() error { return stream(b, s, ref) })
			timed("random-4KiB", func() error { return random(b, s, ref) })
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, w := range work {
		for kind, name := range []string{"plain", "sealed"} {
			b.ReportMetric(median(samples[w][kind], func(s sample) time.Duration { return s.cpu }), w+"-"+name+"-cpu-ms")
			b.ReportMetric(median(samples[w][kind], func(s sample) time.Duration { return s.wall }), w+"-"+name+"-wall-ms")
		}
	}
	b.ReportMetric(bytesStored[1]/bytesStored[0], "stored-sealed/plain")
	b.ReportMetric(0, "ns/op")
}

func median(list []sample, of func(sample) time.Duration) float64 {
	var values []time.Duration
	for _, s := range list {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return float64(values[len(values)/2]) / float64(time.Millisecond)
}

func stream(b *testing.B, s *image.Store, ref image.Ref) error {
	r, err := s.Open(b.Context(), "eastus", ref)
	if err != nil {
		return err
	}
	p := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(p)) {
		if _, err := r.ReadAt(p, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// random reads 500 places; few are in chunks that an earlier one left in memory.
func random(b *testing.B, s *image.Store, ref image.Ref) error {
	r, err := s.Open(b.Context(), "eastus", ref)
	if err != nil {
		return err
	}
	rng, p := rand.New(rand.NewPCG(2, 2)), make([]byte, 4096)
	for range 500 {
		if _, err := r.ReadAt(p, rng.Int64N(size/4096)*4096); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
