package machine

import (
	"context"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// uncreate takes back what a creation built: process, seed, wire, interfaces and disks. The machine's document stays, as
// Azure keeps a failed machine, and says what failed.
func (p *Provider) uncreate(ctx context.Context, r *operation.Run) error {
	m, err := p.read(ctx, r.Resource)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.remove(ctx, r, m); err != nil {
		return err
	}
	if err := p.seeds.Remove(m.Properties.VMID); err != nil {
		return err
	}
	if err := p.unplug(ctx, m, r.Update); err != nil {
		return err
	}
	if err := r.Update(ctx, func(tx store.Tx) error { return p.release(tx, m, true) }); err != nil {
		return err
	}
	return p.discard(ctx, m)
}

// release lets go of interfaces and disks. Those that go with the machine (undone: all that its creation made) lose their
// documents.
func (p *Provider) release(tx store.Tx, m *resource, undone bool) error {
	id := m.ParsedID()
	for _, d := range m.Properties.disks() {
		ours, err := p.letGo(tx, d.id, id)
		if err != nil {
			return err
		}
		goes := undone && d.made
		if ours && d.delete && !undone {
			if goes, err = unlocked(tx, d.id); err != nil {
				return err
			}
		}
		if ours && goes {
			if err := p.Disks.Delete(tx, d.id); err != nil {
				return err
			}
		}
	}
	for i, nic := range m.Properties.nics() {
		if err := p.Network.Detach(tx, nic, id); err != nil {
			return err
		}
		goes := !undone && m.Properties.deletes(i)
		if goes {
			free, err := unlocked(tx, nic)
			if err != nil {
				return err
			}
			goes = free
		}
		if goes {
			if err := p.Network.Delete(tx, nic); err != nil {
				return err
			}
		}
	}
	return nil
}

// unlocked tells whether what goes with a machine may: a lock that came after the machine's deletion was accepted keeps it.
func unlocked(tx store.Tx, id arm.ID) (bool, error) {
	err := rbac.Unlocked(tx, id, id.Type()+"/delete")
	if e, ok := errors.AsType[*arm.Error](err); ok && e.Code == "ScopeLocked" {
		return false, nil
	}
	return err == nil, err
}

// deletes tells whether the i-th interface, in the order of nics, goes with the machine.
func (p *Properties) deletes(i int) bool {
	nics := p.nics()
	for _, n := range p.Network.Interfaces {
		id, err := arm.ParseID(n.ID)
		if err == nil && id.Key() == nics[i].Key() {
			return n.Properties != nil && n.Properties.DeleteOption == "Delete"
		}
	}
	return false
}

// mayTakeAlong refuses a deletion whose disks and interfaces the caller may not delete, or that a lock keeps: they go with
// the machine in the caller's name, and rights or locks may have changed since the option was set.
func (p *Provider) mayTakeAlong(w *control.Write[Properties]) error {
	links, err := p.along(w.Tx, w.Old)
	if err != nil {
		return err
	}
	return p.rbac.Linked(w.Tx, w.Caller, w.ID, Type+"/delete", links)
}

// along lists the deletions that release makes when the machine is deleted.
func (p *Provider) along(tx store.Tx, m *resource) (list []rbac.Link, err error) {
	for _, d := range m.Properties.disks() {
		info, err := p.Disks.Info(tx, d.id)
		if err != nil && !absent(err) {
			return nil, err
		}
		if err == nil && d.delete && strings.EqualFold(info.Owner, m.ParsedID().String()) {
			list = append(list, rbac.Link{ID: d.id, Action: diskType + "/delete"})
		}
	}
	for i, nic := range m.Properties.nics() {
		if m.Properties.deletes(i) {
			list = append(list, rbac.Link{ID: nic, Action: nicType + "/delete"})
		}
	}
	return list, nil
}

// created writes the end of a creation.
func (p *Provider) created(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	m, err := control.Find[Properties](tx, r.Resource)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	m.SetState(arm.Succeeded)
	m.Properties.Own.Built = failure == nil
	if failure != nil {
		m.SetState(arm.Failed)
		m.Properties.Own.Desired = Deallocated
	}
	return control.Save(tx, m)
}

// away is how a machine is deleted.
func (p *Provider) away(ctx context.Context, r *operation.Run) []operation.Step {
	return []operation.Step{
		p.step(ctx, r, "remove", func(ctx context.Context, r *operation.Run, m *resource) error {
			if err := p.remove(ctx, r, m); err != nil {
				return err
			}
			return p.seeds.Remove(m.Properties.VMID)
		}),
		p.step(ctx, r, "network", func(ctx context.Context, r *operation.Run, m *resource) error {
			return p.unplug(ctx, m, r.Update)
		}),
		p.step(ctx, r, "release", func(ctx context.Context, r *operation.Run, m *resource) error {
			return r.Update(ctx, func(tx store.Tx) error { return p.release(tx, m, false) })
		}),
		p.step(ctx, r, "discard", func(ctx context.Context, _ *operation.Run, m *resource) error {
			return p.discard(ctx, m)
		}),
	}
}

// gone removes the document, or says that the deletion has failed.
func gone(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	m, err := control.Find[Properties](tx, r.Resource)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if failure == nil {
		return control.Remove(tx, m.ParsedID())
	}
	m.SetState(arm.Failed)
	return control.Save(tx, m)
}
