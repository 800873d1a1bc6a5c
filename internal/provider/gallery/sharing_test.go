package gallery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/foreign"
	"vitrine/internal/store"
)

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
	f.setDown("westus2", errDown)
	r, err := f.do(inA, "PUT", definitionA+"/versions/4.0.0", version(","+regions("eastus", "westus2")))
	f.must(err)
	if o := f.wait(r); o.Status != operation.Failed {
		t.Fatal(o)
	}
	f.setDown("westus2", nil)
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
