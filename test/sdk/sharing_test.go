package sdk

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
)

// sharing drives each operation of a gallery's sharing profile, and reads from fabrikam what it opens and shuts there.
func (i *images) sharing(t *testing.T, w *world) {
	here := w.compute()
	there := must(armcompute.NewClientFactory(w.fabrikam.SubscriptionID, must(azidentity.NewClientSecretCredential(w.fabrikam.TenantID, w.daemon.AppID, w.daemon.Password, nil)), nil))
	profile := here.NewGallerySharingProfileClient()
	share := func(operation armcompute.SharingUpdateOperationTypes, ids ...*string) {
		t.Helper()
		update := armcompute.SharingUpdate{OperationType: &operation}
		if len(ids) > 0 {
			update.Groups = []*armcompute.SharingProfileGroup{{Type: to.Ptr(armcompute.SharingProfileGroupTypesSubscriptions), IDs: ids}}
		}
		p, err := profile.BeginUpdate(i.ctx, group, "golden", update, nil)
		done(t, p, err)
	}
	add := armcompute.SharingUpdate{OperationType: to.Ptr(armcompute.SharingUpdateOperationTypesAdd), Groups: []*armcompute.SharingProfileGroup{
		{Type: to.Ptr(armcompute.SharingProfileGroupTypesSubscriptions), IDs: []*string{&w.fabrikam.SubscriptionID}}}}
	_, err := profile.BeginUpdate(i.ctx, group, "golden", add, nil) // a Contributor's writing does not give it
	refused(t, err, 403, "AuthorizationFailed")
	w.ask(t, &struct{}{}, "role", "assign", "Compute Gallery Sharing Admin", "--scope", "/subscriptions/"+w.contoso.SubscriptionID, "--principal", w.daemon.ObjectID)
	unique := w.contoso.SubscriptionID + "-GOLDEN"
	shared := there.NewSharedGalleriesClient()
	gone := func() {
		t.Helper()
		_, err := shared.Get(i.ctx, "eastus", unique, nil)
		refused(t, err, 404, "ResourceNotFound")
	}
	gone()
	share(armcompute.SharingUpdateOperationTypesAdd, &w.fabrikam.SubscriptionID)
	got, err := i.galleries.Get(i.ctx, group, "golden", &armcompute.GalleriesClientGetOptions{Expand: to.Ptr(armcompute.GalleryExpandParamsSharingProfileGroups)})
	if err != nil || len(got.Properties.SharingProfile.Groups) != 1 {
		t.Fatalf("%+v %v", got.Properties, err)
	}
	is(t, "group", got.Properties.SharingProfile.Groups[0].IDs[0], w.fabrikam.SubscriptionID)
	i.sharedWith(t, there, unique)
	share(armcompute.SharingUpdateOperationTypesRemove, &w.fabrikam.SubscriptionID)
	gone()
	share(armcompute.SharingUpdateOperationTypesAdd, &w.fabrikam.SubscriptionID)
	share(armcompute.SharingUpdateOperationTypesReset)
	gone()
	i.public(t, there, share)
}

// permit sets how the gallery may be shared.
func (i *images) permit(profile armcompute.SharingProfile) armcompute.Gallery {
	i.t.Helper()
	p, err := i.galleries.BeginUpdate(i.ctx, group, "golden", armcompute.GalleryUpdate{Properties: &armcompute.GalleryProperties{SharingProfile: &profile}}, nil)
	return done(i.t, p, err).Gallery
}

// sharedWith reads the gallery by its unique name: all three kinds, each in its list and alone.
func (i *images) sharedWith(t *testing.T, there *armcompute.ClientFactory, unique string) {
	t.Helper()
	galleries, definitions, versions := there.NewSharedGalleriesClient(), there.NewSharedGalleryImagesClient(), there.NewSharedGalleryImageVersionsClient()
	listed(t, "shared galleries", galleries.NewListPager("eastus", nil), func(p armcompute.SharedGalleriesClientListResponse) (n []*string) {
		for _, x := range p.Value {
			n = append(n, x.Name)
		}
		return n
	}, unique)
	listed(t, "shared images", definitions.NewListPager("eastus", unique, nil), func(p armcompute.SharedGalleryImagesClientListResponse) (n []*string) {
		for _, x := range p.Value {
			n = append(n, x.Name)
		}
		return n
	}, "debian")
	listed(t, "shared versions", versions.NewListPager("eastus", unique, "debian", nil), func(p armcompute.SharedGalleryImageVersionsClientListResponse) (n []*string) {
		for _, x := range p.Value {
			n = append(n, x.Name)
		}
		return n
	}, "1.0.0")
	g, err := galleries.Get(i.ctx, "eastus", unique, nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "uniqueId", g.Identifier.UniqueID, "/SharedGalleries/"+unique)
	d, err := definitions.Get(i.ctx, "eastus", unique, "debian", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "osState", d.Properties.OSState, armcompute.OperatingSystemStateTypesGeneralized)
	v, err := versions.Get(i.ctx, "eastus", unique, "debian", "1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "excludeFromLatest", v.Properties.ExcludeFromLatest, true)
	is(t, "uniqueId of a version", v.Identifier.UniqueID, "/SharedGalleries/"+unique+"/Images/debian/Versions/1.0.0")
	_, err = versions.Get(i.ctx, "eastus", unique, "debian", "9.0.0", nil)
	refused(t, err, 404, "ResourceNotFound")
}

// public opens the gallery to everybody, and shuts it.
func (i *images) public(t *testing.T, there *armcompute.ClientFactory, share func(armcompute.SharingUpdateOperationTypes, ...*string)) {
	t.Helper()
	galleries, definitions, versions := there.NewCommunityGalleriesClient(), there.NewCommunityGalleryImagesClient(), there.NewCommunityGalleryImageVersionsClient()
	got := i.permit(armcompute.SharingProfile{Permissions: to.Ptr(armcompute.GallerySharingPermissionTypesCommunity), CommunityGalleryInfo: &armcompute.CommunityGalleryInfo{
		PublisherURI: to.Ptr("https://contoso.example"), PublisherContact: to.Ptr("images@contoso.example"), Eula: to.Ptr("https://contoso.example/eula"), PublicNamePrefix: to.Ptr("contoso")}})
	info := got.Properties.SharingProfile.CommunityGalleryInfo
	is(t, "communityGalleryEnabled", info.CommunityGalleryEnabled, false)
	if len(info.PublicNames) != 1 {
		t.Fatalf("%d public names", len(info.PublicNames))
	}
	name := *info.PublicNames[0]
	_, err := galleries.Get(i.ctx, "eastus", name, nil)
	refused(t, err, 404, "ResourceNotFound")
	share(armcompute.SharingUpdateOperationTypesEnableCommunity)
	g, err := galleries.Get(i.ctx, "eastus", name, nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "uniqueId", g.Identifier.UniqueID, "/CommunityGalleries/"+name)
	listed(t, "community images", definitions.NewListPager("eastus", name, nil), func(p armcompute.CommunityGalleryImagesClientListResponse) (n []*string) {
		for _, x := range p.Value {
			n = append(n, x.Name)
		}
		return n
	}, "debian")
	listed(t, "community versions", versions.NewListPager("eastus", name, "debian", nil), func(p armcompute.CommunityGalleryImageVersionsClientListResponse) (n []*string) {
		for _, x := range p.Value {
			n = append(n, x.Name)
		}
		return n
	}, "1.0.0")
	d, err := definitions.Get(i.ctx, "eastus", name, "debian", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "osType", d.Properties.OSType, armcompute.OperatingSystemTypesLinux)
	v, err := versions.Get(i.ctx, "eastus", name, "debian", "1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "community version", v.Name, "1.0.0")
	share(armcompute.SharingUpdateOperationTypesReset)
	_, err = galleries.Get(i.ctx, "eastus", name, nil)
	refused(t, err, 404, "ResourceNotFound")
}

// listed compares the names on the pages of a list.
func listed[P any](t *testing.T, what string, p *runtime.Pager[P], read func(P) []*string, want string) {
	t.Helper()
	if got := names(t, p, read); got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
