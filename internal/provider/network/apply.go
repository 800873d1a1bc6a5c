package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

const workApply = "network/apply"

// change is the input of an operation that carries a write to the networks it touches.
type change struct {
	Vnets  []string `json:"vnets"`
	Delete bool     `json:"delete,omitempty"` // of the written resource, at the end
}

// reapply makes a write long-running, as Azure's are: it ends when each network in which an interface that it touches is on the wire
// has taken it. Tags alone are changed at once.
func reapply[T any](w *control.Write[T], nics []*control.Resource[NIC]) error {
	in := change{Delete: w.New == nil}
	for _, n := range nics {
		if v := vnetOf(&n.Properties); n.Properties.Live != nil && v != "" && !slices.Contains(in.Vnets, v) {
			in.Vnets = append(in.Vnets, v)
		}
	}
	if len(in.Vnets) == 0 && tagsAlone(w.Body) {
		return nil
	}
	if err := in.inherit(w.Tx, w.ID); err != nil {
		return err
	}
	return w.Begin(workApply, in)
}

// inherit takes over what writes that this one supersedes have yet to carry.
func (c *change) inherit(tx store.Tx, id arm.ID) error {
	open, err := operation.Open(tx, id.Key())
	if err != nil {
		return err
	}
	for _, o := range open {
		var before change
		if err := json.Unmarshal(o.Input, &before); err != nil {
			return err
		}
		for _, v := range before.Vnets {
			if !slices.Contains(c.Vnets, v) {
				c.Vnets = append(c.Vnets, v)
			}
		}
	}
	return nil
}

// tagsAlone tells whether a PATCH says nothing but tags.
func tagsAlone(body json.RawMessage) bool {
	var b map[string]json.RawMessage
	return json.Unmarshal(body, &b) == nil && len(b) == 1 && b["tags"] != nil
}

// Works lists the provider's long-running work.
func (p *Provider) Works() map[string]operation.Work {
	return map[string]operation.Work{workApply: {
		Steps: func(ctx context.Context, r *operation.Run) []operation.Step {
			return []operation.Step{{Name: "apply", Do: func() error { return p.carry(ctx, r) }}}
		},
		Finish: settle,
	}}
}

func (p *Provider) carry(ctx context.Context, r *operation.Run) error {
	var in change
	if err := r.Read(&in); err != nil {
		return err
	}
	for _, v := range in.Vnets {
		id, err := arm.ParseID(v)
		if err != nil {
			return err
		}
		if err := p.Apply(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// settle writes the end of an operation into the resource that began it.
func settle(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	var in change
	if err := r.Read(&in); err != nil {
		return err
	}
	id, err := arm.ParseID(r.Resource)
	if err != nil {
		return err
	}
	if in.Delete && failure == nil {
		return control.Remove(tx, id)
	}
	state := arm.Succeeded
	if failure != nil {
		state = arm.Failed
	}
	switch control.Kind(id.Type()) {
	case control.Kind(VnetType):
		return setState[Vnet](tx, id, state)
	case control.Kind(SubnetType):
		return setState[Subnet](tx, id, state)
	case control.Kind(NSGType):
		return setState[Group](tx, id, state)
	case control.Kind(RuleType):
		return setState[Rule](tx, id, state)
	case control.Kind(NICType):
		return setState[NIC](tx, id, state)
	case control.Kind(IPType):
		return setState[PublicIP](tx, id, state)
	}
	return fmt.Errorf("network: no type for %s", id)
}

func setState[T any](tx store.Tx, id arm.ID, state string) error {
	r, err := control.Get[T](tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.SetState(state)
	return control.Save(tx, r)
}

// Desired is the state that a virtual network shall have: its prefixes, and each interface that a machine is on the wire
// with. It reads documents and nothing else. store.ErrNotFound when there is no such network.
func (p *Provider) Desired(tx store.Tx, id arm.ID) (vm.Network, error) {
	v, err := control.Get[Vnet](tx, id)
	if err != nil {
		return vm.Network{}, err
	}
	out := vm.Network{ID: v.Properties.ResourceGUID, DNSSuffix: suffix(v.Properties.ResourceGUID), Internet: p.Internet}
	out.Prefixes, _ = prefixes(v.Properties.AddressSpace.Prefixes, "", "")
	if o := v.Properties.DHCPOptions; o != nil {
		for _, s := range o.DNSServers {
			if a, err := netip.ParseAddr(s); err == nil {
				out.DNS = append(out.DNS, a)
			}
		}
	}
	nets, err := children[Subnet](tx, id, SubnetType)
	if err != nil {
		return out, err
	}
	groups := map[string]*Ref{}
	for _, s := range nets {
		out.Subnets = append(out.Subnets, s.Properties.net())
		groups[s.ParsedID().Key()] = s.Properties.NSG
	}
	nics, err := control.Select[NIC](tx, store.Query{Kind: control.Kind(NICType), All: []string{"vnet:" + id.Key(), "live"}})
	if err != nil {
		return out, err
	}
	for _, n := range nics {
		e, err := endpoint(tx, &n.Properties, groups)
		if err != nil {
			return out, err
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out, nil
}

func endpoint(tx store.Tx, n *NIC, subnetGroups map[string]*Ref) (vm.Endpoint, error) {
	c := n.primary()
	a, err := netip.ParseAddr(c.Address)
	if err != nil {
		return vm.Endpoint{}, err
	}
	e := vm.Endpoint{NIC: n.ResourceGUID, Machine: n.Live.Machine, Hostname: n.Live.Hostname, MAC: wireMAC(n.MAC), IP: a}
	for _, ref := range []*Ref{subnetGroups[key(c.Subnet)], n.NSG} {
		if ref == nil {
			continue
		}
		g, err := securityGroup(tx, ref)
		if err != nil {
			return e, err
		}
		e.Groups = append(e.Groups, g)
	}
	if c.PublicIP == nil {
		return e, nil
	}
	ip, err := control.Find[PublicIP](tx, c.PublicIP.ID)
	if err != nil {
		return e, err
	}
	if a, err := netip.ParseAddr(ip.Properties.Address); err == nil {
		e.Public = &vm.PublicIP{Addr: a, Basic: ip.SKU == nil || ip.SKU.Name == "Basic"}
	}
	return e, nil
}

func securityGroup(tx store.Tx, ref *Ref) (vm.SecurityGroup, error) {
	id, err := arm.ParseID(ref.ID)
	if err != nil {
		return vm.SecurityGroup{}, err
	}
	g := vm.SecurityGroup{ID: ref.ID}
	rules, err := children[Rule](tx, id, RuleType)
	for _, r := range rules {
		if r.State() != arm.Deleting {
			g.Rules = append(g.Rules, r.Properties.wire(r.Name))
		}
	}
	return g, err
}

func wireMAC(m string) string { return strings.ToLower(strings.ReplaceAll(m, "-", ":")) }

// Apply brings a network to its desired state now. One without any interface on the wire has no process.
func (p *Provider) Apply(ctx context.Context, id arm.ID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.apply(ctx, id)
}

func (p *Provider) apply(ctx context.Context, id arm.ID) error {
	var n vm.Network
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		n, err = p.Desired(tx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // its process, if any, is an orphan for Reconcile
	}
	if err != nil {
		return fmt.Errorf("desired state of %s: %w", id, err)
	}
	if len(n.Endpoints) == 0 {
		delete(p.applied, n.ID)
		if err := p.Networks.Remove(ctx, n.ID); err != nil && !errors.Is(err, vm.ErrNotFound) {
			return fmt.Errorf("remove network %s: %w", id, err)
		}
		return nil
	}
	if err := p.Networks.Ensure(ctx, n); err != nil {
		return fmt.Errorf("network %s: %w", id, err)
	}
	p.applied[n.ID] = n
	return nil
}

// Reconcile brings every network to its desired state, unless it is known to be there, and ends the processes of
// networks that are needed no longer.
func (p *Provider) Reconcile(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	running, err := p.Networks.List(ctx)
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	desired := map[string]vm.Network{}
	ids := map[string]arm.ID{}
	err = p.store.View(ctx, func(tx store.Tx) error {
		live, err := control.Select[NIC](tx, store.Query{Kind: control.Kind(NICType), All: []string{"live"}})
		if err != nil {
			return err
		}
		for _, n := range live {
			id, err := arm.ParseID(vnetOf(&n.Properties))
			if err != nil {
				return err
			}
			d, err := p.Desired(tx, id)
			if err != nil {
				return err
			}
			desired[d.ID], ids[d.ID] = d, id
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read networks: %w", err)
	}
	var faults []error
	for guid, d := range desired {
		_, err := p.Networks.Status(ctx, guid)
		if err == nil && reflect.DeepEqual(p.applied[guid], d) {
			continue
		}
		faults = append(faults, p.apply(ctx, ids[guid]))
	}
	for _, guid := range running {
		if _, ok := desired[guid]; !ok {
			delete(p.applied, guid)
			faults = append(faults, p.Networks.Remove(ctx, guid))
		}
	}
	return errors.Join(faults...)
}
