package grant

import (
	"context"
	"errors"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/directory/guess"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/limit"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// Person is somebody who signed in, as an object of one tenant.
type Person struct {
	TenantID, ObjectID     string // where the person acts
	HomeTenant, HomeObject string // the account
	Name, UPN              string // of the account
	Guest                  bool
	Admin                  bool // may consent for the tenant
	Directory              bool // also to permissions that an application holds on the directory as itself
}

// MayAccept says whether the person may consent to what is asked.
func (p Person) MayAccept(a Ask) bool { return p.Admin && (p.Directory || !a.GraphRoles()) }

// Account is who signed in, without a tenant to act in.
type Account struct {
	Tenant string    `json:"tenant"`
	Object string    `json:"object"`
	Since  time.Time `json:"since"` // of the sign-in; a new password voids what is older
}

func personOf(u, home directory.User) Person {
	all := u.Has(directory.GlobalAdministrator) || u.Has(directory.PrivilegedRoleAdministrator)
	return Person{TenantID: u.TenantID, ObjectID: u.ObjectID, HomeTenant: home.TenantID, HomeObject: home.ObjectID,
		Name: home.DisplayName, UPN: home.UserPrincipalName, Guest: u.UserType == directory.Guest,
		Admin:     all || u.Has(directory.ApplicationAdministrator) || u.Has(directory.CloudApplicationAdministrator),
		Directory: all}
}

// attemptsEverywhere failures in a row lock a name for all addresses; guess.Allowed from one address lock it there. The lower count
// is by address, so that a stranger does not lock out somebody at their own desk; the higher bounds a guess that is spread over many addresses.
const attemptsEverywhere = 100

type attempts struct {
	Failed int       `json:"failed"`
	Locked time.Time `json:"locked"`
}

// Prove signs a person in by name and password. Unknown names and wrong passwords take the same time and count alike, and both
// lock: whether a name exists shows in Entra's numbers (50034, 50126), which clients know, and nowhere else.
func (g *Grants) Prove(ctx context.Context, name, password, source string) (Account, error) {
	u, err := g.proved(ctx, name, password, source)
	if err == nil && u.ForceChange {
		err = aadsts.Fail(400, "invalid_grant", 50055, "The password is expired.")
	}
	if err != nil {
		return Account{}, err
	}
	return Account{Tenant: u.TenantID, Object: u.ObjectID, Since: g.Now().UTC()}, nil
}

// proved is Prove without a look at the password's age.
func (g *Grants) proved(ctx context.Context, name, password, source string) (u directory.User, err error) {
	done, err := g.turn(ctx) // before the counts are looked at: guesses sent at the same time must not all pass below the limit
	if err != nil {
		return u, err
	}
	defer done()
	name, site := strings.TrimSpace(name), limit.Site(source)
	// No name has a zero byte, so that none is taken for one at an address.
	keys := []string{strings.ToLower(name) + "\x00" + site, strings.ToLower(name)}
	if wait := g.people.Wait(site); wait > 0 { // many names from one address
		return u, tooMany(wait)
	}
	if err := g.locked(ctx, keys); err != nil {
		return u, err
	}
	u, err = g.Directory.VerifyPassword(ctx, name, password)
	if errors.Is(err, directory.ErrUserNotFound) || errors.Is(err, directory.ErrWrongPassword) {
		g.people.Count(site)
	}
	switch {
	case errors.Is(err, directory.ErrUserNotFound):
		return u, errors.Join(aadsts.Fail(400, "invalid_grant", 50034, "The user account %s does not exist in the directory. "+
			"To sign into this application, the account must be added to the directory.", printable(name)), g.failed(ctx, keys))
	case errors.Is(err, directory.ErrWrongPassword):
		return u, errors.Join(aadsts.Fail(400, "invalid_grant", 50126, "Error validating credentials due to invalid username or password."), g.failed(ctx, keys))
	case errors.Is(err, directory.ErrDisabled):
		return u, aadsts.Fail(400, "invalid_grant", 50057, "The user account is disabled.")
	case err != nil:
		return u, err
	}
	return u, g.forget(ctx, keys)
}

func (g *Grants) locked(ctx context.Context, keys []string) error {
	return g.Store.View(ctx, func(tx store.Tx) error {
		for _, key := range keys {
			a, _, err := token.Kept[attempts](tx, "attempts", key, g.Now())
			if err == nil && g.Now().Before(a.Locked) {
				return aadsts.Fail(400, "invalid_grant", 50053, "The account is locked, you've tried to sign in too many times with an "+
					"incorrect user ID or password.")
			}
			if err != nil && !errors.Is(err, token.ErrUnknownSecret) && !errors.Is(err, token.ErrExpired) {
				return err
			}
		}
		return nil
	})
}

// failed counts a failure by address and over all.
func (g *Grants) failed(ctx context.Context, keys []string) error {
	return g.Store.Update(ctx, func(tx store.Tx) error {
		for i, limit := range []int{guess.Allowed, attemptsEverywhere} {
			a, held, err := token.Kept[attempts](tx, "attempts", keys[i], g.Now())
			fresh := errors.Is(err, token.ErrUnknownSecret)
			if errors.Is(err, token.ErrExpired) {
				a = attempts{}
			} else if err != nil && !fresh {
				return err
			}
			a.Failed++
			a.Locked = guess.Lock(g.Now(), a.Failed, limit)
			held.Expires = g.Now().Add(guess.Kept)
			if fresh {
				err = token.Keep(tx, "attempts", keys[i], a, held.Expires)
			} else {
				err = held.Change(tx, a)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// forget drops the counts of somebody who has just proved to be the person.
func (g *Grants) forget(ctx context.Context, keys []string) error {
	return g.Store.Update(ctx, func(tx store.Tx) error {
		for _, key := range keys {
			_, held, err := token.Kept[attempts](tx, "attempts", key, g.Now())
			if errors.Is(err, token.ErrUnknownSecret) {
				continue
			}
			if err == nil || errors.Is(err, token.ErrExpired) {
				err = held.Drop(tx)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Home reads an account as it is now. 50173: the sign-in is older than a change of the password or than a revocation.
func (g *Grants) Home(ctx context.Context, a Account) (directory.User, error) {
	u, err := g.Directory.User(ctx, a.Tenant, a.Object)
	switch {
	case errors.Is(err, directory.ErrUserNotFound):
		return u, aadsts.Fail(400, "invalid_grant", 50034, "The user account does not exist in the directory '%s'.", a.Tenant)
	case err != nil:
		return u, err
	case !u.AccountEnabled:
		return u, aadsts.Fail(400, "invalid_grant", 50057, "The user account is disabled.")
	case a.Since.Before(u.SessionsFrom):
		return u, aadsts.Fail(400, "invalid_grant", 50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed. "+
			"The user might have changed or reset their password. The grant was issued on '%s' and the TokensValidFrom date (before which "+
			"tokens are not valid) for this user is '%s'.", a.Since.UTC().Format(time.RFC3339), u.SessionsFrom.UTC().Format(time.RFC3339))
	}
	return u, nil
}

// Present gives the person that an account is in a tenant: not a guest who has not accepted the invitation.
// app is named in the refusal.
func (g *Grants) Present(ctx context.Context, a Account, tenantID string, app directory.Application) (Person, error) {
	home, err := g.Home(ctx, a)
	if err != nil {
		return Person{}, err
	}
	var u directory.User
	err = g.Store.View(ctx, func(tx store.Tx) error {
		u, err = g.Directory.PresenceIn(tx, tenantID, home)
		return err
	})
	if errors.Is(err, directory.ErrUserNotFound) {
		return Person{}, aadsts.Fail(400, "invalid_grant", 50020, "User account '%s' from identity provider '%s' does not exist in tenant '%s' and cannot "+
			"access the application '%s'(%s) in that tenant. The account needs to be added as an external user in the tenant first. Sign "+
			"out and sign in again with a different Azure Active Directory user account.",
			home.UserPrincipalName, token.Issuer(home.TenantID, 1), tenantID, app.AppID, app.DisplayName)
	}
	if err != nil {
		return Person{}, err
	}
	if !u.AccountEnabled {
		return Person{}, aadsts.Fail(400, "invalid_grant", 50057, "The user account is disabled.")
	}
	if pending(u) {
		return Person{}, notAccepted(home, tenantID)
	}
	return personOf(u, home), nil
}

// tenantFor is where a grant of a person acts: the tenant that the path names, or the person's home.
func (q Request) tenantFor(a Account) string {
	if q.Tenant.ID != "" {
		return q.Tenant.ID
	}
	return a.Tenant
}
