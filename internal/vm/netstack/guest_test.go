package netstack

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"vitrine/internal/vm"
)

// guest is a machine without QEMU: it listens on the NIC's socket as QEMU would, and behind it is a network stack with
// Ethernet, ARP and a static address.
type guest struct {
	endpoint vm.Endpoint
	stack    *stack.Stack
	link     *channel.Endpoint
	frames   chan []byte // what came in, for tests that speak frames
	toWire   chan []byte
}

func newGuest(t *testing.T, e vm.Endpoint, subnet netip.Prefix, sockets string) *guest {
	t.Helper()
	mac, err := net.ParseMAC(e.MAC)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{endpoint: e, link: channel.New(256, mtu, tcpip.LinkAddress(mac)),
		frames: make(chan []byte, 256), toWire: make(chan []byte, 256)}
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4}})
	if err := g.stack.CreateNIC(1, ethernet.New(g.link)); err != nil {
		t.Fatal(err)
	}
	if err := g.stack.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(e.IP.As4()), PrefixLen: subnet.Bits()}},
		stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	local, _ := tcpip.NewSubnet(tcpip.AddrFrom4(subnet.Addr().As4()), tcpip.MaskFromBytes(net.CIDRMask(subnet.Bits(), 32)))
	g.stack.SetRouteTable([]tcpip.Route{{Destination: local, NIC: 1},
		{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFrom4(vm.Gateway(subnet).As4()), NIC: 1}})
	ln, err := net.Listen("unix", vm.NICSocket(sockets, e.NIC))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		ln.Close()
		cancel()
		g.stack.Destroy()
	})
	go g.pump(ctx)
	go g.listen(ctx, ln)
	return g
}

func (g *guest) pump(ctx context.Context) {
	for {
		pkt := g.link.ReadContext(ctx)
		if pkt == nil {
			return
		}
		frame := append([]byte{}, pkt.ToView().AsSlice()...)
		pkt.DecRef()
		select {
		case g.toWire <- frame:
		case <-ctx.Done():
			return
		}
	}
}

// listen takes one connection after another, as QEMU does.
func (g *guest) listen(ctx context.Context, ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		down := make(chan struct{})
		go func() {
			for {
				select {
				case frame := <-g.toWire:
					b := binary.BigEndian.AppendUint32(nil, uint32(len(frame)))
					_, _ = conn.Write(append(b, frame...))
				case <-down:
					return
				case <-ctx.Done():
					conn.Close()
					return
				}
			}
		}()
		_ = readFrames(conn, func(frame []byte) {
			select {
			case g.frames <- frame:
			default:
			}
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(append([]byte{}, frame...))})
			g.link.InjectInbound(0, pkt)
			pkt.DecRef()
		})
		close(down)
		conn.Close()
	}
}

// echo serves TCP: whatever comes goes back after the guest's name.
func (g *guest) echo(t *testing.T, port uint16) {
	t.Helper()
	ln, err := gonet.ListenTCP(g.stack, tcpip.FullAddress{NIC: 1, Port: port}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, g.endpoint.Hostname+":")
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

func (g *guest) dial(t *testing.T, to string) (net.Conn, error) {
	t.Helper()
	return g.dialWithin(t, to, 30*time.Second)
}

func (g *guest) dialWithin(t *testing.T, to string, limit time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	a := netip.MustParseAddrPort(to)
	conn, err := gonet.DialContextTCP(ctx, g.stack, full(a), ipv4.ProtocolNumber)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}

// publicAddr is an address for a public IP that another run of the tests, beside this one on the same host, does not use.
func publicAddr() netip.Addr {
	var r [3]byte
	_, _ = rand.Read(r[:])
	return netip.AddrFrom4([4]byte{127, 64 + r[0]%64, r[1], 1 + r[2]%250})
}

// talk sends a word and reads the answer to its end.
func talk(t *testing.T, conn net.Conn, err error) string {
	t.Helper()
	if err != nil {
		return "error: " + err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return "error: " + err.Error()
	}
	if err := closeWrite(conn); err != nil { // the other side has refused already
		return "error: " + err.Error()
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// lab is a fabric with three guests in two subnets, in this process.
type lab struct {
	net     vm.Network
	fabric  *fabric
	public  *publicIPs
	a, b, c *guest
}

func newLab(t *testing.T) *lab {
	t.Helper()
	sockets := t.TempDir()
	subnets := prefixes("10.1.0.0/24", "10.1.1.0/24")
	end := func(host, ip, mac string) vm.Endpoint {
		return vm.Endpoint{NIC: uuid.NewString(), Machine: uuid.NewString(), Hostname: host, MAC: mac, IP: netip.MustParseAddr(ip)}
	}
	l := &lab{net: vm.Network{ID: uuid.NewString(), Prefixes: prefixes("10.1.0.0/16"), Subnets: subnets, DNSSuffix: "lab.test",
		Endpoints: []vm.Endpoint{end("a", "10.1.0.4", "52:54:00:00:00:0a"), end("b", "10.1.0.5", "52:54:00:00:00:0b"),
			end("c", "10.1.1.4", "52:54:00:00:00:0c")}}}
	l.a = newGuest(t, l.net.Endpoints[0], subnets[0], sockets)
	l.b = newGuest(t, l.net.Endpoints[1], subnets[0], sockets)
	l.c = newGuest(t, l.net.Endpoints[2], subnets[1], sockets)
	log := slog.New(slog.DiscardHandler)
	var err error
	if l.fabric, err = newFabric(sockets, log); err != nil {
		t.Fatal(err)
	}
	l.public = newPublicIPs(l.fabric, log)
	t.Cleanup(func() {
		l.public.close()
		l.fabric.close()
	})
	l.apply(t)
	return l
}

// apply makes l.net the state and waits until all guests are on the wire.
func (l *lab) apply(t *testing.T) {
	t.Helper()
	if err := l.net.Validate(); err != nil {
		t.Fatal(err)
	}
	var n vm.Network // a copy: the test goes on changing its own
	b, err := json.Marshal(l.net)
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.fabric.configure(n)
	l.public.configure(n)
	eventually(t, "guests on the wire", func() bool {
		for _, e := range l.net.Endpoints {
			if !l.fabric.status(e.NIC).Connected {
				return false
			}
		}
		return true
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); !ok(); <-tick {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func wantRefused(t *testing.T, what, answer string) {
	t.Helper()
	if !strings.HasPrefix(answer, "error: ") {
		t.Errorf("%s: %q", what, answer)
	}
}
