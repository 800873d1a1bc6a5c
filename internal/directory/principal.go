package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// ServicePrincipal is an application's presence in one tenant.
type ServicePrincipal struct {
	ObjectID       string   `json:"objectId"` // what role assignments name; differs from tenant to tenant
	TenantID       string   `json:"tenantId"`
	AppID          string   `json:"appId"`
	DisplayName    string   `json:"displayName"`
	HomeTenant     string   `json:"homeTenant"` // where the application is registered
	AccountEnabled bool     `json:"accountEnabled"`
	DirectoryRoles []string `json:"directoryRoles,omitempty"`
	// AssignmentRequired keeps out users who hold no app role of it, themselves or through a group.
	AssignmentRequired bool      `json:"appRoleAssignmentRequired,omitempty"`
	Description        string    `json:"description,omitempty"`
	Notes              string    `json:"notes,omitempty"`
	Tags               []string  `json:"tags,omitempty"`
	Owners             []string  `json:"owners,omitempty"` // object IDs
	Credentials                  // of its own; good in this tenant only
	Created            time.Time `json:"created"`
}

// Has says whether the principal holds a directory role.
func (p ServicePrincipal) Has(role string) bool { return slices.Contains(p.DirectoryRoles, role) }

func (p ServicePrincipal) terms() []string {
	terms := []string{"tenant:" + p.TenantID, "object:" + p.ObjectID, "app:" + p.AppID}
	for _, id := range p.Owners {
		terms = append(terms, "owner:"+id)
	}
	return append(terms, roleTerms(p.DirectoryRoles)...)
}

// The key holds tenant and client ID, so that the store itself keeps them unique.
func principalKey(tenantID, appID string) string {
	return "directory/serviceprincipals/" + strings.ToLower(tenantID) + "/" + strings.ToLower(appID)
}

// CreateServicePrincipal makes the application known in a tenant, as an administrator's consent does, or returns the
// service principal that is there already. ErrSingleTenant: the application may be used in its home tenant only.
func (d *Directory) CreateServicePrincipal(ctx context.Context, tenantID, appID string) (ServicePrincipal, error) {
	return update(ctx, d, func(tx store.Tx) (ServicePrincipal, error) {
		return d.CreateServicePrincipalIn(tx, tenantID, appID)
	})
}

// CreateServicePrincipalIn is CreateServicePrincipal as a part of tx.
func (d *Directory) CreateServicePrincipalIn(tx store.Tx, tenantID, appID string) (ServicePrincipal, error) {
	t, err := d.TenantIn(tx, tenantID)
	if err != nil {
		return ServicePrincipal{}, err
	}
	a, err := d.ApplicationIn(tx, appID)
	if err != nil {
		return ServicePrincipal{}, err
	}
	if a.TenantID != t.ID && !a.Multi() {
		return ServicePrincipal{}, fmt.Errorf("application %s of tenant %s cannot be used in tenant %s: %w",
			a.AppID, a.TenantID, t.ID, ErrSingleTenant)
	}
	sp, err := d.PrincipalIn(tx, t.ID, a.AppID)
	if err == nil || !errors.Is(err, ErrPrincipalNotFound) {
		return sp, err
	}
	sp = ServicePrincipal{ObjectID: uuid.NewString(), TenantID: t.ID, AppID: a.AppID, DisplayName: a.DisplayName,
		HomeTenant: a.TenantID, AccountEnabled: true, Created: d.now().UTC()}
	return sp, record.Write(tx, store.Document{Key: principalKey(t.ID, a.AppID), Kind: KindServicePrincipal, Terms: sp.terms()}, sp)
}

// Principal returns an application's service principal in a tenant, or ErrPrincipalNotFound.
func (d *Directory) Principal(ctx context.Context, tenantID, appID string) (ServicePrincipal, error) {
	return view(ctx, d, func(tx store.Tx) (ServicePrincipal, error) { return d.PrincipalIn(tx, tenantID, appID) })
}

// PrincipalIn is Principal as a part of tx.
func (d *Directory) PrincipalIn(tx store.Tx, tenantID, appID string) (ServicePrincipal, error) {
	p, _, err := d.principal(tx, tenantID, appID)
	return p, err
}

func (d *Directory) principal(tx store.Tx, tenantID, appID string) (ServicePrincipal, store.Document, error) {
	missing := fmt.Errorf("application %.64q in tenant %.64q: %w", appID, tenantID, ErrPrincipalNotFound)
	t, a := rule.CanonicalID(tenantID), rule.CanonicalID(appID)
	if t == "" || a == "" {
		return ServicePrincipal{}, store.Document{}, missing
	}
	return record.Read[ServicePrincipal](tx, principalKey(t, a), missing)
}

// PrincipalByObject returns the service principal with an object ID in a tenant, or ErrPrincipalNotFound, also when the
// object belongs to another tenant.
func (d *Directory) PrincipalByObject(ctx context.Context, tenantID, objectID string) (ServicePrincipal, error) {
	return view(ctx, d, func(tx store.Tx) (ServicePrincipal, error) { return d.PrincipalByObjectIn(tx, tenantID, objectID) })
}

// PrincipalByObjectIn is PrincipalByObject as a part of tx.
func (d *Directory) PrincipalByObjectIn(tx store.Tx, tenantID, objectID string) (ServicePrincipal, error) {
	t, o := rule.CanonicalID(tenantID), rule.CanonicalID(objectID)
	if t == "" || o == "" {
		return ServicePrincipal{}, fmt.Errorf("object %.64q: %w", objectID, ErrPrincipalNotFound)
	}
	return record.One[ServicePrincipal](tx, store.Query{Kind: KindServicePrincipal, All: []string{"object:" + o, "tenant:" + t}},
		fmt.Errorf("object %s in tenant %s: %w", o, t, ErrPrincipalNotFound))
}

// PrincipalByNameIn returns the service principal in a tenant that goes by a name: a client ID or an identifier URI of its
// application; or ErrPrincipalNotFound.
func (d *Directory) PrincipalByNameIn(tx store.Tx, tenantID, name string) (ServicePrincipal, error) {
	if rule.CanonicalID(name) == "" {
		a, err := d.ApplicationByURIIn(tx, name)
		if errors.Is(err, ErrApplicationNotFound) {
			return ServicePrincipal{}, fmt.Errorf("%.130q in tenant %s: %w", name, tenantID, ErrPrincipalNotFound)
		}
		if err != nil {
			return ServicePrincipal{}, err
		}
		name = a.AppID
	}
	return d.PrincipalIn(tx, tenantID, name)
}

// Principals lists the service principals of a tenant.
func (d *Directory) Principals(ctx context.Context, tenantID string) ([]ServicePrincipal, error) {
	return view(ctx, d, func(tx store.Tx) ([]ServicePrincipal, error) { return d.PrincipalsIn(tx, tenantID) })
}

// PrincipalsIn is Principals as a part of tx.
func (d *Directory) PrincipalsIn(tx store.Tx, tenantID string) ([]ServicePrincipal, error) {
	return record.List[ServicePrincipal](tx, store.Query{Kind: KindServicePrincipal, All: []string{"tenant:" + rule.CanonicalID(tenantID)}})
}

// SetAccountEnabled allows or stops sign-ins and tokens of a service principal.
func (d *Directory) SetAccountEnabled(ctx context.Context, tenantID, appID string, enabled bool) error {
	return d.store.Update(ctx, func(tx store.Tx) error {
		return d.changePrincipal(tx, tenantID, appID, func(p *ServicePrincipal) { p.AccountEnabled = enabled })
	})
}

// GrantDirectoryRoleIn gives a service principal a directory role, as a part of tx. Twice is once.
func (d *Directory) GrantDirectoryRoleIn(tx store.Tx, tenantID, appID, role string) error {
	if _, ok := RoleByName(role); !ok {
		return fmt.Errorf("directory role %.64q is not supported: %w", role, ErrInvalid)
	}
	return d.changePrincipal(tx, tenantID, appID, func(p *ServicePrincipal) {
		if !p.Has(role) {
			p.DirectoryRoles = append(p.DirectoryRoles, role)
		}
	})
}

// ChangePrincipalIn changes a service principal; IDs, home and directory roles stay as they were.
func (d *Directory) ChangePrincipalIn(tx store.Tx, tenantID, appID string, change func(*ServicePrincipal) error) (ServicePrincipal, error) {
	old, doc, err := d.principal(tx, tenantID, appID)
	if err != nil {
		return old, err
	}
	var p ServicePrincipal
	if err := record.Decode(doc, &p); err != nil {
		return old, err
	}
	if err := change(&p); err != nil {
		return old, err
	}
	p.ObjectID, p.TenantID, p.AppID, p.HomeTenant, p.DirectoryRoles, p.Created = old.ObjectID, old.TenantID, old.AppID, old.HomeTenant, old.DirectoryRoles, old.Created
	if err := rule.CheckName("service principal name", p.DisplayName); err != nil {
		return old, err
	}
	if !p.AccountEnabled && old.AccountEnabled {
		if err := d.keepsAdministrator(tx, Object{ServicePrincipal: &old}); err != nil {
			return old, err
		}
	}
	if err := p.Credentials.Check(); err != nil {
		return old, err
	}
	if len(p.Owners) > maxOwners || len(p.Tags) > 100 || len(p.Notes) > maxText || len(p.Description) > maxText {
		return old, fmt.Errorf("too many owners or tags, or too long a description: %w", ErrInvalid)
	}
	doc.Terms = p.terms()
	return p, record.Write(tx, doc, p)
}

func (d *Directory) changePrincipal(tx store.Tx, tenantID, appID string, change func(*ServicePrincipal)) error {
	p, doc, err := d.principal(tx, tenantID, appID)
	if err != nil {
		return err
	}
	change(&p)
	doc.Terms = p.terms()
	return record.Write(tx, doc, p)
}

// DeletePrincipal removes an application's service principal from a tenant. Its tokens stop working at once.
func (d *Directory) DeletePrincipal(ctx context.Context, tenantID, appID string) error {
	return d.store.Update(ctx, func(tx store.Tx) error { return d.DeletePrincipalIn(tx, tenantID, appID) })
}
