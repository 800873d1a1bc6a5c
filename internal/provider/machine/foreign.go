package machine

import (
	"vitrine/internal/control"
	"vitrine/internal/provider/machine/imageref"
	"vitrine/internal/store"
)

// Foreign finds the version that an ID of a shared or community gallery means for a subscription in a region: its ID, which is not
// to be shown, and the exact ID that is. Errors are for the client.
type Foreign func(tx store.Tx, subscription, id, region string) (versionID, shown string, err error)

// resolve finds the image of a new machine. What is shared with the subscription needs no right of the publisher's tenant.
func (p *Provider) resolve(w *control.Write[Properties], r *imageref.Reference) (Image, error) {
	id := r.Foreign()
	if id == "" {
		return p.Images.Resolve(w.Tx, r.ID, w.New.Location)
	}
	if p.Foreign == nil {
		return Image{}, invalid("imageReference", "'sharedGalleryImageId' and 'communityGalleryImageId' are not supported by this server; name the image version by its resource ID.")
	}
	version, shown, err := p.Foreign(w.Tx, w.ID.Subscription, id, w.New.Location)
	if err != nil {
		return Image{}, err
	}
	image, err := p.Images.Resolve(w.Tx, version, w.New.Location)
	image.Foreign = shown
	return image, err
}

// Terms lets the machines be found that were made from a shared or community gallery.
func (p *Properties) Terms() []string {
	if p.Storage == nil {
		return nil
	}
	return p.Storage.Image.Terms()
}
