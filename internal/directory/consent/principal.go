package consent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/directory"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// The client IDs of Microsoft's own resources.
const (
	GraphApp   = "00000003-0000-0000-c000-000000000000"
	ARMApp     = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
	StorageApp = "e406a681-f3d4-42a8-90b6-c2b029497af1"
)

// The permissions of Microsoft Graph that have an effect here, by their names.
const (
	AccessAsUser  = "Directory.AccessAsUser.All"
	ReadDirectory = "Directory.Read.All"
	WriteApps     = "Application.ReadWrite.All"
	WriteUsers    = "User.ReadWrite.All"
	WriteGroups   = "Group.ReadWrite.All"
	WriteRoles    = "RoleManagement.ReadWrite.Directory"
	ReadSelf      = "User.Read"
)

// Principal is a service principal with what its application offers to others.
type Principal struct {
	directory.ServicePrincipal
	URIs    []string
	Scopes  []directory.PermissionScope
	Roles   []directory.AppRole
	Builtin bool // one of Microsoft's own: it has no document and cannot be changed
}

// Application is what the principal takes from its application, for showing it.
func (p Principal) Application() directory.Application {
	return directory.Application{AppID: p.AppID, SignInAudience: directory.MultiTenant,
		Detail: directory.Detail{IdentifierURIs: p.URIs, Scopes: p.Scopes, AppRoles: p.Roles}}
}

// Builtins lists the service principals of Microsoft's own resources in a tenant.
func Builtins(tenantID string) []Principal {
	return []Principal{
		builtin(tenantID, GraphApp, "Microsoft Graph", []string{"https://graph.microsoft.com", "https://graph.microsoft.com/"}, graphScopes(), graphRoles()),
		builtin(tenantID, ARMApp, "Windows Azure Service Management API", []string{"https://management.azure.com/", "https://management.core.windows.net/"},
			[]directory.PermissionScope{scope("41094075-9dad-400e-a0bd-54e686782033", "user_impersonation", "Access Azure Resource Manager as organization users")}, nil),
		builtin(tenantID, StorageApp, "Azure Storage", []string{"https://storage.azure.com", "https://storage.azure.com/"},
			[]directory.PermissionScope{scope("03e0da56-190b-40ad-a80c-ea378c433f7f", "user_impersonation", "Access Azure Storage")}, nil),
	}
}

// builtin has an object ID that follows from tenant and application, so that nothing need be kept.
func builtin(tenantID, appID, name string, uris []string, scopes []directory.PermissionScope, roles []directory.AppRole) Principal {
	sp := directory.ServicePrincipal{ObjectID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("servicePrincipal|"+tenantID+"|"+appID)).String(), TenantID: tenantID,
		AppID: appID, DisplayName: name, HomeTenant: directory.MicrosoftServices, AccountEnabled: true}
	return Principal{ServicePrincipal: sp, URIs: uris, Scopes: scopes, Roles: roles, Builtin: true}
}

func scope(id, value, words string) directory.PermissionScope {
	return directory.PermissionScope{ID: id, Value: value, Type: "User", IsEnabled: true, AdminConsentDisplayName: words, AdminConsentDescription: words + ".",
		UserConsentDisplayName: &words, UserConsentDescription: &words}
}

// graphScopes has Microsoft's IDs and names of the delegated permissions that this server enforces.
func graphScopes() []directory.PermissionScope {
	return []directory.PermissionScope{
		scope("37f7f235-527c-4136-accd-4a02d197296e", "openid", "Sign users in"),
		scope("14dad69e-099b-42c9-810b-d002981feec1", "profile", "View users' basic profile"),
		scope("64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", "email", "View users' email address"),
		scope("7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "offline_access", "Maintain access to data you have given it access to"),
		scope("e1fe6dd8-ba31-4d61-89e7-88639da4683d", ReadSelf, "Sign in and read user profile"),
		scope("06da0dbc-49e2-44d2-8312-53f166ab848a", ReadDirectory, "Read directory data"),
		scope("0e263e50-5827-48a4-b97c-d940288653c7", AccessAsUser, "Access directory as the signed in user"),
	}
}

// graphRoles has those of the permissions that an application holds as itself.
func graphRoles() []directory.AppRole {
	role := func(id, value, words string) directory.AppRole {
		return directory.AppRole{ID: id, Value: &value, AllowedMemberTypes: []string{"Application"}, DisplayName: words, Description: words + ".", IsEnabled: true, Origin: "Application"}
	}
	return []directory.AppRole{
		role("7ab1d382-f21e-4acd-a863-ba3e13f7da61", ReadDirectory, "Read directory data"),
		role("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", WriteApps, "Read and write all applications"),
		role("741f803b-c850-494e-b5df-cde7c675a1ca", WriteUsers, "Read and write all users' full profiles"),
		role("62a82d76-70ea-41e2-9197-370581804d09", WriteGroups, "Read and write all groups"),
		role("9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", WriteRoles, "Read and write all directory RBAC settings"),
	}
}

// RoleFor is the directory role as which an application acts over Graph that holds an app role of Graph; "" for others.
func RoleFor(permission string) string {
	switch permission {
	case ReadDirectory:
		return directory.DirectoryReaders
	case WriteApps:
		return directory.ApplicationAdministrator
	case WriteUsers:
		return directory.UserAdministrator
	case WriteGroups:
		return directory.GroupsAdministrator
	case WriteRoles:
		return directory.PrivilegedRoleAdministrator
	}
	return ""
}

// Principal returns the service principal of a tenant that has an object ID, Microsoft's own included, or
// directory.ErrPrincipalNotFound.
func (c *Consents) Principal(tx store.Tx, tenantID, objectID string) (Principal, error) {
	for _, p := range Builtins(rule.CanonicalID(tenantID)) {
		if strings.EqualFold(p.ObjectID, objectID) {
			return p, nil
		}
	}
	sp, err := c.dir.PrincipalByObjectIn(tx, tenantID, objectID)
	if err != nil {
		return Principal{}, err
	}
	return c.With(tx, sp)
}

// ByName is Principal for a client ID or an identifier URI.
func (c *Consents) ByName(tx store.Tx, tenantID, name string) (Principal, error) {
	for _, p := range Builtins(rule.CanonicalID(tenantID)) {
		if strings.EqualFold(p.AppID, name) || slices.Contains(p.URIs, name) {
			return p, nil
		}
	}
	sp, err := c.dir.PrincipalByNameIn(tx, tenantID, name)
	if err != nil {
		return Principal{}, err
	}
	return c.With(tx, sp)
}

// With adds to a service principal what its application offers; nothing when that is gone.
func (c *Consents) With(tx store.Tx, sp directory.ServicePrincipal) (Principal, error) {
	a, err := c.dir.ApplicationIn(tx, sp.AppID)
	if err != nil && !errors.Is(err, directory.ErrApplicationNotFound) {
		return Principal{}, fmt.Errorf("consent: application of %s: %w", sp.ObjectID, err)
	}
	return Principal{ServicePrincipal: sp, URIs: a.IdentifierURIs, Scopes: a.Scopes, Roles: a.AppRoles}, nil
}

// Powers lists the directory roles as which a principal acts over Graph by the app roles of Graph that it holds.
func (c *Consents) Powers(tx store.Tx, tenantID, objectID string) ([]string, error) {
	values, _, err := c.Roles(tx, Builtins(tenantID)[0], objectID)
	var out []string
	for _, v := range values {
		if r := RoleFor(v); r != "" {
			out = append(out, r)
		}
	}
	return out, err
}

// GraphScopes lists what a client may do over Graph for a person.
func (c *Consents) GraphScopes(tx store.Tx, tenantID, clientID, personID string) ([]string, error) {
	return c.Scopes(tx, tenantID, clientID, Builtins(tenantID)[0].ObjectID, personID)
}
