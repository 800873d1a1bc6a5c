package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/store"
)

const long = time.Hour

func due(key, kind string, at time.Time) store.Document {
	d := doc(key, kind, `1`)
	d.Due = at
	return d
}

func past(ago time.Duration) time.Time { return time.Now().Add(-ago) }

func claim(t *testing.T, s *store.Store, kind, owner string, ttl time.Duration) store.Lease {
	t.Helper()
	l, err := s.Claim(t.Context(), kind, owner, ttl)
	if err != nil {
		t.Fatalf("Claim(%s, %s): %v", kind, owner, err)
	}
	return l
}

func fence(t *testing.T, s *store.Store, l store.Lease) error {
	return s.Update(t.Context(), func(tx store.Tx) error { return tx.Fence(l) })
}

// lapse claims the only due document of a kind until an earlier hold on it has run out.
func lapse(t *testing.T, s *store.Store, kind, owner string) store.Lease {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-tick.C {
		l, err := s.Claim(t.Context(), kind, owner, long)
		if err == nil {
			return l
		}
		wantErr(t, "Claim", err, store.ErrNothing)
	}
	t.Fatal("a lapsed lease was never given out again")
	return store.Lease{}
}

func testClaimOrder(t *testing.T, s *store.Store) {
	put(t, s, due("a", "k", past(time.Minute)), due("b", "k", past(3*time.Minute)), due("c", "k", past(2*time.Minute)),
		due("d", "other", past(9*time.Minute)), due("e", "k", time.Now().Add(time.Hour)), due("f", "k", time.Time{}))
	before := revision(t, s)
	for i, key := range []string{"b", "c", "a"} {
		l := claim(t, s, "k", fmt.Sprint("w", i), long)
		got, _ := get(t, s, key)
		want(t, "claimed", l.Document, got)
		if l.Attempt != 1 || l.Owner != fmt.Sprint("w", i) || time.Until(l.Until) > long+time.Minute || time.Until(l.Until) < long-time.Minute {
			t.Errorf("lease %+v", l)
		}
	}
	_, err := s.Claim(t.Context(), "k", "w", long)
	wantErr(t, "Claim of nothing", err, store.ErrNothing)
	want(t, "a claim is no write", revision(t, s), before)
}

func testLeaseKept(t *testing.T, s *store.Store) {
	put(t, s, due("a", "k", past(time.Minute)))
	l := claim(t, s, "k", "w", long)
	update(t, s, func(tx store.Tx) error {
		if err := tx.Fence(l); err != nil {
			return err
		}
		l.Body = []byte(`2`)
		etag, err := tx.Put(l.Document)
		l.ETag = etag
		return err
	})
	_, err := s.Claim(t.Context(), "k", "other", long)
	wantErr(t, "Claim of what is held, after a Put", err, store.ErrNothing)
	wantErr(t, "Fence after a Put", fence(t, s, l), nil)

	l2, err := s.Renew(t.Context(), l, 2*long)
	if err != nil || !l2.Until.After(l.Until) || l2.Attempt != l.Attempt {
		t.Errorf("Renew: %+v, %v", l2, err)
	}
	wantErr(t, "Fence with the older value of the same hold", fence(t, s, l), nil)
	wantErr(t, "Release", s.Release(t.Context(), l2), nil)
	wantErr(t, "Fence after Release", fence(t, s, l2), store.ErrLease)
	wantErr(t, "second Release", s.Release(t.Context(), l2), store.ErrLease)
	_, err = s.Renew(t.Context(), l2, long)
	wantErr(t, "Renew after Release", err, store.ErrLease)

	l3 := claim(t, s, "k", "w", long)
	want(t, "attempt", l3.Attempt, int64(2))
	wantErr(t, "Fence with the first claim of the same owner", fence(t, s, l2), store.ErrLease)
	done := l3.Document
	done.Due = time.Time{}
	put(t, s, done)
	wantErr(t, "Release of a finished one", s.Release(t.Context(), l3), nil)
	_, err = s.Claim(t.Context(), "k", "w", long)
	wantErr(t, "Claim of what is not due", err, store.ErrNothing)
}

func testLeaseLost(t *testing.T, s *store.Store) {
	put(t, s, due("a", "k", past(time.Minute)))
	l := claim(t, s, "k", "slow", 30*time.Millisecond)
	l2 := lapse(t, s, "k", "quick")
	want(t, "attempt", l2.Attempt, int64(2))
	if l2.Until.Before(l.Until) {
		t.Errorf("claimed until %s, the earlier hold until %s", l2.Until, l.Until)
	}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		d, err := tx.Get("a")
		if err != nil {
			return err
		}
		d.Body = []byte(`"late"`)
		if _, err := tx.Put(d); err != nil {
			return err
		}
		return tx.Fence(l)
	})
	wantErr(t, "the late worker's transaction", err, store.ErrLease)
	_, err = s.Renew(t.Context(), l, long)
	wantErr(t, "the late worker's Renew", err, store.ErrLease)
	wantErr(t, "the late worker's Release", s.Release(t.Context(), l), store.ErrLease)
	got, _ := get(t, s, "a")
	want(t, "body", string(got.Body), `1`)
	wantErr(t, "the quick worker's Fence", fence(t, s, l2), nil)
}

// testLeaseOfEarlierLife: a document that was deleted and made again is not held by who held the first.
func testLeaseOfEarlierLife(t *testing.T, s *store.Store) {
	put(t, s, due("a", "k", past(time.Minute)))
	l := claim(t, s, "k", "w", long)
	update(t, s, func(tx store.Tx) error { return tx.Delete("a", 0) })
	wantErr(t, "Fence of the deleted", fence(t, s, l), store.ErrLease)
	_, err := s.Renew(t.Context(), l, long)
	wantErr(t, "Renew of the deleted", err, store.ErrLease)
	put(t, s, due("a", "k", past(time.Minute)))
	wantErr(t, "Fence before the second is claimed", fence(t, s, l), store.ErrLease)
	l2 := claim(t, s, "k", "w", long)
	wantErr(t, "Fence with the first's lease", fence(t, s, l), store.ErrLease)
	wantErr(t, "Release with the first's lease", s.Release(t.Context(), l), store.ErrLease)
	wantErr(t, "Fence with the second's lease", fence(t, s, l2), nil)
}

func testClaimBad(t *testing.T, s *store.Store) {
	put(t, s, due("a", "k", past(time.Minute)))
	for _, c := range []struct {
		kind, owner string
		ttl         time.Duration
	}{{"", "w", long}, {"k", "", long}, {"k\x00", "w", long}, {"k", "w\xff", long}, {"k", "w", 0}, {"k", "w", -1}} {
		_, err := s.Claim(t.Context(), c.kind, c.owner, c.ttl)
		wantErr(t, fmt.Sprintf("Claim(%+v)", c), err, store.ErrInvalid)
	}
	l := claim(t, s, "k", "w", long)
	_, err := s.Renew(t.Context(), l, 0)
	wantErr(t, "Renew by nothing", err, store.ErrInvalid)
}

// testWorkers: eight workers, a tenth of the claims end as crashes do. Every document is completed exactly once.
func testWorkers(t *testing.T, s *store.Store) {
	const workers, documents = 8, 80
	var docs []store.Document
	for i := range documents {
		docs = append(docs, due(fmt.Sprintf("op/%03d", i), "op", past(time.Minute)))
	}
	put(t, s, docs...)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	var left, claims atomic.Int64
	left.Store(documents)
	for w := range workers {
		g.Go(func() error {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for left.Load() > 0 && ctx.Err() == nil {
				crash := claims.Add(1)%10 == 0
				ttl := 30 * time.Second
				if crash {
					ttl = 20 * time.Millisecond
				}
				l, err := s.Claim(ctx, "op", fmt.Sprint("w", w), ttl)
				switch {
				case errors.Is(err, store.ErrNothing):
					<-tick.C
				case err != nil:
					return err
				case !crash:
					if err := complete(ctx, s, l); err != nil {
						return fmt.Errorf("%s, attempt %d: %w", l.Key, l.Attempt, err)
					}
					left.Add(-1)
				}
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	want(t, "completed", len(list(t, s, store.Query{Kind: "done"})), documents)
	changes, err := s.Changes(t.Context(), documents, 0)
	if err != nil || len(changes) != 2*documents {
		t.Errorf("%d writes completed %d documents, want two each: %v", len(changes), documents, err)
	}
}

// complete records the work in a document that may be made only once, beside the claimed one that is no longer due.
func complete(ctx context.Context, s *store.Store, l store.Lease) error {
	return s.Update(ctx, func(tx store.Tx) error {
		if err := tx.Fence(l); err != nil {
			return err
		}
		if _, err := tx.Put(doc("done/"+l.Key, "done", `1`)); err != nil {
			return err
		}
		d := l.Document
		d.Due = time.Time{}
		_, err := tx.Put(d)
		return err
	})
}
