package foreign

import (
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Offer is a gallery that a subscription sees without any role assignment.
type Offer struct {
	ID       string // "/SharedGalleries/{gallery}"
	Name     string
	Location string // its home
	Means    string // Subscription, Tenant, Community
	Type     string // "Microsoft.Compute/locations/sharedGalleries"
}

// Offers lists what a subscription sees: what is shared with it, with its tenant, and with everybody. What was rejected is not there.
func (p *Provider) Offers(tx store.Tx, subscription string) ([]Offer, error) {
	v, err := viewerOf(tx, subscription)
	if err != nil {
		return nil, err
	}
	var list []Offer
	for _, way := range []struct {
		world          world
		typ, id, means string
	}{{direct, catalog.Subscriptions, v.subscription, "Subscription"}, {direct, catalog.Tenants, v.tenant, "Tenant"}, {community, "", "", "Community"}} {
		found, err := way.world.galleries(tx, way.typ, way.id)
		if err != nil {
			return nil, err
		}
		for _, g := range found {
			name := way.world.name(g)
			list = append(list, Offer{way.world.prefix + name, name, g.Location, way.means, "Microsoft.Compute/locations/" + way.world.typ})
		}
	}
	return list, nil
}
