package app

import (
	"context"
	"errors"
	"slices"

	"vitrine/internal/arm"
	"vitrine/internal/dataplane"
	"vitrine/internal/directory"
	"vitrine/internal/image"
	"vitrine/internal/provider/disk"
	"vitrine/internal/provider/gallery"
	"vitrine/internal/provider/machine"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

// principals shows the directory to provider/authorization.
type principals struct{ d *directory.Directory }

// PrincipalType implements authorization.Principals.
func (p principals) PrincipalType(tx store.Tx, tenant, objectID string) (string, error) {
	typ, err := p.d.PrincipalType(tx, tenant, objectID)
	if directory.IsMissing(err) {
		return "", store.ErrNotFound
	}
	return typ, err
}

// MemberOf implements authorization.Principals.
func (p principals) MemberOf(tx store.Tx, tenant, objectID string) ([]string, error) {
	return p.d.MemberOf(tx, tenant, objectID)
}

// Administrator implements authorization.Principals.
func (p principals) Administrator(tx store.Tx, tenant, objectID string) (bool, error) {
	roles, err := p.d.RolesOf(tx, tenant, objectID)
	return slices.Contains(roles, directory.GlobalAdministrator), err
}

// members lists who is in a group, however deep.
func (p principals) members(tx store.Tx, tenant, group string) ([]string, error) {
	ids, err := p.d.MembersIn(tx, tenant, group, true)
	if directory.IsMissing(err) { // not a group
		return nil, nil
	}
	return ids, err
}

// vhds shows the VHDs in storage accounts to provider/gallery.
type vhds struct{ *rooms }

// Blob implements gallery.Blobs.
func (v vhds) Blob(tx store.Tx, account arm.ID, uri string) (gallery.Blob, error) {
	d, err := v.accounts.VHD(tx, account, uri)
	return gallery.Blob{Location: d.Location, SizeGB: int((d.Size + 1<<30 - 1) >> 30)}, err
}

// FreezeBlob implements gallery.Blobs.
func (v vhds) FreezeBlob(ctx context.Context, account arm.ID, uri string) (image.Ref, error) {
	return v.accounts.FreezeVHD(ctx, account, uri)
}

// images shows galleries to provider/machine.
type images struct{ g *gallery.Provider }

// Resolve implements machine.Images.
func (i images) Resolve(tx store.Tx, reference, location string) (machine.Image, error) {
	r, err := i.g.Resolve(tx, reference, location)
	if err != nil {
		return machine.Image{}, err
	}
	m := machine.Image{VersionID: r.VersionID, ExactVersion: r.ExactVersion, OSType: r.OSType, OSState: r.OSState,
		Generation: r.Generation, Architecture: r.Architecture}
	for _, d := range r.Disks {
		m.Disks = append(m.Disks, machine.ImageDisk(d))
	}
	return m, nil
}

// disks shows provider/disk to provider/machine.
type disks struct{ *disk.Provider }

// Create implements machine.Disks.
func (d disks) Create(tx store.Tx, n machine.NewDisk) error {
	return d.Provider.Create(tx, disk.NewDisk{ID: n.ID, Location: n.Location, SKU: n.SKU, OSType: n.OSType, Generation: n.Generation,
		ImageVersionID: n.ImageVersionID, Foreign: n.Foreign, LUN: n.LUN, SizeGB: n.SizeGB, Owner: n.Owner, Now: n.Now})
}

// Materialise implements machine.Disks.
func (d disks) Materialise(ctx context.Context, id arm.ID) (vm.Disk, error) {
	f, err := d.Provider.Materialise(ctx, id)
	if err != nil {
		return vm.Disk{}, err
	}
	v := vm.Disk{Path: f.Path, Format: vm.Format(f.Format)}
	switch {
	case f.Base.Socket != "":
		v.Base = &vm.Base{Socket: f.Base.Socket, Export: f.Base.Export}
	case f.Base.Path != "":
		v.Base = &vm.Base{Path: f.Base.Path}
	}
	return v, nil
}

// Info implements machine.Disks.
func (d disks) Info(tx store.Tx, id arm.ID) (machine.DiskInfo, error) {
	i, err := d.Provider.Info(tx, id)
	return machine.DiskInfo{SizeGB: i.SizeGB, State: i.State, OSType: i.OSType, Generation: i.Generation, Location: i.Location,
		SKU: i.SKU, Owner: i.Owner}, err
}

// grants shows the signed URLs of disks to the door for bytes.
type grants struct{ d *disk.Provider }

// Grant implements dataplane.Grants.
func (g grants) Grant(ctx context.Context, host, path string) (dataplane.Grant, error) {
	found, err := g.d.Grant(ctx, host, path)
	if errors.Is(err, store.ErrNotFound) {
		return dataplane.Grant{}, dataplane.ErrNoGrant
	}
	return dataplane.Grant{ID: found.ID, Key: found.Key, Write: found.Write, Expires: found.Expires, LastModified: found.LastModified,
		Open: func(ctx context.Context) (dataplane.Content, error) { return found.Open(ctx) }}, err
}
