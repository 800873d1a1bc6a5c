package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/extent"
	"vitrine/internal/image/keyring"
)

const (
	segment    = 4 << 20   // what one worker gets at a time; memory in use is about Workers+2 of them
	batchBytes = 256 << 20 // stored bytes between two waits for the disk
	copyBytes  = 32 << 20  // the same of a replication, which should not have to fetch much again after a crash
	packTries  = 5         // runs of one Pack, each repeated because a collection deleted something meanwhile
)

// Pack stores the disk that r holds, size bytes of whole sectors, and returns its name. Equal content of the domain in
// this region is stored once. The manifest is safe from Collect for Config.Grace; pin it before that is over.
// progress, which may be nil, hears how many bytes of the disk are done; calls do not overlap.
func (s *Store) Pack(ctx context.Context, region, domain string, r io.ReaderAt, size int64, progress func(done int64)) (Ref, error) {
	if err := errors.Join(chunk.CheckName("domain", domain), chunk.CheckSize(size)); err != nil {
		return Ref{}, err
	}
	b, err := s.bucket(region)
	if err != nil {
		return Ref{}, err
	}
	return s.write(ctx, place{region, domain}, b, func(ctx context.Context, key *chunk.Key) (*chunk.Manifest, error) {
		p := &packer{codec: s.codec, key: key, bucket: b, domain: domain, progress: progress, seen: map[digest.Digest]struct{}{}}
		entries, err := p.run(ctx, r, size, s.Workers)
		if err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
		return &chunk.Manifest{Domain: domain, KeyID: key.ID(), Size: size, Entries: entries}, nil
	})
}

// write runs what stores a manifest's chunks, then stores the manifest and registers it, again from the start if a
// collection deleted objects of this place since: it may have been some that we found and did not write.
func (s *Store) write(ctx context.Context, p place, b *blob.Bucket, chunks func(context.Context, *chunk.Key) (*chunk.Manifest, error)) (Ref, error) {
	for range packTries {
		epoch, err := s.beginWrite(ctx, p)
		if err != nil {
			return Ref{}, err
		}
		key, err := s.writingKey(ctx, p.domain)
		if err != nil {
			return Ref{}, err
		}
		m, err := chunks(ctx, key)
		if err != nil {
			return Ref{}, err
		}
		ref, err := s.putManifest(ctx, b, m, key)
		if err != nil {
			return Ref{}, err
		}
		r := registered{Size: ref.Size, Key: key.ID(), Named: m.KeyID}
		err = s.register(ctx, p, ref, r, epoch)
		switch {
		case errors.Is(err, keyring.ErrUnknown): // it was retired: nothing had been registered with it
			s.ring.Forget(p.domain)
		case !errors.Is(err, errSwept):
			return ref, err
		}
	}
	return Ref{}, fmt.Errorf("pack: collections kept interfering: %w", errSwept)
}

// writingKey is what a domain encrypts with now; nil: nothing.
func (s *Store) writingKey(ctx context.Context, domain string) (*chunk.Key, error) {
	if s.ring == nil {
		return nil, nil
	}
	return s.ring.Current(ctx, domain)
}

func (s *Store) putManifest(ctx context.Context, b *blob.Bucket, m *chunk.Manifest, key *chunk.Key) (Ref, error) {
	if err := m.Check(); err != nil {
		return Ref{}, err
	}
	plain := m.Marshal()
	if len(plain) > chunk.MaxManifest {
		return Ref{}, fmt.Errorf("%w: a manifest of %d chunks", ErrInvalid, len(m.Entries))
	}
	ref := m.Ref(plain)
	object := chunk.ManifestObject(ref.Domain, ref.ID)
	if _, err := b.Put(ctx, object, s.codec.Encode(nil, plain, object, key)); err != nil {
		return Ref{}, fmt.Errorf("put manifest: %w", err)
	}
	return ref, nil
}

// packer is one run over a disk: a reader that cuts, workers that hash, look up, compress and put.
type packer struct {
	codec    *chunk.Codec
	key      *chunk.Key // nil: nothing is encrypted
	bucket   *blob.Bucket
	domain   string
	progress func(int64)

	batching sync.RWMutex // held for reading while a put uses batch
	batch    blob.Batch
	batched  int64 // stored bytes in batch; guarded by mu
	most     int64 // of them; 0: batchBytes

	mu      sync.Mutex
	seen    map[digest.Digest]struct{} // chunks that this run has taken care of
	results [][]chunk.Entry            // by number of the segment
	done    int64
}

// job is a segment: consecutive chunks in one buffer.
type job struct {
	number  int
	buffer  []byte
	entries []chunk.Entry // without ids
	data    [][]byte
	span    int64 // bytes of the disk that are done with it, holes included
}

func (p *packer) run(ctx context.Context, r io.ReaderAt, size int64, workers int) ([]chunk.Entry, error) {
	var err error
	if p.batch, err = p.bucket.Batch(ctx); err != nil {
		return nil, err
	}
	defer func() { p.batch.Discard() }()
	g, running := errgroup.WithContext(ctx)
	jobs, free := make(chan job), make(chan []byte, workers+1)
	for range workers + 1 {
		free <- make([]byte, min(segment, (size+chunk.Block-1)/chunk.Block*chunk.Block))
	}
	g.Go(func() error {
		defer close(jobs)
		c := cutter{source: r, size: size, jobs: jobs, free: free}
		return c.run(running)
	})
	for range workers {
		g.Go(func() error {
			w := worker{packer: p}
			for j := range jobs {
				if err := w.do(running, j); err != nil {
					return err
				}
				free <- j.buffer
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := p.batch.Commit(ctx); err != nil {
		return nil, err
	}
	if p.progress != nil {
		p.progress(size)
	}
	return p.gather(), nil
}

func (p *packer) gather() []chunk.Entry {
	n := 0
	for _, r := range p.results {
		n += len(r)
	}
	entries := make([]chunk.Entry, 0, n)
	for _, r := range p.results {
		entries = append(entries, r...)
	}
	return entries
}

// first says whether this run meets the chunk for the first time.
func (p *packer) first(id digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.seen[id]
	p.seen[id] = struct{}{}
	return !known
}

func (p *packer) finish(j job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.results) <= j.number {
		p.results = append(p.results, nil)
	}
	p.results[j.number] = j.entries
	p.done += j.span
	if p.progress != nil {
		p.progress(p.done)
	}
}

// put adds a frame to the batch, and lets the batch reach the disk when it has become large.
func (p *packer) put(ctx context.Context, key string, frame []byte) error {
	p.batching.RLock()
	err := p.batch.Put(ctx, key, frame)
	p.batching.RUnlock()
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.batched += int64(len(frame))
	full := p.batched >= cmp.Or(p.most, batchBytes)
	if full {
		p.batched = 0
	}
	p.mu.Unlock()
	if !full {
		return nil
	}
	p.batching.Lock()
	defer p.batching.Unlock()
	if err := p.batch.Commit(ctx); err != nil {
		return err
	}
	fresh, err := p.bucket.Batch(ctx)
	if err == nil {
		p.batch = fresh
	}
	return err
}

// worker holds the buffers of one goroutine.
type worker struct {
	*packer
	frame   []byte
	scratch chunk.Scratch
}

func (w *worker) do(ctx context.Context, j job) error {
	for i, data := range j.data {
		id := w.key.Name(data)
		j.entries[i].ID = id
		if !w.first(id) {
			continue
		}
		if err := w.store(ctx, chunk.Object(w.domain, id), data); err != nil {
			return err
		}
	}
	w.finish(j)
	return nil
}

func (w *worker) store(ctx context.Context, key string, plain []byte) error {
	if _, err := w.bucket.Stat(ctx, key); err == nil {
		return nil
	} else if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	w.frame = w.codec.Encode(w.frame, plain, key, w.key)
	if err := w.codec.Prove(&w.scratch, w.frame, plain, key, w.key); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return w.put(ctx, key, w.frame)
}

// cutter reads a disk's data and cuts it into jobs.
type cutter struct {
	source io.ReaderAt
	size   int64
	jobs   chan<- job
	free   <-chan []byte

	number int
	done   int64 // everything before is in a job
}

func (c *cutter) run(ctx context.Context) error {
	for at := int64(0); ; {
		data, err := extent.Next(c.source, at, c.size)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for { // neighbours that touch after rounding are one: a cut must not show where a file's extents lie
			more, err := extent.Next(c.source, data.End, c.size)
			if err != nil || more.Start > data.End {
				break
			}
			data.End = more.End
		}
		if err := c.stretch(ctx, data); err != nil {
			return err
		}
		at = data.End
	}
}

// stretch cuts one run of data. A segment begins with what the last one could not cut yet.
func (c *cutter) stretch(ctx context.Context, data Range) error {
	var rest []byte
	for at := data.Start; at < data.End; {
		var buffer []byte
		select {
		case buffer = <-c.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		kept := copy(buffer, rest)
		fresh := buffer[kept:min(int64(len(buffer)), int64(kept)+data.End-at)]
		if n, err := c.source.ReadAt(fresh, at); n < len(fresh) {
			return fmt.Errorf("read %d bytes at %d: %w", len(fresh), at, err)
		}
		at += int64(len(fresh))
		j := c.cut(buffer[:kept+len(fresh)], at, at == data.End)
		rest = append(rest[:0], buffer[int64(kept+len(fresh))-(at-c.done):kept+len(fresh)]...)
		select {
		case c.jobs <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// cut makes a job of data, which ends at offset end of the disk.
func (c *cutter) cut(data []byte, end int64, final bool) job {
	j := job{number: c.number, buffer: data[:cap(data)], span: -c.done}
	c.number++
	at := end - int64(len(data))
	for len(data) > 0 {
		n, zero := chunk.Next(data, final)
		if n == 0 {
			break
		}
		if !zero {
			j.entries = append(j.entries, chunk.Entry{Offset: at, Length: n})
			j.data = append(j.data, data[:n:n])
		}
		at, data = at+int64(n), data[n:]
	}
	c.done = at
	j.span += at
	return j
}
