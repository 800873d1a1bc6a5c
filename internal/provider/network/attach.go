package network

import (
	"context"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// Attach gives an interface to a machine of the region; only one machine may have it.
func (p *Provider) Attach(tx store.Tx, nic, machine arm.ID, location string) error {
	n, err := resolve[NIC](tx, machine, location, &Ref{ID: nic.String()})
	if err != nil {
		return err
	}
	if v := n.Properties.VM; v != nil && key(v) != machine.Key() {
		return arm.Errorf(409, "NicInUse", "Network Interface %s is used by existing resource %s. In order to use the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", n.ID, v.ID)
	}
	n.Properties.VM, n.Properties.Primary = &Ref{ID: machine.String()}, ptr(true)
	stamped(n, nil)
	return control.Save(tx, n)
}

// Detach takes an interface from a machine; that it is another's, or gone, is a success.
func (p *Provider) Detach(tx store.Tx, nic, machine arm.ID) error {
	return p.edit(tx, nic, func(n *NIC) bool {
		if key(n.VM) != machine.Key() {
			return false
		}
		n.VM, n.Primary, n.Live = nil, nil, nil
		return true
	})
}

// Activate puts an interface on the wire of its network, for the machine that has it, of that GUID and host name. The
// network follows at the next Apply. An interface that the machine no longer has stays as it is.
func (p *Provider) Activate(tx store.Tx, nic, machine arm.ID, guid, hostname string) error {
	return p.edit(tx, nic, func(n *NIC) bool {
		if key(n.VM) != machine.Key() {
			return false
		}
		n.Live = &Live{Machine: guid, Hostname: hostname}
		return true
	})
}

// Deactivate takes an interface off the wire if the machine (its GUID) has it there.
func (p *Provider) Deactivate(tx store.Tx, nic arm.ID, machine string) error {
	return p.edit(tx, nic, func(n *NIC) bool {
		if n.Live == nil || n.Live.Machine != machine {
			return false
		}
		n.Live = nil
		return true
	})
}

func (p *Provider) edit(tx store.Tx, nic arm.ID, f func(*NIC) bool) error {
	n, err := control.Get[NIC](tx, nic)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || !f(&n.Properties) {
		return err
	}
	stamped(n, nil)
	return control.Save(tx, n)
}

// Delete removes an interface that no machine has any longer.
func (p *Provider) Delete(tx store.Tx, nic arm.ID) error {
	n, err := control.Get[NIC](tx, nic)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if n.Properties.VM != nil {
		return nil
	}
	if err := releaseIPs(tx, n, nil); err != nil {
		return err
	}
	return control.Remove(tx, nic)
}

// Wire says how a machine is plugged in with an interface, and into which virtual network. store.ErrNotFound.
func (p *Provider) Wire(tx store.Tx, nic arm.ID) (vm.NIC, arm.ID, error) {
	n, err := control.Get[NIC](tx, nic)
	if err != nil {
		return vm.NIC{}, arm.ID{}, err
	}
	vnet, err := arm.ParseID(vnetOf(&n.Properties))
	return vm.NIC{ID: n.Properties.ResourceGUID, MAC: wireMAC(n.Properties.MAC)}, vnet, err
}

// Status says how an interface does on the wire; vm.ErrNotFound when it is not there.
func (p *Provider) Status(ctx context.Context, tx store.Tx, nic arm.ID) (vm.EndpointStatus, error) {
	n, err := control.Get[NIC](tx, nic)
	if err != nil {
		return vm.EndpointStatus{}, err
	}
	v, err := control.Find[Vnet](tx, vnetOf(&n.Properties))
	if err != nil {
		return vm.EndpointStatus{}, err
	}
	st, err := p.Networks.Status(ctx, v.Properties.ResourceGUID)
	if err != nil {
		return vm.EndpointStatus{}, err
	}
	for _, e := range st.Endpoints {
		if strings.EqualFold(e.NIC, n.Properties.ResourceGUID) {
			return e, nil
		}
	}
	return vm.EndpointStatus{}, vm.ErrNotFound
}
