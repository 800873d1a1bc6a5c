package gallery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/disk"
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

// The action answers as recorded, and the profile is shown to who asks.
func TestShare(t *testing.T) {
	f := newFair(t, "")
	r, err := f.do(inA, "POST", shareA, add("subscriptions", subB, strings.ToUpper(subC)))
	f.must(err)
	where := r.Header.Get("Azure-AsyncOperation")
	if r.Status != 202 || len(r.Body) != 0 || !strings.Contains(where, "/locations/eastus/capsOperations/") || !strings.Contains(r.Header.Get("Location"), "monitor=true") {
		t.Fatalf("%d %q %v", r.Status, r.Body, r.Header)
	}
	if o := f.wait(r); o.Status != operation.Succeeded {
		t.Fatal(o)
	}
	f.share(add("AADTenants", tenantC))
	f.share(add("subscriptions", subB)) // again
	plain := f.get(inA, galleryA)
	if at(plain, "properties.sharingProfile.permissions") != "Groups" || at(plain, "properties.sharingProfile.groups") != nil || at(plain, "properties.sharingStatus") != nil || strings.Contains(fmt.Sprint(plain), subB) {
		t.Errorf("%v", plain)
	}
	for _, q := range []string{"?$select=permissions", "?$expand=sharingprofile/groups"} {
		v := f.get(inA, galleryA+q)
		groups := fmt.Sprint(at(v, "properties.sharingProfile.groups"))
		if groups != fmt.Sprintf("[map[ids:[%s %s] type:Subscriptions] map[ids:[%s] type:AADTenants]]", subB, subC, tenantC) {
			t.Error(groups)
		}
		if s := fmt.Sprint(at(v, "properties.sharingStatus")); s != "map[aggregatedState:Succeeded summary:[map[region:East US state:Succeeded] map[region:West US 2 state:Succeeded]]]" {
			t.Error(s)
		}
	}
	f.share(change("remove", "Subscriptions", subC, subA)) // one of which was never there
	f.done(inA, "PATCH", galleryA, `{"tags":{"a":"b"}}`)   // loses nothing
	f.done(inA, "PUT", galleryA, `{"location":"eastus"}`)
	if groups := fmt.Sprint(at(f.get(inA, galleryA+"?$select=Permissions"), "properties.sharingProfile.groups")); groups != fmt.Sprintf("[map[ids:[%s] type:Subscriptions] map[ids:[%s] type:AADTenants]]", subB, tenantC) {
		t.Error(groups)
	}
	f.share(`{"operationType":"RESET"}`)
	if v := f.get(inA, galleryA+"?$select=Permissions"); at(v, "properties.sharingProfile.permissions") != "Private" || at(v, "properties.sharingProfile.groups") != nil {
		t.Errorf("%v", v)
	}
}

// What the consumer sees has the recorded shapes and nothing of the publisher's.
func TestSharedViews(t *testing.T) {
	f := newFair(t, "")
	f.gone(inB, subB, sharedB, direct("/Versions/1.0.0"))
	f.share(add("Subscriptions", subB))
	for path, want := range map[string]string{
		sharedB:                  `{"location":"eastus","name":"` + unique + `","identifier":{"uniqueId":"/SharedGalleries/` + unique + `"}}`,
		sharedB + "/images/TINY": `{"location":"eastus","name":"tiny","identifier":{"uniqueId":"/SharedGalleries/` + unique + `/Images/tiny"},"properties":{"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s"},"recommended":{},"hyperVGeneration":"V1","architecture":"x64"}}`,
	} {
		r, err := f.do(inB, "GET", path, "")
		f.must(err)
		if string(r.Body) != want {
			t.Errorf("%s\n got %s\nwant %s", path, r.Body, want)
		}
	}
	v := f.get(inB, strings.ToLower(sharedB)+"/images/tiny/versions/1.0.0")
	if fmt.Sprint(at(v, "properties.storageProfile")) != "map[osDiskImage:map[diskSizeGB:1 hostCaching:ReadWrite]]" || at(v, "properties.excludeFromLatest") != false || at(v, "properties.publishedDate") == nil ||
		at(v, "identifier.uniqueId") != direct("/Versions/1.0.0") || strings.Contains(fmt.Sprint(v), "resourceGroups") {
		t.Errorf("%v", v)
	}
	if at(f.get(inB, sharedB+"/images/tiny/versions/1.0.0?api-version=2026-03-03"), "properties.imageState") != "Active" {
		t.Error("no imageState")
	}
	if f.names(inB, regionB+"/sharedGalleries") != unique || f.names(inB, regionB+"/sharedGalleries?sharedTo=tenant") != "" || f.names(inB, sharedB+"/images") != "tiny" || f.names(inB, sharedB+"/images/tiny/versions") != "1.0.0" {
		t.Error("lists")
	}
	west := strings.Replace(sharedB, "eastus", "westus2", 1)
	if f.names(inB, west+"/images/tiny/versions") != "1.0.0" || f.names(inB, regionB[:len(regionB)-6]+"westus2/sharedGalleries") != unique {
		t.Error("where it is replicated to")
	}
	for _, path := range []string{strings.Replace(sharedB, "eastus", "westus", 1), sharedB + "/images/none", sharedB + "/images/tiny/versions/1.0.1", sharedB + "/images/tiny/versions/latest", sharedB + "x", regionB + "/communityGalleries/" + unique} {
		_, err := f.do(inB, "GET", path, "")
		f.refuse(err, 404, "ResourceNotFound", "was not found", "")
	}
	_, err := f.do(inB, "GET", regionB+"/sharedGalleries?sharedTo=everybody", "")
	f.refuse(err, 400, "InvalidParameter", "subscription, tenant", "sharedTo")
	_, err = f.do(inB, "GET", strings.Replace(sharedB, "eastus", "atlantis", 1), "")
	f.refuse(err, 400, "InvalidParameter", "not a location", "location")
}

// Who is meant: the subscription, or every one of the tenant; never another's, whoever asks.
func TestWhoSees(t *testing.T) {
	f := newFair(t, "")
	id := direct("/Versions/1.0.0")
	shared := func(sub string) string {
		return "/subscriptions/" + sub + compute + "locations/eastus/sharedGalleries/" + unique
	}
	f.share(add("Subscriptions", subB))
	f.gone(inB, subB2, shared(subB2), id) // the same principal, another subscription of the tenant
	f.gone(inC, subC, shared(subC), id)
	f.gone(inA, subA, shared(subA), id) // not even the publisher's own
	_, err := f.do(inC, "GET", shared(subB), "")
	f.refuse(err, 401, "InvalidAuthenticationTokenTenant", "wrong issuer", "")
	f.share(change("Remove", "Subscriptions", subB))
	f.gone(inB, subB, shared(subB), id)
	f.share(add("AADTenants", tenantB))
	for _, sub := range []string{subB, subB2} {
		f.get(inB, shared(sub))
		if v, shown, err := f.version(sub, strings.ToLower(id), "eastus"); err != nil || v != versionA || shown != id {
			t.Error(v, shown, err)
		}
		list := "/subscriptions/" + sub + compute + "locations/eastus/sharedGalleries"
		if f.names(inB, list+"?sharedTo=tenant") != unique || f.names(inB, list) != "" {
			t.Error("lists of", sub)
		}
	}
	// A user of tenant B that is a guest of tenant C sees there what C sees: nothing.
	guest := principal(tenantC)
	guest.Kind, guest.HomeTenant, guest.HomeObject = authn.User, tenantB, principal(tenantB).ObjectID
	f.gone(authn.Caller{Primary: guest, Auxiliary: []authn.Principal{principal(tenantB)}}, subC, shared(subC), id)
	// Who holds nothing in the subscription sees nothing of it.
	stranger := principal(tenantB)
	stranger.ObjectID = "99999999-0000-4000-8000-000000000009"
	_, err = f.do(authn.Caller{Primary: stranger}, "GET", shared(subB), "")
	f.refuse(err, 403, "AuthorizationFailed", "Microsoft.Compute/locations/sharedGalleries/read", "")
}

// Consumers get what may be used: by region, without the excluded, failed and deleted ones.
func TestWhatIsSeen(t *testing.T) {
	f := newFair(t, `{"location":"eastus","properties":{"softDeletePolicy":{"isSoftDeleteEnabled":true}}}`)
	f.share(add("Subscriptions", subB))
	f.done(inA, "PUT", definitionA+"/versions/3.0.0", version(`,"publishingProfile":{"excludeFromLatest":true}`))
	f.done(inA, "PUT", definitionA+"/versions/2.0.0", version(`,"publishingProfile":{"targetRegions":[{"name":"eastus"},{"name":"westus2","excludeFromLatest":true}]}`))
	latest := func(id, region string) string {
		_, shown, err := f.version(subB, id, region)
		f.must(err)
		return shown[strings.LastIndexByte(shown, '/')+1:]
	}
	if latest(direct(""), "eastus") != "2.0.0" || latest(direct("/Versions/LATEST"), "West US 2") != "1.0.0" || latest(direct("/Versions/3.0.0"), "eastus") != "3.0.0" {
		t.Error("latest")
	}
	if at(f.get(inB, strings.Replace(sharedB, "eastus", "westus2", 1)+"/images/tiny/versions/2.0.0"), "properties.excludeFromLatest") != true {
		t.Error("the region's own exclusion is not shown")
	}
	f.setDown("westus2", true)
	r, err := f.do(inA, "PUT", definitionA+"/versions/4.0.0", version(","+regions("eastus", "westus2")))
	f.must(err)
	if o := f.wait(r); o.Status != operation.Failed {
		t.Fatal(o)
	}
	f.setDown("westus2", false)
	west := strings.Replace(sharedB, "eastus", "westus2", 1) + "/images/tiny/versions"
	if f.names(inB, west) != "1.0.0 2.0.0" {
		t.Error(f.names(inB, west))
	}
	if latest(direct(""), "eastus") != "2.0.0" {
		t.Error("a failed version is the latest")
	}
	f.done(inA, "DELETE", definitionA+"/versions/2.0.0", "")
	if got := f.names(inB, sharedB+"/images/tiny/versions"); got != "1.0.0 3.0.0 4.0.0" || latest(direct(""), "eastus") != "1.0.0" {
		t.Error(got)
	}
	const new = "?api-version=2026-03-03"
	if got := f.names(inB, sharedB+"/images/tiny/versions"+new); got != "1.0.0 2.0.0 3.0.0 4.0.0" {
		t.Error(got)
	}
	if v := f.get(inB, sharedB+"/images/tiny/versions/2.0.0"+new); at(v, "properties.imageState") != "SoftDeleted" || at(v, "properties.consumptionEndTime") == nil {
		t.Errorf("%v", v)
	}
	f.later = 8 * 24 * time.Hour // the retention is over
	f.noImage(subB, direct("/Versions/2.0.0"))
	if got := f.names(inB, sharedB+"/images/tiny/versions"+new); got != "1.0.0 3.0.0 4.0.0" {
		t.Error(got)
	}
}

// A community gallery is there for everybody who knows its name, once it is enabled.
func TestCommunity(t *testing.T) {
	f := newFair(t, publicGallery)
	name := f.publicName()
	read, id := regionB+"/communityGalleries/"+name, "/CommunityGalleries/"+name+"/Images/tiny/Versions/1.0.0"
	if !strings.HasPrefix(name, "Shop-") || !arm.IsGUID(name[5:]) || at(f.get(inA, galleryA), "properties.sharingProfile.communityGalleryInfo.communityGalleryEnabled") != false {
		t.Error(name)
	}
	f.gone(inB, subB, read, id)
	f.share(`{"operationType":"EnableCommunity","groups":[]}`)
	for _, sub := range []string{subB, subA} {
		if v, shown, err := f.version(sub, strings.ToUpper(id), "westus2"); err != nil || v != versionA || shown != id {
			t.Error(v, shown, err)
		}
	}
	v := f.get(inB, strings.ToLower(read))
	if at(v, "properties.communityMetadata.publisherUri") != "https://example.com" || fmt.Sprint(at(v, "properties.communityMetadata.publicNames")) != "["+name+"]" || at(v, "properties.communityMetadata.eula") == nil {
		t.Errorf("%v", v)
	}
	d := f.get(inB, read+"/images/tiny")
	if fmt.Sprint(at(d, "properties.identifier")) != "map[offer: publisher: sku:]" || at(d, "properties.disclaimer") == nil || at(d, "identifier.uniqueId") != "/CommunityGalleries/"+name+"/Images/tiny" {
		t.Errorf("%v", d)
	}
	all := fmt.Sprint(v, d, f.get(inB, read+"/images/tiny/versions/1.0.0"), f.get(inB, read+"/images"), f.get(inB, read+"/images/tiny/versions"))
	for _, secret := range []string{subA, tenantA, "shop", "/resourceGroups/", "source"} {
		if strings.Contains(strings.ToLower(all), strings.ToLower(secret)) && secret != "shop" {
			t.Errorf("%s is told: %s", secret, all)
		}
	}
	for _, guess := range []string{"Shop", "Shop-", name[:len(name)-1], name + "x", unique, "x_", "x-"} {
		f.noImage(subB, "/CommunityGalleries/"+guess+"/Images/tiny/Versions/1.0.0")
	}
	_, err := f.do(inB, "GET", regionB+"/communityGalleries", "")
	f.refuse(err, 404, "InvalidResourceType", "", "")
	f.share(`{"operationType":"Reset"}`)
	f.gone(inB, subB, read, id)
	f.done(inA, "PUT", galleryA, `{"location":"eastus","properties":{"sharingProfile":{"permissions":"Private"}}}`)
	f.share(`{"operationType":"EnableCommunity"}`) // the same name again: its users find it
	f.get(inB, read)
	if f.publicName() != name {
		t.Error("another name")
	}
}

// Invites: rejected stays rejected, whatever the publisher does, until it is accepted.
func TestInvites(t *testing.T) {
	f := newFair(t, "")
	id := direct("/Versions/1.0.0")
	of := func(verb string) string {
		return regionB + "/sharedGallerySubscriptions/" + strings.ToUpper(subA) + "/sharedGalleries/Shop/" + verb
	}
	whole := func(verb string) string {
		return compute[:len(compute)-1] + "/locations/eastus/tenantLevelSharedGallerySubscriptions/" + subA + "/sharedGalleries/shop/" + verb
	}
	_, err := f.do(inB, "POST", of("reject"), "")
	f.refuse(err, 404, "ResourceNotFound", "no invite", "")
	f.share(add("Subscriptions", subB))
	f.answer(inB, of("accept")) // it is open already
	f.get(inB, sharedB)
	f.answer(inB, of("reject"))
	f.answer(inB, of("reject"))
	f.gone(inB, subB, sharedB, id)
	if f.names(inB, regionB+"/sharedGalleries") != "" {
		t.Error("listed")
	}
	f.share(change("Remove", "Subscriptions", subB))
	f.share(add("Subscriptions", subB)) // does not help
	f.gone(inB, subB, sharedB, id)
	f.share(add("AADTenants", tenantB)) // an invite of its own
	f.get(inB, sharedB)
	_, err = f.do(inB, "POST", whole("reject"), "")
	f.refuse(err, 403, "AuthorizationFailed", "tenantLevelSharedGallerySubscriptions/sharedGalleries/reject/action", "")
	f.update(func(tx store.Tx) error { return assign(tx, principal(tenantB), owner, "/") })
	f.answer(inB, whole("reject"))
	f.gone(inB, subB, sharedB, id)
	f.answer(inB, of("accept"))
	f.get(inB, sharedB)
	f.answer(inB, whole("accept"))
	f.share(change("Remove", "Subscriptions", subB))
	f.get(inB, sharedB) // by the tenant
	_, err = f.do(inC, "POST", strings.Replace(of("reject"), subB, subC, 1), "")
	f.refuse(err, 404, "ResourceNotFound", "no invite", "")
	_, err = f.do(inB, "POST", strings.Replace(of("reject"), "eastus", "westus", 1), "")
	f.refuse(err, 404, "ResourceNotFound", "no invite", "")
	_, err = f.do(inB, "POST", strings.Replace(of("reject"), strings.ToUpper(subA), "x", 1), "")
	f.refuse(err, 400, "InvalidSubscriptionId", "malformed", "")
	_, err = f.do(inB, "POST", strings.Replace(of("reject"), "Shop", "a-b", 1), "")
	f.refuse(err, 400, "InvalidParameter", "validation rule", "sharedGalleryName")
}

func (f *fair) answer(caller authn.Caller, path string) {
	f.Helper()
	r, err := f.do(caller, "POST", path, "")
	f.must(err)
	if r.Status != 204 || len(r.Body) != 0 {
		f.Fatalf("%d %s", r.Status, r.Body)
	}
}

func group(sub string) arm.ID { return arm.ID{Subscription: sub, ResourceGroup: "rg"} }

// A disk is made by the consumer's own right alone, keeps the consumer's ID, and outlives the sharing.
func TestMadeFromShared(t *testing.T) {
	f := newFair(t, publicGallery)
	body := func(member, id string) string {
		return fmt.Sprintf(`{"location":"eastus","properties":{"creationData":{"createOption":"FromImage","galleryImageReference":{%q:%q}}}}`, member, id)
	}
	public := "/CommunityGalleries/" + f.publicName() + "/Images/tiny/Versions/1.0.0"
	_, err := f.do(inB, "PUT", diskB, body("communityGalleryImageId", public))
	f.refuse(err, 404, "GalleryImageNotFound", public, "")
	f.share(`{"operationType":"EnableCommunity"}`)
	f.done(inB, "PUT", diskB, body("communityGalleryImageId", public))
	shown := f.get(inB, diskB)
	if at(shown, "properties.creationData.galleryImageReference.communityGalleryImageId") != public || at(shown, "properties.osType") != "Linux" || strings.Contains(fmt.Sprint(shown), subA) {
		t.Errorf("%v", shown)
	}
	_, err = f.do(inB, "PUT", diskB+"2", strings.Replace(body("communityGalleryImageId", public), `"communityG`, `"lun":3,"communityG`, 1))
	f.refuse(err, 400, "InvalidParameter", public, "galleryImageReference.lun")
	for _, bad := range []string{body("sharedGalleryImageId", public), body("communityGalleryImageId", versionA),
		strings.Replace(body("communityGalleryImageId", public), `{"communityG`, `{"id":"`+versionA+`","communityG`, 1)} {
		_, err = f.do(inB, "PUT", diskB+"3", bad)
		f.refuse(err, 400, "InvalidParameter", "galleryImageReference", "")
	}
	for _, bad := range []string{"/CommunityGalleries/x", "/CommunityGalleries/x/Images/../Versions/1.0.0", "/CommunityGalleries/../Images/y", "/CommunityGalleries/x/Images/y/Versions/1.0", "/CommunityGalleries//Images/y", public + "/", public + "\n",
		"/CommunityGalleries/" + strings.Repeat("x", 5000) + "/Images/y"} {
		_, err = f.do(inB, "PUT", diskB+"3", body("communityGalleryImageId", bad))
		f.refuse(err, 400, "InvalidParameter", "It must have the form", "imageReference")
	}
	// A machine's disk shows the consumer's ID, too.
	f.update(func(tx store.Tx) error {
		id, owner := group(subB).Child("Microsoft.Compute/disks", "os"), group(subB).Child("Microsoft.Compute/virtualMachines", "m")
		return f.disks.Create(tx, disk.NewDisk{ID: id, Location: "eastus", OSType: "Linux", ImageVersionID: versionA, Foreign: public, LUN: -1, Owner: owner, Now: time.Now()})
	})
	if os := f.get(inB, groupB+compute+"disks/os"); at(os, "properties.creationData.galleryImageReference.communityGalleryImageId") != public || strings.Contains(fmt.Sprint(os), subA) {
		t.Errorf("%v", os)
	}
	f.share(`{"operationType":"Reset"}`)
	f.share(add("Subscriptions", subB))
	f.done(inB, "PUT", diskB+"4", body("sharedGalleryImageId", strings.ToLower(direct("/Versions/1.0.0"))))
	f.share(`{"operationType":"Reset"}`)
	f.done(inA, "DELETE", versionA, "")
	if at(f.get(inB, diskB), "properties.provisioningState") != "Succeeded" {
		t.Error("the disk is gone")
	}
	f.done(inB, "PATCH", diskB+"4", `{"tags":{"a":"b"}}`) // what is there needs no sharing
}

// The what-if tells what would break, by those whom the publisher named; the policy makes a refusal of it.
func TestWhatIf(t *testing.T) {
	f := newFair(t, "")
	disk := func(caller authn.Caller, sub, name, id string) {
		f.done(caller, "PUT", "/subscriptions/"+sub+"/resourceGroups/rg"+compute+"disks/"+name, fmt.Sprintf(`{"location":"eastus","properties":{"creationData":{"createOption":"FromImage","galleryImageReference":{"sharedGalleryImageId":%q}}}}`, id))
	}
	ask := func(body string) string {
		r, err := f.do(inA, "POST", galleryA+"/shareWhatIf", body)
		f.must(err)
		return fmt.Sprint(decode(f.world, r.Body)["breaks"], decode(f.world, r.Body)["wouldBeRefused"])
	}
	f.share(add("Subscriptions", subB, subC))
	f.share(add("AADTenants", tenantB))
	if got := ask(`{"operationType":"Reset"}`); got != "[] false" {
		t.Error(got)
	}
	disk(inB, subB, "one", direct("/Versions/1.0.0"))
	disk(inB, subB2, "two", direct(""))
	disk(inC, subC, "three", direct("/Versions/1.0.0"))
	line := func(typ, id string) string {
		return fmt.Sprintf("map[disks:1 id:%s imageVersions:0 type:%s virtualMachines:0]", id, typ)
	}
	for body, want := range map[string]string{
		change("Remove", "Subscriptions", subB):  "[] false", // it still sees it by its tenant
		change("Remove", "Subscriptions", subC):  "[" + line("Subscriptions", subC) + "] false",
		change("Remove", "AADTenants", tenantB):  "[" + line("AADTenants", tenantB) + "] false", // the subscription that was not named
		`{"operationType":"Reset"}`:              "[" + line("AADTenants", tenantB) + " " + line("Subscriptions", subB) + " " + line("Subscriptions", subC) + "] false",
		add("Subscriptions", subA):               "[] false",
		change("Remove", "Subscriptions", subB2): "[] false",
	} {
		if got := ask(body); got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
	f.get(inC, "/subscriptions/"+subC+compute+"locations/eastus/sharedGalleries/"+unique) // a what-if changes nothing
	f.done(inA, "PATCH", galleryA, `{"properties":{"sharingProfile":{"unshareWhileUsed":"refuse"}}}`)
	if got := ask(change("Remove", "Subscriptions", subC)); !strings.HasSuffix(got, "] true") {
		t.Error(got)
	}
	_, err := f.do(inA, "POST", shareA, change("Remove", "Subscriptions", subC))
	f.refuse(err, 409, "OperationNotAllowed", "subscription "+subC+" has 0 virtual machines, 1 disks", "")
	f.share(change("Remove", "Subscriptions", subB)) // breaks nothing
	f.done(inC, "DELETE", "/subscriptions/"+subC+"/resourceGroups/rg"+compute+"disks/three", "")
	f.share(change("Remove", "Subscriptions", subC))
	f.done(inA, "PATCH", galleryA, `{"properties":{"sharingProfile":{"unshareWhileUsed":"Allow"}}}`)
	f.share(`{"operationType":"Reset"}`)
}

// Sharing takes a right of its own: Contributor lacks it, Compute Gallery Sharing Admin has it.
func TestSharingRights(t *testing.T) {
	f := newFair(t, "")
	as := func(role string) authn.Caller {
		p := principal(tenantA)
		p.ObjectID = "77777777-0000-4000-8000-" + role[24:]
		f.update(func(tx store.Tx) error { return assign(tx, p, role, "/subscriptions/"+subA) })
		return authn.Caller{Primary: p}
	}
	weak, admin := as(contributor), as(sharer)
	for _, path := range []string{shareA, galleryA + "/shareWhatIf"} {
		_, err := f.do(weak, "POST", path, add("Subscriptions", subB))
		f.refuse(err, 403, "AuthorizationFailed", "Microsoft.Compute/galleries/share/action", "")
		_, err = f.do(inB, "POST", path, add("Subscriptions", subB))
		f.refuse(err, 401, "InvalidAuthenticationTokenTenant", "", "")
	}
	f.done(admin, "POST", shareA, add("Subscriptions", subB))
	// What Contributor may do, a PUT, changes nothing of it.
	for _, profile := range []string{`{"permissions":"Private"}`, `{"permissions":"Community","communityGalleryInfo":{"publicNamePrefix":"x","communityGalleryEnabled":true}}`} {
		_, err := f.do(weak, "PUT", galleryA, `{"location":"eastus","properties":{"sharingProfile":`+profile+`}}`)
		f.refuse(err, 409, "OperationNotAllowed", "while it is shared", "gallery.properties.sharingProfile.permissions")
	}
	f.done(weak, "PUT", galleryA, `{"location":"eastus","properties":{"sharingProfile":{"groups":[{"type":"Subscriptions","ids":["`+subC+`"]}]},"sharedWith":[{"type":"Subscriptions","ids":["`+subC+`"]}]}}`)
	f.noImage(subC, direct("/Versions/1.0.0"))
	f.done(admin, "POST", shareA, `{"operationType":"Reset"}`)
	f.done(weak, "PUT", galleryA, `{"location":"eastus","properties":{"sharingProfile":{"permissions":"Community","communityGalleryInfo":{"publicNamePrefix":"x","communityGalleryEnabled":true,"publicNames":["mine"]}}}}`)
	if name := f.publicName(); name == "mine" {
		t.Error(name)
	} else {
		f.noImage(subC, "/CommunityGalleries/"+name+"/Images/tiny")
	}
	f.noImage(subC, "/CommunityGalleries/mine/Images/tiny")
}

// TestSharingErrors has one row per error of the action and of shared galleries.
func TestSharingErrors(t *testing.T) {
	f := newFair(t, "")
	id := func(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }
	var many []string
	for n := range 1001 {
		many = append(many, id(n))
	}
	in := func(location, props string) string {
		return fmt.Sprintf(`{"location":%q,"properties":{%s}}`, location, props)
	}
	def := func(location, more string) string {
		return in(location, `"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p2","offer":"o","sku":"s"}`+more)
	}
	pub, plan := groupA+compute+"galleries/pub", `,"purchasePlan":{"name":"n","publisher":"p","product":"x"}`
	f.done(inA, "PUT", pub, publicGallery)
	f.done(inA, "POST", pub+"/share", `{"operationType":"EnableCommunity"}`)
	groups := groupA + compute + "galleries/groups"
	f.done(inA, "PUT", groups, in("eastus", `"sharingProfile":{"permissions":"Groups"}`))
	f.done(inA, "POST", groups+"/share", add("Subscriptions", subB))
	far := groupA + compute + "galleries/far"
	f.done(inA, "PUT", far, in("eastus", ""))
	f.done(inA, "PUT", far+"/images/d", def("westus2", ""))
	planned := groupA + compute + "galleries/planned"
	f.done(inA, "PUT", planned, strings.Replace(publicGallery, "community", "private", 1))
	f.done(inA, "PUT", planned+"/images/d", def("eastus", plan))
	info := func(members string) string {
		return in("eastus", `"sharingProfile":{"permissions":"Community","communityGalleryInfo":{`+members+`}}`)
	}
	other := groupA + compute + "galleries/other"
	const at = "gallery.properties.sharingProfile.communityGalleryInfo"
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		code, part, target       string
	}{
		{"no operation", "POST", shareA, `{}`, 400, "InvalidParameter", "'operationType' is missing", "sharingUpdate.operationType"},
		{"unknown operation", "POST", shareA, `{"operationType":"Give"}`, 400, "InvalidParameter", "Add,Remove,Reset,EnableCommunity", "sharingUpdate.operationType"},
		{"unknown group", "POST", shareA, add("Friends", subB), 400, "InvalidParameter", "Subscriptions,AADTenants", "sharingUpdate.groups[0].type"},
		{"group without type", "POST", shareA, `{"operationType":"Add","groups":[{"ids":["` + subB + `"]}]}`, 400, "InvalidParameter", "'type' is missing", "sharingUpdate.groups.type"},
		{"no GUID", "POST", shareA, add("Subscriptions", "me"), 400, "InvalidParameter", "must be a GUID", "sharingUpdate.groups.ids"},
		{"nobody", "POST", shareA, add("Subscriptions"), 400, "InvalidParameter", "At least one", "sharingUpdate.groups"},
		{"nobody to remove", "POST", shareA, `{"operationType":"Remove"}`, 400, "InvalidParameter", "At least one", "sharingUpdate.groups"},
		{"not a list", "POST", shareA, `{"operationType":"Add","groups":{"type":"Subscriptions"}}`, 400, "InvalidParameter", "an array is expected", "sharingUpdate.groups"},
		{"sharing caps", "POST", shareA, add("Subscriptions", many...), 400, "InvalidParameter", "The maximum number is 1000", "sharingUpdate.groups"},
		{"no gallery", "POST", other + "/share", add("Subscriptions", subB), 404, "ResourceNotFound", "other", ""},
		{"no community info", "POST", shareA, `{"operationType":"EnableCommunity"}`, 400, "InvalidParameter", "publicNamePrefix", at},
		{"groups of the public", "POST", pub + "/share", add("Subscriptions", subB), 409, "OperationNotAllowed", "Reset its sharing", ""},
		{"public of groups", "POST", groups + "/share", `{"operationType":"EnableCommunity"}`, 409, "OperationNotAllowed", "Reset its sharing", ""},
		{"delete of a public gallery", "DELETE", pub, "", 409, "OperationNotAllowed", "Reset its sharing before deleting it", ""},
		{"something far", "POST", far + "/share", add("Subscriptions", subB), 409, "OperationNotAllowed", "not in the gallery's region", ""},
		{"mode with something far", "PUT", far, in("eastus", `"sharingProfile":{"permissions":"Groups"}`), 409, "OperationNotAllowed", "not in the gallery's region", ""},
		{"definition far", "PUT", groups + "/images/d", def("westus2", ""), 400, "InvalidParameter", "must be in the gallery's region", "location"},
		{"plan of the community", "PUT", pub + "/images/d", def("eastus", plan), 400, "InvalidParameter", "purchase plan", "galleryImage.properties.purchasePlan"},
		{"community of a plan", "POST", planned + "/share", `{"operationType":"EnableCommunity"}`, 409, "OperationNotAllowed", "purchase plan", ""},
		{"unknown mode", "PUT", other, in("eastus", `"sharingProfile":{"permissions":"Friends"}`), 400, "InvalidParameter", "Private,Groups,Community", "gallery.properties.sharingProfile.permissions"},
		{"community without prefix", "PUT", other, info(`"eula":"x"`), 400, "InvalidParameter", "publicNamePrefix", at + ".publicNamePrefix"},
		{"community without info", "PUT", other, in("eastus", `"sharingProfile":{"permissions":"Community"}`), 400, "InvalidParameter", "publicNamePrefix", at + ".publicNamePrefix"},
		{"bad prefix", "PUT", other, info(`"publicNamePrefix":"a/b"`), 400, "InvalidParameter", "alphanumerics", at + ".publicNamePrefix"},
		{"bad URI", "PUT", other, info(`"publicNamePrefix":"a","publisherUri":"javascript:alert(1)"`), 400, "InvalidParameter", "absolute URI", at + ".publisherUri"},
		{"long text", "PUT", other, info(`"publicNamePrefix":"a","eula":"` + strings.Repeat("x", 3000) + `"`), 400, "InvalidParameter", "longer than", at + ".eula"},
		{"another prefix", "PUT", pub, strings.Replace(publicGallery, `"Shop"`, `"Other"`, 1), 409, "PropertyChangeNotAllowed", "publicNamePrefix", at + ".publicNamePrefix"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := *f.world
			sub.T = t
			_, err := sub.do(inA, row.method, row.path, row.body)
			sub.refuse(err, row.status, row.code, row.part, row.target)
		})
	}
	f.share(add("Subscriptions", many[:1000]...))
	_, err := f.do(inA, "POST", shareA, add("AADTenants", tenantB))
	f.refuse(err, 400, "InvalidParameter", "1001 subscriptions and tenants", "sharingUpdate.groups")
	f.done(inA, "DELETE", groups, "") // what is shared with groups may go
	f.gone(inB, subB, regionB+"/sharedGalleries/"+subA+"-GROUPS", "/SharedGalleries/"+subA+"-GROUPS/Images/d")
	f.share(`{"operationType":"Reset"}`)
	_, err = f.do(inA, "POST", shareA, `{"operationType":"Reset"`)
	f.refuse(err, 400, "InvalidRequestContent", "", "")
	r, err := f.do(inA, "POST", shareA, add("Subscriptions", subB))
	f.must(err)
	f.pauseless(r)
}

// pauseless wants that the sharing counted before its operation ended.
func (f *fair) pauseless(r *control.Response) {
	f.Helper()
	if _, _, err := f.version(subB, direct("/Versions/1.0.0"), "eastus"); err != nil {
		f.Error(err)
	}
	f.wait(r)
}

// What a subscription is offered, and what everybody may ask Resource Graph for.
func TestOffersAndRows(t *testing.T) {
	f := newFair(t, publicGallery)
	offers := func(sub string) string {
		var list []foreign.Offer
		f.must(f.view(func(tx store.Tx) (err error) {
			list, err = f.outside.Offers(tx, sub)
			return err
		}))
		var out []string
		for _, o := range list {
			out = append(out, o.Means+" "+o.ID)
		}
		return strings.Join(out, "; ")
	}
	rows := func() string {
		var list []json.RawMessage
		f.must(f.view(func(tx store.Tx) (err error) {
			list, err = f.outside.Community(tx)
			return err
		}))
		raw, err := json.Marshal(list)
		f.must(err)
		return string(raw)
	}
	if got := offers(subB) + rows(); got != "null" {
		t.Error(got)
	}
	f.share(add("Subscriptions", subB))
	f.share(add("AADTenants", tenantB))
	if got := offers(subB); got != "Subscription /SharedGalleries/"+unique+"; Tenant /SharedGalleries/"+unique {
		t.Error(got)
	}
	if got := offers(subB2) + rows(); got != "Tenant /SharedGalleries/"+unique+"null" {
		t.Error(got)
	}
	f.share(`{"operationType":"Reset"}`)
	f.share(`{"operationType":"EnableCommunity"}`)
	name := f.publicName()
	if got := offers(subC); got != "Community /CommunityGalleries/"+name {
		t.Error(got)
	}
	got := rows()
	for _, region := range []string{"eastus", "westus2"} {
		for _, part := range []string{fmt.Sprintf(`"name":%q,"type":"microsoft.compute/locations/communitygalleries","location":%q`, name, region), `"uniqueId":"/CommunityGalleries/` + name + `"`,
			fmt.Sprintf(`"name":"tiny","type":"microsoft.compute/locations/communitygalleries/images","location":%q`, region)} {
			if !strings.Contains(got, part) {
				t.Errorf("no %s in %s", part, got)
			}
		}
	}
	if strings.Contains(got, subA) || strings.Contains(got, "resourceGroups") || strings.Contains(got, tenantA) {
		t.Errorf("the publisher is told: %s", got)
	}
}
