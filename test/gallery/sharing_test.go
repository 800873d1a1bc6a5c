package gallery

import (
	"os/exec"
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

type (
	step = harness.Step
	want = harness.Want
	save = harness.Save
)

// side is one of the two tenants, with an az whose first principal is signed in.
type side struct {
	*harness.Shell
	tenant client.Tenant
}

func newSide(t *testing.T, s *harness.Server, name string) *side {
	t.Helper()
	p := &side{Shell: s.Shell(t, name)}
	s.Vitrine(t, &p.tenant, "tenant", "create", name)
	p.Login(t, p.tenant.AppID, p.tenant.Password, p.tenant.TenantID)
	return p
}

const (
	graph = "rest --method post --url {arm}/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01 --body "
	at    = " --gallery-unique-name {unique} -l eastus"
	in    = " --public-gallery-name {public} -l eastus"
)

// TestSharing shares a gallery with a subscription, and another one with everybody, and boots a machine of each.
func TestSharing(t *testing.T) {
	harness.Az(t)
	image := harness.Guest(t)
	_, err := exec.LookPath("qemu-img")
	harness.Need(t, err == nil, "qemu-img is not installed")
	s := harness.Start(t, harness.Config{})
	for name, f := range map[string]func(*pair, string){"direct": (*pair).direct, "community": (*pair).community} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &pair{T: t, s: s, publisher: newSide(t, s, "publisher-"+name), consumer: newSide(t, s, "consumer-"+name)}
			p, c := w.publisher.tenant, w.consumer.tenant
			w.names = map[string]string{"arm": "https://management.azure.com", "S1": p.SubscriptionID, "T1": p.TenantID, "S2": c.SubscriptionID, "T2": c.TenantID,
				"gallery": "/subscriptions/" + p.SubscriptionID + "/resourceGroups/images/providers/Microsoft.Compute/galleries/" + name}
			w.do(w.publisher, "group", step{Args: "group create -n images -l eastus"})
			w.do(w.consumer, "group", step{Args: "group create -n rg -l eastus"})
			f(w, image)
		})
	}
}

// pair is a publisher and a consumer, and the names that their commands have saved.
type pair struct {
	*testing.T
	s                   *harness.Server
	publisher, consumer *side
	names               map[string]string
}

func (w *pair) do(who *side, name string, steps ...step) {
	w.Helper()
	who.Walk(w.T, name, steps, w.names)
}

func (w *pair) publish(image string) {
	w.Helper()
	w.s.Vitrine(w.T, nil, "image", "import", image, "--version-id", w.names["gallery"]+"/images/tiny/versions/1.0.0", "--create", "--location", "eastus", "--publisher", "contoso",
		"--offer", "linux", "--sku", "tiny", "--os-type", "Linux", "--os-state", "Generalized", "--generation", "V1", "--target-region", "eastus")
}

func (w *pair) direct(image string) {
	w.publish(image)
	w.do(w.publisher, "share", shared()...)
	w.do(w.consumer, "shared", consumed()...)
	w.do(w.consumer, "machine",
		step{Args: "vm create -g rg -n shared -l eastus --image /SharedGalleries/{unique}/Images/tiny/Versions/latest --admin-username azureuser --generate-ssh-keys", Want: want{"powerState": "VM running"}},
		step{Args: "vm show -g rg -n shared --query storageProfile.imageReference", Want: want{"sharedGalleryImageId": "/SharedGalleries/{unique}/Images/tiny/Versions/latest", "exactVersion": "1.0.0", "id": ""}},
		step{Args: "disk list -g rg --query [].creationData.galleryImageReference", Want: want{"0.sharedGalleryImageId": "/SharedGalleries/{unique}/Images/tiny/Versions/1.0.0", "0.id": ""}},
		step{Args: "disk create -g rg -n d -l eastus --gallery-image-reference /SharedGalleries/{unique}/Images/tiny/Versions/1.0.0", Want: want{"creationData.galleryImageReference.sharedGalleryImageId": "/SharedGalleries/{unique}/Images/tiny/Versions/1.0.0"}},
	)
	w.do(w.publisher, "unshare", taken()...)
	w.do(w.consumer, "gone",
		step{Args: "sig show-shared" + at, Exit: 3, Says: "(ResourceNotFound)"},
		step{Args: "vm create -g rg -n later -l eastus --image /SharedGalleries/{unique}/Images/tiny/Versions/1.0.0 --admin-username azureuser --generate-ssh-keys", Exit: 2, Says: "(ResourceNotFound)"},
		step{Args: "disk create -g rg -n e -l eastus --gallery-image-reference /SharedGalleries/{unique}/Images/tiny/Versions/1.0.0", Exit: 3, Says: "(GalleryImageNotFound)"},
		step{Args: "vm show -d -g rg -n shared", Want: want{"powerState": "VM running"}},
		step{Args: "vm delete -g rg -n shared --yes"},
	)
}

func (w *pair) community(image string) {
	w.do(w.publisher, "create", step{Args: "sig create -g images -r community --permissions community --publisher-uri https://example.com --publisher-contact x@example.com --eula https://example.com/eula --public-name-prefix shop",
		Want: want{"sharingProfile.permissions": "Community", "sharingProfile.communityGalleryInfo.publicNames.0": "~shop-[-0-9a-f]{36}"}, Save: save{"public": "sharingProfile.communityGalleryInfo.publicNames.0"}})
	w.publish(image)
	w.do(w.consumer, "before", step{Args: "sig list-community -l eastus", Want: want{"": "len:0"}}, step{Args: "sig show-community" + in, Exit: 3, Says: "(ResourceNotFound)"})
	w.do(w.publisher, "publish", step{Args: "sig share enable-community -g images -r community"},
		step{Args: "sig show -g images -r community --select Permissions", Want: want{"sharingProfile.communityGalleryInfo.communityGalleryEnabled": "true", "sharingStatus.aggregatedState": "Succeeded"}},
		step{Args: "sig delete -g images -r community", Exit: 1, Says: "Reset its sharing"})
	w.do(w.consumer, "community", found()...)
	w.do(w.publisher, "end", step{Args: "sig share reset -g images -r community"})
	w.do(w.consumer, "end", step{Args: "sig list-community", Want: want{"": "len:0"}}, step{Args: "sig image-version show-community -i tiny -e 1.0.0" + in, Exit: 3, Says: "(ResourceNotFound)"})
}

// shared are the publisher's commands of direct sharing.
func shared() []step {
	return []step{
		{Args: "sig share add -g images -r direct", Exit: 1, Says: "At least one of subscription ids or tenant ids"},
		{Args: "sig share add -g images -r direct --subscription-ids nonsense", Exit: 1, Says: "(InvalidParameter)"},
		{Args: "sig share add -g images -r direct --subscription-ids {S2} --tenant-ids {T1}"},
		{Args: "sig share wait -g images -r direct --created --timeout 60"},
		{Args: "sig show -g images -r direct", Want: want{"sharingProfile.permissions": "Groups", "sharingProfile.groups": ""}, Save: save{"unique": "identifier.uniqueName"}},
		{Args: "sig show -g images -r direct --select Permissions", Want: want{"sharingProfile.groups.0.type": "Subscriptions", "sharingProfile.groups.0.ids.0": "{S2}", "sharingProfile.groups.1.ids.0": "{T1}"}},
		{Args: "sig show -g images -r direct --sharing-groups", Want: want{"sharingProfile.groups.1.type": "AADTenants", "sharingStatus.summary.0.region": "East US"}},
		{Args: "sig update -g images -r direct --set tags.a=b", Want: want{"tags.a": "b"}},
		{Args: "sig share remove -g images -r direct --tenant-ids {T1}"},
		{Args: "sig show -g images -r direct --select Permissions", Want: want{"sharingProfile.groups": "len:1"}},
	}
}

// consumed are the consumer's commands.
func consumed() []step {
	return []step{
		{Args: "sig list-shared -l eastus", Want: want{"": "len:1", "0.name": "{unique}", "0.uniqueId": "/SharedGalleries/{unique}"}},
		{Args: "sig list-shared -l eastus --shared-to tenant", Want: want{"": "len:0"}},
		{Args: "sig list-shared -l westus", Want: want{"": "len:0"}},
		{Args: "sig show-shared" + at, Want: want{"uniqueId": "/SharedGalleries/{unique}", "location": "eastus"}},
		{Args: "sig image-definition list-shared" + at, Want: want{"": "len:1", "0.name": "tiny", "0.osType": "Linux"}},
		{Args: "sig image-definition show-shared -i tiny" + at, Want: want{"identifier.publisher": "contoso", "hyperVGeneration": "V1", "uniqueId": "/SharedGalleries/{unique}/Images/tiny"}},
		{Args: "sig image-version list-shared -i tiny" + at, Want: want{"": "len:1", "0.name": "1.0.0"}},
		{Args: "sig image-version show-shared -i tiny -e 1.0.0" + at, Want: want{"excludeFromLatest": "false", "storageProfile.osDiskImage.diskSizeGB": "1", "publishedDate": "*"}},
		{Args: "sig image-version show-shared -i tiny -e 2.0.0" + at, Exit: 3, Says: "(ResourceNotFound)"},
		{Args: "sig show -g images -r direct --subscription {S1}", Exit: 1, Says: "{S1}"}, // the gallery itself stays the publisher's
		{Args: "rest --method post --url {arm}/subscriptions/{S2}/providers/Microsoft.Compute/locations/eastus/sharedGallerySubscriptions/{S1}/sharedGalleries/direct/reject?api-version=2025-12-03"},
		{Args: "sig list-shared -l eastus", Want: want{"": "len:0"}},
		{Args: "sig show-shared" + at, Exit: 3, Says: "(ResourceNotFound)"},
		{Args: "rest --method post --url {arm}/subscriptions/{S2}/providers/Microsoft.Compute/locations/eastus/sharedGallerySubscriptions/{S1}/sharedGalleries/direct/accept?api-version=2025-12-03"},
		{Args: "rest --method post --url {arm}/providers/Microsoft.Compute/locations/eastus/tenantLevelSharedGallerySubscriptions/{S1}/sharedGalleries/direct/reject?api-version=2025-12-03", Exit: 1, Says: "AuthorizationFailed"},
		{Args: "sig list-shared -l eastus", Want: want{"": "len:1"}},
	}
}

// taken are the publisher's: what it would break, a policy that refuses it, and then it happens.
func taken() []step {
	return []step{
		{Args: `rest --method post --url {arm}{gallery}/shareWhatIf?api-version=2024-03-03 --body {"operationType":"Reset"}`, Want: want{"breaks.0.id": "{S2}", "breaks.0.virtualMachines": "1", "breaks.0.disks": "2", "wouldBeRefused": "false"}},
		{Args: "resource update --ids {gallery} --api-version 2024-03-03 --set properties.sharingProfile.unshareWhileUsed=Refuse", Want: want{"properties.sharingProfile.unshareWhileUsed": "Refuse"}},
		{Args: "sig share reset -g images -r direct", Exit: 1, Says: "(OperationNotAllowed)"},
		{Args: "resource update --ids {gallery} --api-version 2024-03-03 --set properties.sharingProfile.unshareWhileUsed=Allow"},
		{Args: "sig share reset -g images -r direct"},
		{Args: "sig show -g images -r direct --select Permissions", Want: want{"sharingProfile.permissions": "Private", "sharingProfile.groups": ""}},
	}
}

// found are the consumer's commands for the community, and for Resource Graph.
func found() []step {
	return []step{
		{Args: "sig list-community -l EASTUS", Want: want{"": "len:1", "0.name": "{public}", "0.uniqueId": "/CommunityGalleries/{public}", "0.communityMetadata.eula": "https://example.com/eula", "0.location": "eastus"}},
		{Args: "sig list-community -l westus", Want: want{"": "len:0"}},
		{Args: "sig show-community" + in, Want: want{"uniqueId": "/CommunityGalleries/{public}"}},
		{Args: "sig image-definition list-community" + in, Want: want{"": "len:1", "0.name": "tiny"}},
		{Args: "sig image-definition show-community -i tiny" + in, Want: want{"osType": "Linux", "osState": "Generalized", "disclaimer": "*"}},
		{Args: "sig image-version list-community -i tiny" + in, Want: want{"": "len:1", "0.uniqueId": "/CommunityGalleries/{public}/Images/tiny/Versions/1.0.0"}},
		{Args: "sig image-version show-community -i tiny -e 1.0.0" + in, Want: want{"name": "1.0.0", "storageProfile.osDiskImage.diskSizeGB": "1"}},
		{Args: "vm create -g rg -n public -l eastus --accept-term --image /CommunityGalleries/{public}/Images/tiny/Versions/1.0.0 --admin-username azureuser --generate-ssh-keys", Want: want{"powerState": "VM running"}},
		{Args: "vm show -g rg -n public --query storageProfile.imageReference", Want: want{"communityGalleryImageId": "/CommunityGalleries/{public}/Images/tiny/Versions/1.0.0", "exactVersion": "1.0.0"}},
		{Args: "sig create -g rg -r own", Want: want{"provisioningState": "Succeeded"}},
		{Args: "sig image-definition create -g rg -r own -i copy -p me -f o -s s --os-type Linux --os-state generalized --hyper-v-generation V1 --features SecurityType=Standard"},
		{Args: `rest --method put --url {arm}/subscriptions/{S2}/resourceGroups/rg/providers/Microsoft.Compute/galleries/own/images/copy/versions/1.0.0?api-version=2024-03-03 --body {"location":"eastus","properties":{"storageProfile":{"source":{"communityGalleryImageId":"/CommunityGalleries/{public}/Images/tiny/Versions/1.0.0"}}}}`, Want: want{"properties.provisioningState": "Creating"}},
		{Args: "sig image-version wait -g rg -r own -i copy -e 1.0.0 --created --interval 2 --timeout 600"},
		{Args: graph + `{"query":"Resources%20|%20where%20type%20=~%20'Microsoft.Compute/virtualMachines'%20|%20project%20name,%20properties.storageProfile.osDisk.osType"}`, Want: want{"totalRecords": "1", "data.0.name": "public", "data.0.properties_storageProfile_osDisk_osType": "Linux", "resultTruncated": "false"}},
		{Args: graph + `{"query":"Resources%20|%20summarize%20count()%20by%20resourceGroup"}`, Want: want{"data": "len:1", "data.0.resourceGroup": "rg"}},
		{Args: graph + `{"query":"Resources%20|%20join%20x"}`, Exit: 1, Says: "ParserFailure"},
		{Args: "vm delete -g rg -n public --yes"},
	}
}
