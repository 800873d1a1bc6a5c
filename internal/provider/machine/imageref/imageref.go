// Package imageref is what a machine is made from: the forms of its imageReference and their rules.
//
// It is pure. Which version a reference means is found by the provider's neighbours, galleries and managed images; an ID of a
// shared or community gallery by the consumers' side of galleries, for the machine's subscription and without any right of the
// publisher's tenant.
package imageref

import (
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
)

// Reference says which image a machine was made from (gallery.md 15).
type Reference struct {
	Publisher string          `json:"publisher"`
	Offer     string          `json:"offer"`
	SKU       string          `json:"sku"`
	Version   string          `json:"version"`
	Exact     string          `json:"exactVersion" arm:"readonly"`
	Shared    string          `json:"sharedGalleryImageId"`
	Community string          `json:"communityGalleryImageId"`
	ID        string          `json:"id"`
	Unknown   armjson.Unknown `json:"-"`
}

// types are those of what ID may name.
var types = [...]string{"Microsoft.Compute/galleries/images/versions", "Microsoft.Compute/galleries/images", "Microsoft.Compute/images"}

// Foreign is the image's ID in a shared or community gallery, or empty.
func (r *Reference) Foreign() string {
	if r == nil {
		return ""
	}
	return r.Shared + r.Community
}

// Terms lets the machines be found that were made from a shared or community gallery.
func (r *Reference) Terms() []string {
	if parts := strings.Split(r.Foreign(), "/"); len(parts) > 2 {
		return []string{"uses:" + strings.ToLower(parts[2])}
	}
	return nil
}

// Check wants exactly one form, well-formed.
func (r *Reference) Check() []*arm.Error {
	forms := 0
	for _, has := range []bool{r.ID != "", r.Shared != "", r.Community != "", r.Publisher != "" || r.Offer != "" || r.SKU != ""} {
		if has {
			forms++
		}
	}
	switch {
	case forms != 1:
		return []*arm.Error{invalid("imageReference", "Exactly one of 'id', 'sharedGalleryImageId', 'communityGalleryImageId' and publisher, offer and sku must be specified in 'imageReference'.")}
	case r.Foreign() != "":
		return r.checkForeign()
	case r.ID == "":
		return []*arm.Error{arm.Errorf(404, "PlatformImageNotFound", "The platform image '%s:%s:%s:%s' is not available. Verify that all fields in the storage profile are correct. This server has no marketplace.", r.Publisher, r.Offer, r.SKU, r.Version).At("imageReference")}
	}
	return r.checkID()
}

func (r *Reference) checkID() []*arm.Error {
	const at = "properties.storageProfile.imageReference.id"
	id, err := arm.ParseID(r.ID)
	for _, typ := range types {
		if err == nil && id.Subscription != "" && id.ResourceGroup != "" && id.Scope == "" && strings.EqualFold(id.Type(), typ) {
			return nil
		}
	}
	return []*arm.Error{arm.Errorf(400, "LinkedInvalidPropertyId", "Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", r.ID, at).At(at)}
}

// checkForeign wants each kind of ID in its own member.
func (r *Reference) checkForeign() []*arm.Error {
	for _, m := range []struct{ name, value, prefix string }{
		{"sharedGalleryImageId", r.Shared, "/sharedgalleries/"}, {"communityGalleryImageId", r.Community, "/communitygalleries/"}} {
		if m.value != "" && !strings.HasPrefix(strings.ToLower(m.value), m.prefix) {
			return []*arm.Error{invalid("imageReference."+m.name, "The value '%.300s' of parameter 'imageReference.%s' is invalid.", m.value, m.name)}
		}
	}
	return nil
}

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}
