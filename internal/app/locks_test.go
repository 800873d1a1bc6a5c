package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
)

// locked is an installation with one tenant and a client of its owner.
type locked struct {
	*testing.T
	arm   *client.ARM
	group string
}

func newLocked(t *testing.T) *locked {
	t.Helper()
	dir := t.TempDir()
	server := start(t, dir, filepath.Join(dir, "master.key"), "")
	operator := client.NewOperator(server.Operator)
	var tenant client.Tenant
	if err := operator.Do(t.Context(), "/v1/tenants", client.TenantRequest{Name: "contoso"}, &tenant); err != nil {
		t.Fatal(err)
	}
	as, err := client.NewARM(server, operator.TokensOf("contoso", ""))
	if err != nil {
		t.Fatal(err)
	}
	return &locked{t, as, "/subscriptions/" + tenant.SubscriptionID + "/resourceGroups/g"}
}

const lockedVersion = "2022-09-01"

// do asks for something and follows it to its end, more often than Retry-After says: a hundred operations are done here, each within
// some milliseconds.
func (l *locked) do(method, path, body string) error {
	ctx, cancel := context.WithTimeout(l.Context(), 2*time.Minute)
	defer cancel()
	p, err := l.arm.Begin(ctx, method, path, lockedVersion, raw(body))
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := p.Poll(ctx)
		if err != nil {
			return err
		}
		if done {
			return p.Result(ctx, nil)
		}
		<-tick.C
	}
}

func raw(body string) any {
	if body == "" {
		return nil
	}
	return rawBody(body)
}

type rawBody string

func (r rawBody) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func (l *locked) must(method, path, body string) {
	l.Helper()
	if err := l.do(method, path, body); err != nil {
		l.Fatalf("%s %s: %v", method, path, err)
	}
}

// TestLocks puts a lock and asks for everything that it must stop, and for what it must not. Each row is asked with the lock and,
// so that the row proves something, is refused in no other way without it.
func TestLocks(t *testing.T) {
	l := newLocked(t)
	l.must("PUT", l.group, `{"location":"eastus"}`)
	at := func(typ, name string) string { return l.group + "/providers/Microsoft." + typ + "/" + name }
	vnet, nic, disk, gallery := at("Network/virtualNetworks", "v"), at("Network/networkInterfaces", "n"), at("Compute/disks", "d"), at("Compute/galleries", "gal")
	nsg, idle := at("Network/networkSecurityGroups", "sg"), at("Network/virtualNetworks", "idle")
	subscription := strings.TrimSuffix(l.group, "/resourceGroups/g")
	empty := `{"location":"eastus","properties":{"creationData":{"createOption":"Empty"},"diskSizeGB":1}}`
	subnets := `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"subnets":[{"name":"s","properties":{"addressPrefix":"10.0.0.0/24"}}]}}`
	without := strings.Replace(subnets, `"subnets":[{`, `"tags":{},"subnets":[{"name":"z","properties":{"addressPrefix":"10.0.9.0/24"}},{`, 1)
	none := strings.Split(subnets, `,"subnets"`)[0] + `,"subnets":[]}}`
	rule := func(port string) string {
		return `{"location":"eastus","properties":{"securityRules":[{"name":"r","properties":{"protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"` + port +
			`","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":1000,"direction":"Inbound"}}]}}`
	}
	joining := `{"location":"eastus","properties":{"ipConfigurations":[{"name":"c","properties":{"subnet":{"id":"` + vnet + `/subnets/s"}}}]}}`
	access := `{"access":"Read","durationInSeconds":60}`
	template := `{"properties":{"mode":"Incremental","template":{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[` +
		`{"type":"Microsoft.Compute/disks","apiVersion":"2022-07-02","name":"d","location":"eastus","tags":{"by":"template"},"properties":{"creationData":{"createOption":"Empty"},"diskSizeGB":1}}]}}}`
	attach := `{"location":"eastus","properties":{"hardwareProfile":{"vmSize":"Standard_B1s"},"storageProfile":{"osDisk":{"osType":"Linux","createOption":"Attach","managedDisk":{"id":"` + disk + `"}}},` +
		`"networkProfile":{"networkInterfaces":[{"id":"` + nic + `"}]}}}`
	copied := `{"location":"eastus","properties":{"creationData":{"createOption":"Copy","sourceResourceId":"` + disk + `"}}}`
	reset := func(l *locked) {
		l.Helper()
		for _, r := range [][2]string{{vnet, subnets}, {nic, joining}, {disk, empty}, {nsg, rule("22")}, {idle, subnets}, {gallery, `{"location":"eastus"}`}} {
			l.must("PUT", r[0], r[1])
		}
	}
	changed := true // something was deleted
	const readOnly, keep = "ReadOnly", "CanNotDelete"
	for _, c := range []struct {
		name, scope, level, method, path, body string
		stopped                                bool
		part                                   string // of the message
	}{
		{"PUT on what is locked", disk, readOnly, "PUT", disk, empty, true, "write"},
		{"PATCH", disk, readOnly, "PATCH", disk, `{"tags":{"a":"b"}}`, true, "write"},
		{"DELETE under ReadOnly", disk, readOnly, "DELETE", disk, "", true, "delete"},
		{"DELETE under CanNotDelete", disk, keep, "DELETE", disk, "", true, "delete"},
		{"PUT under CanNotDelete", disk, keep, "PUT", disk, empty, false, ""},
		{"beginGetAccess", disk, readOnly, "POST", disk + "/beginGetAccess", access, true, "write"},
		{"endGetAccess", disk, readOnly, "POST", disk + "/endGetAccess", "", true, "write"},
		{"beginGetAccess under the group's lock", l.group, readOnly, "POST", disk + "/beginGetAccess", access, true, "'" + l.group + "'"},
		{"GET", disk, readOnly, "GET", disk, "", false, ""},
		{"a new one in a locked group", l.group, readOnly, "PUT", at("Compute/disks", "new"), empty, true, "'" + l.group + "'"},
		{"a new one beside what is locked", disk, readOnly, "PUT", at("Compute/disks", "new"), empty, false, ""},
		{"a child of what is locked", gallery, readOnly, "PUT", gallery + "/images/i", `{"location":"eastus"}`, true, "write"},
		{"deletion of what holds what is locked", vnet + "/subnets/s", keep, "DELETE", vnet, "", true, "/subnets/s'"},
		{"the group of what is locked", disk, keep, "DELETE", l.group, "", true, "'" + disk + "'"},
		{"the subscription's lock", subscription, readOnly, "DELETE", disk, "", true, "delete"},
		{"role assignment", l.group, readOnly, "PUT", l.group + "/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001", `{"properties":{"principalId":"00000000-0000-4000-8000-000000000002","roleDefinitionId":"/x/acdd72a7-3385-48ef-bd42-f606fba81ae7"}}`, true, "write"},
		{"a route: validate", l.group, readOnly, "POST", at("Resources/deployments", "d/validate"), template, true, "write"},
		{"a route that asks for no right: register", subscription, readOnly, "POST", subscription + "/providers/Microsoft.Compute/register", "", true, "write"},
		{"a deployment's step", disk, readOnly, "PUT", at("Resources/deployments", "d"), template, true, "write"},
		{"a deployment under CanNotDelete", disk, keep, "PUT", at("Resources/deployments", "d"), template, false, ""},
		{"joining a locked subnet", vnet + "/subnets/s", readOnly, "PUT", at("Network/networkInterfaces", "n2"), joining, true, "/subnets/s' cannot"},
		{"joining a subnet of a locked network", vnet, readOnly, "PUT", at("Network/networkInterfaces", "n3"), joining, true, "'" + vnet + "'"},
		{"joining under CanNotDelete", vnet, keep, "PUT", at("Network/networkInterfaces", "n4"), joining, false, ""},
		{"a network without its locked subnet", idle + "/subnets/s", keep, "PUT", idle, none, true, "/subnets/s' cannot perform delete"},
		{"a network with its locked subnet moved", idle + "/subnets/s", readOnly, "PUT", idle, strings.ReplaceAll(subnets, "10.0.0.0/24", "10.0.5.0/24"), true, "/subnets/s' cannot perform write"},
		{"a network that repeats its locked subnet", idle + "/subnets/s", readOnly, "PUT", idle, without, false, ""},
		{"a security group without its locked rule", nsg + "/securityRules/r", keep, "PUT", nsg, `{"location":"eastus","properties":{"securityRules":[]}}`, true, "/securityRules/r' cannot perform delete"},
		{"a security group with its locked rule changed", nsg + "/securityRules/r", readOnly, "PUT", nsg, rule("1-65535"), true, "/securityRules/r' cannot perform write"},
		{"a security group that repeats its locked rule", nsg + "/securityRules/r", readOnly, "PUT", nsg, rule("22"), false, ""},
		{"attaching a locked disk", disk, readOnly, "PUT", at("Compute/virtualMachines", "m"), attach, true, "'" + disk + "' cannot"},
		{"attaching a locked interface", nic, readOnly, "PUT", at("Compute/virtualMachines", "m"), attach, true, "'" + nic + "' cannot"},
		{"copying a locked disk", disk, readOnly, "PUT", at("Compute/disks", "copy"), copied, true, "'" + disk + "' cannot"},
		{"the lock itself can be changed", disk, readOnly, "PUT", disk + "/providers/Microsoft.Authorization/locks/l", `{"properties":{"level":"ReadOnly","notes":"n"}}`, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &locked{t, l.arm, l.group}
			if changed {
				reset(l)
			}
			changed = c.method == http.MethodDelete || c.path == idle || c.path == nsg
			lock := c.scope + "/providers/Microsoft.Authorization/locks/l"
			l.must("PUT", lock, `{"properties":{"level":"`+c.level+`"}}`)
			err := l.do(c.method, c.path, c.body)
			l.must(http.MethodDelete, lock, "")
			if got := scopeLocked(err); (got != "") != c.stopped || !strings.Contains(strings.ToLower(got), strings.ToLower(c.part)) {
				t.Errorf("with the lock: %v", err)
			}
			if !c.stopped && err != nil {
				t.Error(err)
			}
			if c.stopped && c.path != l.group && !strings.HasSuffix(c.path, "/m") { // no group is deleted and no machine started here
				if got := scopeLocked(l.do(c.method, c.path, c.body)); got != "" {
					t.Errorf("without the lock: %s", got)
				}
			}
		})
	}
}

// scopeLocked is the message of a ScopeLocked, also inside a failed deployment; empty: the error is none.
func scopeLocked(err error) string {
	e, ok := errors.AsType[*arm.Error](err)
	if !ok {
		return ""
	}
	if e.Code == "ScopeLocked" {
		return fmt.Sprint(e.Status, " ", e.Message)
	}
	for _, d := range e.Details {
		if m := scopeLocked(d); m != "" {
			return m
		}
	}
	return ""
}
