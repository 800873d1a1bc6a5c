package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

// NewDisk is a disk that a machine brings along.
type NewDisk struct {
	ID             arm.ID
	Location       string
	SKU            string // "Premium_LRS"; empty: Standard_LRS
	OSType         string
	Generation     string
	ImageVersionID string // of the gallery version it is made from; empty: an empty disk
	Foreign        string // the version's ID in a shared or community gallery, shown instead; empty: it has none
	LUN            int    // of the version's disk; -1: its OS disk
	SizeGB         int    // 0: as large as its source
	Owner          arm.ID // the machine that it is attached to
	Now            time.Time
}

// Create makes a machine's disk, attached to it. It may be run again: a disk that the same machine owns stays as it is.
func (p *Provider) Create(tx store.Tx, n NewDisk) error {
	if fault := source.CheckName(n.ID.Name()); fault != nil { // the client of a machine chose it
		return fault
	}
	old, err := control.Get[Properties](tx, n.ID)
	if err == nil {
		if strings.EqualFold(old.ManagedBy, n.Owner.String()) {
			return nil
		}
		return arm.Errorf(409, "ConflictingUserInput", "Disk '%s' already exists in resource group '%s'. Only CreateOption.Attach is supported.", n.ID.Name(), n.ID.ResourceGroup)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	d := control.Make[Properties](n.ID, n.Location, n.Now)
	d.ManagedBy, d.SKU = n.Owner.String(), &control.SKU{Name: n.SKU}
	if fault := checkSKU(d); fault != nil {
		return fault
	}
	props := &d.Properties
	props.CreationData = &CreationData{CreateOption: "Empty"}
	props.OSType, props.HyperVGeneration, props.DiskSizeGB = n.OSType, n.Generation, n.SizeGB
	props.UniqueID, props.TimeCreated, props.DiskState = uuid.NewString(), n.Now.UTC().Format(stamp), Attached
	if n.ImageVersionID != "" {
		if err := p.bring(tx, d, n); err != nil {
			return err
		}
	}
	if props.DiskSizeGB < 1 || props.DiskSizeGB > maxSizeGB {
		return invalid("diskSizeGB", "The value of parameter diskSizeGB is out of range: '%d'. The value must be between 1 and %d, inclusive.", props.DiskSizeGB, maxSizeGB)
	}
	fill(d)
	d.SetState(arm.Succeeded)
	return control.Save(tx, d)
}

// bring gives the disk the content of an image version, pinned by the disk.
func (p *Provider) bring(tx store.Tx, d *resource, n NewDisk) error {
	ref, size, err := p.Versions.Manifest(tx, n.ImageVersionID, n.LUN, n.Location)
	if err != nil {
		return err
	}
	if err := d.Properties.hold(&ref, size); err != nil {
		return err
	}
	c := d.Properties.CreationData
	c.CreateOption = "FromImage"
	made := &ImageReference{ID: n.ImageVersionID}
	if id, err := arm.ParseID(n.ImageVersionID); err == nil && strings.EqualFold(id.Type(), "Microsoft.Compute/images") {
		c.ImageReference = made // as Azure tells it of a managed image
	} else {
		if n.Foreign != "" {
			made.setForeign(n.Foreign)
		}
		c.GalleryImageReference = made
	}
	if n.LUN >= 0 {
		made.LUN = &n.LUN
	} else {
		_, _, architecture, err := p.Versions.Describe(tx, n.ImageVersionID)
		if err != nil {
			return err
		}
		d.Properties.Capabilities = &Capabilities{Architecture: architecture}
	}
	return p.pin(tx, ref, d)
}

// Info is what a machine needs to know of a disk.
type Info struct {
	SizeGB     int
	State      string // diskState
	OSType     string
	Generation string
	Location   string
	SKU        string
	Owner      string // ID of the machine it is attached to; empty: none
}

// Info tells about a disk; store.ErrNotFound.
func (p *Provider) Info(tx store.Tx, disk arm.ID) (Info, error) {
	d, err := control.Get[Properties](tx, disk)
	if err != nil {
		return Info{}, err
	}
	i := Info{SizeGB: d.Properties.DiskSizeGB, State: d.Properties.DiskState, OSType: d.Properties.OSType,
		Generation: d.Properties.HyperVGeneration, Location: d.Location, Owner: d.ManagedBy}
	if d.SKU != nil {
		i.SKU = d.SKU.Name
	}
	return i, nil
}

// Attach gives a disk to a machine; it is no error when the machine has it already.
func (p *Provider) Attach(tx store.Tx, disk, vm arm.ID) error {
	d, err := control.Get[Properties](tx, disk)
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The disk '%s' was not found.", disk)
	}
	if err != nil {
		return err
	}
	if strings.EqualFold(d.ManagedBy, vm.String()) {
		return nil
	}
	if d.ManagedBy != "" {
		return arm.Errorf(409, "AttachDiskWhileBeingDetached", "Disk '%s' is attached to VM '%s' and cannot be attached to VM '%s'.", d.Name, d.ManagedBy, vm)
	}
	if err := whole(d); err != nil {
		return err
	}
	if d.Properties.DiskState != Unattached {
		return refused("The disk '%s' is in state '%s' and cannot be attached.", d.Name, d.Properties.DiskState)
	}
	if err := free(tx, d, p.Now()); err != nil {
		return err
	}
	open, err := operation.Open(tx, disk.Key())
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return arm.Errorf(409, "Conflict", "Another operation is in progress on the disk '%s'. Please retry after it has ended.", disk)
	}
	d.ManagedBy, d.Properties.DiskState = vm.String(), Attached
	return control.Save(tx, d)
}

// Detach frees a disk; one that is free or gone already is no error.
func (p *Provider) Detach(tx store.Tx, disk arm.ID) error {
	d, err := control.Get[Properties](tx, disk)
	if err != nil || d.ManagedBy == "" {
		return gone(err)
	}
	d.ManagedBy, d.Properties.DiskState = "", Unattached
	return control.Save(tx, d)
}

// SetRunning tells whether the machine that holds the disk runs: Attached, or Reserved when it is deallocated.
func (p *Provider) SetRunning(tx store.Tx, disk arm.ID, running bool) error {
	d, err := control.Get[Properties](tx, disk)
	if err != nil || d.ManagedBy == "" {
		return gone(err)
	}
	state := Reserved
	if running {
		state = Attached
	}
	if d.Properties.DiskState == state {
		return nil
	}
	d.Properties.DiskState = state
	return control.Save(tx, d)
}

// Delete removes a machine's disk; one that is gone already is no error. Discard removes its files after it.
func (p *Provider) Delete(tx store.Tx, disk arm.ID) error {
	d, err := control.Get[Properties](tx, disk)
	if err != nil {
		return gone(err)
	}
	return p.forget(tx, d)
}

// File is what a machine runs on.
type File struct {
	Path   string
	Format string
	Base   image.Base // what lies below it; no Path: nothing
}

// Materialise gives the file that a machine runs on: an overlay over the read-only base of the disk's content. The file
// is made at the first call and kept; where its base is now, is told by each. Calls may be repeated, not overlap.
func (p *Provider) Materialise(ctx context.Context, disk arm.ID) (File, error) {
	d, err := p.mark(ctx, disk)
	if err != nil {
		return File{}, fmt.Errorf("materialise %s: %w", disk, err)
	}
	f := File{Path: p.overlayPath(d.Properties.UniqueID), Format: "qcow2"}
	if m := d.Properties.Manifest; m != nil {
		if f.Base, err = p.base(ctx, d.Location, *m); err != nil {
			return File{}, err
		}
	}
	if _, err := os.Stat(f.Path); err == nil {
		return f, p.grow(ctx, d, f.Path)
	}
	half := f.Path + ".half"
	if err := errors.Join(os.MkdirAll(filepath.Dir(f.Path), 0o700), removeFile(half)); err != nil {
		return File{}, err
	}
	if err := p.Overlay(ctx, f.Base.Path, half, d.Properties.DiskSizeBytes); err != nil {
		return File{}, fmt.Errorf("overlay of %s: %w", disk, err)
	}
	return f, os.Rename(half, f.Path)
}

func (p *Provider) base(ctx context.Context, region string, ref image.Ref) (image.Base, error) {
	if p.Base != nil {
		return p.Base(ctx, region, ref)
	}
	path, err := p.Images.Base(ctx, region, ref)
	return image.Base{Path: path}, err
}

// grow makes the file of a disk larger that was resized since.
func (p *Provider) grow(ctx context.Context, d *resource, path string) error {
	if p.Grow == nil || !d.Properties.Grown {
		return nil
	}
	if err := p.Grow(ctx, path, d.Properties.DiskSizeBytes); err != nil {
		return fmt.Errorf("grow %s: %w", d.ID, err)
	}
	return p.store.Update(ctx, func(tx store.Tx) error {
		now, err := control.Find[Properties](tx, d.ID)
		if err != nil || now.Properties.DiskSizeBytes != d.Properties.DiskSizeBytes {
			return gone(err)
		}
		now.Properties.Grown = false
		return control.Save(tx, now)
	})
}

// mark records, before the file exists, that the manifest will no longer be the whole truth.
func (p *Provider) mark(ctx context.Context, disk arm.ID) (d *resource, err error) {
	err = p.store.Update(ctx, func(tx store.Tx) error {
		if d, err = control.Get[Properties](tx, disk); err != nil || d.Properties.Overlay {
			return err
		}
		d.Properties.Overlay = true
		return control.Save(tx, d)
	})
	return d, err
}

func (p *Provider) overlayDir(uniqueID string) string {
	return filepath.Join(p.Dir, "disks", uniqueID)
}

func (p *Provider) overlayPath(uniqueID string) string {
	return filepath.Join(p.overlayDir(uniqueID), "disk.qcow2")
}

func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Offer tells what may be made from a disk, also from one that machines have written to: its content is then told by Freeze.
// store.ErrNotFound; an *arm.Error when it has no content yet.
func (p *Provider) Offer(tx store.Tx, disk arm.ID) (source.Source, error) {
	d, err := control.Get[Properties](tx, disk)
	if err != nil {
		return source.Source{}, err
	}
	if err := whole(d); err != nil {
		return source.Source{}, err
	}
	props := &d.Properties
	one := source.Disk{LUN: source.OSDisk, ID: disk, UniqueID: props.UniqueID, SizeGB: props.DiskSizeGB}
	if props.Manifest != nil && !props.Overlay {
		one.Ref = *props.Manifest
	}
	if d.SKU != nil {
		one.SKU = d.SKU.Name
	}
	s := source.Source{ID: disk, Location: d.Location, OSType: props.OSType, Generation: props.HyperVGeneration, Disks: []source.Disk{one}}
	if c := props.Capabilities; c != nil {
		s.Architecture = c.Architecture
	}
	return s, nil
}
