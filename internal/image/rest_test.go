package image

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/image/chunk"
)

// slowBucket takes its time for deletions, and notes when it was at them.
type slowBucket struct {
	*blob.Bucket
	took  time.Duration
	spans []span
}

type span struct {
	begin, end time.Time
	keys       int
}

func (b *slowBucket) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if length < 0 {
		return b.Bucket.Get(ctx, key)
	}
	return b.GetRange(ctx, key, offset, length)
}

func (b *slowBucket) DeleteMany(ctx context.Context, keys []string) error {
	begin := time.Now()
	time.Sleep(b.took) // of the bubble
	b.spans = append(b.spans, span{begin, time.Now(), len(keys)})
	return b.Bucket.DeleteMany(ctx, keys)
}

// Between two batches a collection is still for as long as the batch took, and lets writers through.
func TestCollectionRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, noGrace)
		slow := &slowBucket{Bucket: w.buckets["eastus"], took: 300 * time.Millisecond}
		w.buckets["eastus"] = blob.New(slow)
		const chunks = 3*sweepSize - 1 // and the manifest
		d := make([]byte, chunks*2*chunk.Block)
		for i := range chunks {
			binary.BigEndian.PutUint32(d[i*2*chunk.Block:], uint32(i+1))
		}
		w.pack(t, "eastus", d)
		time.Sleep(time.Second)
		if r := w.collect(t, "eastus"); r.Objects != 3*sweepSize {
			t.Fatalf("%+v", r)
		}
		if len(slow.spans) != 3 {
			t.Fatalf("%d batches: %v", len(slow.spans), slow.spans)
		}
		for i, s := range slow.spans[1:] {
			if rest := s.begin.Sub(slow.spans[i].end); rest < slow.took {
				t.Errorf("a rest of %v after a batch of %v", rest, slow.took)
			}
		}
	})
}
