package network

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// prefixes parses prefixes and reports each that is not an IPv4 network of a size that machines can use.
func prefixes(texts []string, resource, at string) (list []netip.Prefix, faults []*arm.Error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		switch {
		case err == nil && p.Addr().Is6():
			faults = append(faults, arm.Errorf(400, "UnsupportedAddressFamily", "Address prefix %s of resource %s is IPv6, which this server does not support.", text, resource).At(at))
		case err != nil || !p.Addr().Is4():
			faults = append(faults, arm.Errorf(400, "InvalidAddressPrefixFormat", "Address prefix %.80s of resource %s is not formatted correctly. It should follow CIDR notation, for example 10.0.0.0/24.", text, resource).At(at))
		case p != p.Masked():
			faults = append(faults, arm.Errorf(400, "InvalidCIDRNotation", "The address prefix %s in resource %s has an invalid CIDR notation. For the given prefix length, the address prefix should be %s.", text, resource, p.Masked()).At(at))
		case p.Bits() < 8 || p.Bits() > 29 || reserved(p):
			faults = append(faults, arm.Errorf(400, "NetcfgInvalidIPAddressPrefix", "Address prefix %s of resource %s is not allowed: it must be of /8 to /29 and outside 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4 and 168.63.129.16/32.", text, resource).At(at))
		default:
			list = append(list, p)
		}
	}
	return list, faults
}

// reserved are the ranges that Azure refuses as address space
// (learn.microsoft.com/azure/virtual-network/virtual-networks-faq, "What address ranges can I use").
func reserved(p netip.Prefix) bool {
	for _, r := range []string{"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "168.63.129.16/32", "255.255.255.255/32"} {
		if p.Overlaps(netip.MustParsePrefix(r)) {
			return true
		}
	}
	return false
}

// named is a subnet on its way into a network.
type named struct {
	name string
	net  netip.Prefix
}

// fits reports subnets outside the space or overlapping one another.
func fits(vnet string, space []netip.Prefix, subnets []named) (faults []*arm.Error) {
	for i, s := range subnets {
		inside := false
		for _, p := range space {
			inside = inside || p.Bits() <= s.net.Bits() && p.Contains(s.net.Addr())
		}
		if !inside {
			faults = append(faults, arm.Errorf(400, "NetcfgInvalidSubnet", "Subnet '%s' is not valid because its IP address range is outside the IP address range of virtual network '%s'.", s.name, vnet))
		}
		for _, other := range subnets[:i] {
			if strings.EqualFold(other.name, s.name) {
				faults = append(faults, arm.Errorf(400, "InvalidRequestFormat", "Additional details: the subnet name '%s' is used more than once in virtual network '%s'.", s.name, vnet))
			}
			if other.net.Overlaps(s.net) {
				faults = append(faults, arm.Errorf(400, "NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '%s'.", s.name, vnet))
			}
		}
	}
	return faults
}

// usable tells whether a machine may have the address: Azure keeps the first four and the last of each subnet
// (learn.microsoft.com/azure/virtual-network/virtual-networks-faq, "Are there any restrictions on using IP addresses").
func usable(subnet netip.Prefix, a netip.Addr) bool {
	if !subnet.Contains(a) {
		return false
	}
	size := uint32(1) << (32 - subnet.Bits())
	offset := number(a) - number(subnet.Masked().Addr())
	return offset >= 4 && offset < size-1
}

// private finds the lowest free address of a subnet.
func private(subnet netip.Prefix, taken map[netip.Addr]string) (netip.Addr, bool) {
	first := number(subnet.Masked().Addr())
	size := uint32(1) << (32 - subnet.Bits())
	for offset := uint32(4); offset < size-1; offset++ {
		if a := address(first + offset); taken[a] == "" {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// taken says which addresses of a subnet other interfaces have, and by which configuration.
func taken(tx store.Tx, subnet arm.ID, except string) (map[netip.Addr]string, error) {
	nics, err := holders(tx, "subnet:"+subnet.Key())
	if err != nil {
		return nil, err
	}
	out := map[netip.Addr]string{}
	for _, n := range nics {
		if strings.EqualFold(n.ID, except) {
			continue
		}
		for _, c := range n.Properties.Configs {
			if a, err := netip.ParseAddr(c.Properties.Address); err == nil && key(c.Properties.Subnet) == subnet.Key() {
				out[a] = c.ID
			}
		}
	}
	return out, nil
}

// allocate gives a public IP an address of the pool: always the same one for the same resource unless another has it.
func (p *Provider) allocate(tx store.Tx, id arm.ID) (string, error) {
	hash := fnv.New32a()
	hash.Write([]byte(id.Key()))
	size := uint32(1) << (32 - p.Pool.Bits())
	first, start := number(p.Pool.Masked().Addr()), hash.Sum32()%size
	for i := range size {
		a := address(first + (start+i)%size)
		if !assignable(a) {
			continue
		}
		docs, err := tx.List(store.Query{Kind: control.Kind(IPType), All: []string{"addr:" + a.String()}, Limit: 1})
		if err != nil {
			return "", err
		}
		if len(docs) == 0 {
			return a.String(), nil
		}
	}
	return "", arm.Errorf(409, "PublicIPAddressPoolExhausted", "No address of %s is left for a public IP address.", p.Pool)
}

// assignable keeps away from what hosts use of loopback themselves (127.0.0.0/16) and from ICANN's name collision
// address, and from addresses that look like a network's or a broadcast.
func assignable(a netip.Addr) bool {
	b := a.As4()
	return b[0] == 127 && b[1] != 0 && b[3] != 0 && b[3] != 255
}

func number(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// mac derives an interface's address from its GUID in Microsoft's range, as recorded: 60-45-BD-76-69-9C.
func mac(guid string, try int) string {
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s/%d", guid, try)
	n := hash.Sum32()
	return fmt.Sprintf("60-45-BD-%02X-%02X-%02X", byte(n>>16), byte(n>>8), byte(n))
}

// freeMAC is the first derived address that no other interface has.
func freeMAC(tx store.Tx, guid string) (string, error) {
	for try := 0; ; try++ {
		m := mac(guid, try)
		found, err := tx.List(store.Query{Kind: control.Kind(NICType), All: []string{"mac:" + m}, Limit: 1})
		if err != nil || len(found) == 0 {
			return m, err
		}
	}
}

// suffix is the search domain of a network.
func suffix(guid string) string {
	return strings.ReplaceAll(guid, "-", "")[:24] + ".bx.internal.cloudapp.net"
}
