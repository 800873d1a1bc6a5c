package foreign

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
	"vitrine/internal/store"
)

// An invite is a gallery that somebody shared. It is open until it is rejected, for earlier api-versions knew no invites; what is
// rejected stays so, however often it is shared again, until it is accepted. The publisher is not told.

// InviteKind is the store's kind of rejected invites.
const InviteKind = "microsoft.compute/sharedgalleryinvites"

// rejection is the document of one; its key holds the group and the gallery.
type rejection struct {
	Gallery string    `json:"gallery"` // ID
	By      string    `json:"by"`      // object ID
	At      time.Time `json:"at"`
}

func inviteKey(gallery arm.ID, typ, id string) string {
	at := "/subscriptions/" + id
	if typ == catalog.Tenants {
		at = "/tenants/" + id
	}
	return strings.ToLower(at + "/providers/" + InviteKind + "/" + gallery.Subscription + "/" + gallery.Name())
}

func rejected(tx store.Tx, gallery arm.ID, typ, id string) (bool, error) {
	_, err := tx.Get(inviteKey(gallery, typ, id))
	if absent(err) {
		return false, nil
	}
	return err == nil, err
}

// invites adds accept and reject, for a subscription and for a tenant (gallery.md 3, since 2025-12-03).
func (p *Provider) invites(c *control.Control) {
	const inner = "/providers/Microsoft.Compute/locations/{location}/"
	for _, verb := range []string{"accept", "reject"} {
		c.Handle(control.Route{Method: "POST", Pattern: "/subscriptions/{subscription}" + inner + "sharedGallerySubscriptions/{sharer}/sharedGalleries/{gallery}/" + verb,
			Do: func(_ context.Context, call *control.Call) (any, error) {
				return p.answer(call, verb, catalog.Subscriptions)
			}})
		c.Handle(control.Route{Method: "POST", Pattern: inner + "tenantLevelSharedGallerySubscriptions/{sharer}/sharedGalleries/{gallery}/" + verb,
			Do: func(_ context.Context, call *control.Call) (any, error) { return p.answer(call, verb, catalog.Tenants) }})
	}
}

// answer accepts or rejects an invite; it is done at once, hence 204. For a whole tenant it takes a right at the tenant's root.
func (p *Provider) answer(c *control.Call, verb, typ string) (any, error) {
	scope, list, id := arm.ID{Subscription: c.Names["subscription"]}, "sharedGallerySubscriptions", strings.ToLower(c.Names["subscription"])
	if typ == catalog.Tenants {
		id = strings.ToLower(c.Caller.Primary.TenantID)
		scope, list = arm.ID{Tenant: id}, "tenantLevelSharedGallerySubscriptions"
	}
	if err := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, "Microsoft.Compute/locations/"+list+"/sharedGalleries/"+verb+"/action", scope); err != nil {
		return nil, err
	}
	place, ok := arm.LocationOf(c.Names["location"])
	if !ok {
		return nil, arm.Errorf(400, "InvalidParameter", "The value '%.80s' of the parameter 'location' is not a location.", c.Names["location"]).At("location")
	}
	sharer, name := c.Names["sharer"], c.Names["gallery"]
	if !arm.IsGUID(sharer) {
		return nil, arm.Errorf(400, "InvalidSubscriptionId", "The provided subscription identifier '%.80s' is malformed or invalid.", sharer)
	}
	if fault := catalog.GalleryName(name); fault != nil {
		return nil, fault.At("sharedGalleryName")
	}
	c.Status = 204
	return nil, p.decide(c, verb == "reject", typ, id, place.Name)
}

// decide writes or removes the rejection. Only of a gallery that is shared with the group is there an invite, or was there one
// that is rejected.
func (p *Provider) decide(c *control.Call, reject bool, typ, id, region string) error {
	missing := arm.Errorf(404, "ResourceNotFound", "There is no invite of the subscription '%s' to the shared gallery '%s' in '%s'.", c.Names["sharer"], c.Names["gallery"], region)
	key := inviteKey(arm.ID{Subscription: c.Names["sharer"], Namespace: "x", Types: []string{"galleries"}, Names: []string{c.Names["gallery"]}}, typ, id)
	had, err := c.Tx.Get(key)
	if err != nil && !absent(err) {
		return err
	}
	exists := err == nil
	if !reject && exists {
		return c.Tx.Delete(key, had.ETag)
	}
	if exists {
		return nil
	}
	found, err := control.Select[catalog.Gallery](c.Tx, store.Query{Kind: control.Kind(catalog.GalleryType), All: []string{catalog.UniqueTerm(c.Names["sharer"] + "-" + c.Names["gallery"]), catalog.GroupTerm(typ, id)}, Limit: 1})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return missing
	}
	there, err := lives(c.Tx, found[0].Location, found[0].ParsedID().Key()+"/images", region)
	if err != nil {
		return err
	}
	if !there {
		return missing
	}
	if !reject {
		return nil
	}
	body, err := json.Marshal(rejection{Gallery: found[0].ID, By: c.Caller.Primary.ObjectID, At: p.Now().UTC()})
	if err != nil {
		return err
	}
	_, err = c.Tx.Put(store.Document{Key: key, Kind: InviteKind, Body: body})
	return err
}
