// Package fakevm is a runtime and a set of networks in memory, for tests of those who use machines.
//
// It keeps the promises of the port (vmtest runs it) and remembers what it was told; nothing boots, and nothing is
// written but the disks that CreateDisk makes, as sparse files. Knobs let a test crash a machine or fail a call.
package fakevm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"vitrine/internal/vm"
)

// Runtime is a vm.Runtime without machines.
type Runtime struct {
	mu       sync.Mutex
	machines map[string]*machine
	fail     map[string]error
}

type machine struct {
	spec   vm.Machine
	status vm.Status
	ended  chan struct{} // closed while it does not run
	starts int
	resets int
}

var _ vm.Runtime = (*Runtime)(nil)

// New answers a runtime without machines.
func New() *Runtime {
	return &Runtime{machines: map[string]*machine{}, fail: map[string]error{}}
}

// Fail makes the next call of a method (by its name, "Start") answer err.
func (r *Runtime) Fail(method string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail[method] = err
}

// Crash ends a running machine as if QEMU had died.
func (r *Runtime) Crash(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.machines[id]; m != nil {
		m.end(vm.Crashed, "killed by the test")
	}
}

// Shutdown ends a running machine as if its guest had powered off.
func (r *Runtime) Shutdown(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.machines[id]; m != nil {
		m.end(vm.Stopped, "powered off by the guest")
	}
}

// Machine answers what a machine was last started with, and how often it was started and reset.
func (r *Runtime) Machine(id string) (spec vm.Machine, starts, resets int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.machines[id]
	if m == nil {
		return vm.Machine{}, 0, 0, false
	}
	return m.spec, m.starts, m.resets, true
}

// enter is the beginning of every method: it answers with the lock held unless it answers an error.
func (r *Runtime) enter(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	if err := r.fail[method]; err != nil {
		delete(r.fail, method)
		r.mu.Unlock()
		return err
	}
	return nil
}

func (r *Runtime) find(id string) (*machine, error) {
	if m := r.machines[id]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("machine %s: %w", id, vm.ErrNotFound)
}

func (m *machine) end(s vm.State, reason string) {
	if m.status.State != vm.Running {
		return
	}
	m.status = vm.Status{ID: m.spec.ID, State: s, Since: time.Now(), Reason: reason}
	close(m.ended)
}

// Start implements vm.Runtime.
func (r *Runtime) Start(ctx context.Context, spec vm.Machine) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	if err := r.enter(ctx, "Start"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	for _, d := range spec.Disks {
		if _, err := os.Stat(d.Path); err != nil {
			return fmt.Errorf("machine %s: disk: %w", spec.ID, err)
		}
	}
	m := r.machines[spec.ID]
	if m == nil {
		m = &machine{}
		r.machines[spec.ID] = m
	}
	if m.status.State == vm.Running {
		return nil
	}
	m.spec, m.ended = spec, make(chan struct{})
	m.starts++
	m.status = vm.Status{ID: spec.ID, State: vm.Running, Since: time.Now(), Accel: "tcg"}
	return nil
}

// Status implements vm.Runtime.
func (r *Runtime) Status(ctx context.Context, id string) (vm.Status, error) {
	if err := r.enter(ctx, "Status"); err != nil {
		return vm.Status{}, err
	}
	defer r.mu.Unlock()
	m, err := r.find(id)
	if err != nil {
		return vm.Status{}, err
	}
	return m.status, nil
}

// List implements vm.Runtime.
func (r *Runtime) List(ctx context.Context) ([]vm.Status, error) {
	if err := r.enter(ctx, "List"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	var all []vm.Status
	for _, id := range slices.Sorted(maps.Keys(r.machines)) {
		all = append(all, r.machines[id].status)
	}
	return all, nil
}

// Wait implements vm.Runtime.
func (r *Runtime) Wait(ctx context.Context, id string) (vm.Status, error) {
	if err := r.enter(ctx, "Wait"); err != nil {
		return vm.Status{}, err
	}
	m, err := r.find(id)
	if err != nil {
		r.mu.Unlock()
		return vm.Status{}, err
	}
	ended := m.ended
	r.mu.Unlock()
	select {
	case <-ended:
		return r.Status(ctx, id)
	case <-ctx.Done():
		return vm.Status{}, context.Cause(ctx)
	}
}

// PowerOff implements vm.Runtime.
func (r *Runtime) PowerOff(ctx context.Context, id string, how vm.PowerOff) error {
	if err := r.enter(ctx, "PowerOff"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	m, err := r.find(id)
	if err != nil {
		return err
	}
	reason := "powered off by the guest"
	if how.Hard {
		reason = "powered off hard"
	}
	m.end(vm.Stopped, reason)
	return nil
}

// Reset implements vm.Runtime.
func (r *Runtime) Reset(ctx context.Context, id string) error {
	if err := r.enter(ctx, "Reset"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	m, err := r.find(id)
	if err != nil {
		return err
	}
	if m.status.State != vm.Running {
		return fmt.Errorf("machine %s: %w", id, vm.ErrNotRunning)
	}
	m.resets++
	return nil
}

// Remove implements vm.Runtime.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if err := r.enter(ctx, "Remove"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	if m := r.machines[id]; m != nil {
		m.end(vm.Stopped, "removed")
		delete(r.machines, id)
	}
	return nil
}

// SerialLog implements vm.Runtime.
func (r *Runtime) SerialLog(ctx context.Context, id string) ([]byte, error) {
	if err := r.enter(ctx, "SerialLog"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	m, err := r.find(id)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "fakevm: start %d of %s\n", m.starts, m.spec.Name), nil
}

// CreateDisk implements vm.Runtime; the file is sparse and holds nothing.
func (r *Runtime) CreateDisk(ctx context.Context, d vm.NewDisk) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if err := r.enter(ctx, "CreateDisk"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	size := d.Size
	if d.Base != "" && !d.Later {
		st, err := os.Stat(d.Base)
		if err != nil {
			return fmt.Errorf("base of %s: %w", d.Path, err)
		}
		size = max(size, st.Size())
	}
	f, err := os.OpenFile(d.Path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// GrowDisk implements vm.Runtime.
func (r *Runtime) GrowDisk(ctx context.Context, path string, size int64) error {
	if err := r.enter(ctx, "GrowDisk"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	st, err := os.Stat(path)
	if err != nil || st.Size() >= size {
		return err
	}
	return os.Truncate(path, size)
}

// CopyDisk implements vm.Runtime: the file is copied as it is.
func (r *Runtime) CopyDisk(ctx context.Context, id, path, target string) error {
	if err := r.enter(ctx, "CopyDisk"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	m, err := r.find(id)
	if err != nil {
		return err
	}
	if m.status.State != vm.Running {
		return fmt.Errorf("machine %s: %w", id, vm.ErrNotRunning)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(target, raw, 0o600)
}

// Networks is a vm.Networks without packets.
type Networks struct {
	mu       sync.Mutex
	networks map[string]vm.Network
	fail     map[string]error
}

var _ vm.Networks = (*Networks)(nil)

// NewNetworks answers a set without networks.
func NewNetworks() *Networks {
	return &Networks{networks: map[string]vm.Network{}, fail: map[string]error{}}
}

// Fail makes the next call of a method answer err.
func (n *Networks) Fail(method string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail[method] = err
}

// Network answers what a network was last declared to be.
func (n *Networks) Network(id string) (vm.Network, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	net, ok := n.networks[id]
	return net, ok
}

func (n *Networks) enter(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n.mu.Lock()
	if err := n.fail[method]; err != nil {
		delete(n.fail, method)
		n.mu.Unlock()
		return err
	}
	return nil
}

// Ensure implements vm.Networks.
func (n *Networks) Ensure(ctx context.Context, net vm.Network) error {
	if err := net.Validate(); err != nil {
		return err
	}
	if err := n.enter(ctx, "Ensure"); err != nil {
		return err
	}
	defer n.mu.Unlock()
	n.networks[net.ID] = net
	return nil
}

// Status implements vm.Networks: every guest is there, and every port that the rules allow is bound.
func (n *Networks) Status(ctx context.Context, id string) (vm.NetworkStatus, error) {
	if err := n.enter(ctx, "Status"); err != nil {
		return vm.NetworkStatus{}, err
	}
	defer n.mu.Unlock()
	net, ok := n.networks[id]
	if !ok {
		return vm.NetworkStatus{}, fmt.Errorf("network %s: %w", id, vm.ErrNotFound)
	}
	st := vm.NetworkStatus{ID: id}
	for _, e := range net.Endpoints {
		es := vm.EndpointStatus{NIC: e.NIC, Connected: true, Leased: true}
		ports, note := net.PublicPorts(e)
		es.Note = note
		for _, p := range ports {
			es.Ports = append(es.Ports, vm.PortStatus{Port: p, Bound: true})
		}
		st.Endpoints = append(st.Endpoints, es)
	}
	return st, nil
}

// List implements vm.Networks.
func (n *Networks) List(ctx context.Context) ([]string, error) {
	if err := n.enter(ctx, "List"); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.networks)), nil
}

// Remove implements vm.Networks.
func (n *Networks) Remove(ctx context.Context, id string) error {
	if err := n.enter(ctx, "Remove"); err != nil {
		return err
	}
	defer n.mu.Unlock()
	delete(n.networks, id)
	return nil
}

// Dial implements vm.Networks as far as it can: nobody is there to answer.
func (n *Networks) Dial(ctx context.Context, network, nic string, port uint16) (net.Conn, error) {
	if err := n.enter(ctx, "Dial"); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	if _, ok := n.networks[network]; !ok {
		return nil, fmt.Errorf("network %s: %w", network, vm.ErrNotFound)
	}
	return nil, errors.New("fakevm: no guest answers")
}
