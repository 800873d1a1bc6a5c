package sdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
)

const (
	group    = "images"
	diskSize = 1 << 20
)

// images drives galleries with Azure's own clients: each begins a long-running operation and follows it by its own poller.
type images struct {
	t           *testing.T
	ctx         context.Context
	groups      *armresources.ResourceGroupsClient
	resources   *armresources.Client
	providers   *armresources.ProvidersClient
	deployments *armresources.DeploymentsClient
	disks       *armcompute.DisksClient
	galleries   *armcompute.GalleriesClient
	definitions *armcompute.GalleryImagesClient
	versions    *armcompute.GalleryImageVersionsClient
}

func (w *world) gallery(t *testing.T) {
	c := must(azidentity.NewClientSecretCredential(w.contoso.TenantID, w.daemon.AppID, w.daemon.Password, nil))
	compute := must(armcompute.NewClientFactory(w.contoso.SubscriptionID, c, nil))
	resources := must(armresources.NewClientFactory(w.contoso.SubscriptionID, c, nil))
	i := &images{t: t, ctx: t.Context(), groups: resources.NewResourceGroupsClient(), resources: resources.NewClient(),
		providers: resources.NewProvidersClient(), deployments: resources.NewDeploymentsClient(), disks: compute.NewDisksClient(),
		galleries: compute.NewGalleriesClient(), definitions: compute.NewGalleryImagesClient(), versions: compute.NewGalleryImageVersionsClient()}
	if _, err := i.groups.CreateOrUpdate(i.ctx, group, armresources.ResourceGroup{Location: to.Ptr("eastus")}, nil); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"disk", i.disk}, {"gallery", i.gallery}, {"image definition", i.definition}, {"image version", i.version}, {"applications", func(t *testing.T) { i.applications(t, w) }}, {"disk of a version", i.derived}, {"across tenants", func(t *testing.T) { i.abroad(t, w) }},
		{"what is refused", i.refusals}, {"lists", i.lists}, {"snapshot, image and usage", func(t *testing.T) { i.sources(t, w) }}, {"sharing", func(t *testing.T) { i.sharing(t, w) }}, {"deleted softly", func(t *testing.T) { i.softly(t, w) }},
		{"deployment", i.deployment}, {"deleting", i.deleting},
	} {
		if !t.Run(step.name, func(t *testing.T) { i.t = t; step.do(t) }) {
			return // each stands on what was before
		}
	}
}

// done follows a long-running operation.
func done[T any](t *testing.T, p *runtime.Poller[T], err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	got, err := p.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// is checks an optional member.
func is[T comparable](t *testing.T, name string, got *T, want T) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is not there, want %v", name, want)
	} else if *got != want {
		t.Errorf("%s is %v, want %v", name, *got, want)
	}
}

// refused checks the error that the clients hand on.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	r, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		t.Fatalf("%v, want %s", err, code)
	}
	if r.StatusCode != status || r.ErrorCode != code {
		t.Errorf("%d %s, want %d %s", r.StatusCode, r.ErrorCode, status, code)
	}
}

func (i *images) disk(t *testing.T) {
	p, err := i.disks.BeginCreateOrUpdate(i.ctx, group, "source", armcompute.Disk{Location: to.Ptr("eastus"), SKU: &armcompute.DiskSKU{Name: to.Ptr(armcompute.DiskStorageAccountTypesStandardLRS)},
		Properties: &armcompute.DiskProperties{OSType: to.Ptr(armcompute.OperatingSystemTypesLinux), HyperVGeneration: to.Ptr(armcompute.HyperVGenerationV2),
			CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionUpload), UploadSizeBytes: to.Ptr(int64(diskSize + 512))}}}, nil)
	d := done(t, p, err)
	is(t, "name", d.Name, "source")
	is(t, "type", d.Type, "Microsoft.Compute/disks")
	is(t, "diskState", d.Properties.DiskState, armcompute.DiskStateReadyToUpload)
	is(t, "provisioningState", d.Properties.ProvisioningState, "Succeeded")
	if d.Properties.TimeCreated == nil || time.Since(*d.Properties.TimeCreated) > time.Hour || d.Properties.UniqueID == nil {
		t.Errorf("timeCreated %v, uniqueId %v", d.Properties.TimeCreated, d.Properties.UniqueID)
	}
	i.upload(i.access("source", armcompute.AccessLevelWrite))
	revoke, err := i.disks.BeginRevokeAccess(i.ctx, group, "source", nil)
	done(t, revoke, err)
	got, err := i.disks.Get(i.ctx, group, "source", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "diskState", got.Properties.DiskState, armcompute.DiskStateUnattached)
	is(t, "diskSizeGB", got.Properties.DiskSizeGB, 1)
	tag, err := i.disks.BeginUpdate(i.ctx, group, "source", armcompute.DiskUpdate{Tags: map[string]*string{"of": to.Ptr("the SDK")}}, nil)
	is(t, "tag", done(t, tag, err).Tags["of"], "the SDK")
	if back := i.download(i.access("source", armcompute.AccessLevelRead)); len(back) != diskSize+512 || !bytes.Equal(back[:diskSize], vhd()[:diskSize]) { // the footer is the server's own
		t.Errorf("%d bytes came back, and not those that were sent", len(back))
	}
	revoke, err = i.disks.BeginRevokeAccess(i.ctx, group, "source", nil)
	done(t, revoke, err)
}

func (i *images) access(disk string, level armcompute.AccessLevel) string {
	i.t.Helper()
	p, err := i.disks.BeginGrantAccess(i.ctx, group, disk, armcompute.GrantAccessData{Access: &level, DurationInSeconds: to.Ptr(int32(600))}, nil)
	got := done(i.t, p, err)
	if got.AccessSAS == nil {
		i.t.Fatal("no address")
	}
	return *got.AccessSAS
}

// vhd is a fixed VHD: a disk with a pattern, and the footer.
func vhd() []byte {
	all := make([]byte, diskSize+512)
	for n := 0; n < 4096; n += 8 {
		binary.BigEndian.PutUint64(all[n:], uint64(n)*0x9e3779b97f4a7c15)
	}
	f, be := all[diskSize:], binary.BigEndian
	copy(f, "conectix")
	be.PutUint32(f[8:], 2)
	be.PutUint32(f[12:], 0x10000)
	be.PutUint64(f[16:], 1<<64-1)
	be.PutUint64(f[40:], diskSize)
	be.PutUint64(f[48:], diskSize)
	copy(f[56:], []byte{0, 30, 4, 17}) // 30 cylinders, 4 heads, 17 sectors
	be.PutUint32(f[60:], 2)
	copy(f[68:], "0123456789abcdef")
	sum := uint32(0)
	for _, b := range f {
		sum += uint32(b)
	}
	be.PutUint32(f[64:], ^sum)
	return all
}

// upload writes the pages that are not empty, as Azure's client for page blobs does it.
func (i *images) upload(address string) {
	i.t.Helper()
	c, all := must(pageblob.NewClientWithNoCredential(address, nil)), vhd()
	for _, at := range []blob.HTTPRange{{Offset: 0, Count: 4096}, {Offset: diskSize, Count: 512}} {
		if _, err := c.UploadPages(i.ctx, streaming.NopCloser(bytes.NewReader(all[at.Offset:at.Offset+at.Count])), at, nil); err != nil {
			i.t.Fatal(err)
		}
	}
	for p := c.NewGetPageRangesPager(nil); p.More(); {
		page, err := p.NextPage(i.ctx)
		if err != nil {
			i.t.Fatal(err)
		}
		if n := len(page.PageRange); n != 2 {
			i.t.Errorf("%d ranges, want 2", n)
		}
	}
}

func (i *images) download(address string) []byte {
	i.t.Helper()
	got, err := must(blob.NewClientWithNoCredential(address, nil)).DownloadStream(i.ctx, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	defer got.Body.Close()
	return must(io.ReadAll(got.Body))
}

func (i *images) gallery(t *testing.T) {
	p, err := i.galleries.BeginCreateOrUpdate(i.ctx, group, "golden", armcompute.Gallery{Location: to.Ptr("East US"),
		Properties: &armcompute.GalleryProperties{Description: to.Ptr("golden images")}}, nil)
	g := done(t, p, err)
	is(t, "location", g.Location, "East US") // as it was written
	if by := g.SystemData; by == nil || by.CreatedBy == nil || by.CreatedByType == nil || *by.CreatedByType != armcompute.CreatedByTypeApplication || by.CreatedAt == nil || by.CreatedAt.IsZero() {
		t.Errorf("systemData %+v", by)
	}
	is(t, "provisioningState", g.Properties.ProvisioningState, armcompute.GalleryProvisioningStateSucceeded)
	if g.Properties.Identifier == nil || g.Properties.Identifier.UniqueName == nil || !strings.HasSuffix(*g.Properties.Identifier.UniqueName, "-GOLDEN") {
		t.Errorf("identifier %+v", g.Properties.Identifier)
	}
	u, err := i.galleries.BeginUpdate(i.ctx, group, "golden", armcompute.GalleryUpdate{Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
	updated := done(t, u, err)
	is(t, "tag", updated.Tags["a"], "b")
	is(t, "description", updated.Properties.Description, "golden images")
	got, err := i.galleries.Get(i.ctx, group, "golden", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "id", got.ID, *g.ID)
}

func (i *images) definition(t *testing.T) {
	p, err := i.definitions.BeginCreateOrUpdate(i.ctx, group, "golden", "debian", armcompute.GalleryImage{Location: to.Ptr("eastus"),
		Properties: &armcompute.GalleryImageProperties{OSType: to.Ptr(armcompute.OperatingSystemTypesLinux), OSState: to.Ptr(armcompute.OperatingSystemStateTypesGeneralized),
			HyperVGeneration: to.Ptr(armcompute.HyperVGenerationV2), Architecture: to.Ptr(armcompute.ArchitectureX64),
			Identifier:  &armcompute.GalleryImageIdentifier{Publisher: to.Ptr("contoso"), Offer: to.Ptr("debian"), SKU: to.Ptr("12")},
			Recommended: &armcompute.RecommendedMachineConfiguration{VCPUs: &armcompute.ResourceRange{Min: to.Ptr(int32(1)), Max: to.Ptr(int32(4))}}}}, nil)
	d := done(t, p, err)
	is(t, "osState", d.Properties.OSState, armcompute.OperatingSystemStateTypesGeneralized)
	is(t, "architecture", d.Properties.Architecture, armcompute.ArchitectureX64)
	is(t, "sku", d.Properties.Identifier.SKU, "12")
	is(t, "vCPUs.max", d.Properties.Recommended.VCPUs.Max, 4)
	u, err := i.definitions.BeginUpdate(i.ctx, group, "golden", "debian", armcompute.GalleryImageUpdate{Properties: &armcompute.GalleryImageProperties{Description: to.Ptr("Debian 12")}}, nil)
	is(t, "description", done(t, u, err).Properties.Description, "Debian 12")
}

func (i *images) version(t *testing.T) {
	source, err := i.disks.Get(i.ctx, group, "source", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := i.versions.BeginCreateOrUpdate(i.ctx, group, "golden", "debian", "1.0.0", armcompute.GalleryImageVersion{Location: to.Ptr("eastus"),
		Properties: &armcompute.GalleryImageVersionProperties{
			PublishingProfile: &armcompute.GalleryImageVersionPublishingProfile{TargetRegions: []*armcompute.TargetRegion{{Name: to.Ptr("eastus")}, {Name: to.Ptr("West US"), RegionalReplicaCount: to.Ptr(int32(2))}}},
			StorageProfile:    &armcompute.GalleryImageVersionStorageProfile{OSDiskImage: &armcompute.GalleryOSDiskImage{Source: &armcompute.GalleryDiskImageSource{ID: source.ID}}}}}, nil)
	v := done(t, p, err)
	is(t, "provisioningState", v.Properties.ProvisioningState, armcompute.GalleryProvisioningStateSucceeded)
	is(t, "publishedDate's year", to.Ptr(v.Properties.PublishingProfile.PublishedDate.Year()), time.Now().Year())
	is(t, "sizeInGB", v.Properties.StorageProfile.OSDiskImage.SizeInGB, 1)
	if regions := v.Properties.PublishingProfile.TargetRegions; len(regions) != 2 {
		t.Errorf("%d regions", len(regions))
	} else {
		is(t, "second region", regions[1].Name, "West US")
		is(t, "its replicas", regions[1].RegionalReplicaCount, 2)
	}
	got, err := i.versions.Get(i.ctx, group, "golden", "debian", "1.0.0", &armcompute.GalleryImageVersionsClientGetOptions{Expand: to.Ptr(armcompute.ReplicationStatusTypesReplicationStatus)})
	if err != nil {
		t.Fatal(err)
	}
	is(t, "aggregatedState", got.Properties.ReplicationStatus.AggregatedState, armcompute.AggregatedReplicationStateCompleted)
	for _, s := range got.Properties.ReplicationStatus.Summary {
		is(t, "progress", s.Progress, 100)
		is(t, "state", s.State, armcompute.ReplicationStateCompleted)
	}
	u, err := i.versions.BeginUpdate(i.ctx, group, "golden", "debian", "1.0.0", armcompute.GalleryImageVersionUpdate{Properties: &armcompute.GalleryImageVersionProperties{
		PublishingProfile: &armcompute.GalleryImageVersionPublishingProfile{ExcludeFromLatest: to.Ptr(true)}}}, nil)
	is(t, "excludeFromLatest", done(t, u, err).Properties.PublishingProfile.ExcludeFromLatest, true)
}

// derived makes a disk of the version and compares the bytes with those that were uploaded.
func (i *images) derived(t *testing.T) {
	v, err := i.versions.Get(i.ctx, group, "golden", "debian", "1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := i.disks.BeginCreateOrUpdate(i.ctx, group, "derived", armcompute.Disk{Location: to.Ptr("westus"), Properties: &armcompute.DiskProperties{
		CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionFromImage), GalleryImageReference: &armcompute.ImageDiskReference{ID: v.ID}}}}, nil)
	d := done(t, p, err)
	is(t, "osType", d.Properties.OSType, armcompute.OperatingSystemTypesLinux)
	if back := i.download(i.access("derived", armcompute.AccessLevelRead)); len(back) < diskSize || !bytes.Equal(back[:4096], vhd()[:4096]) {
		t.Error("the bytes are not those that were uploaded")
	}
	revoke, err := i.disks.BeginRevokeAccess(i.ctx, group, "derived", nil)
	done(t, revoke, err)
}

// abroad makes a disk in fabrikam of contoso's version. The clients send contoso's token beside fabrikam's when they are told to.
func (i *images) abroad(t *testing.T, w *world) {
	v, err := i.versions.Get(i.ctx, group, "golden", "debian", "1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := must(azidentity.NewClientSecretCredential(w.fabrikam.TenantID, w.daemon.AppID, w.daemon.Password,
		&azidentity.ClientSecretCredentialOptions{AdditionallyAllowedTenants: []string{w.contoso.TenantID}}))
	if _, err := must(armresources.NewResourceGroupsClient(w.fabrikam.SubscriptionID, c, nil)).CreateOrUpdate(i.ctx, group, armresources.ResourceGroup{Location: to.Ptr("eastus")}, nil); err != nil {
		t.Fatal(err)
	}
	disk := armcompute.Disk{Location: to.Ptr("eastus"), Properties: &armcompute.DiskProperties{
		CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionFromImage), GalleryImageReference: &armcompute.ImageDiskReference{ID: v.ID}}}}
	_, err = must(armcompute.NewDisksClient(w.fabrikam.SubscriptionID, c, nil)).BeginCreateOrUpdate(i.ctx, group, "d", disk, nil)
	refused(t, err, 403, "LinkedAuthorizationFailed")
	both := &arm.ClientOptions{AuxiliaryTenants: []string{w.contoso.TenantID}}
	disks := must(armcompute.NewDisksClient(w.fabrikam.SubscriptionID, c, both))
	p, err := disks.BeginCreateOrUpdate(i.ctx, group, "d", disk, nil)
	d := done(t, p, err)
	is(t, "provisioningState", d.Properties.ProvisioningState, "Succeeded")
	is(t, "source", d.Properties.CreationData.GalleryImageReference.ID, *v.ID)
	end, err := disks.BeginDelete(i.ctx, group, "d", nil)
	done(t, end, err)
}

func (i *images) refusals(t *testing.T) {
	_, err := i.galleries.Get(i.ctx, group, "absent", nil)
	refused(t, err, 404, "ResourceNotFound")
	_, err = i.galleries.Get(i.ctx, "absent", "golden", nil)
	refused(t, err, 404, "ResourceGroupNotFound")
	_, err = i.galleries.BeginDelete(i.ctx, group, "golden", nil)
	refused(t, err, 409, "CannotDeleteResource")
	_, err = i.galleries.BeginCreateOrUpdate(i.ctx, group, "not-good", armcompute.Gallery{Location: to.Ptr("eastus")}, nil)
	refused(t, err, 400, "InvalidParameter")
	_, err = i.versions.BeginCreateOrUpdate(i.ctx, group, "golden", "debian", "one", armcompute.GalleryImageVersion{Location: to.Ptr("eastus")}, nil)
	refused(t, err, 400, "InvalidParameter")
	_, err = i.disks.BeginCreateOrUpdate(i.ctx, group, "d", armcompute.Disk{Location: to.Ptr("nowhere"), Properties: &armcompute.DiskProperties{
		CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionEmpty)}, DiskSizeGB: to.Ptr(int32(4))}}, nil)
	refused(t, err, 400, "LocationNotAvailableForResourceType")
}

// names walks the pages of a list.
func names[P any](t *testing.T, p *runtime.Pager[P], read func(P) []*string) string {
	t.Helper()
	var all []string
	for p.More() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range read(page) {
			all = append(all, *n)
		}
	}
	return strings.Join(all, " ")
}

func (i *images) lists(t *testing.T) {
	one := func(name, got, want string) {
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	one("galleries of the group", names(t, i.galleries.NewListByResourceGroupPager(group, nil), func(p armcompute.GalleriesClientListByResourceGroupResponse) (n []*string) {
		for _, g := range p.Value {
			n = append(n, g.Name)
		}
		return n
	}), "golden")
	one("galleries", names(t, i.galleries.NewListPager(nil), func(p armcompute.GalleriesClientListResponse) (n []*string) {
		for _, g := range p.Value {
			n = append(n, g.Name)
		}
		return n
	}), "golden")
	one("definitions", names(t, i.definitions.NewListByGalleryPager(group, "golden", nil), func(p armcompute.GalleryImagesClientListByGalleryResponse) (n []*string) {
		for _, g := range p.Value {
			n = append(n, g.Name)
		}
		return n
	}), "debian")
	one("versions", names(t, i.versions.NewListByGalleryImagePager(group, "golden", "debian", nil), func(p armcompute.GalleryImageVersionsClientListByGalleryImageResponse) (n []*string) {
		for _, g := range p.Value {
			n = append(n, g.Name)
		}
		return n
	}), "1.0.0")
	one("disks", names(t, i.disks.NewListByResourceGroupPager(group, nil), func(p armcompute.DisksClientListByResourceGroupResponse) (n []*string) {
		for _, g := range p.Value {
			n = append(n, g.Name)
		}
		return n
	}), "derived source")
	filter := &armresources.ClientListByResourceGroupOptions{Filter: to.Ptr("resourceType eq 'Microsoft.Compute/galleries'")}
	one("resources", names(t, i.resources.NewListByResourceGroupPager(group, filter), func(p armresources.ClientListByResourceGroupResponse) (n []*string) {
		for _, g := range p.Value {
			n = append(n, g.Type)
		}
		return n
	}), "Microsoft.Compute/galleries")
}

// deployment makes a gallery by a template, and takes it away by the client that knows no types.
func (i *images) deployment(t *testing.T) {
	provider, err := i.providers.Get(i.ctx, "Microsoft.Compute", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "registrationState", provider.RegistrationState, "Registered")
	template := map[string]any{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
		"parameters": map[string]any{"name": map[string]any{"type": "string"}},
		"resources":  []any{map[string]any{"type": "Microsoft.Compute/galleries", "apiVersion": "2023-07-03", "name": "[parameters('name')]", "location": "[resourceGroup().location]"}},
		"outputs":    map[string]any{"gallery": map[string]any{"type": "string", "value": "[resourceId('Microsoft.Compute/galleries', parameters('name'))]"}}}
	deploy := func(parameters map[string]any) (*runtime.Poller[armresources.DeploymentsClientCreateOrUpdateResponse], error) {
		return i.deployments.BeginCreateOrUpdate(i.ctx, group, "d1", armresources.Deployment{Properties: &armresources.DeploymentProperties{
			Mode: to.Ptr(armresources.DeploymentModeIncremental), Template: template, Parameters: parameters}}, nil)
	}
	_, err = deploy(map[string]any{"wrong": map[string]any{"value": "x"}})
	refused(t, err, 400, "InvalidTemplate")
	p, err := deploy(map[string]any{"name": map[string]any{"value": "deployed"}})
	got := done(t, p, err)
	is(t, "provisioningState", got.Properties.ProvisioningState, armresources.ProvisioningStateSucceeded)
	outputs, _ := got.Properties.Outputs.(map[string]any)
	output, _ := outputs["gallery"].(map[string]any)
	id, _ := output["value"].(string)
	if len(got.Properties.OutputResources) != 1 || id == "" {
		t.Fatalf("outputs %v, resources %v", got.Properties.Outputs, got.Properties.OutputResources)
	}
	is(t, "output resource", got.Properties.OutputResources[0].ID, id)
	generic, err := i.resources.GetByID(i.ctx, id, "2023-07-03", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "type", generic.Type, "Microsoft.Compute/galleries")
	end, err := i.resources.BeginDeleteByID(i.ctx, id, "2023-07-03", nil)
	done(t, end, err)
	_, err = i.resources.GetByID(i.ctx, id, "2023-07-03", nil)
	refused(t, err, 404, "ResourceNotFound")
}

func (i *images) deleting(t *testing.T) {
	version, err := i.versions.BeginDelete(i.ctx, group, "golden", "debian", "1.0.0", nil)
	done(t, version, err)
	_, err = i.versions.Get(i.ctx, group, "golden", "debian", "1.0.0", nil)
	refused(t, err, 404, "ResourceNotFound")
	definition, err := i.definitions.BeginDelete(i.ctx, group, "golden", "debian", nil)
	done(t, definition, err)
	g, err := i.galleries.BeginDelete(i.ctx, group, "golden", nil)
	done(t, g, err)
	disk, err := i.disks.BeginDelete(i.ctx, group, "derived", nil)
	done(t, disk, err)
	all, err := i.groups.BeginDelete(i.ctx, group, nil) // the other disk with it
	done(t, all, err)
	there, err := i.groups.CheckExistence(i.ctx, group, nil)
	if err != nil || there.Success {
		t.Errorf("the group is there: %v %v", there.Success, err)
	}
}
