package network

import (
	"net/netip"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
)

// The types of this provider.
const (
	VnetType   = "Microsoft.Network/virtualNetworks"
	SubnetType = "Microsoft.Network/virtualNetworks/subnets"
	NSGType    = "Microsoft.Network/networkSecurityGroups"
	RuleType   = "Microsoft.Network/networkSecurityGroups/securityRules"
	IPType     = "Microsoft.Network/publicIPAddresses"
	NICType    = "Microsoft.Network/networkInterfaces"
)

// Ref names another resource.
type Ref struct {
	ID      string          `json:"id"`
	Unknown armjson.Unknown `json:"-"`
}

// Child is a child resource as it stands inside its parent.
type Child[T any] struct {
	Name       string          `json:"name"`
	ID         string          `json:"id" arm:"readonly"`
	Etag       string          `json:"etag" arm:"readonly"`
	Type       string          `json:"type" arm:"readonly"`
	Properties T               `json:"properties"`
	Unknown    armjson.Unknown `json:"-"`
}

func inline[T any](r *control.Resource[T]) Child[T] {
	return Child[T]{Name: r.Name, ID: r.ID, Etag: r.Etag, Type: r.Type, Properties: r.Properties, Unknown: r.Unknown}
}

// Vnet is the properties of a virtual network. Its document keeps Subnets as they were last sent; the facts are the
// subnets' own documents.
type Vnet struct {
	arm.Provisioning
	ResourceGUID string          `json:"resourceGuid" arm:"readonly"`
	AddressSpace *AddressSpace   `json:"addressSpace"`
	DHCPOptions  *DHCPOptions    `json:"dhcpOptions"`
	Subnets      []Child[Subnet] `json:"subnets" arm:"always"`
	Peerings     []Ref           `json:"virtualNetworkPeerings" arm:"readonly,always"`
	DDoS         bool            `json:"enableDdosProtection" arm:"always"`
	Unknown      armjson.Unknown `json:"-"`
}

// AddressSpace is a list of prefixes.
type AddressSpace struct {
	Prefixes []string        `json:"addressPrefixes" arm:"always"`
	Unknown  armjson.Unknown `json:"-"`
}

// DHCPOptions names the DNS servers that guests are told.
type DHCPOptions struct {
	DNSServers []string        `json:"dnsServers" arm:"always"`
	Unknown    armjson.Unknown `json:"-"`
}

// Subnet is the properties of a subnet.
type Subnet struct {
	arm.Provisioning
	Prefix           string          `json:"addressPrefix"`
	Prefixes         []string        `json:"addressPrefixes"`
	NSG              *Ref            `json:"networkSecurityGroup"`
	IPConfigurations []Ref           `json:"ipConfigurations" arm:"readonly"`
	Delegations      []Ref           `json:"delegations" arm:"always"`
	Endpoint         string          `json:"privateEndpointNetworkPolicies" arm:"enum=Enabled|Disabled|NetworkSecurityGroupEnabled|RouteTableEnabled,default=Disabled"`
	Service          string          `json:"privateLinkServiceNetworkPolicies" arm:"enum=Enabled|Disabled,default=Enabled"`
	Unknown          armjson.Unknown `json:"-"`
}

// Terms makes a subnet findable by its group.
func (s *Subnet) Terms() []string { return refTerm(nil, "nsg:", s.NSG) }

// cidr is the one prefix of a subnet, in whichever member it came.
func (s *Subnet) cidr() string {
	if s.Prefix == "" && len(s.Prefixes) > 0 {
		return s.Prefixes[0]
	}
	return s.Prefix
}

func (s *Subnet) net() netip.Prefix {
	p, err := netip.ParsePrefix(s.cidr())
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

// Group is the properties of a network security group.
type Group struct {
	arm.Provisioning
	ResourceGUID string          `json:"resourceGuid" arm:"readonly"`
	Rules        []Child[Rule]   `json:"securityRules" arm:"always"`
	Defaults     []Child[Rule]   `json:"defaultSecurityRules" arm:"readonly"`
	NICs         []Ref           `json:"networkInterfaces" arm:"readonly"`
	Subnets      []Ref           `json:"subnets" arm:"readonly"`
	Unknown      armjson.Unknown `json:"-"`
}

// Rule is the properties of a security rule.
type Rule struct {
	arm.Provisioning
	Description         string          `json:"description"`
	Protocol            string          `json:"protocol" arm:"required,enum=*|Ah|Esp|Icmp|Tcp|Udp"`
	SourcePort          string          `json:"sourcePortRange"`
	DestinationPort     string          `json:"destinationPortRange"`
	SourceAddress       string          `json:"sourceAddressPrefix"`
	DestinationAddress  string          `json:"destinationAddressPrefix"`
	Access              string          `json:"access" arm:"required,enum=Allow|Deny"`
	Priority            int             `json:"priority"`
	Direction           string          `json:"direction" arm:"required,enum=Inbound|Outbound"`
	SourcePorts         []string        `json:"sourcePortRanges" arm:"always"`
	DestinationPorts    []string        `json:"destinationPortRanges" arm:"always"`
	SourceAddresses     []string        `json:"sourceAddressPrefixes" arm:"always"`
	DestinationAdresses []string        `json:"destinationAddressPrefixes" arm:"always"`
	SourceGroups        []Ref           `json:"sourceApplicationSecurityGroups"`
	DestinationGroups   []Ref           `json:"destinationApplicationSecurityGroups"`
	Unknown             armjson.Unknown `json:"-"`
}

// PublicIP is the properties of a public IP address.
type PublicIP struct {
	arm.Provisioning
	ResourceGUID string          `json:"resourceGuid" arm:"readonly"`
	Address      string          `json:"ipAddress" arm:"readonly"`
	Version      string          `json:"publicIPAddressVersion" arm:"enum=IPv4|IPv6,default=IPv4"`
	Method       string          `json:"publicIPAllocationMethod" arm:"enum=Static|Dynamic"`
	Idle         int             `json:"idleTimeoutInMinutes"`
	DNS          *PublicDNS      `json:"dnsSettings"`
	IPTags       []Ref           `json:"ipTags" arm:"readonly,always"`
	Config       *Ref            `json:"ipConfiguration" arm:"readonly"`
	Unknown      armjson.Unknown `json:"-"`
}

// Terms makes an address findable, so that no two resources get the same.
func (p *PublicIP) Terms() []string {
	if p.Address == "" {
		return nil
	}
	return []string{"addr:" + p.Address}
}

// PublicDNS is the name of a public IP address.
type PublicDNS struct {
	Label   string          `json:"domainNameLabel"`
	FQDN    string          `json:"fqdn" arm:"readonly"`
	Unknown armjson.Unknown `json:"-"`
}

// NIC is the properties of a network interface.
type NIC struct {
	arm.Provisioning
	ResourceGUID string            `json:"resourceGuid" arm:"readonly"`
	Configs      []Child[IPConfig] `json:"ipConfigurations" arm:"required"`
	DNS          *NICDNS           `json:"dnsSettings"`
	MAC          string            `json:"macAddress" arm:"readonly"`
	Accelerated  bool              `json:"enableAcceleratedNetworking" arm:"always"`
	Forwarding   bool              `json:"enableIPForwarding" arm:"always"`
	NSG          *Ref              `json:"networkSecurityGroup"`
	Primary      *bool             `json:"primary" arm:"readonly"`
	VM           *Ref              `json:"virtualMachine" arm:"readonly"`
	Hosted       []string          `json:"hostedWorkloads" arm:"readonly,always"`
	Taps         []Ref             `json:"tapConfigurations" arm:"readonly,always"`
	NICKind      string            `json:"nicType" arm:"enum=Standard|Elastic,default=Standard"`
	Port25       bool              `json:"allowPort25Out" arm:"readonly,always"`
	Auxiliary    string            `json:"auxiliaryMode" arm:"default=None"`
	Live         *Live             `json:"live" arm:"private"`
	Unknown      armjson.Unknown   `json:"-"`
}

// Live says that a machine is to be on the wire with this interface.
type Live struct {
	Machine  string `json:"machine"` // GUID
	Hostname string `json:"hostname"`
}

// Terms makes an interface findable by all it leans on.
func (n *NIC) Terms() []string {
	terms := refTerm(nil, "nsg:", n.NSG)
	terms = refTerm(terms, "vm:", n.VM)
	for _, c := range n.Configs {
		terms = refTerm(terms, "subnet:", c.Properties.Subnet)
		terms = refTerm(terms, "pip:", c.Properties.PublicIP)
		if c.Properties.Subnet != nil {
			if id, err := arm.ParseID(c.Properties.Subnet.ID); err == nil {
				terms = append(terms, "vnet:"+id.Parent().Key())
			}
		}
	}
	if n.MAC != "" {
		terms = append(terms, "mac:"+n.MAC)
	}
	if n.Live != nil {
		terms = append(terms, "live")
	}
	return terms
}

// primary is the configuration that a machine is reached by.
func (n *NIC) primary() *IPConfig {
	for i := range n.Configs {
		if p := n.Configs[i].Properties.Primary; p != nil && *p {
			return &n.Configs[i].Properties
		}
	}
	return &n.Configs[0].Properties
}

// IPConfig is the properties of an IP configuration of an interface.
type IPConfig struct {
	arm.Provisioning
	Address  string          `json:"privateIPAddress"`
	Method   string          `json:"privateIPAllocationMethod" arm:"enum=Static|Dynamic,default=Dynamic"`
	PublicIP *Ref            `json:"publicIPAddress"`
	Subnet   *Ref            `json:"subnet"`
	Primary  *bool           `json:"primary"`
	Version  string          `json:"privateIPAddressVersion" arm:"enum=IPv4|IPv6,default=IPv4"`
	Unknown  armjson.Unknown `json:"-"`
}

// NICDNS is what an interface says of DNS.
type NICDNS struct {
	Servers []string        `json:"dnsServers" arm:"always"`
	Applied []string        `json:"appliedDnsServers" arm:"readonly,always"`
	Label   string          `json:"internalDnsNameLabel"`
	Suffix  string          `json:"internalDomainNameSuffix" arm:"readonly"`
	Unknown armjson.Unknown `json:"-"`
}

func refTerm(terms []string, prefix string, r *Ref) []string {
	if r == nil || r.ID == "" {
		return terms
	}
	return append(terms, prefix+key(r))
}

func key(r *Ref) string {
	if r == nil {
		return ""
	}
	if id, err := arm.ParseID(r.ID); err == nil {
		return id.Key()
	}
	return strings.ToLower(r.ID)
}
