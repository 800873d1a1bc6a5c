package netstack

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"vitrine/internal/vm"
)

// DHCP (RFC 2131) with one fixed answer per NIC. Who asks is known from the wire, not from what the packet says.

// Message types and options, RFC 2132, RFC 3397.
const (
	dhcpDiscover, dhcpOffer, dhcpRequest, dhcpAck, dhcpNak, dhcpInform = 1, 2, 3, 5, 6, 8

	optMask, optRouter, optDNS, optDomain, optMTU        = 1, 3, 6, 15, 26
	optRequested, optLease, optType, optServer           = 50, 51, 53, 54
	optSearch, optEnd                                    = 119, 255
	dhcpFixed                                            = 240 // bytes before the options, with the cookie
	dhcpCookie                                    uint32 = 0x63825363
)

func isDHCP(ip header.IPv4) bool {
	body := ip.Payload()
	return ip.TransportProtocol() == header.UDPProtocolNumber && ip.FragmentOffset() == 0 && !ip.More() &&
		len(body) >= header.UDPMinimumSize && header.UDP(body).DestinationPort() == 67
}

func (f *fabric) receiveDHCP(p *port, n vm.Network, ip header.IPv4) {
	q := header.UDP(ip.Payload()).Payload()
	subnet, ok := n.SubnetOf(p.endpoint.Load().IP)
	if !ok {
		return
	}
	reply := dhcpReply(q, n, *p.endpoint.Load(), subnet, p.mac)
	if reply == nil {
		return
	}
	if reply[dhcpFixed+2] == dhcpAck {
		p.leased.Store(true)
	}
	// A client that cannot yet receive unicast says so by the broadcast bit; one that renews has an address.
	to := p.endpoint.Load().IP
	if q[10]&0x80 != 0 || reply[dhcpFixed+2] == dhcpNak {
		to = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	p.send(etherFrame(p.mac, etherIPv4, udpPacket(
		netip.AddrPortFrom(vm.Gateway(subnet), 67), netip.AddrPortFrom(to, 68), reply)))
}

// dhcpReply answers a request, or nil for what needs no answer. The first option of a reply is its type.
func dhcpReply(q []byte, n vm.Network, e vm.Endpoint, subnet netip.Prefix, mac [6]byte) []byte {
	if len(q) < dhcpFixed || q[0] != 1 || q[1] != 1 || q[2] != 6 || binary.BigEndian.Uint32(q[236:]) != dhcpCookie {
		return nil
	}
	opts := dhcpOptions(q[dhcpFixed:])
	if len(opts[optType]) != 1 {
		return nil
	}
	kind, gateway := byte(0), vm.Gateway(subnet)
	if id := opts[optServer]; len(id) == 4 && addr4(id) != gateway {
		return nil // meant for another server
	}
	switch opts[optType][0] {
	case dhcpDiscover:
		kind = dhcpOffer
	case dhcpInform:
		kind = dhcpAck
	case dhcpRequest:
		kind = dhcpAck
		asked, current := opts[optRequested], addr4(q[12:16])
		if len(asked) == 4 && addr4(asked) != e.IP || len(asked) != 4 && current != e.IP {
			kind = dhcpNak
		}
	default:
		return nil
	}
	r := make([]byte, dhcpFixed, 576)
	copy(r, []byte{2, 1, 6, 0})
	copy(r[4:8], q[4:8])     // transaction
	copy(r[10:12], q[10:12]) // flags
	copy(r[28:34], mac[:])
	binary.BigEndian.PutUint32(r[236:], dhcpCookie)
	r = append(r, optType, 1, kind)
	r = append(append(r, optServer, 4), gateway.AsSlice()...)
	if kind == dhcpNak {
		return append(r, optEnd)
	}
	if opts[optType][0] == dhcpInform {
		copy(r[12:16], q[12:16])
	} else {
		copy(r[16:20], e.IP.AsSlice())
		r = append(r, optLease, 4, 0xff, 0xff, 0xff, 0xff) // for ever, as in Azure
	}
	return append(appendConfiguration(r, n, subnet), optEnd)
}

func appendConfiguration(r []byte, n vm.Network, subnet netip.Prefix) []byte {
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-subnet.Bits()))
	r = append(append(r, optMask, 4), mask...)
	r = append(append(r, optRouter, 4), vm.Gateway(subnet).AsSlice()...)
	servers := n.DNS
	if len(servers) == 0 {
		servers = []netip.Addr{vm.Gateway(subnet)}
	}
	if len(servers) > 4 {
		servers = servers[:4]
	}
	r = append(r, optDNS, byte(4*len(servers)))
	for _, s := range servers {
		r = append(r, s.AsSlice()...)
	}
	r = append(append(r, optDomain, byte(len(n.DNSSuffix))), n.DNSSuffix...)
	// Never empty: cloud-init 22.4 cannot parse a lease with an empty search list, and gives its Azure data source up.
	search := labels(n.DNSSuffix)
	r = append(append(r, optSearch, byte(len(search))), search...)
	return append(r, optMTU, 2, mtu>>8, mtu&0xff)
}

func labels(domain string) (b []byte) {
	for label := range strings.SplitSeq(domain, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

func dhcpOptions(b []byte) map[byte][]byte {
	opts := map[byte][]byte{}
	for len(b) > 0 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if b[0] == optEnd || len(b) < 2 || len(b) < 2+int(b[1]) {
			break
		}
		opts[b[0]] = b[2 : 2+b[1]]
		b = b[2+int(b[1]):]
	}
	return opts
}

// udpPacket writes an IPv4 packet with a datagram.
func udpPacket(from, to netip.AddrPort, payload []byte) []byte {
	const ipSize, udpSize = header.IPv4MinimumSize, header.UDPMinimumSize
	b := make([]byte, ipSize+udpSize, ipSize+udpSize+len(payload))
	b = append(b, payload...)
	src, dst := tcpip.AddrFrom4(from.Addr().As4()), tcpip.AddrFrom4(to.Addr().As4())
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(header.UDPProtocolNumber),
		SrcAddr: src, DstAddr: dst})
	ip.SetChecksum(^ip.CalculateChecksum())
	u := header.UDP(b[ipSize:])
	u.Encode(&header.UDPFields{SrcPort: from.Port(), DstPort: to.Port(), Length: uint16(len(b) - ipSize)})
	pseudo := header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, uint16(len(b)-ipSize))
	u.SetChecksum(^checksum.Checksum(b[ipSize:], pseudo))
	return b
}
