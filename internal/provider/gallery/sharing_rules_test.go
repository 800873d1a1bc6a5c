package gallery_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

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
