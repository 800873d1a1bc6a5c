package directory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Tenant is one organisation's directory.
type Tenant struct {
	ID      string    `json:"id"` // a GUID in lower case
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

func tenantKey(id string) string    { return "directory/tenants/" + strings.ToLower(id) }
func tenantTerm(name string) string { return "tenantname:" + strings.ToLower(name) }

// CreateTenant makes a tenant. An empty ID is replaced by a new one. Its name is taken once, whatever its case, since the
// operator's commands accept a name in place of an ID.
func (d *Directory) CreateTenant(ctx context.Context, t Tenant) (Tenant, error) {
	return update(ctx, d, func(tx store.Tx) (Tenant, error) { return d.CreateTenantIn(tx, t) })
}

// CreateTenantIn is CreateTenant as a part of tx.
func (d *Directory) CreateTenantIn(tx store.Tx, t Tenant) (Tenant, error) {
	if err := rule.CheckName("tenant name", t.Name); err != nil {
		return Tenant{}, err
	}
	if rule.CanonicalID(t.Name) != "" {
		return Tenant{}, fmt.Errorf("tenant name %q looks like a tenant ID: %w", t.Name, ErrInvalid)
	}
	var err error
	if t.ID, err = rule.NewOrGiven("tenant ID", t.ID); err != nil {
		return Tenant{}, err
	}
	same, err := tx.List(store.Query{Kind: KindTenant, Any: []string{tenantTerm(t.Name)}, Limit: 1})
	if err != nil {
		return Tenant{}, fmt.Errorf("directory: look for tenant %q: %w", t.Name, err)
	}
	if len(same) > 0 {
		return Tenant{}, fmt.Errorf("tenant %q: %w", t.Name, ErrExists)
	}
	if free, err := record.Absent(tx, tenantKey(t.ID)); err != nil {
		return Tenant{}, err
	} else if !free {
		return Tenant{}, fmt.Errorf("tenant %s: %w", t.ID, ErrExists)
	}
	t.Created = d.now().UTC()
	doc := store.Document{Key: tenantKey(t.ID), Kind: KindTenant, Terms: []string{tenantTerm(t.Name)}}
	if err := record.Write(tx, doc, t); err != nil {
		return Tenant{}, err
	}
	return t, d.initialDomain(tx, t)
}

// Tenant returns the tenant with an ID, or ErrTenantNotFound.
func (d *Directory) Tenant(ctx context.Context, id string) (Tenant, error) {
	return view(ctx, d, func(tx store.Tx) (Tenant, error) { return d.TenantIn(tx, id) })
}

// TenantIn is Tenant as a part of tx.
func (d *Directory) TenantIn(tx store.Tx, id string) (Tenant, error) {
	missing := fmt.Errorf("tenant %.64q: %w", id, ErrTenantNotFound)
	if rule.CanonicalID(id) == "" {
		return Tenant{}, missing
	}
	t, _, err := record.Read[Tenant](tx, tenantKey(id), missing)
	return t, err
}

// FindTenant returns the tenant with an ID or a name, or ErrTenantNotFound. It is for the operator, who may see all.
func (d *Directory) FindTenant(ctx context.Context, idOrName string) (Tenant, error) {
	return view(ctx, d, func(tx store.Tx) (Tenant, error) { return d.FindTenantIn(tx, idOrName) })
}

// FindTenantIn is FindTenant as a part of tx.
func (d *Directory) FindTenantIn(tx store.Tx, idOrName string) (Tenant, error) {
	if rule.CanonicalID(idOrName) != "" {
		return d.TenantIn(tx, idOrName)
	}
	missing := fmt.Errorf("tenant %.64q: %w", idOrName, ErrTenantNotFound)
	if rule.CheckName("tenant name", idOrName) != nil { // nor would the store take it as an index term
		return Tenant{}, missing
	}
	found, err := record.List[Tenant](tx, store.Query{Kind: KindTenant, Any: []string{tenantTerm(idOrName)}, Limit: 1})
	if err != nil {
		return Tenant{}, err
	}
	if len(found) == 0 {
		return Tenant{}, missing
	}
	return found[0], nil
}

// Tenants lists all tenants in the order of their IDs.
func (d *Directory) Tenants(ctx context.Context) ([]Tenant, error) {
	return view(ctx, d, func(tx store.Tx) ([]Tenant, error) {
		return record.List[Tenant](tx, store.Query{Kind: KindTenant})
	})
}
