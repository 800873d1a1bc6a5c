package unpack

import (
	"context"
	"slices"
	"sync"

	"vitrine/internal/image/chunk"
	"vitrine/internal/image/extent"
)

// Source is where Stream has chunks from.
type Source interface {
	// Part gives the bytes [from, to) of an entry, verified, in dst[:0] if that has room for them.
	Part(ctx context.Context, e chunk.Entry, from, to int64, dst []byte) ([]byte, error)
	// Memory gives room for a chunk and what makes decoding it fast, to be given to Free.
	Memory() *[]byte
	Free(*[]byte)
}

// part is one chunk's share of a stretch, on its way.
type part struct {
	entry    chunk.Entry
	from, to int64 // of the entry
	memory   *[]byte
	plain    []byte
	err      error
	done     chan struct{}
}

// nothing is what holes are read from.
var nothing [64 << 10]byte

// Stream gives yield a stretch of the disk whose entries these are, in order, and has so many workers fetch ahead of it. What yield is given
// is its own until it returns.
func Stream(ctx context.Context, entries []chunk.Entry, of extent.Range, workers int, s Source, yield func([]byte) error) error {
	off, end := of.Start, of.End
	first, _ := slices.BinarySearchFunc(entries, off, func(e chunk.Entry, off int64) int {
		if e.End() <= off {
			return -1
		}
		return 1
	})
	entries = entries[first:]
	last, _ := slices.BinarySearchFunc(entries, end, func(e chunk.Entry, end int64) int {
		if e.Offset < end {
			return -1
		}
		return 1
	})
	entries = entries[:last]
	ctx, cancel := context.WithCancel(ctx)
	next, stop := fetchers(ctx, entries, off, end, min(workers, len(entries)), s)
	defer stop()
	defer cancel() // before stop, which waits for the workers
	for range entries {
		p := next()
		err := p.err
		if err == nil {
			err = zeros(p.entry.Offset+p.from-off, yield)
		}
		if err == nil {
			err = yield(p.plain)
		}
		s.Free(p.memory)
		if err != nil {
			return err
		}
		off = p.entry.Offset + p.to
	}
	return zeros(end-off, yield)
}

func zeros(n int64, yield func([]byte) error) error {
	for n > 0 {
		k := min(n, int64(len(nothing)))
		if err := yield(nothing[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// fetchers begins workers. next gives the parts in order, fetched; stop ends the workers, and is to be called.
func fetchers(ctx context.Context, entries []chunk.Entry, off, end int64, workers int, s Source) (next func() *part, stop func()) {
	begin := func() *part {
		e := entries[0]
		entries = entries[1:]
		return &part{entry: e, from: max(e.Offset, off) - e.Offset, to: min(e.End(), end) - e.Offset, done: make(chan struct{})}
	}
	fetch := func(p *part) {
		p.memory = s.Memory()
		p.plain, p.err = s.Part(ctx, p.entry, p.from, p.to, *p.memory)
		close(p.done)
	}
	if workers < 2 {
		return func() *part { p := begin(); fetch(p); return p }, func() {}
	}
	var group sync.WaitGroup
	jobs := make(chan *part, workers+1)
	for range workers {
		group.Go(func() {
			for p := range jobs {
				fetch(p)
			}
		})
	}
	var window []*part
	next = func() *part {
		for len(entries) > 0 && len(window) <= workers {
			p := begin()
			window = append(window, p)
			jobs <- p
		}
		p := window[0]
		window = window[1:]
		<-p.done
		return p
	}
	return next, func() {
		close(jobs)
		group.Wait()
		for _, p := range window {
			s.Free(p.memory)
		}
	}
}
