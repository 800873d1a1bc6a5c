package catalog

import (
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/pattern"
)

var galleryNames = pattern.New(`^[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$`)

// GalleryName is the rule for names: no dashes, unlike the names below (gallery.md 19).
func GalleryName(n string) *arm.Error {
	if galleryNames.MatchString(n) {
		return nil
	}
	return Invalid("galleryName", "The entity name 'galleryName' is invalid according to its validation rule: ^[^_\\W][\\w._]{0,79}(?<![-.])$. Gallery name may contain only alphanumeric characters, underscores and periods, must start and end with an alphanumeric character, and may have at most 80 characters.")
}

// ValidateGallery finds every fault of a gallery.
func ValidateGallery(r *GalleryResource) []*arm.Error {
	var faults []*arm.Error
	p := &r.Properties
	faults = append(faults, checkSharing(p.SharingProfile)...)
	faults = append(faults, checkSoftDelete(p.SoftDeletePolicy)...)
	if Present(r.Identity) && !strings.Contains(string(r.Identity), `"None"`) {
		faults = append(faults, Unsupported("identity", "A managed identity of a gallery"))
	}
	return faults
}

// Settle completes a gallery: what guards it stays when the client says nothing of it. old is nil for a new one.
func (g *Gallery) Settle(old *Gallery, id arm.ID, v arm.Version) {
	g.Identifier = &UniqueName{UniqueName: strings.ToLower(id.Subscription) + "-" + strings.ToUpper(id.Name())}
	if old == nil {
		old = &Gallery{}
	}
	was := old.SoftDeletePolicy
	if g.SoftDeletePolicy == nil {
		g.SoftDeletePolicy = was
	}
	p := g.SoftDeletePolicy
	if p == nil {
		return
	}
	if was != nil && v.Date() < softDeleteDays { // the client cannot know them
		p.Retention, p.Grace = was.Retention, was.Grace
	}
	if p.Enabled && p.Retention == nil {
		p.Retention = new(int32(DefaultRetention))
	}
}
