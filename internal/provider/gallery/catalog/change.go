package catalog

import (
	"slices"
	"time"

	"vitrine/internal/arm"
)

// Stamp is the form of Compute's times (recorded).
const Stamp = "2006-01-02T15:04:05.0000000-07:00"

// Settle completes a version: what the client left out comes from the version as it was (nil for a new one), else it has
// its default; what may not change is compared.
func Settle(next *VersionResource, old *Version, v arm.Version, now time.Time) error {
	props, was := &next.Properties, old
	if was == nil {
		was = &Version{}
	}
	props.Restore = nil // it is a command, not a property
	props.keep(was, v)
	if err := props.settleUEFI(old); err != nil {
		return err
	}
	if err := publishing(next, was, v, now); err != nil {
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

func publishing(next *VersionResource, old *Version, v arm.Version, now time.Time) error {
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
	if err := Future(Path+"publishingProfile.endOfLifeDate", was.EndOfLifeDate, p.EndOfLifeDate, now); err != nil {
		return err
	}
	if p.ReplicaCount == nil {
		if p.ReplicaCount = was.ReplicaCount; p.ReplicaCount == nil {
			p.ReplicaCount = new(int32(1))
		}
	}
	if p.StorageAccount == "" && p.Strategy == "" {
		if v.Date() >= sinceStrategy {
			p.Strategy = PreferZRS
		} else {
			p.StorageAccount = "Standard_LRS"
		}
	}
	if len(p.TargetRegions) == 0 {
		p.TargetRegions = was.TargetRegions
	}
	if len(p.TargetRegions) == 0 {
		l, _ := arm.LocationOf(next.Location)
		p.TargetRegions = []TargetRegion{{Name: l.DisplayName}}
	}
	all := TargetRegion{RegionalReplicaCount: p.ReplicaCount, StorageAccount: StorageOf(p.StorageAccount, p.Strategy)}
	return Complete(p.TargetRegions, was.TargetRegions, all, Path+"publishingProfile.")
}

// PreferZRS keeps replicas on three zones where a region has them; all of ours have.
const PreferZRS = "PreferStandard_ZRS"

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
	for _, d := range s.DataDisks {
		if !d.Source.Given() && !s.Source.Given() {
			return Invalid(Path+"storageProfile.dataDiskImages.source", "The source of the data disk at LUN '%d' is missing.", *d.LUN)
		}
	}
	return nil
}

// unchanged compares what next says of sources and disks with what is. What it does not say is as before.
func unchanged(old, next *Storage) error {
	if err := sameSource(old.Source, next.Source, "source"); err != nil {
		return err
	}
	if n, o := next.OSDisk, old.OSDisk; n != nil {
		if o == nil {
			o = &DiskImage{}
		}
		if err := sameSource(o.Source, n.Source, "osDiskImage.source"); err != nil {
			return err
		}
		if n.HostCaching != "" && o.HostCaching != "" && n.HostCaching != o.HostCaching {
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
		if err := sameSource(o.Source, n.Source, "dataDiskImages.source"); err != nil {
			return err
		}
		if n.HostCaching != "" && n.HostCaching != o.HostCaching {
			return NotChangeable(Path + "storageProfile.dataDiskImages.hostCaching")
		}
	}
	return nil
}

func sameSource(old, next *Source, at string) error {
	if !next.Given() || old.Given() && next.same(old) {
		return nil
	}
	member := "." + next.Member()
	if next.IsBlob() {
		member = ".uri"
	}
	return NotChangeable(Path + "storageProfile." + at + member)
}

// Cached gives the disks that the request names how they are cached, where it does not say: as at their source, else Compute's
// default. What the request does not name is told when the bytes are there (recorded).
func (v *Version) Cached() {
	s := &v.Storage
	if s.OSDisk != nil && s.OSDisk.HostCaching == "" {
		s.OSDisk.HostCaching = v.caching(-1)
	}
	for i := range s.DataDisks {
		if d := &s.DataDisks[i]; d.HostCaching == "" {
			d.HostCaching = v.caching(int(*d.LUN))
		}
	}
}

func (v *Version) caching(lun int) string {
	for _, c := range v.Content {
		if c.LUN == lun && c.Caching != "" {
			return c.Caching
		}
	}
	if lun < 0 {
		return "ReadWrite"
	}
	return "None"
}

// Show tells of every disk, once its size is known.
func (v *Version) Show() {
	s := &v.Storage
	for _, c := range v.Content {
		if c.LUN < 0 {
			if s.OSDisk == nil {
				s.OSDisk = &DiskImage{Source: &Source{}} // an empty source was recorded
			}
			s.OSDisk.SizeInGB = c.SizeGB
			continue
		}
		i := slices.IndexFunc(s.DataDisks, func(d DataDiskImage) bool { return int(*d.LUN) == c.LUN })
		if i < 0 {
			i = len(s.DataDisks)
			s.DataDisks = append(s.DataDisks, DataDiskImage{LUN: new(int32(c.LUN))})
		}
		s.DataDisks[i].SizeInGB = c.SizeGB
	}
	v.Cached()
}

// Replicas counts all replicas of a version.
func (p *Publishing) Replicas() int {
	n := 0
	for _, t := range p.TargetRegions {
		n += int(*t.RegionalReplicaCount)
		for _, set := range t.ReplicaSets {
			n += int(*set.RegionalReplicaCount)
		}
	}
	return n
}
