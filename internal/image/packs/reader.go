package packs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vitrine/internal/blob"
)

// ReaderConfig is what reading packs without their records needs.
type ReaderConfig struct {
	Bucket *blob.Bucket // where the packs lie
	Log    *slog.Logger // of packs that are malformed; nil: nothing is said
	Direct bool         // as in Config

	// Of tests; 0: as in production.
	pause, old, idle time.Duration
	most, atOnce     int
}

const (
	lookPause   = time.Second      // between two looks at which packs there are
	lookOld     = time.Minute      // a look is repeated after, for what was mended or rewritten since
	idleTime    = 10 * time.Minute // what was learned of a domain is forgotten when nobody has asked for so long
	enoughLooks = 2                // at which packs there are, before a chunk is missing
	mostLooks   = 10               // the same when packs go all the time
	mostSpots   = 64 << 20         // chunks of a domain that are located: some 48 bytes of memory each
)

// reader finds chunks by the directories of the packs, for a process that has no records.
//
// Without them it knows neither what was deleted, which does no harm, since whoever asks has a manifest that names the chunk, nor which
// of two copies counts: it takes that in the youngest pack. Whoever asks verifies the bytes.
type reader struct {
	ReaderConfig
	ahead *ahead

	mu      sync.Mutex
	domains map[string]*index
}

// NewReader gives a bucket whose chunks and other objects can be read, one by one; listing and changing are refused with
// errors.ErrUnsupported.
func NewReader(c ReaderConfig) (*blob.Bucket, error) {
	if c.Bucket == nil {
		return nil, errors.New("packs: Bucket is needed")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.pause, c.old, c.idle, c.most = cmp.Or(c.pause, lookPause), cmp.Or(c.old, lookOld), cmp.Or(c.idle, idleTime), cmp.Or(c.most, mostSpots)
	c.atOnce = cmp.Or(c.atOnce, atOnce)
	return blob.New(&reader{ReaderConfig: c, ahead: newAhead(c.Direct), domains: map[string]*index{}}), nil
}

// index gives what is known of a domain, which is forgotten when nobody asks for it any more.
func (r *reader) index(domain string) *index {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.domains[domain]
	if x == nil {
		x = newIndex(&r.ReaderConfig, domain)
		r.domains[domain] = x
		x.forget = time.AfterFunc(r.idle, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.domains, domain)
		})
	} else if !x.forget.Stop() { // it is about to go: those who have it still may use it
		return x
	}
	x.forget.Reset(r.idle)
	return x
}

func (r *reader) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return r.Fill(ctx, key, offset, length, nil)
}

// Fill implements blob.Filler.
func (r *reader) Fill(ctx context.Context, key string, offset, length int64, dst []byte) (data []byte, err error) {
	err = r.find(ctx, key, func() (err error) {
		data, err = below(ctx, r.Bucket, key, offset, length, dst)
		return err
	}, func(at spot) (err error) {
		data, err = within(key, at, offset, length, func(offset, length int64) ([]byte, error) {
			return r.ahead.read(ctx, r.Bucket, stretch{at.pack, offset, length, dst}, time.Now())
		})
		return err
	})
	return data, err
}

func (r *reader) Stat(ctx context.Context, key string) (i blob.Info, err error) {
	err = r.find(ctx, key, func() (err error) {
		i, err = r.Bucket.Stat(ctx, key)
		return err
	}, func(at spot) error {
		i = blob.Info{Key: key, Size: int64(at.length), Modified: at.pack.written}
		return nil
	})
	return i, err
}

// find calls packed with where a chunk lies until that does not fail with blob.ErrNotFound, or loose for what is an object of its own.
// When nothing has it we look twice which packs there are: what a server moves meanwhile is in a new pack before the old one goes, but
// of a list that is read page by page, and the directories after it, neither may be seen.
func (r *reader) find(ctx context.Context, key string, loose func() error, packed func(spot) error) error {
	domain, id, ok := parse(key)
	if !ok {
		return loose()
	}
	x := r.index(domain)
	x.renew(ctx)
	for looks, all := 0, 0; ; {
		at, round, ok := x.find(id)
		if ok {
			err := packed(at)
			if !errors.Is(err, blob.ErrNotFound) {
				return err
			}
			x.lose(at.pack)
			looks = 0
			continue
		}
		if x.loose.Load() {
			if err := loose(); !errors.Is(err, blob.ErrNotFound) {
				return err
			}
		}
		if looks == enoughLooks || all == mostLooks {
			return fmt.Errorf("%w: %q", blob.ErrNotFound, key)
		}
		if err := x.look(ctx, id, round); err != nil {
			return fmt.Errorf("packs of %s: %w", domain, err)
		}
		looks, all = looks+1, all+1
	}
}

// errReadOnly refuses what needs the records.
var errReadOnly = fmt.Errorf("packs: they are only read here: %w", errors.ErrUnsupported)

func (r *reader) Put(context.Context, string, []byte) (bool, error) { return false, errReadOnly }
func (r *reader) Replace(context.Context, string, []byte) error     { return errReadOnly }
func (r *reader) Delete(context.Context, string) error              { return errReadOnly }
func (r *reader) Batch(context.Context) (blob.Batch, error)         { return nil, errReadOnly }
func (r *reader) List(context.Context, string, string, int) ([]blob.Info, error) {
	return nil, errReadOnly
}
