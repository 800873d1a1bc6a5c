package app

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/machine"
	"vitrine/internal/provider/managed"
	"vitrine/internal/provider/restore"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// offerer is a provider whose resources others may be made from.
type offerer interface {
	Offer(tx store.Tx, id arm.ID) (source.Source, error)
}

// freezer is one whose resources are disks.
type freezer interface {
	Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error)
}

// origins asks the provider of a source's type; it is what others know of disks, snapshots, managed images and machines.
type origins struct{ *rooms }

var _ source.Sources = origins{}

// of finds the provider of a type. What is no source does not exist as one.
func (s origins) of(id arm.ID) offerer {
	switch strings.ToLower(id.Type()) {
	case strings.ToLower(disk.Type), strings.ToLower(disk.SnapshotType):
		return s.disks
	case strings.ToLower(managed.Type):
		return s.managed
	case strings.ToLower(machine.Type):
		return s.machines
	}
	return nil
}

// Source implements source.Sources.
func (s origins) Source(tx store.Tx, id arm.ID) (source.Source, error) {
	p := s.of(id)
	if p == nil {
		return source.Source{}, store.ErrNotFound
	}
	all, err := p.Offer(tx, id)
	if err != nil {
		return all, err
	}
	for i, d := range all.Disks { // a machine knows which disks it has, not what they hold
		if strings.EqualFold(d.ID.String(), id.String()) || d.Ref.ID != "" {
			continue
		}
		one, err := s.Source(tx, d.ID)
		if errors.Is(err, store.ErrNotFound) {
			err = arm.Errorf(409, "OperationNotAllowed", "The source '%s' cannot be used: its disk '%s' was not found.", id, d.ID)
		}
		if err != nil {
			return all, err
		}
		found := one.Disks[0]
		found.LUN, found.Caching = d.LUN, d.Caching
		all.Disks[i] = found
		if all.Architecture == "" {
			all.Architecture = one.Architecture
		}
	}
	return all, nil
}

// Freeze implements source.Sources.
func (s origins) Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error) {
	if p, ok := s.of(id).(freezer); ok {
		return p.Freeze(ctx, id, uniqueID)
	}
	return image.Ref{}, store.ErrNotFound
}

// live implements disk.Config.Live.
func (r *rooms) live(ctx context.Context, machine arm.ID, path, target string) error {
	err := r.machines.CopyDisk(ctx, machine, path, target)
	if errors.Is(err, vm.ErrNotRunning) || errors.Is(err, vm.ErrNotFound) || errors.Is(err, store.ErrNotFound) {
		return disk.ErrNotRunning
	}
	return err
}

// described implements restore.Config.Machine. What armjson withholds from answers, restore never sees.
func (r *rooms) described(tx store.Tx, id arm.ID) (restore.Machine, error) {
	m, err := control.Get[machine.Properties](tx, id)
	if err != nil {
		return restore.Machine{}, err
	}
	n := &m.Properties
	out := restore.Machine{VMID: n.VMID, Diagnostics: n.Diagnostics, Security: n.Security}
	if n.Hardware != nil {
		out.Size = n.Hardware.Size
	}
	if n.OS != nil {
		out.OS, err = armjson.Wire(n.OS)
	}
	return out, err
}

// points shows restore points to disks, which are registered before them.
type points struct{ r *rooms }

// Offer implements disk.Points.
func (p points) Offer(tx store.Tx, id arm.ID) (source.Source, error) { return p.r.points.Offer(tx, id) }

// isManaged tells the IDs of managed images from those of gallery images.
func isManaged(text string) (arm.ID, bool) {
	id, err := arm.ParseID(text)
	return id, err == nil && strings.EqualFold(id.Type(), managed.Type)
}

// allImages adds managed images to those from which machines are made.
type allImages struct {
	machine.Images
	managed *managed.Provider
}

// Resolve implements machine.Images.
func (i allImages) Resolve(tx store.Tx, reference, location string) (machine.Image, error) {
	id, ok := isManaged(reference)
	if !ok {
		return i.Images.Resolve(tx, reference, location)
	}
	s, err := i.managed.Resolve(tx, id, location)
	if err != nil {
		return machine.Image{}, err
	}
	m := machine.Image{VersionID: reference, OSType: s.OSType, OSState: s.OSState, Generation: s.Generation, Architecture: s.Architecture}
	for _, d := range s.Disks {
		m.Disks = append(m.Disks, machine.ImageDisk{LUN: d.LUN, SizeGB: d.SizeGB})
	}
	return m, nil
}

// allContents adds managed images to those from which disks are made.
type allContents struct {
	disk.Versions
	managed func() *managed.Provider // registered after disks
}

// Manifest implements disk.Versions.
func (c allContents) Manifest(tx store.Tx, version string, lun int, region string) (image.Ref, int, error) {
	if id, ok := isManaged(version); ok {
		return c.managed().Manifest(tx, id, lun, region)
	}
	return c.Versions.Manifest(tx, version, lun, region)
}

// Describe implements disk.Versions.
func (c allContents) Describe(tx store.Tx, version string) (osType, generation, architecture string, err error) {
	id, ok := isManaged(version)
	if !ok {
		return c.Versions.Describe(tx, version)
	}
	s, err := c.managed().Offer(tx, id)
	return s.OSType, s.Generation, cmp.Or(s.Architecture, "x64"), err
}
