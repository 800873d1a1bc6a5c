// Package managed serves Microsoft.Compute/images: managed images, made from a generalized machine or from disks and snapshots.
//
// It owns the documents of images, and pins the manifests that they name. It does not read disks: what its sources hold is
// asked of source.Sources. Machines are made from an image by Resolve and Manifest, image versions by Offer.
//
//	PUT ─▶ sources found, rights on them ─▶ document ─▶ operation: freeze each disk, pin it ─▶ Succeeded
package managed

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Config is what the provider needs.
type Config struct {
	Images  *image.Store
	Sources source.Sources
	Blobs   Blobs // nil: an image from a VHD is refused
}

// Blobs are VHDs in storage accounts.
type Blobs interface {
	// Account tells in which storage account, and where, the blob at a URI lies. store.ErrNotFound; an *arm.Error for what is no
	// URI of a blob.
	Account(tx store.Tx, uri string) (account arm.ID, location string, err error)
	// Size tells how large the disk in a VHD is, in bytes. Errors as Freeze's.
	Size(tx store.Tx, account arm.ID, uri string) (int64, error)
	// Freeze makes a manifest of a VHD in the account's region, and pins nothing. It may be run again. store.ErrNotFound; an
	// *arm.Error when it holds no fixed VHD.
	Freeze(ctx context.Context, account arm.ID, uri string) (image.Ref, error)
}

// Provider serves managed images.
type Provider struct {
	Config
	store *store.Store
	rbac  *rbac.Engine
}

var versions = []arm.Version{"2024-11-01", "2024-07-01", "2024-03-01", "2023-09-01", "2023-07-01", "2023-03-01", "2022-11-01", "2022-08-01",
	"2022-03-01", "2021-11-01", "2021-07-01", "2020-12-01", "2020-06-01", "2019-12-01", "2019-07-01", "2019-03-01", "2018-10-01", "2018-06-01",
	"2017-12-01", "2017-03-30", "2016-04-30-preview"}

const (
	workWrite  = "images/write"
	workDelete = "images/delete"
)

// Register adds the type to the table.
func Register(c *control.Control, cfg Config) *Provider {
	p := &Provider{Config: cfg, store: c.Store(), rbac: c.RBAC()}
	control.Register(c, control.Spec[Properties]{
		Type: Type, Versions: versions, Tracked: true, Patch: true, Async: control.Async{Family: "operations", Partition: true}, // recorded: 201 and 200
		Name: source.CheckName, Validate: validate, Links: links, Put: p.put, Delete: p.delete,
	})
	return p
}

// Works are the long-running parts.
func (p *Provider) Works() map[string]operation.Work {
	return map[string]operation.Work{
		workWrite:  {Steps: p.steps, Finish: settled},
		workDelete: {Steps: func(context.Context, *operation.Run) []operation.Step { return nil }, Finish: p.gone},
	}
}

// put makes an image. Of one that exists only tags change: what it was made from may be gone long since.
func (p *Provider) put(_ context.Context, w *control.Write[Properties]) error {
	if w.Old != nil && w.Old.Properties.Made {
		if err := unchanged(&w.Old.Properties, &w.New.Properties); err != nil {
			return err
		}
		return w.Begin(workWrite, nil)
	}
	props := &w.New.Properties
	if err := p.release(w.Tx, w.New); err != nil { // of an earlier try
		return err
	}
	props.Content, props.Made = nil, false
	var err error
	if props.SourceMachine != nil {
		err = p.fromMachine(w)
	} else {
		err = p.fromDisks(w)
	}
	if err != nil {
		return err
	}
	for _, c := range props.Content {
		if c.Ref.ID == "" {
			continue
		}
		if err := p.Images.Pin(w.Tx, c.Ref, w.New.Location, w.New.ID); err != nil {
			return err
		}
	}
	return w.Begin(workWrite, nil)
}

// offered asks for a source, which must be where the image is.
func (p *Provider) offered(w *control.Write[Properties], text, at string) (source.Source, error) {
	id, err := arm.ParseID(text)
	if err != nil {
		return source.Source{}, err
	}
	s, err := p.Sources.Source(w.Tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && s.Location != w.New.Location {
		return s, arm.Errorf(404, "ResourceNotFound", "The source '%s' of the image was not found in location '%s'. The source of an image must exist in the same location as the image.", id, w.New.Location).At(at)
	}
	return s, err
}

// fromMachine takes all disks of a generalized machine, and what it says of its system.
func (p *Provider) fromMachine(w *control.Write[Properties]) error {
	const at = "sourceVirtualMachine.id"
	props := &w.New.Properties
	s, err := p.offered(w, props.SourceMachine.ID, at)
	if err != nil {
		return err
	}
	if err := p.readable(w, s.Disks); err != nil {
		return err
	}
	if s.OSState != "Generalized" {
		return arm.Errorf(409, "OperationNotAllowed", "Operation 'create image' is not allowed on VM '%s' since the VM is not generalized.", s.ID.Name()).At(at)
	}
	if props.Generation != "" && s.Generation != "" && props.Generation != s.Generation {
		return invalid("hyperVGeneration", "The Hyper-V generation '%s' does not match that of the source virtual machine, '%s'.", props.Generation, s.Generation)
	}
	resilient := (*bool)(nil)
	if props.Storage != nil {
		resilient = props.Storage.ZoneResilient
	}
	props.Generation, props.Architecture = s.Generation, s.Architecture
	props.Storage = &Storage{DataDisks: []Disk{}, ZoneResilient: resilient}
	for _, d := range s.Disks {
		disk := Disk{Managed: &Ref{ID: d.ID.String()}, Caching: d.Caching, SizeGB: d.SizeGB, SKU: d.SKU}
		if d.LUN == source.OSDisk {
			disk.OSType, disk.OSState = s.OSType, s.OSState
			props.Storage.OSDisk = &disk
		} else {
			disk.LUN = new(int32(d.LUN))
			props.Storage.DataDisks = append(props.Storage.DataDisks, disk)
		}
		props.Content = append(props.Content, Content{LUN: d.LUN, Ref: d.Ref, SizeGB: d.SizeGB, Source: d.ID.String(), Unique: d.UniqueID})
	}
	complete(props)
	return nil
}

// readable asks for each disk of a machine what it takes to make an image of the disk itself: who may write a machine may not
// therefore read its disks, which can lie in other groups. Azure's documents ask for the machine alone.
func (p *Provider) readable(w *control.Write[Properties], disks []source.Disk) error {
	var links []rbac.Link
	for _, d := range disks {
		links = append(links, rbac.Link{ID: d.ID, Action: diskType + "/beginGetAccess/action"})
	}
	return p.rbac.Linked(w.Tx, w.Caller, w.ID, Type+"/write", links)
}

func (p *Provider) fromDisks(w *control.Write[Properties]) error {
	props := &w.New.Properties
	s := props.Storage
	from, err := p.takeDisk(w, s.OSDisk, source.OSDisk)
	if err != nil {
		return err
	}
	if from.OSType != "" && from.OSType != s.OSDisk.OSType {
		return invalid("osDisk.osType", "The value '%s' of parameter 'osDisk.osType' does not match the operating system '%s' of the source.", s.OSDisk.OSType, from.OSType)
	}
	if props.Generation == "" {
		props.Generation = from.Generation
	}
	props.Architecture = from.Architecture
	for i := range s.DataDisks {
		d := &s.DataDisks[i]
		if _, err := p.takeDisk(w, d, int(*d.LUN)); err != nil {
			return err
		}
	}
	complete(props)
	return nil
}

func (p *Provider) takeDisk(w *control.Write[Properties], d *Disk, lun int) (source.Source, error) {
	if d.BlobURI != "" {
		return source.Source{}, p.takeBlob(w, d, lun)
	}
	text, member := d.source()
	at := "osDisk." + member
	if lun != source.OSDisk {
		at = "dataDisks." + member
	}
	from, err := p.offered(w, text, at)
	if err != nil {
		return from, err
	}
	one, ok := from.OS()
	if !ok {
		return from, fmt.Errorf("source %s has no disk", text)
	}
	if d.SizeGB != 0 && d.SizeGB < one.SizeGB {
		return from, invalid(strings.TrimSuffix(at, member)+"diskSizeGB", "The specified disk size %d GB is smaller than the size of the source, which is %d GB.", d.SizeGB, one.SizeGB)
	}
	d.SizeGB = max(d.SizeGB, one.SizeGB)
	w.New.Properties.Content = append(w.New.Properties.Content, Content{LUN: lun, Ref: one.Ref, SizeGB: d.SizeGB, Source: text, Unique: one.UniqueID})
	return from, nil
}

// takeBlob takes a VHD in a storage account, for which the caller needs the account's keys, as in Azure. The account is
// in the image's subscription: the name of another's gives nothing away. The size is known when the VHD was read.
func (p *Provider) takeBlob(w *control.Write[Properties], d *Disk, lun int) error {
	const at = "storageProfile.blobUri"
	if p.Blobs == nil {
		return unsupported(at, "A managed image from a VHD in a storage account")
	}
	account, location, err := p.Blobs.Account(w.Tx, d.BlobURI)
	if errors.Is(err, store.ErrNotFound) || err == nil && !strings.EqualFold(account.Subscription, w.ID.Subscription) {
		return invalid(at, "The source blob '%.300s' is in no storage account of subscription '%s'.", d.BlobURI, w.ID.Subscription)
	}
	if err != nil {
		return err
	}
	links := []rbac.Link{{ID: account, Action: source.AccountRight}}
	if err := p.rbac.Linked(w.Tx, w.Caller, w.ID, Type+"/write", links); err != nil {
		return source.Veiled(err, w.Caller, d.BlobURI)
	}
	if location != w.New.Location {
		return invalid(at, "The source blob '%.300s' is in location '%s'; it must be in the same location as the image.", d.BlobURI, location)
	}
	w.New.Properties.Content = append(w.New.Properties.Content, Content{LUN: lun, SizeGB: d.SizeGB, Source: d.BlobURI, Account: account.String()})
	return nil
}

// complete fills in what Azure answers for members that were not sent.
func complete(props *Properties) {
	if props.Generation == "" {
		props.Generation = "V1"
	}
	if props.Storage.DataDisks == nil {
		props.Storage.DataDisks = []Disk{}
	}
	for _, d := range append([]*Disk{props.Storage.OSDisk}, pointers(props.Storage.DataDisks)...) {
		if d.Caching == "" {
			d.Caching = "None"
		}
		if d.SKU == "" {
			d.SKU = "Standard_LRS"
		}
	}
}

func pointers(disks []Disk) (list []*Disk) {
	for i := range disks {
		list = append(list, &disks[i])
	}
	return list
}

// links are what a new image leans on. Who makes an image of a machine or disk gets its bytes.
func links(old, next *resource) (list []rbac.Link) {
	if old != nil && old.Properties.Made {
		return nil
	}
	add := func(text, typ, action string) {
		if id, err := arm.ParseID(text); err == nil && text != "" {
			list = append(list, rbac.Link{ID: id, Action: typ + action})
		}
	}
	p := &next.Properties
	if p.SourceMachine != nil {
		add(p.SourceMachine.ID, machineType, "/write")
		return list
	}
	if p.Storage == nil || p.Storage.OSDisk == nil {
		return nil
	}
	for _, d := range append([]*Disk{p.Storage.OSDisk}, pointers(p.Storage.DataDisks)...) {
		text, member := d.source()
		typ := diskType
		if member == "snapshot.id" {
			typ = snapshotType
		}
		add(text, typ, "/beginGetAccess/action")
	}
	return list
}

// steps bring the content of each disk on which a machine ran.
func (p *Provider) steps(ctx context.Context, r *operation.Run) []operation.Step {
	m, err := p.read(ctx, r.Resource)
	if err != nil {
		return []operation.Step{{Name: "read", Do: func() error { return err }}}
	}
	var steps []operation.Step
	for _, c := range m.Properties.Content {
		steps = append(steps, operation.Step{Name: fmt.Sprintf("disk %d", c.LUN), Do: func() error { return p.freeze(ctx, r, c.LUN) }})
	}
	return steps
}

func (p *Provider) read(ctx context.Context, id string) (m *resource, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		m, err = control.Find[Properties](tx, id)
		return err
	})
	return m, err
}

func (p *Provider) freeze(ctx context.Context, r *operation.Run, lun int) error {
	m, err := p.read(ctx, r.Resource)
	if err != nil {
		return err
	}
	c := m.Properties.content(lun)
	if c == nil || c.Ref.ID != "" {
		return nil
	}
	ref, err := p.bytes(ctx, r, c)
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' of the image was not found, or was deleted meanwhile.", c.Source)
	}
	if err != nil {
		return err
	}
	return r.Update(ctx, func(tx store.Tx) error {
		m, err := control.Find[Properties](tx, r.Resource)
		if err != nil {
			return err
		}
		if c := m.Properties.content(lun); c != nil {
			c.Ref = ref
			m.Properties.measure(c)
		}
		if err := p.Images.Pin(tx, ref, m.Location, m.ID); err != nil {
			return err
		}
		return control.Save(tx, m)
	})
}

// bytes makes the manifest of what a disk is made from.
func (p *Provider) bytes(ctx context.Context, r *operation.Run, c *Content) (image.Ref, error) {
	if c.Account == "" {
		id, err := arm.ParseID(c.Source)
		if err != nil {
			return image.Ref{}, err
		}
		return p.Sources.Freeze(ctx, id, c.Unique)
	}
	account, err := arm.ParseID(c.Account)
	if err != nil {
		return image.Ref{}, err
	}
	if err := p.announce(ctx, r, account, c); err != nil {
		return image.Ref{}, err
	}
	return p.Blobs.Freeze(ctx, account, c.Source)
}

// announce says how large the disk in a VHD is, before its bytes are read: the tenant's quota may refuse it.
func (p *Provider) announce(ctx context.Context, r *operation.Run, account arm.ID, c *Content) error {
	return r.Update(ctx, func(tx store.Tx) error {
		m, err := control.Find[Properties](tx, r.Resource)
		if err != nil {
			return err
		}
		size, err := p.Blobs.Size(tx, account, c.Source)
		now := m.Properties.content(c.LUN)
		if err != nil || now == nil || now.SizeGB >= gigabytes(size) {
			return err
		}
		now.SizeGB = gigabytes(size)
		return control.Save(tx, m)
	})
}

func gigabytes(n int64) int { return int((n + 1<<30 - 1) >> 30) }

// measure tells the size of a disk whose bytes are known now.
func (p *Properties) measure(c *Content) {
	c.SizeGB = max(c.SizeGB, gigabytes(c.Ref.Size))
	if c.LUN == source.OSDisk {
		p.Storage.OSDisk.SizeGB = c.SizeGB
	}
	for i := range p.Storage.DataDisks {
		if d := &p.Storage.DataDisks[i]; int(*d.LUN) == c.LUN {
			d.SizeGB = c.SizeGB
		}
	}
}

// settled writes the end of a creation or update.
func settled(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	m, err := control.Find[Properties](tx, r.Resource)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m.SetState(arm.Succeeded)
	if failure != nil {
		m.SetState(arm.Failed)
	}
	m.Properties.Made = m.Properties.Made || failure == nil
	return control.Save(tx, m)
}

func (p *Provider) delete(_ context.Context, w *control.Write[Properties]) error {
	return w.Begin(workDelete, nil)
}

// gone removes an image and lets go of its content. Machines that were made from it go on: their disks pin what they need.
func (p *Provider) gone(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	if failure != nil {
		return settled(tx, r, failure)
	}
	m, err := control.Find[Properties](tx, r.Resource)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.release(tx, m); err != nil {
		return err
	}
	return control.Remove(tx, m.ParsedID())
}

func (p *Provider) release(tx store.Tx, m *resource) error {
	for _, c := range m.Properties.Content {
		if c.Ref.ID == "" {
			continue
		}
		if err := p.Images.Unpin(tx, c.Ref, m.Location, m.ID); err != nil {
			return err
		}
	}
	return nil
}
