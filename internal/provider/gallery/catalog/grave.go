package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
)

// GraveType is the type under which soft-deleted versions are listed.
const GraveType = GalleryType + "/softDeletedArtifactTypes/artifacts/versions"

// DefaultRetention is for how many days a soft-deleted version is kept (gallery.md 5).
const DefaultRetention = 7

// Grave is the properties of a soft-deleted version.
type Grave struct {
	ResourceID      string `json:"resourceArmId"`
	ArtifactType    string `json:"softDeletedArtifactType"`
	DeletedTime     string `json:"softDeletedTime"`
	ConsumptionEnd  string `json:"consumptionEndTime"`     // until then its exact version can be used
	HardDeletionEnd string `json:"hardDeletionTargetTime"` // until then it can be restored

	Version json.RawMessage `json:"version" arm:"private"` // the whole document
}

// GraveResource is a soft-deleted version.
type GraveResource = control.Resource[Grave]

// GraveID is where the grave of a version stands.
func GraveID(version arm.ID) arm.ID {
	id := version
	id.Types = []string{"galleries", "softDeletedArtifactTypes", "artifacts", "versions"}
	id.Names = []string{version.Names[0], "Images", version.Names[1], version.Names[2]}
	return id
}

// Bury makes the grave of a version.
func Bury(v *VersionResource, p SoftDeletePolicy, now time.Time) (*GraveResource, error) {
	retention, grace := int32(DefaultRetention), int32(0)
	if p.Retention != nil {
		retention = *p.Retention
	}
	if p.Grace != nil {
		grace = *p.Grace
	}
	g := control.Make[Grave](GraveID(v.ParsedID()), v.Location, now)
	g.Written = v.Written
	end := now.AddDate(0, 0, int(retention))
	g.Properties = Grave{ResourceID: v.ID, ArtifactType: "Images", DeletedTime: now.UTC().Format(Stamp),
		ConsumptionEnd: end.UTC().Format(Stamp), HardDeletionEnd: end.AddDate(0, 0, int(grace)).UTC().Format(Stamp)}
	v.Properties.Deleted = g.Properties.DeletedTime
	var err error
	g.Properties.Version, err = armjson.Store(v)
	return g, err
}

// Exhume gives the version as it was.
func (g *Grave) Exhume() (*VersionResource, error) {
	var v VersionResource
	if err := armjson.Load(g.Version, &v); err != nil {
		return nil, fmt.Errorf("soft-deleted %s: %w", g.ResourceID, err)
	}
	return &v, nil
}

// Usable tells whether the exact version can still be used, and Due whether it is to go for good.
func (g *Grave) Usable(now time.Time) bool { return before(now, g.ConsumptionEnd) }

// Due tells whether the version is to go for good.
func (g *Grave) Due(now time.Time) bool { return !before(now, g.HardDeletionEnd) }

func before(now time.Time, end string) bool {
	t, err := time.Parse(Stamp, end)
	return err == nil && now.Before(t)
}

// Restores tells whether a write to a soft-deleted version asks for it back: by restore, or, as older clients do, by a body
// without profiles.
func (v *Version) Restores() bool {
	return v.Restore != nil && *v.Restore || v.Publishing == nil && len(v.Storage.sources()) == 0 && v.Storage.OSDisk == nil
}

// checkSoftDelete bounds the days; the bounds are ours.
func checkSoftDelete(p *SoftDeletePolicy) []*arm.Error {
	if p == nil {
		return nil
	}
	var faults []*arm.Error
	for _, days := range []struct {
		name        string
		value       *int32
		least, most int32
	}{{"retentionPeriodInDays", p.Retention, 1, 365}, {"gracePeriodInDays", p.Grace, 0, 365}} {
		if v := days.value; v != nil && (*v < days.least || *v > days.most) {
			at := "gallery.properties.softDeletePolicy." + days.name
			faults = append(faults, Invalid(at, "The value of parameter '%s' is out of range: '%d'. The value must be between %d and %d, inclusive.", at, *v, days.least, days.most))
		}
	}
	return faults
}

// GraveDialect hides what an api-version does not know.
func GraveDialect(r *GraveResource, v arm.Version) {
	if v.Date() < "2026-03-03" {
		r.Properties.ConsumptionEnd, r.Properties.HardDeletionEnd = "", ""
	}
}

// IsImages tells whether a soft-deleted artifact type is the one that there is.
func IsImages(artifactType string) bool { return strings.EqualFold(artifactType, "Images") }
