package gallery

import (
	"context"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/control/throttle"
	"vitrine/internal/provider/gallery/application"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// Limits are how many there may be (gallery.md 18); 0 is Azure's number.
type Limits struct {
	Galleries   int // of a subscription in a region: 100
	Definitions int // of a subscription in a region: 1,000
	Versions    int // of a subscription in a region: 10,000
	Replicas    int // of a version, in all regions together: 100
	Apps        int // applications of a subscription in a region: 1,000, our own number
	AppVersions int // versions of applications of a subscription in a region: 300
	Shares      int // subscriptions and tenants that a gallery is shared with: 1,000, of which Azure allows 35
}

func (l Limits) complete() Limits {
	for _, at := range []struct {
		value *int
		azure int
	}{{&l.Galleries, 100}, {&l.Definitions, 1000}, {&l.Versions, 10000}, {&l.Replicas, 100}, {&l.Apps, 1000}, {&l.AppVersions, 300}} {
		if *at.value == 0 {
			*at.value = at.azure
		}
	}
	return l
}

// counted are the types with a limit, as usages names them.
func (p *Provider) counted() []struct {
	typ, name, text string
	limit           int
} {
	return []struct {
		typ, name, text string
		limit           int
	}{
		{GalleryType, "Galleries", "Galleries", p.Limits.Galleries},
		{DefinitionType, "GalleryImages", "Gallery Images", p.Limits.Definitions},
		{VersionType, "GalleryImageVersions", "Gallery Image Versions", p.Limits.Versions},
		{application.Type, "GalleryApplications", "Gallery Applications", p.Limits.Apps},
		{application.VersionType, "GalleryApplicationVersions", "Gallery Application Versions", p.Limits.AppVersions},
	}
}

// used counts the resources of a type in a subscription and region, at most up to limit if that is not 0.
func used(tx store.Tx, typ, subscription, location string, limit int) (int, error) {
	docs, err := tx.List(store.Query{Kind: control.Kind(typ), Prefix: "/subscriptions/" + strings.ToLower(subscription) + "/", All: []string{"location:" + location}, Limit: limit})
	return len(docs), err
}

// room refuses one more of a type than the subscription may have in the region.
func (p *Provider) room(tx store.Tx, id arm.ID, location string) error {
	for _, c := range p.counted() {
		if !strings.EqualFold(c.typ, id.Type()) {
			continue
		}
		n, err := used(tx, c.typ, id.Subscription, location, c.limit)
		if err != nil || n < c.limit {
			return err
		}
		return arm.Errorf(409, "QuotaExceeded", "The number of resources of type '%s' in the subscription '%s' and the region '%s' has reached the limit: %d of %d. Delete some, or ask for a higher limit.",
			c.typ, id.Subscription, location, n, c.limit)
	}
	return nil
}

// replicas refuses more replicas than a version may have.
func (p *Provider) replicas(v *catalog.Publishing) error {
	if n := v.Replicas(); n > p.Limits.Replicas {
		return catalog.Invalid(catalog.Path+"publishingProfile.targetRegions.regionalReplicaCount",
			"The image version would have %d replicas in all regions together. The value must be between 1 and %d, inclusive.", n, p.Limits.Replicas)
	}
	return nil
}

const usagesPattern = "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/usages"

type usage struct {
	Unit    string    `json:"unit"`
	Current int       `json:"currentValue" arm:"always"`
	Limit   int       `json:"limit"`
	Name    usageName `json:"name"`
}

type usageName struct {
	Value     string `json:"value"`
	Localized string `json:"localizedValue"`
}

// listUsages tells how many galleries, definitions and versions there are of how many there may be, and of a tenant with a quota
// how many bytes it holds.
func (p *Provider) listUsages(_ context.Context, c *control.Call) (any, error) {
	scope := arm.ID{Subscription: c.Names["subscription"]}
	l, ok := arm.LocationOf(c.Names["location"])
	if !ok {
		return nil, arm.Errorf(400, "InvalidParameter", "The value '%.80s' of the parameter 'location' is not a location.", c.Names["location"]).At("location")
	}
	var list []usage
	for _, t := range p.counted() {
		n, err := used(c.Tx, t.typ, scope.Subscription, l.Name, 0)
		if err != nil {
			return nil, err
		}
		list = append(list, usage{Unit: "Count", Current: n, Limit: t.limit, Name: usageName{t.name, t.text}})
	}
	tenant, err := control.TenantOf(c.Tx, scope.Subscription)
	if err != nil {
		return nil, err
	}
	stored, err := quota.Of(c.Tx, tenant)
	if n, limit, ok := stored.Gigabytes(); ok { // of the tenant, in all regions together
		list = append(list, usage{Unit: "Count", Current: n, Limit: limit, Name: usageName{"TenantStoredGigabytes", "Stored Gigabytes of the Tenant"}})
	}
	return control.Values(list), err
}

// What a subscription may ask for in three and in thirty minutes (recorded from Azure, real-azure-behaviour.md 1).
func galleryRates() map[string]throttle.Limit {
	return map[string]throttle.Limit{
		"write": {Name: "CreateUpdateGallery", Short: 50, Long: 300}, "read": {Name: "GetGallery", Short: 350, Long: 2500},
		"delete": {Name: "DeleteGallery", Short: 50, Long: 300}, "list": {Name: "ListGalleryInResourceGroup", Short: 100, Long: 1000},
		"share": {Name: "PostShareGallery", Short: 10, Long: 60},
	}
}

func definitionRates() map[string]throttle.Limit {
	return map[string]throttle.Limit{
		"write": {Name: "CreateUpdateGalleryImage", Short: 150, Long: 750}, "read": {Name: "GetGalleryImage", Short: 600, Long: 3000},
		"delete": {Name: "DeleteGalleryImage", Short: 50, Long: 300}, "list": {Name: "ListGalleryImagesInGallery", Short: 600, Long: 3000},
	}
}

func versionRates() map[string]throttle.Limit {
	return map[string]throttle.Limit{
		"write": {Name: "CreateUpdateGalleryImageVersion", Short: 375, Long: 1200}, "read": {Name: "GetGalleryImageVersion", Short: 2000, Long: 10000},
		"delete": {Name: "DeleteGalleryImageVersion", Short: 150, Long: 1000}, "list": {Name: "ListGalleryImageVersionsInGalleryImage", Short: 1500, Long: 10000},
	}
}
