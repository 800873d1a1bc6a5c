package share

import (
	"context"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Work is the name of the action's operation; it has no steps, since the change counts at once.
const Work = "galleries/share"

// Sharing serves the actions.
type Sharing struct {
	Limit int // of subscriptions and tenants together; 0: DefaultLimit
}

// Actions are for the table. Both need the right to share, which Contributor lacks (gallery.md 20).
func (s *Sharing) Actions() []control.Action[catalog.Gallery] {
	if s.Limit == 0 {
		s.Limit = DefaultLimit
	}
	return []control.Action[catalog.Gallery]{
		{Name: "share", Do: s.share},
		{Name: "shareWhatIf", Permission: catalog.GalleryType + "/share/action", Do: s.whatIf},
	}
}

// share changes the profile. The answer is 202 with an empty body (recorded).
func (s *Sharing) share(_ context.Context, a *control.Act[catalog.Gallery]) error {
	u, next, err := s.next(a)
	if err != nil {
		return err
	}
	if next.SharingProfile.WhileUsed == "Refuse" {
		broken, err := s.broken(a.Tx, &a.Old.Properties, next)
		if err != nil {
			return err
		}
		if len(broken) > 0 {
			return refused("The operation '%s' is refused, since others use the gallery and its 'sharingProfile.unshareWhileUsed' is 'Refuse': %s. Call 'shareWhatIf' for the whole list, or set the property to 'Allow'.", u.Operation, broken[0].text())
		}
	}
	a.New.Properties = *next
	a.New.SetState(arm.Updating)
	a.Changed = true
	return a.Begin(Work, nil)
}

// next reads the request and gives the gallery as it would be.
func (s *Sharing) next(a *control.Act[catalog.Gallery]) (*update, *catalog.Gallery, error) {
	u, err := read(a.Body)
	if err != nil {
		return nil, nil, err
	}
	if a.Old.State() == arm.Deleting {
		return nil, nil, arm.Errorf(409, "Conflict", "The resource '%s' is being deleted.", a.ID)
	}
	next, err := s.changed(&a.Old.Properties, u)
	if err != nil {
		return nil, nil, err
	}
	if u.Operation == add || u.Operation == enableCommunity {
		err = shareable(a.Tx, a.Old, next)
	}
	return u, next, err
}

// shareable refuses to share what does not fit into a shared gallery: something in another region (gallery.md 1); with the
// community, what derives from a marketplace image (gallery.md 13).
func shareable(tx store.Tx, g *catalog.GalleryResource, next *catalog.Gallery) error {
	seen := *g
	seen.Properties = *next
	prefix := g.ParsedID().Key() + "/images/"
	definitions, err := control.Select[catalog.Definition](tx, store.Query{Kind: control.Kind(catalog.DefinitionType), Prefix: prefix})
	if err != nil {
		return err
	}
	for _, d := range definitions {
		if err := catalog.AtHome(&seen, d.Location); err != nil {
			return refused("The gallery cannot be shared: the image definition '%s' is in '%s', not in the gallery's region '%s'.", d.ID, d.Location, g.Location)
		}
		if plan := d.Properties.PurchasePlan; plan != nil && next.Mode() == catalog.Community {
			return refused("The gallery cannot be shared with the community: the image definition '%s' has a purchase plan.", d.ID)
		}
	}
	docs, err := tx.List(store.Query{Kind: control.Kind(catalog.VersionType), Prefix: prefix})
	if err != nil {
		return err
	}
	home, err := tx.List(store.Query{Kind: control.Kind(catalog.VersionType), Prefix: prefix, All: []string{"location:" + g.Location}})
	if err != nil || len(home) == len(docs) {
		return err
	}
	return refused("The gallery cannot be shared: %d of its image versions are not in the gallery's region '%s'.", len(docs)-len(home), g.Location)
}

// View shows with whom the gallery is shared to who asks for it by $select or $expand.
func View(r *control.Read[catalog.Gallery]) error {
	p := &r.Resource.Properties
	if !strings.EqualFold(r.Query.Get("$select"), "Permissions") && !strings.EqualFold(r.Query.Get("$expand"), "SharingProfile/Groups") {
		return nil
	}
	shown := catalog.SharingProfile{Permissions: catalog.Private}
	if p.SharingProfile != nil {
		shown = *p.SharingProfile
	}
	shown.Groups = p.Groups
	p.SharingProfile = &shown
	if shown.Permissions == catalog.Private {
		return nil
	}
	return status(r)
}

// status tells of each region that the gallery's versions are in. A change counts everywhere at once; it is in progress until its
// operation has ended.
func status(r *control.Read[catalog.Gallery]) error {
	key := r.Resource.ParsedID().Key()
	open, err := operation.Open(r.Tx, key)
	if err != nil {
		return err
	}
	state := "Succeeded"
	if len(open) > 0 {
		state = "InProgress"
	}
	s := &catalog.SharingStatus{Aggregated: state}
	for _, l := range arm.Locations() {
		in := l.Name == r.Resource.Location
		if !in {
			docs, err := r.Tx.List(store.Query{Kind: control.Kind(catalog.VersionType), Prefix: key + "/images/", All: []string{catalog.RegionTerm(l.Name)}, Limit: 1})
			if err != nil {
				return err
			}
			in = len(docs) > 0
		}
		if in {
			s.Summary = append(s.Summary, catalog.SharingRegion{Region: l.DisplayName, State: state})
		}
	}
	r.Resource.Properties.SharingStatus = s
	return nil
}

// Deletable refuses to delete a public gallery: its public name would be gone for good (errors.md 1).
func Deletable(g *catalog.Gallery) error {
	if g.PublicName() == "" {
		return nil
	}
	return refused("The gallery is shared with the community as '%s'. Reset its sharing before deleting it.", g.PublicName())
}
