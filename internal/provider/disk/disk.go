package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Versions is what a disk made from an image asks about it. The provider gallery has these methods.
type Versions interface {
	// Manifest gives the content of a version's disk in a region; LUN -1 is the OS disk. Its error is for the client.
	Manifest(tx store.Tx, versionID string, lun int, region string) (ref image.Ref, sizeGB int, err error)
	// Describe gives what the version's definition says of its system.
	Describe(tx store.Tx, versionID string) (osType, generation, architecture string, err error)
}

// Sealer keeps the keys of signed URLs unreadable in the store.
type Sealer interface {
	Seal(plain []byte, resource string) (string, error)
	Open(sealed, resource string) ([]byte, error)
}

// Config is what the provider needs.
type Config struct {
	Images   *image.Store
	Versions Versions
	Blobs    Blobs   // nil: createOption Import is refused
	Foreign  Foreign // nil: no shared or community galleries here
	Points   Points  // nil: createOption Restore is refused
	Seal     Sealer
	Dir      string // the data folder; disks/<uniqueId>/ below it holds overlays
	// Base gives what a disk stands on; nil: a file into which all of it is copied first.
	Base func(ctx context.Context, region string, ref image.Ref) (image.Base, error)
	// Overlay makes a copy-on-write file at path, sizeBytes large, on the read-only raw file base, which need not be there yet; base
	// empty: on nothing.
	Overlay func(ctx context.Context, base, path string, sizeBytes int64) error
	// Grow makes such a file larger; nil: disks cannot grow once a machine has written to them.
	Grow func(ctx context.Context, path string, sizeBytes int64) error
	// Live copies what a running machine's overlay at path holds, as of one moment, to the new overlay target, without what
	// lies below it. ErrNotRunning; nil: no machine ever runs.
	Live func(ctx context.Context, machine arm.ID, path, target string) error
	Now  func() time.Time // nil: time.Now
}

// Points are the disk restore points of machines.
type Points interface {
	// Offer tells what a disk restore point holds. store.ErrNotFound; an *arm.Error when it has nothing to give now.
	Offer(tx store.Tx, id arm.ID) (source.Source, error)
}

// Blobs are the page blobs of storage accounts.
type Blobs interface {
	// Account tells in which storage account, and where, the blob at a URI lies. store.ErrNotFound; an *arm.Error for what is no
	// URI of a blob.
	Account(tx store.Tx, uri string) (account arm.ID, location string, err error)
	// Open opens a blob of an account for reading. What it reads does not change meanwhile. store.ErrNotFound; an *arm.Error
	// when it holds no fixed VHD.
	Open(ctx context.Context, account arm.ID, uri string) (Blob, error)
}

// Blob is a page blob that is read.
type Blob interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Provider serves disks and snapshots, and what other providers do with them.
type Provider struct {
	Config
	store *store.Store
	rbac  *rbac.Engine
}

var versions = []arm.Version{"2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02", "2023-01-02", "2022-07-02", "2022-03-02",
	"2021-12-01", "2021-08-01", "2021-04-01", "2020-12-01", "2020-09-30", "2020-06-30", "2020-05-01", "2019-11-01", "2019-07-01",
	"2019-03-01", "2018-09-30", "2018-06-01", "2018-04-01", "2017-03-30"}

// Register adds disks and snapshots to the table.
func Register(c *control.Control, cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Provider{Config: cfg, store: c.Store(), rbac: c.RBAC()}
	for _, typ := range []string{Type, SnapshotType} {
		control.Register(c, control.Spec[Properties]{
			Type: typ, Versions: versions, Tracked: true, AsWritten: true, Name: source.CheckName, Validate: validate, Links: links, Patch: true,
			Async: control.Async{Create: 202, Update: 202, First: arm.Updating, Family: "DiskOperations", Partition: true, Location: true},
			Put:   p.put, Delete: p.remove, View: p.view,
			Actions: []control.Action[Properties]{{Name: "beginGetAccess", Do: p.beginAccess}, {Name: "endGetAccess", Do: p.endAccess}},
		})
	}
	return p
}

// put creates a disk or snapshot, or changes tags, size and class. One whose content never came is created anew.
func (p *Provider) put(_ context.Context, w *control.Write[Properties]) error {
	var in writeInput
	if w.Old != nil && !w.Old.Properties.Pending {
		if err := change(w.Old, w.New); err != nil {
			return err
		}
	} else if err := p.create(w, &in); err != nil {
		return err
	}
	fill(w.New)
	return w.Begin(workWrite, in)
}

func refused(format string, args ...any) *arm.Error {
	return arm.Errorf(409, "OperationNotAllowed", format, args...)
}

// change is an update: what the client left out stays, a size only grows, and not under a machine.
func change(old, next *resource) error {
	o, n := &old.Properties, &next.Properties
	if n.DiskSizeGB == 0 {
		n.DiskSizeGB = o.DiskSizeGB
	}
	if n.OSType == "" {
		n.OSType = o.OSType
	}
	if n.HyperVGeneration == "" {
		n.HyperVGeneration = o.HyperVGeneration
	}
	if n.Capabilities == nil {
		n.Capabilities = o.Capabilities
	}
	if next.SKU == nil || next.SKU.Name == "" {
		next.SKU = old.SKU
	}
	if n.Incremental == nil {
		n.Incremental = o.Incremental
	}
	if o.DiskState == Attached && !strings.EqualFold(next.SKU.Name, old.SKU.Name) {
		return refused("Cannot change the SKU of disk %s from %s to %s while it is attached to running VM %s. Please deallocate the virtual machine and retry the operation.", next.Name, old.SKU.Name, next.SKU.Name, old.ManagedBy).At("sku.name")
	}
	return resize(o, n, next)
}

// resize: a size only grows, and not under a machine that holds a host (the words are those that users quote from Azure).
func resize(o, n *Properties, r *resource) error {
	switch {
	case n.DiskSizeGB == o.DiskSizeGB:
		return nil
	case n.DiskSizeGB < o.DiskSizeGB:
		return refused("%s '%s' of size %d GB cannot be shrunk to %d GB. Only a larger size is allowed.", title(r), r.Name, o.DiskSizeGB, n.DiskSizeGB).At("diskSizeGB")
	case o.DiskState == Attached:
		return refused("Cannot resize disk %s while it is attached to running VM %s. Resizing a disk of an Azure Virtual Machine requires the virtual machine to be deallocated. Please stop your VM and retry the operation.", r.Name, r.ManagedBy).At("diskSizeGB")
	case o.DiskState == ReadyToUpload || o.DiskState == ActiveUpload:
		return refused("The %s '%s' is in state '%s': it cannot be resized before its upload has ended.", noun(r), r.Name, o.DiskState).At("diskSizeGB")
	}
	n.Grown = o.Overlay
	return nil
}

// remove refuses what others hold; the files go in the operation, the document at its end.
func (p *Provider) remove(_ context.Context, w *control.Write[Properties]) error {
	if err := free(w.Tx, w.Old, w.Now); err != nil {
		return err
	}
	return w.Begin(workDelete, nil)
}

func free(tx store.Tx, r *resource, now time.Time) error {
	if r.ManagedBy != "" {
		return refused("Disk '%s' is attached to VM '%s'.", r.Name, r.ManagedBy)
	}
	grants, err := grantsOf(tx, r.ParsedID())
	if err != nil {
		return err
	}
	for _, g := range grants {
		if now.Before(g.Until) {
			return refused("There is an active shared access signature outstanding for %[1]s '%[2]s'. Call EndGetAccess on the %[1]s before deleting or attaching the %[1]s.", noun(r), r.Name)
		}
	}
	return nil
}

const (
	workWrite  = "disks/write"
	workDelete = "disks/delete"
	workBegin  = "disks/beginGetAccess"
	workEnd    = "disks/endGetAccess"
)

// Works are the long-running parts.
func (p *Provider) Works() map[string]operation.Work {
	return map[string]operation.Work{
		workWrite:  {Steps: p.contentSteps, Finish: settled},
		workDelete: {Steps: p.removeSteps, Finish: settled},
		workBegin:  {Steps: p.openSteps, Finish: p.opened},
		workEnd:    {Steps: p.closeSteps, Finish: p.closed},
	}
}

// settled ends a write: the status of a disk's operation carries the finished disk (recorded).
func settled(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	d, err := control.Find[Properties](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	d.SetState(arm.Succeeded)
	if failure != nil {
		d.SetState(arm.Failed)
	}
	return finish(tx, r, d)
}

func finish(tx store.Tx, r *operation.Run, d *resource) (err error) {
	if r.Output, err = d.Wire(); err != nil {
		return err
	}
	return control.Save(tx, d)
}

// gone takes the absence of the resource for the end of the work.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// removeSteps removes the document, then the files: what a crash leaves in between, Sweep finds.
func (p *Provider) removeSteps(ctx context.Context, r *operation.Run) []operation.Step {
	id, err := arm.ParseID(r.Resource)
	return []operation.Step{
		{Name: "document", Do: func() error {
			if err != nil {
				return err
			}
			return r.Update(ctx, func(tx store.Tx) error { return p.Delete(tx, id) })
		}},
		{Name: "files", Do: func() error { return p.Discard(ctx, id) }},
	}
}

// forget removes a disk's document, pin and grants, and notes which files are to go.
func (p *Provider) forget(tx store.Tx, d *resource) error {
	if m := d.Properties.Manifest; m != nil {
		if err := p.Images.Unpin(tx, *m, d.Location, d.ID); err != nil {
			return fmt.Errorf("unpin: %w", err)
		}
	}
	if err := p.revoke(tx, d.ParsedID()); err != nil {
		return err
	}
	if err := leave(tx, d); err != nil {
		return err
	}
	return control.Remove(tx, d.ParsedID())
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}
