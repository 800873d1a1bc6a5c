package app

import (
	"vitrine/internal/provider/gallery/foreign"
	"vitrine/internal/store"
)

// outside registers what others see of galleries.
func (a *App) outside() *foreign.Provider {
	return foreign.Register(a.control, foreign.Config{Resolve: a.exact, Now: a.cfg.Now})
}

// exact finds the version that a reference means.
func (a *App) exact(tx store.Tx, reference, region string) (versionID, exact string, err error) {
	r, err := a.rooms.gallery.Resolve(tx, reference, region)
	return r.VersionID, r.ExactVersion, err
}
