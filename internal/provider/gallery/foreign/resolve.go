package foreign

import (
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/pattern"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// ids is the form of a consumer's ID (gallery.md 14): without a version it means the latest one.
var ids = pattern.New(`(?i)^/(shared|community)galleries/([a-z0-9][a-z0-9_.-]{0,159})/images/([a-z0-9][a-z0-9_.-]{0,79})(?:/versions/(latest|[0-9.]{5,32}))?$`)

// parsed is a consumer's ID in its parts; version is empty for the latest.
type parsed struct {
	world
	gallery, image, version string
}

func parse(id string) (parsed, bool) {
	m := ids.FindStringSubmatch(id)
	if m == nil {
		return parsed{}, false
	}
	r := parsed{world: direct, gallery: m[2], image: m[3]}
	if strings.EqualFold(m[1], "community") {
		r.world = community
	}
	if !strings.EqualFold(m[4], "latest") {
		r.version = m[4]
	}
	if _, ok := catalog.ParseVersion(r.version); r.version != "" && !ok {
		return parsed{}, false
	}
	return r, true
}

// Check finds the fault of an ID that cannot be one of a shared or community gallery.
func Check(id, target string) *arm.Error {
	if _, ok := parse(id); ok {
		return nil
	}
	return arm.Errorf(400, "InvalidParameter", "The value '%.300s' of parameter '%s' is invalid. It must have the form '/SharedGalleries/{galleryUniqueName}/Images/{image}/Versions/{version}' or '/CommunityGalleries/{publicGalleryName}/Images/{image}/Versions/{version}'.", id, target).At(target)
}

// unavailable is for everything that keeps an ID from being used, so that it tells nothing of a gallery that is not shared.
func unavailable(id, region string) *arm.Error {
	return arm.Errorf(404, "GalleryImageNotFound",
		"The gallery image %.300s is not available in %.80s region. Please contact image owner to replicate to this region, or change your requested region.", id, region).At("imageReference")
}

// Version finds the version that a consumer's ID means for a subscription in a region: its ID in Resource Manager, which is not to
// be shown, and the exact ID for consumers, which is. No right is asked for: what is shared with a subscription is for everybody
// who may create in it. Errors are for the client.
func (p *Provider) Version(tx store.Tx, subscription, id, region string) (versionID, shown string, err error) {
	ref, ok := parse(id)
	if !ok {
		return "", "", Check(id, "imageReference")
	}
	v, err := viewerOf(tx, subscription)
	if err != nil {
		return "", "", err
	}
	g, err := ref.world.gallery(tx, v, ref.gallery)
	if absent(err) {
		return "", "", unavailable(id, region)
	}
	if err != nil {
		return "", "", err
	}
	d, err := control.Get[catalog.Definition](tx, g.ParsedID().Child("images", ref.image))
	if absent(err) {
		return "", "", unavailable(id, region)
	}
	if err != nil {
		return "", "", err
	}
	reference := d.ID
	if ref.version != "" {
		reference += "/versions/" + ref.version
	}
	versionID, exact, err := p.Resolve(tx, reference, region)
	if refused, ok := errors.AsType[*arm.Error](err); ok { // its message has the publisher's ID
		if strings.HasPrefix(refused.Message, "No latest") {
			return "", "", arm.Errorf(404, refused.Code, "No latest image version exists for \"%.300s\" in %.80s region: none is replicated there, or all are excluded from latest.", id, region).At("imageReference")
		}
		return "", "", unavailable(id, region)
	}
	if err != nil {
		return "", "", err
	}
	return versionID, ref.prefix + ref.name(g) + "/Images/" + d.Name + "/Versions/" + exact, nil
}

// Source is Version for who makes a version of another gallery; who that is does not count.
func (p *Provider) Source(tx store.Tx, _ authn.Caller, subscription, id, region string) (versionID string, err error) {
	versionID, _, err = p.Version(tx, subscription, id, region)
	return versionID, err
}
