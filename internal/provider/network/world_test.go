package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/operation/operationtest"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/vm/fakevm"
)

const (
	tenant  = "11111111-1111-1111-1111-111111111111"
	sub     = "22222222-2222-2222-2222-222222222222"
	owner   = "33333333-3333-3333-3333-333333333333"
	groupID = "/subscriptions/" + sub + "/resourceGroups/rg"
	prefix  = groupID + "/providers/Microsoft.Network/"
	machine = groupID + "/providers/Microsoft.Compute/virtualMachines/m"
	guid    = "44444444-4444-4444-4444-444444444444"
)

type world struct {
	t        *testing.T
	control  *control.Control
	provider *Provider
	networks *fakevm.Networks
}

func newWorld(t *testing.T, pool string) *world {
	t.Helper()
	s := store.New(memstore.Open())
	w := &world{t: t, networks: fakevm.NewNetworks()}
	var engine *operation.Engine
	w.control = control.New(control.Config{Store: s, RBAC: rbac.New(control.TenantOf), Kick: func() { engine.Kick() }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	cfg := Config{Networks: w.networks, Log: slog.New(slog.DiscardHandler)}
	if pool != "" {
		cfg.Pool = netip.MustParsePrefix(pool)
	}
	w.provider = Register(w.control, cfg)
	engine = operation.New(s, "test", w.provider.Works(), slog.New(slog.DiscardHandler))
	w.update(func(tx store.Tx) error {
		a := rbac.Assignment{Principal: owner, Scope: "/subscriptions/" + sub}
		_, err := tx.Put(store.Document{Key: "/assignment", Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: fmt.Appendf(nil,
			`{"properties":{"roleDefinitionId":"/x/8e3af657-a8ff-443c-a75c-2fe8c4bcb635","principalId":%q,"scope":%q}}`, owner, a.Scope)})
		if err != nil {
			return err
		}
		id, _ := arm.ParseID(groupID)
		if _, err := tx.Put(store.Document{Key: id.Key(), Kind: control.GroupKind, Body: []byte(`{"location":"eastus","properties":{"provisioningState":"Succeeded"}}`)}); err != nil {
			return err
		}
		return control.WriteSubscription(tx, control.Subscription{ID: sub, Name: "s", State: "Enabled", Tenant: tenant})
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); engine.Run(ctx, 1) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.control.Store().Update(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

// do sends a request and waits for the operation that it began.
func (w *world) do(method, path, body string) (map[string]any, int, error) {
	w.t.Helper()
	return w.send(method, path, body, nil)
}

func (w *world) send(method, path, body string, header http.Header) (map[string]any, int, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := w.control.Do(ctx, control.Request{Method: method, Path: path, Query: url.Values{"api-version": {"2022-01-01"}}, Body: []byte(body), Header: header,
		Caller: authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: owner, AppID: "app"}}, Base: "https://management.azure.com"})
	if err != nil {
		return nil, 0, err
	}
	if follow := r.Header.Get("Azure-AsyncOperation"); follow != "" {
		u, err := url.Parse(follow)
		if err != nil {
			w.t.Fatal(err)
		}
		o, err := operationtest.Wait(ctx, w.control.Store(), u.Path[strings.LastIndexByte(u.Path, '/')+1:])
		if err != nil {
			w.t.Fatal(err)
		}
		if o.Error != nil {
			return nil, r.Status, o.Error
		}
	}
	var out map[string]any
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, r.Body)
		}
	}
	return out, r.Status, nil
}

func (w *world) must(method, path, body string) map[string]any {
	w.t.Helper()
	out, _, err := w.do(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return out
}

func (w *world) fails(method, path, body, code string, says ...string) {
	w.t.Helper()
	_, _, err := w.do(method, path, body)
	var e *arm.Error
	if !errors.As(err, &e) {
		w.t.Errorf("%s %s: got %v, want %s", method, path, err, code)
		return
	}
	if e.Code != code {
		w.t.Errorf("%s %s: code %s (%s), want %s", method, path, e.Code, e.Message, code)
	}
	for _, s := range says {
		if !strings.Contains(strings.ToLower(e.Message), strings.ToLower(s)) {
			w.t.Errorf("%s %s: %q does not say %q", method, path, e.Message, s)
		}
	}
}

// at walks down an answer: "properties", "subnets", 0, "name".
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

const vnetBody = `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"subnets":[{"name":"s","properties":{"addressPrefix":"10.0.0.0/24"}}]}}`

// walk makes what `az vm create` puts into its template, with its spellings.
func (w *world) walk() {
	w.t.Helper()
	w.must("PUT", prefix+"virtualNetworks/v", vnetBody)
	w.must("PUT", prefix+"networkSecurityGroups/g", `{"location":"eastus","properties":{"securityRules":[{"name":"default-allow-ssh","properties":{"protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"allow","priority":1000,"direction":"inbound"}}]}}`)
	w.must("PUT", prefix+"publicIPAddresses/p", `{"location":"eastus","properties":{"publicIPAllocationMethod":null}}`)
	w.must("PUT", prefix+"networkInterfaces/n", nicBody("s", "p", ""))
}

func nicBody(subnet, ip, static string) string {
	q := map[string]any{"privateIPAllocationMethod": "Dynamic", "subnet": map[string]any{"id": prefix + "virtualNetworks/v/subnets/" + subnet}}
	if ip != "" {
		q["publicIPAddress"] = map[string]any{"id": prefix + "publicIpAddresses/" + ip}
	}
	if static != "" {
		q["privateIPAllocationMethod"], q["privateIPAddress"] = "static", static
	}
	b, _ := json.Marshal(map[string]any{"location": "eastus", "properties": map[string]any{
		"ipConfigurations":     []any{map[string]any{"name": "c", "properties": q}},
		"networkSecurityGroup": map[string]any{"id": prefix + "networkSecurityGroups/g"}}})
	return string(b)
}

func (w *world) plug() {
	w.t.Helper()
	nic, _ := arm.ParseID(prefix + "networkInterfaces/n")
	m, _ := arm.ParseID(machine)
	w.update(func(tx store.Tx) error {
		return errors.Join(w.provider.Attach(tx, nic, m, "eastus"), w.provider.Activate(tx, nic, m, guid, "host"))
	})
	vnet, _ := arm.ParseID(prefix + "virtualNetworks/v")
	if err := w.provider.Apply(context.Background(), vnet); err != nil {
		w.t.Fatal(err)
	}
}
