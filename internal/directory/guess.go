package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// KindGuesses are the documents that count wrong passwords of people who are signed in already.
const KindGuesses = "directory/guesses"

// ErrTooManyGuesses says that a password is not looked at for a while, right or wrong.
var ErrTooManyGuesses = errors.New("too many wrong passwords")

// GuessesAllowed is how many wrong passwords in a row there may be, here and at the sign-in: Entra's smart lockout begins at 10 and a minute too.
// GuessesKept is how long they are counted.
const (
	GuessesAllowed = 10
	GuessesKept    = 24 * time.Hour
)

// GuessLock says until when no password is looked at after so many in a row that were wrong, the zero time if that many are allowed. Each beyond
// those allowed doubles the wait, up to an hour.
func GuessLock(now time.Time, failed, allowed int) time.Time {
	if failed < allowed {
		return time.Time{}
	}
	return now.Add(min(time.Minute<<min(failed-allowed, 6), time.Hour)).UTC()
}

type guesses struct {
	Failed int       `json:"failed"`
	Last   time.Time `json:"last"`
	Locked time.Time `json:"locked"`
}

// Reprove proves the password of a person whose token is already known, such as before it is changed. A token may be stolen, so it
// counts failures by object ID, apart from those of the sign-in: ErrTooManyGuesses, else the errors of VerifyPassword.
func (d *Directory) Reprove(ctx context.Context, tenantID, objectID, text string) error {
	u, err := d.User(ctx, tenantID, objectID)
	if err != nil {
		return err
	}
	key := KindGuesses + "/" + rule.CanonicalID(tenantID) + "/" + rule.CanonicalID(objectID)
	// Counted before it is judged: guesses sent at the same time must not all pass below the limit.
	if err := d.store.Update(ctx, func(tx store.Tx) error { return d.guess(tx, key) }); err != nil {
		return err
	}
	if _, err := d.VerifyPassword(ctx, u.UserPrincipalName, text); err != nil {
		return err
	}
	return d.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Delete(key, 0); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	})
}

// guess counts one, or refuses it.
func (d *Directory) guess(tx store.Tx, key string) error {
	g, doc, err := record.Read[guesses](tx, key, store.ErrNotFound)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	now := d.now().UTC()
	switch {
	case now.Before(g.Locked):
		return fmt.Errorf("until %s: %w", g.Locked.Format(time.RFC3339), ErrTooManyGuesses)
	case now.Sub(g.Last) > GuessesKept:
		g = guesses{}
	}
	g.Last, g.Failed = now, g.Failed+1
	g.Locked = GuessLock(now, g.Failed, GuessesAllowed)
	doc.Key, doc.Kind = key, KindGuesses
	return record.Write(tx, doc, g)
}

// sweepGuesses drops the counts that are forgotten.
func (d *Directory) sweepGuesses(tx store.Tx) error {
	docs, err := tx.List(store.Query{Kind: KindGuesses})
	if err != nil {
		return err
	}
	for _, doc := range docs {
		var g guesses
		if err := record.Decode(doc, &g); err != nil {
			return err
		}
		if d.now().Sub(g.Last) <= GuessesKept {
			continue
		}
		if err := tx.Delete(doc.Key, doc.ETag); err != nil {
			return err
		}
	}
	return nil
}
