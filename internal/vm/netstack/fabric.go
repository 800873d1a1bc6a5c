package netstack

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"vitrine/internal/vm"
)

// fabric joins the ports. It is the router that every guest sees as the one neighbour it has.
type fabric struct {
	sockets string
	log     *slog.Logger
	ends    *ends
	flows   *flows

	mu    sync.RWMutex
	net   vm.Network
	ports map[string]*port // by NIC
	byIP  map[netip.Addr]*port
	done  sync.WaitGroup
}

// fabricMAC is the MAC address to which guests resolve everything; Azure's is the same.
func fabricMAC() [6]byte { return [6]byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc} }

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
)

func newFabric(sockets string, log *slog.Logger) (*fabric, error) {
	f := &fabric{sockets: sockets, log: log, flows: newFlows(), ports: map[string]*port{}, byIP: map[netip.Addr]*port{}}
	var err error
	f.ends, err = newEnds(f)
	return f, err
}

func (f *fabric) close() {
	f.configure(vm.Network{})
	f.done.Wait()
	f.ends.close()
}

// configure makes the ports those of n.
func (f *fabric) configure(n vm.Network) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.net = n
	f.flows.forget()
	f.byIP = map[netip.Addr]*port{}
	keep := map[string]bool{}
	for _, e := range n.Endpoints {
		p := f.ports[e.NIC]
		mac, _ := net.ParseMAC(e.MAC) // validated
		if p != nil && (p.mac != [6]byte(mac) || p.endpoint.Load().IP != e.IP) {
			p.cancel() // another address is another port: connections to the old one end
			p = nil
		}
		if p == nil {
			p = f.plug(e, [6]byte(mac))
		}
		p.endpoint.Store(&e)
		f.byIP[e.IP] = p
		keep[e.NIC] = true
	}
	for nic, p := range f.ports {
		if !keep[nic] {
			p.cancel()
			delete(f.ports, nic)
		}
	}
}

func (f *fabric) plug(e vm.Endpoint, mac [6]byte) *port {
	ctx, cancel := context.WithCancel(context.Background())
	p := &port{nic: e.NIC, mac: mac, socket: vm.NICSocket(f.sockets, e.NIC), out: make(chan []byte, queueLength),
		ctx: ctx, cancel: cancel}
	p.endpoint.Store(&e)
	f.ports[e.NIC] = p
	f.done.Go(func() { p.run(f.receive) })
	return p
}

func (f *fabric) network() vm.Network {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.net
}

func (f *fabric) portOf(a netip.Addr) *port {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.byIP[a]
}

func (f *fabric) status(nic string) vm.EndpointStatus {
	f.mu.RLock()
	defer f.mu.RUnlock()
	st := vm.EndpointStatus{NIC: nic}
	if p := f.ports[nic]; p != nil {
		st.Connected, st.Leased = p.connected.Load(), p.leased.Load()
	}
	return st
}

// receive is what a guest sends. Its frame must bear the MAC address of its NIC.
func (f *fabric) receive(p *port, frame []byte) {
	if [6]byte(frame[6:12]) != p.mac {
		return
	}
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case etherARP:
		f.receiveARP(p, frame[14:])
	case etherIPv4:
		if ip := header.IPv4(frame[14:]); ip.IsValid(len(ip)) {
			f.receiveIPv4(p, ip[:ip.TotalLength()])
		}
	}
}

func (f *fabric) receiveARP(p *port, b []byte) {
	q := header.ARP(b)
	if !q.IsValid() || q.Op() != header.ARPRequest {
		return
	}
	sender, target := addr4(q.ProtocolAddressSender()), addr4(q.ProtocolAddressTarget())
	self := p.endpoint.Load().IP
	// A probe for its own address (RFC 5227) must stay unanswered, or the guest would take it for a conflict.
	if target == self || sender != self && !sender.IsUnspecified() || !f.known(target) {
		return
	}
	a := make(header.ARP, header.ARPSize)
	a.SetIPv4OverEthernet()
	a.SetOp(header.ARPReply)
	mac := fabricMAC()
	copy(a.HardwareAddressSender(), mac[:])
	copy(a.ProtocolAddressSender(), q.ProtocolAddressTarget())
	copy(a.HardwareAddressTarget(), p.mac[:])
	copy(a.ProtocolAddressTarget(), q.ProtocolAddressSender())
	p.send(etherFrame(p.mac, etherARP, a))
}

// known says whether somebody answers at an address of the network: a gateway or a NIC.
func (f *fabric) known(a netip.Addr) bool {
	return f.portOf(a) != nil || isGateway(f.network(), a)
}

func isGateway(n vm.Network, a netip.Addr) bool {
	s, ok := n.SubnetOf(a)
	return ok && vm.Gateway(s) == a
}

// receiveIPv4 decides where a guest's packet goes.
func (f *fabric) receiveIPv4(p *port, ip header.IPv4) {
	n, self := f.network(), p.endpoint.Load()
	src, dst := addr4(ip.SourceAddressSlice()), addr4(ip.DestinationAddressSlice())
	if isDHCP(ip) && (dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || isGateway(n, dst)) {
		f.receiveDHCP(p, n, ip)
		return
	}
	if src != self.IP || dst == src {
		return
	}
	proto := ip.TransportProtocol()
	if other := f.portOf(dst); other != nil {
		f.forward(n, p, other, ip)
		return
	}
	inside, _ := n.SubnetOf(dst)
	switch {
	case isGateway(n, dst):
		f.ends.inject(ip)
	case inside.IsValid(), !dst.IsGlobalUnicast() && !isPlatform(dst):
	case proto == header.TCPProtocolNumber, proto == header.UDPProtocolNumber:
		f.ends.inject(ip) // they decide whether there is a way out
	}
}

// forward carries a packet from guest to guest, if the sender's rules let it out and the receiver's let it in.
func (f *fabric) forward(n vm.Network, from, to *port, ip header.IPv4) {
	if ip.TTL() <= 1 || !f.flows.pass(n, from.endpoint.Load(), to.endpoint.Load(), ip) {
		return
	}
	b := append(header.IPv4{}, ip...)
	b.SetTTL(ip.TTL() - 1)
	b.SetChecksum(0)
	b.SetChecksum(^b.CalculateChecksum())
	to.send(etherFrame(to.mac, etherIPv4, b))
}

// deliver carries a packet of our own ends to a guest.
func (f *fabric) deliver(packet []byte) {
	if ip := header.IPv4(packet); ip.IsValid(len(packet)) {
		if p := f.portOf(addr4(ip.DestinationAddressSlice())); p != nil {
			p.send(etherFrame(p.mac, etherIPv4, packet))
		}
	}
}

// dialLimit is how long a guest may take to accept a connection.
const dialLimit = 10 * time.Second

// dial opens a connection to a guest on behalf of source, if the rules allow it. It comes from the subnet's gateway.
func (f *fabric) dial(ctx context.Context, nic string, portNumber uint16, source netip.AddrPort) (net.Conn, error) {
	f.mu.RLock()
	n := f.net
	var p *port
	for id, q := range f.ports {
		if strings.EqualFold(id, nic) {
			p = q
		}
	}
	f.mu.RUnlock()
	if p == nil {
		return nil, fmt.Errorf("network interface %s: %w", nic, vm.ErrNotFound)
	}
	e := p.endpoint.Load()
	v := n.Judge(*e, vm.Flow{Direction: "Inbound", Protocol: "Tcp", Source: source.Addr(), SourcePort: source.Port(),
		Dest: e.IP, Port: portNumber})
	if !v.Allow {
		return nil, fmt.Errorf("TCP port %d of %s is closed by rule %q %s", portNumber, e.Hostname, v.Rule, v.Group)
	}
	if !p.connected.Load() {
		return nil, fmt.Errorf("the machine behind network interface %s does not run", nic)
	}
	subnet, _ := n.SubnetOf(e.IP)
	conn, err := f.ends.dial(ctx, vm.Gateway(subnet), netip.AddrPortFrom(e.IP, portNumber))
	if err != nil {
		return nil, fmt.Errorf("TCP port %d of %s: %w", portNumber, e.Hostname, err)
	}
	// The connection ends with its port, so that a NIC taken away is away for those who use it too.
	return &bound{Conn: conn, stop: context.AfterFunc(p.ctx, func() { conn.Close() })}, nil
}

// bound is a connection that a port's end closes.
type bound struct {
	net.Conn
	stop func() bool
}

// Close implements net.Conn.
func (b *bound) Close() error {
	b.stop()
	return b.Conn.Close()
}

// CloseWrite ends one direction.
func (b *bound) CloseWrite() error { return closeWrite(b.Conn) }

func etherFrame(to [6]byte, kind uint16, payload []byte) []byte {
	from := fabricMAC()
	frame := make([]byte, 0, 14+len(payload))
	frame = append(append(frame, to[:]...), from[:]...)
	return append(binary.BigEndian.AppendUint16(frame, kind), payload...)
}

func addr4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }

// isPlatform names the two addresses at which Azure answers guests, metadata and wireserver.
func isPlatform(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{169, 254, 169, 254}) || a == netip.AddrFrom4([4]byte{168, 63, 129, 16})
}
