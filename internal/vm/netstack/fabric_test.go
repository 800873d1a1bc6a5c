package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"vitrine/internal/vm"
)

func deny(name, direction string, priority int) vm.Rule {
	return vm.Rule{Name: name, Priority: priority, Direction: direction, Access: "Deny", Protocol: "*"}
}

func TestGuestToGuest(t *testing.T) {
	l := newLab(t)
	for _, g := range []*guest{l.a, l.b, l.c} {
		g.echo(t, 80)
	}
	visit := func(from *guest, to string) string {
		conn, err := from.dial(t, to)
		return talk(t, conn, err)
	}
	if got := visit(l.a, "10.1.0.5:80"); got != "b:hello" {
		t.Errorf("within a subnet: %q", got)
	}
	if got := visit(l.a, "10.1.1.4:80"); got != "c:hello" {
		t.Errorf("across subnets: %q", got)
	}
	l.net.Endpoints[1].Groups = []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{deny("closed", "Inbound", 100)}}}
	l.apply(t)
	dropped := func(what string, from *guest, to string) {
		t.Helper()
		conn, err := from.dialWithin(t, to, 3*time.Second) // nobody answers
		wantRefused(t, what, talk(t, conn, err))
	}
	dropped("denied inbound", l.a, "10.1.0.5:80")
	if got := visit(l.b, "10.1.0.4:80"); got != "a:hello" {
		t.Errorf("the answer to its own connection must pass: %q", got)
	}
	l.net.Endpoints[0].Groups = []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{deny("shut in", "Outbound", 100)}}}
	l.apply(t)
	dropped("denied outbound", l.a, "10.1.1.4:80")
}

func TestPublicIP(t *testing.T) {
	l := newLab(t)
	l.a.echo(t, 8080)
	addr, caller := publicAddr(), publicAddr()
	l.net.Endpoints[0].Public = &vm.PublicIP{Addr: addr}
	l.net.Endpoints[0].Groups = []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{allowIn("web", 100, "8080", "8081")}}}
	l.apply(t)
	visit := func() string {
		conn, err := net.Dial("tcp", addr.String()+":8080")
		return talk(t, conn, err)
	}
	if got := visit(); got != "a:hello" {
		t.Fatalf("%q", got)
	}
	conn, err := net.Dial("tcp", addr.String()+":8081")
	wantRefused(t, "a port on which the guest does not listen", talk(t, conn, err))

	// The rule is asked with the caller's address: another loopback address is another caller.
	l.net.Endpoints[0].Groups[0].Rules[0].Sources = []string{caller.String()}
	l.apply(t)
	wantRefused(t, "a caller from elsewhere", visit())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: caller.AsSlice()}}
	conn, err = d.Dial("tcp", addr.String()+":8080")
	if got := talk(t, conn, err); got != "a:hello" {
		t.Errorf("the caller that the rule names: %q", got)
	}

	l.net.Endpoints[0].Groups = nil
	l.apply(t)
	wantRefused(t, "Standard without security group", visit())
	if st := l.public.status(l.net.Endpoints[0].NIC); len(st) != 0 {
		t.Errorf("listeners left: %+v", st)
	}
}

// TestPortTaken: somebody on 0.0.0.0 would answer in the guest's place; the status must say who.
func TestPortTaken(t *testing.T) {
	l := newLab(t)
	other, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := other.Addr().(*net.TCPAddr).Port
	l.a.echo(t, uint16(port))
	addr := publicAddr()
	l.net.Endpoints[0].Public = &vm.PublicIP{Addr: addr}
	l.net.Endpoints[0].Groups = []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{allowIn("p", 100, fmt.Sprint(port))}}}
	l.apply(t)
	st := l.public.status(l.net.Endpoints[0].NIC)
	if len(st) != 1 || st[0].Bound || !strings.Contains(st[0].Problem, "address already in use") ||
		!strings.Contains(st[0].Listener, "netstack.test (pid ") || !strings.HasSuffix(st[0].Listener, fmt.Sprintf("on 0.0.0.0:%d", port)) {
		t.Fatalf("%+v", st)
	}
	other.Close()
	eventually(t, "the port is bound when it is free", func() bool { return l.public.status(l.net.Endpoints[0].NIC)[0].Bound })
	conn, err := net.Dial("tcp", netip.AddrPortFrom(addr, uint16(port)).String())
	if got := talk(t, conn, err); got != "a:hello" {
		t.Errorf("%q", got)
	}
}

// TestNoWayOut: a guest reaches neither this host nor what this host can reach.
func TestNoWayOut(t *testing.T) {
	l := newLab(t)
	host, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	reached := make(chan string, 100)
	go func() {
		for {
			conn, err := host.Accept()
			if err != nil {
				return
			}
			reached <- conn.RemoteAddr().String()
			conn.Close()
		}
	}()
	port := host.Addr().(*net.TCPAddr).Port
	targets := []string{"10.1.0.1", "10.1.1.1", "169.254.169.254", "168.63.129.16", "192.168.0.1", "100.64.0.1"}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
				targets = append(targets, p.Addr().String())
			}
		}
	}
	for _, internet := range []bool{false, true} {
		l.net.Internet = internet
		l.apply(t)
		for _, target := range targets {
			conn, err := l.a.dial(t, fmt.Sprintf("%s:%d", target, port))
			wantRefused(t, fmt.Sprintf("%s, way out %v", target, internet), talk(t, conn, err))
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s was not refused but dropped", target)
			}
		}
	}
	select {
	case from := <-reached:
		t.Errorf("the host was reached from %s", from)
	default:
	}
}

func TestMayLeave(t *testing.T) {
	l := newLab(t)
	w := newWayOut(l.fabric)
	from := netip.MustParseAddrPort("10.1.0.4:40000")
	to := func(s string) bool { return w.mayLeave(l.fabric.network(), "Tcp", from, netip.MustParseAddrPort(s)) }
	if to("8.8.8.8:443") {
		t.Error("a network without way out has one")
	}
	l.net.Internet = true
	l.apply(t)
	if !to("8.8.8.8:443") {
		t.Error("a network with way out has none")
	}
	for _, s := range []string{"127.0.0.1:1", "127.9.9.9:1", "0.0.0.0:1", "169.254.169.254:80", "168.63.129.16:80", "10.0.0.1:1",
		"172.16.0.1:1", "192.168.1.1:1", "100.100.100.200:80", "224.0.0.1:1", "255.255.255.255:1", "240.0.0.1:1", "192.0.0.192:80"} {
		if to(s) {
			t.Errorf("%s may be reached", s)
		}
	}
	l.net.Endpoints[0].Groups = []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{deny("none", "Outbound", 100)}}}
	l.apply(t)
	if to("8.8.8.8:443") {
		t.Error("outbound rules are not asked")
	}
	if w.mayLeave(l.fabric.network(), "Tcp", netip.MustParseAddrPort("10.1.0.99:1"), netip.MustParseAddrPort("8.8.8.8:443")) {
		t.Error("somebody without NIC may leave")
	}
}

// TestSpoofing: frames from another MAC or IP address than the NIC's own go nowhere.
func TestSpoofing(t *testing.T) {
	l := newLab(t)
	mac := func(g *guest) (m [6]byte) {
		hw, _ := net.ParseMAC(g.endpoint.MAC)
		return [6]byte(hw)
	}
	frame := func(srcMAC [6]byte, src string, payload string) []byte {
		packet := udpPacket(netip.AddrPortFrom(netip.MustParseAddr(src), 5000), netip.MustParseAddrPort("10.1.0.5:6000"), []byte(payload))
		f := etherFrame(fabricMAC(), etherIPv4, packet)
		copy(f[6:12], srcMAC[:])
		return f
	}
	l.a.toWire <- frame(mac(l.b), "10.1.0.4", "other MAC")
	l.a.toWire <- frame(mac(l.a), "10.1.1.4", "other address")
	l.a.toWire <- frame(mac(l.a), "10.1.0.1", "the gateway's address")
	l.a.toWire <- frame(mac(l.a), "10.1.0.4", "honest")
	for {
		select {
		case f := <-l.b.frames:
			if ip := header.IPv4(f[14:]); len(f) > 42 && ip.TransportProtocol() == header.UDPProtocolNumber {
				if got := string(header.UDP(ip.Payload()).Payload()); got != "honest" {
					t.Errorf("%q came through", got)
				}
				return
			}
		case <-time.After(time.Minute):
			t.Fatal("the honest frame did not come")
		}
	}
}

func TestDNSFromGuest(t *testing.T) {
	l := newLab(t)
	server := full(netip.MustParseAddrPort("10.1.1.1:53"))
	conn, err := gonet.DialUDP(l.c.stack, nil, &server, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(query(t, "a.lab.test.", dnsmessage.TypeA)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(b[:n]); err != nil || len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.AResource).A != [4]byte{10, 1, 0, 4} {
		t.Errorf("%+v, %v", m, err)
	}
}

func query(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUnplug: connections end with the NIC they go to.
func TestUnplug(t *testing.T) {
	l := newLab(t)
	l.a.echo(t, 22)
	l.net.Endpoints[0].Groups = []vm.SecurityGroup{{ID: "g", Rules: []vm.Rule{allowIn("ssh", 100, "22")}}}
	l.apply(t)
	nic := l.net.Endpoints[0].NIC
	conn, err := l.fabric.dial(t.Context(), nic, 22, netip.MustParseAddrPort("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	l.net.Endpoints = l.net.Endpoints[1:]
	l.apply(t)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := conn.Read(make([]byte, 16)); err != nil {
			var timeout interface{ Timeout() bool }
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("the connection goes on")
			}
			break
		}
	}
	if _, err := l.fabric.dial(t.Context(), nic, 22, netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
