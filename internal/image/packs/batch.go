package packs

import (
	"bytes"
	"context"
	"sync"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
)

// batch fills packs. A pack that is full is stored at once.
type batch struct {
	d     *driver
	below blob.Batch

	mu      sync.Mutex
	filling map[string]*filling // by domain
}

type filling struct {
	frames []frame
	known  map[digest.Digest]struct{}
	size   int
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
	return &batch{d: d, below: below, filling: map[string]*filling{}}, nil
}

func (b *batch) Put(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	domain, id, ok := parse(key)
	if !ok {
		return b.below.Put(ctx, key, data)
	}
	b.mu.Lock()
	f := b.filling[domain]
	if f == nil {
		f = &filling{known: map[digest.Digest]struct{}{}}
		b.filling[domain] = f
	}
	if _, twice := f.known[id]; !twice {
		f.known[id] = struct{}{}
		f.frames, f.size = append(f.frames, frame{id, bytes.Clone(data)}), f.size+len(data)
	}
	full := f.size >= b.d.Target || len(f.frames) == maxFrames
	if full {
		delete(b.filling, domain)
	}
	b.mu.Unlock()
	if !full {
		return nil
	}
	_, err := b.d.place(domain).store(ctx, f.frames, false) // the caller waits, others fill the next
	return err
}

func (b *batch) Commit(ctx context.Context) error {
	b.mu.Lock()
	rest := b.filling
	b.filling = map[string]*filling{}
	b.mu.Unlock()
	for domain, f := range rest {
		if _, err := b.d.place(domain).store(ctx, f.frames, false); err != nil {
			return err
		}
	}
	return b.below.Commit(ctx)
}

func (b *batch) Discard() {
	b.mu.Lock()
	b.filling = map[string]*filling{}
	b.mu.Unlock()
	b.below.Discard()
}
