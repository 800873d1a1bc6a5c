package managed

import (
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

// Offer tells what may be made from an image. store.ErrNotFound; an *arm.Error while it is not whole.
func (p *Provider) Offer(tx store.Tx, id arm.ID) (source.Source, error) {
	m, err := control.Get[Properties](tx, id)
	if err != nil {
		return source.Source{}, err
	}
	n := &m.Properties
	if !n.Made || m.State() == arm.Deleting {
		return source.Source{}, arm.Errorf(409, "OperationNotAllowed", "The image '%s' cannot be used: its provisioning state is '%s'.", m.Name, m.State())
	}
	os := n.Storage.OSDisk
	s := source.Source{ID: id, Location: m.Location, OSType: os.OSType, OSState: os.OSState, Generation: n.Generation, Architecture: n.Architecture}
	disks := map[int]*Disk{source.OSDisk: os}
	for i := range n.Storage.DataDisks {
		d := &n.Storage.DataDisks[i]
		disks[int(*d.LUN)] = d
	}
	for _, c := range n.Content {
		s.Disks = append(s.Disks, source.Disk{LUN: c.LUN, ID: id, Ref: c.Ref, SizeGB: c.SizeGB, Caching: disks[c.LUN].Caching, SKU: disks[c.LUN].SKU})
	}
	return s, nil
}

// Resolve tells what a machine is made from by an image; its errors are for the client (errors.md 4).
func (p *Provider) Resolve(tx store.Tx, id arm.ID, location string) (source.Source, error) {
	s, err := p.Offer(tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && s.Location != location {
		return s, arm.Errorf(404, "ImageNotFound", "The image '%s' was not found in location '%s'. Verify that the image exists there and that you have access to it.", id, location).At("imageReference")
	}
	if s.Architecture == "" {
		s.Architecture = "x64"
	}
	return s, err
}

// Manifest gives the content of an image's disk for a disk in the same location; LUN -1 is the OS disk.
func (p *Provider) Manifest(tx store.Tx, id arm.ID, lun int, location string) (ref image.Ref, sizeGB int, err error) {
	s, err := p.Resolve(tx, id, location)
	if err != nil {
		return ref, 0, err
	}
	for _, d := range s.Disks {
		if d.LUN == lun {
			return d.Ref, d.SizeGB, nil
		}
	}
	return ref, 0, invalid("imageReference.lun", "The image reference is invalid: the image '%s' has no data disk at LUN '%d'.", id, lun)
}
