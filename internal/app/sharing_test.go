package app_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/store/storetest/pgtest"
)

// TestSharingInEveryServer takes a share away at one server and looks at another one of the same installation at once.
func TestSharingInEveryServer(t *testing.T) {
	dsn := pgtest.Start(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "master.key")
	first, second := start(t, filepath.Join(dir, "a"), key, dsn), start(t, filepath.Join(dir, "b"), key, dsn)
	operator := client.NewOperator(first.Operator)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var publisher, consumer client.Tenant
	for name, out := range map[string]*client.Tenant{"contoso": &publisher, "fabrikam": &consumer} {
		if err := operator.Do(ctx, "/v1/tenants", client.TenantRequest{Name: name}, out); err != nil {
			t.Fatal(err)
		}
	}
	one, err := client.NewARM(first, operator.TokensOf("contoso", ""))
	if err != nil {
		t.Fatal(err)
	}
	two, err := client.NewARM(second, operator.TokensOf("fabrikam", ""))
	if err != nil {
		t.Fatal(err)
	}
	const version = "2024-03-03"
	group := "/subscriptions/" + publisher.SubscriptionID + "/resourceGroups/rg"
	gallery := group + "/providers/Microsoft.Compute/galleries/shop"
	if err := one.Do(ctx, http.MethodPut, group, "2021-04-01", map[string]string{"location": "eastus"}, nil); err != nil {
		t.Fatal(err)
	}
	settle := func() {
		t.Helper()
		var g struct {
			Properties struct{ ProvisioningState string }
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for g.Properties.ProvisioningState != "Succeeded" {
			if err := one.Get(ctx, gallery, version, &g); err != nil {
				t.Fatal(err)
			}
			<-tick.C
		}
	}
	if err := one.Do(ctx, http.MethodPut, gallery, version, map[string]any{"location": "eastus"}, nil); err != nil {
		t.Fatal(err)
	}
	share := func(operation string) {
		t.Helper()
		body := map[string]any{"operationType": operation, "groups": []any{map[string]any{"type": "Subscriptions", "ids": []string{consumer.SubscriptionID}}}}
		if _, err := one.Begin(ctx, http.MethodPost, gallery+"/share", version, body); err != nil { // it is accepted; its operation ends later
			t.Fatal(err)
		}
	}
	seen := "/subscriptions/" + consumer.SubscriptionID + "/providers/Microsoft.Compute/locations/eastus/sharedGalleries/" + publisher.SubscriptionID + "-SHOP"
	for round := range 5 {
		settle()
		share("Add")
		settle()
		if err := two.Get(ctx, seen, version, nil); err != nil {
			t.Fatalf("round %d: shared at one server, not there at the other: %v", round, err)
		}
		share("Remove")
		err := two.Get(ctx, seen, version, nil)
		if e, ok := errors.AsType[*arm.Error](err); !ok || e.Code != "ResourceNotFound" {
			t.Fatalf("round %d: taken away at one server, the other answers %v", round, err)
		}
	}
}
