// Package publish brings the bytes of image versions to where they can be used.
//
// It takes what a version's sources hold when the version is made, and runs the steps that copy it from region to region.
// It changes the documents of package catalog; it serves no request (gallery does) and keeps no bytes (image does).
//
//	Take, in the request: sources checked and pinned ─▶ Steps: into the own domain, then region by region ─▶ Published
//	Regions, in the request: regions that go are unpinned                        deletion ─▶ Withdrawn: every pin goes
package publish

import (
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/image"
	"vitrine/internal/store"
)

// Source is what a managed disk gives to a version.
type Source struct {
	Ref          image.Ref // empty ID: the disk is empty
	Location     string
	SizeGB       int
	OSType       string // empty: the disk does not say
	Generation   string
	Architecture string
}

// Publisher does the work.
type Publisher struct {
	Images *image.Store
	// Source tells what a managed disk holds. store.ErrNotFound; an *arm.Error when it cannot be read now.
	Source func(tx store.Tx, disk arm.ID) (Source, error)
}

// gone takes the absence of the resource for the end of the work.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
