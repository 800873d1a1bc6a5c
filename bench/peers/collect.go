package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vitrine/internal/client"
)

const (
	garbageChunks = 100_000
	pacedRequests = 50 // a second; a server that is not saturated
	pacedBefore   = 5 * time.Second
)

// rowCollect collects 100,000 chunks that nobody names while clients read an image version at a steady pace.
func rowCollect(ctx context.Context, b *bench) error {
	chunks := garbageChunks
	if b.size > 0 { // a chunk is a block
		chunks = int(min(int64(chunks), b.size>>12))
	}
	o, version, err := b.publishedSmall(ctx)
	if err != nil {
		return err
	}
	dir, tenant := o.dir, o.tenant
	o.stop()
	g := b.growth("collection, wall", "s", "chunks")
	for round, n := range []int{chunks / 16, chunks / 4, chunks} { // one round each: thousands of requests are in it, and each needs new garbage
		c, err := b.collected(ctx, dir, tenant, version, garbage{n, round})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  %d chunks  p95 before %.2f ms, during %.2f ms; the collection took %.1f s\n", n, c.before*1000, c.during*1000, c.took)
		g.Sizes, g.Costs["vitrine"] = append(g.Sizes, float64(n)), append(g.Costs["vitrine"], c.took)
		if n == chunks {
			b.add(line{What: "p95 of a version GET, during a collection to before", Ours: c.during / c.before, Target: 1.5, Alone: true, Rounds: 1,
				Data: fmt.Sprintf("%d chunks, %d requests a second", n, pacedRequests), Note: fmt.Sprintf("%.1f ms before, %.1f ms during %.1f s", c.before*1000, c.during*1000, c.took)})
		}
	}
	return nil
}

// collection is what came of one: the p95 of a GET before and during it, and how long it took, in seconds.
type collection struct{ before, during, took float64 }

// garbage is a disk whose chunks are all different.
type garbage struct{ chunks, round int }

// write makes its raw file: each second block holds data, and a chunk ends before a block of zeros.
func (g garbage) write(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block := make([]byte, 4096)
	for i := range g.chunks {
		binary.BigEndian.PutUint64(block, uint64(g.round)<<32|uint64(i+1))
		if _, err := f.WriteAt(block, int64(i)*8192); err != nil {
			return err
		}
	}
	return f.Truncate(int64(g.chunks) * 8192)
}

// collected fills the store of a server that is down with garbage, starts it, and collects.
func (b *bench) collected(ctx context.Context, dir string, tenant client.Tenant, version string, g garbage) (c collection, err error) {
	raw := filepath.Join(dir, "garbage.raw")
	if err := g.write(raw); err != nil {
		return c, err
	}
	if _, _, err := b.packed(ctx, filepath.Join(dir, "data"), raw); err != nil {
		return c, fmt.Errorf("garbage: %w", err)
	}
	if err := errors.Join(os.Remove(raw), syncFS(dir)); err != nil {
		return c, err
	}
	o, err := b.startOursIn(ctx, dir)
	if err != nil {
		return c, err
	}
	defer o.stop()
	token, err := o.operator.Tokens(tenant.TenantID)(ctx)
	if err != nil {
		return c, err
	}
	ask := getter{o.http, armURL + version + "?api-version=" + versionGallery, map[string]string{"Authorization": "Bearer " + token.AccessToken}, o.process}
	if _, err := ask.hammer(ctx, time.Second); err != nil { // a server that has just started is no measure
		return c, err
	}
	quiet, cancel := context.WithTimeout(ctx, pacedBefore)
	defer cancel()
	first, err := ask.pace(ctx, quiet.Done())
	if err != nil {
		return c, err
	}
	done := make(chan struct{})
	var freed client.Collected
	var failed error
	begin := time.Now()
	go func() {
		defer close(done)
		failed = o.operator.Do(ctx, "/v1/collect", client.CollectRequest{Grace: 0}, &freed)
		c.took = since(begin)
	}()
	second, err := ask.pace(ctx, done)
	<-done
	if err := errors.Join(err, failed); err != nil {
		return c, err
	}
	if freed.Objects < g.chunks {
		return c, fmt.Errorf("only %d of %d chunks were collected", freed.Objects, g.chunks)
	}
	c.before, c.during = quantile(first, 0.95), quantile(second, 0.95)
	return c, nil
}

// pace asks at a steady pace until told to end, whether or not answers are late, and gives what each took.
func (g getter) pace(ctx context.Context, end <-chan struct{}) (took []float64, failed error) {
	tick := time.NewTicker(time.Second / pacedRequests)
	defer tick.Stop()
	var mu sync.Mutex
	var all sync.WaitGroup
	for {
		select {
		case due := <-tick.C:
			all.Go(func() {
				err := g.once(ctx)
				mu.Lock()
				defer mu.Unlock()
				took, failed = append(took, since(due)), errors.Join(failed, err)
			})
		case <-end:
			all.Wait()
			return took, failed
		case <-ctx.Done():
			all.Wait()
			return took, errors.Join(failed, ctx.Err())
		}
	}
}
