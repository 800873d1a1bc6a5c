package image

import (
	"bytes"
	"context"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/store"
)

// server is one process: everything it knows dies with it.
type server struct {
	*Store
	sim  *sim
	name string
	dead bool // guarded by sim.mu
}

// step runs f when the scheduler lets it.
func (s *server) step(what string, f func() error) error {
	s.sim.mu.Lock()
	if s.dead {
		s.sim.mu.Unlock()
		return errCrash
	}
	c := &call{s.name, what, make(chan string)}
	s.sim.waiting = append(s.sim.waiting, c)
	s.sim.mu.Unlock()
	fate := <-c.verdict
	if fate == before {
		s.kill()
		return errCrash
	}
	err := f()
	if fate == after {
		s.kill()
		return errCrash
	}
	return err
}

func (s *server) kill() {
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	s.dead = true
	s.sim.stats["crashes"]++
}

// steppedStore is the documents as a server reaches them.
type steppedStore struct {
	*store.Store
	s *server
}

func (d steppedStore) View(ctx context.Context, f func(store.Tx) error) error {
	return d.s.step("view", func() error { return d.Store.View(ctx, f) })
}

func (d steppedStore) Update(ctx context.Context, f func(store.Tx) error) error {
	return d.s.step("update", func() error { return d.Store.Update(ctx, f) })
}

// steppedBucket is a region's objects as a server reaches them.
type steppedBucket struct {
	b *blob.Bucket
	s *server
}

func (d steppedBucket) Put(ctx context.Context, key string, data []byte) (created bool, err error) {
	err = d.s.step("put "+key, func() error { created, err = d.b.Put(ctx, key, data); return err })
	return created, err
}

func (d steppedBucket) Replace(ctx context.Context, key string, data []byte) error {
	return d.s.step("replace "+key, func() error { return d.b.Replace(ctx, key, data) })
}

func (d steppedBucket) Get(ctx context.Context, key string, offset, length int64) (data []byte, err error) {
	err = d.s.step("get "+key, func() error {
		if length < 0 {
			data, err = d.b.Get(ctx, key)
		} else {
			data, err = d.b.GetRange(ctx, key, offset, length)
		}
		return err
	})
	return data, err
}

func (d steppedBucket) Stat(ctx context.Context, key string) (i blob.Info, err error) {
	err = d.s.step("stat "+key, func() error { i, err = d.b.Stat(ctx, key); return err })
	return i, err
}

func (d steppedBucket) List(ctx context.Context, prefix, after string, limit int) (list []blob.Info, err error) {
	err = d.s.step("list "+prefix+after, func() error { list, err = d.b.List(ctx, prefix, after, limit); return err })
	return list, err
}

func (d steppedBucket) Delete(ctx context.Context, key string) error {
	return d.s.step("delete "+key, func() error { return d.b.Delete(ctx, key) })
}

func (d steppedBucket) Batch(context.Context) (blob.Batch, error) { return &steppedBatch{d: d}, nil }

// steppedBatch becomes visible object by object, so that a death leaves a part of it.
type steppedBatch struct {
	d    steppedBucket
	keys []string
	data [][]byte
}

func (b *steppedBatch) Put(_ context.Context, key string, data []byte) error {
	b.keys, b.data = append(b.keys, key), append(b.data, bytes.Clone(data))
	return nil
}

func (b *steppedBatch) Commit(ctx context.Context) error {
	for i, key := range b.keys {
		if _, err := b.d.Put(ctx, key, b.data[i]); err != nil {
			return err
		}
	}
	b.Discard()
	return nil
}

func (b *steppedBatch) Discard() { b.keys, b.data = nil, nil }

func (m *sim) server(name string) *server {
	s := &server{sim: m, name: name}
	var err error
	docs, buckets := store.New(steppedStore{m.store, s}), map[string]*blob.Bucket{}
	for region, b := range m.buckets {
		buckets[region] = laid(m.t, blob.New(steppedBucket{b, s}), docs, region)
	}
	s.Store, err = New(Config{Dir: m.dir, Store: docs, Workers: 1, Sealer: m.sealer, Regions: []string{"eastus", "westus"},
		Grace: time.Nanosecond, Buckets: func(region string) (*blob.Bucket, error) { return buckets[region], nil }})
	if err != nil {
		m.t.Fatal(err)
	}
	own := s.codec
	s.codec = m.codec
	m.remember(s.Store, own)
	return s
}
