package image

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/packs"
)

// leaving is a bucket that can be away.
type leaving struct {
	*blob.Bucket
	away *atomic.Bool
}

func (l leaving) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	switch {
	case l.away.Load():
		return nil, blob.ErrAway
	case length < 0:
		return l.Bucket.Get(ctx, key)
	}
	return l.Bucket.GetRange(ctx, key, offset, length)
}

// An outpost reads what lies in packs without the records; a store that does not answer is no damage.
func TestOutpostOnPacks(t *testing.T) {
	raw, away := memblob.New(), &atomic.Bool{}
	w := newWorld(t, func(c *Config) {
		docs := c.Store
		c.Buckets = func(region string) (*blob.Bucket, error) {
			return packs.New(packs.Config{Bucket: raw, Store: docs, Region: region, Target: 1 << 20})
		}
	})
	want := disk(8, 8<<20)
	ref := w.pack(t, "eastus", want)
	o, err := NewOutpost(OutpostConfig{Buckets: func(string) (*blob.Bucket, error) {
		return packs.NewReader(packs.ReaderConfig{Bucket: blob.New(leaving{raw, away})})
	}, Keys: func(ctx context.Context, domain, id string) (*chunk.Key, error) {
		secrets, err := w.Keys().Secrets(ctx, domain)
		if err != nil {
			return nil, err
		}
		return chunk.NewKey(secrets[id])
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	r, err := o.Open(t.Context(), "eastus", ref)
	if err != nil || !bytes.Equal(read(t, r, ref.Size), want) {
		t.Fatalf("other bytes: %v", err)
	}
	away.Store(true)
	for _, e := range r.All()[:3] {
		_, err := r.Fetch(blob.Itself(t.Context()), e, nil) // not what was read ahead
		if _, corrupt := errors.AsType[*CorruptError](err); corrupt || !errors.Is(err, blob.ErrAway) {
			t.Errorf("with the store away: %v", err)
		}
	}
}
