package foreign

import (
	"errors"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// viewer is who looks: a subscription, and the tenant that owns it. Who asks, and where that person is at home, does not count.
type viewer struct {
	subscription, tenant string // lower case
}

func viewerOf(tx store.Tx, subscription string) (viewer, error) {
	tenant, err := control.TenantOf(tx, subscription)
	return viewer{strings.ToLower(subscription), strings.ToLower(tenant)}, err
}

// world is one of the two kinds of galleries.
type world struct {
	typ    string // "sharedGalleries", as in paths and permissions
	prefix string // "/SharedGalleries/", as in IDs
}

var (
	direct    = world{"sharedGalleries", "/SharedGalleries/"}
	community = world{"communityGalleries", "/CommunityGalleries/"}
)

// gallery finds a gallery by the name that consumers know, if the viewer may see it; store.ErrNotFound, also for one that is not
// shared with the viewer.
func (w world) gallery(tx store.Tx, v viewer, name string) (*catalog.GalleryResource, error) {
	term := catalog.UniqueTerm(name)
	if w == community {
		term = catalog.PublicTerm(name)
	}
	if name == "" || len(term) > store.MaxTerm || !store.Storable(term) {
		return nil, store.ErrNotFound
	}
	found, err := control.Select[catalog.Gallery](tx, store.Query{Kind: control.Kind(catalog.GalleryType), All: []string{term}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].State() == arm.Deleting {
		return nil, store.ErrNotFound
	}
	g := found[0]
	if w == community {
		return g, nil // the term is there only while it is public
	}
	for typ, id := range map[string]string{catalog.Subscriptions: v.subscription, catalog.Tenants: v.tenant} {
		open, err := through(tx, g, typ, id)
		if err != nil || open {
			return g, err
		}
	}
	return nil, store.ErrNotFound
}

// through tells whether a gallery can be seen as a member of a group.
func through(tx store.Tx, g *catalog.GalleryResource, typ, id string) (bool, error) {
	if !g.Properties.SharedWith(typ, id) {
		return false, nil
	}
	rejected, err := rejected(tx, g.ParsedID(), typ, id)
	return !rejected, err
}

// galleries lists what a group, or everybody, sees.
func (w world) galleries(tx store.Tx, typ, id string) ([]*catalog.GalleryResource, error) {
	term := catalog.PublicTerm("")
	if w == direct {
		term = catalog.GroupTerm(typ, id)
	}
	found, err := control.Select[catalog.Gallery](tx, store.Query{Kind: control.Kind(catalog.GalleryType), All: []string{term}})
	if err != nil {
		return nil, err
	}
	var open []*catalog.GalleryResource
	for _, g := range found {
		ok := w == community
		if w == direct {
			if ok, err = through(tx, g, typ, id); err != nil {
				return nil, err
			}
		}
		if ok && g.State() != arm.Deleting {
			open = append(open, g)
		}
	}
	return open, nil
}

// name is what consumers call a gallery.
func (w world) name(g *catalog.GalleryResource) string {
	if w == community {
		return g.Properties.PublicName()
	}
	return g.Properties.Identifier.UniqueName
}

// lives tells whether a gallery or a definition of it, at a key, is there in a region: at home, and where a version can be used.
func lives(tx store.Tx, home, key, region string) (bool, error) {
	if home == region {
		return true, nil
	}
	docs, err := tx.List(store.Query{Kind: control.Kind(catalog.VersionType), Prefix: key + "/", All: []string{catalog.RegionTerm(region)}, Limit: 1})
	return len(docs) > 0, err
}

// image finds a definition that is there in a region; store.ErrNotFound.
func image(tx store.Tx, g *catalog.GalleryResource, name, region string) (*catalog.DefinitionResource, error) {
	if catalog.DefinitionName(name) != nil {
		return nil, store.ErrNotFound
	}
	d, err := control.Get[catalog.Definition](tx, g.ParsedID().Child("images", name))
	if err != nil {
		return nil, err
	}
	there, err := shown(tx, g, d, region)
	if err == nil && !there {
		err = store.ErrNotFound
	}
	return d, err
}

func shown(tx store.Tx, g *catalog.GalleryResource, d *catalog.DefinitionResource, region string) (bool, error) {
	if d.State() == arm.Deleting || d.State() == arm.Creating || d.State() == arm.Failed {
		return false, nil
	}
	return lives(tx, g.Location, d.ParsedID().Key(), region)
}

func images(tx store.Tx, g *catalog.GalleryResource, region string) ([]*catalog.DefinitionResource, error) {
	found, err := control.Select[catalog.Definition](tx, store.Query{Kind: control.Kind(catalog.DefinitionType), Prefix: g.ParsedID().Key() + "/images/"})
	if err != nil {
		return nil, err
	}
	var out []*catalog.DefinitionResource
	for _, d := range found {
		there, err := shown(tx, g, d, region)
		if err != nil {
			return nil, err
		}
		if there {
			out = append(out, d)
		}
	}
	return out, nil
}

// versions lists what can be used in a region; the soft-deleted ones that still can, too, when asked.
func (p *Provider) versions(tx store.Tx, d *catalog.DefinitionResource, region string, deleted bool) ([]*catalog.VersionResource, error) {
	id := d.ParsedID()
	found, err := control.Select[catalog.Version](tx, store.Query{Kind: control.Kind(catalog.VersionType), Prefix: id.Key() + "/versions/", All: []string{catalog.RegionTerm(region)}})
	if err != nil {
		return nil, err
	}
	var out []*catalog.VersionResource
	for _, v := range found {
		if catalog.Usable(v, region) {
			out = append(out, v)
		}
	}
	if !deleted {
		return out, nil
	}
	graves, err := control.Select[catalog.Grave](tx, store.Query{Kind: control.Kind(catalog.GraveType), Prefix: catalog.GraveID(id.Child("versions", "x")).Parent().Key() + "/versions/"})
	if err != nil {
		return nil, err
	}
	for _, g := range graves {
		v, err := p.exhumed(g, region)
		if err == nil {
			out = append(out, v)
		} else if !absent(err) {
			return nil, err
		}
	}
	return out, nil
}

// version finds one of versions; store.ErrNotFound.
func (p *Provider) version(tx store.Tx, id arm.ID, region string, deleted bool) (*catalog.VersionResource, error) {
	if catalog.VersionName(id.Name()) != nil {
		return nil, store.ErrNotFound
	}
	v, err := control.Get[catalog.Version](tx, id)
	if err == nil && !catalog.Usable(v, region) {
		err = store.ErrNotFound
	}
	if !deleted || !absent(err) {
		return v, err
	}
	g, err := control.Get[catalog.Grave](tx, catalog.GraveID(id))
	if err != nil {
		return nil, err
	}
	return p.exhumed(g, region)
}

// exhumed is a soft-deleted version that can still be used in a region; store.ErrNotFound.
func (p *Provider) exhumed(g *catalog.GraveResource, region string) (*catalog.VersionResource, error) {
	if !g.Properties.Usable(p.Now()) {
		return nil, store.ErrNotFound
	}
	v, err := g.Properties.Exhume()
	if err != nil {
		return nil, err
	}
	if r := v.Properties.Regions[region]; r == nil || r.State != catalog.Completed {
		return nil, store.ErrNotFound
	}
	v.Properties.Deleted = g.Properties.ConsumptionEnd
	return v, nil
}

// absent tells the absence from a failure.
func absent(err error) bool { return errors.Is(err, store.ErrNotFound) }
