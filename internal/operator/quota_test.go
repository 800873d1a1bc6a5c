package operator_test

import (
	"errors"
	"strings"
	"testing"

	"vitrine/internal/client"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

func TestQuota(t *testing.T) {
	w := newWorld(t)
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "contoso"})
	b := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "fabrikam"})
	limit, all, bad := int64(1000), int64(50), int64(-1)
	if err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(quota.SetDefault(tx, &all), quota.Hold(tx, a.TenantID, "/disk", 7))
	}); err != nil {
		t.Fatal(err)
	}
	quotaOf := func(tenant string) client.TenantQuota {
		t.Helper()
		list := do[[]client.TenantQuota](w, "/v1/tenants/quotas?tenant="+tenant, nil)
		if len(list) != 1 {
			t.Fatal(list)
		}
		return list[0]
	}
	for _, row := range []struct {
		in   client.QuotaRequest
		most int64
		of   string
	}{
		{client.QuotaRequest{Limit: &limit}, 1000, "tenant"},
		{client.QuotaRequest{Unlimited: true}, -1, "tenant"},
		{client.QuotaRequest{}, 50, "server"},
	} {
		row.in.Tenant = "contoso"
		want := client.TenantQuota{TenantID: a.TenantID, Name: "contoso", Held: 7, Limit: row.most, Of: row.of}
		if got := do[client.TenantQuota](w, "/v1/tenants/quota", row.in); got != want || quotaOf("contoso") != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got := do[[]client.TenantQuota](w, "/v1/tenants/quotas", nil); len(got) != 2 || quotaOf(b.TenantID).Held != 0 {
		t.Errorf("%+v", got)
	}
	w.refused(400, "InvalidParameter", "/v1/tenants/quota", client.QuotaRequest{Tenant: "contoso", Limit: &bad})
	w.refused(400, "InvalidParameter", "/v1/tenants/quota", client.QuotaRequest{Tenant: "contoso", Limit: &limit, Unlimited: true})
	w.refused(404, "TenantNotFound", "/v1/tenants/quota", client.QuotaRequest{Tenant: "nobody"})
	w.refused(404, "TenantNotFound", "/v1/tenants/quota", client.QuotaRequest{Limit: &limit})
	w.refused(404, "TenantNotFound", "/v1/tenants/quotas?tenant=nobody", nil)
	if !strings.Contains(w.log.String(), "tenant quota") {
		t.Error("the act is not in the log")
	}
}
