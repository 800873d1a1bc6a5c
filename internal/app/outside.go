package app

import (
	"vitrine/internal/provider/gallery/foreign"
	"vitrine/internal/provider/graphquery"
	"vitrine/internal/store"
)

// outside registers what others see of galleries, and the queries that find them.
func (a *App) outside() *foreign.Provider {
	p := foreign.Register(a.control, foreign.Config{Resolve: a.exact, Now: a.cfg.Now})
	graphquery.Register(a.control, graphquery.Config{Community: p.Community})
	return p
}

// exact finds the version that a reference means.
func (a *App) exact(tx store.Tx, reference, region string) (versionID, exact string, err error) {
	r, err := a.rooms.gallery.Resolve(tx, reference, region)
	return r.VersionID, r.ExactVersion, err
}
