package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// InviteIn makes a guest in a tenant for a person whose home is another tenant of this installation, by name. A person who does not exist
// yet may be invited: the guest is theirs once a user of that name is made at home and signs in; names cannot be taken by
// others, since a domain belongs to one tenant. Inviting again returns the guest that is there.
func (d *Directory) InviteIn(tx store.Tx, tenantID, name, displayName string) (User, error) {
	t, err := d.TenantIn(tx, tenantID)
	if err != nil {
		return User{}, err
	}
	invited := strings.ToLower(name)
	local, domain, ok := rule.CutLast(invited, "@")
	if !ok || local == "" || !rule.IsDomain(domain) || len(name) > maxUPN || rule.CheckName("name", name) != nil {
		return User{}, fmt.Errorf("invited name %.120q is not of the form name@domain: %w", name, ErrInvalid)
	}
	there, err := record.One[User](tx, store.Query{Kind: KindUser, All: []string{"invited:" + invited, "tenant:" + t.ID}}, ErrUserNotFound)
	if err == nil || !errors.Is(err, ErrUserNotFound) {
		return there, err
	}
	home, err := d.domainOwner(tx, domain)
	switch {
	case err != nil:
		return User{}, err
	case home == "":
		return User{}, fmt.Errorf("domain %s belongs to no tenant of this installation, so nobody of that name could sign in: %w", domain, ErrInvalid)
	case home == t.ID:
		return User{}, fmt.Errorf("The invited user already exists in the directory as object of its own domain %s: %w", domain, ErrInvalid)
	}
	if displayName == "" {
		displayName = local
	}
	domains, err := d.DomainsIn(tx, t.ID)
	if err != nil || len(domains) == 0 {
		return User{}, errors.Join(err, ErrTenantNotFound)
	}
	u := User{ObjectID: uuid.NewString(), TenantID: t.ID, UserType: Guest, AccountEnabled: true, Created: d.now().UTC(),
		UserPrincipalName: strings.ReplaceAll(name, "@", "_") + "#EXT#@" + domains[0].Name,
		Profile:           Profile{DisplayName: displayName, Mail: name, MailNickname: strings.ReplaceAll(name, "@", "_") + "#EXT#"},
		Guesthood:         Guesthood{HomeTenant: home, Invited: invited, State: PendingAcceptance, StateChanged: d.now().UTC()}}
	if err := d.checkUser(tx, User{}, u); err != nil {
		return User{}, err
	}
	if err := d.nameFree(tx, u); err != nil {
		return User{}, err
	}
	return u, record.Write(tx, store.Document{Key: userKey(t.ID, u.ObjectID), Kind: KindUser, Terms: u.terms()}, u)
}

// LeadIn says where a guest who accepts is sent.
func (d *Directory) LeadIn(tx store.Tx, guest User, address string) error {
	return d.changeUser(tx, guest.TenantID, guest.ObjectID, func(g *User) { g.Redirect = address })
}

// PresenceIn returns the object of a signed-in person in a tenant: the user itself at home, else the guest that was made for
// it, or ErrUserNotFound.
func (d *Directory) PresenceIn(tx store.Tx, tenantID string, home User) (User, error) {
	t := rule.CanonicalID(tenantID)
	if home.TenantID == t {
		return d.UserIn(tx, t, home.ObjectID)
	}
	missing := fmt.Errorf("user %s has no guest in tenant %.64q: %w", home.UserPrincipalName, tenantID, ErrUserNotFound)
	if t == "" || home.UserType != Member {
		return User{}, missing
	}
	u, err := record.One[User](tx, store.Query{Kind: KindUser, All: []string{"home:" + home.TenantID + "/" + home.ObjectID, "tenant:" + t}}, missing)
	if !errors.Is(err, ErrUserNotFound) {
		return u, err
	}
	u, err = record.One[User](tx, store.Query{Kind: KindUser, All: []string{"invited:" + strings.ToLower(home.UserPrincipalName), "tenant:" + t}}, missing)
	if err == nil && (u.HomeObject != "" || u.HomeTenant != home.TenantID) {
		return User{}, missing // accepted by a person who had the name before
	}
	return u, err
}

// Presences lists the person's objects in all tenants: the one at home first, then the guests, accepted or not.
func (d *Directory) Presences(ctx context.Context, home User) ([]User, error) {
	return view(ctx, d, func(tx store.Tx) ([]User, error) {
		guests, err := record.List[User](tx, store.Query{Kind: KindUser,
			Any: []string{"home:" + home.TenantID + "/" + home.ObjectID, "invited:" + strings.ToLower(home.UserPrincipalName)}})
		out := []User{home}
		for _, g := range guests {
			if g.HomeTenant == home.TenantID && (g.HomeObject == "" || g.HomeObject == home.ObjectID) {
				out = append(out, g)
			}
		}
		return out, err
	})
}

// RedeemIn accepts the invitation of the person who signed in, and returns the guest. Once accepted, it is this person's and
// nobody else's.
func (d *Directory) RedeemIn(tx store.Tx, tenantID string, home User) (User, error) {
	u, err := d.PresenceIn(tx, tenantID, home)
	if err != nil || u.UserType != Guest || u.HomeObject != "" {
		return u, err
	}
	err = d.changeUser(tx, u.TenantID, u.ObjectID, func(g *User) {
		g.HomeObject, g.State, g.StateChanged = home.ObjectID, Accepted, d.now().UTC()
		u = *g
	})
	return u, err
}

// ActiveUserIn returns a user who may act in a tenant now: it exists, is enabled, and if it is a guest, so is the person's user at home.
// ErrUserNotFound, ErrDisabled. It is what a token of a user is checked against at each request.
func (d *Directory) ActiveUserIn(tx store.Tx, tenantID, objectID string) (User, error) {
	u, err := d.UserIn(tx, tenantID, objectID)
	if err != nil {
		return u, err
	}
	if !u.AccountEnabled {
		return u, fmt.Errorf("user %s: %w", u.ObjectID, ErrDisabled)
	}
	if u.UserType == Guest {
		home, err := d.UserIn(tx, u.HomeTenant, u.HomeObject)
		if err != nil {
			return u, err
		}
		if !home.AccountEnabled {
			return u, fmt.Errorf("user %s at home: %w", home.ObjectID, ErrDisabled)
		}
	}
	return u, nil
}
