package sdk

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
)

// compute is the factory of contoso's clients.
func (w *world) compute() *armcompute.ClientFactory {
	c := must(azidentity.NewClientSecretCredential(w.contoso.TenantID, w.daemon.AppID, w.daemon.Password, nil))
	return must(armcompute.NewClientFactory(w.contoso.SubscriptionID, c, nil))
}

// sources makes a snapshot of the disk and a managed image of the snapshot, and takes both away; usage counts what there is.
func (i *images) sources(t *testing.T, w *world) {
	snapshots, managed := w.compute().NewSnapshotsClient(), w.compute().NewImagesClient()
	source, err := i.disks.Get(i.ctx, group, "source", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := snapshots.BeginCreateOrUpdate(i.ctx, group, "snap", armcompute.Snapshot{Location: to.Ptr("eastus"), Properties: &armcompute.SnapshotProperties{
		CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionCopy), SourceResourceID: source.ID}}}, nil)
	s := done(t, p, err)
	is(t, "osType", s.Properties.OSType, armcompute.OperatingSystemTypesLinux)
	is(t, "diskSizeGB", s.Properties.DiskSizeGB, 1)
	tag, err := snapshots.BeginUpdate(i.ctx, group, "snap", armcompute.SnapshotUpdate{Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
	is(t, "tag", done(t, tag, err).Tags["a"], "b")
	grant, err := snapshots.BeginGrantAccess(i.ctx, group, "snap", armcompute.GrantAccessData{Access: to.Ptr(armcompute.AccessLevelRead), DurationInSeconds: to.Ptr(int32(600))}, nil)
	sas := done(t, grant, err)
	if sas.AccessSAS == nil {
		t.Fatal("no address of the snapshot")
	}
	if back := i.download(*sas.AccessSAS); len(back) != diskSize+512 || string(back[:4096]) != string(vhd()[:4096]) {
		t.Error("the snapshot has not the bytes of its disk")
	}
	revoke, err := snapshots.BeginRevokeAccess(i.ctx, group, "snap", nil)
	done(t, revoke, err)
	made, err := managed.BeginCreateOrUpdate(i.ctx, group, "managed", armcompute.Image{Location: to.Ptr("eastus"), Properties: &armcompute.ImageProperties{HyperVGeneration: to.Ptr(armcompute.HyperVGenerationTypesV2),
		StorageProfile: &armcompute.ImageStorageProfile{OSDisk: &armcompute.ImageOSDisk{OSType: to.Ptr(armcompute.OperatingSystemTypesLinux), OSState: to.Ptr(armcompute.OperatingSystemStateTypesGeneralized),
			Snapshot: &armcompute.SubResource{ID: s.ID}}}}}, nil)
	m := done(t, made, err)
	is(t, "source of the image", m.Properties.StorageProfile.OSDisk.Snapshot.ID, *s.ID)
	patch, err := managed.BeginUpdate(i.ctx, group, "managed", armcompute.ImageUpdate{Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
	is(t, "tag", done(t, patch, err).Tags["a"], "b")
	i.sourceLists(t, snapshots, managed)
	i.usage(t, w.compute().NewUsageClient())
	end, err := managed.BeginDelete(i.ctx, group, "managed", nil)
	done(t, end, err)
	_, err = managed.Get(i.ctx, group, "managed", nil)
	refused(t, err, 404, "ResourceNotFound")
	gone, err := snapshots.BeginDelete(i.ctx, group, "snap", nil)
	done(t, gone, err)
	_, err = snapshots.Get(i.ctx, group, "snap", nil)
	refused(t, err, 404, "ResourceNotFound")
}

func (i *images) sourceLists(t *testing.T, snapshots *armcompute.SnapshotsClient, managed *armcompute.ImagesClient) {
	t.Helper()
	snaps := func(all []*armcompute.Snapshot) (n []*string) {
		for _, s := range all {
			n = append(n, s.Name)
		}
		return n
	}
	images := func(all []*armcompute.Image) (n []*string) {
		for _, m := range all {
			n = append(n, m.Name)
		}
		return n
	}
	listed(t, "snapshots", snapshots.NewListPager(nil), func(p armcompute.SnapshotsClientListResponse) []*string { return snaps(p.Value) }, "snap")
	listed(t, "snapshots of the group", snapshots.NewListByResourceGroupPager(group, nil), func(p armcompute.SnapshotsClientListByResourceGroupResponse) []*string { return snaps(p.Value) }, "snap")
	listed(t, "images", managed.NewListPager(nil), func(p armcompute.ImagesClientListResponse) []*string { return images(p.Value) }, "managed")
	listed(t, "images of the group", managed.NewListByResourceGroupPager(group, nil), func(p armcompute.ImagesClientListByResourceGroupResponse) []*string { return images(p.Value) }, "managed")
}

// usage finds the one gallery among what is counted.
func (i *images) usage(t *testing.T, usages *armcompute.UsageClient) {
	t.Helper()
	found := false
	for p := usages.NewListPager("eastus", nil); p.More(); {
		page, err := p.NextPage(i.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Value {
			if *u.Name.Value == "Galleries" {
				found = true
				is(t, "galleries in use", u.CurrentValue, 1)
			}
		}
	}
	if !found {
		t.Error("usage does not count galleries")
	}
}

// softly deletes the version where the gallery keeps what is deleted, finds it there, and restores it.
func (i *images) softly(t *testing.T, w *world) {
	keep := func(on bool) {
		t.Helper()
		p, err := i.galleries.BeginUpdate(i.ctx, group, "golden", armcompute.GalleryUpdate{Properties: &armcompute.GalleryProperties{SoftDeletePolicy: &armcompute.SoftDeletePolicy{IsSoftDeleteEnabled: &on}}}, nil)
		is(t, "isSoftDeleteEnabled", done(t, p, err).Properties.SoftDeletePolicy.IsSoftDeleteEnabled, on)
	}
	graves := func(want string) {
		t.Helper()
		listed(t, "what is softly deleted", w.compute().NewSoftDeletedResourceClient().NewListByArtifactNamePager(group, "golden", "Images", "debian", nil), func(p armcompute.SoftDeletedResourceClientListByArtifactNameResponse) (n []*string) {
			for _, g := range p.Value {
				n = append(n, g.Name)
			}
			return n
		}, want)
	}
	keep(true)
	graves("")
	p, err := i.versions.BeginDelete(i.ctx, group, "golden", "debian", "1.0.0", nil)
	done(t, p, err)
	_, err = i.versions.Get(i.ctx, group, "golden", "debian", "1.0.0", nil)
	refused(t, err, 404, "ResourceNotFound")
	graves("1.0.0")
	back, err := i.versions.BeginCreateOrUpdate(i.ctx, group, "golden", "debian", "1.0.0", armcompute.GalleryImageVersion{Location: to.Ptr("eastus"),
		Properties: &armcompute.GalleryImageVersionProperties{Restore: to.Ptr(true), StorageProfile: &armcompute.GalleryImageVersionStorageProfile{}}}, nil)
	is(t, "provisioningState", done(t, back, err).Properties.ProvisioningState, armcompute.GalleryProvisioningStateSucceeded)
	graves("")
	keep(false)
}
