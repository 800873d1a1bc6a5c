package directory

import (
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// The directory roles. They say what one may do in the directory over Microsoft Graph and give no right on subscriptions;
// those are role assignments. Names and template IDs are Entra's built-in ones.
const (
	GlobalAdministrator           = "Global Administrator" // everything; a tenant's first service principal holds it
	PrivilegedRoleAdministrator   = "Privileged Role Administrator"
	ApplicationAdministrator      = "Application Administrator"
	CloudApplicationAdministrator = "Cloud Application Administrator"
	UserAdministrator             = "User Administrator"
	GroupsAdministrator           = "Groups Administrator"
	GuestInviter                  = "Guest Inviter"
	GlobalReader                  = "Global Reader"
	DirectoryReaders              = "Directory Readers"
)

// Role is a directory role.
type Role struct {
	Template    string // its ID, the same in every tenant
	Name        string
	Description string
}

// Roles lists the directory roles that exist.
func Roles() []Role {
	return []Role{
		{"62e90394-69f5-4237-9190-012177145e10", GlobalAdministrator, "Can manage all aspects of Microsoft Entra ID and Microsoft services that use Microsoft Entra identities."},
		{"e8611ab8-c189-46e8-94e1-60213ab1f814", PrivilegedRoleAdministrator, "Can manage role assignments in Microsoft Entra ID, and all aspects of Privileged Identity Management."},
		{"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", ApplicationAdministrator, "Can create and manage all aspects of app registrations and enterprise apps."},
		{"158c047a-c907-4556-b7ef-446551a6b5f7", CloudApplicationAdministrator, "Can create and manage all aspects of app registrations and enterprise apps except App Proxy."},
		{"fe930be7-5e62-47db-91af-98c3a49a38b1", UserAdministrator, "Can manage all aspects of users and groups, including resetting passwords for limited admins."},
		{"fdd7a751-b60b-444a-984c-02652fe8fa1c", GroupsAdministrator, "Members of this role can create/manage groups, create/manage groups settings like naming and expiration policies, and view groups activity and audit reports."},
		{"95e79109-95c0-4d8e-aee3-d01accf2d47b", GuestInviter, "Can invite guest users independent of the 'members can invite guests' setting."},
		{"f2ef992c-3afb-46b9-b7cf-a126ee74c451", GlobalReader, "Can read everything that a Global Administrator can, but not update anything."},
		{"88d8e3e3-8f55-4a1e-953a-9b9898b8876b", DirectoryReaders, "Can read basic directory information. Commonly used to grant directory read access to applications and guests."},
	}
}

// RoleByName finds a directory role by its name or template ID, whatever the case.
func RoleByName(name string) (Role, bool) {
	for _, r := range Roles() {
		if strings.EqualFold(r.Name, name) || strings.EqualFold(r.Template, name) {
			return r, true
		}
	}
	return Role{}, false
}

func roleTerms(roles []string) []string {
	var terms []string
	for _, name := range roles {
		if r, ok := RoleByName(name); ok {
			terms = append(terms, "role:"+r.Template)
		}
	}
	return terms
}

// RolesOf lists the names of the directory roles that a principal holds; none when there is no such principal.
func (d *Directory) RolesOf(tx store.Tx, tenantID, objectID string) ([]string, error) {
	o, err := d.ObjectIn(tx, tenantID, objectID)
	switch {
	case isMissing(err):
		return nil, nil
	case err != nil:
		return nil, err
	case o.User != nil:
		return o.User.DirectoryRoles, nil
	case o.ServicePrincipal != nil:
		return o.ServicePrincipal.DirectoryRoles, nil
	}
	return nil, nil
}

// RoleHolders lists the users and service principals of a tenant that hold a role.
func (d *Directory) RoleHolders(tx store.Tx, tenantID, role string) ([]Object, error) {
	r, ok := RoleByName(role)
	if !ok {
		return nil, fmt.Errorf("directory role %.64q: %w", role, ErrObjectNotFound)
	}
	terms := []string{"role:" + r.Template, "tenant:" + rule.CanonicalID(tenantID)}
	users, err := record.List[User](tx, store.Query{Kind: KindUser, All: terms})
	if err != nil {
		return nil, err
	}
	sps, err := record.List[ServicePrincipal](tx, store.Query{Kind: KindServicePrincipal, All: terms})
	if err != nil {
		return nil, err
	}
	var out []Object
	for i := range users {
		out = append(out, Object{User: &users[i]})
	}
	for i := range sps {
		out = append(out, Object{ServicePrincipal: &sps[i]})
	}
	return out, nil
}

// SetRoleIn gives a user or service principal a directory role, or takes it away. ErrLastAdministrator: nobody else would be Global
// Administrator.
func (d *Directory) SetRoleIn(tx store.Tx, tenantID, objectID, role string, held bool) error {
	r, ok := RoleByName(role)
	if !ok {
		return fmt.Errorf("directory role %.64q: %w", role, ErrObjectNotFound)
	}
	o, err := d.ObjectIn(tx, tenantID, objectID)
	if err != nil {
		return err
	}
	if !held {
		if err := d.keepsAdministrator(tx, o); r.Name == GlobalAdministrator && err != nil {
			return err
		}
	}
	change := func(roles *[]string) {
		*roles = slices.DeleteFunc(slices.Clone(*roles), func(have string) bool { return have == r.Name })
		if held {
			*roles = append(*roles, r.Name)
		}
	}
	switch {
	case o.User != nil:
		return d.changeUser(tx, tenantID, o.User.ObjectID, func(u *User) { change(&u.DirectoryRoles) })
	case o.ServicePrincipal != nil:
		return d.changePrincipal(tx, tenantID, o.ServicePrincipal.AppID, func(p *ServicePrincipal) { change(&p.DirectoryRoles) })
	}
	return fmt.Errorf("a directory role is for users and service principals: %w", ErrInvalid)
}

// keepsAdministrator refuses to let go of a tenant's last Global Administrator: nobody could manage the tenant any more.
func (d *Directory) keepsAdministrator(tx store.Tx, leaving Object) error {
	holds := func(o Object) bool {
		return o.User != nil && o.User.AccountEnabled && o.User.Has(GlobalAdministrator) ||
			o.ServicePrincipal != nil && o.ServicePrincipal.AccountEnabled && o.ServicePrincipal.Has(GlobalAdministrator)
	}
	if !holds(leaving) {
		return nil
	}
	all, err := d.RoleHolders(tx, leaving.TenantID(), GlobalAdministrator)
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.ID() != leaving.ID() && holds(o) {
			return nil
		}
	}
	return fmt.Errorf("object %s is the only %s of its tenant: %w", leaving.ID(), GlobalAdministrator, ErrLastAdministrator)
}
