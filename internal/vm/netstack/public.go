package netstack

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"vitrine/internal/vm"
)

// rebind is how often a port that could not be bound is tried again: whoever holds it may go.
const rebind = 3 * time.Second

// maxForwarded bounds the connections through one network's public IPs.
const maxForwarded = 512

// publicIPs are the listeners by which the host reaches guests.
type publicIPs struct {
	fabric *fabric
	log    *slog.Logger
	slots  chan struct{}
	stop   context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	ports map[publicPort]*forward
}

type publicPort struct {
	nic  string
	addr netip.AddrPort
}

// forward is one port of one public IP; listener is nil while it cannot be bound.
type forward struct {
	listener net.Listener
	status   vm.PortStatus
}

func newPublicIPs(f *fabric, log *slog.Logger) *publicIPs {
	ctx, cancel := context.WithCancel(context.Background())
	p := &publicIPs{fabric: f, log: log, slots: make(chan struct{}, maxForwarded), stop: cancel,
		done: make(chan struct{}), ports: map[publicPort]*forward{}}
	go func() {
		defer close(p.done)
		p.retry(ctx)
	}()
	return p
}

func (p *publicIPs) close() {
	p.stop()
	<-p.done
	p.configure(vm.Network{})
}

func (p *publicIPs) retry(ctx context.Context) {
	tick := time.NewTicker(rebind)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.mu.Lock()
			for key, f := range p.ports {
				if f.listener == nil {
					p.bind(key, f)
				}
			}
			p.mu.Unlock()
		}
	}
}

// configure makes the listeners those that n's rules allow.
func (p *publicIPs) configure(n vm.Network) {
	want := map[publicPort]bool{}
	for _, e := range n.Endpoints {
		ports, _ := n.PublicPorts(e)
		for _, number := range ports {
			want[publicPort{e.NIC, netip.AddrPortFrom(e.Public.Addr, number)}] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, f := range p.ports {
		if !want[key] {
			if f.listener != nil {
				f.listener.Close()
			}
			delete(p.ports, key)
		}
	}
	for key := range want {
		if p.ports[key] == nil {
			p.ports[key] = &forward{status: vm.PortStatus{Port: key.addr.Port()}}
			p.bind(key, p.ports[key])
		}
	}
}

// bind opens a listener, or notes why it cannot. The caller holds the lock.
func (p *publicIPs) bind(key publicPort, f *forward) {
	ln, err := net.Listen("tcp4", key.addr.String())
	if err != nil {
		first := f.status.Problem == ""
		f.status.Problem = plain(err)
		if errors.Is(err, syscall.EADDRINUSE) {
			f.status.Listener = whoListens(key.addr)
		}
		if first {
			p.log.Warn("public port cannot be bound", "address", key.addr, "problem", f.status.Problem, "listener", f.status.Listener)
		}
		return
	}
	f.listener = ln
	f.status = vm.PortStatus{Port: key.addr.Port(), Bound: true}
	go p.accept(ln, key)
}

// plain answers the system's word for what failed, without the addresses that the caller knows.
func plain(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

func (p *publicIPs) status(nic string) []vm.PortStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []vm.PortStatus
	for key, f := range p.ports {
		if key.nic == nic {
			all = append(all, f.status)
		}
	}
	slices.SortFunc(all, func(a, b vm.PortStatus) int { return int(a.Port) - int(b.Port) })
	return all
}

func (p *publicIPs) accept(ln net.Listener, key publicPort) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors; the backlog waits
			p.log.Warn("public port", "address", key.addr, "error", err)
			<-time.After(rebind / 10)
			continue
		}
		select {
		case p.slots <- struct{}{}:
			go func() {
				defer func() { <-p.slots }()
				p.connect(conn, key)
			}()
		default:
			refuse(conn)
		}
	}
}

// connect takes one caller to the guest. The rules are asked with the caller's own address.
func (p *publicIPs) connect(conn net.Conn, key publicPort) {
	source, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		refuse(conn)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	guest, err := p.fabric.dial(ctx, key.nic, key.addr.Port(), source)
	cancel()
	if err != nil {
		refuse(conn)
		return
	}
	splice(conn, guest)
}

// refuse closes with a reset, the nearest to a port that was never open.
func refuse(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	conn.Close()
}
