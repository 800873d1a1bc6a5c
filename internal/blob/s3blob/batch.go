package s3blob

import (
	"bytes"
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
)

const (
	gathered = 16 << 20 // bytes that a batch holds before it puts them
	parallel = 32       // puts at once: a small object costs a round trip, not bandwidth
)

// batch keeps objects back until there are enough to put many of them at the same time. What was put is durable, and visible.
type batch struct {
	d *driver

	mu      sync.Mutex
	pending map[string][]byte
	size    int
}

func (d *driver) Batch(context.Context) (blob.Batch, error) {
	return &batch{d: d, pending: map[string][]byte{}}, nil
}

func (b *batch) Put(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	if _, twice := b.pending[key]; !twice {
		b.pending[key] = bytes.Clone(data)
		b.size += len(data)
	}
	full := b.size >= gathered
	b.mu.Unlock()
	if !full {
		return nil
	}
	return b.flush(ctx) // the caller waits, others fill the next
}

// take empties the batch.
func (b *batch) take() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.pending
	b.pending, b.size = map[string][]byte{}, 0
	return all
}

func (b *batch) flush(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for key, data := range b.take() {
		g.Go(func() error {
			_, err := b.d.Put(ctx, key, data)
			return err
		})
	}
	return g.Wait()
}

func (b *batch) Commit(ctx context.Context) error { return b.flush(ctx) }

func (b *batch) Discard() { b.take() }
