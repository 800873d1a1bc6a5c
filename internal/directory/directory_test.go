package directory_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"vitrine/internal/directory"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

func newDirectory(t *testing.T) (*directory.Directory, *store.Store) {
	t.Helper()
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	return directory.New(st), st
}

func mustTenant(t *testing.T, d *directory.Directory, name string) directory.Tenant {
	t.Helper()
	tenant, err := d.CreateTenant(t.Context(), directory.Tenant{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func mustApp(t *testing.T, d *directory.Directory, tenant directory.Tenant, audience string) (directory.Application, directory.ServicePrincipal) {
	t.Helper()
	app, sp, err := d.CreateApplication(t.Context(), directory.Application{TenantID: tenant.ID, DisplayName: "Golden images", SignInAudience: audience})
	if err != nil {
		t.Fatal(err)
	}
	return app, sp
}

func TestTenantNamesAndIDs(t *testing.T) {
	d, _ := newDirectory(t)
	const id = "11111111-2222-4333-8444-555555555555"
	if _, err := d.CreateTenant(t.Context(), directory.Tenant{ID: strings.ToUpper(id), Name: "Fabrikam"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		tenant directory.Tenant
		want   error
	}{
		{"same name in another case", directory.Tenant{Name: "FABRIKAM"}, directory.ErrExists},
		{"same ID", directory.Tenant{ID: id, Name: "Other"}, directory.ErrExists},
		{"empty name", directory.Tenant{Name: " "}, directory.ErrInvalid},
		{"control character", directory.Tenant{Name: "a\nb"}, directory.ErrInvalid},
		{"not UTF-8", directory.Tenant{Name: "a\xff"}, directory.ErrInvalid},
		{"name that is an ID", directory.Tenant{Name: uuid.NewString()}, directory.ErrInvalid},
		{"ID that is none", directory.Tenant{ID: "x", Name: "Other"}, directory.ErrInvalid},
		{"ID in braces", directory.Tenant{ID: "{" + id + "}", Name: "Other"}, directory.ErrInvalid},
		{"nil ID", directory.Tenant{ID: uuid.Nil.String(), Name: "Other"}, directory.ErrInvalid},
	} {
		if _, err := d.CreateTenant(t.Context(), tc.tenant); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	for _, by := range []string{id, strings.ToUpper(id), "fabrikam", "Fabrikam"} {
		if got, err := d.FindTenant(t.Context(), by); err != nil || got.ID != id || got.Name != "Fabrikam" {
			t.Errorf("FindTenant(%q) = %+v, %v", by, got, err)
		}
	}
	for _, by := range []string{"", "nobody", uuid.NewString(), "\xff", strings.Repeat("x", 10_000)} {
		if _, err := d.FindTenant(t.Context(), by); !errors.Is(err, directory.ErrTenantNotFound) {
			t.Errorf("FindTenant(%.20q) = %v", by, err)
		}
	}
	if _, err := d.Tenant(t.Context(), "Fabrikam"); !errors.Is(err, directory.ErrTenantNotFound) {
		t.Errorf("Tenant takes a name: %v", err)
	}
	all, err := d.Tenants(t.Context())
	if err != nil || len(all) != 1 || all[0].Created.IsZero() {
		t.Errorf("Tenants = %+v, %v", all, err)
	}
}

func TestApplicationAcrossTenants(t *testing.T) {
	d, _ := newDirectory(t)
	home, abroad := mustTenant(t, d, "home"), mustTenant(t, d, "abroad")
	multi, first := mustApp(t, d, home, directory.MultiTenant)
	single, _ := mustApp(t, d, home, "")
	if single.SignInAudience != directory.SingleTenant {
		t.Errorf("audience of an application by default: %q", single.SignInAudience)
	}
	second, err := d.CreateServicePrincipal(t.Context(), abroad.ID, strings.ToUpper(multi.AppID))
	if err != nil {
		t.Fatal(err)
	}
	if second.ObjectID == first.ObjectID || second.AppID != first.AppID || second.HomeTenant != home.ID || !second.AccountEnabled {
		t.Errorf("service principal abroad: %+v; at home: %+v", second, first)
	}
	again, err := d.CreateServicePrincipal(t.Context(), abroad.ID, multi.AppID)
	if err != nil || again.ObjectID != second.ObjectID {
		t.Errorf("second consent: %+v, %v; want the same principal", again, err)
	}
	for _, tc := range []struct {
		name, tenant, app string
		want              error
	}{
		{"single-tenant abroad", abroad.ID, single.AppID, directory.ErrSingleTenant},
		{"unknown application", abroad.ID, uuid.NewString(), directory.ErrApplicationNotFound},
		{"unknown tenant", uuid.NewString(), multi.AppID, directory.ErrTenantNotFound},
	} {
		if _, err := d.CreateServicePrincipal(t.Context(), tc.tenant, tc.app); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	if p, err := d.PrincipalByObject(t.Context(), abroad.ID, second.ObjectID); err != nil || p.AppID != multi.AppID {
		t.Errorf("by object ID: %+v, %v", p, err)
	}
	if _, err := d.PrincipalByObject(t.Context(), abroad.ID, first.ObjectID); !errors.Is(err, directory.ErrPrincipalNotFound) {
		t.Errorf("an object of another tenant was found: %v", err)
	}
	if ps, err := d.Principals(t.Context(), home.ID); err != nil || len(ps) != 2 {
		t.Errorf("principals at home: %+v, %v", ps, err)
	}
	if apps, err := d.Applications(t.Context(), abroad.ID); err != nil || len(apps) != 0 {
		t.Errorf("applications registered abroad: %+v, %v", apps, err)
	}
}

func TestApplicationRefused(t *testing.T) {
	d, _ := newDirectory(t)
	home := mustTenant(t, d, "home")
	taken, _ := mustApp(t, d, home, "")
	for _, tc := range []struct {
		name string
		app  directory.Application
		want error
	}{
		{"no name", directory.Application{TenantID: home.ID}, directory.ErrInvalid},
		{"no tenant", directory.Application{DisplayName: "a"}, directory.ErrTenantNotFound},
		{"client ID in use", directory.Application{TenantID: home.ID, DisplayName: "a", AppID: taken.AppID}, directory.ErrExists},
		{"az's client ID", directory.Application{TenantID: home.ID, DisplayName: "a", AppID: directory.AzureCLI}, directory.ErrExists},
		{"Graph's client ID", directory.Application{TenantID: home.ID, DisplayName: "a", AppID: "00000003-0000-0000-C000-000000000000"}, directory.ErrExists},
		{"personal accounts alone", directory.Application{TenantID: home.ID, DisplayName: "a", SignInAudience: "PersonalMicrosoftAccount"}, directory.ErrInvalid},
		{"token version", directory.Application{TenantID: home.ID, DisplayName: "a", TokenVersion: 3}, directory.ErrInvalid},
	} {
		if _, _, err := d.CreateApplication(t.Context(), tc.app); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	cli, err := d.Application(t.Context(), directory.AzureCLI)
	if err != nil || !cli.PublicClient || !cli.Multi() {
		t.Errorf("az's application: %+v, %v", cli, err)
	}
	if _, _, err := d.AddSecret(t.Context(), directory.AzureCLI, directory.SecretSpec{}); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("az's application got a secret: %v", err)
	}
}

func TestPrincipalChanges(t *testing.T) {
	d, st := newDirectory(t)
	home := mustTenant(t, d, "home")
	app, sp := mustApp(t, d, home, "")
	grant := func(role string) error {
		return st.Update(t.Context(), func(tx store.Tx) error { return d.GrantDirectoryRoleIn(tx, home.ID, app.AppID, role) })
	}
	for range 2 {
		if err := grant(directory.GlobalAdministrator); err != nil {
			t.Fatal(err)
		}
	}
	if err := grant("Helpdesk"); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("unknown directory role: %v", err)
	}
	if err := d.SetAccountEnabled(t.Context(), home.ID, app.AppID, false); err != nil {
		t.Fatal(err)
	}
	got, err := d.Principal(t.Context(), home.ID, app.AppID)
	if err != nil || got.AccountEnabled || !got.Has(directory.GlobalAdministrator) || len(got.DirectoryRoles) != 1 || got.ObjectID != sp.ObjectID {
		t.Errorf("after the changes: %+v, %v", got, err)
	}
	if err := d.DeletePrincipal(t.Context(), home.ID, app.AppID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Principal(t.Context(), home.ID, app.AppID); !errors.Is(err, directory.ErrPrincipalNotFound) {
		t.Errorf("after deletion: %v", err)
	}
	if _, err := d.PrincipalByObject(t.Context(), home.ID, sp.ObjectID); !errors.Is(err, directory.ErrPrincipalNotFound) {
		t.Errorf("by object ID after deletion: %v", err)
	}
	anew, err := d.CreateServicePrincipal(t.Context(), home.ID, app.AppID)
	if err != nil || anew.ObjectID == sp.ObjectID {
		t.Errorf("made anew: %+v, %v; want another object", anew, err)
	}
}

// A tenant with everything in it is made in one transaction; when its last part fails, nothing of it stays.
func TestOneTransaction(t *testing.T) {
	d, st := newDirectory(t)
	boom := errors.New("the subscription could not be made")
	build := func(ctx context.Context, last error) error {
		return st.Update(ctx, func(tx store.Tx) error {
			tenant, err := d.CreateTenantIn(tx, directory.Tenant{Name: "whole"})
			if err != nil {
				return err
			}
			app, _, err := d.CreateApplicationIn(tx, directory.Application{TenantID: tenant.ID, DisplayName: "owner"})
			if err != nil {
				return err
			}
			if err := d.GrantDirectoryRoleIn(tx, tenant.ID, app.AppID, directory.GlobalAdministrator); err != nil {
				return err
			}
			if _, _, err := d.AddSecretIn(tx, app.AppID, directory.SecretSpec{}); err != nil {
				return err
			}
			return last
		})
	}
	if err := build(t.Context(), boom); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, err := d.FindTenant(t.Context(), "whole"); !errors.Is(err, directory.ErrTenantNotFound) {
		t.Errorf("a part stayed: %v", err)
	}
	if err := build(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	tenant, err := d.FindTenant(t.Context(), "whole")
	if err != nil {
		t.Fatal(err)
	}
	if ps, err := d.Principals(t.Context(), tenant.ID); err != nil || len(ps) != 1 || !ps[0].Has(directory.GlobalAdministrator) {
		t.Errorf("principals: %+v, %v", ps, err)
	}
}
