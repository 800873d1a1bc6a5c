package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
)

// Reader reads a disk at any offset, each chunk verified. It may be used by many goroutines and needs no Close.
type Reader struct {
	*manifest
	ref    Ref
	store  *Store
	bucket *blob.Bucket
	region string
	ctx    context.Context // ends with the Store: io.ReaderAt has no context
}

// Open prepares to read a disk from a region. ErrNotFound; *CorruptError.
func (s *Store) Open(ctx context.Context, region string, ref Ref) (*Reader, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	b, err := s.bucket(region)
	if err != nil {
		return nil, err
	}
	if r, ok := s.cache.reader(region, ref); ok {
		return r, nil
	}
	m, err := s.loadManifest(ctx, b, region, ref)
	if err != nil {
		return nil, err
	}
	r := &Reader{manifest: m, ref: ref, store: s, bucket: b, region: region, ctx: s.life}
	s.cache.keepReader(region, ref, r)
	return r, nil
}

func (s *Store) loadManifest(ctx context.Context, b *blob.Bucket, region string, ref Ref) (*manifest, error) {
	key := manifestKey(ref.Domain, ref.ID)
	frame, err := b.Get(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s in %s", ErrNotFound, ref, region)
	}
	if err != nil {
		return nil, err
	}
	m, err := s.readManifest(frame, ref)
	if err != nil {
		return nil, &CorruptError{Region: region, Key: key, Offset: -1, Err: err}
	}
	return m, nil
}

func (s *Store) readManifest(frame []byte, ref Ref) (*manifest, error) {
	plain, err := unframe(s.codec.large, nil, frame)
	if err != nil {
		return nil, err
	}
	id, err := digest.ParseHex(ref.ID)
	if err != nil {
		return nil, err
	}
	if err := id.Verify(plain); err != nil {
		return nil, err
	}
	m, err := parseManifest(plain)
	if err != nil {
		return nil, err
	}
	if m.domain != ref.Domain || m.size != ref.Size {
		return nil, fmt.Errorf("%w: it is of %d bytes in domain %s, not %d in %s", ErrInvalid, m.size, m.domain, ref.Size, ref.Domain)
	}
	return m, nil
}

// Ref names what is read.
func (r *Reader) Ref() Ref { return r.ref }

// Size is the disk's virtual size in bytes.
func (r *Reader) Size() int64 { return r.size }

// NextData implements Sparse.
func (r *Reader) NextData(off int64) (Range, error) {
	i := r.find(off)
	if i == len(r.entries) {
		return Range{}, io.EOF
	}
	found := Range{max(off, r.entries[i].offset), r.entries[i].end()}
	for i++; i < len(r.entries) && r.entries[i].offset == found.End; i++ {
		found.End = r.entries[i].end()
	}
	return found, nil
}

// Ranges lists the data inside [off, off+n), neighbours merged; between them are zeros.
func (r *Reader) Ranges(_ context.Context, off, n int64) ([]Range, error) { return ranges(r, off, n) }

func ranges(s Sparse, off, n int64) ([]Range, error) {
	var list []Range
	for end := off + n; off < end; {
		found, err := s.NextData(off)
		if errors.Is(err, io.EOF) || err == nil && found.Start >= end {
			break
		}
		if err != nil {
			return nil, err
		}
		found.End = min(found.End, end)
		list, off = append(list, found), found.End
	}
	return list, nil
}

// ReadAt implements io.ReaderAt. A damaged chunk is a *CorruptError that names it and its place.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", ErrInvalid, off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	short := off+int64(len(p)) > r.size
	if short {
		p = p[:r.size-off]
	}
	if err := r.fill(p, off); err != nil {
		return 0, err
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// fill reads chunks in parallel when there are several.
func (r *Reader) fill(p []byte, off int64) error {
	first := r.find(off)
	end, at := off+int64(len(p)), off
	var g errgroup.Group
	g.SetLimit(r.store.Workers)
	for i := first; i < len(r.entries) && r.entries[i].offset < end; i++ {
		e := r.entries[i]
		start, stop := max(e.offset, off), min(e.end(), end)
		if start > at {
			clear(p[at-off : start-off])
		}
		at = stop
		into := p[start-off : stop-off : stop-off]
		if start == off && stop == end { // the usual small read: no goroutine
			return r.chunk(e, into, start-e.offset)
		}
		g.Go(func() error { return r.chunk(e, into, start-e.offset) })
	}
	clear(p[at-off:])
	return g.Wait()
}

// chunk copies bytes of one chunk into p. A chunk that is wanted in part is kept for the neighbouring read.
func (r *Reader) chunk(e entry, p []byte, skip int64) error {
	key := chunkKey(r.domain, e.id)
	whole := len(p) == e.length
	if !whole {
		if plain, ok := r.store.cache.get(r.region, key); ok {
			copy(p, plain[skip:])
			return nil
		}
	}
	var dst []byte
	if whole {
		dst = p
	}
	plain, err := r.store.fetch(r.ctx, r.bucket, r.region, r.domain, e, dst)
	if err != nil {
		return err
	}
	if !whole {
		r.store.cache.put(r.region, key, plain)
		copy(p, plain[skip:])
	} else if &plain[0] != &p[0] {
		copy(p, plain)
	}
	return nil
}

// fetch reads and verifies a chunk, into dst if that is large enough.
func (s *Store) fetch(ctx context.Context, b *blob.Bucket, region, domain string, e entry, dst []byte) ([]byte, error) {
	key := chunkKey(domain, e.id)
	frame, err := b.Get(ctx, key)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return nil, err
	}
	var plain []byte
	if err == nil {
		plain, err = s.codec.decode(dst, frame, e.id)
	}
	if err == nil && len(plain) != e.length {
		err = fmt.Errorf("it has %d bytes, the manifest says %d", len(plain), e.length)
	}
	if err != nil {
		return nil, &CorruptError{Region: region, Key: key, Offset: e.offset, Err: err}
	}
	return plain, nil
}
