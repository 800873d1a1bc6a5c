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
	atOnce   = 256         // directories after which a look ends if it has found what it was for; then as many as are known
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
	ended   time.Time
	err     error // of the last look
	partial bool  // it has left directories unread: it found what it was for
	bad     map[string]time.Time

	mu    sync.RWMutex
	when  time.Time        // the last look began
	at    [256]shard       // by the first byte of the id
	packs map[string]*pack // by key
	gone  map[*pack]struct{}
}

// shard is a part of the entries. It is sorted when it is asked: a machine that starts waits for the first look.
type shard struct {
	sorted, fresh []entry
	stale         bool // there are fresh ones, or packs have gone
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
	for x.at[id[0]].stale {
		x.mu.RUnlock()
		x.settle(int(id[0]))
		x.mu.RLock()
	}
	defer x.mu.RUnlock()
	list := x.at[id[0]].sorted
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
		_ = x.looks(ctx, func() bool { return false }) // a read that needs what it would have found looks again, and fails
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
	found := func() bool {
		_, _, found := x.find(id)
		return found
	}
	if found() {
		return nil
	}
	if x.begun.Load() > round && !x.partial && !errors.Is(x.err, context.Canceled) && !errors.Is(x.err, context.DeadlineExceeded) {
		return x.err
	}
	if wait := x.c.pause - time.Since(x.ended); wait > 0 && !x.ended.IsZero() && !x.partial {
		if err := pace.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	return x.looks(ctx, found)
}

func (x *index) looks(ctx context.Context, enough func() bool) error {
	x.begun.Add(1)
	x.mu.Lock()
	x.when = time.Now()
	x.mu.Unlock()
	settled := false
	x.partial = false
	for try := 0; try < again && !settled; try++ {
		if settled, x.err = x.list(ctx, enough); x.err != nil {
			break
		}
	}
	x.ended = time.Now()
	return x.err
}

// list takes over the packs that a list shows, the youngest first, until it is enough. It is settled unless one of them had gone when its
// directory was to be read.
func (x *index) list(ctx context.Context, enough func() bool) (settled bool, err error) {
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
	x.loose.Store(len(alone) > 0)
	return x.take(ctx, packs, fresh, enough)
}

// take goes on with the packs that were known and are still there, and reads the others.
func (x *index) take(ctx context.Context, packs map[string]*pack, fresh []*pack, enough func() bool) (settled bool, err error) {
	slices.SortFunc(fresh, func(a, b *pack) int { return b.written.Compare(a.written) }) // what machines are made from is new, as a rule
	room, fewer := x.c.most, len(packs) < len(x.packs)
	for _, p := range packs {
		room -= p.chunks
	}
	settled = true
	for len(fresh) > 0 {
		some := fresh[:min(len(fresh), max(x.c.atOnce, len(packs)))]
		fresh = fresh[len(some):]
		found, all, err := x.read(ctx, some, room)
		if err != nil {
			return false, err
		}
		settled = settled && all
		for _, p := range some {
			if p.chunks > 0 {
				packs[p.key], room = p, room-p.chunks
			}
		}
		x.add(some, found)
		if x.partial = len(fresh) > 0 && enough(); x.partial {
			settled = true
			break
		}
	}
	if fewer {
		x.drop(packs)
	}
	return settled, nil
}

// read reads directories. Those that are malformed are passed over: what is in such a pack nobody finds here.
func (x *index) read(ctx context.Context, fresh []*pack, room int) (found *[256][]entry, settled bool, err error) {
	var mu sync.Mutex
	found, settled = new([256][]entry), true
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
			case len(spots) > room:
				return fmt.Errorf("%w: more than %d chunks lie in packs", blob.ErrAway, x.c.most)
			}
			delete(x.bad, p.key)
			p.chunks, room = len(spots), room-len(spots)
			for _, at := range spots {
				n := at.id[0]
				found[n] = append(found[n], entry{at.id, spot{p, at.offset, at.length}})
			}
			return nil
		})
	}
	err = g.Wait()
	return found, settled, err
}

// add takes over what was found in packs.
func (x *index) add(packs []*pack, found *[256][]entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range packs {
		if p.chunks > 0 {
			x.packs[p.key] = p
		}
	}
	for n, list := range found {
		s := &x.at[n]
		s.fresh, s.stale = append(list, s.fresh...), s.stale || len(list) > 0
	}
}

// drop forgets what lies in other packs than these.
func (x *index) drop(packs map[string]*pack) {
	x.mu.Lock()
	x.packs = packs
	for n := range x.at {
		x.at[n].stale = true
	}
	maps.DeleteFunc(x.gone, func(p *pack, _ struct{}) bool { return packs[p.key] != p })
	x.mu.Unlock()
	for n := range x.at { // or what nobody asks for would stay in memory
		x.settle(n)
	}
}

// settle sorts a shard, and drops of it what lies in packs that have gone.
func (x *index) settle(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := &x.at[n]
	if !s.stale {
		return
	}
	slices.SortFunc(s.fresh, entry.compare)
	*s = shard{sorted: join(s.sorted, s.fresh, x.packs)}
}

// join makes one sorted list of two, without what lies in other packs than these.
func join(a, b []entry, packs map[string]*pack) []entry {
	list := make([]entry, 0, len(a)+len(b))
	add := func(e entry) {
		if packs[e.pack.key] == e.pack {
			list = append(list, e)
		}
	}
	for _, e := range a {
		for len(b) > 0 && b[0].compare(e) < 0 {
			add(b[0])
			b = b[1:]
		}
		add(e)
	}
	for _, e := range b {
		add(e)
	}
	return list
}
