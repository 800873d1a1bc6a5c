package lazy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
)

// disk is an image of random chunks and holes, and what fetches from it.
type disk struct {
	bytes   []byte
	entries []chunk.Entry
	fetched atomic.Int64
	bad     sync.Map // index of entries that cannot be had
	hold    chan struct{}
}

func newDisk(seed uint64, chunks int) *disk {
	r := rand.New(rand.NewPCG(seed, 1))
	d := &disk{}
	at := int64(0)
	for i := range chunks {
		if r.IntN(3) == 0 {
			at += int64(1+r.IntN(5)) * chunk.Block
		}
		n := (1 + r.IntN(4)) * chunk.Block
		if i == chunks-1 {
			n -= 512 // a disk need not end with a block
		}
		d.entries = append(d.entries, chunk.Entry{Offset: at, Length: n, ID: digest.Of([]byte{byte(i), byte(i >> 8)})})
		at += int64(n)
	}
	d.bytes = make([]byte, at)
	for _, e := range d.entries {
		for i := e.Offset; i < e.End(); i++ {
			d.bytes[i] = byte(1 + r.IntN(255)) // never zero, so that a hole in the file shows
		}
	}
	return d
}

var errBad = errors.New("the chunk is damaged")

func (d *disk) fetch(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
	d.fetched.Add(1)
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if _, bad := d.bad.Load(e.Offset); bad {
		return nil, errBad
	}
	return append(dst[:0], d.bytes[e.Offset:e.End()]...), nil // in memory that is used again
}

func (d *disk) config(dir string) Config {
	return Config{Path: filepath.Join(dir, "base.raw"), ID: digest.Of(d.bytes), Size: int64(len(d.bytes)), Entries: d.entries, Fetch: d.fetch}
}

func open(t testing.TB, c Config) *Base {
	t.Helper()
	if err := Create(c.Path, c.Size); err != nil {
		t.Fatal(err)
	}
	b, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fataler is a testing.T or a rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (d *disk) check(t fataler, b io.ReaderAt, off, n int64) {
	t.Helper()
	p := make([]byte, n)
	got, err := b.ReadAt(p, off)
	want := d.bytes[off:min(off+n, int64(len(d.bytes)))]
	if err != nil && !(errors.Is(err, io.EOF) && got == len(want)) {
		t.Fatalf("read %d+%d: %v", off, n, err)
	}
	if !bytes.Equal(p[:got], want) {
		t.Fatalf("read %d+%d: other bytes than the image's", off, n)
	}
}
