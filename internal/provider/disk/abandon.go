package disk

import (
	"context"
	"errors"
	"time"

	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// abandoned is how long nothing was written to an upload that nobody may write any more until it is given up; the service gives blocks
// that no list names as long.
const abandoned = 7 * 24 * time.Hour

// abandon gives up what was uploaded to a disk, unless somebody may still write it, or is storing it. The disk stays, and takes another
// upload: it is its owner's to delete.
func (p *Provider) abandon(ctx context.Context, disk, file string) error {
	u, err := p.Images.OpenUpload(file)
	if errors.Is(err, image.ErrUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	defer u.Close()
	end := u.Shut() // who is granted access now comes again when this has ended
	given := false
	defer func() { end(!given) }()
	if written, err := u.Modified(); err != nil || p.Now().Sub(written) <= abandoned {
		return err // somebody did, since the list was made
	}
	err = p.store.Update(ctx, func(tx store.Tx) error {
		given = false
		d, err := control.Find[Properties](tx, disk)
		if err != nil {
			return gone(err)
		}
		grants, err := grantsOf(tx, d.ParsedID())
		if err != nil {
			return err
		}
		busy, err := operation.Open(tx, d.ParsedID().Key())
		if err != nil || len(grants)+len(busy) > 0 || d.Properties.DiskState != ActiveUpload && d.Properties.DiskState != ReadyToUpload {
			return err
		}
		given = true
		if d.Properties.DiskState == ReadyToUpload {
			return nil
		}
		d.Properties.DiskState = ReadyToUpload
		return control.Save(tx, d)
	})
	if err != nil || !given {
		given = false
		return err
	}
	return p.Images.RemoveUpload(file)
}
