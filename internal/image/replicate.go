package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/image/chunk"
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
	_, err = s.write(ctx, place{to, ref.Domain}, b, func(ctx context.Context, _ *chunk.Key) (*chunk.Manifest, error) {
		c := copier{Store: s, src: src, progress: progress}
		c.dst.codec, c.dst.bucket, c.dst.domain, c.dst.most = s.codec, b, ref.Domain, copyBytes
		if err := c.run(ctx); err != nil {
			return nil, fmt.Errorf("replicate %s to %s: %w", ref, to, err)
		}
		return src.m, nil
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
	distinct := c.src.m.Distinct()
	for _, e := range distinct {
		c.total += int64(e.Length)
	}
	g, ctx2 := errgroup.WithContext(ctx)
	g.SetLimit(c.Workers)
	for _, e := range distinct {
		g.Go(func() error {
			if err := c.copy(ctx2, e); err != nil {
				return err
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.done += int64(e.Length)
			if c.progress != nil {
				c.progress(c.done, c.total)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		// What has come so far need not travel again, whoever gave up.
		return errors.Join(err, c.dst.batch.Commit(context.WithoutCancel(ctx)))
	}
	return c.dst.batch.Commit(ctx)
}

func (c *copier) copy(ctx context.Context, e chunk.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	object := chunk.Object(c.src.m.Domain, e.ID)
	if _, err := c.dst.bucket.Stat(ctx, object); err == nil || !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	frame, _, err := c.src.sound(ctx, e)
	if err != nil {
		return err
	}
	if err := c.line.Wait(ctx, int64(len(frame))); err != nil {
		return err
	}
	return c.dst.put(ctx, object, frame)
}

// sound gives the frame of a chunk that has been verified, mended if need be.
func (r *Reader) sound(ctx context.Context, e chunk.Entry) (frame []byte, mended bool, err error) {
	object := chunk.Object(r.m.Domain, e.ID)
	frame, err = r.bucket.Get(ctx, object)
	if err == nil {
		_, err = r.prove(ctx, e, nil, bytes.Clone(frame))
	}
	if err == nil || !damage(err) {
		return frame, false, err
	}
	if _, err := r.mend(ctx, e, nil, &CorruptError{Region: r.region, Key: object, Offset: e.Offset, Err: err}); err != nil {
		return nil, false, err
	}
	frame, err = r.bucket.Get(ctx, object)
	return frame, true, err
}
