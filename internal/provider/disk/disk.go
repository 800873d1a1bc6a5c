package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
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
	Foreign  Foreign // nil: no shared or community galleries here
	Seal     Sealer
	Dir      string // the data folder; disks/<uniqueId>/ below it holds overlays
	// Overlay makes a copy-on-write file at path, sizeBytes large, on the read-only raw file base; base empty: on nothing.
	Overlay func(ctx context.Context, base, path string, sizeBytes int64) error
	Now     func() time.Time // nil: time.Now
}

// Provider serves disks, and what other providers do with disks.
type Provider struct {
	Config
	store *store.Store
}

var versions = []arm.Version{"2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02", "2023-01-02", "2022-07-02", "2022-03-02",
	"2021-12-01", "2021-08-01", "2021-04-01", "2020-12-01", "2020-09-30", "2020-06-30", "2020-05-01", "2019-11-01", "2019-07-01",
	"2019-03-01", "2018-09-30", "2018-06-01", "2018-04-01", "2017-03-30"}

// Register adds the type to the table.
func Register(c *control.Control, cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Provider{Config: cfg, store: c.Store()}
	control.Register(c, control.Spec[Properties]{
		Type: Type, Versions: versions, Tracked: true, Name: name, Validate: validate, Links: links, Patch: true,
		Async: control.Async{Create: 202, Update: 202, First: arm.Updating, Family: "DiskOperations", Location: true},
		Put:   p.put, Delete: p.remove, View: p.view,
		Actions: []control.Action[Properties]{{Name: "beginGetAccess", Do: p.beginAccess}, {Name: "endGetAccess", Do: p.endAccess}},
	})
	return p
}

// put creates a disk or changes its tags, size and class.
func (p *Provider) put(_ context.Context, w *control.Write[Properties]) error {
	if w.Old != nil {
		if err := change(w.Old, w.New); err != nil {
			return err
		}
	} else if err := p.create(w); err != nil {
		return err
	}
	fill(w.New)
	return w.Begin(workWrite, nil)
}

// create gives a new disk its content, which is pinned in this transaction.
func (p *Provider) create(w *control.Write[Properties]) error {
	props, c := &w.New.Properties, w.New.Properties.CreationData
	props.UniqueID, props.TimeCreated, props.DiskState = uuid.NewString(), w.Now.UTC().Format(stamp), Unattached
	var err error
	switch c.CreateOption {
	case "Upload":
		props.DiskState = ReadyToUpload
		props.DiskSizeGB = max(props.DiskSizeGB, gigabytes(c.UploadSizeBytes-footer))
	case "FromImage":
		err = p.fromImage(w)
	case "Copy":
		err = p.copy(w)
	}
	if err != nil || props.Manifest == nil {
		return err
	}
	return p.Images.Pin(w.Tx, *props.Manifest, w.New.Location, w.New.ID)
}

func (p *Provider) fromImage(w *control.Write[Properties]) error {
	props, r := &w.New.Properties, w.New.Properties.CreationData.GalleryImageReference
	version, err := p.versionOf(w, r)
	if err != nil {
		return err
	}
	ref, size, err := p.Versions.Manifest(w.Tx, version, r.lun(), w.New.Location)
	if err != nil {
		return veiled(err, r)
	}
	if r.LUN == nil {
		osType, generation, architecture, err := p.Versions.Describe(w.Tx, version)
		if err != nil {
			return err
		}
		if props.OSType != "" && props.OSType != osType {
			return invalid("osType", "The osType '%s' does not match the image's, which is '%s'.", props.OSType, osType)
		}
		props.OSType, props.HyperVGeneration, props.Capabilities = osType, generation, &Capabilities{Architecture: architecture}
	}
	return props.hold(&ref, size)
}

func (p *Provider) copy(w *control.Write[Properties]) error {
	props, c := &w.New.Properties, w.New.Properties.CreationData
	id, err := arm.ParseID(c.SourceResourceID)
	if err != nil {
		return err
	}
	source, err := control.Get[Properties](w.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source disk '%s' of the copy was not found.", id).At("creationData.sourceResourceId")
	}
	if err != nil {
		return err
	}
	if err := readable(source); err != nil {
		return err
	}
	if source.Location != w.New.Location {
		return invalid("creationData.sourceResourceId", "The source disk '%s' is in location '%s'; a copy must be in the same location.", id, source.Location)
	}
	s := source.Properties
	c.SourceUniqueID = s.UniqueID
	props.Capabilities = s.Capabilities
	if props.OSType == "" {
		props.OSType = s.OSType
	}
	if props.HyperVGeneration == "" {
		props.HyperVGeneration = s.HyperVGeneration
	}
	return props.hold(s.Manifest, s.DiskSizeGB)
}

// hold sets content and size; a disk may be larger than its source, never smaller.
func (props *Properties) hold(ref *image.Ref, sizeGB int) error {
	if props.DiskSizeGB == 0 {
		props.DiskSizeGB = sizeGB
	}
	if props.DiskSizeGB < sizeGB {
		return invalid("diskSizeGB", "The specified disk size %d GB is smaller than the size of the source, which is %d GB.", props.DiskSizeGB, sizeGB)
	}
	props.Manifest = ref
	return nil
}

// readable refuses a disk whose bytes are not known here: one that a machine writes to, one whose upload has not ended.
func readable(r *resource) error {
	p := &r.Properties
	switch {
	case p.DiskState == ReadyToUpload || p.DiskState == ActiveUpload:
		return refused("The disk '%s' is in state '%s': its upload must be ended by endGetAccess first.", r.Name, p.DiskState)
	case p.DiskState == Attached:
		return refused("The disk '%s' is attached to the running virtual machine '%s'. Deallocate the virtual machine or detach the disk first.", r.Name, r.ManagedBy)
	case p.Overlay:
		return refused("The disk '%s' was written to by a virtual machine; reading such a disk is not supported by this installation yet.", r.Name)
	case r.State() == arm.Deleting || r.State() == arm.Failed:
		return refused("The disk '%s' is in provisioning state '%s'.", r.Name, r.State())
	}
	return nil
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
	if next.SKU == nil {
		next.SKU = old.SKU
	}
	switch {
	case n.DiskSizeGB < o.DiskSizeGB:
		return refused("Disk '%s' of size %d GB cannot be shrunk to %d GB.", next.Name, o.DiskSizeGB, n.DiskSizeGB).At("diskSizeGB")
	case n.DiskSizeGB > o.DiskSizeGB && (o.Overlay || o.DiskState != Unattached):
		return refused("Disk '%s' is in state '%s' or was in use by a virtual machine; growing it is not supported by this installation yet.", next.Name, o.DiskState).At("diskSizeGB")
	}
	return nil
}

const stamp = "2006-01-02T15:04:05.0000000-07:00"

func gigabytes(n int64) int { return int((n + gib - 1) / gib) }

// fill computes what follows from size and class. The numbers are Azure's for its smallest disks (recorded) and, for
// Premium, of the documented tiers.
func fill(r *resource) {
	p := &r.Properties
	if r.SKU == nil {
		r.SKU = &control.SKU{}
	}
	if r.SKU.Name == "" {
		r.SKU.Name = skus[0]
	}
	r.SKU.Tier = strings.TrimSuffix(strings.TrimSuffix(r.SKU.Name, "_LRS"), "_ZRS")
	r.SKU.Tier = strings.NewReplacer("StandardSSD", "Standard", "UltraSSD", "Ultra", "PremiumV2", "Premium").Replace(r.SKU.Tier)
	p.DiskIOPSReadWrite, p.DiskMBpsReadWrite, p.Tier = 500, 60, ""
	if strings.HasPrefix(r.SKU.Name, "Premium_") {
		t := tierOf(p.DiskSizeGB)
		p.DiskIOPSReadWrite, p.DiskMBpsReadWrite, p.Tier = t.iops, t.mbps, t.name
	}
	p.DiskSizeBytes = int64(p.DiskSizeGB) * gib
	if p.Encryption == nil {
		p.Encryption = &Encryption{}
	}
	p.Encryption.Type = "EncryptionAtRestWithPlatformKey"
	for _, at := range []struct {
		value *string
		def   string
	}{{&p.NetworkAccessPolicy, "AllowAll"}, {&p.PublicNetworkAccess, "Enabled"}} {
		if *at.value == "" {
			*at.value = at.def
		}
	}
}

type tier struct {
	name       string
	gb         int
	iops, mbps int
}

func tierOf(gb int) tier {
	tiers := []tier{{"P1", 4, 120, 25}, {"P2", 8, 120, 25}, {"P3", 16, 120, 25}, {"P4", 32, 120, 25}, {"P6", 64, 240, 50},
		{"P10", 128, 500, 100}, {"P15", 256, 1100, 125}, {"P20", 512, 2300, 150}, {"P30", 1024, 5000, 200}, {"P40", 2048, 7500, 250},
		{"P50", 4096, 7500, 250}, {"P60", 8192, 16000, 500}, {"P70", 16384, 18000, 750}, {"P80", maxSizeGB, 20000, 900}}
	for _, t := range tiers {
		if gb <= t.gb {
			return t
		}
	}
	return tiers[len(tiers)-1]
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
			return refused("There is an active shared access signature outstanding for disk '%s'. Call EndGetAccess on the disk before deleting or attaching the disk.", r.Name)
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
	none := func(context.Context, *operation.Run) []operation.Step { return nil }
	return map[string]operation.Work{
		workWrite:  {Steps: none, Finish: settled},
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
	if r.Output, err = armjson.Wire(d); err != nil {
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
	if err := revoke(tx, d.ParsedID()); err != nil {
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
