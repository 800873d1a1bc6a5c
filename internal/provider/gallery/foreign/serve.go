package foreign

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// Config is what the provider needs.
type Config struct {
	// Resolve finds the version that an ID of a definition or version means in a region (gallery.Provider.Resolve).
	Resolve func(tx store.Tx, reference, region string) (versionID, exact string, err error)
	Now     func() time.Time
}

// Provider serves the consumers of shared and community galleries.
type Provider struct{ Config }

// Register adds the routes.
func Register(c *control.Control, cfg Config) *Provider {
	p := &Provider{cfg}
	for _, w := range []world{direct, community} {
		at := "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/" + w.typ
		if w == direct { // who would list the community asks Resource Graph
			c.Handle(control.Route{Method: "GET", Pattern: at, Do: p.listGalleries})
		}
		for _, r := range []struct {
			inner, pattern string
			serve          func(*look) (any, error)
		}{
			{"", "/{gallery}", p.getGallery},
			{"/images", "/{gallery}/images", p.listImages},
			{"/images", "/{gallery}/images/{image}", p.getImage},
			{"/images/versions", "/{gallery}/images/{image}/versions", p.listVersions},
			{"/images/versions", "/{gallery}/images/{image}/versions/{version}", p.getVersion},
		} {
			c.Handle(control.Route{Method: "GET", Pattern: at + r.pattern, Do: func(_ context.Context, call *control.Call) (any, error) {
				l, err := w.look(call, r.inner)
				if err != nil {
					return nil, err
				}
				return r.serve(l)
			}})
		}
	}
	p.invites(c)
	return p
}

// look is a consumer's request, allowed in the consumer's own subscription.
type look struct {
	*control.Call
	world
	viewer  viewer
	region  string
	version arm.Version
}

func (w world) look(c *control.Call, inner string) (*look, error) {
	scope := arm.ID{Subscription: c.Names["subscription"]}
	if err := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, "Microsoft.Compute/locations/"+w.typ+inner+"/read", scope); err != nil {
		return nil, err
	}
	l := &look{Call: c, world: w}
	place, ok := arm.LocationOf(c.Names["location"])
	if !ok {
		return nil, arm.Errorf(400, "InvalidParameter", "The value '%.80s' of the parameter 'location' is not a location.", c.Names["location"]).At("location")
	}
	l.region = place.Name
	var err error
	if l.version, err = arm.VersionOf(c.Query); err != nil {
		return nil, err
	}
	l.viewer, err = viewerOf(c.Tx, scope.Subscription)
	return l, err
}

// missing is the answer for what is not there, and for what is not for the viewer: they read the same.
func (l *look) missing(err error) error {
	if !absent(err) {
		return err
	}
	name := "Microsoft.Compute/locations/" + l.region + "/" + l.typ
	for _, part := range []struct{ typ, name string }{{"", l.Names["gallery"]}, {"/images", l.Names["image"]}, {"/versions", l.Names["version"]}} {
		if part.name != "" {
			name += part.typ + "/" + part.name
		}
	}
	return arm.Errorf(404, "ResourceNotFound", "The Resource '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", name)
}

func (l *look) gallery() (*catalog.GalleryResource, error) {
	g, err := l.world.gallery(l.Tx, l.viewer, l.Names["gallery"])
	if err != nil {
		return nil, err
	}
	there, err := lives(l.Tx, g.Location, g.ParsedID().Key()+"/images", l.region)
	if err == nil && !there {
		err = store.ErrNotFound
	}
	return g, err
}

func (l *look) image() (*catalog.GalleryResource, *catalog.DefinitionResource, error) {
	g, err := l.gallery()
	if err != nil {
		return nil, nil, err
	}
	d, err := image(l.Tx, g, l.Names["image"], l.region)
	return g, d, err
}

// listGalleries lists what is shared with the subscription, or, by sharedTo=tenant, with its tenant.
func (p *Provider) listGalleries(_ context.Context, c *control.Call) (any, error) {
	l, err := direct.look(c, "")
	if err != nil {
		return nil, err
	}
	typ, id := catalog.Subscriptions, l.viewer.subscription
	switch to := l.Query.Get("sharedTo"); {
	case strings.EqualFold(to, "tenant"):
		typ, id = catalog.Tenants, l.viewer.tenant
	case to != "" && !strings.EqualFold(to, "subscription"):
		return nil, arm.Errorf(400, "InvalidParameter", "The value '%.80s' of the query parameter 'sharedTo' is not allowed. Allowed values are: subscription, tenant.", to).At("sharedTo")
	}
	found, err := direct.galleries(l.Tx, typ, id)
	if err != nil {
		return nil, err
	}
	var list []document
	for _, g := range found {
		there, err := lives(l.Tx, g.Location, g.ParsedID().Key()+"/images", l.region)
		if err != nil {
			return nil, err
		}
		if there {
			list = append(list, direct.gallery1(g, l.region))
		}
	}
	return l.page(list)
}

func (p *Provider) getGallery(l *look) (any, error) {
	g, err := l.gallery()
	if err != nil {
		return nil, l.missing(err)
	}
	return l.gallery1(g, l.region), nil
}

func (p *Provider) listImages(l *look) (any, error) {
	g, err := l.gallery()
	if err != nil {
		return nil, l.missing(err)
	}
	found, err := images(l.Tx, g, l.region)
	if err != nil {
		return nil, err
	}
	var list []document
	for _, d := range found {
		list = append(list, l.image1(g, d, l.region))
	}
	return l.page(list)
}

func (p *Provider) getImage(l *look) (any, error) {
	g, d, err := l.image()
	if err != nil {
		return nil, l.missing(err)
	}
	return l.image1(g, d, l.region), nil
}

func (p *Provider) listVersions(l *look) (any, error) {
	g, d, err := l.image()
	if err != nil {
		return nil, l.missing(err)
	}
	found, err := p.versions(l.Tx, d, l.region, l.version.Date() >= sinceState)
	if err != nil {
		return nil, err
	}
	var list []document
	for _, v := range found {
		list = append(list, l.version1(g, v, l.region, l.version))
	}
	return l.page(list)
}

func (p *Provider) getVersion(l *look) (any, error) {
	g, d, err := l.image()
	if err != nil {
		return nil, l.missing(err)
	}
	v, err := p.version(l.Tx, d.ParsedID().Child("versions", l.Names["version"]), l.region, l.version.Date() >= sinceState)
	if err != nil {
		return nil, l.missing(err)
	}
	return l.version1(g, v, l.region, l.version), nil
}

// pageSize is how many one answer lists.
const pageSize = 500

// page answers with a list in the order of names, from where $skiptoken says. The token is a name that the consumer knows.
func (l *look) page(list []document) (any, error) {
	slices.SortFunc(list, func(a, b document) int { return strings.Compare(a.Name, b.Name) })
	if after := l.Query.Get("$skiptoken"); after != "" {
		list = slices.DeleteFunc(list, func(d document) bool { return d.Name <= after })
	}
	answer := struct {
		Value []json.RawMessage `json:"value"`
		Next  string            `json:"nextLink,omitempty"`
	}{Value: []json.RawMessage{}}
	if len(list) > pageSize {
		list = list[:pageSize]
		q := l.Query
		q.Set("$skiptoken", list[pageSize-1].Name)
		answer.Next = l.Base + (&url.URL{Path: l.Path}).EscapedPath() + "?" + q.Encode()
	}
	for _, d := range list {
		raw, err := armjson.Wire(d)
		if err != nil {
			return nil, err
		}
		answer.Value = append(answer.Value, raw)
	}
	return control.Raw(answer)
}
