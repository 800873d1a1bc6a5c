package gallery

import (
	"context"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/provider/gallery/publish"
)

// putVersion publishes a new version, or changes where and how an old one is published.
func (p *Provider) putVersion(_ context.Context, w *control.Write[catalog.Version]) error {
	definition, err := control.Get[catalog.Definition](w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	if err := catalog.Alive(definition, w.ID.Parent()); err != nil {
		return err
	}
	shop, err := control.Get[catalog.Gallery](w.Tx, w.ID.Parent().Parent())
	if err != nil {
		return err
	}
	if err := catalog.AtHome(shop, w.New.Location); err != nil {
		return err
	}
	var old *catalog.Version
	if w.Old != nil {
		old = &w.Old.Properties
		if old.Deleted != "" {
			return p.restore(w)
		}
	}
	if err := catalog.Settle(w.New, old, w.Version, w.Now); err != nil {
		return err
	}
	if err := p.replicas(w.New.Properties.Publishing); err != nil {
		return err
	}
	if w.Old == nil {
		if err := p.room(w.Tx, w.ID, w.New.Location); err != nil {
			return err
		}
		if err := p.publisher.Take(w, definition); err != nil {
			return err
		}
	}
	if err := p.publisher.Regions(w); err != nil {
		return err
	}
	tenant, err := control.TenantOf(w.Tx, w.ID.Subscription)
	if err != nil {
		return err
	}
	return w.Begin(workVersion, publish.Input{Domain: strings.ToLower(tenant)})
}

// deleteVersion begins the end, unless the version is guarded until its end of life (gallery.md 12).
func (p *Provider) deleteVersion(_ context.Context, w *control.Write[catalog.Version]) error {
	props := &w.Old.Properties
	if s := props.Safety; s != nil && s.BlockUntilLife != nil && *s.BlockUntilLife {
		if end, ok := catalog.ParseDate(props.Publishing.EndOfLifeDate); ok && w.Now.Before(end) {
			return arm.Errorf(409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", "The gallery image version '%s' cannot be deleted before its end of life, '%s', since 'safetyProfile.blockDeletionBeforeEndOfLife' is set.", w.ID, end.Format(time.RFC3339))
		}
	}
	soft, err := softly(w)
	if err != nil {
		return err
	}
	return w.Begin(workVersionDelete, deletion{Soft: soft})
}

// viewVersion adds the replication status, or the keys of the firmware, for who asks for them.
func (p *Provider) viewVersion(_ context.Context, r *control.Read[catalog.Version]) error {
	v := &r.Resource.Properties
	v.ReplicationStatus = nil
	if v.UEFI != nil && strings.EqualFold(r.Query.Get("$expand"), "UefiSettings") {
		v.SecurityProfile = &catalog.Security{UEFI: v.UEFI}
	}
	if !strings.EqualFold(r.Query.Get("$expand"), "ReplicationStatus") || v.Publishing == nil {
		return nil
	}
	v.ReplicationStatus = catalog.Told(v.Publishing.TargetRegions, v.Regions)
	return nil
}
