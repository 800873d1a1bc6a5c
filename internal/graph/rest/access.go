package rest

import (
	"errors"
	"slices"
	"strings"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/graph/wire"
)

// Caller is who asks, with what the directory knows of them in this transaction.
type Caller struct {
	authn.Principal
	Roles []string // directory roles, and those that permissions of Graph stand for
	Held  []string // the directory roles alone
	User  *directory.User
	Full  bool // may use all that its principal may: false for a user's token held by some application
	Reads bool // may read what its principal may
}

// identify reads the caller's directory roles and permissions, so that what is taken away is gone at the next request.
func (d *server) identify(c *Call) error {
	if c.Who.Kind == authn.User {
		return d.identifyUser(c)
	}
	p := c.Who.Principal
	c.Who.Full, c.Who.Reads = true, true
	roles, err := d.Directory.RolesOf(c.Tx, p.TenantID, p.ObjectID)
	if err != nil {
		return err
	}
	more, err := consent.New(d.Directory).Powers(c.Tx, p.TenantID, p.ObjectID)
	c.Who.Held, c.Who.Roles = roles, append(slices.Clone(roles), more...)
	return err
}

// identifyUser looks at the client too: a user's token is as strong as the client that holds it is trusted. The CLI acts as its user in
// everything, as in Entra; any other application as far as the token says and the grant still does.
func (d *server) identifyUser(c *Call) error {
	p := c.Who.Principal
	u, err := d.Directory.UserIn(c.Tx, p.TenantID, p.ObjectID)
	if errors.Is(err, directory.ErrUserNotFound) {
		return wire.Fail(401, "InvalidAuthenticationToken", "The user of the access token does not exist any more.")
	}
	if err != nil {
		return err
	}
	c.Who.User, c.Who.Roles, c.Who.Held = &u, u.DirectoryRoles, u.DirectoryRoles
	if p.AppID == directory.AzureCLI {
		c.Who.Full, c.Who.Reads = true, true
		return nil
	}
	sp, err := d.Directory.PrincipalIn(c.Tx, p.TenantID, p.AppID)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return wire.Fail(401, "InvalidAuthenticationToken", "The application of the access token is not in the tenant any more.")
	}
	if err != nil {
		return err
	}
	said := strings.Fields(p.Scope)
	granted, err := consent.New(d.Directory).GraphScopes(c.Tx, p.TenantID, sp.ObjectID, p.ObjectID)
	may := func(scope string) bool { return slices.Contains(said, scope) && slices.Contains(granted, scope) }
	c.Who.Full = may(consent.AccessAsUser)
	c.Who.Reads = c.Who.Full || may(consent.ReadDirectory)
	return err
}

// Has says whether the caller holds one of these roles; a Global Administrator holds all.
func (w Caller) Has(roles ...string) bool {
	return w.Full && slices.ContainsFunc(w.Roles, func(have string) bool {
		return have == directory.GlobalAdministrator || slices.Contains(roles, have)
	})
}

// Member says whether the caller is a person of the tenant, not a guest: Entra lets members read the directory, register applications
// and make groups.
func (w Caller) Member() bool {
	return w.Full && w.member()
}

func (w Caller) member() bool { return w.User != nil && w.User.UserType == directory.Member }

// MayRead is the rule for reading the directory: members, and whoever holds any directory role. A service principal without one reads
// itself alone, a guest too.
func (c *Call) MayRead(objectID string) error {
	if c.Who.Reads && (c.Who.member() || len(c.Who.Roles) > 0) || objectID != "" && objectID == c.Who.ObjectID {
		return nil
	}
	return wire.Denied()
}

// MayManageApps is the right to change an application or service principal: of its owners, and of administrators who hold no less than it does.
func (c *Call) MayManageApps(owners []string, holds []string) error {
	if !c.Who.Has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator) && !c.Owns(owners) {
		return wire.Denied()
	}
	return c.NotAbove(holds)
}

// Owns says whether the caller is among the owners. Only people are owners with rights: a service principal would need a permission of
// Graph for it, which nobody can consent to here.
func (c *Call) Owns(owners []string) bool {
	return c.Who.Full && c.Who.User != nil && slices.Contains(owners, c.Who.ObjectID)
}

// NotAbove keeps administrators of less from taking over who holds more: adding a secret to a Global Administrator's application, or
// setting a Global Administrator's password, would make them one.
func (c *Call) NotAbove(holds []string) error {
	for _, role := range holds {
		if role != directory.DirectoryReaders && role != directory.GlobalReader && !c.Who.Has(directory.GlobalAdministrator) && !slices.Contains(c.Who.Held, role) {
			return wire.Denied()
		}
	}
	return nil
}

// MayManageUsers is the right to change people; of those with directory roles only a Global Administrator has it.
func (c *Call) MayManageUsers(holds []string) error {
	if !c.Who.Has(directory.UserAdministrator) {
		return wire.Denied()
	}
	if len(holds) > 0 && !c.Who.Has(directory.GlobalAdministrator) {
		return wire.Denied()
	}
	return nil
}

// MayManageGroups is the right to change a group.
func (c *Call) MayManageGroups(owners []string) error {
	if c.Who.Has(directory.GroupsAdministrator, directory.UserAdministrator) || c.Owns(owners) {
		return nil
	}
	return wire.Denied()
}

// MayManageRoles is the right to give and take directory roles.
func (c *Call) MayManageRoles() error {
	if c.Who.Has(directory.PrivilegedRoleAdministrator) {
		return nil
	}
	return wire.Denied()
}

// MayConsent is the right to allow an application something on behalf of the organization. The permission to write applications is not: who
// holds it could allow itself to act as everybody.
func (c *Call) MayConsent() error {
	w := c.Who
	w.Roles = w.Held
	if w.Has(directory.ApplicationAdministrator, directory.CloudApplicationAdministrator, directory.PrivilegedRoleAdministrator) {
		return nil
	}
	return wire.Denied()
}
