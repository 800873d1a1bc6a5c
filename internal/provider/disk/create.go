package disk

import (
	"errors"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// create gives a new disk or snapshot its content. What is a manifest already is pinned in this transaction; anything else the
// operation brings, by in.
func (p *Provider) create(w *control.Write[Properties], in *writeInput) error {
	props, c := &w.New.Properties, w.New.Properties.CreationData
	props.UniqueID, props.TimeCreated, props.DiskState = uuid.NewString(), w.Now.UTC().Format(stamp), Unattached
	asSnapshot(w.New)
	var err error
	switch c.CreateOption {
	case "Upload":
		props.DiskState = ReadyToUpload
		props.DiskSizeGB = max(props.DiskSizeGB, gigabytes(c.UploadSizeBytes-footer))
	case "FromImage":
		err = p.fromImage(w)
	case "Copy", "CopyStart":
		err = p.copy(w, in)
	case "Restore":
		err = p.restore(w)
	case "Import":
		err = p.imports(w, in)
	}
	props.Pending = in.Content != ""
	if err != nil || props.Manifest == nil {
		return err
	}
	return p.pin(w.Tx, *props.Manifest, w.New)
}

// asSnapshot sets the members that only snapshots have. Whether it is incremental is recorded: equal chunks are stored once in
// any case.
func asSnapshot(r *resource) {
	if noun(r) != "snapshot" {
		r.Properties.Incremental = nil
		return
	}
	if r.Properties.Incremental == nil {
		r.Properties.Incremental = new(bool)
	}
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

// copy takes what a disk or snapshot holds. CopyStart is how an incremental snapshot goes to another region.
func (p *Provider) copy(w *control.Write[Properties], in *writeInput) error {
	const at = "creationData.sourceResourceId"
	props, c := &w.New.Properties, w.New.Properties.CreationData
	id, err := arm.ParseID(c.SourceResourceID)
	if err != nil {
		return err
	}
	from, err := control.Get[Properties](w.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' of the copy was not found.", id).At(at)
	}
	if err != nil {
		return err
	}
	if err := whole(from); err != nil {
		return err
	}
	s := &from.Properties
	start := c.CreateOption == "CopyStart"
	switch {
	case start && (noun(from) != "snapshot" || s.Incremental == nil || !*s.Incremental || !*props.Incremental):
		return invalid(at, "The createOption 'CopyStart' copies an incremental snapshot to an incremental snapshot; the source '%s' or the new snapshot is none.", id)
	case !start && from.Location != w.New.Location:
		return invalid(at, "The source '%s' is in location '%s'; a copy must be in the same location.", id, from.Location)
	}
	inherit(props, from)
	if err := props.hold(nil, s.DiskSizeGB); err != nil {
		return err
	}
	switch {
	case start && from.Location != w.New.Location && s.Manifest != nil:
		*in = writeInput{Content: fromRegion, Source: from.ID, Unique: s.UniqueID, Region: from.Location, Ref: s.Manifest}
		props.Completion = new(float64)
	case s.Overlay:
		*in = writeInput{Content: fromFreeze, Source: from.ID, Unique: s.UniqueID}
	default:
		props.Manifest = s.Manifest
	}
	return nil
}

// restore takes what a disk restore point holds.
func (p *Provider) restore(w *control.Write[Properties]) error {
	const at = "creationData.sourceResourceId"
	props, c := &w.New.Properties, w.New.Properties.CreationData
	if p.Points == nil {
		return unsupported("creationData.createOption", "The createOption 'Restore'")
	}
	id, err := arm.ParseID(c.SourceResourceID)
	if err != nil {
		return err
	}
	s, err := p.Points.Offer(w.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' of the disk was not found.", id).At(at)
	}
	if err != nil {
		return err
	}
	if s.Location != w.New.Location {
		return invalid(at, "The source '%s' is in location '%s'; the disk must be in the same location.", id, s.Location)
	}
	one := s.Disks[0]
	c.SourceUniqueID = one.UniqueID
	if props.OSType == "" {
		props.OSType = s.OSType
	}
	if props.HyperVGeneration == "" {
		props.HyperVGeneration = s.Generation
	}
	if props.Capabilities == nil && s.Architecture != "" {
		props.Capabilities = &Capabilities{Architecture: s.Architecture}
	}
	return props.hold(&one.Ref, one.SizeGB)
}

// family names the incremental snapshots of one disk: the same for all, and drawn from what nobody else has.
func family(uniqueID string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("incremental snapshots of "+uniqueID)).String()
}

// inherit takes what the source says of the system on it, unless the request says it.
func inherit(props *Properties, from *resource) {
	s := &from.Properties
	props.CreationData.SourceUniqueID = s.UniqueID
	if props.Capabilities == nil {
		props.Capabilities = s.Capabilities
	}
	if props.OSType == "" {
		props.OSType = s.OSType
	}
	if props.HyperVGeneration == "" {
		props.HyperVGeneration = s.HyperVGeneration
	}
	if props.Incremental == nil || !*props.Incremental {
		return
	}
	if props.FamilyID = s.FamilyID; props.FamilyID == "" {
		props.FamilyID = family(s.UniqueID)
	}
	whole := 100.0
	props.Completion = &whole
}

// imports takes the VHD in a storage account, for which the caller needs the account's keys, as in Azure. The name of an account in
// another subscription gives nothing away: such an account is named by storageAccountId, on which Links asked the right.
func (p *Provider) imports(w *control.Write[Properties], in *writeInput) error {
	const at = "creationData.sourceUri"
	c := w.New.Properties.CreationData
	if p.Blobs == nil {
		return unsupported("creationData.createOption", "The createOption 'Import'")
	}
	account, location, err := p.Blobs.Account(w.Tx, c.SourceURI)
	absent := errors.Is(err, store.ErrNotFound)
	switch {
	case err != nil && !absent:
		return err
	case c.StorageAccountID != "" && (absent || !strings.EqualFold(c.StorageAccountID, account.String())):
		return invalid(at, "The source blob '%.300s' is not in the storage account '%.300s', or there is no such account.", c.SourceURI, c.StorageAccountID)
	case c.StorageAccountID == "" && (absent || !strings.EqualFold(account.Subscription, w.ID.Subscription)):
		return invalid(at, "The source blob '%.300s' is in no storage account of subscription '%s'. Specify 'creationData.storageAccountId' for an account in another one.", c.SourceURI, w.ID.Subscription)
	case c.StorageAccountID == "":
		err := p.rbac.Linked(w.Tx, w.Caller, w.ID, w.New.Type+"/write", []rbac.Link{{ID: account, Action: source.AccountRight}})
		if err != nil {
			return source.Veiled(err, w.Caller, c.SourceURI)
		}
	}
	if location != w.New.Location {
		return invalid(at, "The source blob '%.300s' is in location '%s'; it must be in the same location as the %s.", c.SourceURI, location, noun(w.New))
	}
	*in = writeInput{Content: fromBlob, Source: c.SourceURI, Account: account.String()}
	return nil
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

// whole refuses a disk that has no content: its upload has not ended, or it is about to go.
func whole(r *resource) error {
	p := &r.Properties
	switch {
	case p.DiskState == ReadyToUpload || p.DiskState == ActiveUpload:
		return refused("The %s '%s' is in state '%s': its upload must be ended by endGetAccess first.", noun(r), r.Name, p.DiskState)
	case p.Pending:
		return refused("The %s '%s' has no content yet: its provisioning state is '%s'.", noun(r), r.Name, r.State())
	case r.State() == arm.Deleting || r.State() == arm.Failed:
		return refused("The %s '%s' is in provisioning state '%s'.", noun(r), r.Name, r.State())
	}
	return nil
}

// readable refuses a disk that a machine has at hand: it is exported when the machine is deallocated, or by a snapshot.
func readable(r *resource) error {
	if err := whole(r); err != nil {
		return err
	}
	if r.Properties.DiskState == Attached {
		return refused("The disk '%s' is attached to the running virtual machine '%s'. Deallocate the virtual machine or detach the disk first.", r.Name, r.ManagedBy)
	}
	return nil
}

// pin keeps a new disk's content. What its source names may be gone though the source is there: its tenant's key was shredded.
func (p *Provider) pin(tx store.Tx, ref image.Ref, d *resource) error {
	err := p.Images.Pin(tx, ref, d.Location, d.ID)
	if errors.Is(err, image.ErrNotFound) {
		return refused("The bytes that the %s '%s' would be made of are not there any more; whoever runs this installation has destroyed them.", noun(d), d.Name).Because(err)
	}
	return err
}
