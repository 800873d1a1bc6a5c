package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ends are the network's own ends of TCP and UDP conversations with guests: gVisor's stack behind a link that speaks
// plain IP. It answers for every address (the fabric decides what reaches it), so that a gateway, the Internet and
// 169.254.169.254 need no configuration.
type ends struct {
	stack  *stack.Stack
	link   *channel.Endpoint
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	linkID tcpip.NICID = 1
	// maxOpening is how many connections of guests may be between SYN and our decision.
	maxOpening = 128
)

func newEnds(f *fabric) (*ends, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	ctx, cancel := context.WithCancel(context.Background())
	e := &ends{stack: s, link: channel.New(1024, mtu, ""), cancel: cancel, done: make(chan struct{})}
	sack := tcpip.TCPSACKEnabled(true)
	for _, err := range []tcpip.Error{
		s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack),
		s.CreateNIC(linkID, e.link),
		s.SetSpoofing(linkID, true),
		s.SetPromiscuousMode(linkID, true),
	} {
		if err != nil {
			cancel()
			return nil, fmt.Errorf("netstack: %s", err)
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: linkID}})
	way := newWayOut(f)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, 0, maxOpening, way.tcp).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, way.udp).HandlePacket)
	go func() {
		defer close(e.done)
		e.pump(ctx, f)
	}()
	return e, nil
}

func (e *ends) close() {
	e.cancel()
	<-e.done
	e.stack.Destroy()
}

// pump carries what the stack sends to the guests.
func (e *ends) pump(ctx context.Context, f *fabric) {
	for {
		pkt := e.link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		v := pkt.ToView()
		f.deliver(v.AsSlice())
		v.Release()
		pkt.DecRef()
	}
}

// inject hands a guest's packet to the stack.
func (e *ends) inject(packet []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	defer pkt.DecRef()
	e.link.InjectInbound(ipv4.ProtocolNumber, pkt)
}

func (e *ends) dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	conn, err := gonet.DialTCPWithBind(ctx, e.stack,
		tcpip.FullAddress{NIC: linkID, Addr: tcpip.AddrFrom4(from.As4())},
		tcpip.FullAddress{NIC: linkID, Addr: tcpip.AddrFrom4(to.Addr().As4()), Port: to.Port()}, ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// acceptTCP completes a guest's connection.
func acceptTCP(r *tcp.ForwarderRequest) (net.Conn, error) {
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	if err != nil {
		r.Complete(true)
		return nil, errors.New(err.String())
	}
	r.Complete(false)
	ep.SocketOptions().SetKeepAlive(true)
	return gonet.NewTCPConn(&wq, ep), nil
}

// acceptUDP takes a guest's datagrams from one of its ports to one address.
func acceptUDP(r *udp.ForwarderRequest) (net.Conn, error) {
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	if err != nil {
		return nil, errors.New(err.String())
	}
	return gonet.NewUDPConn(&wq, ep), nil
}

// flowOf reads the addresses of a guest's conversation: gVisor calls the guest "remote".
func flowOf(id stack.TransportEndpointID) (guest, dest netip.AddrPort) {
	return netip.AddrPortFrom(netip.AddrFrom4(id.RemoteAddress.As4()), id.RemotePort),
		netip.AddrPortFrom(netip.AddrFrom4(id.LocalAddress.As4()), id.LocalPort)
}
