package vm

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxListeners bounds the listeners that one public IP may have.
const maxListeners = 64

// PublicPorts answers the TCP ports of an endpoint's public IP for which it makes sense to listen: those that rules
// name and that Judge allows from some source. A listener asks Judge again for each connection, with its real source.
// Rules that allow every port, or long ranges, are served on well-known ports only; note says so.
func (n Network) PublicPorts(e Endpoint) (ports []uint16, note string) {
	if e.Public == nil {
		return nil, ""
	}
	named, wide := namedPorts(e)
	candidates := named
	if wide {
		candidates = append(candidates, wellKnown()...)
	}
	slices.Sort(candidates)
	for _, p := range slices.Compact(candidates) {
		if !n.reachable(e, p) {
			continue
		}
		if len(ports) == maxListeners {
			return ports, fmt.Sprintf("only the first %d allowed ports are forwarded", maxListeners)
		}
		ports = append(ports, p)
	}
	if wide && len(ports) > 0 {
		note = "of ports allowed by wide ranges, only those named and " + portList(wellKnown()) + " are forwarded"
	}
	return ports, note
}

// wellKnown are the ports served when a rule allows more than can be listened on: SSH, HTTP(S), RDP, WinRM.
func wellKnown() []uint16 { return []uint16{22, 80, 443, 3389, 5985, 5986, 8080, 8443} }

// namedPorts collects what allow rules name; wide is whether one names more than a public IP may have listeners.
func namedPorts(e Endpoint) (ports []uint16, wide bool) {
	if len(e.Groups) == 0 {
		return nil, true
	}
	for _, g := range e.Groups {
		for _, r := range g.Rules {
			if !strings.EqualFold(r.Direction, "Inbound") || !strings.EqualFold(r.Access, "Allow") {
				continue
			}
			wide = wide || len(r.Ports) == 0
			for _, s := range r.Ports {
				lo, hi, err := PortRange(s)
				if err != nil {
					continue
				}
				if int(hi)-int(lo) >= maxListeners {
					wide = true
					continue
				}
				for p := int(max(lo, 1)); p <= int(hi); p++ {
					ports = append(ports, uint16(p))
				}
			}
		}
	}
	return ports, wide
}

// reachable says whether some source outside the network may open TCP to the port: one from each prefix that a rule
// names, and one from nowhere special.
func (n Network) reachable(e Endpoint, port uint16) bool {
	f := Flow{Direction: "Inbound", Protocol: "Tcp", Dest: e.IP, Port: port, SourcePort: 49152}
	sources := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.AddrFrom4([4]byte{203, 0, 113, 1})}
	for _, g := range e.Groups {
		for _, r := range g.Rules {
			for _, s := range r.Sources {
				if lo, _, err := addrRange(s); err == nil {
					sources = append(sources, lo)
				}
			}
		}
	}
	return slices.ContainsFunc(sources, func(a netip.Addr) bool {
		f.Source = a
		return !n.holds(a) && n.Judge(e, f).Allow
	})
}

func portList(ports []uint16) string {
	var words []string
	for _, p := range ports {
		words = append(words, fmt.Sprint(p))
	}
	return strings.Join(words, ", ")
}
