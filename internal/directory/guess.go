package directory

import (
	"context"

	"vitrine/internal/directory/guess"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Reprove proves the password of a person whose token is already known, such as before it is changed. A token may be stolen, so it
// counts failures by object ID, apart from those of the sign-in: guess.ErrTooMany, else the errors of VerifyPassword.
func (d *Directory) Reprove(ctx context.Context, tenantID, objectID, text string) error {
	u, err := d.User(ctx, tenantID, objectID)
	if err != nil {
		return err
	}
	of := rule.CanonicalID(tenantID) + "/" + rule.CanonicalID(objectID)
	// Counted before it is judged: guesses sent at the same time must not all pass below the limit.
	if err := d.store.Update(ctx, func(tx store.Tx) error { return guess.Count(tx, of, d.now()) }); err != nil {
		return err
	}
	if _, err := d.VerifyPassword(ctx, u.UserPrincipalName, text); err != nil {
		return err
	}
	return d.store.Update(ctx, func(tx store.Tx) error { return guess.Forget(tx, of) })
}
