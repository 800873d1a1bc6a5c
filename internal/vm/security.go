package vm

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SecurityGroup is a network security group: rules of its own, and the default ones behind them.
type SecurityGroup struct {
	ID    string `json:"id"` // resource ID, for answers that name it
	Rules []Rule `json:"rules"`
}

// Rule is a security rule in Azure's words. Single values and lists (destinationPortRange, destinationPortRanges) are
// one list here; an empty list is "*".
type Rule struct {
	Name         string   `json:"name"`
	Priority     int      `json:"priority"`  // 100 to 4096, the lower wins
	Direction    string   `json:"direction"` // Inbound, Outbound
	Access       string   `json:"access"`    // Allow, Deny
	Protocol     string   `json:"protocol"`  // Tcp, Udp, Icmp, *
	Sources      []string `json:"sources,omitempty"`
	SourcePorts  []string `json:"sourcePorts,omitempty"`
	Destinations []string `json:"destinations,omitempty"`
	Ports        []string `json:"ports,omitempty"` // destination ports: "22", "80-90", "*"
}

// Flow is the first packet of a conversation.
type Flow struct {
	Direction  string // Inbound, Outbound
	Protocol   string // Tcp, Udp, Icmp
	Source     netip.Addr
	SourcePort uint16
	Dest       netip.Addr
	Port       uint16 // destination port
}

// Verdict is the answer to a flow and what gave it.
type Verdict struct {
	Allow bool
	Group string // ID of the group that decided; empty without groups
	Rule  string // name of the rule that decided
}

// defaultRules stand in every security group (learn.microsoft.com/azure/virtual-network/network-security-groups-overview,
// "Default security rules").
func defaultRules() []Rule {
	rule := func(name string, prio int, dir, access, src, dst string) Rule {
		return Rule{Name: name, Priority: prio, Direction: dir, Access: access, Protocol: "*",
			Sources: []string{src}, Destinations: []string{dst}}
	}
	return []Rule{
		rule("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
		rule("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
		rule("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
		rule("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
		rule("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet"),
		rule("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
	}
}

// Judge says whether a flow to (or, outbound, from) the endpoint may pass: every group must allow it. Without a
// group, what comes from the network itself and all that goes out passes, and what comes from elsewhere passes to a
// Basic public IP alone.
func (n Network) Judge(e Endpoint, f Flow) Verdict {
	if len(e.Groups) == 0 {
		if f.Direction == "Outbound" || n.holds(f.Source) {
			return Verdict{Allow: true, Rule: "no security group"}
		}
		if e.Public != nil && e.Public.Basic {
			return Verdict{Allow: true, Rule: "Basic public IP without security group"}
		}
		return Verdict{Rule: "Standard public IP without security group"}
	}
	var last Verdict
	for _, g := range e.Groups {
		last = n.judgeGroup(g, f)
		if !last.Allow {
			return last
		}
	}
	return last
}

func (n Network) judgeGroup(g SecurityGroup, f Flow) Verdict {
	rules := slices.Concat(g.Rules, defaultRules())
	slices.SortStableFunc(rules, func(a, b Rule) int { return a.Priority - b.Priority })
	for _, r := range rules {
		if n.matches(r, f) {
			return Verdict{Allow: strings.EqualFold(r.Access, "Allow"), Group: g.ID, Rule: r.Name}
		}
	}
	return Verdict{Group: g.ID, Rule: "none"}
}

func (n Network) matches(r Rule, f Flow) bool {
	return strings.EqualFold(r.Direction, f.Direction) &&
		(r.Protocol == "*" || strings.EqualFold(r.Protocol, f.Protocol)) &&
		n.anyPrefix(r.Sources, f.Source) && n.anyPrefix(r.Destinations, f.Dest) &&
		anyPort(r.SourcePorts, f.SourcePort) && anyPort(r.Ports, f.Port)
}

func (n Network) anyPrefix(list []string, a netip.Addr) bool {
	if len(list) == 0 {
		return true
	}
	return slices.ContainsFunc(list, func(s string) bool { return n.inPrefix(s, a) })
}

// inPrefix knows the three service tags that every network has. Other tags (Storage, AzureCloud.…) name Microsoft's own
// addresses, which nothing here has: Rule.Validate refuses them rather than never matching them.
func (n Network) inPrefix(s string, a netip.Addr) bool {
	switch {
	case s == "*" || strings.EqualFold(s, "Any"):
		return true
	case strings.EqualFold(s, "Internet"):
		return !n.holds(a)
	case strings.EqualFold(s, "VirtualNetwork"):
		return n.holds(a)
	case strings.EqualFold(s, "AzureLoadBalancer"):
		return a == netip.AddrFrom4([4]byte{168, 63, 129, 16})
	}
	lo, hi, err := addrRange(s)
	return err == nil && a.Compare(lo) >= 0 && a.Compare(hi) <= 0
}

func (n Network) holds(a netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(n.Prefixes, in) || slices.ContainsFunc(n.Subnets, in)
}

func anyPort(list []string, p uint16) bool {
	if len(list) == 0 {
		return true
	}
	return slices.ContainsFunc(list, func(s string) bool {
		lo, hi, err := PortRange(s)
		return err == nil && lo <= p && p <= hi
	})
}

// PortRange reads "22", "80-90" or "*".
func PortRange(s string) (lo, hi uint16, err error) {
	if s == "*" {
		return 0, 65535, nil
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a > b {
		return 0, 0, fmt.Errorf("vm: %q is neither a port, a range of ports nor *", s)
	}
	return uint16(a), uint16(b), nil
}

// addrRange reads an address, a prefix or a range "10.0.0.4-10.0.0.9".
func addrRange(s string) (lo, hi netip.Addr, err error) {
	bad := fmt.Errorf("vm: %q is neither an address prefix nor one of *, Internet, VirtualNetwork, AzureLoadBalancer", s)
	if first, last, ok := strings.Cut(s, "-"); ok {
		lo, errLo := netip.ParseAddr(first)
		hi, errHi := netip.ParseAddr(last)
		if errLo != nil || errHi != nil || lo.BitLen() != hi.BitLen() || lo.Compare(hi) > 0 {
			return lo, hi, bad
		}
		return lo, hi, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a, a, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return lo, hi, bad
	}
	return p.Masked().Addr(), lastAddr(p), nil
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Validate finds the first fault of a rule; the wording is for a log, providers have Azure's own for callers.
func (r Rule) Validate() error {
	oneOf := func(what, v string, words ...string) error {
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, v) }) {
			return nil
		}
		return fmt.Errorf("vm: rule %q: %s %q is none of %s", r.Name, what, v, strings.Join(words, ", "))
	}
	if r.Priority < 100 || r.Priority > 4096 {
		return fmt.Errorf("vm: rule %q: priority %d, want 100 to 4096", r.Name, r.Priority)
	}
	if err := oneOf("direction", r.Direction, "Inbound", "Outbound"); err != nil {
		return err
	}
	if err := oneOf("access", r.Access, "Allow", "Deny"); err != nil {
		return err
	}
	if err := oneOf("protocol", r.Protocol, "Tcp", "Udp", "Icmp", "Esp", "Ah", "*"); err != nil {
		return err
	}
	for _, s := range slices.Concat(r.SourcePorts, r.Ports) {
		if _, _, err := PortRange(s); err != nil {
			return fmt.Errorf("rule %q: %w", r.Name, err)
		}
	}
	for _, s := range slices.Concat(r.Sources, r.Destinations) {
		if oneOf("", s, "*", "Any", "Internet", "VirtualNetwork", "AzureLoadBalancer") == nil {
			continue
		}
		if _, _, err := addrRange(s); err != nil {
			return fmt.Errorf("rule %q: %w", r.Name, err)
		}
	}
	return nil
}
