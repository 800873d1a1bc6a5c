package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"vitrine/internal/vm"
)

// wayOut decides about conversations that a guest begins with somebody who is not a guest: DNS at its gateway, and,
// where the network has it, the Internet.
type wayOut struct {
	fabric *fabric
	slots  chan struct{} // one per conversation
}

const (
	maxOutside  = 1024
	outsideDial = 10 * time.Second
	udpIdle     = time.Minute
)

func newWayOut(f *fabric) *wayOut { return &wayOut{fabric: f, slots: make(chan struct{}, maxOutside)} }

// take reserves a place for a conversation; nil: there is none.
func (w *wayOut) take() (release func()) {
	select {
	case w.slots <- struct{}{}:
		return func() { <-w.slots }
	default:
		return nil
	}
}

// tcp runs in a goroutine of its own. Whatever is not allowed is refused with a reset, so that guests do not wait.
func (w *wayOut) tcp(r *tcp.ForwarderRequest) {
	guest, dest := flowOf(r.ID())
	release := w.take()
	if release == nil {
		r.Complete(true)
		return
	}
	defer release()
	n := w.fabric.network()
	if isGateway(n, dest.Addr()) && dest.Port() == 53 {
		if conn, err := acceptTCP(r); err == nil {
			serveDNSStream(conn, w.fabric)
		}
		return
	}
	if !w.mayLeave(n, "Tcp", guest, dest) {
		r.Complete(true)
		return
	}
	d := net.Dialer{Timeout: outsideDial}
	outside, err := d.Dial("tcp4", dest.String())
	if err != nil {
		r.Complete(true)
		return
	}
	conn, err := acceptTCP(r)
	if err != nil {
		outside.Close()
		return
	}
	splice(conn, outside)
}

// udp is called with each datagram that belongs to no conversation yet, and must not wait.
func (w *wayOut) udp(r *udp.ForwarderRequest) {
	guest, dest := flowOf(r.ID())
	n := w.fabric.network()
	dns := isGateway(n, dest.Addr()) && dest.Port() == 53
	if !dns && !w.mayLeave(n, "Udp", guest, dest) {
		return
	}
	release := w.take()
	if release == nil {
		return
	}
	conn, err := acceptUDP(r)
	if err != nil {
		release()
		return
	}
	go func() {
		defer release()
		defer conn.Close()
		if dns {
			serveDNS(conn, w.fabric)
			return
		}
		relayUDP(conn, dest)
	}()
}

// mayLeave says whether a guest may talk to an address outside: the network must have a way out, the guest's rules
// must allow it, and the address must be a public one that is not this host's.
func (w *wayOut) mayLeave(n vm.Network, proto string, guest, dest netip.AddrPort) bool {
	p := w.fabric.portOf(guest.Addr())
	if !n.Internet || p == nil || !public(dest.Addr()) || ownAddress(dest.Addr()) {
		return false
	}
	return n.Judge(*p.endpoint.Load(), vm.Flow{Direction: "Outbound", Protocol: proto, Source: guest.Addr(),
		SourcePort: guest.Port(), Dest: dest.Addr(), Port: dest.Port()}).Allow
}

// public says whether an address is one of the Internet's. Through the host's own sockets a guest would otherwise reach
// the host's loopback, its metadata service and its neighbours.
func public(a netip.Addr) bool {
	if !a.Is4() || !a.IsGlobalUnicast() || a.IsPrivate() || isPlatform(a) {
		return false
	}
	return !slices.ContainsFunc([]string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"}, // RFC 6890
		func(s string) bool { return netip.MustParsePrefix(s).Contains(a) })
}

// ownAddress says whether an address is this host's; when that cannot be known, it is taken for one.
func ownAddress(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(addrs, func(x net.Addr) bool {
		p, err := netip.ParsePrefix(x.String())
		return err == nil && p.Addr().Unmap() == a
	})
}

// relayUDP carries datagrams both ways until none has come for a while.
func relayUDP(guest net.Conn, dest netip.AddrPort) {
	outside, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(dest))
	if err != nil {
		return
	}
	defer outside.Close()
	var both sync.WaitGroup
	both.Go(func() { pumpUDP(outside, guest) })
	pumpUDP(guest, outside)
	both.Wait()
}

func pumpUDP(to, from net.Conn) {
	b := make([]byte, 64<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(udpIdle))
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// splice carries bytes both ways until both directions have ended, and closes both connections.
func splice(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	var both sync.WaitGroup
	oneWay := func(to, from net.Conn) {
		if _, err := io.Copy(to, from); err != nil || closeWrite(to) != nil {
			a.Close()
			b.Close()
		}
	}
	both.Go(func() { oneWay(a, b) })
	oneWay(b, a)
	both.Wait()
}

func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// lookup resolves a name with the host's resolver.
func lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}
