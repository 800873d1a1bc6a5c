package app

import (
	"vitrine/internal/provider/gallery/foreign"
	"vitrine/internal/provider/graphquery"
	"vitrine/internal/provider/sharing"
	"vitrine/internal/store"
)

// outside registers what others see of galleries, and the queries that find them.
func (a *App) outside() *foreign.Provider {
	p := foreign.Register(a.control, foreign.Config{Resolve: a.exact, Now: a.cfg.Now})
	graphquery.Register(a.control, graphquery.Config{Community: p.Community})
	sharing.Register(a.control, func(tx store.Tx, subscription string) ([]sharing.Offer, error) {
		offers, err := p.Offers(tx, subscription)
		list := make([]sharing.Offer, len(offers))
		for i, o := range offers {
			list[i] = sharing.Offer{ID: o.ID, Name: o.Name, Type: o.Type, Location: o.Location, Means: o.Means}
		}
		return list, err
	})
	return p
}

// exact finds the version that a reference means.
func (a *App) exact(tx store.Tx, reference, region string) (versionID, exact string, err error) {
	r, err := a.rooms.gallery.Resolve(tx, reference, region)
	return r.VersionID, r.ExactVersion, err
}
