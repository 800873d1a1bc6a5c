package netstack

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"vitrine/internal/vm"
)

// flows remembers who may answer whom: security rules are asked for the first packet of a conversation alone.
type flows struct {
	mu    sync.Mutex
	known map[flowKey]time.Time // last seen
}

type flowKey struct {
	proto    uint8
	from, to netip.AddrPort
}

const (
	// flowIdle is how long a conversation without connections (UDP, ICMP) may be silent.
	flowIdle = 2 * time.Minute
	// maxFlows bounds memory; beyond it new conversations are dropped until old ones have expired.
	maxFlows = 16384
)

func newFlows() *flows { return &flows{known: map[flowKey]time.Time{}} }

// forget makes every conversation ask the rules again.
func (t *flows) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known)
}

// pass says whether a packet from one guest to another may pass.
//
// TCP needs no memory: only a SYN opens a connection, and what else is let through finds none. That also lets
// connections between guests survive a restart of this process. Fragments of TCP are refused, because flags could hide
// in the second one (RFC 3128).
func (t *flows) pass(n vm.Network, from, to *vm.Endpoint, ip header.IPv4) bool {
	f := vm.Flow{Source: from.IP, Dest: to.IP}
	fragment := ip.FragmentOffset() != 0
	body := ip.Payload()
	switch ip.TransportProtocol() {
	case header.TCPProtocolNumber:
		tcp := header.TCP(body)
		if fragment || ip.More() || len(tcp) < header.TCPMinimumSize {
			return false
		}
		if tcp.Flags()&header.TCPFlagSyn == 0 || tcp.Flags()&header.TCPFlagAck != 0 {
			return true
		}
		f.Protocol, f.SourcePort, f.Port = "Tcp", tcp.SourcePort(), tcp.DestinationPort()
		return allowed(n, from, to, f)
	case header.UDPProtocolNumber:
		if fragment { // of no use without the first one, which was asked about
			return true
		}
		if len(body) < header.UDPMinimumSize {
			return false
		}
		f.Protocol, f.SourcePort, f.Port = "Udp", header.UDP(body).SourcePort(), header.UDP(body).DestinationPort()
	case header.ICMPv4ProtocolNumber:
		if fragment {
			return true
		}
		if len(body) < header.ICMPv4MinimumSize {
			return false
		}
		id := binary.BigEndian.Uint16(body[4:6]) // of an echo, in both directions
		f.Protocol, f.SourcePort, f.Port = "Icmp", id, id
	default:
		return false
	}
	return t.converse(n, from, to, f, uint8(ip.TransportProtocol()))
}

func (t *flows) converse(n vm.Network, from, to *vm.Endpoint, f vm.Flow, proto uint8) bool {
	there := flowKey{proto, netip.AddrPortFrom(f.Source, f.SourcePort), netip.AddrPortFrom(f.Dest, f.Port)}
	back := flowKey{proto, there.to, there.from}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range []flowKey{there, back} {
		if seen, ok := t.known[k]; ok && now.Sub(seen) < flowIdle {
			t.known[k] = now
			return true
		}
	}
	if !allowed(n, from, to, f) {
		return false
	}
	if len(t.known) >= maxFlows {
		for k, seen := range t.known {
			if now.Sub(seen) >= flowIdle {
				delete(t.known, k)
			}
		}
	}
	if len(t.known) >= maxFlows {
		return false
	}
	t.known[there] = now
	return true
}

func allowed(n vm.Network, from, to *vm.Endpoint, f vm.Flow) bool {
	f.Direction = "Outbound"
	if !n.Judge(*from, f).Allow {
		return false
	}
	f.Direction = "Inbound"
	return n.Judge(*to, f).Allow
}
