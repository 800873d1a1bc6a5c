package packs

import (
	"context"
	"slices"
	"sync"
	"time"

	"vitrine/internal/blob"
)

const (
	aheadBytes   = 1 << 20         // that are read at once of a pack which is read from front to back
	aheadAfter   = 3               // reads that follow one another show that
	aheadSlack   = 512 << 10       // how far apart they may be: several goroutines read a disk
	aheadWindows = 16              // that are kept, of all packs
	aheadTime    = 2 * time.Second // and for how long
	aheadRuns    = 64              // packs of which the last read is remembered
)

// ahead reads more of a pack than was asked for when its frames are asked for one after the other: each request to an object store
// takes its time. What was read so is handed out once, and soon forgotten.
type ahead struct {
	direct  bool // it does not, ever
	mu      sync.Mutex
	runs    map[string]following // by key of the pack
	windows []*window            // the latest last
}

func newAhead(direct bool) *ahead { return &ahead{direct: direct, runs: map[string]following{}} }

// following says where the last read of a pack ended and how many there were in a row.
type following struct {
	end int64
	row int
}

// window is a part of a pack in memory.
type window struct {
	pack     string
	from, to int64
	made     time.Time
	left     int64         // bytes that nobody has asked for
	done     chan struct{} // closed when data or err is there
	data     []byte
	err      error
}

// stretch is bytes of a pack that are wanted, in dst[:0] if that has room for them.
type stretch struct {
	*pack
	offset, length int64
	dst            []byte
}

func (a *ahead) read(ctx context.Context, b *blob.Bucket, s stretch, now time.Time) ([]byte, error) {
	if a.direct || blob.WantsItself(ctx) {
		return b.GetRangeInto(ctx, s.key, s.offset, s.length, s.dst)
	}
	w, mine := a.window(s.pack, s.offset, s.length, now)
	switch {
	case w == nil:
	case mine:
		w.data, w.err = b.GetRange(ctx, w.pack, w.from, w.to-w.from)
		close(w.done)
		if w.err != nil {
			a.forget(w)
			return nil, w.err
		}
		return a.part(w, s), nil
	default:
		select {
		case <-w.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if w.err == nil { // else whoever read it may have given up
			return a.part(w, s), nil
		}
	}
	return b.GetRangeInto(ctx, s.key, s.offset, s.length, s.dst)
}

// window finds the one that has these bytes, or says that the caller is to fill one; nil: neither.
func (a *ahead) window(p *pack, offset, length int64, now time.Time) (w *window, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.windows = slices.DeleteFunc(a.windows, func(w *window) bool { return now.Sub(w.made) > aheadTime || now.Before(w.made) })
	run := a.runs[p.key]
	if run.row++; offset < run.end-aheadSlack || offset > run.end+aheadSlack {
		run.row = 0
	}
	run.end = offset + length
	if len(a.runs) >= aheadRuns {
		clear(a.runs)
	}
	a.runs[p.key] = run
	for _, w := range a.windows {
		if w.pack == p.key && w.from <= offset && offset+length <= w.to {
			return w, false
		}
	}
	to := min(offset+aheadBytes, p.size-footLen)
	if run.row < aheadAfter || to-offset <= length {
		return nil, false
	}
	w = &window{pack: p.key, from: offset, to: to, made: now, left: to - offset, done: make(chan struct{})}
	if a.windows = append(a.windows, w); len(a.windows) > aheadWindows {
		a.windows = slices.Delete(a.windows, 0, 1)
	}
	return w, true
}

// part copies bytes of a window, which goes when it has been asked for all.
func (a *ahead) part(w *window, s stretch) []byte {
	s.dst = append(s.dst[:0], w.data[s.offset-w.from:][:s.length]...)
	a.mu.Lock()
	w.left -= s.length
	gone := w.left <= 0
	a.mu.Unlock()
	if gone {
		a.forget(w)
	}
	return s.dst
}

func (a *ahead) forget(w *window) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.windows = slices.DeleteFunc(a.windows, func(o *window) bool { return o == w })
}
