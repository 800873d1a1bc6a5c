// Package store_test measures the store's hardest readers at growing sizes, on SQLite and PostgreSQL.
//
// It owns no assertion: the numbers are in RESULTS.md, made by
//
//	go test -run '^$' -bench . -benchtime 200x ./bench/store
//
// Each size fills one store with that many role assignments, disks and operations; each reader is then timed by its median:
//
//	fill ─▶ readers ─▶ median of b.N, as ns/op-median
package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
	"vitrine/internal/store/storetest/pgtest"
)

var sizes = [...]int{100, 10_000, 100_000}

const callers, subscriptions = 50, 20

func BenchmarkSQLite(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, err := sqlstore.OpenSQLite(filepath.Join(b.TempDir(), "store.db"))
			measure(b, d, err, n)
		})
	}
}

func BenchmarkPostgres(b *testing.B) {
	dsn := pgtest.Start(b)
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d, err := sqlstore.OpenPostgres(pgtest.Database(b, dsn))
			measure(b, d, err, n)
		})
	}
}

func measure(b *testing.B, d store.Driver, err error, n int) {
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	s := store.New(d)
	fill(b, s, n)
	// The caller that is asked for holds as much at every size; what grows is everybody else.
	scopes := []string{"/", subscription(3), subscription(3) + "/rg", subscription(3) + "/rg/g", subscription(3) + "/rg/g/i", subscription(3) + "/rg/g/i/v"}
	var any []string
	for _, scope := range scopes {
		any = append(any, "ps:caller|"+scope)
	}
	lists := []struct {
		name string
		q    store.Query
		want int
	}{
		{"AssignmentsAtScope", store.Query{Kind: "assignment", Any: any}, 2},
		{"ScopesOfCaller", store.Query{Kind: "assignment", All: []string{"p:caller"}}, 3},
		{"PageOfType", store.Query{Kind: "disk", Prefix: subscription(3) + "/", All: []string{"location:eastus"}, Limit: 3}, 3},
	}
	for _, l := range lists {
		b.Run(l.name, func(b *testing.B) {
			median(b, func() error {
				return s.View(b.Context(), func(tx store.Tx) error {
					docs, err := tx.List(l.q)
					if l.want >= 0 && len(docs) != l.want || len(docs) == 0 {
						return fmt.Errorf("%d documents, want %d: %w", len(docs), l.want, err)
					}
					return err
				})
			})
		})
	}
	b.Run("Changes", func(b *testing.B) {
		var at int64
		if err := s.View(b.Context(), func(tx store.Tx) (err error) { at, err = tx.Revision(); return err }); err != nil {
			b.Fatal(err)
		}
		median(b, func() error {
			page, err := s.Changes(b.Context(), at-50, 50)
			if len(page) != 50 {
				return fmt.Errorf("%d entries: %w", len(page), err)
			}
			return err
		})
	})
	b.Run("Claim8Workers", func(b *testing.B) { claims(b, s) })
}

// claims times one worker's claim and release while seven others do the same.
func claims(b *testing.B, s *store.Store) {
	ctx, cancel := context.WithCancel(b.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	once := func(ctx context.Context, owner string) error {
		l, err := s.Claim(ctx, "operation", owner, time.Hour)
		if err != nil {
			return err
		}
		return s.Release(ctx, l)
	}
	for w := range 7 {
		others.Go(func() {
			for ctx.Err() == nil {
				if err := once(ctx, fmt.Sprint("w", w)); err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	median(b, func() error { return once(b.Context(), "me") })
}

func median(b *testing.B, f func() error) {
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
}

func subscription(i int) string { return fmt.Sprintf("/subscriptions/%08d", i) }

func fill(b *testing.B, s *store.Store, n int) {
	b.Helper()
	body := fmt.Appendf(nil, `{"properties":{"text":"%0400d"}}`, 7)
	docs := []store.Document{
		assignment("caller", subscription(3)+"/rg/g", 1, body), assignment("caller", subscription(3), 2, body), assignment("caller", subscription(4), 3, body),
	}
	for i := range n {
		at := subscription(i % subscriptions)
		switch i % 5 {
		case 0, 1:
			docs = append(docs, assignment(fmt.Sprint("c", i%callers), fmt.Sprintf("%s/rg%d", at, i), i, body))
		case 2, 3:
			location := []string{"location:eastus", "location:westus"}[i/subscriptions%2]
			docs = append(docs, store.Document{Key: fmt.Sprintf("%s/disks/%08d", at, i), Kind: "disk", Body: body, Terms: []string{location}})
		case 4:
			docs = append(docs, store.Document{Key: fmt.Sprintf("operation/%08d", i), Kind: "operation", Body: body, Due: time.Now().Add(-time.Hour)})
		}
	}
	for batch := range slices.Chunk(docs, 2000) {
		err := s.Update(b.Context(), func(tx store.Tx) error {
			for _, d := range batch {
				if _, err := tx.Put(d); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func assignment(caller, scope string, i int, body []byte) store.Document {
	return store.Document{Key: fmt.Sprintf("%s/assignments/%08d", scope, i), Kind: "assignment", Body: body,
		Terms: []string{"p:" + caller, "ps:" + caller + "|" + scope}}
}
