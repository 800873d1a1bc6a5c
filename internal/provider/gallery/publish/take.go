package publish

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const maxSizeGB, maxShallowGB = 2048, 32 << 10 // gallery.md 18

// taking is the reading of a new version's sources, in the request's transaction.
type taking struct {
	*Publisher
	w  *control.Write[catalog.Version]
	to *catalog.Definition
}

// several are faults on their way into one answer.
type several []*arm.Error

func (s several) Error() string { return arm.Join(s).Error() }

func (s several) err() error {
	if len(s) == 0 {
		return nil
	}
	return s
}

// all does each part of the reading, and tells what is wrong with the sources in one answer. Whoever lacks a right learns nothing else.
func all(parts ...func() error) error {
	var faults several
	for _, part := range parts {
		err := part()
		if more, ok := errors.AsType[several](err); ok {
			faults = append(faults, more...)
		} else if fault, ok := errors.AsType[*arm.Error](err); ok && fault.Status != 403 {
			faults = append(faults, fault)
		} else if err != nil {
			return err
		}
	}
	return faults.err()
}

// Take notes what a new version's sources hold, and pins under the version's ID what lies still: from here on it may be
// deleted at its source.
func (p *Publisher) Take(w *control.Write[catalog.Version], definition *catalog.DefinitionResource) error {
	t := taking{Publisher: p, w: w, to: &definition.Properties}
	s := &w.New.Properties.Storage
	take := t.disks
	if s.Source.Given() {
		take = t.whole
	}
	err := all(func() error { return take(s) }, t.sized)
	if faults, ok := errors.AsType[several](err); ok {
		return arm.Join(faults)
	}
	if err != nil {
		return err
	}
	if err := t.placed(s); err != nil {
		return err
	}
	w.New.Properties.Cached()
	return t.pin()
}

// sized refuses what is too large.
func (t taking) sized() error {
	props, most := &t.w.New.Properties, maxSizeGB
	if props.Publishing.ReplicationMode == "Shallow" {
		most = maxShallowGB
	}
	var faults several
	for _, c := range props.Content {
		if c.SizeGB > most {
			faults = append(faults, arm.Errorf(400, "GallerySourceResourceExceedsMaxSize", "The size %d GB of the source exceeds the maximum size of %d GB.", c.SizeGB, most).At(catalog.Path+"storageProfile"))
		}
	}
	return faults.err()
}

// pin holds what lies still.
func (t taking) pin() error {
	for _, c := range t.w.New.Properties.Content {
		if c.Source == nil {
			continue
		}
		if err := t.Images.Pin(t.w.Tx, *c.Source, t.w.New.Location, t.w.New.ID); err != nil {
			return err
		}
	}
	return nil
}

// placed refuses words about a data disk that the source does not have.
func (t taking) placed(s *catalog.Storage) error {
	for _, d := range s.DataDisks {
		if !slices.ContainsFunc(t.w.New.Properties.Content, func(c catalog.Content) bool { return c.LUN == int(*d.LUN) }) {
			return catalog.Invalid(catalog.Path+"storageProfile.dataDiskImages.lun", "The source has no data disk at LUN '%d'.", *d.LUN)
		}
	}
	return nil
}

// disks takes each disk from a source of its own.
func (t taking) disks(s *catalog.Storage) error {
	parts := []func() error{func() error { return t.disk(s.OSDisk.Source, "osDiskImage", -1) }}
	for _, d := range s.DataDisks {
		parts = append(parts, func() error { return t.disk(d.Source, "dataDiskImages", int(*d.LUN)) })
	}
	return all(parts...)
}

func (t taking) disk(s *catalog.Source, member string, lun int) error {
	at := catalog.Path + "storageProfile." + member + ".source"
	if s.IsBlob() {
		return t.blob(s, at, lun)
	}
	id, err := arm.ParseID(s.ID)
	if err != nil {
		return err
	}
	from, err := t.source(id, at+".id")
	if err != nil {
		return err
	}
	if len(from.Disks) != 1 {
		return fmt.Errorf("source %s: %d disks, want one", id, len(from.Disks))
	}
	if lun < 0 {
		if err := fits(at+".id", s.ID, t.to, from); err != nil {
			return err
		}
	}
	d := from.Disks[0]
	d.LUN = lun
	t.add(d)
	return nil
}

// source reads what must be in the version's location.
func (t taking) source(id arm.ID, at string) (source.Source, error) {
	from, err := t.Sources.Source(t.w.Tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && from.Location != t.w.New.Location {
		return from, t.absent(id.String(), at)
	}
	return from, err
}

func (t taking) absent(what, at string) error {
	return arm.Errorf(404, "ResourceNotFound", "The source '%.300s' was not found in location '%s'. The source of an image version must exist in the same location as the version.", what, t.w.New.Location).At(at)
}

// add notes a disk. What does not lie still is frozen by the first step.
func (t taking) add(d source.Disk) {
	c := catalog.Content{LUN: d.LUN, SizeGB: d.SizeGB, Caching: d.Caching}
	if d.Ref.ID != "" {
		c.Source = &d.Ref
	} else {
		c.Frozen = &catalog.Frozen{ID: d.ID.String(), UniqueID: d.UniqueID}
	}
	t.w.New.Properties.Content = append(t.w.New.Properties.Content, c)
}

func (t taking) blob(s *catalog.Source, at string, lun int) error {
	if t.Blobs == nil {
		return catalog.Unsupported(at+".uri", "A VHD in a storage account as the source of an image version")
	}
	account, err := arm.ParseID(s.Account())
	if err != nil {
		return err
	}
	b, err := t.Blobs.Blob(t.w.Tx, account, s.URI)
	if errors.Is(err, store.ErrNotFound) || err == nil && b.Location != t.w.New.Location {
		return t.absent(s.URI, at+".uri")
	}
	if fault, ok := errors.AsType[*arm.Error](err); ok && fault.Target == "uri" {
		return fault.At(at + ".uri") // the storage provider does not know where it stands
	}
	if err != nil {
		return err
	}
	t.w.New.Properties.Content = append(t.w.New.Properties.Content,
		catalog.Content{LUN: lun, SizeGB: b.SizeGB, Frozen: &catalog.Frozen{ID: account.String(), URI: s.URI}})
	return nil
}

// whole takes all disks of a machine, a managed image or another version.
func (t taking) whole(s *catalog.Storage) error {
	at := catalog.Path + "storageProfile.source." + s.Source.Member()
	text := s.Source.Any()
	if catalog.IsForeign(text) {
		if t.Foreign == nil {
			return catalog.Unsupported(at, "A shared or community gallery image as the source of an image version")
		}
		version, err := t.Foreign(t.w.Tx, t.w.Caller, t.w.ID.Subscription, text, t.w.New.Location)
		if err != nil {
			return err
		}
		return t.version(version, text, at)
	}
	id, err := arm.ParseID(text)
	if err != nil {
		return err
	}
	if control.Kind(id.Type()) == control.Kind(catalog.VersionType) {
		return t.version(text, text, at)
	}
	if err := secured(at, id, t.to); err != nil {
		return err
	}
	from, err := t.source(id, at)
	if err != nil {
		return err
	}
	if control.Kind(id.Type()) == control.Kind(catalog.MachineType) {
		if err := t.readable(from.Disks); err != nil {
			return err
		}
	}
	if err := fits(at, text, t.to, from); err != nil {
		return err
	}
	slices.SortFunc(from.Disks, func(a, b source.Disk) int { return cmp.Compare(a.LUN, b.LUN) })
	for _, d := range from.Disks {
		t.add(d)
	}
	return nil
}

// readable asks for each disk of a machine what it takes to make a version of the disk itself: who may write a machine may not
// therefore have the bytes of its disks, which can lie in other groups. Azure's documents ask for the machine alone.
func (t taking) readable(disks []source.Disk) error {
	var links []rbac.Link
	for _, d := range disks {
		links = append(links, catalog.Link(d.ID)...)
	}
	return t.RBAC.Linked(t.w.Tx, t.w.Caller, t.w.ID, catalog.VersionType+"/write", links)
}

// secured refuses what Azure refuses by the definition's security type (errors.md 3).
func secured(at string, id arm.ID, d *catalog.Definition) error {
	typ := control.Kind(id.Type())
	switch d.SecurityType() {
	case "TrustedLaunchSupported", "TrustedLaunchAndConfidentialVmSupported":
		if typ == control.Kind(catalog.MachineType) {
			return catalog.Invalid(at, "The security type '%s' of the gallery image is not supported for the source id '%s'. Only a VHD blob, a managed image and a gallery image version are supported.", d.SecurityType(), id)
		}
	case "ConfidentialVM", "ConfidentialVMSupported":
		if typ == control.Kind(catalog.ImageType) {
			return catalog.Invalid(at, "Confidential VM is not supported for the source id '%s'. Only a snapshot, a managed disk and a virtual machine are supported.", id)
		}
	}
	return nil
}

func fits(at, named string, d *catalog.Definition, s source.Source) error {
	var faults several
	for _, pair := range []struct{ what, source, want string }{
		{"OS type", s.OSType, d.OSType}, {"OS state", s.OSState, d.OSState},
		{"hypervisor generation", s.Generation, d.HyperVGeneration}, {"architecture", s.Architecture, d.Architecture}} {
		if pair.source != "" && pair.source != pair.want {
			faults = append(faults, catalog.Invalid(at, "The %s '%s' of the source '%s' does not match that of the gallery image, '%s'.", pair.what, pair.source, named, pair.want))
		}
	}
	return faults.err()
}

// version takes all disks of another version, which must be in this version's location.
func (t taking) version(id, shown, at string) error {
	other, err := control.Find[catalog.Version](t.w.Tx, id)
	if err == nil {
		if r := other.Properties.Regions[t.w.New.Location]; r == nil || r.State != catalog.Completed || other.State() == arm.Deleting {
			err = store.ErrNotFound
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' was not found in location '%s'. The source version must be replicated to the location of the new version.", shown, t.w.New.Location).At(at)
	}
	if err != nil {
		return err
	}
	from, err := control.Get[catalog.Definition](t.w.Tx, other.ParsedID().Parent())
	if err != nil {
		return err
	}
	f := from.Properties
	if err := fits(at, shown, t.to, source.Source{OSType: f.OSType, OSState: f.OSState, Generation: f.HyperVGeneration, Architecture: f.Architecture}); err != nil {
		return err
	}
	own := &t.w.New.Properties
	for _, c := range other.Properties.Content {
		own.Content = append(own.Content, catalog.Content{LUN: c.LUN, SizeGB: c.SizeGB, Source: c.Ref, Caching: other.Properties.Storage.Caching(c.LUN)})
	}
	return nil
}
