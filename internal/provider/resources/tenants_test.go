package resources_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/provider/resources"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// az shows a person's tenants by name and domain (tenantDisplayName, tenantDefaultDomain of az account list).
func TestTenantsOfAPerson(t *testing.T) {
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	people := directory.New(st)
	c := control.New(control.Config{Store: st, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	resources.Register(c, resources.Config{Directory: people})
	home, err := people.CreateTenant(t.Context(), directory.Tenant{Name: "Con Toso"})
	if err != nil {
		t.Fatal(err)
	}
	var alice directory.User
	err = st.Update(t.Context(), func(tx store.Tx) (err error) {
		if err := people.AddDomainIn(tx, home.ID, "a.example"); err != nil {
			return err
		}
		alice, err = people.CreateUserIn(tx, directory.User{TenantID: home.ID, UserPrincipalName: "alice@a.example", AccountEnabled: true, Profile: directory.Profile{DisplayName: "Alice"}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	who := authn.Principal{TenantID: home.ID, ObjectID: alice.ObjectID, Kind: authn.User, HomeTenant: home.ID, HomeObject: alice.ObjectID}
	r, err := c.Do(t.Context(), control.Request{Method: http.MethodGet, Path: "/tenants", Query: url.Values{"api-version": {"2022-12-01"}}, Header: http.Header{}, Caller: authn.Caller{Primary: who}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{"value.0.tenantId": home.ID, "value.0.displayName": "Con Toso", "value.0.defaultDomain": "contoso.onmicrosoft.com",
		"value.0.domains.0": "contoso.onmicrosoft.com", "value.0.domains.1": "a.example", "value.1": nil} {
		if at(got, path) != want {
			t.Errorf("%s: %v, want %v\n%s", path, at(got, path), want, r.Body)
		}
	}
}
