package packs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/pace"
)

const (
	lookers  = 16          // directories that are read at once, of at most 300 KB each
	maxPacks = 1 << 20     // that a domain may have
	again    = 3           // lists that one look takes when packs go under its hands
	badTime  = time.Minute // after that a malformed pack is looked at again
)

// index is what a reader knows of a domain's packs.
type index struct {
	c      *ReaderConfig
	domain string
	forget *time.Timer
	turn   chan struct{} // held while somebody looks

	loose atomic.Bool  // some chunks are objects of their own
	begun atomic.Int64 // looks so far

	// Of who has the turn.
	ended time.Time
	err   error // of the last look
	bad   map[string]time.Time

	mu    sync.RWMutex
	when  time.Time        // the last look began
	at    [256][]entry     // by the first byte of the id, sorted
	packs map[string]*pack // by key
	gone  map[*pack]struct{}
	count int
}

// entry is a frame in a pack. Of one chunk's the youngest pack's comes first.
type entry struct {
	id digest.Digest
	spot
}

func (e entry) compare(o entry) int {
	if c := slices.Compare(e.id[:], o.id[:]); c != 0 || e.pack == o.pack {
		return cmp.Or(c, cmp.Compare(e.offset, o.offset))
	}
	return cmp.Or(o.pack.written.Compare(e.pack.written), strings.Compare(e.pack.key, o.pack.key))
}

func newIndex(c *ReaderConfig, domain string) *index {
	return &index{c: c, domain: domain, turn: make(chan struct{}, 1), bad: map[string]time.Time{}, packs: map[string]*pack{}, gone: map[*pack]struct{}{}}
}

// find locates a chunk; round tells the looks that had begun before.
func (x *index) find(id digest.Digest) (at spot, round int64, ok bool) {
	round = x.begun.Load()
	x.mu.RLock()
	defer x.mu.RUnlock()
	list := x.at[id[0]]
	i, _ := slices.BinarySearchFunc(list, id, func(e entry, id digest.Digest) int { return slices.Compare(e.id[:], id[:]) })
	for ; i < len(list) && list[i].id == id; i++ {
		if _, gone := x.gone[list[i].pack]; !gone {
			return list[i].spot, round, true
		}
	}
	return spot{}, round, false
}

// lose notes that a pack is gone.
func (x *index) lose(p *pack) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone[p] = struct{}{}
}

// renew looks again now and then. It waits for nobody who does already, and what is known stays when it fails.
func (x *index) renew(ctx context.Context) {
	x.mu.RLock()
	when := x.when
	x.mu.RUnlock()
	if when.IsZero() || time.Since(when) < x.c.old {
		return
	}
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
		_ = x.looks(ctx) // a read that needs what it would have found looks again, and fails
	default:
	}
}

// look learns which packs there are now, unless somebody else has begun to after the round that the caller saw, or has found the chunk.
func (x *index) look(ctx context.Context, id digest.Digest, round int64) error {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, _, found := x.find(id); found {
		return nil
	}
	if x.begun.Load() > round && !errors.Is(x.err, context.Canceled) && !errors.Is(x.err, context.DeadlineExceeded) {
		return x.err
	}
	if wait := x.c.pause - time.Since(x.ended); wait > 0 && !x.ended.IsZero() {
		if err := pace.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	return x.looks(ctx)
}

func (x *index) looks(ctx context.Context) error {
	x.begun.Add(1)
	x.mu.Lock()
	x.when = time.Now()
	x.mu.Unlock()
	settled := false
	for try := 0; try < again && !settled; try++ {
		if settled, x.err = x.list(ctx); x.err != nil {
			break
		}
	}
	x.ended = time.Now()
	return x.err
}

// list takes over the packs that a list shows. It is settled unless one of them had gone when its directory was to be read.
func (x *index) list(ctx context.Context) (settled bool, err error) {
	alone, err := x.c.Bucket.List(ctx, chunkPrefix+x.domain+"/", "", 1)
	if err != nil {
		return false, err
	}
	x.mu.RLock()
	gone := maps.Clone(x.gone)
	x.mu.RUnlock()
	packs, listed, fresh := map[string]*pack{}, map[string]struct{}{}, []*pack{}
	for i, err := range x.c.Bucket.All(ctx, packPrefix(x.domain)) {
		if err != nil {
			return false, err
		}
		if listed[i.Key] = struct{}{}; len(listed) > maxPacks {
			return false, fmt.Errorf("%w: more than %d packs", blob.ErrAway, maxPacks)
		}
		old := x.packs[i.Key]
		if _, gone := gone[old]; old != nil && !gone {
			packs[i.Key] = old
		} else if _, ours := packID(x.domain, i.Key); ours && time.Since(x.bad[i.Key]) > badTime {
			fresh = append(fresh, &pack{key: i.Key, size: i.Size, written: i.Modified})
		}
	}
	maps.DeleteFunc(x.bad, func(key string, _ time.Time) bool {
		_, there := listed[key]
		return !there
	})
	found, settled, err := x.read(ctx, fresh)
	if err != nil {
		return false, err
	}
	x.loose.Store(len(alone) > 0)
	if len(found) > 0 || len(packs) < len(x.packs) {
		x.merge(packs, found)
	}
	return settled, nil
}

// read reads directories. Those that are malformed are passed over: what is in such a pack nobody finds here.
func (x *index) read(ctx context.Context, fresh []*pack) (found []entry, settled bool, err error) {
	var mu sync.Mutex
	settled = true
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for _, p := range fresh {
		g.Go(func() error {
			raw, _ := packID(x.domain, p.key)
			spots, err := directory(ctx, x.c.Bucket, raw, p.key, p.size)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, blob.ErrNotFound):
				settled = false
				return nil
			case errors.Is(err, errPack):
				if x.bad[p.key].IsZero() {
					x.c.Log.Warn("the directory of a pack is damaged", "pack", p.key, "error", err)
				}
				x.bad[p.key] = time.Now()
				return nil
			case err != nil:
				return err
			case len(spots) > x.c.most-x.count-len(found):
				return fmt.Errorf("%w: more than %d chunks lie in packs", blob.ErrAway, x.c.most)
			}
			delete(x.bad, p.key)
			found = slices.Grow(found, len(spots))
			for _, at := range spots {
				found = append(found, entry{at.id, spot{p, at.offset, at.length}})
			}
			return nil
		})
	}
	err = g.Wait()
	return found, settled, err
}

// merge takes over what was found, and drops what lies in other packs than that and these.
func (x *index) merge(packs map[string]*pack, found []entry) {
	slices.SortFunc(found, entry.compare)
	for _, e := range found {
		packs[e.pack.key] = e.pack
	}
	var at [256][]entry
	count := 0
	for n := range at {
		end := 0
		for end < len(found) && int(found[end].id[0]) == n {
			end++
		}
		at[n] = join(x.at[n], found[:end], packs)
		found, count = found[end:], count+len(at[n])
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at, x.packs, x.count = at, packs, count
	maps.DeleteFunc(x.gone, func(p *pack, _ struct{}) bool { return packs[p.key] != p })
}

// join makes one sorted list of two, without what lies in other packs than these.
func join(a, b []entry, packs map[string]*pack) []entry {
	list := make([]entry, 0, len(a)+len(b))
	for _, e := range a {
		if packs[e.pack.key] != e.pack {
			continue
		}
		for len(b) > 0 && b[0].compare(e) < 0 {
			list, b = append(list, b[0]), b[1:]
		}
		list = append(list, e)
	}
	return append(list, b...)
}
