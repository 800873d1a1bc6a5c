package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"vitrine/internal/vm"
)

const (
	dnsIdle = 10 * time.Second
	dnsWait = 5 * time.Second
	dnsTTL  = 10
)

// serveDNS answers the queries that a guest sends from one port.
func serveDNS(conn net.Conn, f *fabric) {
	b := make([]byte, 64<<10)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(dnsIdle))
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		if reply := answerDNS(b[:n], f.network(), lookup); reply != nil {
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}
}

// serveDNSStream is the same over TCP, where each message has its length before it.
func serveDNSStream(conn net.Conn, f *fabric) {
	defer conn.Close()
	for {
		_ = conn.SetDeadline(time.Now().Add(dnsIdle))
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, q); err != nil {
			return
		}
		reply := answerDNS(q, f.network(), lookup)
		if reply == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// answerDNS answers a query: names of the network's own guests, and, where there is a way out, what the host's
// resolver says about others. nil: not a query.
func answerDNS(q []byte, n vm.Network, lookup func(context.Context, string) ([]netip.Addr, error)) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(q)
	if err != nil || h.Response {
		return nil
	}
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode,
		RecursionDesired: h.RecursionDesired, RecursionAvailable: n.Internet}}
	question, err := p.Question()
	switch {
	case err != nil:
		reply.RCode = dnsmessage.RCodeFormatError
	case h.OpCode != 0 || question.Class != dnsmessage.ClassINET:
		reply.RCode = dnsmessage.RCodeNotImplemented
	default:
		reply.Questions = []dnsmessage.Question{question}
		reply.RCode = resolve(&reply, question, n, lookup)
	}
	b, err := reply.Pack()
	if err != nil {
		return nil
	}
	return b
}

func resolve(m *dnsmessage.Message, q dnsmessage.Question, n vm.Network,
	lookup func(context.Context, string) ([]netip.Addr, error)) dnsmessage.RCode {
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	suffix := "." + strings.ToLower(n.DNSSuffix)
	if host, inside := strings.CutSuffix(name, suffix); inside {
		for _, e := range n.Endpoints {
			if strings.EqualFold(e.Hostname, host) {
				addAnswers(m, q, []netip.Addr{e.IP})
				return dnsmessage.RCodeSuccess
			}
		}
		return dnsmessage.RCodeNameError
	}
	if ptr, ok := reverse(name); ok && q.Type == dnsmessage.TypePTR {
		return resolvePTR(m, q, n, ptr)
	}
	if !n.Internet {
		return dnsmessage.RCodeRefused
	}
	if q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA {
		return dnsmessage.RCodeSuccess // nothing of that type is known
	}
	ctx, cancel := context.WithTimeout(context.Background(), dnsWait)
	defer cancel()
	addrs, err := lookup(ctx, name+".")
	if err != nil {
		if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
			return dnsmessage.RCodeNameError
		}
		return dnsmessage.RCodeServerFailure
	}
	addAnswers(m, q, addrs)
	return dnsmessage.RCodeSuccess
}

// addAnswers adds IPv4 addresses to an A query. An AAAA query gets none: there is no IPv6 here.
func addAnswers(m *dnsmessage.Message, q dnsmessage.Question, addrs []netip.Addr) {
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() && q.Type == dnsmessage.TypeA && len(m.Answers) < 16 {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: dnsTTL},
				Body:   &dnsmessage.AResource{A: a.As4()}})
		}
	}
}

func resolvePTR(m *dnsmessage.Message, q dnsmessage.Question, n vm.Network, a netip.Addr) dnsmessage.RCode {
	for _, e := range n.Endpoints {
		if e.IP != a {
			continue
		}
		name, err := dnsmessage.NewName(e.Hostname + "." + n.DNSSuffix + ".")
		if err != nil {
			return dnsmessage.RCodeServerFailure
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: dnsTTL},
			Body:   &dnsmessage.PTRResource{PTR: name}})
		return dnsmessage.RCodeSuccess
	}
	return dnsmessage.RCodeNameError
}

// reverse reads "4.0.0.10.in-addr.arpa".
func reverse(name string) (netip.Addr, bool) {
	octets, ok := strings.CutSuffix(name, ".in-addr.arpa")
	parts := strings.Split(octets, ".")
	if !ok || len(parts) != 4 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
	return a, err == nil
}
