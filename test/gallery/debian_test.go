package gallery

import (
	"testing"

	"vitrine/test/harness"
)

// TestDebian is what Debian 12's az, 2.45, can of disks, snapshots, images and galleries: az vm and az image fail in it before a request.
func TestDebian(t *testing.T) {
	s := harness.Start(t, harness.Config{})
	p := &side{Shell: s.ShellOf(t, "debian", harness.Older(t))}
	s.Vitrine(t, &p.tenant, "tenant", "create", "debian")
	p.Login(t, p.tenant.AppID, p.tenant.Password, p.tenant.TenantID)
	p.Walk(t, "debian", older, map[string]string{"group": "/subscriptions/" + p.tenant.SubscriptionID + "/resourceGroups/rg", "S": p.tenant.SubscriptionID})
}

var older = []step{
	{Args: "group create -n rg -l eastus"},
	{Args: "disk create -g rg -n d --size-gb 1", Want: want{"diskState": "Unattached"}},
	{Args: "disk show -g rg -n d", Want: want{"diskSizeGb": "1"}},
	{Args: "disk list -g rg", Want: want{"": "len:1"}},
	{Args: "disk update -g rg -n d --size-gb 2", Want: want{"diskSizeGb": "2"}},
	{Args: "disk wait -g rg -n d --created"},
	{Args: "disk grant-access -g rg -n d --duration-in-seconds 600", Want: want{"accessSas": "~https://md-.*"}},
	{Args: "disk revoke-access -g rg -n d"},
	{Args: "snapshot create -g rg -n s --source d", Want: want{"creationData.createOption": "Copy"}},
	{Args: "snapshot show -g rg -n s", Want: want{"diskSizeGb": "2"}},
	{Args: "snapshot list -g rg", Want: want{"": "len:1"}},
	{Args: "snapshot update -g rg -n s --set tags.a=b", Want: want{"tags.a": "b"}},
	{Args: "snapshot wait -g rg -n s --created"},
	{Args: "snapshot grant-access -g rg -n s --duration-in-seconds 600", Want: want{"accessSas": "~https://md-.*"}},
	{Args: "snapshot revoke-access -g rg -n s"},
	{Args: "image list -g rg", Exit: 1, Says: "does not have operation group 'images'"},
	{Args: "image create -g rg -n i --source d --os-type Linux", Exit: 2, Says: "does not have operation group 'virtual_machines'"},
	{Args: "sig create -g rg -r g --permissions Groups", Want: want{"sharingProfile.permissions": "Groups"}},
	{Args: "sig list -g rg", Want: want{"": "len:1"}},
	{Args: "sig show -g rg -r g", Want: want{"provisioningState": "Succeeded"}, Save: save{"unique": "identifier.uniqueName"}},
	{Args: "sig update -g rg -r g --set tags.a=b", Want: want{"tags.a": "b"}},
	{Args: "sig image-definition create -g rg -r g -i def -p pub -f off -s sku --os-type Linux --os-state generalized --hyper-v-generation V1", Want: want{"osState": "Generalized"}},
	{Args: "sig image-definition list -g rg -r g", Want: want{"": "len:1"}},
	{Args: "sig image-definition show -g rg -r g -i def", Want: want{"identifier.offer": "off"}},
	{Args: "sig image-definition update -g rg -r g -i def --set tags.x=y", Want: want{"tags.x": "y"}},
	{Args: "sig image-version create -g rg -r g -i def -e 1.0.0 --os-snapshot {group}/providers/Microsoft.Compute/snapshots/s", Want: want{"provisioningState": "Succeeded"}},
	{Args: "sig image-version wait -g rg -r g -i def -e 1.0.0 --created"},
	{Args: "sig image-version list -g rg -r g -i def", Want: want{"": "len:1"}},
	{Args: "sig image-version show -g rg -r g -i def -e 1.0.0", Want: want{"name": "1.0.0"}},
	{Args: "sig image-version update -g rg -r g -i def -e 1.0.0 --set publishingProfile.excludeFromLatest=true", Want: want{"publishingProfile.excludeFromLatest": "true"}},
	{Args: "sig share add -g rg -r g --subscription-ids {S}"},
	{Args: "sig share wait -g rg -r g --created"},
	{Args: "sig list-shared -l eastus", Want: want{"": "len:1"}},
	{Args: "sig show-shared -l eastus --gallery-unique-name {unique}", Want: want{"uniqueId": "/SharedGalleries/{unique}"}},
	{Args: "sig image-definition list-shared -l eastus --gallery-unique-name {unique}", Want: want{"": "len:1"}},
	{Args: "sig image-definition show-shared -l eastus --gallery-unique-name {unique} -i def", Want: want{"name": "def"}},
	{Args: "sig image-version list-shared -l eastus --gallery-unique-name {unique} -i def", Want: want{"": "len:1"}},
	{Args: "sig image-version show-shared -l eastus --gallery-unique-name {unique} -i def -e 1.0.0", Want: want{"name": "1.0.0"}},
	{Args: "sig share remove -g rg -r g --subscription-ids {S}"},
	{Args: "sig share reset -g rg -r g"},
	{Args: "sig create -g rg -r c --permissions Community --publisher-uri https://example.com --publisher-email a@example.com --eula https://example.com/eula --public-name-prefix pub"},
	{Args: "sig share enable-community -g rg -r c"},
	{Args: "sig show -g rg -r c --select Permissions", Save: save{"public": "sharingProfile.communityGalleryInfo.publicNames.0"}},
	{Args: "sig image-definition create -g rg -r c -i def -p pub -f off -s sku --os-type Linux --os-state generalized --hyper-v-generation V1"},
	{Args: "sig image-version create -g rg -r c -i def -e 1.0.0 --os-snapshot {group}/providers/Microsoft.Compute/snapshots/s"},
	{Args: "sig list-community -l eastus", Want: want{"": "len:1"}},
	{Args: "sig show-community -l eastus --public-gallery-name {public}", Want: want{"name": "{public}"}},
	{Args: "sig image-definition list-community -l eastus --public-gallery-name {public}", Want: want{"": "len:1"}},
	{Args: "sig image-definition show-community -l eastus --public-gallery-name {public} -i def", Want: want{"name": "def"}},
	{Args: "sig image-version list-community -l eastus --public-gallery-name {public} -i def", Want: want{"": "len:1"}},
	{Args: "sig image-version show-community -l eastus --public-gallery-name {public} -i def -e 1.0.0", Want: want{"name": "1.0.0"}},
	{Args: "sig image-version delete -g rg -r g -i def -e 1.0.0"},
	{Args: "sig image-definition delete -g rg -r g -i def"},
	{Args: "sig delete -g rg -r g"},
	{Args: "snapshot delete -g rg -n s"},
	{Args: "disk delete -g rg -n d --yes"},
}
