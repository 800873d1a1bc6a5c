package netstack

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// controlVersion is the version of what is said on the control socket: one request and one response per connection,
// and after the response to "dial" the bytes of a TCP connection.
const controlVersion = 1

type request struct {
	Op   string `json:"op"` // apply, status, dial
	NIC  string `json:"nic,omitempty"`
	Port uint16 `json:"port,omitempty"`
}

type response struct {
	Version int              `json:"version"`
	Status  vm.NetworkStatus `json:"status"`
	Error   string           `json:"error,omitempty"`
}

// process is the life of one network.
type process struct {
	dir    string
	log    *slog.Logger
	fabric *fabric
	public *publicIPs

	mu      sync.Mutex // one apply at a time
	current vm.Network
}

// Run serves the network described in dir until ctx ends, SIGTERM comes, or the folder is taken away. When another
// process serves it, Run fails at once.
func Run(ctx context.Context, dir string) error {
	release, err := proc.Hold(lockFile(dir))
	if err != nil {
		return err
	}
	defer release()
	var s settings
	if err := proc.ReadState(filepath.Join(dir, "network.json"), &s); err != nil {
		return err
	}
	self, err := proc.Identify(os.Getpid())
	if err != nil {
		return err
	}
	if err := proc.WriteState(filepath.Join(dir, "process.json"), self); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("network", s.Network.ID)
	p := &process{dir: dir, log: log}
	if p.fabric, err = newFabric(s.Sockets, log); err != nil {
		return err
	}
	defer p.fabric.close()
	p.public = newPublicIPs(p.fabric, log)
	defer p.public.close()
	return p.serve(ctx, vm.Socket(s.Sockets, s.Network.ID, "net"))
}

func (p *process) serve(ctx context.Context, socket string) error {
	if err := p.apply(); err != nil {
		return err
	}
	ln, err := proc.Listen(socket)
	if err != nil {
		return err
	}
	var calls sync.WaitGroup
	calls.Go(func() { proc.Serve(ln, &calls, p.handle) })
	p.linger(ctx)
	p.log.Info("network ends")
	// Calls in progress are connections to guests, which would go on for as long as the guest likes.
	return ln.Close()
}

// linger returns when ctx ends, or when the folder is gone, so that no process outlives the data it belongs to.
func (p *process) linger(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := os.Stat(lockFile(p.dir)); os.IsNotExist(err) {
				return
			}
		}
	}
}

// apply makes the file the state.
func (p *process) apply() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s settings
	if err := proc.ReadState(filepath.Join(p.dir, "network.json"), &s); err != nil {
		return err
	}
	if err := s.Network.Validate(); err != nil {
		return err
	}
	if equal(s.Network, p.current) {
		return nil
	}
	p.current = s.Network
	p.fabric.configure(s.Network)
	p.public.configure(s.Network)
	p.log.Info("network applied", "interfaces", len(s.Network.Endpoints))
	return nil
}

func equal(a, b vm.Network) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func (p *process) handle(c *proc.Call) {
	var q request
	if json.Unmarshal(c.Request, &q) != nil {
		return
	}
	r := response{Version: controlVersion}
	var err error
	switch q.Op {
	case "apply":
		err = p.apply()
	case "status":
		r.Status = p.status()
	case "dial":
		p.dial(c, q)
		return
	default:
		err = fmt.Errorf("this network process (protocol %d) does not know %q", controlVersion, q.Op)
	}
	if err != nil {
		r.Error = err.Error()
	}
	_ = c.Reply(r)
}

func (p *process) dial(c *proc.Call, q request) {
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	defer cancel()
	source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 49152)
	guest, err := p.fabric.dial(ctx, q.NIC, q.Port, source)
	if err != nil {
		_ = c.Reply(response{Version: controlVersion, Error: err.Error()})
		return
	}
	if c.Reply(response{Version: controlVersion}) != nil {
		guest.Close()
		return
	}
	splice(c.Conn, guest)
}

func (p *process) status() vm.NetworkStatus {
	p.mu.Lock()
	n := p.current
	p.mu.Unlock()
	st := vm.NetworkStatus{ID: n.ID}
	for _, e := range n.Endpoints {
		es := p.fabric.status(e.NIC)
		_, es.Note = n.PublicPorts(e)
		es.Ports = p.public.status(e.NIC)
		st.Endpoints = append(st.Endpoints, es)
	}
	return st
}
