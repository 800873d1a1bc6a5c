package catalog

import (
	"strings"
	"time"

	"vitrine/internal/arm"
)

// Stamp is the form of Compute's times (recorded).
const Stamp = "2006-01-02T15:04:05.0000000-07:00"

// Settle completes a version: what the client left out comes from the version as it was (nil for a new one), else it has
// its default; what may not change is compared.
func Settle(next *VersionResource, old *Version, now time.Time) error {
	props, was := &next.Properties, old
	if was == nil {
		was = &Version{}
	}
	if err := publishing(next, was, now); err != nil {
		return err
	}
	if err := storageOf(&props.Storage, old); err != nil {
		return err
	}
	if props.Safety == nil {
		if props.Safety = was.Safety; props.Safety == nil {
			props.Safety = &Safety{}
		}
	}
	return nil
}

func publishing(next *VersionResource, old *Version, now time.Time) error {
	props := &next.Properties
	if props.Publishing == nil {
		props.Publishing = old.Publishing
	}
	if props.Publishing == nil {
		props.Publishing = &Publishing{}
	}
	p, was := props.Publishing, old.Publishing
	if was == nil {
		was = &Publishing{PublishedDate: now.UTC().Format(Stamp)}
	}
	p.PublishedDate = was.PublishedDate
	if err := future(Path+"publishingProfile.endOfLifeDate", was.EndOfLifeDate, p.EndOfLifeDate, now); err != nil {
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
		l, _ := arm.LocationOf(next.Location)
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
			return NotChangeable(Path + "publishingProfile.targetRegions.storageAccountType")
		}
	}
	return nil
}

// storageOf keeps the sources of an old version: absent means unchanged, since az clears them before an update.
func storageOf(s *Storage, old *Version) error {
	if old != nil {
		if err := unchanged(&old.Storage, s); err != nil {
			return err
		}
		*s = old.Storage
	}
	if !s.Source.Given() && (s.OSDisk == nil || !s.OSDisk.Source.Given()) {
		return arm.Errorf(400, "InvalidParameter", "Required parameter 'storageProfile.source' is missing (null). Exactly one source of the image version must be specified.").At(Path + "storageProfile")
	}
	if s.OSDisk != nil && s.OSDisk.HostCaching == "" {
		s.OSDisk.HostCaching = "ReadWrite"
	}
	for i := range s.DataDisks {
		d := &s.DataDisks[i]
		if d.HostCaching == "" {
			d.HostCaching = "None"
		}
		if !d.Source.Given() && !s.Source.Given() {
			return Invalid(Path+"storageProfile.dataDiskImages.source", "The source of the data disk at LUN '%d' is missing.", *d.LUN)
		}
	}
	return nil
}

// unchanged compares what next says of sources with what is. The decoder has compared the members of source and
// osDiskImage that both have; what one side lacks and the list of data disks are compared here.
func unchanged(old, next *Storage) error {
	if next.Source.Given() && !old.Source.Given() {
		return NotChangeable(Path + "storageProfile.source.id")
	}
	if n := next.OSDisk; n != nil {
		o := old.OSDisk
		if n.Source.Given() && (o == nil || !o.Source.Given()) {
			return NotChangeable(Path + "storageProfile.osDiskImage.source.id")
		}
		if o != nil && n.HostCaching != "" && n.HostCaching != o.HostCaching {
			return NotChangeable(Path + "storageProfile.osDiskImage.hostCaching")
		}
	}
	if len(next.DataDisks) == 0 {
		return nil
	}
	if len(next.DataDisks) != len(old.DataDisks) {
		return NotChangeable(Path + "storageProfile.dataDiskImages")
	}
	for i, n := range next.DataDisks {
		o := old.DataDisks[i]
		if *n.LUN != *o.LUN {
			return NotChangeable(Path + "storageProfile.dataDiskImages.lun")
		}
		if n.Source.Given() && (o.Source == nil || !strings.EqualFold(n.Source.ID, o.Source.ID)) {
			return NotChangeable(Path + "storageProfile.dataDiskImages.source.id")
		}
		if n.HostCaching != "" && n.HostCaching != o.HostCaching {
			return NotChangeable(Path + "storageProfile.dataDiskImages.hostCaching")
		}
	}
	return nil
}
