package directory

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/registration"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// What an application registration says of itself beyond its name.

type (
	// Detail is all of it.
	Detail = registration.Detail
	// Web is where a web application takes answers.
	Web = registration.Web
	// AppRole is a role that it defines.
	AppRole = registration.AppRole
	// PermissionScope is a delegated permission that it defines.
	PermissionScope = registration.PermissionScope
	// RequiredResource is an API that it asks for.
	RequiredResource = registration.RequiredResource
	// ResourceAccess is one permission of that.
	ResourceAccess = registration.ResourceAccess
)

const (
	maxOwners = 100 // of an application, a service principal or a group
	maxText   = 1024
)

const maxIdentifier = 120

func uriTerm(uri string) string { return "uri:" + strings.ToLower(uri) }

// checkURIs keeps to Entra's policy for identifier URIs: each new one holds the application's ID, the tenant's ID or a domain of the
// tenant. So nobody can take the name of somebody else's API. What was there before stays allowed.
func (d *Directory) checkURIs(tx store.Tx, old, a Application) error {
	if len(a.IdentifierURIs) > 50 {
		return fmt.Errorf("an application has at most 50 identifier URIs: %w", ErrInvalid)
	}
	for i, uri := range a.IdentifierURIs {
		if slices.Contains(old.IdentifierURIs, uri) {
			continue
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme == "" || len(uri) > maxIdentifier || strings.ContainsFunc(uri, rule.IsSpaceOrControl) || slices.Contains(a.IdentifierURIs[:i], uri) {
			return fmt.Errorf("identifier URI %.130q is not an absolute URI, or is there twice: %w", uri, ErrInvalid)
		}
		own, err := d.ownName(tx, u, a)
		if err != nil {
			return err
		}
		if !own {
			return fmt.Errorf("Failed to add identifier URI %s. All newly added URIs must contain a tenant verified domain, tenant ID, or app ID, as per the default tenant policy of your organization: %w", uri, ErrInvalid)
		}
		taken, err := record.List[Application](tx, store.Query{Kind: KindApplication, Any: []string{uriTerm(uri)}, Limit: 2})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(taken, func(o Application) bool { return o.AppID != a.AppID }) {
			return fmt.Errorf("another object with the same value for property identifierUris already exists: %w", ErrExists)
		}
	}
	return nil
}

func (d *Directory) ownName(tx store.Tx, u *url.URL, a Application) (bool, error) {
	for _, part := range strings.FieldsFunc(u.Host+"/"+u.Path+"/"+u.Opaque, func(r rune) bool { return r == '/' || r == ':' }) {
		if id := rule.CanonicalID(part); id != "" && (id == a.AppID || id == a.TenantID) {
			return true, nil
		}
	}
	host := strings.ToLower(u.Hostname())
	for host != "" {
		owner, err := d.domainOwner(tx, host)
		if err != nil {
			return false, err
		}
		if owner != "" {
			return owner == a.TenantID, nil
		}
		_, host, _ = strings.Cut(host, ".")
	}
	return false, nil
}

// ApplicationByURIIn returns the application that has an identifier URI, or ErrApplicationNotFound.
func (d *Directory) ApplicationByURIIn(tx store.Tx, uri string) (Application, error) {
	missing := fmt.Errorf("application %.130q: %w", uri, ErrApplicationNotFound)
	if uri == "" || len(uri) > maxIdentifier || strings.ContainsFunc(uri, rule.IsSpaceOrControl) || !store.Storable(uri) {
		return Application{}, missing
	}
	return record.One[Application](tx, store.Query{Kind: KindApplication, Any: []string{uriTerm(uri)}}, missing)
}
