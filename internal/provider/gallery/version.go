package gallery

import (
	"context"
	"errors"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/store"
)

const stamp = "2006-01-02T15:04:05.0000000-07:00"

// putVersion publishes a new version, or changes where and how an old one is published.
func (p *Provider) putVersion(_ context.Context, w *control.Write[Version]) error {
	definition, err := control.Get[Definition](w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	if err := alive(definition, w.ID.Parent()); err != nil {
		return err
	}
	props, old := &w.New.Properties, &Version{}
	if w.Old != nil {
		old = &w.Old.Properties
	}
	if err := publishing(w, old); err != nil {
		return err
	}
	if err := storageOf(w, old); err != nil {
		return err
	}
	if props.Safety == nil {
		if props.Safety = old.Safety; props.Safety == nil {
			props.Safety = &Safety{}
		}
	}
	if w.Old == nil {
		if err := p.take(w, definition); err != nil {
			return err
		}
	}
	if err := p.regions(w); err != nil {
		return err
	}
	tenant, err := control.TenantOf(w.Tx, w.ID.Subscription)
	if err != nil {
		return err
	}
	return w.Begin(workVersion, publishInput{Domain: strings.ToLower(tenant)})
}

// publishing fills in what the client left out: from the version as it was, else the defaults.
func publishing(w *control.Write[Version], old *Version) error {
	props := &w.New.Properties
	if props.Publishing == nil {
		props.Publishing = old.Publishing
	}
	if props.Publishing == nil {
		props.Publishing = &Publishing{}
	}
	p, was := props.Publishing, old.Publishing
	if was == nil {
		was = &Publishing{PublishedDate: w.Now.UTC().Format(stamp)}
	}
	p.PublishedDate = was.PublishedDate
	if err := future(prefix+"publishingProfile.endOfLifeDate", was.EndOfLifeDate, p.EndOfLifeDate, w.Now); err != nil {
		return err
	}
	if p.ReplicaCount == nil {
		if p.ReplicaCount = was.ReplicaCount; p.ReplicaCount == nil {
			p.ReplicaCount = new(int32(1))
		}
	}
	if p.StorageAccount == "" && p.Strategy == "" {
		p.StorageAccount = "Standard_LRS"
	}
	if len(p.TargetRegions) == 0 {
		p.TargetRegions = was.TargetRegions
	}
	if len(p.TargetRegions) == 0 {
		l, _ := arm.LocationOf(w.New.Location)
		p.TargetRegions = []TargetRegion{{Name: l.DisplayName}}
	}
	return targets(p, was)
}

// targets completes each region; the kind of storage of one that stays cannot change (gallery.md 7).
func targets(p, was *Publishing) error {
	before := map[string]string{}
	for _, t := range was.TargetRegions {
		before[t.Name] = t.StorageAccount
	}
	for i := range p.TargetRegions {
		t := &p.TargetRegions[i]
		if t.RegionalReplicaCount == nil {
			t.RegionalReplicaCount = new(*p.ReplicaCount)
		}
		had := before[t.Name]
		if t.StorageAccount == "" {
			if t.StorageAccount = had; had == "" {
				t.StorageAccount = p.StorageAccount
			}
		}
		if t.StorageAccount == "" {
			t.StorageAccount = "Standard_LRS"
		}
		if had != "" && had != t.StorageAccount {
			return notChangeable(prefix + "publishingProfile.targetRegions.storageAccountType")
		}
	}
	return nil
}

// storageOf keeps the sources of an old version: absent means unchanged, since az clears them before an update.
func storageOf(w *control.Write[Version], old *Version) error {
	s := &w.New.Properties.Storage
	if w.Old != nil {
		if err := unchanged(&old.Storage, s); err != nil {
			return err
		}
		*s = old.Storage
	}
	if !s.Source.given() && (s.OSDisk == nil || !s.OSDisk.Source.given()) {
		return arm.Errorf(400, "InvalidParameter", "Required parameter 'storageProfile.source' is missing (null). Exactly one source of the image version must be specified.").At(prefix + "storageProfile")
	}
	if s.OSDisk != nil && s.OSDisk.HostCaching == "" {
		s.OSDisk.HostCaching = "ReadWrite"
	}
	for i := range s.DataDisks {
		d := &s.DataDisks[i]
		if d.HostCaching == "" {
			d.HostCaching = "None"
		}
		if !d.Source.given() && !s.Source.given() {
			return invalid(prefix+"storageProfile.dataDiskImages.source", "The source of the data disk at LUN '%d' is missing.", *d.LUN)
		}
	}
	return nil
}

// unchanged compares what next says of sources with what is. The decoder has compared the members of source and
// osDiskImage that both have; what one side lacks and the list of data disks are compared here.
func unchanged(old, next *Storage) error {
	if next.Source.given() && !old.Source.given() {
		return notChangeable(prefix + "storageProfile.source.id")
	}
	if n := next.OSDisk; n != nil {
		o := old.OSDisk
		if n.Source.given() && (o == nil || !o.Source.given()) {
			return notChangeable(prefix + "storageProfile.osDiskImage.source.id")
		}
		if o != nil && n.HostCaching != "" && n.HostCaching != o.HostCaching {
			return notChangeable(prefix + "storageProfile.osDiskImage.hostCaching")
		}
	}
	if len(next.DataDisks) == 0 {
		return nil
	}
	if len(next.DataDisks) != len(old.DataDisks) {
		return notChangeable(prefix + "storageProfile.dataDiskImages")
	}
	for i, n := range next.DataDisks {
		o := old.DataDisks[i]
		if *n.LUN != *o.LUN {
			return notChangeable(prefix + "storageProfile.dataDiskImages.lun")
		}
		if n.Source.given() && (o.Source == nil || !strings.EqualFold(n.Source.ID, o.Source.ID)) {
			return notChangeable(prefix + "storageProfile.dataDiskImages.source.id")
		}
		if n.HostCaching != "" && n.HostCaching != o.HostCaching {
			return notChangeable(prefix + "storageProfile.dataDiskImages.hostCaching")
		}
	}
	return nil
}

// take pins what the sources hold now, by the version's own ID: from here on they may be deleted.
func (p *Provider) take(w *control.Write[Version], definition *definitionResource) error {
	props := &w.New.Properties
	s := &props.Storage
	var err error
	if s.Source.given() {
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
			return arm.Errorf(400, "GallerySourceResourceExceedsMaxSize", "The size %d GB of the source exceeds the maximum size of %d GB.", c.SizeGB, most).At(prefix + "storageProfile")
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

func (p *Provider) takeDisks(w *control.Write[Version], definition *definitionResource) error {
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
func (p *Provider) takeDisk(w *control.Write[Version], text, member string, d *Definition) (Content, error) {
	at := prefix + "storageProfile." + member + ".source.id"
	id, err := arm.ParseID(text)
	if err != nil {
		return Content{}, err
	}
	source, err := p.Source(w.Tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && source.Location != w.New.Location {
		return Content{}, arm.Errorf(404, "ResourceNotFound", "The source '%s' was not found in location '%s'. The source of an image version must exist in the same location as the version.", text, w.New.Location).At(at)
	}
	if err != nil {
		return Content{}, err
	}
	if d != nil {
		if err := fits(at, text, *d, source); err != nil {
			return Content{}, err
		}
	}
	c := Content{SizeGB: source.SizeGB}
	if source.Ref.ID != "" {
		c.Source = &source.Ref
	}
	return c, nil
}

func fits(at, source string, d Definition, s DiskSource) error {
	for _, pair := range []struct{ what, source, want string }{
		{"OS type", s.OSType, d.OSType}, {"hypervisor generation", s.Generation, d.HyperVGeneration}, {"architecture", s.Architecture, d.Architecture}} {
		if pair.source != "" && pair.source != pair.want {
			return invalid(at, "The %s '%s' of the source '%s' does not match that of the gallery image, '%s'.", pair.what, pair.source, source, pair.want)
		}
	}
	return nil
}

// takeVersion takes all disks of another version, which must be in this version's location.
func (p *Provider) takeVersion(w *control.Write[Version], definition *definitionResource) error {
	const at = prefix + "storageProfile.source.id"
	props := &w.New.Properties
	id := props.Storage.Source.ID
	source, err := control.Find[Version](w.Tx, id)
	if err == nil {
		if r := source.Properties.Regions[w.New.Location]; r == nil || r.State != completed {
			err = store.ErrNotFound
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' was not found in location '%s'. The source version must be replicated to the location of the new version.", id, w.New.Location).At(at)
	}
	if err != nil {
		return err
	}
	from, err := control.Get[Definition](w.Tx, source.ParsedID().Parent())
	if err != nil {
		return err
	}
	f, to := from.Properties, definition.Properties
	if f.OSState != to.OSState {
		return invalid(at, "The OS state '%s' of the source '%s' does not match that of the gallery image, '%s'.", f.OSState, id, to.OSState)
	}
	if err := fits(at, id, to, DiskSource{OSType: f.OSType, Generation: f.HyperVGeneration, Architecture: f.Architecture}); err != nil {
		return err
	}
	for _, c := range source.Properties.Content {
		props.Content = append(props.Content, Content{LUN: c.LUN, SizeGB: c.SizeGB, Source: c.Ref})
	}
	return nil
}

// regions brings the record of regions in line with the target regions: new ones begin, removed ones are unpinned.
func (p *Provider) regions(w *control.Write[Version]) error {
	props := &w.New.Properties
	next := map[string]*Region{}
	for _, t := range props.Publishing.TargetRegions {
		l, _ := arm.LocationOf(t.Name)
		next[l.Name] = &Region{State: replicating}
		if had := props.Regions[l.Name]; had != nil && had.State == completed {
			next[l.Name] = had
		}
	}
	for name, had := range props.Regions {
		if next[name] != nil {
			continue
		}
		if had.State == completed && !props.Safety.AllowDeletion {
			return arm.Errorf(409, "OperationNotAllowed", "Removing the replicated region '%s' from the image version is not allowed. Set 'safetyProfile.allowDeletionOfReplicatedLocations' to true first.", name).At(prefix + "publishingProfile.targetRegions")
		}
		if err := p.unpin(w.Tx, w.New, name); err != nil {
			return err
		}
	}
	props.Regions = next
	return nil
}

func (p *Provider) unpin(tx store.Tx, v *versionResource, region string) error {
	for _, c := range v.Properties.Content {
		for _, ref := range []*image.Ref{c.Source, c.Ref} {
			if ref == nil {
				continue
			}
			if err := p.Images.Unpin(tx, *ref, region, v.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteVersion begins the end, unless the version is guarded until its end of life (gallery.md 12).
func (p *Provider) deleteVersion(_ context.Context, w *control.Write[Version]) error {
	props := &w.Old.Properties
	if s := props.Safety; s != nil && s.BlockUntilLife != nil && *s.BlockUntilLife {
		if end, ok := parseDate(props.Publishing.EndOfLifeDate); ok && w.Now.Before(end) {
			return arm.Errorf(409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", "The gallery image version '%s' cannot be deleted before its end of life, '%s', since 'safetyProfile.blockDeletionBeforeEndOfLife' is set.", w.ID, end.Format(time.RFC3339))
		}
	}
	return w.Begin(workVersionDelete, nil)
}

// viewVersion adds the replication status for who asks for it.
func (p *Provider) viewVersion(_ context.Context, r *control.Read[Version]) error {
	v := &r.Resource.Properties
	v.ReplicationStatus = nil
	if !strings.EqualFold(r.Query.Get("$expand"), "ReplicationStatus") || v.Publishing == nil {
		return nil
	}
	status := &Replication{Aggregated: "Completed"}
	for _, t := range v.Publishing.TargetRegions {
		l, _ := arm.LocationOf(t.Name)
		region := v.Regions[l.Name]
		if region == nil {
			region = &Region{State: "Unknown"}
		}
		status.Summary = append(status.Summary, RegionStatus{Region: t.Name, State: region.State, Details: region.Details, Progress: region.Progress})
		switch {
		case region.State == failed && status.Aggregated != "InProgress":
			status.Aggregated = "Failed"
		case region.State == replicating:
			status.Aggregated = "InProgress"
		}
	}
	v.ReplicationStatus = status
	return nil
}
