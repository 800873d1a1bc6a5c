package grant

import (
	"context"
	"errors"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/store"
)

// Invited says whether a tenant has invited an account that has not accepted yet. Of who may not sign in at all, Present says why.
func (g *Grants) Invited(ctx context.Context, a Account, tenantID string) (guest directory.User, waits bool, err error) {
	home, err := g.Home(ctx, a)
	if _, ok := errors.AsType[*aadsts.Failure](err); ok {
		return guest, false, nil
	}
	if err != nil {
		return guest, false, err
	}
	err = g.Store.View(ctx, func(tx store.Tx) error {
		guest, err = g.Directory.PresenceIn(tx, tenantID, home)
		return err
	})
	if errors.Is(err, directory.ErrUserNotFound) {
		return guest, false, nil
	}
	return guest, err == nil && pending(guest), err
}

func pending(u directory.User) bool { return u.UserType == directory.Guest && u.HomeObject == "" }

// Join accepts a tenant's invitation of an account, in one transaction with what told does.
func (g *Grants) Join(ctx context.Context, a Account, tenantID string, told func(store.Tx) error) error {
	home, err := g.Home(ctx, a)
	if err != nil {
		return err
	}
	return g.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := g.Directory.RedeemIn(tx, tenantID, home); err != nil {
			return err
		}
		return told(tx)
	})
}

// notAccepted refuses a guest whom nobody can ask: the tenant learns who somebody is, and what they do there, only once they said yes. No number
// of Entra's says so.
func notAccepted(home directory.User, tenantID string) error {
	return aadsts.Fail(400, "interaction_required", 0, "The account '%s' is invited to the tenant '%s' and has not accepted the invitation yet. Sign in to that "+
		"tenant once in a browser, where you are asked: az login --tenant %s.", home.UserPrincipalName, tenantID, tenantID)
}
