package image

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
)

// Replicate copies a manifest and those of its chunks that are missing there from one region to another, each chunk
// verified on the way. It may be run again after an interruption: what has arrived does not travel twice. progress,
// which may be nil, hears bytes of distinct content, present ones included; its calls do not overlap.
func (s *Store) Replicate(ctx context.Context, ref Ref, from, to string, progress func(done, total int64)) error {
	src, err := s.Open(ctx, from, ref)
	if err != nil {
		return err
	}
	b, err := s.bucket(to)
	if err != nil {
		return err
	}
	_, err = s.write(ctx, place{to, ref.Domain}, b, func(ctx context.Context) (*manifest, error) {
		c := copier{Store: s, src: src, progress: progress}
		c.dst.codec, c.dst.bucket, c.dst.domain = s.codec, b, ref.Domain
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("replicate %s to %s: %w", ref, to, err)
		}
		return src.manifest, nil
	})
	return err
}

// copier is one run of Replicate. It borrows the packer's batches.
type copier struct {
	*Store
	src      *Reader
	dst      packer
	progress func(done, total int64)

	mu          sync.Mutex
	done, total int64
}

func (c *copier) run(ctx context.Context) error {
	var err error
	if c.dst.batch, err = c.dst.bucket.Batch(ctx); err != nil {
		return err
	}
	defer func() { c.dst.batch.Discard() }()
	distinct := c.distinct()
	g, ctx2 := errgroup.WithContext(ctx)
	g.SetLimit(c.Workers)
	for _, e := range distinct {
		g.Go(func() error {
			if err := c.copy(ctx2, e); err != nil {
				return err
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.done += int64(e.length)
			if c.progress != nil {
				c.progress(c.done, c.total)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.dst.batch.Commit(ctx)
}

// distinct lists each chunk once and counts their bytes.
func (c *copier) distinct() []entry {
	seen := make(map[digest.Digest]struct{}, len(c.src.entries))
	var list []entry
	for _, e := range c.src.entries {
		if _, ok := seen[e.id]; ok {
			continue
		}
		seen[e.id] = struct{}{}
		list = append(list, e)
		c.total += int64(e.length)
	}
	return list
}

func (c *copier) copy(ctx context.Context, e entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := chunkKey(c.src.domain, e.id)
	if _, err := c.dst.bucket.Stat(ctx, key); err == nil || !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	frame, err := c.src.bucket.Get(ctx, key)
	if err == nil {
		_, err = c.codec.decode(nil, frame, e.id)
	}
	if err != nil {
		return &CorruptError{Region: c.src.region, Key: key, Offset: e.offset, Err: err}
	}
	return c.dst.put(ctx, key, frame)
}
