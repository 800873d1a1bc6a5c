package directory

import (
	"context"
	"slices"
	"strings"

	"vitrine/internal/directory/record"
	"vitrine/internal/store"
)

// ActiveUser is ActiveUserIn by itself: who may act in a tenant now, for a token that is looked at. home is the person's user at
// home, the same one for a member.
func (d *Directory) ActiveUser(ctx context.Context, tenantID, objectID string) (u, home User, err error) {
	err = d.store.View(ctx, func(tx store.Tx) error {
		if u, err = d.ActiveUserIn(tx, tenantID, objectID); err != nil {
			return err
		}
		if home = u; u.UserType == Guest {
			home, err = d.UserIn(tx, u.HomeTenant, u.HomeObject)
		}
		return err
	})
	return u, home, err
}

// TenantsOfIn lists the tenants in which a signed-in person is: home first, then those that invited it, by name.
func (d *Directory) TenantsOfIn(tx store.Tx, homeTenant, homeObject string) ([]Tenant, error) {
	home, err := d.UserIn(tx, homeTenant, homeObject)
	if err != nil {
		return nil, err
	}
	guests, err := record.List[User](tx, store.Query{Kind: KindUser,
		Any: []string{"home:" + home.TenantID + "/" + home.ObjectID, "invited:" + strings.ToLower(home.UserPrincipalName)}})
	if err != nil {
		return nil, err
	}
	first, err := d.TenantIn(tx, home.TenantID)
	if err != nil {
		return nil, err
	}
	var out []Tenant
	for _, g := range guests {
		if !g.AccountEnabled || g.HomeTenant != home.TenantID || g.HomeObject != "" && g.HomeObject != home.ObjectID {
			continue
		}
		t, err := d.TenantIn(tx, g.TenantID)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) })
	return append([]Tenant{first}, out...), nil
}
