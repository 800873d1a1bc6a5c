package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/blob"
	"vitrine/internal/digest"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/extent"
)

// Reader reads a disk at any offset, each chunk verified. It may be used by many goroutines and needs no Close.
type Reader struct {
	m      *chunk.Manifest
	key    *chunk.Key // names the chunks; nil: format version 1
	ref    Ref
	store  *Store
	bucket *blob.Bucket
	region string
	ctx    context.Context // ends with the Store: io.ReaderAt has no context
}

// Open prepares to read a disk from a region. ErrNotFound; ErrShredded; *CorruptError if no other region has it whole.
func (s *Store) Open(ctx context.Context, region string, ref Ref) (*Reader, error) {
	if err := ref.Check(); err != nil {
		return nil, err
	}
	b, err := s.bucket(region)
	if err != nil {
		return nil, err
	}
	if r, ok := s.cache.Reader(region, ref); ok {
		return r, nil
	}
	m, err := s.loadManifest(ctx, b, region, ref)
	if err != nil {
		return nil, err
	}
	r := &Reader{m: m, ref: ref, store: s, bucket: b, region: region, ctx: s.life}
	if r.key, err = s.namingKey(ctx, m); err != nil {
		return nil, err
	}
	s.cache.KeepReader(region, ref, r)
	return r, nil
}

// loadManifest reads a manifest, and mends one that is damaged.
func (s *Store) loadManifest(ctx context.Context, b *blob.Bucket, region string, ref Ref) (*chunk.Manifest, error) {
	object := chunk.ManifestObject(ref.Domain, ref.ID)
	frame, err := b.Get(ctx, object)
	if errors.Is(err, blob.ErrNotFound) {
		if m, err := s.mendManifest(ctx, b, region, ref); m != nil || err != nil {
			return m, err
		}
		return nil, fmt.Errorf("%w: %s in %s", ErrNotFound, ref, region)
	}
	if err != nil {
		return nil, err
	}
	m, err := s.readManifest(ctx, frame, ref)
	if err == nil || !damage(err) {
		return m, err
	}
	fault := &CorruptError{Region: region, Key: object, Offset: -1, Err: err}
	if m, err := s.mendManifest(ctx, b, region, ref); m != nil || err != nil {
		return m, err
	}
	return nil, s.named(ctx, ref, fault)
}

// readManifest decodes and verifies; the frame is destroyed by that.
func (s *Store) readManifest(ctx context.Context, frame []byte, ref Ref) (*chunk.Manifest, error) {
	plain, err := s.codec.Manifest(frame, chunk.ManifestObject(ref.Domain, ref.ID), s.keys(ctx, ref.Domain))
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
	m, err := chunk.Parse(plain)
	if err != nil {
		return nil, err
	}
	if m.Domain != ref.Domain || m.Size != ref.Size {
		return nil, fmt.Errorf("%w: it is of %d bytes in domain %s, not %d in %s", ErrInvalid, m.Size, m.Domain, ref.Size, ref.Domain)
	}
	return m, nil
}

// Ref names what is read.
func (r *Reader) Ref() Ref { return r.ref }

// Size is the disk's virtual size in bytes.
func (r *Reader) Size() int64 { return r.m.Size }

// NextData implements Sparse.
func (r *Reader) NextData(off int64) (Range, error) {
	i := r.m.Find(off)
	if i == len(r.m.Entries) {
		return Range{}, io.EOF
	}
	found := Range{Start: max(off, r.m.Entries[i].Offset), End: r.m.Entries[i].End()}
	for i++; i < len(r.m.Entries) && r.m.Entries[i].Offset == found.End; i++ {
		found.End = r.m.Entries[i].End()
	}
	return found, nil
}

// Ranges lists the data inside [off, off+n), neighbours merged; between them are zeros.
func (r *Reader) Ranges(_ context.Context, off, n int64) ([]Range, error) {
	return extent.List(r, off, n)
}

// ReadAt implements io.ReaderAt. A damaged chunk is a *CorruptError that names it and its place.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", ErrInvalid, off)
	}
	if off >= r.m.Size {
		return 0, io.EOF
	}
	short := off+int64(len(p)) > r.m.Size
	if short {
		p = p[:r.m.Size-off]
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
	first := r.m.Find(off)
	end, at := off+int64(len(p)), off
	var g errgroup.Group
	g.SetLimit(r.store.Workers)
	for i := first; i < len(r.m.Entries) && r.m.Entries[i].Offset < end; i++ {
		e := r.m.Entries[i]
		start, stop := max(e.Offset, off), min(e.End(), end)
		if start > at {
			clear(p[at-off : start-off])
		}
		at = stop
		into := p[start-off : stop-off : stop-off]
		if start == off && stop == end { // the usual small read: no goroutine
			return r.chunk(e, into, start-e.Offset)
		}
		g.Go(func() error { return r.chunk(e, into, start-e.Offset) })
	}
	clear(p[at-off:])
	return g.Wait()
}

// chunk copies bytes of one chunk into p. A chunk that is wanted in part is kept for the neighbouring read.
func (r *Reader) chunk(e chunk.Entry, p []byte, skip int64) error {
	object := chunk.Object(r.m.Domain, e.ID)
	whole := len(p) == e.Length
	if !whole {
		if plain, ok := r.store.cache.Get(r.region, object); ok {
			copy(p, plain[skip:])
			return nil
		}
	}
	var dst []byte
	if whole {
		dst = p
	}
	plain, err := r.fetch(r.ctx, e, dst)
	if err != nil {
		return err
	}
	if !whole {
		r.store.cache.Put(r.region, object, plain)
		copy(p, plain[skip:])
	} else if &plain[0] != &p[0] {
		copy(p, plain)
	}
	return nil
}

// fetch reads and verifies a chunk, into dst if that is large enough, and mends one that is damaged.
func (r *Reader) fetch(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
	object := chunk.Object(r.m.Domain, e.ID)
	memory := r.store.codec.Memory()
	defer r.store.codec.Free(memory)
	frame, err := r.bucket.GetInto(ctx, object, *memory)
	var plain []byte
	if err == nil {
		plain, err = r.decode(ctx, e, dst, frame)
	}
	if err == nil || !damage(err) {
		return plain, err
	}
	fault := &CorruptError{Region: r.region, Key: object, Offset: e.Offset, Err: err}
	if plain, err = r.mend(ctx, e, dst, fault); err == nil {
		return plain, nil
	}
	return nil, err
}

// decode reads a frame, which is destroyed by that, and verifies what is in it as far as a reader needs: by the chunk's id unless the frame
// proves it for less (docs/decisions/2026-11-23-verified-reads.md).
func (r *Reader) decode(ctx context.Context, e chunk.Entry, dst, frame []byte) ([]byte, error) {
	plain, proven, err := r.store.codec.Chunk(dst, frame, chunk.Object(r.m.Domain, e.ID), r.store.keys(ctx, r.m.Domain))
	if err == nil && proven && len(plain) == e.Length {
		return plain, nil
	}
	return plain, r.verify(e, plain, err)
}

// prove is decode for a frame that is to be written somewhere, or that a scrub looks at: always by the id.
func (r *Reader) prove(ctx context.Context, e chunk.Entry, dst, frame []byte) ([]byte, error) {
	plain, _, err := r.store.codec.Chunk(dst, frame, chunk.Object(r.m.Domain, e.ID), r.store.keys(ctx, r.m.Domain))
	return plain, r.verify(e, plain, err)
}

// verify says whether plain is what the entry names, if it could be decoded at all.
func (r *Reader) verify(e chunk.Entry, plain []byte, err error) error {
	if err == nil {
		err = r.key.Verify(e.ID, plain)
	}
	if err == nil && len(plain) != e.Length {
		err = fmt.Errorf("it has %d bytes, the manifest says %d", len(plain), e.Length)
	}
	return err
}
