package directory_test

import (
	"testing"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// BenchmarkVerifySecret measures what a token request pays for its secret; the budget is 50 ms of one core.
func BenchmarkVerifySecret(b *testing.B) {
	d := directory.New(store.New(memstore.Open()))
	tenant, err := d.CreateTenant(b.Context(), directory.Tenant{Name: "home"})
	if err != nil {
		b.Fatal(err)
	}
	app, _, err := d.CreateApplication(b.Context(), directory.Application{TenantID: tenant.ID, DisplayName: "a"})
	if err != nil {
		b.Fatal(err)
	}
	text, _, err := d.AddSecret(b.Context(), app.AppID, directory.SecretSpec{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := d.VerifySecret(b.Context(), app.AppID, text, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
