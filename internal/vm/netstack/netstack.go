// Package netstack is a virtual network in user space, without privileges: one process for each.
//
// It owns what stands between guests, and between a guest and the host: routing, DHCP, DNS, security rules, public IPs
// and, where it is allowed, the way out. It does not own any desired state: a vm.Network says it all.
//
//	Networks (server) ─ network.json, exec, "apply" ─▶ process (Run)
//
//	guest ─ QEMU's socket ─ port ┐                       ┌ gVisor: TCP and UDP ends ─ DNS, the way out
//	guest ─ QEMU's socket ─ port ┴ fabric ─ ARP, DHCP ───┤
//	                                └ guest to guest     └ Dial ◀─ public IPs 127.x.y.z:port, control socket
//
// As in Azure the network is routed, not switched: every guest resolves every address to one MAC, the fabric's, which
// looks at IPv4 addresses alone. So there is no broadcast, no multicast, no IPv6, and nothing a guest could spoof: a
// frame that does not come from the NIC's own MAC and address is dropped. 169.254.169.254 and 168.63.129.16 refuse.
//
// A process that is killed and started again reads network.json, dials the sockets on which QEMU listens, and serves
// the same addresses; TCP connections through it are lost.
package netstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"vitrine/internal/proc"
	"vitrine/internal/vm"
)

// Config says where networks keep their state.
type Config struct {
	Data string   // the installation's data folder, the same as the machines'; networks' own files go to Data/networks/<id>
	Self []string // argv prefix of the process, e.g. {"/proc/self/exe", "netstack"}; "--dir DIR" is added
	Log  *slog.Logger
}

// Limits of patience with a process on a busy host.
const (
	startLimit = 30 * time.Second
	askLimit   = 15 * time.Second
)

// Networks is a vm.Networks on processes of this package.
type Networks struct {
	cfg     Config
	sockets string

	mu    sync.Mutex
	locks map[string]*sync.Mutex // one change at a time per network
}

var _ vm.Networks = (*Networks)(nil)

// Open makes a set of networks on cfg.Data. Processes that run there already are found when they are asked for.
func Open(_ context.Context, cfg Config) (*Networks, error) {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return nil, err
	}
	cfg.Data = data
	if len(cfg.Self) == 0 {
		return nil, errors.New("netstack: Config.Self is empty")
	}
	sockets, err := vm.SocketDir(data)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(data, "networks"), 0o700); err != nil {
		return nil, err
	}
	return &Networks{cfg: cfg, sockets: sockets, locks: map[string]*sync.Mutex{}}, nil
}

// settings is network.json.
type settings struct {
	Sockets string     `json:"sockets"`
	Network vm.Network `json:"network"`
}

func (n *Networks) dir(id string) string     { return filepath.Join(n.cfg.Data, "networks", id) }
func (n *Networks) control(id string) string { return vm.Socket(n.sockets, id, "net") }

func (n *Networks) lock(id string) (unlock func()) {
	n.mu.Lock()
	l := n.locks[id]
	if l == nil {
		l = &sync.Mutex{}
		n.locks[id] = l
	}
	n.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Ensure implements vm.Networks.
func (n *Networks) Ensure(ctx context.Context, net vm.Network) error {
	if err := net.Validate(); err != nil {
		return err
	}
	defer n.lock(net.ID)()
	if err := n.write(net); err != nil {
		return fmt.Errorf("network %s: %w", net.ID, err)
	}
	if proc.Held(lockFile(n.dir(net.ID))) {
		err := n.apply(ctx, net.ID)
		if err == nil || ctx.Err() != nil {
			return err
		}
		n.cfg.Log.Warn("network process is replaced", "network", net.ID, "error", err)
		if err := n.end(ctx, net.ID); err != nil {
			return err
		}
	}
	return n.start(ctx, net.ID)
}

func (n *Networks) write(net vm.Network) error {
	if err := os.MkdirAll(n.dir(net.ID), 0o700); err != nil {
		return err
	}
	path := filepath.Join(n.dir(net.ID), "network.json")
	s := settings{Sockets: n.sockets, Network: net}
	want, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
		return nil
	}
	return proc.WriteState(path, s)
}

// apply tells a living process to read its file. One of another version is not spoken to.
func (n *Networks) apply(ctx context.Context, id string) error {
	r, err := n.ask(ctx, id, request{Op: "apply"})
	if err == nil && r.Version != controlVersion {
		return fmt.Errorf("it speaks version %d, we %d", r.Version, controlVersion)
	}
	return err
}

func (n *Networks) start(ctx context.Context, id string) error {
	dir := n.dir(id)
	log := filepath.Join(dir, "netstack.log")
	if err := os.Remove(log); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	process, err := proc.Start(proc.Detached{
		Path: n.cfg.Self[0], Args: append(slices.Clone(n.cfg.Self[1:]), "--dir", dir), Env: proc.HelperEnv(), Dir: dir, Output: log})
	if err != nil {
		return fmt.Errorf("network %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := !proc.Alive(process)
		if n.apply(ctx, id) == nil {
			return nil
		}
		if ended {
			said, _ := os.ReadFile(log)
			return fmt.Errorf("network %s: the process ended: %s", id, bytes.TrimSpace(said))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("network %s: start: %w", id, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// end ends the network's process, by its own will or without.
func (n *Networks) end(ctx context.Context, id string) error {
	var process proc.Identity
	err := proc.ReadState(filepath.Join(n.dir(id), "process.json"), &process)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return proc.End(ctx, process, 3*time.Second)
}

// Status implements vm.Networks.
func (n *Networks) Status(ctx context.Context, id string) (vm.NetworkStatus, error) {
	if !proc.Held(lockFile(n.dir(id))) {
		return vm.NetworkStatus{}, fmt.Errorf("process of network %s: %w", id, vm.ErrNotFound)
	}
	r, err := n.ask(ctx, id, request{Op: "status"})
	if err != nil && !proc.Held(lockFile(n.dir(id))) {
		return vm.NetworkStatus{}, fmt.Errorf("process of network %s: %w", id, vm.ErrNotFound)
	}
	return r.Status, err
}

// List implements vm.Networks.
func (n *Networks) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(n.cfg.Data, "networks"))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, nil
}

// Remove implements vm.Networks.
func (n *Networks) Remove(ctx context.Context, id string) error {
	if filepath.Base(id) != id || id == "." || id == ".." {
		return fmt.Errorf("netstack: %q is not the id of a network", id)
	}
	defer n.lock(id)()
	if err := n.end(ctx, id); err != nil {
		return err
	}
	_ = os.Remove(n.control(id))
	return os.RemoveAll(n.dir(id))
}

// Dial implements vm.Networks. The rules see a connection from 127.0.0.1, like one to the public IP.
func (n *Networks) Dial(ctx context.Context, network, nic string, port uint16) (net.Conn, error) {
	var r response
	conn, err := proc.Open(ctx, n.control(network), request{Op: "dial", NIC: nic, Port: port}, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("network %s: %w", network, vm.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if r.Error != "" {
		conn.Close()
		return nil, errors.New(r.Error)
	}
	return conn, nil
}

func (n *Networks) ask(ctx context.Context, id string, q request) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var r response
	if err := proc.Ask(ctx, n.control(id), q, &r); err != nil {
		return r, fmt.Errorf("network %s: %w", id, err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("network %s: %s", id, r.Error)
	}
	return r, nil
}

// lockFile is held by a network's process for as long as it lives.
func lockFile(dir string) string { return filepath.Join(dir, "lock") }
