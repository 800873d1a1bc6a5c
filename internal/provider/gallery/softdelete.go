package gallery

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/control/paging"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Soft delete moves a version's document into its grave, under another type: whatever reads versions does not see it, and what
// deletes a resource group finds it. Its bytes stay pinned.
//
//	DELETE version ─▶ grave ─ retention: usable by exact version ─ grace: only to be restored ─▶ Sweep: gone, unpinned
//	                    └── PUT or PATCH with restore ─▶ version

// deletion is the input of a version's deletion.
type deletion struct {
	Soft *catalog.SoftDeletePolicy `json:"soft"` // nil: for good
}

// softly says whether a version's deletion leaves a grave: the gallery wants it, the request does not bypass it, and there is
// something to restore.
func softly(w *control.Write[catalog.Version]) (*catalog.SoftDeletePolicy, error) {
	g, err := control.Get[catalog.Gallery](w.Tx, w.ID.Parent().Parent())
	if err != nil {
		return nil, err
	}
	policy, home := g.Properties.SoftDeletePolicy, w.Old.Properties.Regions[w.Old.Location]
	if policy == nil || !policy.Enabled || home == nil || home.State != catalog.Completed || strings.EqualFold(w.Query.Get("bypassSoftDelete"), "true") {
		return nil, nil
	}
	return policy, nil
}

// withdrawn ends a deletion.
func (p *Provider) withdrawn(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	var input deletion
	if len(r.Input) > 0 {
		if err := r.Read(&input); err != nil {
			return err
		}
	}
	v, err := control.Find[catalog.Version](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	switch {
	case failure != nil:
		v.SetState(arm.Failed)
		return control.Save(tx, v)
	case input.Soft == nil:
		if err := p.publisher.Withdraw(tx, v); err != nil {
			return err
		}
		return control.Remove(tx, v.ParsedID())
	}
	grave, err := catalog.Bury(v, *input.Soft, p.Now())
	if err != nil {
		return err
	}
	if err := control.Save(tx, grave); err != nil {
		return err
	}
	return tx.Delete(v.ParsedID().Key(), 0) // role assignments on the version wait with it
}

// graveOf reads the grave of a version; store.ErrNotFound.
func graveOf(tx store.Tx, version arm.ID) (*catalog.GraveResource, error) {
	if len(version.Names) != 3 {
		return nil, store.ErrNotFound
	}
	return control.Get[catalog.Grave](tx, catalog.GraveID(version))
}

// buried gives a PUT or PATCH the version that it may restore.
func (p *Provider) buried(tx store.Tx, id arm.ID) (*catalog.VersionResource, error) {
	g, err := graveOf(tx, id)
	if err != nil {
		return nil, err
	}
	return g.Properties.Exhume()
}

// restore brings a soft-deleted version back as it was.
func (p *Provider) restore(w *control.Write[catalog.Version]) error {
	grave, err := graveOf(w.Tx, w.ID)
	if err != nil {
		return err
	}
	if !w.New.Properties.Restores() {
		return arm.Errorf(409, "Conflict", "The gallery image version '%s' exists in soft-deleted state until '%s'. Restore it, or wait until it is deleted for good.", w.ID, grave.Properties.HardDeletionEnd)
	}
	if grave.Properties.Due(p.Now()) {
		return arm.Errorf(409, "Conflict", "The gallery image version '%s' can no longer be restored: it is being deleted for good.", w.ID)
	}
	if err := p.room(w.Tx, w.ID, w.Old.Location); err != nil {
		return err
	}
	tags, safety := w.New.Tags, w.New.Properties.Safety
	w.New.Properties, w.New.Tags = w.Old.Properties, w.Old.Tags
	w.New.Properties.Deleted = ""
	if len(tags) > 0 {
		w.New.Tags = tags
	}
	if safety != nil {
		w.New.Properties.Safety = safety
	}
	if err := control.Remove(w.Tx, grave.ParsedID()); err != nil {
		return err
	}
	return w.Begin(workVersionRestore, nil)
}

// restored ends a restoration: the version is what it was.
func restored(tx store.Tx, r *operation.Run, failure *arm.Error) error {
	v, err := control.Find[catalog.Version](tx, r.Resource)
	if err != nil {
		return gone(err)
	}
	v.SetState(arm.Succeeded)
	for _, region := range v.Properties.Regions {
		if failure != nil || region.State != catalog.Completed {
			v.SetState(arm.Failed)
		}
	}
	return control.Save(tx, v)
}

// purge deletes a soft-deleted version for good.
func (p *Provider) purge(tx store.Tx, g *catalog.GraveResource) error {
	v, err := g.Properties.Exhume()
	if err != nil {
		return err
	}
	if err := p.publisher.Withdraw(tx, v); err != nil {
		return err
	}
	if err := control.Remove(tx, v.ParsedID()); err != nil { // what hung on it
		return err
	}
	return control.Remove(tx, g.ParsedID())
}

// purgeNow serves DELETE of a soft-deleted version: a resource group that is deleted does not wait.
func (p *Provider) purgeNow(_ context.Context, w *control.Write[catalog.Grave]) error {
	return p.purge(w.Tx, w.Old)
}

// Sweep deletes for good the soft-deleted versions whose time has come.
func (p *Provider) Sweep(ctx context.Context) error {
	var due []arm.ID
	err := p.store.View(ctx, func(tx store.Tx) error {
		due = nil
		all, err := control.Select[catalog.Grave](tx, store.Query{Kind: control.Kind(catalog.GraveType)})
		for _, g := range all {
			if g.Properties.Due(p.Now()) {
				due = append(due, g.ParsedID())
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	var failures []error
	for _, id := range due {
		failures = append(failures, p.store.Update(ctx, func(tx store.Tx) error {
			g, err := control.Get[catalog.Grave](tx, id)
			if err != nil || !g.Properties.Due(p.Now()) { // restored meanwhile, and deleted again
				return gone(err)
			}
			return p.purge(tx, g)
		}))
	}
	return errors.Join(failures...)
}

const gravesPattern = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/softDeletedArtifactTypes/{type}/artifacts/{artifact}/versions"

// listGraves lists the soft-deleted versions of a definition.
func listGraves(_ context.Context, c *control.Call) (any, error) {
	definition, err := arm.ParseID("/subscriptions/" + c.Names["subscription"] + "/resourceGroups/" + c.Names["group"] + "/providers/Microsoft.Compute/galleries/" +
		c.Names["gallery"] + "/images/" + c.Names["artifact"])
	if err != nil {
		return nil, err
	}
	if err := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, catalog.GraveType+"/read", definition); err != nil {
		return nil, err
	}
	if !catalog.IsImages(c.Names["type"]) {
		return nil, arm.Errorf(400, "InvalidParameter", "The soft-deleted artifact type '%.80s' is not known. Allowed values are: Images.", c.Names["type"]).At("artifactType")
	}
	if _, err := control.Get[catalog.Definition](c.Tx, definition); errors.Is(err, store.ErrNotFound) {
		return nil, arm.Errorf(404, "ResourceNotFound", "The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
			"Microsoft.Compute/galleries/"+c.Names["gallery"]+"/images/"+c.Names["artifact"], c.Names["group"])
	} else if err != nil {
		return nil, err
	}
	version, err := arm.VersionOf(c.Query)
	if err != nil {
		return nil, err
	}
	cut, err := paging.Of(c.Query, "")
	if err != nil {
		return nil, err
	}
	found, err := control.Select[catalog.Grave](c.Tx, store.Query{Kind: control.Kind(catalog.GraveType), Prefix: gravesOf(definition), After: cut.After, Limit: cut.Size + 1})
	if err != nil {
		return nil, err
	}
	return page(c, cut, found, version)
}

// gravesOf is the beginning of the keys of a definition's soft-deleted versions.
func gravesOf(definition arm.ID) string {
	return definition.Parent().Key() + "/softdeletedartifacttypes/images/artifacts/" + strings.ToLower(definition.Name()) + "/versions/"
}

func page(c *control.Call, cut paging.Page, found []*catalog.GraveResource, version arm.Version) (any, error) {
	answer := map[string]any{}
	if len(found) > cut.Size {
		found = found[:cut.Size]
		answer["nextLink"] = paging.Next(c.Base, c.Path, c.Query, found[cut.Size-1].ParsedID().Key())
	}
	list := []json.RawMessage{}
	for _, g := range found {
		catalog.GraveDialect(g, version)
		raw, err := g.Wire()
		if err != nil {
			return nil, err
		}
		list = append(list, raw)
	}
	answer["value"] = list
	return control.Raw(answer)
}
