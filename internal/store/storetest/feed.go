package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"vitrine/internal/store"
)

func testFeed(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`), doc("b", "k", `1`))
	put(t, s, doc("a", "k2", `2`))
	update(t, s, func(tx store.Tx) error { return tx.Delete("b", 0) })
	all, err := s.Changes(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "feed", all, []store.Change{{Revision: 1, Key: "a", Kind: "k"}, {Revision: 2, Key: "b", Kind: "k"},
		{Revision: 3, Key: "a", Kind: "k2"}, {Revision: 4, Key: "b", Kind: "k", Deleted: true}})
	for after := range int64(6) {
		for limit := range 4 {
			got, err := s.Changes(t.Context(), after, limit)
			expected := all[min(after, 4):]
			if limit > 0 {
				expected = expected[:min(limit, len(expected))]
			}
			if err != nil || len(got) != len(expected) || len(got) > 0 && got[0] != expected[0] {
				t.Errorf("Changes(%d, %d): %v, %v; want %v", after, limit, got, err, expected)
			}
		}
	}
}

// testFeedTrimmed: whoever follows what was thrown away is told so, and the rest is whole.
func testFeedTrimmed(t *testing.T, s *store.Store) {
	if testing.Short() {
		t.Skip("left out by -short: the feed's bound")
	}
	const batch = 1024
	var etag int64 // the latest
	for round := range store.FeedLength/batch + 2 {
		update(t, s, func(tx store.Tx) (err error) {
			for i := range batch {
				d := doc(fmt.Sprint("a", i), "k", `1`) // others in turn: a row that changes a thousand times in one transaction costs PostgreSQL most of it
				if round > 0 {
					d.ETag = int64((round-1)*batch + i + 1)
				}
				if etag, err = tx.Put(d); err != nil {
					return err
				}
			}
			return nil
		})
	}
	_, err := s.Changes(t.Context(), 0, 1)
	wantErr(t, "the beginning", err, store.ErrTrimmed)
	kept, err := s.Changes(t.Context(), etag-store.FeedLength, 0)
	if err != nil || len(kept) != store.FeedLength || kept[0].Revision != etag-store.FeedLength+1 {
		t.Errorf("the last %d: %d entries, %v", store.FeedLength, len(kept), err)
	}
}

// testFeedOrder: a follower sees every revision once, in order, while many write; none appears behind its back.
func testFeedOrder(t *testing.T, s *store.Store) {
	const writers, each = 6, 15
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for i := range each {
				if err := s.Update(ctx, func(tx store.Tx) error {
					for part := range 2 {
						if _, err := tx.Put(doc(fmt.Sprintf("%d/%d/%d", w, i, part), "k", `1`)); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var seen []store.Change
	g.Go(func() error {
		var at int64
		for len(seen) < writers*each*2 {
			if err := s.Wait(ctx, at); err != nil {
				return err
			}
			page, err := s.Changes(ctx, at, 7)
			if err != nil {
				return err
			}
			for _, c := range page {
				if c.Revision != at+1 {
					return fmt.Errorf("revision %d after %d", c.Revision, at)
				}
				at = c.Revision
				seen = append(seen, c)
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(seen); i += 2 {
		a, b := seen[i].Key, seen[i+1].Key
		if a[:len(a)-1] != b[:len(b)-1] {
			t.Fatalf("a transaction's entries are torn: %s, %s", a, b)
		}
	}
}

func testWait(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`))
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait for what is there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	errs := make([]error, 2)
	wg.Go(func() { errs[0] = s.Wait(ctx, 2) })
	limited, end := context.WithTimeout(t.Context(), 5*time.Minute)
	defer end()
	wg.Go(func() {
		errs[1] = s.Wait(limited, 1)
		cancel()
	})
	put(t, s, doc("b", "k", `1`))
	wg.Wait()
	wantErr(t, "Wait whose context ends", errs[0], context.Canceled)
	wantErr(t, "Wait for a commit", errs[1], nil)
}

// testCounters: no update is lost, whether the race is lost at the ETag or in the back-end.
func testCounters(t *testing.T, s *store.Store) {
	const writers, each = 8, 20
	put(t, s, doc("n", "k", `0`))
	g, ctx := errgroup.WithContext(t.Context())
	for range writers {
		g.Go(func() error {
			for range each {
				if err := s.Update(ctx, func(tx store.Tx) error {
					d, err := tx.Get("n")
					if err != nil {
						return err
					}
					var n int
					if _, err := fmt.Sscan(string(d.Body), &n); err != nil {
						return err
					}
					d.Body = fmt.Append(nil, n+1)
					_, err = tx.Put(d)
					return err
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	d, _ := get(t, s, "n")
	want(t, "counter", string(d.Body), fmt.Sprint(writers*each))
}

// testSnapshots: two documents that are always written together are never seen apart, and write skew is impossible.
func testSnapshots(t *testing.T, s *store.Store) {
	put(t, s, doc("x", "k", `0`), doc("y", "k", `0`))
	g, ctx := errgroup.WithContext(t.Context())
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		for i := range 40 {
			if err := s.Update(ctx, func(tx store.Tx) error {
				for _, key := range []string{"x", "y"} {
					d, err := tx.Get(key)
					if err != nil {
						return err
					}
					d.Body = fmt.Append(nil, i)
					if _, err := tx.Put(d); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		g.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := s.View(ctx, seenTogether); err != nil {
					return err
				}
			}
		})
	}
	// Each takes one key of a pair only while the other is free: both may not.
	for w := range 2 {
		g.Go(func() error {
			for i := range 20 {
				if err := s.Update(ctx, func(tx store.Tx) error { return takeIfFree(tx, i, w) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	want(t, "taken", len(list(t, s, store.Query{Prefix: "pair/"})), 20)
}

func seenTogether(tx store.Tx) error {
	x, err := tx.Get("x")
	if err != nil {
		return err
	}
	y, err := tx.Get("y")
	if err != nil {
		return err
	}
	docs, err := tx.List(store.Query{Kind: "k", Prefix: "x"})
	if err != nil {
		return err
	}
	if string(x.Body) != string(y.Body) || docs[0].ETag != x.ETag {
		return fmt.Errorf("torn read: x=%s y=%s", x.Body, y.Body)
	}
	return nil
}

func takeIfFree(tx store.Tx, i, w int) error {
	_, err := tx.Get(fmt.Sprintf("pair/%d/%d", i, 1-w))
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, err = tx.Put(doc(fmt.Sprintf("pair/%d/%d", i, w), "pair", `1`))
	return err
}

func testCancelled(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Put(doc("a", "k", `1`))
		cancel()
		return err
	})
	wantErr(t, "Update whose context ended", err, context.Canceled)
	wantErr(t, "View", s.View(ctx, func(store.Tx) error { return nil }), context.Canceled)
	want(t, "documents", list(t, s, store.Query{}), []string(nil))
}

func testPanic(t *testing.T, s *store.Store) {
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			_, _ = tx.Put(doc("a", "k", `1`))
			panic("the function's own fault")
		})
	}()
	put(t, s, doc("b", "k", `1`)) // hangs if the transaction was left open
	want(t, "documents", list(t, s, store.Query{}), []string{"b"})
}

func testClosed(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`))
	waited := make(chan error, 1)
	go func() { waited <- s.Wait(context.Background(), 1) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Wait", <-waited, store.ErrClosed)
	nothing := func(store.Tx) error { t.Error("called after Close"); return nil }
	wantErr(t, "View", s.View(t.Context(), nothing), store.ErrClosed)
	wantErr(t, "Update", s.Update(t.Context(), nothing), store.ErrClosed)
	_, err := s.Claim(t.Context(), "k", "w", time.Second)
	wantErr(t, "Claim", err, store.ErrClosed)
	_, err = s.Changes(t.Context(), 0, 0)
	wantErr(t, "Changes", err, store.ErrClosed)
	wantErr(t, "second Close", s.Close(), nil)
}
