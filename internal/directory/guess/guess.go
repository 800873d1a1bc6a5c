// Package guess counts wrong passwords in a row and says how long to wait after too many.
//
// It owns the rule, which the sign-in follows as well, and the documents that count guesses at people who are signed in already. Whether a password
// is right it does not know:
//
//	directory.Reprove ── key ──▶ Count ── store ──▶ ErrTooMany, or one more;  Sweep drops what is forgotten
package guess

import (
	"errors"
	"fmt"
	"time"

	"vitrine/internal/directory/record"
	"vitrine/internal/store"
)

// Kind are the documents that count wrong passwords of people who are signed in already.
const Kind = "directory/guesses"

// ErrTooMany says that a password is not looked at for a while, right or wrong.
var ErrTooMany = errors.New("too many wrong passwords")

// Allowed is how many wrong passwords in a row there may be, here and at the sign-in: Entra's smart lockout begins at 10 and a minute too.
// Kept is how long they are counted.
const (
	Allowed = 10
	Kept    = 24 * time.Hour
)

// Lock says until when no password is looked at after so many in a row that were wrong, the zero time if that many are allowed. Each beyond
// those allowed doubles the wait, up to an hour.
func Lock(now time.Time, failed, allowed int) time.Time {
	if failed < allowed {
		return time.Time{}
	}
	return now.Add(min(time.Minute<<min(failed-allowed, 6), time.Hour)).UTC()
}

type count struct {
	Failed int       `json:"failed"`
	Last   time.Time `json:"last"`
	Locked time.Time `json:"locked"`
}

// Count counts one at the end of a key, or refuses it: ErrTooMany.
func Count(tx store.Tx, of string, now time.Time) error {
	key := Kind + "/" + of
	g, doc, err := record.Read[count](tx, key, store.ErrNotFound)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	now = now.UTC()
	switch {
	case now.Before(g.Locked):
		return fmt.Errorf("until %s: %w", g.Locked.Format(time.RFC3339), ErrTooMany)
	case now.Sub(g.Last) > Kept:
		g = count{}
	}
	g.Last, g.Failed = now, g.Failed+1
	g.Locked = Lock(now, g.Failed, Allowed)
	doc.Key, doc.Kind = key, Kind
	return record.Write(tx, doc, g)
}

// Forget drops a count: the password was right.
func Forget(tx store.Tx, of string) error {
	if err := tx.Delete(Kind+"/"+of, 0); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// Sweep drops the counts that are forgotten.
func Sweep(tx store.Tx, now time.Time) error {
	docs, err := tx.List(store.Query{Kind: Kind})
	if err != nil {
		return err
	}
	for _, doc := range docs {
		var g count
		if err := record.Decode(doc, &g); err != nil {
			return err
		}
		if now.Sub(g.Last) <= Kept {
			continue
		}
		if err := tx.Delete(doc.Key, doc.ETag); err != nil {
			return err
		}
	}
	return nil
}
