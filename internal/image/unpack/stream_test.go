package unpack

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"vitrine/internal/image/chunk"
	"vitrine/internal/image/extent"
)

// memoryOf is a Source of a disk in memory, which counts what it lends.
type memoryOf struct {
	disk []byte
	bad  int64 // offset of an entry that cannot be had
	lent atomic.Int64
}

var poison = bytes.Repeat([]byte{0xee}, chunk.Max+chunk.Slack)

var errBad = errors.New("bad chunk")

func (m *memoryOf) Memory() *[]byte {
	m.lent.Add(1)
	b := make([]byte, 0, chunk.Max+chunk.Slack)
	return &b
}

func (m *memoryOf) Free(b *[]byte) {
	m.lent.Add(-1)
	copy((*b)[:cap(*b)], poison) // whoever still reads it will see
}

func (m *memoryOf) Part(ctx context.Context, e chunk.Entry, from, to int64, dst []byte) ([]byte, error) {
	if e.Offset == m.bad {
		return nil, errBad
	}
	return append(dst[:0], m.disk[e.Offset+from:e.Offset+to]...), ctx.Err()
}

// Any stretch comes in order and whole, by any number of workers.
func TestStream(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	entries, want := disk(r)
	want = append(want, make([]byte, 3*len(nothing))...) // the disk ends with a hole
	m := &memoryOf{disk: want, bad: -1}
	size := int64(len(want))
	for i := range 25 {
		off := r.Int64N(size)
		n := r.Int64N(size - off + 1)
		switch i {
		case 0:
			off, n = 0, size
		case 1:
			off, n = size, 0
		case 2:
			off, n = entries[3].Offset, int64(entries[3].Length)
		}
		var got []byte
		err := Stream(t.Context(), entries, extent.Range{Start: off, End: off + n}, i%5, m, func(p []byte) error { got = append(got, p...); return nil })
		if err != nil || !bytes.Equal(got, want[off:off+n]) {
			t.Fatalf("%d bytes at %d by %d workers: %d came, or others (%v)", n, off, i%5, len(got), err)
		}
	}
	if n := m.lent.Load(); n != 0 {
		t.Errorf("%d buffers were not given back", n)
	}
}

// What comes before a bad chunk is yielded, nothing after it; who yields may end it; nothing is kept.
func TestStreamEnds(t *testing.T) {
	entries, want := disk(rand.New(rand.NewPCG(7, 8)))
	bad := entries[30]
	enough := errors.New("enough")
	for _, workers := range []int{1, 3} {
		m := &memoryOf{disk: want, bad: bad.Offset}
		got := 0
		err := Stream(t.Context(), entries, extent.Range{End: int64(len(want))}, workers, m, func(p []byte) error { got += len(p); return nil })
		if !errors.Is(err, errBad) || int64(got) > bad.Offset || int64(got) < entries[29].End() {
			t.Errorf("%d bytes came before a bad chunk at %d: %v", got, bad.Offset, err)
		}
		calls := 0
		err = Stream(t.Context(), entries, extent.Range{End: int64(len(want))}, workers, m, func([]byte) error {
			if calls++; calls == 7 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || calls != 7 {
			t.Errorf("%d calls, %v", calls, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Stream(ctx, entries, extent.Range{End: int64(len(want))}, workers, m, func([]byte) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		if n := m.lent.Load(); n != 0 {
			t.Errorf("%d buffers were not given back", n)
		}
	}
}
