package gallery

import (
	"context"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

func (p *Provider) putDefinition(_ context.Context, w *control.Write[catalog.Definition]) error {
	parent, err := control.Get[catalog.Gallery](w.Tx, w.ID.Parent())
	if err != nil {
		return err
	}
	if err := catalog.Alive(parent, w.ID.Parent()); err != nil {
		return err
	}
	if err := catalog.AtHome(parent, w.New.Location); err != nil {
		return err
	}
	if w.New.Properties.PurchasePlan != nil && parent.Properties.Mode() == catalog.Community {
		return catalog.Invalid("galleryImage.properties.purchasePlan", "An image with a purchase plan cannot be in a gallery that is shared with the community.")
	}
	var old *catalog.Definition
	if w.Old != nil {
		old = &w.Old.Properties
	}
	if err := w.New.Properties.Settle(old, w.Version, w.Now); err != nil {
		return err
	}
	if err := p.triplet(w); err != nil {
		return err
	}
	if w.Old == nil {
		if err := p.room(w.Tx, w.ID, w.New.Location); err != nil {
			return err
		}
	}
	return w.Begin(workDefinition, nil)
}

// triplet keeps publisher, offer and sku unique in the gallery.
func (p *Provider) triplet(w *control.Write[catalog.Definition]) error {
	if w.Old != nil {
		return nil
	}
	siblings, err := control.Select[catalog.Definition](w.Tx, store.Query{Kind: control.Kind(DefinitionType), Prefix: w.ID.Parent().Key() + "/images/"})
	if err != nil {
		return err
	}
	mine := w.New.Properties.Identifier.Key()
	for _, s := range siblings {
		if s.Properties.Identifier != nil && s.Properties.Identifier.Key() == mine {
			i := w.New.Properties.Identifier
			return arm.Errorf(409, "Conflict", "The combination of publisher '%s', offer '%s' and sku '%s' is already used by the image definition '%s' of this gallery.", i.Publisher, i.Offer, i.SKU, s.Name).At("galleryImage.properties.identifier")
		}
	}
	return nil
}

func (p *Provider) deleteDefinition(_ context.Context, w *control.Write[catalog.Definition]) error {
	if err := catalog.Childless(w.Tx, VersionType, w.ID.Key()+"/versions/"); err != nil {
		return err
	}
	if err := catalog.Childless(w.Tx, catalog.GraveType, gravesOf(w.ID)); err != nil {
		return err
	}
	return w.Begin(workDefinitionDelete, nil)
}
