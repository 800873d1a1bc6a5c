package disk

import (
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// Foreign finds the version that an ID of a shared or community gallery means for a subscription in a region: its ID, which is not
// to be shown, and the exact ID that is. Errors are for the client.
type Foreign func(tx store.Tx, subscription, id, region string) (versionID, shown string, err error)

// foreign is the image's ID in a shared or community gallery, or empty.
func (r *ImageReference) foreign() string { return r.Shared + r.Community }

// setForeign names an image of a shared or community gallery.
func (r *ImageReference) setForeign(id string) {
	r.ID = ""
	if strings.HasPrefix(strings.ToLower(id), "/communitygalleries/") {
		r.Community = id
	} else {
		r.Shared = id
	}
}

// checkForeign wants one kind of ID, in its own member.
func checkForeign(r *ImageReference) []*arm.Error {
	const at = "creationData.galleryImageReference"
	if r.ID != "" || r.Shared != "" && r.Community != "" {
		return []*arm.Error{invalid(at, "Exactly one of 'id', 'sharedGalleryImageId' and 'communityGalleryImageId' must be specified in 'galleryImageReference'.")}
	}
	for _, m := range []struct{ name, value, prefix string }{
		{"sharedGalleryImageId", r.Shared, "/sharedgalleries/"}, {"communityGalleryImageId", r.Community, "/communitygalleries/"}} {
		if m.value != "" && !strings.HasPrefix(strings.ToLower(m.value), m.prefix) {
			return []*arm.Error{invalid(at+"."+m.name, "The value '%.300s' of parameter 'galleryImageReference.%s' is invalid.", m.value, m.name)}
		}
	}
	return nil
}

// versionOf is the ID of the version that a new disk is made from. What is shared with the subscription needs no right of the
// publisher's tenant.
func (p *Provider) versionOf(w *control.Write[Properties], r *ImageReference) (string, error) {
	id := r.foreign()
	if id == "" {
		return r.ID, nil
	}
	if p.Foreign == nil {
		return "", unsupported("creationData.galleryImageReference", "An image of a shared or community gallery as the source of a disk")
	}
	version, _, err := p.Foreign(w.Tx, w.ID.Subscription, id, w.New.Location)
	return version, err
}

// veiled hides the publisher's ID in the refusal of a LUN.
func veiled(err error, r *ImageReference) error {
	if err == nil || r.foreign() == "" || r.LUN == nil {
		return err
	}
	return invalid("galleryImageReference.lun", "The image reference is invalid: the image version '%.300s' has no data disk at LUN '%d'.", r.foreign(), *r.LUN)
}

// useTerms let the disks be found that were made from a shared or community gallery.
func (p *Properties) useTerms() []string {
	c := p.CreationData
	if c == nil || c.GalleryImageReference == nil {
		return nil
	}
	if parts := strings.Split(c.GalleryImageReference.foreign(), "/"); len(parts) > 2 {
		return []string{"uses:" + strings.ToLower(parts[2])}
	}
	return nil
}
