package sdk

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// applications publishes a VM application with Azure's own clients.
func (i *images) applications(t *testing.T, w *world) {
	c := must(azidentity.NewClientSecretCredential(w.contoso.TenantID, w.daemon.AppID, w.daemon.Password, nil))
	compute := must(armcompute.NewClientFactory(w.contoso.SubscriptionID, c, nil))
	apps, versions := compute.NewGalleryApplicationsClient(), compute.NewGalleryApplicationVersionsClient()
	link := i.pack(w, c)

	made, err := apps.BeginCreateOrUpdate(i.ctx, group, "golden", "tool", armcompute.GalleryApplication{Location: to.Ptr("eastus"), Properties: &armcompute.GalleryApplicationProperties{
		SupportedOSType: to.Ptr(armcompute.OperatingSystemTypesLinux), Description: to.Ptr("a tool"), EndOfLifeDate: to.Ptr(time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)),
		CustomActions: []*armcompute.GalleryApplicationCustomAction{{Name: to.Ptr("restart"), Script: to.Ptr("systemctl restart tool"), Parameters: []*armcompute.GalleryApplicationCustomActionParameter{
			{Name: to.Ptr("unit"), Type: to.Ptr(armcompute.GalleryApplicationCustomActionParameterTypeString), Required: to.Ptr(true)}}}}}}, nil)
	app := done(t, made, err)
	is(t, "supportedOSType", app.Properties.SupportedOSType, armcompute.OperatingSystemTypesLinux)
	is(t, "custom action's parameter", app.Properties.CustomActions[0].Parameters[0].Type, armcompute.GalleryApplicationCustomActionParameterTypeString)
	patched, err := apps.BeginUpdate(i.ctx, group, "golden", "tool", armcompute.GalleryApplicationUpdate{Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
	is(t, "tag", done(t, patched, err).Tags["a"], "b")
	_, err = apps.Get(i.ctx, group, "golden", "absent", nil)
	refused(t, err, 404, "ResourceNotFound")

	body := func(link string) armcompute.GalleryApplicationVersion {
		return armcompute.GalleryApplicationVersion{Location: to.Ptr("eastus"), Properties: &armcompute.GalleryApplicationVersionProperties{
			SafetyProfile: &armcompute.GalleryApplicationVersionSafetyProfile{AllowDeletionOfReplicatedLocations: to.Ptr(true)},
			PublishingProfile: &armcompute.GalleryApplicationVersionPublishingProfile{Source: &armcompute.UserArtifactSource{MediaLink: &link},
				ManageActions:    &armcompute.UserArtifactManage{Install: to.Ptr("install"), Remove: to.Ptr("remove")},
				Settings:         &armcompute.UserArtifactSettings{PackageFileName: to.Ptr("tool.zip"), ScriptBehaviorAfterReboot: to.Ptr(armcompute.GalleryApplicationScriptRebootBehaviorRerun)},
				AdvancedSettings: map[string]*string{"k": to.Ptr("v")}, EnableHealthCheck: to.Ptr(true),
				TargetRegions: []*armcompute.TargetRegion{{Name: to.Ptr("eastus")}, {Name: to.Ptr("West US"), RegionalReplicaCount: to.Ptr(int32(2)), ExcludeFromLatest: to.Ptr(true)}}}}}
	}
	p, err := versions.BeginCreateOrUpdate(i.ctx, group, "golden", "tool", "1.0.0", body(link), nil)
	v := done(t, p, err)
	is(t, "provisioningState", v.Properties.ProvisioningState, armcompute.GalleryProvisioningStateSucceeded)
	is(t, "mediaLink", v.Properties.PublishingProfile.Source.MediaLink, link)
	is(t, "advancedSettings", v.Properties.PublishingProfile.AdvancedSettings["k"], "v")
	is(t, "excludeFromLatest", v.Properties.PublishingProfile.TargetRegions[1].ExcludeFromLatest, true)
	got, err := versions.Get(i.ctx, group, "golden", "tool", "1.0.0", &armcompute.GalleryApplicationVersionsClientGetOptions{Expand: to.Ptr(armcompute.ReplicationStatusTypesReplicationStatus)})
	if err != nil {
		t.Fatal(err)
	}
	is(t, "aggregatedState", got.Properties.ReplicationStatus.AggregatedState, armcompute.AggregatedReplicationStateCompleted)
	_, err = versions.BeginCreateOrUpdate(i.ctx, group, "golden", "tool", "2.0.0", body(link+"?sv=2021-06-08&sr=b&sp=r&sig=x"), nil)
	refused(t, err, 400, "InvalidParameter")
	u, err := versions.BeginUpdate(i.ctx, group, "golden", "tool", "1.0.0", armcompute.GalleryApplicationVersionUpdate{Properties: &armcompute.GalleryApplicationVersionProperties{
		PublishingProfile: &armcompute.GalleryApplicationVersionPublishingProfile{Source: &armcompute.UserArtifactSource{MediaLink: &link}, ExcludeFromLatest: to.Ptr(true)}}}, nil)
	is(t, "excludeFromLatest", done(t, u, err).Properties.PublishingProfile.ExcludeFromLatest, true)
	if list := names(t, apps.NewListByGalleryPager(group, "golden", nil), func(p armcompute.GalleryApplicationsClientListByGalleryResponse) (n []*string) {
		for _, a := range p.Value {
			n = append(n, a.Name)
		}
		return n
	}); list != "tool" {
		t.Errorf("applications: %s", list)
	}
	if list := names(t, versions.NewListByGalleryApplicationPager(group, "golden", "tool", nil), func(p armcompute.GalleryApplicationVersionsClientListByGalleryApplicationResponse) (n []*string) {
		for _, a := range p.Value {
			n = append(n, a.Name)
		}
		return n
	}); list != "1.0.0" {
		t.Errorf("versions: %s", list)
	}
	_, err = apps.BeginDelete(i.ctx, group, "golden", "tool", nil)
	refused(t, err, 409, "CannotDeleteResource")
	gone, err := versions.BeginDelete(i.ctx, group, "golden", "tool", "1.0.0", nil)
	done(t, gone, err)
	end, err := apps.BeginDelete(i.ctx, group, "golden", "tool", nil)
	done(t, end, err)
}

// pack makes a storage account with a package in it. The daemon is Contributor, so its right on the account opens the blob.
func (i *images) pack(w *world, c *azidentity.ClientSecretCredential) string {
	const name = "sdkpackages"
	account := "/subscriptions/" + w.contoso.SubscriptionID + "/resourceGroups/" + group + "/providers/Microsoft.Storage/storageAccounts/" + name
	p, err := i.resources.BeginCreateOrUpdateByID(i.ctx, account, "2023-05-01", armresources.GenericResource{Location: to.Ptr("westus"), Kind: to.Ptr("StorageV2"), SKU: &armresources.SKU{Name: to.Ptr("Standard_LRS")}}, nil)
	done(i.t, p, err)
	p, err = i.resources.BeginCreateOrUpdateByID(i.ctx, account+"/blobServices/default/containers/packages", "2023-05-01", armresources.GenericResource{}, nil)
	done(i.t, p, err)
	w.ask(i.t, &struct{}{}, "role", "assign", "Storage Blob Data Owner", "--scope", "/subscriptions/"+w.contoso.SubscriptionID, "--principal", w.daemon.ObjectID)
	link := "https://" + name + ".blob.core.windows.net/packages/tool.zip"
	if _, err := must(blockblob.NewClient(link, c, nil)).UploadBuffer(i.ctx, vhd(), nil); err != nil {
		i.t.Fatal(err)
	}
	return link
}
