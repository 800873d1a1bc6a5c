// Package publish brings the bytes of image versions to where they can be used.
//
// It takes what a version's sources hold when the version is made, and runs the steps that copy it from region to region.
// It changes the documents of package catalog; it serves no request (gallery does), keeps no bytes (image does) and knows
// no source: disks, machines, managed images and blobs stand behind source.Sources and Blobs.
//
//	Take, in the request: sources checked; those whose bytes lie still are pinned
//	Steps: what did not lie still is frozen ─▶ repacked into the own domain ─▶ region by region ─▶ Published
//	Regions, in the request: regions that go are unpinned              deletion ─▶ Withdrawn: every pin goes
package publish

import (
	"context"
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Blob is what is known of a VHD before its bytes are read.
type Blob struct {
	Location string // of the storage account, short name
	SizeGB   int
}

// Blobs are VHDs in storage accounts.
type Blobs interface {
	// Blob tells about a VHD. store.ErrNotFound; an *arm.Error when it cannot be a source.
	Blob(tx store.Tx, account arm.ID, uri string) (Blob, error)
	// Freeze packs its content into a manifest in the account's region. It may be asked again.
	Freeze(ctx context.Context, account arm.ID, uri string) (image.Ref, error)
}

// Foreign gives the version that an ID of a shared or a community gallery means for a subscription:
// "/CommunityGalleries/{name}/Images/{image}/Versions/{version}". Its error is for the client.
type Foreign func(tx store.Tx, caller authn.Caller, subscription, id, location string) (versionID string, err error)

// Publisher does the work.
type Publisher struct {
	Images  *image.Store
	Sources source.Sources
	Blobs   Blobs   // nil: no storage accounts here
	Foreign Foreign // nil: no shared galleries here
	RBAC    *rbac.Engine
}

// gone takes the absence of the resource for the end of the work.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
