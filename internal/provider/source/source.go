// Package source has the words in which one resource tells what another may be made from it: a disk, a snapshot, a managed image
// or a virtual machine as the source of a disk, a snapshot, an image or an image version.
//
// It owns the words, and the rule for the names of all of them; no more. Providers of sources speak them, providers that need sources ask
// by the interface Sources, and the assembly stands in between. It reads and keeps nothing.
//
//	request ─ Source(tx, id) ─▶ what there is, and which manifests are known        (in the request's transaction)
//	operation ─ Freeze(ctx, id, uniqueID) ─▶ the manifest of a disk on which a machine ran    (in a step; the caller pins it)
package source

import (
	"context"
	"errors"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/store"
)

// OSDisk is the LUN by which an OS disk goes.
const OSDisk = -1

// Source is what a resource offers. Members that it does not know are empty.
type Source struct {
	ID           arm.ID
	Location     string
	OSType       string // Linux, Windows
	OSState      string // Generalized, Specialized
	Generation   string // V1, V2
	Architecture string // x64, Arm64
	Disks        []Disk // the OS disk first; a disk or snapshot offers itself as such
}

// Disk is one disk of a source.
type Disk struct {
	LUN      int       // OSDisk, or that of a data disk
	ID       arm.ID    // what Freeze takes
	UniqueID string    // of the disk or snapshot: another of the same name has another one
	Ref      image.Ref // empty ID: Freeze tells
	SizeGB   int
	Caching  string // None, ReadOnly, ReadWrite
	SKU      string // Standard_LRS
}

// Sources finds what may be made from resources of every kind.
type Sources interface {
	// Source tells what a resource offers. store.ErrNotFound; an *arm.Error when it has nothing to give now.
	Source(tx store.Tx, id arm.ID) (Source, error)
	// Freeze gives what a disk or snapshot holds now as a manifest in its own region. It takes as long as reading the disk, may be
	// run again, and pins nothing: what it gives is safe from collection for an hour or so. uniqueID is what Source told: another
	// disk that was made under the name since is not the one on which rights were asked. store.ErrNotFound; *arm.Error.
	Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error)
}

// AccountRight is what a VHD in a storage account asks for on the account, as in Azure.
const AccountRight = "Microsoft.Storage/storageAccounts/listKeys/action"

// Veiled words the refusal of a right on a storage account that the client found by its name in a blob's URI. ARM's words would
// tell the account's ID, of which the client sent only the name.
func Veiled(err error, caller authn.Caller, uri string) error {
	var refused *arm.Error
	if !errors.As(err, &refused) || refused.Status != 403 {
		return err
	}
	return arm.Errorf(403, "AuthorizationFailed",
		"The client '%s' with object id '%s' does not have authorization to perform action '%s' over the storage account of the blob '%.300s'. If access was recently granted, please refresh your credentials.",
		caller.Primary.Client(), caller.Primary.ObjectID, AccountRight, uri)
}

// OS gives the OS disk.
func (s Source) OS() (Disk, bool) {
	for _, d := range s.Disks {
		if d.LUN == OSDisk {
			return d, true
		}
	}
	return Disk{}, false
}
