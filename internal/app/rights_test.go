package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"vitrine/internal/app"
	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/store/storetest/pgtest"
)

// start runs a server of an installation until the test ends.
func start(t *testing.T, data, key, dsn string) client.Server {
	t.Helper()
	a, err := app.New(t.Context(), app.Config{Data: data, KeyFile: key, Database: dsn, Listen: "127.0.0.1:0", Accel: "tcg", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.Close()
	})
	return a.Server()
}

// TestRightsInEveryServer takes a role away at one server and asks another one of the same installation at once.
func TestRightsInEveryServer(t *testing.T) {
	dsn := pgtest.Start(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "master.key")
	first, second := start(t, filepath.Join(dir, "a"), key, dsn), start(t, filepath.Join(dir, "b"), key, dsn)
	operator := client.NewOperator(first.Operator)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var tenant client.Tenant
	var who client.App
	for _, step := range []struct {
		path    string
		in, out any
	}{{"/v1/tenants", client.TenantRequest{Name: "contoso"}, &tenant}, {"/v1/applications", client.AppRequest{Name: "x", Tenant: "contoso"}, &who}} {
		if err := operator.Do(ctx, step.path, step.in, step.out); err != nil {
			t.Fatal(err)
		}
	}
	one, err := client.NewARM(first, operator.TokensOf("contoso", ""))
	if err != nil {
		t.Fatal(err)
	}
	two, err := client.NewARM(second, operator.TokensOf("contoso", who.AppID))
	if err != nil {
		t.Fatal(err)
	}
	scope := "/subscriptions/" + tenant.SubscriptionID
	at := scope + "/providers/Microsoft.Authorization/roleAssignments/99999999-0000-4000-8000-000000000001"
	const version = "2022-04-01"
	body := map[string]any{"properties": map[string]string{"principalId": who.ObjectID,
		"roleDefinitionId": scope + "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"}}
	for round := range 20 {
		if err := one.Do(ctx, http.MethodPut, at, version, body, nil); err != nil {
			t.Fatal(err)
		}
		if err := two.Get(ctx, at, version, nil); err != nil {
			t.Fatalf("round %d: given at one server, refused at the other: %v", round, err)
		}
		if err := one.Do(ctx, http.MethodDelete, at, version, nil, nil); err != nil {
			t.Fatal(err)
		}
		err := two.Get(ctx, at, version, nil)
		if e, ok := errors.AsType[*arm.Error](err); !ok || e.Code != "AuthorizationFailed" {
			t.Fatalf("round %d: taken away at one server, the other answers %v", round, err)
		}
	}
	fmt.Println("20 times a role given and taken at one server was seen at once at the other")
}
