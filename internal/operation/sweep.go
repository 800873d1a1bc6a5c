package operation

import (
	"context"
	"errors"
	"time"

	"vitrine/internal/store"
)

const (
	sweepBatch = 200  // documents in one transaction, which others wait for
	sweepDays  = 1000 // how far back a sweep looks; one query names each day
)

// endedOn is the term of an operation that ended on a day, by which old ones are found.
func endedOn(end time.Time) string { return "ended:" + end.UTC().Format(time.DateOnly) }

// Sweep removes the operations that ended before the day (UTC) of a time, and tells how many.
func Sweep(ctx context.Context, s *store.Store, before time.Time) (int, error) {
	var days []string
	for i := 1; i <= sweepDays; i++ {
		days = append(days, endedOn(before.UTC().AddDate(0, 0, -i)))
	}
	all := 0
	for {
		removed := 0
		err := s.Update(ctx, func(tx store.Tx) error {
			removed = 0
			docs, err := tx.List(store.Query{Kind: Kind, Any: days, Limit: sweepBatch})
			for _, d := range docs {
				switch err := tx.Delete(d.Key, d.ETag); {
				case err == nil:
					removed++
				case !errors.Is(err, store.ErrNotFound):
					return err
				}
			}
			return err
		})
		if all += removed; err != nil || removed < sweepBatch {
			return all, err
		}
	}
}

// Recover lets go what a killed server held, so that its operations go on at once and not when their leases end. It is for
// a store that no other process works on, before an engine runs on it; else two workers would do the same work.
func Recover(ctx context.Context, s *store.Store) error {
	var held []store.Document
	err := s.View(ctx, func(tx store.Tx) (err error) {
		held, err = tx.List(store.Query{Kind: Kind, All: []string{unfinished}})
		return err
	})
	for _, d := range held {
		if err == nil {
			err = s.Update(ctx, func(tx store.Tx) error { return letGo(tx, d) })
		}
	}
	return err
}

// letGo writes a document anew, since a deletion takes the hold with it.
func letGo(tx store.Tx, d store.Document) error {
	if err := tx.Delete(d.Key, d.ETag); err != nil {
		return err
	}
	d.ETag = 0
	_, err := tx.Put(d)
	return err
}
