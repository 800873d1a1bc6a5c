package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// The ways in which an operation brings a content.
const (
	fromFreeze = "freeze" // of a disk that machines have written to
	fromRegion = "region" // of a snapshot elsewhere
	fromBlob   = "blob"   // of a VHD in a storage account
)

// writeInput says what a creation has yet to bring; nothing when Content is empty.
type writeInput struct {
	Content string     `json:"content,omitempty"`
	Source  string     `json:"source,omitempty"` // ID or URI
	Unique  string     `json:"unique,omitempty"` // uniqueId of the source: one of the same name that came later is another
	Region  string     `json:"region,omitempty"`
	Account string     `json:"account,omitempty"` // of a blob
	Ref     *image.Ref `json:"ref,omitempty"`
}

func (p *Provider) contentSteps(ctx context.Context, r *operation.Run) []operation.Step {
	var in writeInput
	if err := r.Read(&in); err != nil {
		return []operation.Step{{Name: "input", Do: func() error { return err }}}
	}
	if in.Content == "" {
		return nil
	}
	return []operation.Step{{Name: "content", Do: func() error { return p.bringContent(ctx, r, in) }}}
}

// bringContent makes the manifest and gives it to the disk in one transaction with its pin.
func (p *Provider) bringContent(ctx context.Context, r *operation.Run, in writeInput) error {
	d, err := p.disk(ctx, r.Resource)
	if err != nil || !d.Properties.Pending {
		return err
	}
	var ref image.Ref
	switch in.Content {
	case fromFreeze:
		ref, err = p.freezeSource(ctx, in)
	case fromRegion:
		ref, err = *in.Ref, p.fetch(ctx, r, d, in)
	case fromBlob:
		ref, err = p.importBlob(ctx, r, d, in)
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
		props := &d.Properties
		props.Manifest, props.Pending = &ref, false
		props.DiskSizeGB = max(props.DiskSizeGB, gigabytes(ref.Size))
		if props.Completion != nil {
			*props.Completion = 100
		}
		fill(d)
		return control.Save(tx, d)
	})
}

// freezeSource reads the source that was there when the copy was asked for.
func (p *Provider) freezeSource(ctx context.Context, in writeInput) (image.Ref, error) {
	id, err := arm.ParseID(in.Source)
	if err != nil {
		return image.Ref{}, err
	}
	ref, err := p.Freeze(ctx, id, in.Unique)
	if errors.Is(err, store.ErrNotFound) {
		return ref, arm.Errorf(404, "ResourceNotFound", "The source '%s' of the copy was deleted meanwhile.", id).At("creationData.sourceResourceId")
	}
	return ref, err
}

// fetch copies a snapshot's chunks from another region, and tells how far it is.
func (p *Provider) fetch(ctx context.Context, r *operation.Run, d *resource, in writeInput) error {
	var last time.Time
	err := p.Images.Replicate(ctx, *in.Ref, in.Region, d.Location, func(done, total int64) {
		if total == 0 || time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		if err := p.tell(ctx, r, min(99, float64(done*100/total))); err != nil {
			r.Log().Debug("progress is not recorded", "error", err)
		}
	})
	if errors.Is(err, image.ErrNotFound) {
		return arm.Errorf(404, "ResourceNotFound", "The source '%s' of the copy was deleted meanwhile.", in.Source).At("creationData.sourceResourceId")
	}
	return err
}

func (p *Provider) tell(ctx context.Context, r *operation.Run, percent float64) error {
	return r.Update(ctx, func(tx store.Tx) error {
		d, err := control.Find[Properties](tx, r.Resource)
		if err != nil {
			return err
		}
		d.Properties.Completion = &percent
		return control.Save(tx, d)
	})
}

// importBlob reads a fixed VHD from a storage account.
func (p *Provider) importBlob(ctx context.Context, r *operation.Run, d *resource, in writeInput) (image.Ref, error) {
	const at = "creationData.sourceUri"
	uri := in.Source
	account, err := arm.ParseID(in.Account)
	if err != nil {
		return image.Ref{}, err
	}
	blob, err := p.Blobs.Open(ctx, account, uri)
	if errors.Is(err, store.ErrNotFound) {
		return image.Ref{}, arm.Errorf(404, "BlobNotFound", "The source blob '%.300s' was not found.", uri).At(at)
	}
	if err != nil {
		return image.Ref{}, err
	}
	defer blob.Close()
	size, err := format.CheckFixedVHD(blob, blob.Size())
	var bad *format.Error
	if errors.As(err, &bad) {
		return image.Ref{}, arm.Errorf(400, "InvalidVhd", "The source blob '%.300s' is not a fixed VHD: %s.", uri, bad.Text).Because(err).At(at)
	}
	if err != nil {
		return image.Ref{}, fmt.Errorf("import %s: %w", uri, err)
	}
	if have := d.Properties.DiskSizeGB; have != 0 && int64(have)*gib < size {
		return image.Ref{}, invalid("diskSizeGB", "The specified disk size %d GB is smaller than the source blob of %d bytes.", have, size)
	}
	if err := p.announce(ctx, r, size); err != nil {
		return image.Ref{}, err
	}
	domain, err := p.domain(ctx, d)
	if err != nil {
		return image.Ref{}, err
	}
	var content io.ReaderAt = blob
	if sparse, ok := blob.(image.Sparse); ok {
		content = upTo{blob, sparse}
	}
	return p.Images.Pack(ctx, d.Location, domain, content, size, nil)
}

// announce says how large a disk becomes, before its bytes are read: the tenant's quota may refuse it.
func (p *Provider) announce(ctx context.Context, r *operation.Run, size int64) error {
	return r.Update(ctx, func(tx store.Tx) error {
		d, err := control.Find[Properties](tx, r.Resource)
		if err != nil || d.Properties.DiskSizeGB >= gigabytes(size) {
			return err
		}
		d.Properties.DiskSizeGB = gigabytes(size)
		fill(d)
		return control.Save(tx, d)
	})
}

// upTo is a blob that knows its holes; Pack asks for no more than the disk, which the footer follows.
type upTo struct {
	io.ReaderAt
	image.Sparse
}

// domain is where the bytes of a disk's tenant lie.
func (p *Provider) domain(ctx context.Context, d *resource) (domain string, err error) {
	err = p.store.View(ctx, func(tx store.Tx) error {
		domain, err = control.TenantOf(tx, d.ParsedID().Subscription)
		return err
	})
	return strings.ToLower(domain), err
}
