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
	share := func(operation string) error {
		body := map[string]any{"operationType": operation, "groups": []any{map[string]any{"type": "Subscriptions", "ids": []string{consumer.SubscriptionID}}}}
		return one.Do(ctx, http.MethodPost, gallery+"/share", version, body, nil)
	}
	seen := "/subscriptions/" + consumer.SubscriptionID + "/providers/Microsoft.Compute/locations/eastus/sharedGalleries/" + publisher.SubscriptionID + "-SHOP"
	for round := range 5 {
		settle()
		if err := share("Add"); err != nil {
			t.Fatal(err)
		}
		if err := two.Get(ctx, seen, version, nil); err != nil {
			t.Fatalf("round %d: shared at one server, not there at the other: %v", round, err)
		}
		settle()
		began, done := time.Now(), make(chan error, 1)
		go func() { done <- share("Remove") }() // its operation ends later
		var gone time.Duration
		for err = nil; err == nil; gone = time.Since(began) {
			err = two.Get(ctx, seen, version, nil)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if e, ok := errors.AsType[*arm.Error](err); !ok || e.Code != "ResourceNotFound" || gone > time.Second {
			t.Fatalf("round %d: taken away at one server, the other answers %v after %v", round, err, gone)
		}
		t.Logf("round %d: gone in the other server %v after it was asked for", round, gone)
	}
}
