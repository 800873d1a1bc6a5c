package gallery

import (
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Resolved is what an image reference means in a region.
type Resolved struct {
	VersionID    string // ID of the exact version
	ExactVersion string // its name: "1.2.3"
	DefinitionID string
	OSType       string // Linux, Windows
	OSState      string // Generalized, Specialized
	Generation   string // V1, V2
	Architecture string // x64, Arm64
	Disks        []ResolvedDisk
}

// ResolvedDisk is one disk of a version; LUN -1 is the OS disk.
type ResolvedDisk struct {
	LUN    int
	SizeGB int
}

// Resolve finds the version that a reference means in a location (gallery.md 10). The reference is the ID of a version,
// of a definition, or of a definition with /versions/latest. Errors are for the client: GalleryImageNotFound.
func (p *Provider) Resolve(tx store.Tx, reference, location string) (Resolved, error) {
	id, err := arm.ParseID(reference)
	if err != nil {
		return Resolved{}, err
	}
	l, ok := arm.LocationOf(location)
	if !ok {
		return Resolved{}, unavailable(reference, location)
	}
	var v *catalog.VersionResource
	switch {
	case strings.EqualFold(id.Type(), DefinitionType):
		v, err = latest(tx, id, l.Name)
	case strings.EqualFold(id.Type(), VersionType) && strings.EqualFold(id.Name(), "latest"):
		v, err = latest(tx, id.Parent(), l.Name)
	case strings.EqualFold(id.Type(), VersionType):
		v, err = p.exact(tx, id, l.Name)
	default:
		return Resolved{}, catalog.Invalid("imageReference", "The image reference '%s' is neither a gallery image definition nor a gallery image version.", reference)
	}
	if err != nil {
		return Resolved{}, err
	}
	return p.resolved(tx, v)
}

// unavailable is Azure's words for a version that is not in a region, for whatever reason (errors.md 4).
func unavailable(id, location string) *arm.Error {
	return arm.Errorf(404, "GalleryImageNotFound",
		"The gallery image %s is not available in %s region. Please contact image owner to replicate to this region, or change your requested region.", id, location).At("imageReference")
}

// exact reads a version that can be used in a region; one that was soft-deleted too, until its retention ends.
func (p *Provider) exact(tx store.Tx, id arm.ID, location string) (*catalog.VersionResource, error) {
	v, err := p.read(tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !usable(v, location) {
		return nil, unavailable(id.String(), location)
	}
	return v, err
}

func (p *Provider) read(tx store.Tx, id arm.ID) (*catalog.VersionResource, error) {
	v, err := control.Get[catalog.Version](tx, id)
	if !errors.Is(err, store.ErrNotFound) {
		return v, err
	}
	g, err := graveOf(tx, id)
	if err != nil {
		return nil, err
	}
	if !g.Properties.Usable(p.Now()) {
		return nil, store.ErrNotFound
	}
	if v, err = g.Properties.Exhume(); err == nil {
		v.SetState(arm.Succeeded) // it was being deleted when it was buried
	}
	return v, err
}

// usable: a region can be used as soon as it is done, whatever the others do.
func usable(v *catalog.VersionResource, location string) bool {
	return catalog.Usable(v, location)
}

// latest is the highest version by number among those that are in the region, whole, and not excluded.
func latest(tx store.Tx, definition arm.ID, location string) (*catalog.VersionResource, error) {
	if _, err := control.Get[catalog.Definition](tx, definition); errors.Is(err, store.ErrNotFound) {
		return nil, unavailable(definition.String(), location)
	} else if err != nil {
		return nil, err
	}
	all, err := control.Select[catalog.Version](tx, store.Query{Kind: control.Kind(VersionType), Prefix: definition.Key() + "/versions/"})
	if err != nil {
		return nil, err
	}
	var best *catalog.VersionResource
	var number [3]int32
	for _, v := range all {
		n, ok := catalog.ParseVersion(v.Name)
		if !ok || !candidate(v, location) {
			continue
		}
		if best == nil || less(number, n) {
			best, number = v, n
		}
	}
	if best == nil {
		return nil, arm.Errorf(404, "GalleryImageNotFound", "No latest image version exists for \"%s\" in %s region: none is replicated there, or all are excluded from latest.", definition, location).At("imageReference")
	}
	return best, nil
}

// candidate: Updating counts, for adding a region must not take the version away from the others.
func candidate(v *catalog.VersionResource, location string) bool {
	if !usable(v, location) || v.State() != arm.Succeeded && v.State() != arm.Updating || v.Properties.Publishing == nil {
		return false
	}
	return !v.Properties.ExcludedIn(location)
}

func less(a, b [3]int32) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func (p *Provider) resolved(tx store.Tx, v *catalog.VersionResource) (Resolved, error) {
	definition := v.ParsedID().Parent()
	d, err := control.Get[catalog.Definition](tx, definition)
	if err != nil {
		return Resolved{}, err
	}
	r := Resolved{VersionID: v.ID, ExactVersion: v.Name, DefinitionID: d.ID, OSType: d.Properties.OSType, OSState: d.Properties.OSState,
		Generation: d.Properties.HyperVGeneration, Architecture: d.Properties.Architecture}
	for _, c := range v.Properties.Content {
		r.Disks = append(r.Disks, ResolvedDisk{c.LUN, c.SizeGB})
	}
	return r, nil
}

// Manifest gives what a version's disk holds in a region, for pinning in the same transaction; LUN -1 is the OS disk.
// Errors are for the client: GalleryImageNotFound; InvalidParameter for a LUN that the version does not have.
func (p *Provider) Manifest(tx store.Tx, versionID string, lun int, region string) (ref image.Ref, sizeGB int, err error) {
	id, err := arm.ParseID(versionID)
	if err != nil {
		return image.Ref{}, 0, err
	}
	if l, ok := arm.LocationOf(region); ok {
		region = l.Name
	}
	v, err := p.exact(tx, id, region)
	if err != nil {
		return image.Ref{}, 0, err
	}
	for _, c := range v.Properties.Content {
		if c.LUN == lun && c.Ref != nil {
			return *c.Ref, c.SizeGB, nil
		}
	}
	return image.Ref{}, 0, catalog.Invalid("galleryImageReference.lun", "The image reference is invalid: the image version '%s' has no data disk at LUN '%d'.", versionID, lun)
}

// Describe gives what a version's definition says of its system; store.ErrNotFound.
func (p *Provider) Describe(tx store.Tx, versionID string) (osType, generation, architecture string, err error) {
	id, err := arm.ParseID(versionID)
	if err != nil {
		return "", "", "", store.ErrNotFound
	}
	v, err := p.read(tx, id)
	if err != nil {
		return "", "", "", err
	}
	r, err := p.resolved(tx, v)
	return r.OSType, r.Generation, r.Architecture, err
}
