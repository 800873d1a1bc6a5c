package packs

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
)

// batch fills packs. A pack that is full is stored at once, beside who fills the next.
type batch struct {
	d     *driver
	below blob.Batch
	full  *errgroup.Group
	ctx   context.Context // of the uploads: who filled a pack may give up, and what is full still be wanted by Commit
	end   context.CancelFunc

	mu      sync.Mutex
	filling map[string]*filling // by domain
}

type filling struct {
	*draft
	known map[digest.Digest]struct{}
}

// Batch begins one. From here on chunks are looked up in the records as they are now, not as they were.
func (d *driver) Batch(ctx context.Context) (blob.Batch, error) {
	below, err := d.Bucket.Batch(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.batch++
	d.mu.Unlock()
	b := &batch{d: d, below: below, filling: map[string]*filling{}}
	b.ctx, b.end = context.WithCancel(context.WithoutCancel(ctx))
	b.full, b.ctx = errgroup.WithContext(b.ctx)
	b.full.SetLimit(d.Uploads)
	return b, nil
}

func (b *batch) Put(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.ctx.Err() != nil { // an upload has failed
		return context.Cause(b.ctx)
	}
	domain, id, ok := parse(key)
	if !ok {
		return b.below.Put(ctx, key, data)
	}
	b.mu.Lock()
	f := b.filling[domain]
	if f == nil {
		f = &filling{b.d.draft(), map[digest.Digest]struct{}{}}
		b.filling[domain] = f
	}
	if _, twice := f.known[id]; !twice {
		f.known[id] = struct{}{}
		f.add(id, data)
	}
	full := f.frames() >= int64(b.d.Target) || len(f.spots) == maxFrames
	if full {
		delete(b.filling, domain)
	}
	b.mu.Unlock()
	if full {
		b.full.Go(func() error { // it waits while as many as may be are under way
			return b.store(b.ctx, domain, f)
		})
	}
	return nil
}

func (b *batch) Commit(ctx context.Context) error {
	b.mu.Lock()
	rest := b.filling
	b.filling = map[string]*filling{}
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, b.end)
	err := b.full.Wait()
	stop()
	if err != nil {
		return err
	}
	b.end()
	for domain, f := range rest {
		if err := b.store(ctx, domain, f); err != nil {
			return err
		}
	}
	return b.below.Commit(ctx)
}

func (b *batch) store(ctx context.Context, domain string, f *filling) error {
	_, err := b.d.place(domain).store(ctx, f.draft, false)
	b.d.drafts.Put(f.draft)
	return err
}

func (b *batch) Discard() {
	b.end()
	_ = b.full.Wait() // what it says, Put or Commit has said, or nobody wants to know
	b.mu.Lock()
	b.filling = map[string]*filling{}
	b.mu.Unlock()
	b.below.Discard()
}
