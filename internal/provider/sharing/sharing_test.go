package sharing_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/provider/management"
	"vitrine/internal/provider/sharing"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenantA, tenantB = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	subA, subB       = "aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b"
	inA, inB         = "a11ce000-0000-4000-8000-000000000001", "b0b00000-0000-4000-8000-000000000001"
	adminA           = "ad000000-0000-4000-8000-000000000001"
	reader           = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	owner            = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
)

type empty struct{}

type world struct {
	t       *testing.T
	store   *store.Store
	control *control.Control
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: store.New(memstore.Open())}
	t.Cleanup(func() { _ = w.store.Close() })
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	sharing.Register(w.control, nil)
	management.Register(w.control, management.Config{Grant: authorization.GrantTo})
	w.update(func(tx store.Tx) error {
		for sub, tenant := range map[string]string{subA: tenantA, subB: tenantB} {
			if err := control.WriteSubscription(tx, control.Subscription{ID: sub, Tenant: tenant, Name: sub}); err != nil {
				return err
			}
			g := "/subscriptions/" + sub + "/resourceGroups/g/providers/Microsoft.Compute/galleries/shop"
			for _, id := range []string{g, g + "/images/i", g + "/images/i/versions/1.0.0", g + "/images/j"} {
				if err := control.Save(tx, control.Make[empty](parsed(t, id), "eastus", time.Now())); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return w
}

func parsed(t *testing.T, id string) arm.ID {
	p, err := arm.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) grant(scope arm.ID, role, tenant, who string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		return authorization.GrantTo(tx, scope, role, authn.Principal{TenantID: tenant, ObjectID: who, Kind: authn.ServicePrincipal}, time.Now())
	})
}

func (w *world) do(method, path, version string, body string, c authn.Caller) (int, []byte, error) {
	r, err := w.control.Do(w.t.Context(), control.Request{Method: method, Path: path, Query: url.Values{"api-version": {version}}, Header: http.Header{}, Body: []byte(body), Caller: c})
	if err != nil {
		if e, ok := err.(*arm.Error); ok {
			return e.Status, nil, err
		}
		return 500, nil, err
	}
	return r.Status, r.Body, nil
}

func (w *world) shared(c authn.Caller) (ids []string) {
	w.t.Helper()
	_, body, err := w.do("GET", "/providers/Vitrine.Sharing/sharedWithMe", sharing.Version, "", c)
	if err != nil {
		w.t.Fatal(err)
	}
	var page struct{ Value []sharing.Item }
	if err := json.Unmarshal(body, &page); err != nil {
		w.t.Fatal(err)
	}
	for _, i := range page.Value {
		_, below, _ := strings.Cut(i.ID, "/galleries")
		ids = append(ids, i.ID[len("/subscriptions/"):len("/subscriptions/")+1]+"/galleries"+below+" by "+i.By.Role)
	}
	return ids
}

func TestSharedWithMe(t *testing.T) {
	w := newWorld(t)
	a := authn.Principal{TenantID: tenantA, ObjectID: inA, AppID: "app"}
	b := authn.Principal{TenantID: tenantB, ObjectID: inB, AppID: "app"}
	both := authn.Caller{Primary: b, Auxiliary: []authn.Principal{a}}
	if got := w.shared(both); len(got) != 0 {
		t.Errorf("without any right: %v", got)
	}
	w.grant(parsed(t, "/subscriptions/"+subA+"/resourceGroups/g/providers/Microsoft.Compute/galleries/shop/images/i"), "cf7c76d2-98a3-4358-a134-615aa78bf44d", tenantA, inA)
	w.grant(parsed(t, "/subscriptions/"+subB+"/resourceGroups/g/providers/Microsoft.Compute/galleries/shop"), reader, tenantB, inB)
	want := "a/galleries/shop/images/i by Compute Gallery Image Reader|a/galleries/shop/images/i/versions/1.0.0 by Compute Gallery Image Reader|" +
		"b/galleries/shop by Reader|b/galleries/shop/images/i by Reader|b/galleries/shop/images/i/versions/1.0.0 by Reader|b/galleries/shop/images/j by Reader"
	if got := strings.Join(w.shared(both), "|"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := w.shared(authn.Caller{Primary: b}); len(got) != 4 {
		t.Errorf("without the token of the other tenant: %v", got)
	}
	if got, _, _ := w.do("GET", "/providers/Vitrine.Sharing/sharedWithMe", "2020-01-01", "", both); got != 400 {
		t.Errorf("an unknown version: %d", got)
	}
}

func TestManagementGroups(t *testing.T) {
	w := newWorld(t)
	const version, at = "2020-05-01", "/providers/Microsoft.Management/managementGroups/"
	admin := authn.Caller{Primary: authn.Principal{TenantID: tenantA, ObjectID: adminA}}
	foreign := authn.Caller{Primary: authn.Principal{TenantID: tenantB, ObjectID: inB}}
	expect := func(status int, c authn.Caller, method, path, body string) {
		t.Helper()
		if got, _, err := w.do(method, at+path, version, body, c); got != status {
			t.Errorf("%s %s: %d %v, want %d", method, path, got, err, status)
		}
	}
	expect(403, admin, "PUT", "outer", `{}`)
	w.grant(arm.ID{Tenant: tenantA}, owner, tenantA, adminA)
	w.grant(arm.ID{Tenant: tenantB}, owner, tenantB, inB)
	expect(200, admin, "PUT", "outer", `{"properties":{"displayName":"Outer"}}`)
	expect(200, admin, "PUT", "inner", `{"properties":{"details":{"parent":{"id":"`+at+`outer"}}}}`)
	expect(409, admin, "PUT", "outer", `{"properties":{"details":{"parent":{"id":"`+at+`inner"}}}}`)
	expect(404, admin, "PUT", "x", `{"properties":{"details":{"parent":{"id":"`+at+`none"}}}}`)
	expect(400, admin, "PUT", tenantA, `{}`)
	expect(200, admin, "GET", tenantA, "")
	expect(404, admin, "PUT", "inner/subscriptions/"+subB, "")
	expect(200, admin, "PUT", "inner/subscriptions/"+subA, "")
	expect(404, foreign, "GET", "inner", "") // a tenant's groups are its own, and so are their names
	expect(200, foreign, "PUT", "inner", `{}`)
	person := authn.Caller{Primary: authn.Principal{TenantID: tenantA, ObjectID: inA}}
	outer := parsed(t, at+"outer")
	w.grant(outer, reader, tenantA, inA)
	if got := w.shared(person); len(got) != 4 {
		t.Errorf("a right at an outer management group reaches %v", got)
	}
	expect(200, admin, "PUT", "other", `{}`)
	expect(200, admin, "PUT", "other/subscriptions/"+subA, "")
	if got := w.shared(person); len(got) != 0 {
		t.Errorf("after the subscription was moved out: %v", got)
	}
	expect(400, admin, "DELETE", "other", "")
	expect(400, admin, "DELETE", "outer", "")
	expect(200, admin, "DELETE", "other/subscriptions/"+subA, "")
	expect(204, admin, "DELETE", "other", "")
	expect(400, admin, "DELETE", tenantA, "")
}

// What a subscription is offered is listed to who may look at that there, once, with how it came.
func TestOffers(t *testing.T) {
	w := newWorld(t)
	asked := map[string]int{}
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	sharing.Register(w.control, func(_ store.Tx, subscription string) ([]sharing.Offer, error) {
		asked[subscription]++
		return []sharing.Offer{{ID: "/SharedGalleries/x-SHOP", Name: "x-SHOP", Type: "Microsoft.Compute/locations/sharedGalleries", Location: "eastus", Means: "Subscription"},
			{ID: "/SharedGalleries/x-SHOP", Name: "x-SHOP", Type: "Microsoft.Compute/locations/sharedGalleries", Location: "eastus", Means: "Tenant"},
			{ID: "/CommunityGalleries/pub", Name: "pub", Type: "Microsoft.Compute/locations/communityGalleries", Location: "eastus", Means: "Community"}}, nil
	})
	w.grant(parsed(t, "/subscriptions/"+subA+"/resourceGroups/g/providers/Microsoft.Compute/galleries/shop"), reader, tenantA, inA)
	w.grant(parsed(t, "/subscriptions/"+subA), reader, tenantA, adminA)
	list := func(who string) (out []string) {
		_, body, err := w.do("GET", "/providers/Vitrine.Sharing/sharedWithMe", sharing.Version, "", authn.Caller{Primary: authn.Principal{TenantID: tenantA, ObjectID: who, AppID: "app"}})
		if err != nil {
			t.Fatal(err)
		}
		var page struct{ Value []sharing.Item }
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Value {
			if i.Means != "RBAC" {
				out = append(out, i.ID+" "+i.Means+" "+i.In+" "+i.By.Role)
			}
		}
		return out
	}
	if got := strings.Join(list(adminA), "; "); got != "/CommunityGalleries/pub Community "+subA+" Reader; /SharedGalleries/x-SHOP Subscription "+subA+" Reader" {
		t.Error(got)
	}
	if got := list(inA); len(got) != 0 { // a role below the subscription is none for it
		t.Error(got)
	}
	if asked[subB] != 0 {
		t.Error("another tenant's subscription was asked for")
	}
}
