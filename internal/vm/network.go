package vm

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Network is the whole desired state of a virtual network. As JSON it is also the file from which its process reads
// what to do when it was killed and started again.
type Network struct {
	ID        string         `json:"id"`            // GUID
	Prefixes  []netip.Prefix `json:"prefixes"`      // the address space; IPv4; what "VirtualNetwork" means in rules
	Subnets   []netip.Prefix `json:"subnets"`       // their first address is the gateway, as in Azure
	DNSSuffix string         `json:"dnsSuffix"`     // search domain, never empty: cloud-init breaks without one
	DNS       []netip.Addr   `json:"dns,omitempty"` // the network's own dhcpOptions.dnsServers; empty: the gateway
	Internet  bool           `json:"internet"`      // guests may open connections to the outside
	Endpoints []Endpoint     `json:"endpoints"`     // the NICs
}

// Endpoint is a NIC in its network.
type Endpoint struct {
	NIC      string     `json:"nic"`     // GUID, vm.NIC.ID: names the socket on which QEMU listens
	Machine  string     `json:"machine"` // GUID of the machine, for those who must tell guests apart
	MAC      string     `json:"mac"`
	IP       netip.Addr `json:"ip"`
	Hostname string     `json:"hostname"`
	// Groups are the network security groups that stand before the NIC: its subnet's and its own. A flow needs the
	// consent of every one. None: see PublicIP.
	Groups []SecurityGroup `json:"groups,omitempty"`
	Public *PublicIP       `json:"public,omitempty"`
}

// PublicIP is the loopback address by which the host reaches a NIC.
type PublicIP struct {
	Addr netip.Addr `json:"addr"` // within 127.0.0.0/8
	// Basic is a public IP of Basic SKU: without any security group it is open. A Standard one is closed then
	// (learn.microsoft.com/azure/virtual-network/ip-services/public-ip-addresses, "Security").
	Basic bool `json:"basic,omitempty"`
}

// NetworkStatus is how a network is doing.
type NetworkStatus struct {
	ID        string           `json:"id"`
	Endpoints []EndpointStatus `json:"endpoints"`
}

// EndpointStatus is how a NIC is doing.
type EndpointStatus struct {
	NIC       string       `json:"nic"`
	Connected bool         `json:"connected"` // its machine's QEMU is on the line
	Leased    bool         `json:"leased"`    // the guest has asked for its address since the process started
	Ports     []PortStatus `json:"ports,omitempty"`
	Note      string       `json:"note,omitempty"` // what the rules allow but no listener serves
}

// PortStatus is one listener on a public IP.
type PortStatus struct {
	Port  uint16 `json:"port"`
	Bound bool   `json:"bound"`
	// Problem is why the bind failed, Listener who was there first if that can be seen ("sshd (pid 612) on 0.0.0.0:22").
	Problem  string `json:"problem,omitempty"`
	Listener string `json:"listener,omitempty"`
}

// Validate finds the first fault of a description.
func (n Network) Validate() error {
	if !isGUID(n.ID) {
		return fmt.Errorf("vm: network id %q is not a GUID", n.ID)
	}
	if !dnsName(n.DNSSuffix) {
		return fmt.Errorf("vm: DNS suffix %q is not a domain name", n.DNSSuffix)
	}
	if len(n.Subnets) == 0 {
		return fmt.Errorf("vm: network %s has no subnet", n.ID)
	}
	for _, p := range append(append([]netip.Prefix{}, n.Prefixes...), n.Subnets...) {
		if !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 || p.Bits() > 29 {
			return fmt.Errorf("vm: %s is not an IPv4 prefix of /8 to /29", p)
		}
		if p.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || p.Overlaps(netip.MustParsePrefix("169.254.0.0/16")) {
			return fmt.Errorf("vm: prefix %s is reserved", p)
		}
	}
	seen := map[string]bool{}
	for _, e := range n.Endpoints {
		if err := n.validateEndpoint(e); err != nil {
			return err
		}
		for _, key := range []string{"nic " + e.NIC, "address " + e.IP.String(), "MAC " + strings.ToLower(e.MAC)} {
			if seen[key] {
				return fmt.Errorf("vm: network %s has %s twice", n.ID, key)
			}
			seen[key] = true
		}
	}
	return nil
}

func (n Network) validateEndpoint(e Endpoint) error {
	if err := (NIC{ID: e.NIC, MAC: e.MAC}).validate(); err != nil {
		return err
	}
	s, ok := n.SubnetOf(e.IP)
	if !ok || e.IP == Gateway(s) || e.IP == s.Addr() {
		return fmt.Errorf("vm: address %s of interface %s is not free in a subnet of network %s", e.IP, e.NIC, n.ID)
	}
	if !dnsName(e.Hostname) {
		return fmt.Errorf("vm: host name %q of interface %s", e.Hostname, e.NIC)
	}
	if p := e.Public; p != nil && !(p.Addr.Is4() && p.Addr.IsLoopback()) {
		return fmt.Errorf("vm: public address %s is not within 127.0.0.0/8", p.Addr)
	}
	for _, g := range e.Groups {
		for _, r := range g.Rules {
			if err := r.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

// SubnetOf answers the subnet that holds an address.
func (n Network) SubnetOf(a netip.Addr) (netip.Prefix, bool) {
	for _, s := range n.Subnets {
		if s.Contains(a) {
			return s, true
		}
	}
	return netip.Prefix{}, false
}

// Gateway answers the address of a subnet's gateway: the first one after the network's own, as in Azure.
func Gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// MACFor derives a stable, locally administered MAC address from an ID.
func MACFor(id string) string {
	h := shortHash(id)
	return net.HardwareAddr{0x52, 0x54, 0x00, h[0], h[1], h[2]}.String()
}

func dnsName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range label {
			if !(c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return false
			}
		}
	}
	return true
}
