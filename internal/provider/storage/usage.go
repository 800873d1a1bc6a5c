package storage

import (
	"context"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// maxAccounts is what the service tells as the limit of accounts per subscription and region. Nothing here counts on it.
const maxAccounts = 250

type usages struct {
	Value []usage `json:"value"`
}

type usage struct {
	Unit    string    `json:"unit"`
	Current int       `json:"currentValue" arm:"always"`
	Limit   int       `json:"limit"`
	Name    usageName `json:"name"`
}

type usageName struct {
	Value     string `json:"value"`
	Localized string `json:"localizedValue"`
}

// usages serves the count of a subscription's accounts in a location.
func (p *Provider) usages(_ context.Context, c *control.Call) (any, error) {
	id := arm.ID{Subscription: c.Names["subscription"]}
	location, ok := arm.LocationOf(c.Names["location"])
	if !ok {
		return nil, invalid("location", "The provided location '%.80s' is not available.", c.Names["location"])
	}
	found, err := control.Select[Properties](c.Tx, store.Query{Kind: control.Kind(AccountType), Prefix: id.Key() + "/"})
	n := 0
	for _, r := range found {
		if r.Location == location.Name {
			n++
		}
	}
	if err != nil {
		return nil, err
	}
	list := []usage{{"Count", n, maxAccounts, usageName{"StorageAccounts", "Storage Accounts"}}}
	tenant, err := control.TenantOf(c.Tx, id.Subscription)
	if err != nil {
		return nil, err
	}
	stored, err := quota.Of(c.Tx, tenant)
	if n, limit, ok := stored.Gigabytes(); ok { // of the tenant, in all regions together
		list = append(list, usage{"Count", n, limit, usageName{"TenantStoredGigabytes", "Stored Gigabytes of the Tenant"}})
	}
	return usages{list}, err
}
