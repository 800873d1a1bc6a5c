package walk

import (
	"path/filepath"
	"strings"
	"testing"

	"vitrine/test/harness"
)

// captures make image versions of a machine "golden" in every way, and leave nothing of it but them.
var captures = []command{
	{"sig create -g {rg} -r mine -o none", "", 0},
	{"sig image-definition create -g {rg} -r mine -i model -p p -f o -s model --os-type Linux --os-state Generalized --hyper-v-generation V1 -o none", "", 0},
	{"sig image-definition create -g {rg} -r mine -i twin -p p -f o -s twin --os-type Linux --os-state Specialized --hyper-v-generation V1 -o none", "", 0},
	{"snapshot create -g {rg} -n moment --source {disk} --incremental true -o none", "", 0},
	{"sig image-version create -g {rg} -r mine -i twin -e 1.0.0 --os-snapshot moment --query storageProfile.osDiskImage.sizeInGB", "[1-9][0-9]*", 0},
	{"sig image-version create -g {rg} -r mine -i model -e 1.0.0 --virtual-machine {vm}", `.*\((InvalidParameter|OperationNotAllowed)\).*`, 1},
	{"vm deallocate -g {rg} -n golden", "", 0},
	{"sig image-version create -g {rg} -r mine -i twin -e 1.1.0 --virtual-machine {vm} --query provisioningState -o tsv", "Succeeded", 0},
	{"vm generalize -g {rg} -n golden", "", 0},
	{"image create -g {rg} -n model --source golden -o none", "", 0},
	{"sig image-version create -g {rg} -r mine -i model -e 1.0.0 --virtual-machine {vm} --query provisioningState -o tsv", "Succeeded", 0},
	{"sig image-version create -g {rg} -r mine -i model -e 1.1.0 --managed-image model --target-regions eastus westus --query storageProfile.osDiskImage.hostCaching -o tsv", "ReadWrite|ReadOnly|None", 0},
	{"sig image-version create -g {rg} -r mine -i twin -e 2.0.0 --managed-image model", `.*\(InvalidParameter\) The OS state 'Generalized' of the source.*`, 1},
	// into the other tenant's gallery: az adds that tenant's token as the auxiliary one
	{"sig image-version create --subscription {S1} -g images -r myGallery -i tiny -e 7.0.0 --managed-image {group}/providers/Microsoft.Compute/images/model --query provisioningState -o tsv", "Succeeded", 0},
	{"vm delete -g {rg} -n golden --yes", "", 0},
	{"disk delete --ids {disk} --yes", "", 0},
	{"image delete -g {rg} -n model", "", 0},
	{"snapshot delete -g {rg} -n moment", "", 0},
}

// TestCapture: what a machine wrote is in the machines made from the versions of its snapshot, of itself and of its managed image, when
// the machine, its disk and both of those are gone.
func TestCapture(t *testing.T) {
	harness.Az(t)
	t.Parallel()
	w := prepare(t, false)
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t1.SubscriptionID, "--principal", w.app.ObjectID)
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t2.SubscriptionID, "--principal", w.inT2.ObjectID)
	w.login(w.t1.TenantID)
	w.login(w.t2.TenantID)
	var vm created
	w.created(t, &vm, "golden", "--image", w.version)
	w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser").answers("echo kept > note && sync")
	var disk string
	w.azOK(&disk, "vm", "show", "-g", consumerGroup, "-n", "golden", "--query", "storageProfile.osDisk.managedDisk.id")
	w.rows(t, captures, strings.NewReplacer("{rg}", consumerGroup, "{group}", w.groupID(), "{disk}", disk, "{vm}", vm.ID, "{S1}", w.t1.SubscriptionID))
	images := w.groupID() + "/providers/Microsoft.Compute/galleries/mine/images/"
	for name, image := range map[string][]string{
		"one":   {"--image", images + "model"},
		"two":   {"--image", images + "model/versions/1.0.0"},
		"three": {"--specialized", "--image", images + "twin/versions/1.0.0"},
		"four":  {"--image", strings.TrimSuffix(w.version, "1.0.0") + "7.0.0"},
	} {
		w.created(t, &vm, name, image...)
		if said := strings.TrimSpace(w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser").answers("cat note")); said != "kept" {
			t.Errorf("the guest of %s has %q", name, said)
		}
		w.azOK(nil, "vm", "delete", "-g", consumerGroup, "-n", name, "--yes")
	}
}

// TestVHD: a version of a fixed VHD that was uploaded to a storage account starts, when the account is gone.
func TestVHD(t *testing.T) {
	harness.Az(t)
	t.Parallel()
	w := prepare(t, false)
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t2.SubscriptionID, "--principal", w.inT2.ObjectID)
	w.login(w.t2.TenantID)
	file := filepath.Join(w.home, "os.vhd")
	if r := w.exec(nil, "qemu-img", "convert", "-O", "vpc", "-o", "subformat=fixed,force_size=on", harness.Guest(t), file); r.code != 0 {
		t.Fatal(r.err)
	}
	w.rows(t, []command{
		{"storage account create -g {rg} -n vhdaccount -l eastus --sku Standard_LRS -o none", "", 0},
		{"storage container create --account-name vhdaccount --auth-mode key -n vhds --query created", "true", 0},
		{"storage blob upload --account-name vhdaccount --auth-mode key -c vhds -n os.vhd --type page --no-progress -f {file} -o none", "", 0},
		{"sig create -g {rg} -r mine -o none", "", 0},
		{"sig image-definition create -g {rg} -r mine -i model -p p -f o -s model --os-type Linux --os-state Generalized --hyper-v-generation V1 -o none", "", 0},
		{"sig image-version create -g {rg} -r mine -i model -e 1.0.0 --os-vhd-uri https://vhdaccount.blob.core.windows.net/vhds/none.vhd --os-vhd-storage-account vhdaccount", `.*\(ResourceNotFound\).*`, 3},
		{"sig image-version create -g {rg} -r mine -i model -e 1.0.0 --os-vhd-uri https://vhdaccount.blob.core.windows.net/vhds/os.vhd --os-vhd-storage-account vhdaccount --query storageProfile.osDiskImage.source.uri -o tsv", "https://vhdaccount.blob.core.windows.net/vhds/os.vhd", 0},
		{"storage account delete -g {rg} -n vhdaccount --yes", "", 0},
	}, strings.NewReplacer("{rg}", consumerGroup, "{file}", file))
	var vm created
	w.created(t, &vm, "fromVHD", "--image", w.groupID()+"/providers/Microsoft.Compute/galleries/mine/images/model")
	w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser").answers("true")
}
