package network

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation/operationtest"
	"vitrine/internal/store"
)

// answer sends a request and does not wait.
func (w *world) answer(method, path, body string) *control.Response {
	w.t.Helper()
	r, err := w.control.Do(context.Background(), control.Request{Method: method, Path: path, Query: url.Values{"api-version": {"2022-01-01"}}, Body: []byte(body),
		Caller: authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: owner, AppID: "app"}}, Base: "https://management.azure.com"})
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// Every write is told as real-azure-behaviour.md 2 has it, also that which no network in use must be told; tags alone are not.
func TestWritesAreLong(t *testing.T) {
	w := newWorld(t, "")
	const at = "https://management.azure.com/subscriptions/" + sub + "/providers/Microsoft.Network/locations/eastus/operations/"
	ended := func(r *control.Response) {
		t.Helper()
		u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operationtest.Wait(t.Context(), w.control.Store(), u.Path[strings.LastIndexByte(u.Path, '/')+1:]); err != nil {
			t.Fatal(err)
		}
		if got := string(w.answer("GET", u.Path, "").Body); got != `{"status":"Succeeded"}` {
			t.Errorf("%s: %s", u.Path, got)
		}
	}
	rows := []struct{ path, body string }{
		{"virtualNetworks/v", vnetBody},
		{"virtualNetworks/v/subnets/t", `{"properties":{"addressPrefix":"10.0.1.0/24"}}`},
		{"networkSecurityGroups/g", `{"location":"eastus"}`},
		{"networkSecurityGroups/g/securityRules/r", `{"properties":{"protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":100,"direction":"Inbound"}}`},
		{"publicIPAddresses/p", `{"location":"eastus"}`},
		{"networkInterfaces/n", nicBody("s", "p", "")},
	}
	for _, row := range rows {
		for _, status := range []int{201, 200} {
			r := w.answer("PUT", prefix+row.path, row.body)
			if r.Status != status || !strings.HasPrefix(r.Header.Get("Azure-AsyncOperation"), at) || r.Header.Get("Location") != "" || !strings.Contains(string(r.Body), `"provisioningState":"Updating"`) {
				t.Errorf("PUT %s: %d %v %s", row.path, r.Status, r.Header, r.Body)
			}
			ended(r)
		}
		got := w.answer("GET", prefix+row.path, "")
		if !strings.Contains(string(got.Body), `"provisioningState":"Succeeded"`) || !strings.Contains(string(got.Body), `"etag":"W/\"`) || !strings.HasPrefix(got.Header.Get("ETag"), `W/"`) {
			t.Errorf("GET %s: %v %s", row.path, got.Header, got.Body)
		}
		if strings.Count(row.path, "/") > 1 {
			continue // has no tags
		}
		if r := w.answer("PATCH", prefix+row.path, `{"tags":{"a":"b"}}`); r.Status != 200 || r.Header.Get("Azure-AsyncOperation") != "" || !strings.Contains(string(r.Body), `"provisioningState":"Succeeded"`) {
			t.Errorf("PATCH %s: %d %v %s", row.path, r.Status, r.Header, r.Body)
		}
	}
	for _, i := range []int{5, 4, 3, 2, 1, 0} {
		r := w.answer("DELETE", prefix+rows[i].path, "")
		if r.Status != 202 || len(r.Body) > 0 || !strings.HasPrefix(r.Header.Get("Azure-AsyncOperation"), at) || !strings.Contains(r.Header.Get("Location"), "monitor=true") {
			t.Errorf("DELETE %s: %d %v %s", rows[i].path, r.Status, r.Header, r.Body)
		}
		ended(r)
		w.fails("GET", prefix+rows[i].path, "", "ResourceNotFound")
	}
}

// What is being deleted can be leaned on no more, nor written below, nor brought back by its parent.
func TestDeleting(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	w.must("DELETE", prefix+"networkInterfaces/n", "")
	w.must("PUT", prefix+"virtualNetworks/other", strings.ReplaceAll(vnetBody, "10.0.", "10.9."))
	w.must("PUT", prefix+"networkInterfaces/n", nicBody("s", "", ""))
	deleting := func(path string, on bool) {
		t.Helper()
		id, err := arm.ParseID(prefix + path)
		if err != nil {
			t.Fatal(err)
		}
		state := map[bool]string{true: arm.Deleting, false: arm.Succeeded}[on]
		w.update(func(tx store.Tx) error {
			switch id.Type() {
			case VnetType:
				return setState[Vnet](tx, id, state)
			case SubnetType:
				return setState[Subnet](tx, id, state)
			case NSGType:
				return setState[Group](tx, id, state)
			case RuleType:
				return setState[Rule](tx, id, state)
			case IPType:
				return setState[PublicIP](tx, id, state)
			}
			return setState[NIC](tx, id, state)
		})
	}
	const rule = `{"properties":{"protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":100,"direction":"Inbound"}}`
	for _, row := range []struct{ goes, path, body, code string }{
		{"networkSecurityGroups/g", "networkInterfaces/m", nicBody("s", "", ""), "InvalidResourceReference"},
		{"networkSecurityGroups/g", "networkSecurityGroups/g/securityRules/r", rule, "Conflict"},
		{"networkSecurityGroups/g/securityRules/default-allow-ssh", "networkSecurityGroups/g", `{"location":"eastus","properties":{"securityRules":[{"name":"default-allow-ssh",` + rule[1:] + `]}}`, "Conflict"},
		{"networkSecurityGroups/g", "virtualNetworks/other/subnets/s", `{"properties":{"addressPrefix":"10.9.0.0/24","networkSecurityGroup":{"id":"` + prefix + `networkSecurityGroups/g"}}}`, "InvalidResourceReference"},
		{"publicIPAddresses/p", "networkInterfaces/m", nicBody("s", "p", ""), "InvalidResourceReference"},
		{"virtualNetworks/v/subnets/s", "networkInterfaces/m", nicBody("s", "", ""), "InvalidResourceReference"},
		{"virtualNetworks/v", "networkInterfaces/m", nicBody("s", "", ""), "InvalidResourceReference"},
		{"virtualNetworks/other", "virtualNetworks/other/subnets/t", `{"properties":{"addressPrefix":"10.9.1.0/24"}}`, "Conflict"},
		{"virtualNetworks/other/subnets/s", "virtualNetworks/other", strings.ReplaceAll(vnetBody, "10.0.", "10.9."), "Conflict"},
	} {
		deleting(row.goes, true)
		w.fails("PUT", prefix+row.path, row.body, row.code)
		deleting(row.goes, false)
		w.must("PUT", prefix+row.path, row.body)
		if strings.HasSuffix(row.path, "/m") {
			w.must("DELETE", prefix+row.path, "")
		}
	}
	deleting("networkInterfaces/n", true)
	nic, _ := arm.ParseID(prefix + "networkInterfaces/n")
	m, _ := arm.ParseID(machine)
	err := w.control.Store().Update(t.Context(), func(tx store.Tx) error { return w.provider.Attach(tx, nic, m, "eastus") })
	if e, ok := errors.AsType[*arm.Error](err); !ok || e.Code != "InvalidResourceReference" {
		t.Errorf("attached what is being deleted: %v", err)
	}
}

// The header ETag is the body's, by which a write can be made conditional; it changes when a machine takes the interface.
func TestETag(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	got := w.answer("GET", prefix+"networkInterfaces/n", "")
	tag := got.Header.Get("ETag")
	if !strings.Contains(string(got.Body), `"etag":`+`"`+strings.ReplaceAll(tag, `"`, `\"`)+`"`) {
		t.Errorf("header %s, body %s", tag, got.Body)
	}
	w.plug()
	if _, _, err := w.send("PUT", prefix+"networkInterfaces/n", nicBody("s", "p", ""), http.Header{"If-Match": {tag}}); err == nil || !strings.Contains(err.Error(), "If-Match") {
		t.Errorf("with the ETag of before: %v", err)
	}
	tag = w.answer("GET", prefix+"networkInterfaces/n", "").Header.Get("ETag")
	if _, _, err := w.send("PUT", prefix+"networkInterfaces/n", nicBody("s", "p", ""), http.Header{"If-Match": {tag}}); err != nil {
		t.Errorf("with the ETag of now: %v", err)
	}
}
