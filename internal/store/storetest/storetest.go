// Package storetest is the contract of store.Driver as tests: a back-end joins by one call of Run.
//
// It owns no back-end. Each subtest opens a store of its own by the function that it is given, works on it through
// store.Store as callers do, and closes it:
//
//	memstore_test, sqlstore_test ── Run(t, open) ──▶ subtests ──▶ store.Store ──▶ the back-end
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/store"
)

// Run tests that the empty stores which open returns keep the contract. They are closed by Run; they need not be
// distinct from those of an earlier test once closed, but must be empty.
func Run(t *testing.T, open func(t *testing.T) store.Driver) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *store.Store)
	}{
		{"Documents", testDocuments},
		{"Conflicts", testConflicts},
		{"Rollback", testRollback},
		{"ReadOnly", testReadOnly},
		{"OwnWrites", testOwnWrites},
		{"Isolated", testIsolated},
		{"Aliases", testAliases},
		{"Invalid", testInvalid},
		{"HostileReads", testHostileReads},
		{"Prefixes", testPrefixes},
		{"Pages", testPages},
		{"Terms", testTerms},
		{"Model", testModel},
		{"Feed", testFeed},
		{"FeedTrimmed", testFeedTrimmed},
		{"FeedOrder", testFeedOrder},
		{"Wait", testWait},
		{"Counters", testCounters},
		{"Snapshots", testSnapshots},
		{"ClaimOrder", testClaimOrder},
		{"LeaseKept", testLeaseKept},
		{"LeaseLost", testLeaseLost},
		{"LeaseOfEarlierLife", testLeaseOfEarlierLife},
		{"ClaimBad", testClaimBad},
		{"Workers", testWorkers},
		{"Cancelled", testCancelled},
		{"Panic", testPanic},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := store.New(open(t))
			t.Cleanup(func() { _ = s.Close() })
			test.run(t, s)
		})
	}
}

// doc is a document with a body that a test can recognise.
func doc(key, kind, body string, terms ...string) store.Document {
	return store.Document{Key: key, Kind: kind, Body: []byte(body), Terms: terms}
}

func update(t *testing.T, s *store.Store, f func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// put writes documents in one transaction, whatever their ETags are in the store.
func put(t *testing.T, s *store.Store, docs ...store.Document) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for _, d := range docs {
			old, err := tx.Get(d.Key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			d.ETag = old.ETag
			if _, err := tx.Put(d); err != nil {
				return err
			}
		}
		return nil
	})
}

func get(t *testing.T, s *store.Store, key string) (d store.Document, err error) {
	t.Helper()
	_ = s.View(t.Context(), func(tx store.Tx) error {
		d, err = tx.Get(key)
		return nil
	})
	return d, err
}

func list(t *testing.T, s *store.Store, q store.Query) []string {
	t.Helper()
	var keys []string
	err := s.View(t.Context(), func(tx store.Tx) error {
		docs, err := tx.List(q)
		for _, d := range docs {
			keys = append(keys, d.Key)
		}
		return err
	})
	if err != nil {
		t.Fatalf("List(%+v): %v", q, err)
	}
	return keys
}

func revision(t *testing.T, s *store.Store) (r int64) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) (err error) {
		r, err = tx.Revision()
		return err
	})
	if err != nil {
		t.Fatalf("Revision: %v", err)
	}
	return r
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func testDocuments(t *testing.T, s *store.Store) {
	if _, err := get(t, s, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	due := time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC)
	first := store.Document{Key: "a", Kind: "k", Body: []byte("{\"z\": 1,\n \"a\": \"\\u0000<é\"}"), Terms: []string{"x", "b", "x"}, Due: due.In(time.FixedZone("", 3600))}
	put(t, s, first)
	got, err := get(t, s, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got.ETag <= 0 || got.ETag != revision(t, s) {
		t.Errorf("ETag %d, revision %d", got.ETag, revision(t, s))
	}
	first.Terms, first.Due, first.ETag = []string{"b", "x"}, due, got.ETag
	want(t, "document", got, first)

	put(t, s, doc("a", "other", `null`))
	again, _ := get(t, s, "a")
	if again.ETag <= got.ETag || again.Kind != "other" || string(again.Body) != "null" || len(again.Terms) != 0 || !again.Due.IsZero() {
		t.Errorf("after the second Put: %+v", again)
	}
	want(t, "old kind", list(t, s, store.Query{Kind: "k"}), []string(nil))
	want(t, "old term", list(t, s, store.Query{All: []string{"x"}}), []string(nil))

	update(t, s, func(tx store.Tx) error { return tx.Delete("a", again.ETag) })
	_, err = get(t, s, "a")
	wantErr(t, "Get of the deleted", err, store.ErrNotFound)
}

func testConflicts(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`))
	d, _ := get(t, s, "a")
	before := revision(t, s)
	for _, etag := range []int64{0, d.ETag - 1, d.ETag + 1, -1} {
		update(t, s, func(tx store.Tx) error {
			c := doc("a", "k", `2`, "t")
			c.ETag = etag
			_, err := tx.Put(c)
			wantErr(t, fmt.Sprintf("Put with ETag %d", etag), err, store.ErrConflict)
			if etag != 0 {
				wantErr(t, "Delete", tx.Delete("a", etag), store.ErrConflict)
			}
			return nil // a conflict must not spoil the transaction
		})
	}
	update(t, s, func(tx store.Tx) error {
		c := doc("new", "k", `2`)
		c.ETag = d.ETag
		_, err := tx.Put(c)
		wantErr(t, "Put of nothing with an ETag", err, store.ErrConflict)
		wantErr(t, "Delete of nothing", tx.Delete("new", 0), store.ErrNotFound)
		return nil
	})
	got, _ := get(t, s, "a")
	want(t, "untouched", got, d)
	want(t, "revision", revision(t, s), before)
	update(t, s, func(tx store.Tx) error { return tx.Delete("a", 0) })
}

func testRollback(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`, "t"), doc("b", "k", `1`, "t"))
	a, _ := get(t, s, "a")
	before := revision(t, s)
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		n := doc("a", "k2", `2`, "u")
		n.ETag = a.ETag
		if _, err := tx.Put(n); err != nil {
			return err
		}
		if _, err := tx.Put(doc("c", "k", `3`, "t")); err != nil {
			return err
		}
		if err := tx.Delete("b", 0); err != nil {
			return err
		}
		return boom
	})
	if err != boom { // not errors.Is: the contract is "unchanged"
		t.Errorf("Update returned %v, want the function's own error", err)
	}
	want(t, "documents", list(t, s, store.Query{Kind: "k", All: []string{"t"}}), []string{"a", "b"})
	want(t, "terms", list(t, s, store.Query{Any: []string{"u"}}), []string(nil))
	got, _ := get(t, s, "a")
	want(t, "a", got, a)
	want(t, "revision", revision(t, s), before)
	changes, err := s.Changes(t.Context(), before, 0)
	if err != nil || len(changes) > 0 {
		t.Errorf("feed after a rollback: %v, %v", changes, err)
	}
}

func testReadOnly(t *testing.T, s *store.Store) {
	put(t, s, doc("a", "k", `1`))
	err := s.View(t.Context(), func(tx store.Tx) error {
		_, err := tx.Put(doc("b", "k", `1`))
		wantErr(t, "Put", err, store.ErrReadOnly)
		wantErr(t, "Delete", tx.Delete("a", 0), store.ErrReadOnly)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "documents", list(t, s, store.Query{}), []string{"a"})
}

func testOwnWrites(t *testing.T, s *store.Store) {
	update(t, s, func(tx store.Tx) error {
		etag, err := tx.Put(doc("a", "k", `1`, "t"))
		if err != nil {
			return err
		}
		d, err := tx.Get("a")
		if err != nil || d.ETag != etag {
			t.Errorf("Get of its own write: %+v, %v", d, err)
		}
		if r, err := tx.Revision(); err != nil || r != etag {
			t.Errorf("Revision %d, %v; want %d", r, err, etag)
		}
		docs, err := tx.List(store.Query{All: []string{"t"}})
		if err != nil || len(docs) != 1 {
			t.Errorf("List of its own write: %+v, %v", docs, err)
		}
		d.Body = []byte(`2`)
		next, err := tx.Put(d)
		if err != nil || next <= etag {
			t.Errorf("second Put: %d after %d, %v", next, etag, err)
		}
		if err := tx.Delete("a", next); err != nil {
			return err
		}
		_, err = tx.Get("a")
		wantErr(t, "Get of its own Delete", err, store.ErrNotFound)
		_, err = tx.Put(doc("a", "k", `3`))
		return err
	})
	d, err := get(t, s, "a")
	if err != nil || string(d.Body) != `3` {
		t.Errorf("at the end: %+v, %v", d, err)
	}
}

// testIsolated: what a transaction writes is not seen before it ends.
func testIsolated(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	wrote, seen := make(chan struct{}), make(chan []string, 1)
	go func() {
		<-wrote
		var keys []string
		_ = s.View(ctx, func(tx store.Tx) error {
			docs, _ := tx.List(store.Query{})
			for _, d := range docs {
				keys = append(keys, d.Key)
			}
			return nil
		})
		seen <- keys
	}()
	boom := errors.New("boom")
	err := s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Put(doc("a", "k", `1`))
		if err != nil {
			return err
		}
		close(wrote)
		return boom
	})
	wantErr(t, "Update", err, boom)
	want(t, "seen", <-seen, []string(nil))
}

// testAliases: what goes in and out is nobody else's memory.
func testAliases(t *testing.T, s *store.Store) {
	d := doc("a", "k", `"one"`, "t")
	put(t, s, d)
	copy(d.Body, `"two"`)
	d.Terms[0] = "u"
	for range 2 {
		got, err := get(t, s, "a")
		if err != nil || string(got.Body) != `"one"` || strings.Join(got.Terms, " ") != "t" {
			t.Fatalf("got %+v, %v", got, err)
		}
		copy(got.Body, `"mad"`)
		got.Terms[0] = "v"
	}
}
