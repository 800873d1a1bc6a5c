package restore

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

// getDisk reads a disk restore point out of its point.
func getDisk(tx store.Tx, id arm.ID) (*diskPoint, error) {
	one, err := control.Get[Point](tx, id.Parent())
	if err != nil {
		return nil, err
	}
	c := one.Properties.content(id.Name())
	if c == nil {
		return nil, store.ErrNotFound
	}
	return shown(one, c), nil
}

func listDisks(_ context.Context, l *control.Listing) ([]*diskPoint, error) {
	one, err := control.Get[Point](l.Tx, l.Scope)
	if err != nil {
		return nil, err
	}
	var all []*diskPoint
	for i := range one.Properties.Content {
		all = append(all, shown(one, &one.Properties.Content[i]))
	}
	return all, nil
}

func shown(one *point, c *Content) *diskPoint {
	d := control.Make[DiskPoint](one.ParsedID().Child("diskRestorePoints", c.Name), "", time.Time{})
	d.Properties = DiskPoint{TimeCreated: one.Properties.TimeCreated, Source: c.Source, OSType: c.OSType, Generation: c.Generation,
		FamilyID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("restore points of "+c.Unique)).String(), Unique: c.Unique,
		Encryption: &Encryption{Type: "EncryptionAtRestWithPlatformKey"}, Network: "AllowAll", Public: "Enabled", Location: one.Properties.Region}
	if c.Architecture != "" {
		d.Properties.Capabilities = &Capabilities{Architecture: c.Architecture}
	}
	if one.Properties.Made {
		d.Properties.Percent = 100
	}
	return d
}

// Offer tells what a disk may be made from. store.ErrNotFound; an *arm.Error while the point has no content.
func (p *Provider) Offer(tx store.Tx, id arm.ID) (source.Source, error) {
	if !strings.EqualFold(id.Type(), DiskType) {
		return source.Source{}, store.ErrNotFound
	}
	one, err := control.Get[Point](tx, id.Parent())
	if err != nil {
		return source.Source{}, err
	}
	c := one.Properties.content(id.Name())
	switch {
	case c == nil:
		return source.Source{}, store.ErrNotFound
	case !one.Properties.Made || one.State() == arm.Deleting || one.State() == arm.Failed:
		return source.Source{}, refused("The restore point '%s' cannot be used: its provisioning state is '%s'.", one.Name, one.State())
	}
	return source.Source{ID: id, Location: one.Properties.Region, OSType: c.OSType, Generation: c.Generation, Architecture: c.Architecture,
		Disks: []source.Disk{{LUN: source.OSDisk, ID: id, UniqueID: c.Unique, Ref: c.Ref, SizeGB: c.SizeGB}}}, nil
}
