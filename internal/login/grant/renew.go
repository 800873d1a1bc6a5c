package grant

import (
	"context"
	"errors"
	"strings"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// Renewal is the form by which a person replaces an expired password.
type Renewal struct{ Name, Current, Next, Again, Source string }

// Renew replaces a password that has to be changed, and signs the person in. The old one is proved as at any sign-in, with the same counts and
// locks. Whatever was signed in before ends. told runs in the transaction that does it.
func (g *Grants) Renew(ctx context.Context, r Renewal, told func(store.Tx) error) (Account, error) {
	u, err := g.proved(ctx, r.Name, r.Current, r.Source)
	if err != nil {
		return Account{}, err
	}
	refused := func(text string) (Account, error) { return Account{}, aadsts.Fail(400, "invalid_grant", 0, "%s", text) }
	switch {
	case !u.ForceChange:
		return refused("The password need not be changed. Go back and sign in with it.")
	case r.Next != r.Again:
		return refused("The two new passwords are not the same.")
	case r.Next == r.Current:
		return refused("Choose a password that you have not used before.")
	}
	hash, err := g.Directory.HashPassword(ctx, r.Next, u.UserPrincipalName)
	if errors.Is(err, directory.ErrInvalid) {
		return refused("The new password is too weak. It needs 8 to 256 characters, of three of these kinds: small letters, capital letters, digits, others; and not your user name.")
	}
	if err != nil {
		return Account{}, err
	}
	account := Account{Tenant: u.TenantID, Object: u.ObjectID, Since: g.Now().UTC()}
	err = g.Store.Update(ctx, func(tx store.Tx) error {
		changed, err := g.Directory.ChangeUserIn(tx, u.TenantID, u.ObjectID, func(now *directory.User) error {
			if !now.Password.Same(u.Password) || !now.AccountEnabled { // somebody else was faster
				return aadsts.Fail(400, "invalid_grant", 50126, "Error validating credentials due to invalid username or password.")
			}
			now.Password, now.ForceChange = hash, false
			return nil
		})
		if err != nil {
			return err
		}
		if account.Since.Before(changed.SessionsFrom) {
			account.Since = changed.SessionsFrom
		}
		return errors.Join(token.EndAll(tx, u.TenantID, u.ObjectID), told(tx))
	})
	g.Log.InfoContext(ctx, "password renewed", "tenant", u.TenantID, "object", u.ObjectID, "source", strings.TrimSpace(r.Source), "done", err == nil)
	return account, err
}
