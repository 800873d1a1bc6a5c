package image

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"vitrine/internal/blob"
	"vitrine/internal/image/chunk"
	"vitrine/internal/image/recent"
)

// OutpostConfig is what an Outpost needs.
type OutpostConfig struct {
	Buckets func(region string) (*blob.Bucket, error)
	Regions []string // where else to look for a sound copy of what is damaged
	Workers int      // decoders; 0: one per CPU
	Log     *slog.Logger
	// Keys gives a key of a domain. An error says that it cannot be had now, which is no fault of the bytes.
	Keys func(ctx context.Context, domain, id string) (*chunk.Key, error)
}

// Outpost is the reading half of a Store in a process that has no database and no master key: keys are handed to it. It verifies and
// mends chunks as a Store does; who needs what is damaged it cannot say (Store.TellDamage).
type Outpost struct{ s *Store }

// NewOutpost makes one. Close it at the end.
func NewOutpost(c OutpostConfig) (*Outpost, error) {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{Config: Config{Buckets: c.Buckets, Regions: c.Regions, Workers: c.Workers, Log: c.Log}, handed: c.Keys, cache: recent.New[*Reader](8 << 20)}
	var err error
	if s.codec, err = chunk.NewCodec(c.Workers); err != nil {
		return nil, fmt.Errorf("image outpost: %w", err)
	}
	s.life, s.end = context.WithCancel(context.Background())
	return &Outpost{s}, nil
}

// Open is Store.Open, but for a damaged manifest, which is not mended.
func (o *Outpost) Open(ctx context.Context, region string, ref Ref) (*Reader, error) {
	return o.s.Open(ctx, region, ref)
}

// Forget drops what was read of a domain.
func (o *Outpost) Forget(domain string) { o.s.cache.ForgetDomain(domain) }

// Close ends it.
func (o *Outpost) Close() error {
	o.s.end()
	return o.s.codec.Close()
}

// All lists where the disk has data, ascending; the list is not to be changed.
func (r *Reader) All() []chunk.Entry { return r.m.Entries }

// Fetch reads one entry and verifies it, into dst if that is large enough; a *CorruptError if no region has it whole.
func (r *Reader) Fetch(ctx context.Context, e chunk.Entry, dst []byte) ([]byte, error) {
	return r.fetch(ctx, e, dst)
}

// TellDamage logs, with who needs it, what an Outpost has found damaged and could not mend.
func (s *Store) TellDamage(ctx context.Context, ref Ref, fault *CorruptError) error {
	return s.named(ctx, ref, fault)
}
