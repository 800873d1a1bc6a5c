package network

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/operation/operationtest"
	"vitrine/internal/store"
)

// began gives the ID of the operation that an answer tells of, and the path of its status.
func began(t *testing.T, r *control.Response) (id, path string) {
	t.Helper()
	u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
	if err != nil || u.Path == "" {
		t.Fatalf("no operation: %v", r.Header)
	}
	return u.Path[strings.LastIndexByte(u.Path, '/')+1:], u.Path
}

// running waits until a worker has an operation in hand.
func (w *world) running(id string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	for s := w.control.Store(); ; {
		var o *operation.Operation
		var revision int64
		err := s.View(ctx, func(tx store.Tx) (err error) {
			if revision, err = tx.Revision(); err == nil {
				o, err = operation.Get(tx, id)
			}
			return err
		})
		if err == nil && o.Status == operation.Running {
			return
		}
		if err == nil {
			err = s.Wait(ctx, revision)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// A write takes the place of one that is under way; the first operation tells by what, in Azure's words.
func TestSuperseded(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	w.plug()
	for path, c := range map[string]struct{ body, name string }{
		"virtualNetworks/v":           {vnetBody, "PutVirtualNetworkOperation"},
		"virtualNetworks/v/subnets/s": {`{"properties":{"addressPrefix":"10.0.0.0/24"}}`, "PutSubnetOperation"},
		"networkSecurityGroups/g":     {`{"location":"eastus"}`, "PutNetworkSecurityGroupOperation"},
		"networkInterfaces/n":         {nicBody("s", "p", ""), "PutNetworkInterfaceOperation"},
		"networkSecurityGroups/g/securityRules/r": {`{"properties":{"protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":100,"direction":"Inbound"}}`,
			"PutSecurityRuleOperation"},
	} {
		w.provider.mu.Lock() // whoever applies, waits
		first, status := began(t, w.answer("PUT", prefix+path, c.body))
		w.running(first)
		second, _ := began(t, w.answer("PUT", prefix+path, c.body))
		want := `{"status":"Canceled","error":{"code":"Canceled","message":"Operation was canceled.","details":[{"code":"CanceledAndSupersededDueToAnotherOperation","message":"Operation ` +
			c.name + ` (` + first + `) was canceled and superseded by operation ` + c.name + ` (` + second + `)."}]}}`
		if got := string(w.answer("GET", status, "").Body); got != want {
			t.Errorf("%s: the first operation says %s, want %s", path, got, want)
		}
		if got := string(w.answer("GET", prefix+path, "").Body); !strings.Contains(got, `"provisioningState":"Updating"`) {
			t.Errorf("%s: %s", path, got)
		}
		w.fails("DELETE", prefix+path, "", "Conflict", "in progress")
		w.provider.mu.Unlock()
		if o, err := operationtest.Wait(t.Context(), w.control.Store(), second); err != nil || o.Status != operation.Succeeded {
			t.Fatalf("%s: %+v, %v", path, o, err)
		}
		if got := string(w.answer("GET", status, "").Body); got != want {
			t.Errorf("%s: in the end the first operation says %s", path, got)
		}
		if got := string(w.answer("GET", prefix+path, "").Body); !strings.Contains(got, `"provisioningState":"Succeeded"`) {
			t.Errorf("%s: in the end %s", path, got)
		}
	}
}

// What a superseded write had yet to carry to a network, the next one carries; one that carries nothing, such as tags, takes nobody's
// place.
func TestSupersededNetworks(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	id, err := arm.ParseID(prefix + "networkSecurityGroups/g")
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx store.Tx) error { // not due before the test is over
		return operation.Begin(tx, operation.Operation{ID: "o", Work: workApply, Resource: id.Key(), Input: []byte(`{"vnets":["/a","/b"]}`), Start: time.Now().Add(time.Hour)})
	})
	w.fails("PATCH", prefix+"networkSecurityGroups/g", `{"tags":{"a":"b"}}`, "Conflict", "in progress")
	address, err := arm.ParseID(prefix + "publicIPAddresses/p")
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		return operation.Begin(tx, operation.Operation{ID: "p", Work: workApply, Resource: address.Key(), Input: []byte(`{"vnets":null}`), Start: time.Now().Add(time.Hour)})
	})
	w.must("PUT", prefix+"publicIPAddresses/p", `{"location":"eastus"}`)
	w.update(func(tx store.Tx) error {
		o, err := operation.Get(tx, "p")
		if err == nil && (o.Status != operation.Canceled || !strings.Contains(o.Error.Details[0].Message, "PutPublicIpAddressOperation (p)")) {
			t.Errorf("%+v", o)
		}
		return err
	})
	w.update(func(tx store.Tx) error {
		c := change{Vnets: []string{"/b"}}
		err := c.inherit(tx, id)
		if got := strings.Join(c.Vnets, " "); got != "/b /a" {
			t.Errorf("carries %s", got)
		}
		return err
	})
}
