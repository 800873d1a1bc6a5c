package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/directory/record"
	"vitrine/internal/directory/rule"
	"vitrine/internal/store"
)

// Domain is a domain name that belongs to one tenant: the part of its users' names behind the @. The initial one comes with
// the tenant, further ones are the operator's to give, since nobody proves here that a name in the DNS is theirs.
type Domain struct {
	Name     string `json:"name"` // lower case
	TenantID string `json:"tenantId"`
	Initial  bool   `json:"initial,omitempty"`
}

func domainKey(name string) string { return "directory/domains/" + strings.ToLower(name) }

// initialDomain gives a new tenant <name>.onmicrosoft.com, made of the letters and digits of its name, with a part of its ID behind
// them when another tenant has that.
func (d *Directory) initialDomain(tx store.Tx, t Tenant) error {
	label := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(t.Name))
	label = label[:min(len(label), 27)]
	name := label + ".onmicrosoft.com"
	free, err := record.Absent(tx, domainKey(name))
	if err != nil {
		return err
	}
	if !free || label == "" {
		name = label + strings.ReplaceAll(t.ID, "-", "")[:12] + ".onmicrosoft.com"
	}
	return addDomain(tx, Domain{Name: name, TenantID: t.ID, Initial: true})
}

func addDomain(tx store.Tx, d Domain) error {
	return record.Write(tx, store.Document{Key: domainKey(d.Name), Kind: KindDomain, Terms: []string{"tenant:" + d.TenantID}}, d)
}

// AddDomainIn gives a tenant a domain name, on the operator's word that it is theirs. Twice is once; ErrExists when another
// tenant has it.
func (d *Directory) AddDomainIn(tx store.Tx, tenantID, name string) error {
	name = strings.ToLower(name)
	if !rule.IsDomain(name) {
		return fmt.Errorf("%.260q is not a domain name: %w", name, ErrInvalid)
	}
	owner, err := d.domainOwner(tx, name)
	switch {
	case err != nil || owner == rule.CanonicalID(tenantID):
		return err
	case owner != "":
		return fmt.Errorf("domain %s belongs to another tenant: %w", name, ErrExists)
	}
	return addDomain(tx, Domain{Name: name, TenantID: rule.CanonicalID(tenantID)})
}

// domainOwner is the tenant that has a domain, or "".
func (d *Directory) domainOwner(tx store.Tx, name string) (string, error) {
	if !rule.IsDomain(name) {
		return "", nil
	}
	found, _, err := record.Read[Domain](tx, domainKey(name), ErrObjectNotFound)
	if errors.Is(err, ErrObjectNotFound) {
		return "", nil
	}
	return found.TenantID, err
}

// DomainsIn lists a tenant's domains, the initial one first.
func (d *Directory) DomainsIn(tx store.Tx, tenantID string) ([]Domain, error) {
	found, err := record.List[Domain](tx, store.Query{Kind: KindDomain, All: []string{"tenant:" + rule.CanonicalID(tenantID)}})
	for i, domain := range found {
		if domain.Initial {
			found[0], found[i] = found[i], found[0]
		}
	}
	return found, err
}

// TenantByDomain returns the tenant to which a domain belongs, or ErrTenantNotFound; a path of the login door may name it.
func (d *Directory) TenantByDomain(ctx context.Context, name string) (Tenant, error) {
	return view(ctx, d, func(tx store.Tx) (Tenant, error) {
		owner, err := d.domainOwner(tx, strings.ToLower(name))
		if err != nil {
			return Tenant{}, err
		}
		return d.TenantIn(tx, owner)
	})
}
