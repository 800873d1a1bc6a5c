package catalog

import (
	"strings"

	"vitrine/internal/arm"
)

// The api-versions from which members are known (gallery.md 2). A request of an earlier one does not see them, and, since its
// client cannot have read them, a PUT of it does not take them away.
const (
	sinceStorageProfile = "2019-07-01" // before: publishingProfile.source.managedImage
	sinceSharing        = "2020-09-30"
	sinceArchitecture   = "2021-10-01"
	sinceSafety         = "2022-03-03" // and excludeFromLatest of a region
	sinceUEFI           = "2023-07-03"
	sinceEndOfLifeGuard = "2024-03-03" // and allowUpdateImage, additionalReplicaSets
	sinceStrategy       = "2025-03-03"
	softDeleteDays      = "2026-03-03"
)

// GalleryDialect hides what an api-version does not know.
func GalleryDialect(r *GalleryResource, v arm.Version) {
	p := &r.Properties
	if v.Date() < sinceSharing {
		p.SharingProfile = nil
	}
	if v.Date() < sinceArchitecture {
		p.SoftDeletePolicy, p.SharingStatus = nil, nil
	}
	if s := p.SharingProfile; s != nil && v.Date() < sinceArchitecture {
		shown := *s
		shown.Community = nil
		p.SharingProfile = &shown
	}
	if s := p.SoftDeletePolicy; s != nil && v.Date() < softDeleteDays {
		shown := *s
		shown.Retention, shown.Grace = nil, nil
		p.SoftDeletePolicy = &shown
	}
}

// DefinitionDialect hides what an api-version does not know.
func DefinitionDialect(r *DefinitionResource, v arm.Version) {
	p := &r.Properties
	if v.Date() < sinceSharing {
		p.Features = nil
	}
	if v.Date() < sinceArchitecture {
		p.Architecture = ""
	}
	if v.Date() < sinceEndOfLifeGuard {
		p.AllowUpdateImage = nil
	}
}

// keep takes over from old what the client cannot know.
func (d *Definition) keep(old *Definition, v arm.Version) {
	if v.Date() < sinceEndOfLifeGuard {
		d.AllowUpdateImage = old.AllowUpdateImage
	}
}

// VersionDialect hides what an api-version does not know, and words the source as it did.
func VersionDialect(r *VersionResource, v arm.Version) {
	p, date := &r.Properties, v.Date()
	if p.Publishing != nil {
		shown := *p.Publishing
		shown.TargetRegions = nil
		for _, t := range p.Publishing.TargetRegions {
			if date < sinceSafety {
				t.ExcludeFromLatest = nil
			}
			if date < sinceEndOfLifeGuard {
				t.ReplicaSets = nil
			}
			shown.TargetRegions = append(shown.TargetRegions, t)
		}
		if date < sinceArchitecture {
			shown.ReplicationMode = ""
		}
		if date < sinceStrategy {
			shown.Strategy = ""
		}
		p.Publishing = &shown
	}
	if date < sinceSafety {
		p.Safety = nil
	}
	if s := p.Safety; s != nil && date < sinceEndOfLifeGuard {
		shown := *s
		shown.BlockUntilLife = nil
		p.Safety = &shown
	}
	if s := p.Storage.Source; date < sinceStorageProfile && p.Publishing != nil && s != nil && typeOf(s.ID) == strings.ToLower(ImageType) {
		p.Publishing.Source, p.Storage.Source = &OldSource{ManagedImage: &Source{ID: s.ID}}, nil
	}
}

func typeOf(id string) string {
	parsed, err := arm.ParseID(id)
	if err != nil {
		return ""
	}
	return strings.ToLower(parsed.Type())
}

// keep takes over from old what the client cannot know.
func (next *Version) keep(old *Version, v arm.Version) {
	if next.Safety != nil && old.Safety != nil && v.Date() < sinceEndOfLifeGuard {
		next.Safety.BlockUntilLife = old.Safety.BlockUntilLife
	}
	if next.Publishing == nil || old.Publishing == nil {
		return
	}
	before := map[string]TargetRegion{}
	for _, t := range old.Publishing.TargetRegions {
		before[t.Name] = t
	}
	for i := range next.Publishing.TargetRegions {
		t := &next.Publishing.TargetRegions[i]
		if v.Date() < sinceSafety {
			t.ExcludeFromLatest = before[t.Name].ExcludeFromLatest
		}
		if v.Date() < sinceEndOfLifeGuard {
			t.ReplicaSets = before[t.Name].ReplicaSets
		}
	}
}

// modern brings the source of before 2019-07-01 to where it is now.
func (next *Version) modern() {
	if next.Publishing == nil || next.Publishing.Source == nil {
		return
	}
	if m := next.Publishing.Source.ManagedImage; m != nil && m.ID != "" && !next.Storage.Source.Given() {
		next.Storage.Source = &Source{ID: m.ID}
	}
	next.Publishing.Source = nil
}
