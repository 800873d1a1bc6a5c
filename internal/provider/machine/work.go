package machine

import (
	"context"
	"errors"
	"fmt"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// Works lists the provider's long-running work.
func (p *Provider) Works() map[string]operation.Work {
	up := func(ctx context.Context, r *operation.Run) []operation.Step { return p.up(ctx, r) }
	down := func(remove bool) func(context.Context, *operation.Run) []operation.Step {
		return func(ctx context.Context, r *operation.Run) []operation.Step { return p.down(ctx, r, remove) }
	}
	return map[string]operation.Work{
		workCreate: {Steps: up, Undo: p.uncreate, Finish: p.created},
		workStart:  {Steps: up, Undo: p.unstart, Finish: settled},
		workRestart: {Steps: func(ctx context.Context, r *operation.Run) []operation.Step {
			return append([]operation.Step{p.step(ctx, r, "stop", p.stop(false))}, p.up(ctx, r)...)
		}, Undo: p.unstart, Finish: settled},
		workPowerOff:   {Steps: down(false), Finish: settled},
		workDeallocate: {Steps: down(true), Finish: settled},
		workDelete:     {Steps: p.away, Finish: gone},
	}
}

// task is one step on a machine: what it does may be done again.
type task func(ctx context.Context, r *operation.Run, m *resource) error

// step reads the machine anew for a task.
func (p *Provider) step(ctx context.Context, r *operation.Run, name string, do task) operation.Step {
	return operation.Step{Name: name, Do: func() error {
		m, err := p.read(ctx, r.Resource)
		if err != nil {
			return err
		}
		return do(ctx, r, m)
	}}
}

func (p *Provider) read(ctx context.Context, key string) (m *resource, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		m, err = control.Find[Properties](tx, key)
		return err
	})
	return m, err
}

// up brings a machine up.
func (p *Provider) up(ctx context.Context, r *operation.Run) []operation.Step {
	return []operation.Step{
		p.step(ctx, r, "disks", func(ctx context.Context, _ *operation.Run, m *resource) error {
			_, err := p.files(ctx, m)
			return err
		}),
		p.step(ctx, r, "network", func(ctx context.Context, r *operation.Run, m *resource) error {
			return p.plug(ctx, m, r.Update)
		}),
		p.step(ctx, r, "start", func(ctx context.Context, _ *operation.Run, m *resource) error { return p.launch(ctx, m) }),
		p.step(ctx, r, "running", p.confirm),
	}
}

// update is how a step writes: r.Update within an operation, the store's own outside.
type update func(context.Context, func(store.Tx) error) error

// files makes the disks' files and answers them in the order of the machine's devices.
func (p *Provider) files(ctx context.Context, m *resource) ([]vm.Disk, error) {
	var list []vm.Disk
	for _, d := range m.Properties.disks() {
		file, err := p.Disks.Materialise(ctx, d.id)
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.id, err)
		}
		file.Serial = "os"
		if d.lun != osDisk {
			file.Serial = fmt.Sprintf("lun%d", d.lun)
		}
		list = append(list, file)
	}
	return list, nil
}

// plug puts the interfaces on the wire, the networks in step.
func (p *Provider) plug(ctx context.Context, m *resource, write update) error {
	err := write(ctx, func(tx store.Tx) error {
		if err := p.occupy(tx, m, true); err != nil {
			return err
		}
		for _, nic := range m.Properties.nics() {
			if err := p.Network.Activate(tx, nic, m.ParsedID(), m.Properties.VMID, m.Properties.host(m.Name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.applyNetworks(ctx, m)
}

// unplug takes the interfaces off the wire.
func (p *Provider) unplug(ctx context.Context, m *resource, write update) error {
	err := write(ctx, func(tx store.Tx) error {
		for _, nic := range m.Properties.nics() {
			if err := p.Network.Deactivate(tx, nic, m.Properties.VMID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.applyNetworks(ctx, m)
}

func (p *Provider) applyNetworks(ctx context.Context, m *resource) error {
	_, networks, err := p.wires(ctx, m)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if err := p.Network.Apply(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// wires answers the machine's interfaces and the networks that they are in; one that is gone is left out.
func (p *Provider) wires(ctx context.Context, m *resource) (nics []vm.NIC, networks []arm.ID, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		nics, networks = nil, nil
		seen := map[string]bool{}
		for _, id := range m.Properties.nics() {
			nic, network, err := p.Network.Wire(tx, id)
			if absent(err) {
				continue
			}
			if err != nil {
				return err
			}
			nics = append(nics, nic)
			if !seen[network.Key()] {
				seen[network.Key()] = true
				networks = append(networks, network)
			}
		}
		return nil
	})
	return nics, networks, err
}

// launch starts the machine's process.
func (p *Provider) launch(ctx context.Context, m *resource) error {
	disks, err := p.files(ctx, m)
	if err != nil {
		return err
	}
	nics, _, err := p.wires(ctx, m)
	if err != nil {
		return err
	}
	return p.withSeed(m, func() error { return p.Runtime.Start(ctx, p.describe(m, disks, nics)) })
}

// describe says to the runtime what a machine is; it depends on nothing else.
func (p *Provider) describe(m *resource, disks []vm.Disk, nics []vm.NIC) vm.Machine {
	cpus, memory := p.fit(m.Properties.Hardware.Size)
	spec := vm.Machine{ID: m.Properties.VMID, Name: m.Name, CPUs: cpus, MemoryMiB: memory, Firmware: vm.BIOS, Disks: disks, NICs: nics}
	if m.Properties.Own.Generation == "V2" {
		spec.Firmware = vm.UEFI
	}
	if m.Properties.OS != nil {
		spec.Seed = p.seedPath(m.Properties.VMID)
	}
	return spec
}

// confirm looks whether the machine runs; it does not wait for its guest.
func (p *Provider) confirm(ctx context.Context, _ *operation.Run, m *resource) error {
	st, err := p.Runtime.Status(ctx, m.Properties.VMID)
	if err != nil {
		return err
	}
	if st.State != vm.Running {
		return arm.Errorf(500, "VMStartFailed", "The virtual machine '%s' ended right after its start: %s.", m.Name, st.Reason).Because(errors.New(st.LastWords))
	}
	return nil
}

// stop ends the machine's process; the guest is asked first unless hard.
func (p *Provider) stop(hard bool) task {
	return func(ctx context.Context, _ *operation.Run, m *resource) error {
		err := p.Runtime.PowerOff(ctx, m.Properties.VMID, vm.PowerOff{Hard: hard})
		if errors.Is(err, vm.ErrNotFound) {
			return nil
		}
		return err
	}
}

// down takes a machine off; remove forgets its process too, as deallocation does.
func (p *Provider) down(ctx context.Context, r *operation.Run, remove bool) []operation.Step {
	var in power
	if err := r.Read(&in); err != nil {
		return []operation.Step{{Name: "input", Do: func() error { return err }}}
	}
	steps := []operation.Step{p.step(ctx, r, "stop", p.stop(in.Hard))}
	if remove {
		steps = append(steps, p.step(ctx, r, "remove", func(ctx context.Context, r *operation.Run, m *resource) error {
			if err := p.remove(ctx, r, m); err != nil {
				return err
			}
			return r.Update(ctx, func(tx store.Tx) error { return p.occupy(tx, m, false) })
		}))
	}
	return append(steps, p.step(ctx, r, "network", func(ctx context.Context, r *operation.Run, m *resource) error {
		return p.unplug(ctx, m, r.Update)
	}))
}

func (p *Provider) remove(ctx context.Context, _ *operation.Run, m *resource) error {
	if err := p.Runtime.Remove(ctx, m.Properties.VMID); err != nil && !errors.Is(err, vm.ErrNotFound) {
		return err
	}
	return nil
}

// settled writes the end of a power operation; when it has failed, the machine is wanted as it was before, and what
// failed to start is not tried for ever.
func settled(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	m, err := control.Find[Properties](tx, r.Resource)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	m.SetState(arm.Succeeded)
	if failure == nil {
		return control.Save(tx, m)
	}
	var in power
	if err := r.Read(&in); err != nil {
		return err
	}
	m.SetState(arm.Failed)
	if m.Properties.Own.Desired = in.Then; in.Then == Running && (r.Work == workStart || r.Work == workRestart) {
		m.Properties.Own.Desired = Stopped
	}
	return control.Save(tx, m)
}

// unstart takes back a start: the machine is off, its interfaces too.
func (p *Provider) unstart(ctx context.Context, r *operation.Run) error {
	m, err := p.read(ctx, r.Resource)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.stop(true)(ctx, r, m); err != nil {
		return err
	}
	if err := p.unplug(ctx, m, r.Update); err != nil {
		return err
	}
	var in power
	if err := r.Read(&in); err != nil || in.Then != Deallocated {
		return err
	}
	return r.Update(ctx, func(tx store.Tx) error { return p.occupy(tx, m, false) })
}
