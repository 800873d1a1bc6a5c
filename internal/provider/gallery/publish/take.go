package publish

import (
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Take pins what the sources hold now, by the version's own ID: from here on they may be deleted.
func (p *Publisher) Take(w *control.Write[catalog.Version], definition *catalog.DefinitionResource) error {
	props := &w.New.Properties
	s := &props.Storage
	var err error
	if s.Source.Given() {
		err = p.takeVersion(w, definition)
	} else {
		err = p.takeDisks(w, definition)
	}
	if err != nil {
		return err
	}
	for _, c := range props.Content {
		const most = 2048 // GB, in Full mode (gallery.md 18)
		if c.SizeGB > most && props.Publishing.ReplicationMode != "Shallow" {
			return arm.Errorf(400, "GallerySourceResourceExceedsMaxSize", "The size %d GB of the source exceeds the maximum size of %d GB.", c.SizeGB, most).At(catalog.Path + "storageProfile")
		}
		if c.Source == nil {
			continue
		}
		if err := p.Images.Pin(w.Tx, *c.Source, w.New.Location, w.New.ID); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) takeDisks(w *control.Write[catalog.Version], definition *catalog.DefinitionResource) error {
	props := &w.New.Properties
	s := &props.Storage
	c, err := p.takeDisk(w, s.OSDisk.Source.ID, "osDiskImage", &definition.Properties)
	if err != nil {
		return err
	}
	c.LUN = -1
	props.Content = append(props.Content, c)
	for _, d := range s.DataDisks {
		c, err := p.takeDisk(w, d.Source.ID, "dataDiskImages", nil)
		if err != nil {
			return err
		}
		c.LUN = int(*d.LUN)
		props.Content = append(props.Content, c)
	}
	return nil
}

// takeDisk reads what a disk holds. An OS disk must be of the definition's kind, as far as it says what it is.
func (p *Publisher) takeDisk(w *control.Write[catalog.Version], text, member string, d *catalog.Definition) (catalog.Content, error) {
	at := catalog.Path + "storageProfile." + member + ".source.id"
	id, err := arm.ParseID(text)
	if err != nil {
		return catalog.Content{}, err
	}
	source, err := p.Source(w.Tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && source.Location != w.New.Location {
		return catalog.Content{}, arm.Errorf(404, "ResourceNotFound", "The source '%s' was not found in location '%s'. The source of an image version must exist in the same location as the version.", text, w.New.Location).At(at)
	}
	if err != nil {
		return catalog.Content{}, err
	}
	if d != nil {
		if err := fits(at, text, *d, source); err != nil {
			return catalog.Content{}, err
		}
	}
	c := catalog.Content{SizeGB: source.SizeGB}
	if source.Ref.ID != "" {
		c.Source = &source.Ref
	}
	return c, nil
}

func fits(at, source string, d catalog.Definition, s Source) error {
	for _, pair := range []struct{ what, source, want string }{
		{"OS type", s.OSType, d.OSType}, {"hypervisor generation", s.Generation, d.HyperVGeneration}, {"architecture", s.Architecture, d.Architecture}} {
		if pair.source != "" && pair.source != pair.want {
			return catalog.Invalid(at, "The %s '%s' of the source '%s' does not match that of the gallery image, '%s'.", pair.what, pair.source, source, pair.want)
		}
	}
	return nil
}

// takeVersion takes all disks of another version, which must be in this version's location.
func (p *Publisher) takeVersion(w *control.Write[catalog.Version], definition *catalog.DefinitionResource) error {
	const at = catalog.Path + "storageProfile.source.id"
	props := &w.New.Properties
	id := props.Storage.Source.ID
	source, err := control.Find[catalog.Version](w.Tx, id)
	if err == nil {
		if r := source.Properties.Regions[w.New.Location]; r == nil || r.State != catalog.Completed {
			err = store.ErrNotFound
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' was not found in location '%s'. The source version must be replicated to the location of the new version.", id, w.New.Location).At(at)
	}
	if err != nil {
		return err
	}
	from, err := control.Get[catalog.Definition](w.Tx, source.ParsedID().Parent())
	if err != nil {
		return err
	}
	f, to := from.Properties, definition.Properties
	if f.OSState != to.OSState {
		return catalog.Invalid(at, "The OS state '%s' of the source '%s' does not match that of the gallery image, '%s'.", f.OSState, id, to.OSState)
	}
	if err := fits(at, id, to, Source{OSType: f.OSType, Generation: f.HyperVGeneration, Architecture: f.Architecture}); err != nil {
		return err
	}
	for _, c := range source.Properties.Content {
		props.Content = append(props.Content, catalog.Content{LUN: c.LUN, SizeGB: c.SizeGB, Source: c.Ref})
	}
	return nil
}
