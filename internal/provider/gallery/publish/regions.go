package publish

import (
	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Regions brings the record of regions in line with the target regions: new ones begin, removed ones are unpinned.
func (p *Publisher) Regions(w *control.Write[catalog.Version]) error {
	props := &w.New.Properties
	next := catalog.Aim(props.Publishing.TargetRegions, props.Regions)
	for name, had := range props.Regions {
		if next[name] != nil {
			continue
		}
		if had.State == catalog.Completed && !props.Safety.AllowDeletion {
			return arm.Errorf(409, "OperationNotAllowed", "Removing the replicated region '%s' from the image version is not allowed. Set 'safetyProfile.allowDeletionOfReplicatedLocations' to true first.", name).At(catalog.Path + "publishingProfile.targetRegions")
		}
		if err := p.unpin(w.Tx, w.New, name); err != nil {
			return err
		}
	}
	props.Regions = next
	return nil
}

func (p *Publisher) unpin(tx store.Tx, v *catalog.VersionResource, region string) error {
	for _, c := range v.Properties.Content {
		for _, ref := range []*image.Ref{c.Source, c.Ref} {
			if ref == nil {
				continue
			}
			if err := p.Images.Unpin(tx, *ref, region, v.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
