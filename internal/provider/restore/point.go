package restore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// maxPoints is how many points a collection keeps, Azure's limit for a machine.
const maxPoints = 500

// validatePoint refuses by name what would promise more than there is: nothing here tells a guest to quiesce its file systems.
func validatePoint(r *point) (faults []*arm.Error) {
	p := &r.Properties
	if p.Consistency != "" && p.Consistency != crash {
		faults = append(faults, unsupported("consistencyMode", "The consistency mode '"+p.Consistency+"' of a restore point"))
	}
	if p.SourcePoint != nil && p.SourcePoint.ID != "" {
		faults = append(faults, unsupported("sourceRestorePoint", "A copy of a restore point"))
	}
	if p.InstantAccess != 0 {
		faults = append(faults, unsupported("instantAccessDurationMinutes", "Instant access to restore points"))
	}
	return faults
}

// customerKeys refuses keys of the customer's: sourceMetadata is what the server tells, but for these.
func customerKeys(body json.RawMessage) error {
	type disk struct {
		DiskRestorePoint struct {
			Encryption struct {
				Type              string
				DiskEncryptionSet struct{ ID string }
			}
		}
	}
	var sent struct {
		Properties struct {
			SourceMetadata struct {
				StorageProfile struct {
					OSDisk    disk
					DataDisks []disk
				}
			}
		}
	}
	if json.Unmarshal(body, &sent) != nil {
		return nil // the server's own members are not read
	}
	s := sent.Properties.SourceMetadata.StorageProfile
	for _, d := range append(s.DataDisks, s.OSDisk) {
		if e := d.DiskRestorePoint.Encryption; e.DiskEncryptionSet.ID != "" || e.Type != "" && !strings.EqualFold(e.Type, "EncryptionAtRestWithPlatformKey") {
			return unsupported("sourceMetadata.storageProfile", "Encryption with a customer's key (disk encryption sets)")
		}
	}
	return nil
}

// putPoint makes a point of all disks of the machine but the excluded ones. One that is there stays as it is (documented).
func (p *Provider) putPoint(_ context.Context, w *control.Write[Point]) error {
	if err := customerKeys(w.Body); err != nil {
		return err
	}
	c, err := control.Get[Collection](w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	w.Location = c.Location
	props := &w.New.Properties
	if w.Old != nil && w.Old.Properties.Made {
		if props.Consistency == "" {
			props.Consistency = crash
		}
		if !same(&w.Old.Properties, props) {
			return refused("Updating properties of an existing restore point is not allowed: '%s'.", w.ID.Name())
		}
		props.Exclude = w.Old.Properties.Exclude
		return nil
	}
	if c.State() == arm.Deleting {
		return refused("The restore point collection '%s' is being deleted.", c.Name)
	}
	if w.Old == nil {
		if err := room(w.Tx, c); err != nil {
			return err
		}
	} else if err := p.release(w.Tx, w.Old); err != nil { // of an earlier try
		return err
	}
	if err := p.take(w, c); err != nil {
		return err
	}
	return w.Begin(workPoint, nil)
}

func same(old, next *Point) bool {
	return old.Consistency == next.Consistency && slices.EqualFunc(old.Exclude, next.Exclude, func(a, b Ref) bool { return strings.EqualFold(a.ID, b.ID) })
}

func room(tx store.Tx, c *collection) error {
	all, err := pointsOf(tx, c.ParsedID())
	if err == nil && len(all) >= maxPoints {
		return refused("The number of restore points in the restore point collection '%s' cannot exceed %d. To create a new restore point, please delete existing restore points.", c.Name, maxPoints)
	}
	return err
}

// take notes what the operation is to bring. Who makes a point gets at the bytes of the disks, so that he needs for each what it
// takes to copy it: who may read a machine may not therefore read its disks, which can lie in other groups.
func (p *Provider) take(w *control.Write[Point], c *collection) error {
	props := &w.New.Properties
	id, err := arm.ParseID(c.Properties.Source.ID)
	if err != nil {
		return err
	}
	if err := p.rbac.Linked(w.Tx, w.Caller, w.ID, PointType+"/write", []rbac.Link{{ID: id, Action: machineType + "/read"}}); err != nil {
		return err
	}
	s, err := p.machine(w.Tx, id.String(), c.Location)
	if err != nil {
		return err
	}
	disks, err := included(s, props.Exclude)
	if err != nil {
		return err
	}
	var links []rbac.Link
	for _, d := range disks {
		links = append(links, rbac.Link{ID: d.ID, Action: disksType + "/beginGetAccess/action"})
	}
	if err := p.rbac.Linked(w.Tx, w.Caller, w.ID, PointType+"/write", links); err != nil {
		return err
	}
	m, err := p.Machine(w.Tx, id)
	if err != nil {
		return err
	}
	props.Content, props.Region, props.Consistency = nil, c.Location, crash
	props.TimeCreated = w.Now.UTC().Format(stamp)
	for _, d := range disks {
		one := Content{Name: d.ID.Name() + "_" + uuid.NewString(), SizeGB: d.SizeGB, Source: d.ID.String(), Unique: d.UniqueID}
		if d.LUN == source.OSDisk {
			one.OSType, one.Generation, one.Architecture = s.OSType, s.Generation, s.Architecture
		}
		props.Content = append(props.Content, one)
	}
	props.Metadata = describe(w.ID, s, m, props.Content)
	return nil
}

// included are the disks of a machine that a point holds.
func included(s source.Source, exclude []Ref) ([]source.Disk, error) {
	out := map[string]bool{}
	for _, r := range exclude {
		known := slices.ContainsFunc(s.Disks, func(d source.Disk) bool { return strings.EqualFold(d.ID.String(), r.ID) })
		if !known {
			return nil, invalid("excludeDisks", "The disk '%.300s' of 'excludeDisks' is not attached to the virtual machine '%s'.", r.ID, s.ID.Name())
		}
		out[strings.ToLower(r.ID)] = true
	}
	disks := slices.DeleteFunc(slices.Clone(s.Disks), func(d source.Disk) bool { return out[strings.ToLower(d.ID.String())] })
	if len(disks) == 0 {
		return nil, invalid("excludeDisks", "A restore point cannot exclude all disks of the virtual machine '%s'.", s.ID.Name())
	}
	return disks, nil
}

// tries is how often disks that change are read anew.
const tries = 3

func (p *Provider) steps(ctx context.Context, r *operation.Run) []operation.Step {
	return []operation.Step{{Name: "disks", Do: func() error {
		var all []Content
		err := r.View(ctx, func(tx store.Tx) error {
			one, err := control.Find[Point](tx, r.Resource)
			if err == nil && !one.Properties.Made {
				all = one.Properties.Content
			}
			return err
		})
		if err != nil || len(all) == 0 {
			return err
		}
		refs, err := p.moment(ctx, all)
		if err != nil {
			return err
		}
		return r.Update(ctx, func(tx store.Tx) error { return p.bring(tx, r.Resource, refs) })
	}}}
}

// moment gives what all disks held at one moment. One disk is read as of one moment by itself. Of several that a machine may be
// writing to, what two readings one after the other agree on they held all at once, between the two.
func (p *Provider) moment(ctx context.Context, all []Content) ([]image.Ref, error) {
	refs, err := p.freeze(ctx, all)
	if err != nil || len(all) == 1 {
		return refs, err
	}
	for range tries {
		again, err := p.freeze(ctx, all)
		if err != nil || slices.Equal(refs, again) {
			return refs, err
		}
		refs = again
	}
	return nil, refused("The disks of the virtual machine were written to while they were read, so that they are of no common moment. Deallocate the virtual machine, or exclude all disks but one, and retry the operation.")
}

func (p *Provider) freeze(ctx context.Context, all []Content) ([]image.Ref, error) {
	refs := make([]image.Ref, len(all))
	for i, c := range all {
		id, err := arm.ParseID(c.Source)
		if err != nil {
			return nil, err
		}
		refs[i], err = p.Sources.Freeze(ctx, id, c.Unique)
		if errors.Is(err, store.ErrNotFound) {
			return nil, arm.Errorf(404, "ResourceNotFound", "The disk '%s' of the virtual machine was deleted meanwhile.", c.Source)
		}
		if err != nil {
			return nil, err
		}
	}
	return refs, nil
}

// bring gives the point its content, in one transaction with the pins.
func (p *Provider) bring(tx store.Tx, id string, refs []image.Ref) error {
	one, err := control.Find[Point](tx, id)
	if err != nil || one.Properties.Made {
		return err
	}
	props := &one.Properties
	for i := range props.Content {
		c := &props.Content[i]
		c.Ref = refs[i]
		c.SizeGB = max(c.SizeGB, int((c.Ref.Size+1<<30-1)>>30))
		if err := p.Images.Pin(tx, c.Ref, props.Region, holder(one, c)); err != nil {
			return err
		}
	}
	props.Made = true
	return control.Save(tx, one)
}

// holder is the name by which a point pins what a disk held: the disk restore point's ID.
func holder(one *point, c *Content) string {
	return one.ParsedID().Child("diskRestorePoints", c.Name).String()
}

// settled writes the end of a creation.
func settled(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	one, err := control.Find[Point](tx, r.Resource)
	if err != nil {
		return absent(err)
	}
	one.SetState(arm.Succeeded)
	if failure != nil {
		one.SetState(arm.Failed)
	}
	return control.Save(tx, one)
}

func (p *Provider) deletePoint(_ context.Context, w *control.Write[Point]) error {
	w.Location = w.Old.Properties.Region
	return w.Begin(workPointDelete, nil)
}

func (p *Provider) pointGone(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	if failure != nil {
		return settled(tx, r, failure)
	}
	one, err := control.Find[Point](tx, r.Resource)
	if err != nil {
		return absent(err)
	}
	return p.drop(tx, one)
}

// drop removes a point and lets go of what it held. Disks that were made from it go on: they pin what they need.
func (p *Provider) drop(tx store.Tx, one *point) error {
	if err := p.release(tx, one); err != nil {
		return err
	}
	return control.Remove(tx, one.ParsedID())
}

func (p *Provider) release(tx store.Tx, one *point) error {
	for i := range one.Properties.Content {
		c := &one.Properties.Content[i]
		if c.Ref.ID == "" {
			continue
		}
		if err := p.Images.Unpin(tx, c.Ref, one.Properties.Region, holder(one, c)); err != nil {
			return err
		}
	}
	return nil
}

// viewPoint shows how far the bytes are, for which $expand asks.
func viewPoint(_ context.Context, r *control.Read[Point]) error {
	props := &r.Resource.Properties
	props.View = nil
	if !strings.EqualFold(r.Query.Get("$expand"), "instanceView") {
		return nil
	}
	word, percent := "InProgress", 0
	switch {
	case props.Made:
		word, percent = "Succeeded", 100
	case r.Resource.State() == arm.Failed:
		word = "Failed"
	}
	status := Status{Code: "ReplicationState/" + strings.ToLower(word[:1]) + word[1:], Level: "Info", Display: word}
	props.View = &View{Statuses: []Status{status}}
	for i := range props.Content {
		props.View.Disks = append(props.View.Disks, DiskView{ID: holder(r.Resource, &props.Content[i]), Replication: Replication{Status: status, Percent: percent}})
	}
	return nil
}
