package vm

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func network(groups ...SecurityGroup) (Network, Endpoint) {
	e := Endpoint{NIC: "11111111-2222-4333-8444-555555555555", MAC: "52:54:00:00:00:01", IP: netip.MustParseAddr("10.0.0.4"),
		Hostname: "a", Groups: groups, Public: &PublicIP{Addr: netip.MustParseAddr("127.1.2.3")}}
	return Network{ID: "21111111-2222-4333-8444-555555555555", DNSSuffix: "x.test",
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Subnets:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Endpoints: []Endpoint{e}}, e
}

func rule(priority int, access, protocol, source, ports string) Rule {
	return Rule{Name: fmt.Sprint("r", priority), Priority: priority, Direction: "Inbound", Access: access,
		Protocol: protocol, Sources: []string{source}, Ports: []string{ports}}
}

func group(rules ...Rule) SecurityGroup { return SecurityGroup{ID: "nsg", Rules: rules} }

func TestJudge(t *testing.T) {
	in := func(source string, port uint16) Flow {
		return Flow{Direction: "Inbound", Protocol: "Tcp", Source: netip.MustParseAddr(source), SourcePort: 50000,
			Dest: netip.MustParseAddr("10.0.0.4"), Port: port}
	}
	udp := in("8.8.8.8", 53)
	udp.Protocol = "Udp"
	out := func(dest string) Flow {
		return Flow{Direction: "Outbound", Protocol: "Tcp", Source: netip.MustParseAddr("10.0.0.4"),
			Dest: netip.MustParseAddr(dest), Port: 443}
	}
	denyOut := Rule{Name: "no", Priority: 100, Direction: "Outbound", Access: "Deny", Protocol: "*", Destinations: []string{"Internet"}}
	fromPort := rule(100, "Allow", "Tcp", "*", "22")
	fromPort.SourcePorts = []string{"1-1023"}
	toAddr := rule(100, "Allow", "Tcp", "*", "22")
	toAddr.Destinations = []string{"10.0.0.5"}
	for name, test := range map[string]struct {
		groups []SecurityGroup
		flow   Flow
		allow  bool
		rule   string
	}{
		"default denies the Internet":        {[]SecurityGroup{group()}, in("8.8.8.8", 22), false, "DenyAllInBound"},
		"default allows the network":         {[]SecurityGroup{group()}, in("10.0.9.9", 22), true, "AllowVnetInBound"},
		"default allows the platform":        {[]SecurityGroup{group()}, in("168.63.129.16", 80), true, "AllowAzureLoadBalancerInBound"},
		"a rule allows":                      {[]SecurityGroup{group(rule(1000, "Allow", "Tcp", "*", "22"))}, in("127.0.0.1", 22), true, "r1000"},
		"another port is not":                {[]SecurityGroup{group(rule(1000, "Allow", "Tcp", "*", "22"))}, in("127.0.0.1", 23), false, "DenyAllInBound"},
		"another protocol is not":            {[]SecurityGroup{group(rule(1000, "Allow", "Tcp", "*", "*"))}, udp, false, "DenyAllInBound"},
		"words without case":                 {[]SecurityGroup{group(rule(1000, "allow", "TCP", "internet", "22"))}, in("127.0.0.1", 22), true, "r1000"},
		"the lower priority wins":            {[]SecurityGroup{group(rule(300, "Allow", "*", "*", "*"), rule(200, "Deny", "*", "*", "22"))}, in("8.8.8.8", 22), false, "r200"},
		"… whatever their order":             {[]SecurityGroup{group(rule(200, "Allow", "*", "*", "22"), rule(300, "Deny", "*", "*", "*"))}, in("8.8.8.8", 22), true, "r200"},
		"deny stands before AllowVnet":       {[]SecurityGroup{group(rule(4096, "Deny", "*", "VirtualNetwork", "*"))}, in("10.0.0.9", 22), false, "r4096"},
		"range, first":                       {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "80-90"))}, in("8.8.8.8", 80), true, "r100"},
		"range, last":                        {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "80-90"))}, in("8.8.8.8", 90), true, "r100"},
		"range, beyond":                      {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "80-90"))}, in("8.8.8.8", 91), false, "DenyAllInBound"},
		"prefix, inside":                     {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "198.51.100.0/24", "22"))}, in("198.51.100.255", 22), true, "r100"},
		"prefix, outside":                    {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "198.51.100.0/24", "22"))}, in("198.51.101.0", 22), false, "DenyAllInBound"},
		"one address":                        {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "127.0.0.1", "22"))}, in("127.0.0.1", 22), true, "r100"},
		"range of addresses":                 {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "8.8.8.1-8.8.8.8", "22"))}, in("8.8.8.8", 22), true, "r100"},
		"IPv6 prefix is not IPv4":            {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "::/0", "22"))}, in("8.8.8.8", 22), false, "DenyAllInBound"},
		"Internet is not the network":        {[]SecurityGroup{group(rule(100, "Deny", "*", "Internet", "*"))}, in("10.0.7.7", 22), true, "AllowVnetInBound"},
		"source port":                        {[]SecurityGroup{group(fromPort)}, in("8.8.8.8", 22), false, "DenyAllInBound"},
		"other destination":                  {[]SecurityGroup{group(toAddr)}, in("8.8.8.8", 22), false, "DenyAllInBound"},
		"both groups must allow":             {[]SecurityGroup{group(rule(100, "Allow", "*", "*", "22")), group()}, in("8.8.8.8", 22), false, "DenyAllInBound"},
		"both do":                            {[]SecurityGroup{group(rule(100, "Allow", "*", "*", "22")), group(rule(101, "Allow", "*", "*", "22"))}, in("8.8.8.8", 22), true, "r101"},
		"no group, Standard":                 {nil, in("8.8.8.8", 22), false, "Standard public IP without security group"},
		"no group, from the network":         {nil, in("10.0.0.8", 22), true, "no security group"},
		"out, default":                       {[]SecurityGroup{group()}, out("8.8.8.8"), true, "AllowInternetOutBound"},
		"out, denied":                        {[]SecurityGroup{group(denyOut)}, out("8.8.8.8"), false, "no"},
		"out, inside stays":                  {[]SecurityGroup{group(denyOut)}, out("10.0.0.9"), true, "AllowVnetOutBound"},
		"inbound rules do not count outward": {[]SecurityGroup{group(rule(100, "Deny", "*", "*", "*"))}, out("8.8.8.8"), true, "AllowInternetOutBound"},
	} {
		t.Run(name, func(t *testing.T) {
			n, e := network(test.groups...)
			if v := n.Judge(e, test.flow); v.Allow != test.allow || v.Rule != test.rule {
				t.Errorf("%+v, want allow=%v by %s", v, test.allow, test.rule)
			}
		})
	}
	n, e := network()
	e.Public.Basic = true
	if !n.Judge(e, in("8.8.8.8", 22)).Allow {
		t.Error("a Basic public IP without group is closed")
	}
}

func TestPublicPorts(t *testing.T) {
	elsewhere := rule(100, "Allow", "Tcp", "10.0.0.0/16", "22")
	for name, test := range map[string]struct {
		groups []SecurityGroup
		basic  bool
		want   []uint16
		note   bool
	}{
		"one port":                 {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "22"))}, false, []uint16{22}, false},
		"range":                    {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "80-82"))}, false, []uint16{80, 81, 82}, false},
		"denied before":            {[]SecurityGroup{group(rule(100, "Deny", "*", "*", "81"), rule(200, "Allow", "Tcp", "*", "80-82"))}, false, []uint16{80, 82}, false},
		"UDP only":                 {[]SecurityGroup{group(rule(100, "Allow", "Udp", "*", "53"))}, false, nil, false},
		"from the network only":    {[]SecurityGroup{group(elsewhere)}, false, nil, false},
		"from one address outside": {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "127.0.0.9", "22"))}, false, []uint16{22}, false},
		"everything":               {[]SecurityGroup{group(rule(100, "Allow", "*", "*", "*"))}, false, wellKnown(), true},
		"wide and named":           {[]SecurityGroup{group(rule(100, "Allow", "*", "*", "1000-9000"), rule(101, "Allow", "*", "*", "22"))}, false, []uint16{22, 3389, 5985, 5986, 8080, 8443}, true},
		"second group closes":      {[]SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "22")), group()}, false, nil, false},
		"no group, Standard":       {nil, false, nil, false},
		"no group, Basic":          {nil, true, wellKnown(), true},
	} {
		t.Run(name, func(t *testing.T) {
			n, e := network(test.groups...)
			e.Public.Basic = test.basic
			got, note := n.PublicPorts(e)
			if !slices.Equal(got, test.want) || (note != "") != test.note {
				t.Errorf("%v, %q; want %v", got, note, test.want)
			}
		})
	}
	var many []Rule
	for i := range 5 {
		many = append(many, rule(100+i, "Allow", "Tcp", "*", fmt.Sprintf("%d-%d", 1000*(i+1), 1000*(i+1)+40)))
	}
	n, e := network(group(many...))
	if got, note := n.PublicPorts(e); len(got) != maxListeners || note == "" {
		t.Errorf("%d listeners, %q", len(got), note)
	}
	e.Public = nil
	if got, _ := n.PublicPorts(e); got != nil {
		t.Errorf("ports without public IP: %v", got)
	}
}

func TestValidate(t *testing.T) {
	for name, spoil := range map[string]func(*Network){
		"id":                 func(n *Network) { n.ID = "../x" },
		"suffix":             func(n *Network) { n.DNSSuffix = "" },
		"no subnet":          func(n *Network) { n.Subnets = nil },
		"IPv6":               func(n *Network) { n.Subnets = append(n.Subnets, netip.MustParsePrefix("fd00::/64")) },
		"host bits":          func(n *Network) { n.Prefixes[0] = netip.MustParsePrefix("10.0.0.1/16") },
		"loopback":           func(n *Network) { n.Prefixes[0] = netip.MustParsePrefix("127.0.0.0/16") },
		"address outside":    func(n *Network) { n.Endpoints[0].IP = netip.MustParseAddr("10.0.1.4") },
		"address of gateway": func(n *Network) { n.Endpoints[0].IP = netip.MustParseAddr("10.0.0.1") },
		"no address":         func(n *Network) { n.Endpoints[0].IP = netip.Addr{} },
		"twice":              func(n *Network) { n.Endpoints = append(n.Endpoints, n.Endpoints[0]) },
		"public address":     func(n *Network) { n.Endpoints[0].Public.Addr = netip.MustParseAddr("0.0.0.0") },
		"host name":          func(n *Network) { n.Endpoints[0].Hostname = "a b" },
		"rule's port": func(n *Network) {
			n.Endpoints[0].Groups = []SecurityGroup{group(rule(100, "Allow", "Tcp", "*", "99999"))}
		},
		"rule's source": func(n *Network) {
			n.Endpoints[0].Groups = []SecurityGroup{group(rule(100, "Allow", "Tcp", "Storage", "1"))}
		},
		"rule's priority": func(n *Network) { n.Endpoints[0].Groups = []SecurityGroup{group(rule(1, "Allow", "Tcp", "*", "1"))} },
		"rule's access":   func(n *Network) { n.Endpoints[0].Groups = []SecurityGroup{group(rule(100, "Maybe", "Tcp", "*", "1"))} },
	} {
		t.Run(name, func(t *testing.T) {
			n, _ := network()
			if err := n.Validate(); err != nil {
				t.Fatal(err)
			}
			spoil(&n)
			if n.Validate() == nil {
				t.Error("accepted")
			}
		})
	}
}
