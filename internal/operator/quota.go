package operator

import (
	"context"
	"net/http"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/directory"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// setQuota changes how many bytes a tenant may hold. What it holds stays, also when that is more.
func (d *door) setQuota(ctx context.Context, in client.QuotaRequest) (any, error) {
	if in.Limit != nil && (*in.Limit < 0 || in.Unlimited) {
		return nil, arm.Errorf(400, "InvalidParameter", "A quota is a number of bytes, 0 or more, or unlimited.").At("limit")
	}
	t, err := d.Directory.FindTenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	var out client.TenantQuota
	err = d.Store.Update(ctx, func(tx store.Tx) error {
		if err := quota.Set(tx, t.ID, quota.Limits{Own: in.Limit, Unlimited: in.Unlimited}); err != nil {
			return err
		}
		out, err = quotaOf(tx, t)
		return err
	})
	return out, err
}

// quotas lists those of all tenants, or of the one that is named.
func (d *door) quotas(r *http.Request) (any, error) {
	var tenants []directory.Tenant
	var err error
	if name := r.URL.Query().Get("tenant"); name != "" {
		tenants = make([]directory.Tenant, 1)
		tenants[0], err = d.Directory.FindTenant(r.Context(), name)
	} else {
		tenants, err = d.Directory.Tenants(r.Context())
	}
	if err != nil {
		return nil, err
	}
	list := make([]client.TenantQuota, len(tenants))
	err = d.Store.View(r.Context(), func(tx store.Tx) (err error) {
		for i, t := range tenants {
			if list[i], err = quotaOf(tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

func quotaOf(tx store.Tx, t directory.Tenant) (client.TenantQuota, error) {
	a, err := quota.Of(tx, t.ID)
	of := "server"
	if a.Own {
		of = "tenant"
	}
	return client.TenantQuota{TenantID: t.ID, Name: t.Name, Held: a.Used, Limit: a.Most(), Of: of}, err
}
