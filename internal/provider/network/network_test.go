package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

func TestWalk(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	nic := w.must("GET", prefix+"networkInterfaces/n", "")
	if got := at(nic, "properties", "ipConfigurations", 0, "properties", "privateIPAddress"); got != "10.0.0.4" {
		t.Errorf("private address %v", got)
	}
	if got := fmt.Sprint(at(nic, "properties", "macAddress")); !strings.HasPrefix(got, "60-45-BD-") || len(got) != 17 {
		t.Errorf("MAC %q", got)
	}
	ip := w.must("GET", prefix+"publicIPAddresses/p", "")
	a, err := netip.ParseAddr(fmt.Sprint(at(ip, "properties", "ipAddress")))
	if err != nil || !netip.MustParsePrefix("127.64.0.0/10").Contains(a) {
		t.Errorf("public address %v: %v", a, err)
	}
	if got := at(ip, "properties", "ipConfiguration", "id"); got != prefix+"networkInterfaces/n/ipConfigurations/c" {
		t.Errorf("holder of the public address: %v", got)
	}
	nsg := w.must("GET", prefix+"networkSecurityGroups/g", "")
	if rules, _ := at(nsg, "properties", "defaultSecurityRules").([]any); len(rules) != 6 {
		t.Errorf("%d default rules", len(rules))
	}
	if got := at(nsg, "properties", "securityRules", 0, "properties", "access"); got != "Allow" {
		t.Errorf("access %v", got)
	}
	vnet := w.must("GET", prefix+"virtualNetworks/v", "")
	if got := at(vnet, "properties", "subnets", 0, "properties", "ipConfigurations", 0, "id"); got == nil {
		t.Errorf("the subnet does not name its holder: %v", vnet)
	}
	if etag := fmt.Sprint(vnet["etag"]); !strings.HasPrefix(etag, `W/"`) {
		t.Errorf("etag %s", etag)
	}
}

func TestDesiredFollowsWrites(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	w.plug()
	vnet := w.must("GET", prefix+"virtualNetworks/v", "")
	network := fmt.Sprint(at(vnet, "properties", "resourceGuid"))
	n, ok := w.networks.Network(network)
	if !ok || len(n.Endpoints) != 1 {
		t.Fatalf("network %+v", n)
	}
	e := n.Endpoints[0]
	if e.Machine != guid || e.Hostname != "host" || e.IP.String() != "10.0.0.4" || e.Public == nil || !e.Public.Basic || len(e.Groups) != 1 {
		t.Fatalf("endpoint %+v", e)
	}
	if ports, _ := n.PublicPorts(e); len(ports) != 1 || ports[0] != 22 {
		t.Errorf("ports %v", ports)
	}
	// As `az vm open-port` sends it: lower-case words.
	const rule = prefix + "networkSecurityGroups/g/securityRules/open-port-80"
	w.must("PUT", rule, `{"properties":{"protocol":"*","access":"allow","direction":"inbound","priority":900,"sourcePortRange":"*","destinationPortRange":"80","sourceAddressPrefix":"*","destinationAddressPrefix":"*"}}`)
	n, _ = w.networks.Network(network)
	if ports, _ := n.PublicPorts(n.Endpoints[0]); len(ports) != 2 {
		t.Errorf("ports after open-port: %v", ports)
	}
	if got := w.must("GET", rule, ""); at(got, "properties", "provisioningState") != "Succeeded" {
		t.Errorf("rule %v", got)
	}
	w.must("DELETE", rule, "")
	n, _ = w.networks.Network(network)
	if ports, _ := n.PublicPorts(n.Endpoints[0]); len(ports) != 1 {
		t.Errorf("ports after delete: %v", ports)
	}
	w.fails("GET", rule, "", "ResourceNotFound")
	// The public IP goes from the NIC: no forward is left.
	w.must("PUT", prefix+"networkInterfaces/n", nicBody("s", "", ""))
	n, _ = w.networks.Network(network)
	if n.Endpoints[0].Public != nil || n.Endpoints[0].IP.String() != "10.0.0.4" {
		t.Errorf("endpoint after the public IP went: %+v", n.Endpoints[0])
	}
	if ip := w.must("GET", prefix+"publicIPAddresses/p", ""); at(ip, "properties", "ipAddress") != nil {
		t.Errorf("a dynamic address stayed: %v", ip)
	}
	// The machine goes: so does the network's process.
	nic, _ := arm.ParseID(prefix + "networkInterfaces/n")
	m, _ := arm.ParseID(machine)
	w.update(func(tx store.Tx) error { return w.provider.Detach(tx, nic, m) })
	if err := w.provider.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.networks.Network(network); ok {
		t.Error("the network's process is left")
	}
}

func TestReconcileBringsBackNetworks(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	w.plug()
	ids, _ := w.networks.List(context.Background())
	if err := w.networks.Remove(context.Background(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.provider.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after, _ := w.networks.List(context.Background()); len(after) != 1 || after[0] != ids[0] {
		t.Errorf("networks %v, want %v", after, ids)
	}
}

func TestInUse(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	const holder = prefix + "networkInterfaces/n/ipConfigurations/c"
	w.fails("DELETE", prefix+"virtualNetworks/v/subnets/s", "", "InUseSubnetCannotBeDeleted", holder)
	w.fails("DELETE", prefix+"virtualNetworks/v", "", "InUseSubnetCannotBeDeleted", holder)
	w.fails("PUT", prefix+"virtualNetworks/v", strings.Replace(vnetBody, `"name":"s"`, `"name":"t"`, 1), "InUseSubnetCannotBeDeleted", holder)
	w.fails("PUT", prefix+"virtualNetworks/v/subnets/s", `{"properties":{"addressPrefix":"10.0.1.0/24"}}`, "InUsePrefixCannotBeDeleted")
	w.fails("DELETE", prefix+"networkSecurityGroups/g", "", "InUseNetworkSecurityGroupCannotBeDeleted", prefix+"networkInterfaces/n")
	w.fails("DELETE", prefix+"publicIPAddresses/p", "", "PublicIPAddressCannotBeDeleted", holder)
	w.fails("PUT", prefix+"networkInterfaces/other", nicBody("s", "p", ""), "PublicIPAddressInUse", holder)
	w.plug()
	w.fails("DELETE", prefix+"networkInterfaces/n", "", "NicInUse", machine)
	nic, _ := arm.ParseID(prefix + "networkInterfaces/n")
	m, _ := arm.ParseID(machine)
	other, _ := arm.ParseID(machine + "2")
	err := w.control.Store().Update(context.Background(), func(tx store.Tx) error { return w.provider.Attach(tx, nic, other, "eastus") })
	var e *arm.Error
	if !errors.As(err, &e) || e.Code != "NicInUse" {
		t.Errorf("second machine: %v", err)
	}
	w.update(func(tx store.Tx) error { return w.provider.Detach(tx, nic, m) })
	for _, path := range []string{"networkInterfaces/n", "publicIPAddresses/p", "networkSecurityGroups/g", "virtualNetworks/v"} {
		w.must("DELETE", prefix+path, "")
	}
	w.must("DELETE", prefix+"virtualNetworks/v", "") // 204
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	vnet := func(space, a, b string) string {
		return fmt.Sprintf(`{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":[%q]},"subnets":[{"name":"a","properties":{"addressPrefix":%q}},{"name":"b","properties":{"addressPrefix":%q}}]}}`, space, a, b)
	}
	rule := func(edit string) string {
		m := map[string]any{"protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 200, "sourcePortRange": "*", "destinationPortRange": "80", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*"}
		if err := json.Unmarshal([]byte(edit), &m); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(map[string]any{"properties": m})
		return string(b)
	}
	const r = prefix + "networkSecurityGroups/g/securityRules/x"
	for _, c := range []struct{ name, path, body, code string }{
		{"not a prefix", prefix + "virtualNetworks/x", vnet("ten", "10.0.0.0/24", "10.0.1.0/24"), "InvalidAddressPrefixFormat"},
		{"host bits", prefix + "virtualNetworks/x", vnet("10.0.0.1/16", "10.0.0.0/24", "10.0.1.0/24"), "InvalidCIDRNotation"},
		{"loopback", prefix + "virtualNetworks/x", vnet("127.0.0.0/16", "127.0.0.0/24", "127.0.1.0/24"), "NetcfgInvalidIPAddressPrefix"},
		{"IPv6", prefix + "virtualNetworks/x", vnet("fd00::/48", "10.0.0.0/24", "10.0.1.0/24"), "UnsupportedAddressFamily"},
		{"subnet outside", prefix + "virtualNetworks/x", vnet("10.0.0.0/16", "10.0.0.0/24", "10.1.0.0/24"), "NetcfgInvalidSubnet"},
		{"subnets overlap", prefix + "virtualNetworks/x", vnet("10.0.0.0/16", "10.0.0.0/24", "10.0.0.128/25"), "NetcfgSubnetRangesOverlap"},
		{"child overlaps", prefix + "virtualNetworks/v/subnets/t", `{"properties":{"addressPrefix":"10.0.0.0/25"}}`, "NetcfgSubnetRangesOverlap"},
		{"child outside", prefix + "virtualNetworks/v/subnets/t", `{"properties":{"addressPrefix":"10.9.0.0/25"}}`, "NetcfgInvalidSubnet"},
		{"no parent", prefix + "virtualNetworks/no/subnets/t", `{"properties":{"addressPrefix":"10.9.0.0/25"}}`, "ParentResourceNotFound"},
		{"bad name", prefix + "virtualNetworks/-x", vnetBody, "InvalidResourceName"},
		{"priority", r, rule(`{"priority":99}`), "SecurityRuleInvalidPriority"},
		{"ports", r, rule(`{"destinationPortRange":"80-70"}`), "SecurityRuleInvalidPortRange"},
		{"service tag", r, rule(`{"sourceAddressPrefix":"Storage"}`), "SecurityRuleInvalidAddressPrefix"},
		{"taken priority", r, rule(`{"priority":1000}`), "SecurityRuleConflict"},
		{"no direction", r, rule(`{"direction":null}`), "InvalidParameter"},
		{"missing subnet", prefix + "networkInterfaces/x", nicBody("nope", "", ""), "InvalidResourceReference"},
		{"missing ip", prefix + "networkInterfaces/x", nicBody("s", "nope", ""), "InvalidResourceReference"},
		{"other region", prefix + "networkInterfaces/x", strings.Replace(nicBody("s", "", ""), "eastus", "westus", 1), "InvalidResourceReference"},
		{"taken address", prefix + "networkInterfaces/x", nicBody("s", "", "10.0.0.4"), "PrivateIPAddressIsAllocated"},
		{"reserved address", prefix + "networkInterfaces/x", nicBody("s", "", "10.0.0.1"), "PrivateIPAddressInReservedRange"},
		{"last address", prefix + "networkInterfaces/x", nicBody("s", "", "10.0.0.255"), "PrivateIPAddressInReservedRange"},
		{"foreign address", prefix + "networkInterfaces/x", nicBody("s", "", "10.0.7.4"), "PrivateIPAddressNotInSubnet"},
		{"no address", prefix + "networkInterfaces/x", nicBody("s", "", "ten"), "InvalidIPAddressFormat"},
		{"not an ID", prefix + "networkInterfaces/x", `{"location":"eastus","properties":{"ipConfigurations":[{"name":"c","properties":{"subnet":{"id":"here"}}}]}}`, "LinkedInvalidPropertyId"},
		{"standard and dynamic", prefix + "publicIPAddresses/x", `{"location":"eastus","sku":{"name":"standard"},"properties":{"publicIPAllocationMethod":"dynamic"}}`, "StandardSkuPublicIPAddressesMustBeStatic"},
		{"no space", prefix + "virtualNetworks/x", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":[]}}}`, "InvalidRequestFormat"},
		{"no prefix", prefix + "virtualNetworks/v/subnets/t", `{"properties":{}}`, "InvalidRequestFormat"},
		{"subnet twice", prefix + "virtualNetworks/x", strings.Replace(vnet("10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24"), `"name":"b"`, `"name":"A"`, 1), "InvalidRequestFormat"},
		{"rule twice", prefix + "networkSecurityGroups/x", fmt.Sprintf(`{"location":"eastus","properties":{"securityRules":[{"name":"x",%s,{"name":"X",%s]}}`, rule(`{}`)[1:], rule(`{"priority":201}`)[1:]), "InvalidRequestFormat"},
		{"configuration twice", prefix + "networkInterfaces/x", fmt.Sprintf(`{"location":"eastus","properties":{"ipConfigurations":[{"name":"c","properties":{"primary":true,"subnet":{"id":%[1]q}}},{"name":"C","properties":{"subnet":{"id":%[1]q}}}]}}`, prefix+"virtualNetworks/v/subnets/s"), "InvalidRequestFormat"},
		{"NAT gateway", prefix + "virtualNetworks/v/subnets/t", `{"properties":{"addressPrefix":"10.0.1.0/24","natGateway":{"id":"/x"}}}`, "InvalidParameter"},
		{"routes in a network", prefix + "virtualNetworks/x", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"subnets":[{"name":"a","properties":{"addressPrefix":"10.0.1.0/24","RouteTable":{"id":"/x"}}}]}}`, "InvalidParameter"},
		{"encryption", prefix + "virtualNetworks/x", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"encryption":{"enabled":true,"enforcement":"AllowUnencrypted"}}}`, "InvalidParameter"},
		{"DDoS protection", prefix + "virtualNetworks/x", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"enableDdosProtection":true}}`, "InvalidParameter"},
		{"DDoS protection plan", prefix + "virtualNetworks/x", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"ddosProtectionPlan":{"id":"/x"}}}`, "InvalidParameter"},
		{"IPv6 address", prefix + "publicIPAddresses/x", `{"location":"eastus","properties":{"publicIPAddressVersion":"ipv6"}}`, "UnsupportedAddressFamily"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.fails("PUT", c.path, c.body, c.code)
		})
	}
	w.t = t
	_, _, err := w.do("PUT", prefix+"virtualNetworks/x", vnet("10.0.0.0/16", "ten", "eleven"))
	var e *arm.Error
	if !errors.As(err, &e) || len(e.Details) != 2 {
		t.Errorf("two faults: %v", err)
	}
	if _, _, err := w.do("PUT", prefix+"virtualNetworks/x", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]},"enableDdosProtection":false,
		"ddosProtectionPlan":null,"encryption":{"enabled":false},"subnets":[{"name":"a","properties":{"addressPrefix":"10.0.1.0/24","natGateway":null,"routeTable":{}}}]}}`); err != nil {
		t.Errorf("what is off: %v", err)
	}
}

func TestStandardAddressAtCreation(t *testing.T) {
	w := newWorld(t, "127.200.0.0/29")
	seen := map[any]bool{}
	for i := range 7 { // 127.200.0.1 to .7; .0 is none
		ip := w.must("PUT", fmt.Sprintf("%spublicIPAddresses/p%d", prefix, i), `{"location":"eastus","sku":{"name":"Standard"}}`)
		a := at(ip, "properties", "ipAddress")
		if a == nil || seen[a] {
			t.Fatalf("address %v of %v", a, seen)
		}
		seen[a] = true
	}
	w.fails("PUT", prefix+"publicIPAddresses/more", `{"location":"eastus","sku":{"name":"Standard"}}`, "PublicIPAddressPoolExhausted")
	w.must("DELETE", prefix+"publicIPAddresses/p3", "")
	w.must("PUT", prefix+"publicIPAddresses/more", `{"location":"eastus","sku":{"name":"Standard"}}`)
}

// TestPrivateAddresses makes and removes interfaces at random: no two ever share an address, none has a reserved one, and
// creation fails exactly when the subnet is full.
func TestPrivateAddresses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		subnet := netip.MustParsePrefix("10.0.0.0/28")
		used := map[netip.Addr]string{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if len(used) > 0 && rapid.Bool().Draw(rt, "remove") {
				n := rapid.IntRange(0, 15).Draw(rt, "which")
				delete(used, address(number(subnet.Addr())+uint32(n)))
				continue
			}
			a, ok := private(subnet, used)
			if ok != (len(used) < 11) {
				rt.Fatalf("with %d of 11 taken: %v", len(used), ok)
			}
			if !ok {
				continue
			}
			if used[a] != "" || !usable(subnet, a) {
				rt.Fatalf("%s was given again or is reserved", a)
			}
			used[a] = "x"
		}
	})
}

func TestSubnetsAndRulesKeepTheirOwnWay(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	w.must("PUT", prefix+"virtualNetworks/v/subnets/t", `{"properties":{"addressPrefixes":["10.0.2.0/24"]}}`)
	// A PATCH of tags, and a PUT without subnets, leave them alone.
	w.must("PATCH", prefix+"virtualNetworks/v", `{"tags":{"a":"b"}}`)
	v := w.must("PUT", prefix+"virtualNetworks/v", `{"location":"eastus","properties":{"addressSpace":{"addressPrefixes":["10.0.0.0/16"]}}}`)
	if list, _ := at(v, "properties", "subnets").([]any); len(list) != 2 {
		t.Errorf("subnets %v", list)
	}
	if got := at(v, "properties", "subnets", 0, "properties", "provisioningState"); got != "Succeeded" {
		t.Errorf("state of a subnet: %v", got)
	}
	w.must("PUT", prefix+"virtualNetworks/v", vnetBody) // names s only
	w.fails("GET", prefix+"virtualNetworks/v/subnets/t", "", "ResourceNotFound")
	g := w.must("PUT", prefix+"networkSecurityGroups/g", `{"location":"eastus","properties":{"securityRules":[]}}`)
	if list, _ := at(g, "properties", "securityRules").([]any); len(list) != 0 {
		t.Errorf("rules %v", list)
	}
	list := w.must("GET", prefix+"virtualNetworks", "")
	if got := at(list, "value", 0, "properties", "subnets", 0, "name"); got != "s" {
		t.Errorf("list %v", list)
	}
}

func TestIfMatch(t *testing.T) {
	w := newWorld(t, "")
	v := w.must("PUT", prefix+"virtualNetworks/v", vnetBody)
	match := http.Header{"If-Match": {fmt.Sprint(v["etag"])}}
	if _, _, err := w.send("PUT", prefix+"virtualNetworks/v", vnetBody, match); err != nil {
		t.Errorf("with the current ETag: %v", err)
	}
	_, _, err := w.send("PUT", prefix+"virtualNetworks/v", vnetBody, match)
	var e *arm.Error
	if !errors.As(err, &e) || e.Code != "PreconditionFailed" {
		t.Errorf("with an old ETag: %v", err)
	}
}

// TestActivateIsForTheHolder: a machine puts no interface on the wire that another machine has.
func TestActivateIsForTheHolder(t *testing.T) {
	w := newWorld(t, "")
	w.walk()
	nic, _ := arm.ParseID(prefix + "networkInterfaces/n")
	holder, _ := arm.ParseID(machine)
	other, _ := arm.ParseID(machine + "2")
	live := func() (l *Live) {
		w.update(func(tx store.Tx) error {
			n, err := control.Get[NIC](tx, nic)
			if err == nil {
				l = n.Properties.Live
			}
			return err
		})
		return l
	}
	activate := func(m arm.ID, guid string) {
		w.update(func(tx store.Tx) error { return w.provider.Activate(tx, nic, m, guid, "host") })
	}
	const foreign = "99999999-9999-4999-8999-999999999999"
	activate(arm.ID{}, foreign)
	activate(holder, guid)
	if l := live(); l != nil {
		t.Errorf("nobody has the interface, and it is live as %+v", l)
	}
	w.update(func(tx store.Tx) error { return w.provider.Attach(tx, nic, holder, "eastus") })
	activate(other, foreign)
	if l := live(); l != nil {
		t.Errorf("live as %+v", l)
	}
	activate(holder, guid)
	activate(other, foreign)
	if l := live(); l == nil || l.Machine != guid {
		t.Errorf("live as %+v", l)
	}
}
