package graph

import (
	"errors"
	"slices"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/graph/wire"
)

// caller is who asks, with what the directory knows of them in this transaction.
type caller struct {
	authn.Principal
	roles []string // directory roles
	user  *directory.User
	full  bool // may use all that its principal may: false for a user's token held by some application
}

// identify reads the caller's directory roles, so that a role taken away is gone at the next request.
//
// A user's token is as strong as the client that holds it is trusted. The CLI acts as its user in everything, as in Entra; any other
// application gets what User.Read gives, since consent to more cannot be given here.
func (d *door) identify(c *call) error {
	p := c.who.Principal
	c.who.full = p.Kind == authn.ServicePrincipal || p.AppID == directory.AzureCLI
	if p.Kind == authn.User {
		u, err := d.Directory.UserIn(c.tx, p.TenantID, p.ObjectID)
		if errors.Is(err, directory.ErrUserNotFound) {
			return wire.Fail(401, "InvalidAuthenticationToken", "The user of the access token does not exist any more.")
		}
		if err != nil {
			return err
		}
		c.who.user = &u
		c.who.roles = u.DirectoryRoles
		return nil
	}
	roles, err := d.Directory.RolesOf(c.tx, p.TenantID, p.ObjectID)
	c.who.roles = roles
	return err
}

// has says whether the caller holds one of these roles; a Global Administrator holds all.
func (w caller) has(roles ...string) bool {
	return w.full && slices.ContainsFunc(w.roles, func(have string) bool {
		return have == directory.GlobalAdministrator || slices.Contains(roles, have)
	})
}

// member says whether the caller is a person of the tenant, not a guest: Entra lets members read the directory, register applications
// and make groups.
func (w caller) member() bool {
	return w.full && w.user != nil && w.user.UserType == directory.Member
}

// mayRead is the rule for reading the directory: members, and whoever holds any directory role. A service principal without one reads
// itself alone, a guest too.
func (c *call) mayRead(objectID string) error {
	if c.who.member() || c.who.full && len(c.who.roles) > 0 || objectID != "" && objectID == c.who.ObjectID {
		return nil
	}
	return wire.Denied()
}

func (c *call) mayManageApps(owners []string, holds []string) error {
	if !c.who.has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator) && !c.owns(owners) {
		return wire.Denied()
	}
	return c.notAbove(holds)
}

// owns says whether the caller is among the owners. Only people are owners with rights: a service principal would need a permission of
// Graph for it, which nobody can consent to here.
func (c *call) owns(owners []string) bool {
	return c.who.full && c.who.user != nil && slices.Contains(owners, c.who.ObjectID)
}

// notAbove keeps administrators of less from taking over who holds more: adding a secret to a Global Administrator's application, or
// setting a Global Administrator's password, would make them one.
func (c *call) notAbove(holds []string) error {
	for _, role := range holds {
		if role != directory.DirectoryReaders && role != directory.GlobalReader && !c.who.has(directory.GlobalAdministrator) && !slices.Contains(c.who.roles, role) {
			return wire.Denied()
		}
	}
	return nil
}

func (c *call) mayManageUsers(holds []string) error {
	if !c.who.has(directory.UserAdministrator) {
		return wire.Denied()
	}
	if len(holds) > 0 && !c.who.has(directory.GlobalAdministrator) {
		return wire.Denied()
	}
	return nil
}

func (c *call) mayManageGroups(owners []string) error {
	if c.who.has(directory.GroupsAdministrator, directory.UserAdministrator) || c.owns(owners) {
		return nil
	}
	return wire.Denied()
}

func (c *call) mayManageRoles() error {
	if c.who.has(directory.PrivilegedRoleAdministrator) {
		return nil
	}
	return wire.Denied()
}
