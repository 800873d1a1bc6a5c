package netstack

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"vitrine/internal/vm"
)

func pureNetwork() (vm.Network, vm.Endpoint) {
	e := vm.Endpoint{Hostname: "web", IP: netip.MustParseAddr("10.2.3.68")}
	return vm.Network{Subnets: prefixes("10.2.3.64/26"), Prefixes: prefixes("10.2.0.0/16"), DNSSuffix: "in.test",
		Endpoints: []vm.Endpoint{e}}, e
}

func dhcpQuery(kind byte, options ...byte) []byte {
	q := make([]byte, dhcpFixed)
	copy(q, []byte{1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef})
	binary.BigEndian.PutUint32(q[236:], dhcpCookie)
	return append(append(append(q, optType, 1, kind), options...), optEnd)
}

func TestDHCP(t *testing.T) {
	n, e := pureNetwork()
	mac := [6]byte{1, 2, 3, 4, 5, 6}
	renew := dhcpQuery(dhcpRequest)
	copy(renew[12:], e.IP.AsSlice())
	for name, test := range map[string]struct {
		q    []byte
		want byte // type of the answer; 0: none
	}{
		"discover":                      {dhcpQuery(dhcpDiscover), dhcpOffer},
		"request":                       {dhcpQuery(dhcpRequest, optRequested, 4, 10, 2, 3, 68), dhcpAck},
		"request, this server":          {dhcpQuery(dhcpRequest, optRequested, 4, 10, 2, 3, 68, optServer, 4, 10, 2, 3, 65), dhcpAck},
		"request, another server":       {dhcpQuery(dhcpRequest, optRequested, 4, 10, 2, 3, 68, optServer, 4, 10, 9, 9, 9), 0},
		"request of a neighbour's":      {dhcpQuery(dhcpRequest, optRequested, 4, 10, 2, 3, 69), dhcpNak},
		"renewal":                       {renew, dhcpAck},
		"request of nothing":            {dhcpQuery(dhcpRequest), dhcpNak},
		"inform":                        {dhcpQuery(dhcpInform), dhcpAck},
		"release":                       {dhcpQuery(7), 0},
		"no type":                       {append(dhcpQuery(1)[:dhcpFixed], optEnd), 0},
		"short":                         {dhcpQuery(dhcpDiscover)[:100], 0},
		"option longer than the packet": {append(dhcpQuery(1)[:dhcpFixed], optType, 200, 1), 0},
		"a reply":                       {append([]byte{2}, dhcpQuery(dhcpDiscover)[1:]...), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := dhcpReply(test.q, n, e, n.Subnets[0], mac)
			if test.want == 0 {
				if r != nil {
					t.Errorf("answered %x", r)
				}
				return
			}
			opts := dhcpOptions(r[dhcpFixed:])
			if got := opts[optType]; len(got) != 1 || got[0] != test.want {
				t.Fatalf("type %v", got)
			}
			if !bytes.Equal(r[4:8], []byte{0xde, 0xad, 0xbe, 0xef}) || !bytes.Equal(r[28:34], mac[:]) {
				t.Error("transaction or hardware address")
			}
			if test.want == dhcpNak {
				return
			}
			for opt, want := range map[byte][]byte{optMask: {255, 255, 255, 192}, optRouter: {10, 2, 3, 65}, optDNS: {10, 2, 3, 65},
				optDomain: []byte("in.test"), optSearch: []byte("\x02in\x04test\x00"), optMTU: {5, 220}} {
				if !bytes.Equal(opts[opt], want) {
					t.Errorf("option %d: %v, want %v", opt, opts[opt], want)
				}
			}
			if name != "inform" && addr4(r[16:20]) != e.IP {
				t.Errorf("address %v", r[16:20])
			}
		})
	}
}

func FuzzDHCP(f *testing.F) {
	f.Add(dhcpQuery(dhcpDiscover))
	f.Fuzz(func(t *testing.T, q []byte) {
		n, e := pureNetwork()
		dhcpReply(q, n, e, n.Subnets[0], [6]byte{})
	})
}

// FuzzReceive: whatever a guest sends, the fabric stands.
func FuzzReceive(f *testing.F) {
	n, e := pureNetwork()
	e.NIC, e.MAC = "n", "52:54:00:00:00:01"
	f.Add(etherFrame(fabricMAC(), etherIPv4, udpPacket(netip.AddrPortFrom(e.IP, 68), netip.MustParseAddrPort("255.255.255.255:67"), dhcpQuery(dhcpDiscover))))
	f.Add(etherFrame(fabricMAC(), etherARP, make([]byte, 28)))
	fab := &fabric{flows: newFlows(), net: n, byIP: map[netip.Addr]*port{}, ends: nil}
	p := &port{out: make(chan []byte, 1), mac: fabricMAC()}
	p.endpoint.Store(&e)
	fab.byIP[e.IP] = p
	other := vm.Endpoint{IP: netip.MustParseAddr("10.2.3.70")}
	q := &port{out: make(chan []byte, 1)}
	q.endpoint.Store(&other)
	fab.byIP[other.IP] = q
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 34 {
			return
		}
		copy(frame[6:12], p.mac[:])
		copy(frame[30:34], other.IP.AsSlice()) // never to the ends, which this test does not have
		fab.receive(p, frame)
	})
}

func TestDNS(t *testing.T) {
	n, _ := pureNetwork()
	resolver := func(_ context.Context, name string) ([]netip.Addr, error) {
		if name == "example.org." {
			return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:93.184.215.14")}, nil
		}
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	for name, test := range map[string]struct {
		host     string
		kind     dnsmessage.Type
		internet bool
		code     dnsmessage.RCode
		answers  int
	}{
		"own name":             {"web.in.test.", dnsmessage.TypeA, false, dnsmessage.RCodeSuccess, 1},
		"own name, other case": {"WEB.In.Test.", dnsmessage.TypeA, false, dnsmessage.RCodeSuccess, 1},
		"own name, IPv6":       {"web.in.test.", dnsmessage.TypeAAAA, false, dnsmessage.RCodeSuccess, 0},
		"unknown inside":       {"nobody.in.test.", dnsmessage.TypeA, true, dnsmessage.RCodeNameError, 0},
		"reverse":              {"68.3.2.10.in-addr.arpa.", dnsmessage.TypePTR, false, dnsmessage.RCodeSuccess, 1},
		"reverse, unknown":     {"9.3.2.10.in-addr.arpa.", dnsmessage.TypePTR, false, dnsmessage.RCodeNameError, 0},
		"outside, closed":      {"example.org.", dnsmessage.TypeA, false, dnsmessage.RCodeRefused, 0},
		"outside":              {"example.org.", dnsmessage.TypeA, true, dnsmessage.RCodeSuccess, 1},
		"outside, IPv6":        {"example.org.", dnsmessage.TypeAAAA, true, dnsmessage.RCodeSuccess, 0},
		"outside, unknown":     {"nobody.org.", dnsmessage.TypeA, true, dnsmessage.RCodeNameError, 0},
		"outside, other type":  {"example.org.", dnsmessage.TypeMX, true, dnsmessage.RCodeSuccess, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n.Internet = test.internet
			var m dnsmessage.Message
			if err := m.Unpack(answerDNS(query(t, test.host, test.kind), n, resolver)); err != nil {
				t.Fatal(err)
			}
			if m.ID != 7 || !m.Response || m.RCode != test.code || len(m.Answers) != test.answers {
				t.Errorf("%+v", m)
			}
		})
	}
	if answerDNS([]byte("short"), n, resolver) != nil {
		t.Error("noise was answered")
	}
}

func TestUDPPacketChecksums(t *testing.T) {
	b := udpPacket(netip.MustParseAddrPort("10.0.0.1:67"), netip.MustParseAddrPort("10.0.0.4:68"), []byte("odd"))
	ip := header.IPv4(b)
	if !ip.IsValid(len(b)) || !ip.IsChecksumValid() {
		t.Error("IP header")
	}
	u := header.UDP(ip.Payload())
	if !u.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), checksum.Checksum(u.Payload(), 0)) {
		t.Error("UDP checksum")
	}
}

func TestListenerIn(t *testing.T) {
	addr, inode, ok := listenerIn("   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0")
	if !ok || addr.String() != "127.0.0.1:22" || inode != "4711" {
		t.Errorf("%v %q %v", addr, inode, ok)
	}
	addr, _, ok = listenerIn("   1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 99 1")
	if !ok || !addr.Addr().IsUnspecified() || addr.Port() != 22 {
		t.Errorf("%v %v", addr, ok)
	}
	for _, line := range []string{"", "sl local_address rem_address st", "0: 0100007F:0016 00000000:0000 01 0:0 0:0 0 0 0 9 1", "0: XX:YY 0:0 0A a b c d e f"} {
		if _, _, ok := listenerIn(line); ok {
			t.Errorf("%q", line)
		}
	}
}

// TestFlows: b refuses everything from outside its own conversations.
func TestFlows(t *testing.T) {
	closed := vm.SecurityGroup{ID: "g", Rules: []vm.Rule{deny("closed", "Inbound", 100)}}
	a := &vm.Endpoint{IP: netip.MustParseAddr("10.2.3.68")}
	b := &vm.Endpoint{IP: netip.MustParseAddr("10.2.3.69"), Groups: []vm.SecurityGroup{closed}}
	n, _ := pureNetwork()
	udp := func(from, to *vm.Endpoint, src, dst uint16) header.IPv4 {
		return udpPacket(netip.AddrPortFrom(from.IP, src), netip.AddrPortFrom(to.IP, dst), []byte("x"))
	}
	as := func(ip header.IPv4, proto uint8, body ...byte) header.IPv4 {
		ip = append(append(header.IPv4{}, ip[:20]...), body...)
		ip.SetTotalLength(uint16(len(ip)))
		ip[9] = proto
		return ip
	}
	tcp := func(from, to *vm.Endpoint, flags byte) header.IPv4 {
		return as(udp(from, to, 1, 2), 6, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0)
	}
	fragment := tcp(b, a, 0x10)
	fragment[7] = 1
	more := tcp(b, a, 0x02)
	more[6] = 0x20
	f := newFlows()
	for _, test := range []struct {
		what     string
		from, to *vm.Endpoint
		ip       header.IPv4
		pass     bool
	}{
		{"UDP into b", a, b, udp(a, b, 53, 5353), false},
		{"UDP out of b", b, a, udp(b, a, 5353, 53), true},
		{"the answer to it", a, b, udp(a, b, 53, 5353), true},
		{"another port's answer", a, b, udp(a, b, 54, 5353), false},
		{"SYN into b", a, b, tcp(a, b, 0x02), false},
		{"SYN out of b", b, a, tcp(b, a, 0x02), true},
		{"SYN ACK into b", a, b, tcp(a, b, 0x12), true},
		{"SYN with FIN into b", a, b, tcp(a, b, 0x03), false},
		{"later fragment of TCP", b, a, fragment, false},
		{"first fragment of TCP", b, a, more, false},
		{"half a TCP header", b, a, as(udp(b, a, 1, 2), 6, 0, 1, 0, 2), false},
		{"echo into b", a, b, as(udp(a, b, 1, 2), 1, 8, 0, 0, 0, 0, 9, 0, 0), false},
		{"echo out of b", b, a, as(udp(b, a, 1, 2), 1, 8, 0, 0, 0, 0, 9, 0, 0), true},
		{"its reply", a, b, as(udp(a, b, 1, 2), 1, 0, 0, 0, 0, 0, 9, 0, 0), true},
		{"GRE", b, a, as(udp(b, a, 1, 2), 47, 0, 0, 0, 0), false},
	} {
		if got := f.pass(n, test.from, test.to, test.ip); got != test.pass {
			t.Errorf("%s: passes %v", test.what, got)
		}
	}
	f.forget()
	if f.pass(n, a, b, udp(a, b, 53, 5353)) {
		t.Error("a conversation outlives a change of rules")
	}
}
