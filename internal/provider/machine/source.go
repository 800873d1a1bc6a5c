package machine

import (
	"context"
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// Offer tells what may be made from a machine: its disks by LUN, what they hold is the disks' provider's to say. A machine that
// was generalized offers a generalized system, any other a specialized one. store.ErrNotFound; an *arm.Error.
func (p *Provider) Offer(tx store.Tx, id arm.ID) (source.Source, error) {
	m, err := control.Get[Properties](tx, id)
	if err != nil {
		return source.Source{}, err
	}
	n := &m.Properties
	if !n.Own.Built || m.State() == arm.Deleting {
		return source.Source{}, arm.Errorf(409, "OperationNotAllowed", "The virtual machine '%s' cannot be captured: its provisioning state is '%s'.", m.Name, m.State())
	}
	s := source.Source{ID: id, Location: m.Location, OSType: n.Storage.OSDisk.OSType, OSState: "Specialized", Generation: n.Own.Generation, Architecture: "x64"}
	if n.Own.Generalized {
		s.OSState = "Generalized"
	}
	caching := map[int]string{osDisk: n.Storage.OSDisk.Caching}
	for _, d := range n.Storage.Data {
		caching[*d.LUN] = d.Caching
	}
	for _, d := range n.disks() {
		s.Disks = append(s.Disks, source.Disk{LUN: d.lun, ID: d.id, Caching: caching[d.lun]})
	}
	return s, nil
}

// CopyDisk copies the file of a disk of a running machine to target, as of one moment. vm.ErrNotRunning, vm.ErrNotFound.
func (p *Provider) CopyDisk(ctx context.Context, machine arm.ID, path, target string) error {
	m, err := p.read(ctx, machine.String())
	if err != nil {
		return err
	}
	err = p.Runtime.CopyDisk(ctx, m.Properties.VMID, path, target)
	if errors.Is(err, vm.ErrTooOld) { // to try again would not help
		return arm.Errorf(409, "OperationNotAllowed", "The virtual machine '%s' was started by an earlier version of this server, which cannot copy the disks of a running machine. Deallocate and start it, then retry the operation.", m.Name).Because(err)
	}
	return err
}
