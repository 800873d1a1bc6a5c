package disk

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/image/sas"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// request is the body of beginGetAccess.
type request struct {
	Access   string          `json:"access" arm:"required,enum=Read|Write"`
	Duration int64           `json:"durationInSeconds" arm:"required"`
	Format   string          `json:"fileFormat" arm:"enum=VHD|VHDX"`
	Secure   *bool           `json:"getSecureVMGuestStateSAS"`
	Unknown  armjson.Unknown `json:"-"`
}

// maxDuration is Azure's limit, 60 days.
const maxDuration = 60 * 24 * 3600

func parseRequest(body []byte) (request, error) {
	var q request
	faults := armjson.Decode(body, &q, "")
	if len(faults) == 0 && (q.Duration < 1 || q.Duration > maxDuration) {
		faults = append(faults, invalid("durationInSeconds", "The value of parameter durationInSeconds is out of range: '%d'. The value must be between 1 and %d, inclusive.", q.Duration, maxDuration))
	}
	if q.Format == "VHDX" {
		faults = append(faults, unsupported("fileFormat", "The file format 'VHDX' of a disk's signed URL"))
	}
	if q.Secure != nil && *q.Secure {
		faults = append(faults, unsupported("getSecureVMGuestStateSAS", "Reading a machine's guest state"))
	}
	return q, arm.Join(faults)
}

type beginInput struct {
	Grant string `json:"grant"` // key of its document
	Was   string `json:"was"`   // the disk's state before
	Read  bool   `json:"read,omitempty"`
}

// beginAccess writes the grant. Its URL is told by the operation, when there is something behind it.
func (p *Provider) beginAccess(_ context.Context, a *control.Act[Properties]) error {
	q, err := parseRequest(a.Body)
	if err != nil {
		return err
	}
	props := &a.New.Properties
	if props.NetworkAccessPolicy == "DenyAll" || props.PublicNetworkAccess == "Disabled" {
		return refused("The %s '%s' has the network access policy '%s' and public network access '%s'; its bytes cannot be exported or uploaded.", noun(a.New), a.New.Name, props.NetworkAccessPolicy, props.PublicNetworkAccess)
	}
	g, err := p.newGrant(a, q)
	if err != nil {
		return err
	}
	was := props.DiskState
	if q.Access == "Write" {
		if was != ReadyToUpload && was != ActiveUpload {
			return refused("Write access to the %[1]s '%[2]s' is allowed only for a %[1]s of createOption 'Upload' in state 'ReadyToUpload' or 'ActiveUpload'; its state is '%[3]s'.", noun(a.New), a.New.Name, was)
		}
		props.DiskState, g.Write, g.Upload = ActiveUpload, true, props.UniqueID
	} else {
		if err := readable(a.New); err != nil {
			return err
		}
		g.Region = a.New.Location
	}
	if err := g.save(a.Tx); err != nil {
		return err
	}
	a.Changed = true
	return a.Begin(workBegin, beginInput{Grant: grantKey(g.Host, g.Path), Was: was, Read: !g.Write})
}

func (p *Provider) newGrant(a *control.Act[Properties], q request) (*grant, error) {
	l, _ := arm.LocationOf(a.New.Location)
	u := sas.New(l.Zone+".blob.storage.azure.net", uuid.NewString())
	key, err := p.Seal.Seal(sas.NewKey(), a.ID.Key())
	return &grant{ID: u.ID, Host: u.Host, Path: u.Path, Disk: a.ID.Key(), Key: key, Since: a.Now.UTC(),
		Until: a.Now.UTC().Add(time.Duration(q.Duration) * time.Second)}, err
}

func (p *Provider) openSteps(ctx context.Context, r *operation.Run) []operation.Step {
	var in beginInput
	if err := r.Read(&in); err != nil {
		return []operation.Step{{Name: "input", Do: func() error { return err }}}
	}
	if in.Read {
		return []operation.Step{{Name: "content", Do: func() error { return p.export(ctx, r, in.Grant) }}}
	}
	return []operation.Step{{Name: "file", Do: func() error {
		var d *resource
		err := r.View(ctx, func(tx store.Tx) (err error) {
			d, err = control.Find[Properties](tx, r.Resource)
			return err
		})
		if err != nil || d.Properties.DiskState != ActiveUpload {
			return err
		}
		size := d.Properties.CreationData.UploadSizeBytes
		err = p.Images.CreateUpload(d.Properties.UniqueID, size)
		if large, ok := errors.AsType[*image.TooLarge](err); ok { // to try again would not help
			return refused("The %s '%s' for an upload of %d bytes is too large for this server: the file system that keeps uploads allows %d bytes at most. Create a smaller one.", noun(d), d.Name, size, large.Limit).Because(err)
		}
		return err
	}}}
}

// export gives a reading grant what the disk holds now, kept alive by the grant: a machine may write to the disk, or the disk may
// go, while a client reads.
func (p *Provider) export(ctx context.Context, r *operation.Run, key string) error {
	id, err := arm.ParseID(r.Resource)
	if err != nil {
		return err
	}
	ref, err := p.Freeze(ctx, id, "")
	if err != nil {
		return err
	}
	return r.Update(ctx, func(tx store.Tx) error {
		g, err := loadGrant(tx, key)
		if err != nil || g.Manifest.ID != "" {
			return err
		}
		g.Manifest = ref
		if err := p.Images.Pin(tx, ref, g.Region, g.holder()); err != nil {
			return err
		}
		return g.save(tx)
	})
}

// opened tells the signed URL, or takes the grant back.
func (p *Provider) opened(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	var in beginInput
	if err := r.Read(&in); err != nil {
		return err
	}
	if failure == nil {
		g, err := loadGrant(tx, in.Grant)
		if err != nil {
			return err
		}
		url, err := p.sign(g)
		if err != nil {
			return err
		}
		sealed, err := p.Seal.Seal(raw(map[string]string{"accessSAS": url}), r.Resource)
		r.Output, r.Sealed = raw(sealed), true
		return err
	}
	if g, err := loadGrant(tx, in.Grant); err == nil {
		err = p.end(tx, g)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	d, err := control.Find[Properties](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	d.Properties.DiskState = in.Was
	return control.Save(tx, d)
}

type endInput struct {
	Tenant string `json:"tenant"` // whose domain the bytes go to
}

// endAccess ends all grants. After an upload the bytes are packed, for which nobody may write any more.
func (p *Provider) endAccess(_ context.Context, a *control.Act[Properties]) error {
	if err := p.revoke(a.Tx, a.ID); err != nil {
		return err
	}
	tenant, err := control.TenantOf(a.Tx, a.ID.Subscription)
	if err != nil {
		return err
	}
	return a.Begin(workEnd, endInput{strings.ToLower(tenant)})
}

func (p *Provider) closeSteps(ctx context.Context, r *operation.Run) []operation.Step {
	return []operation.Step{
		{Name: "pack", Do: func() error { return p.pack(ctx, r) }},
		{Name: "tidy", Do: func() error { return p.tidy(ctx, r) }},
	}
}

// pack stores what was uploaded and makes it the disk's content in one transaction with its pin.
func (p *Provider) pack(ctx context.Context, r *operation.Run) error {
	var in endInput
	if err := r.Read(&in); err != nil {
		return err
	}
	d, err := p.disk(ctx, r.Resource)
	if err != nil || d.Properties.DiskState != ActiveUpload {
		return err
	}
	ref, err := p.Images.FinishUpload(ctx, d.Properties.UniqueID, d.Location, in.Tenant)
	var bad *format.Error
	if errors.As(err, &bad) {
		return arm.Errorf(400, "InvalidVhd", "The upload to %s '%s' is not a fixed VHD of the announced size: %s. Upload it again and then call endGetAccess.", noun(d), d.Name, bad.Text).Because(err)
	}
	if errors.Is(err, image.ErrUpload) {
		return arm.Errorf(400, "InvalidVhd", "Nothing was uploaded to %s '%s'.", noun(d), d.Name).Because(err)
	}
	if err != nil {
		return err
	}
	return r.Update(ctx, func(tx store.Tx) error {
		d, err := control.Find[Properties](tx, r.Resource)
		if err != nil {
			return err
		}
		if err := p.Images.Pin(tx, ref, d.Location, d.ID); err != nil {
			return err
		}
		d.Properties.Manifest, d.Properties.DiskState = &ref, Unattached
		return control.Save(tx, d)
	})
}

func (p *Provider) tidy(ctx context.Context, r *operation.Run) error {
	d, err := p.disk(ctx, r.Resource)
	if err != nil || d.Properties.DiskState == ActiveUpload {
		return err
	}
	return p.Images.RemoveUpload(d.Properties.UniqueID)
}

// closed leaves the state: Unattached when the upload was good, ReadyToUpload when it was not and may be repeated.
func (p *Provider) closed(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	d, err := control.Find[Properties](tx, r.Resource)
	if err != nil || failure == nil {
		return gone(err)
	}
	if d.Properties.DiskState == ActiveUpload {
		d.Properties.DiskState = ReadyToUpload
	}
	return control.Save(tx, d)
}

func (p *Provider) disk(ctx context.Context, id string) (d *resource, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		d, err = control.Find[Properties](tx, id)
		return err
	})
	return d, err
}

// view shows the state ActiveSAS while somebody may read by a signed URL.
func (p *Provider) view(_ context.Context, r *control.Read[Properties]) error {
	grants, err := grantsOf(r.Tx, r.Resource.ParsedID())
	if err != nil {
		return err
	}
	for _, g := range grants {
		if !g.Write && p.Now().Before(g.Until) {
			r.Resource.Properties.DiskState = ActiveSAS
		}
	}
	return nil
}
