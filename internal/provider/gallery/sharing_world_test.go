package gallery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/foreign"
	"vitrine/internal/store"
)

const (
	tenantC     = "cccccccc-0000-4000-8000-000000000003"
	subC        = "cccccccc-0000-4000-8000-00000000000c" // in tenant C
	subB2       = "bbbbbbbb-0000-4000-8000-0000000000b2" // in tenant B, too
	contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	sharer      = "1ef6a3be-d0ac-425d-8c01-acb62866290b"
	shareA      = galleryA + "/share"
	unique      = subA + "-SHOP"
)

var (
	inC     = authn.Caller{Primary: principal(tenantC)}
	regionB = "/subscriptions/" + subB + compute + "locations/eastus"
	sharedB = regionB + "/sharedGalleries/" + unique
)

// fair is a world with the consumers' side, a third tenant, and a version 1.0.0 in eastus and westus2.
type fair struct {
	*world
	outside *foreign.Provider
}

func newFair(t *testing.T, gallery string) *fair {
	t.Helper()
	w := newWorld(t)
	f := &fair{world: w}
	f.outside = foreign.Register(w.control, foreign.Config{Now: w.now, Resolve: func(tx store.Tx, reference, region string) (string, string, error) {
		r, err := w.galleries.Resolve(tx, reference, region)
		return r.VersionID, r.ExactVersion, err
	}})
	w.disks.Foreign = f.outside.Version
	w.update(func(tx store.Tx) error {
		for sub, tenant := range map[string]string{subB2: tenantB, subC: tenantC} {
			if err := control.WriteSubscription(tx, control.Subscription{ID: sub, Name: sub, State: "Enabled", Tenant: tenant}); err != nil {
				return err
			}
			if _, err := tx.Put(store.Document{Key: "/subscriptions/" + sub + "/resourcegroups/rg", Kind: control.GroupKind, Body: []byte(`{"properties":{}}`)}); err != nil {
				return err
			}
			if err := assign(tx, principal(tenant), owner, "/subscriptions/"+sub); err != nil {
				return err
			}
		}
		return nil
	})
	w.shop()
	if gallery != "" {
		w.done(inA, "PUT", galleryA, gallery)
	}
	w.done(inA, "PUT", versionA, version(","+regions("eastus", "westus2")))
	return f
}

// share does the action and waits.
func (f *fair) share(body string) {
	f.Helper()
	f.done(inA, "POST", shareA, body)
}

func add(typ string, ids ...string) string { return change("Add", typ, ids...) }

func change(op, typ string, ids ...string) string {
	list, _ := json.Marshal(ids)
	return fmt.Sprintf(`{"operationType":%q,"groups":[{"type":%q,"ids":%s}]}`, op, typ, list)
}

const publicGallery = `{"location":"eastus","properties":{"sharingProfile":{"permissions":"community","communityGalleryInfo":{"publisherUri":"https://example.com","publisherContact":"x@example.com","eula":"https://example.com/eula","publicNamePrefix":"Shop"}}}}`

func (f *fair) publicName() string {
	f.Helper()
	return at(f.get(inA, galleryA), "properties.sharingProfile.communityGalleryInfo").(map[string]any)["publicNames"].([]any)[0].(string)
}

// names lists a collection by name.
func (f *fair) names(caller authn.Caller, path string) string {
	f.Helper()
	var names []string
	for _, item := range f.get(caller, path)["value"].([]any) {
		names = append(names, item.(map[string]any)["name"].(string))
	}
	return strings.Join(names, " ")
}

// gone wants 404 of reads, and no image of an ID.
func (f *fair) gone(caller authn.Caller, sub, read, id string) {
	f.Helper()
	_, err := f.do(caller, "GET", read, "")
	f.refuse(err, 404, "ResourceNotFound", "was not found", "")
	f.noImage(sub, id)
}

func (f *fair) noImage(sub, id string) {
	f.Helper()
	_, _, err := f.version(sub, id, "eastus")
	f.refuse(err, 404, "GalleryImageNotFound", id, "imageReference")
	if strings.Contains(err.Error(), "resourceGroups") {
		f.Errorf("a publisher's ID is told: %v", err)
	}
}

func (f *fair) version(sub, id, region string) (version, shown string, err error) {
	err = f.view(func(tx store.Tx) (err error) {
		version, shown, err = f.outside.Version(tx, sub, id, region)
		return err
	})
	return version, shown, err
}

func direct(rest string) string { return "/SharedGalleries/" + unique + "/Images/tiny" + rest }

func (f *fair) answer(caller authn.Caller, path string) {
	f.Helper()
	r, err := f.do(caller, "POST", path, "")
	f.must(err)
	if r.Status != 204 || len(r.Body) != 0 {
		f.Fatalf("%d %s", r.Status, r.Body)
	}
}

func group(sub string) arm.ID { return arm.ID{Subscription: sub, ResourceGroup: "rg"} }

// pauseless wants that the sharing counted before its operation ended.
func (f *fair) pauseless(r *control.Response) {
	f.Helper()
	if _, _, err := f.version(subB, direct("/Versions/1.0.0"), "eastus"); err != nil {
		f.Error(err)
	}
	f.wait(r)
}
