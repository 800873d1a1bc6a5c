package image

import (
	"bytes"
	"context"
	"fmt"

	"vitrine/internal/blob"
	"vitrine/internal/image/chunk"
)

// Checked is what came of looking at one object.
type Checked struct {
	Bytes    int64 // as stored
	Mended   bool  // it was damaged, and came whole from another region
	Resealed bool  // it was sealed with a former key, or not at all
}

// CheckManifest reads a manifest from the region itself, not from memory, and mends it if need be; with reseal it is
// encrypted with the domain's present key if it is not. *CorruptError.
func (s *Store) CheckManifest(ctx context.Context, region string, ref Ref, reseal bool) (*Reader, Checked, error) {
	s.cache.Forget(region, ref)
	before := s.mended.Load()
	r, err := s.Open(ctx, region, ref)
	if err != nil {
		return nil, Checked{}, err
	}
	object := chunk.ManifestObject(ref.Domain, ref.ID)
	frame, err := r.bucket.Get(ctx, object)
	if err != nil {
		return nil, Checked{}, err
	}
	c := Checked{Bytes: int64(len(frame)), Mended: s.mended.Load() != before}
	if reseal {
		c.Resealed, err = s.reseal(ctx, r.bucket, ref.Domain, object, frame, func() ([]byte, error) { return r.m.Marshal(), nil })
	}
	return r, c, err
}

// Entries lists each chunk of the disk once, where it lies first.
func (r *Reader) Entries() []chunk.Entry { return r.m.Distinct() }

// Check is CheckManifest for a chunk.
func (r *Reader) Check(ctx context.Context, e chunk.Entry, reseal bool) (Checked, error) {
	frame, mended, err := r.sound(blob.Itself(ctx), e)
	c := Checked{Bytes: int64(len(frame)), Mended: mended}
	if err != nil || !reseal {
		return c, err
	}
	object := chunk.Object(r.m.Domain, e.ID)
	c.Resealed, err = r.store.reseal(ctx, r.bucket, r.m.Domain, object, frame, func() ([]byte, error) {
		return r.prove(ctx, e, nil, bytes.Clone(frame))
	})
	return c, err
}

// reseal replaces a frame by one that the domain's present key seals, unless it is that already. Its name stays.
func (s *Store) reseal(ctx context.Context, b *blob.Bucket, domain, object string, frame []byte, plain func() ([]byte, error)) (bool, error) {
	key, err := s.writingKey(ctx, domain)
	if err != nil || key == nil || chunk.SealedWith(frame) == key.ID() {
		return false, err
	}
	content, err := plain()
	if err != nil {
		return false, err
	}
	fresh := s.codec.Encode(nil, content, object, key)
	if len(content) <= chunk.Max { // a manifest is verified by its id whenever it is read
		var scratch chunk.Scratch
		if err := s.codec.Prove(&scratch, fresh, content, object, key); err != nil {
			return false, fmt.Errorf("%s: %w", object, err)
		}
	}
	if err := b.Replace(ctx, object, fresh); err != nil {
		return false, err
	}
	return true, nil // one that was collected meanwhile has come back; the next collection takes it
}

// Allocated is how many bytes of the disk lie in chunks; the rest is zero.
func (r *Reader) Allocated() (n int64) {
	for _, e := range r.m.Entries {
		n += int64(e.Length)
	}
	return n
}
