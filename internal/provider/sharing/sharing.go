// Package sharing is the provider Vitrine.Sharing, an API of our own: what others have shared with the caller. Azure has
// no such list, since a role assignment in another tenant shows nowhere.
//
// It owns no document. It reads the galleries of the tenants for which the request brought a token, and asks rbac for
// each image version by which assignment the caller may use it. What is shared with whole subscriptions and tenants, and with the
// community, others tell it (Offers), for each subscription in which the caller may look at that.
//
//	GET /providers/Vitrine.Sharing/sharedWithMe ─▶ each token's tenant ─▶ its galleries ─▶ rbac ─▶ items with the reason
//	                                                              └────▶ its subscriptions ─▶ rbac ─▶ Offers ─▶ items
package sharing

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Version is the API's only version.
const Version = "2026-11-01"

const (
	galleries   = "Microsoft.Compute/galleries"
	definitions = galleries + "/images"
	versions    = definitions + "/versions"
	pageSize    = 1000
)

// Item is a gallery, an image definition or an image version that the caller may read, and by what.
type Item struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Location string    `json:"location,omitempty"`
	Tenant   string    `json:"tenantId"`
	As       string    `json:"principalId"` // object ID of the caller in that tenant
	By       rbac.Step `json:"grantedBy"`
	Means    string    `json:"means"`                    // RBAC, Subscription, Tenant, Community
	In       string    `json:"subscriptionId,omitempty"` // the caller's, that sees it; not of RBAC
}

// Offer is a gallery that a subscription sees without a role assignment on it.
type Offer struct {
	ID, Name, Type, Location string
	Means                    string // Subscription, Tenant, Community
}

// Offers lists them.
type Offers func(tx store.Tx, subscription string) ([]Offer, error)

// Register adds the route. offers is nil where galleries are shared by role assignments alone.
func Register(c *control.Control, offers Offers) {
	c.Handle(control.Route{Method: "GET", Pattern: "/providers/Vitrine.Sharing/sharedWithMe", Do: offers.list})
}

func (o Offers) list(_ context.Context, c *control.Call) (any, error) {
	if v := c.Query.Get("api-version"); v != Version {
		return nil, arm.Errorf(400, "InvalidApiVersionParameter", "The api-version '%.40s' is invalid. The supported versions are '%s'.", v, Version)
	}
	after := strings.ToLower(c.Query.Get("$skiptoken"))
	if after != "" && !store.Storable(after) {
		return nil, arm.Errorf(400, "InvalidQueryParameterValue", "The value of the query parameter '$skiptoken' is not one that a nextLink gave.")
	}
	items := []Item{}
	for _, p := range c.Caller.All() {
		some, err := o.shared(c, p)
		if err != nil {
			return nil, err
		}
		items = append(items, some...)
	}
	slices.SortStableFunc(items, func(a, b Item) int { return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
	items = slices.CompactFunc(items, func(a, b Item) bool { return strings.EqualFold(a.ID, b.ID) }) // two subscriptions see one gallery
	items = slices.DeleteFunc(items, func(i Item) bool { return strings.ToLower(i.ID) <= after })
	answer := map[string]any{}
	if len(items) > pageSize {
		items = items[:pageSize]
		q := c.Query
		q.Set("$skiptoken", items[pageSize-1].ID)
		answer["nextLink"] = c.Base + c.Path + "?" + q.Encode()
	}
	answer["value"] = items
	return control.Raw(answer)
}

// shared lists what one of the caller's principals may use in its tenant.
func (o Offers) shared(c *control.Call, p authn.Principal) ([]Item, error) {
	grants, err := c.Control.RBAC().Grants(c.Tx, p)
	if err != nil {
		return nil, err
	}
	subs, err := c.Tx.List(store.Query{Kind: control.SubscriptionKind, All: []string{"tenant:" + strings.ToLower(p.TenantID)}})
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, s := range subs {
		id, err := arm.ParseID(s.Key)
		if err != nil {
			return nil, err
		}
		if !grants.Within(id) {
			continue
		}
		offered, err := o.items(c.Tx, grants, p, id)
		if err != nil {
			return nil, err
		}
		out = append(out, offered...)
		for _, typ := range []string{galleries, definitions, versions} {
			docs, err := c.Tx.List(store.Query{Kind: control.Kind(typ), Prefix: s.Key + "/"})
			if err != nil {
				return nil, err
			}
			for _, d := range docs {
				item, ok, err := usable(grants, p, typ, d)
				if err != nil {
					return nil, err
				}
				if ok {
					out = append(out, item)
				}
			}
		}
	}
	return out, nil
}

// items are what one of the caller's subscriptions is offered, if the caller may look at that.
func (o Offers) items(tx store.Tx, g *rbac.Grants, p authn.Principal, subscription arm.ID) ([]Item, error) {
	if o == nil {
		return nil, nil
	}
	offers, err := o(tx, subscription.Subscription)
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, f := range offers {
		if by, ok := g.By(f.Type+"/read", subscription); ok {
			out = append(out, Item{ID: f.ID, Name: f.Name, Type: f.Type, Location: f.Location, Tenant: p.TenantID, As: p.ObjectID, By: by, Means: f.Means, In: subscription.Subscription})
		}
	}
	return out, nil
}

func usable(g *rbac.Grants, p authn.Principal, typ string, d store.Document) (Item, bool, error) {
	var head struct{ ID, Name, Location string }
	if err := json.Unmarshal(d.Body, &head); err != nil {
		return Item{}, false, err
	}
	id, err := arm.ParseID(head.ID)
	if err != nil {
		return Item{}, false, err
	}
	by, ok := g.By(typ+"/read", id)
	return Item{ID: head.ID, Name: head.Name, Type: typ, Location: head.Location, Tenant: p.TenantID, As: p.ObjectID, By: by, Means: "RBAC"}, ok, nil
}
