package walk

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/client"
	"vitrine/internal/image/format"
	"vitrine/test/harness"
)

// computeDisks are disks, snapshots and images without a machine. D is what stands before a disk's name in its ID.
var computeDisks = []command{
	{"disk create -g {rg} -n d1 --size-gb 1 --sku StandardSSD_LRS --query sku.name -o tsv", "StandardSSD_LRS", 0},
	{"disk update -g {rg} -n d1 --size-gb 2 --sku Premium_LRS --query [diskSizeGB,sku.name] -o tsv", `2\s+Premium_LRS`, 0},
	{"disk config update -g {rg} -n d1 --size-gb 2 --query diskSizeGB", "2", 0},
	{"disk update -g {rg} -n d1 --size-gb 1", `.*\(OperationNotAllowed\) Disk 'd1' of size 2 GB cannot be shrunk to 1 GB.*`, 1},
	{"disk create -g {rg} -n secure --upload-type UploadWithSecurityData --upload-size-bytes 1049088 --security-type TrustedLaunch --hyper-v-generation V2", `.*\(NotSupported\) The createOption 'UploadPreparedSecure' of a disk is not supported.*`, 1},
	{"snapshot create -g {rg} -n s0 --size-gb 1 --query [creationData.createOption,diskState] -o tsv", `Empty\s+Unattached`, 0},
	{"snapshot create -g {rg} -n s1 --source d1 --query [creationData.createOption,diskSizeGB,incremental] -o tsv", `(?s)Copy\s+2\s+false`, 0},
	{"snapshot create -g {rg} -n s2 --source s1 --incremental true --query [incremental,completionPercent] -o tsv", `(?s)true\s+100.0`, 0},
	{"snapshot create -g {rg} -n far --source s2 --incremental true --copy-start true -l westus --query [location,completionPercent] -o tsv", `westus\s+100.0`, 0},
	{"snapshot create -g {rg} -n bad --source s1 --copy-start true -l westus", `.*\(InvalidParameter\) The createOption 'CopyStart' copies an incremental snapshot.*`, 1},
	{"snapshot create -g {rg} -n bad --source none", `.*usage error: --source.*`, 1},
	{"snapshot wait -g {rg} -n far --created", "", 0},
	{"snapshot show -g {rg} -n s1 --query creationData.sourceResourceId -o tsv", "{group}/providers/Microsoft.Compute/disks/d1", 0},
	{"snapshot list -g {rg} --query [].name -o tsv", `(?s)far\s+s0\s+s1\s+s2`, 0},
	{"snapshot update -g {rg} -n s1 --set tags.a=b --query tags.a -o tsv", "b", 0},
	{"snapshot grant-access -g {rg} -n s1 --duration-in-seconds 600 --query accessSAS -o tsv", `https://md-.*sig=.*`, 0},
	{"snapshot delete -g {rg} -n s1", `.*\(OperationNotAllowed\) There is an active shared access signature outstanding for snapshot 's1'.*`, 1},
	{"snapshot revoke-access -g {rg} -n s1", "", 0},
	{"snapshot create -g {rg} -n up --for-upload true --size-gb 1 --query diskState -o tsv", "ReadyToUpload", 0},
	{"snapshot grant-access -g {rg} -n up --access-level Write --duration-in-seconds 600 --query accessSAS -o tsv", `https://md-.*sig=.*`, 0},
	{"snapshot revoke-access -g {rg} -n up", `.*\(InvalidVhd\).*`, 1},
	{"disk create -g {rg} -n d2 --source s2 --query [creationData.createOption,diskSizeGB] -o tsv", `Copy\s+2`, 0},
	{"disk create -g {rg} -n small --source s2 --size-gb 1", `.*\(InvalidParameter\) The specified disk size 1 GB is smaller than the size of the source, which is 2 GB.*`, 1},
	{"disk wait -g {rg} -n d2 --created", "", 0},
	{"snapshot delete -g {rg} -n s1", "", 0},
	{"snapshot show -g {rg} -n s1", `.*\(ResourceNotFound\).*`, 3},
	{"image create -g {rg} -n i1 --source d2 --os-type Linux --data-disk-sources s2 d1 --query storageProfile.dataDisks[].lun -o tsv", `(?s)0\s+1`, 0},
	{"image create -g {rg} -n i2 --source s2 --os-type Linux --hyper-v-generation V2 --query [hyperVGeneration,storageProfile.osDisk.osState] -o tsv", `V2\s+Generalized`, 0},
	{"image create -g {rg} -n i3 --source none --os-type Linux", ".*", 2},
	{"image wait -g {rg} -n i1 --created", "", 0},
	{"image builder list -g {rg}", `.*\(InvalidResourceNamespace\).*`, 3},
	{"image show -g {rg} -n i1 --query storageProfile.osDisk.diskSizeGB", "2", 0},
	{"image list -g {rg} --query [].name -o tsv", `(?s)i1\s+i2`, 0},
	{"image update -g {rg} -n i1 --set tags.a=b --query tags.a -o tsv", "b", 0},
	{"image delete -g {rg} -n i1", "", 0},
	{"image show -g {rg} -n i1", `.*\(ResourceNotFound\).*`, 3},
}

// computeBlobs make disks, snapshots and images from a VHD in a storage account.
var computeBlobs = []command{
	{"storage account create -g {rg} -n vitrinevhds -l eastus --sku Standard_LRS --query provisioningState -o tsv", "Succeeded", 0},
	{"storage container create --account-name vitrinevhds -n vhds --query created", "true", 0},
	{"storage blob upload --account-name vitrinevhds -c vhds -n d.vhd -f {vhd} --type page --no-progress --query client_request_id", ".*", 0},
	{"disk create -g {rg} -n imported --source https://vitrinevhds.blob.core.windows.net/vhds/d.vhd --query [creationData.createOption,diskSizeGB] -o tsv", `(?s)Import\s+1`, 0},
	{"disk create -g {rg} -n lost --source https://vitrinevhds.blob.core.windows.net/vhds/none.vhd", `.*\(BlobNotFound\).*`, 1},
	{"snapshot create -g {rg} -n imported --source https://vitrinevhds.blob.core.windows.net/vhds/d.vhd --query creationData.createOption -o tsv", "Import", 0},
	{"image create -g {rg} -n imported --source https://vitrinevhds.blob.core.windows.net/vhds/d.vhd --os-type Linux --query storageProfile.osDisk.diskSizeGB", "1", 0},
}

// computeMachine goes on from a machine "first" that runs: its disk is D.
var computeMachine = []command{
	{"snapshot create -g {rg} -n live --source {disk} --incremental true --query provisioningState -o tsv", "Succeeded", 0},
	{"vm disk attach -g {rg} --vm-name first --disks d1", `.*\(OperationNotAllowed\) Changing 'dataDisks' of a running virtual machine is not supported.*`, 1},
	{"vm generalize -g {rg} -n first", `.*\(OperationNotAllowed\) Operation 'generalize' is not allowed on VM 'first' since the VM is running.*`, 1},
	{"image create -g {rg} -n model --source first", `.*\(OperationNotAllowed\) Operation 'create image' is not allowed on VM 'first' since the VM is not generalized.*`, 1},
	{"disk grant-access --ids {disk} --duration-in-seconds 600", `.*\(OperationNotAllowed\) The disk '.*' is attached to the running virtual machine.*`, 1},
	{"vm deallocate -g {rg} -n first", "", 0},
	{"vm disk attach -g {rg} --vm-name first --disks d1", "", 0},
	{"vm disk attach -g {rg} --vm-name first --name fresh --new --size-gb 1 --lun 5", "", 0},
	{"vm disk attach -g {rg} --vm-name first --disks d2 --lun 5", `.*\(InvalidParameter\) Cannot use the lun '5' for two data disks.*`, 1},
	{"vm show -g {rg} -n first --query storageProfile.dataDisks[].[lun,name,diskSizeGb] -o tsv", `(?s)0\s+d1\s+2\s+5\s+fresh\s+1`, 0},
	{"disk show -g {rg} -n d1 --query diskState -o tsv", "Reserved", 0},
	{"disk delete -g {rg} -n d1 --yes", `.*\(OperationNotAllowed\) Disk 'd1' is attached to VM.*`, 1},
	{"vm disk detach -g {rg} --vm-name first --name fresh", "", 0},
	{"vm disk detach -g {rg} --vm-name first --name d1", "", 0},
	{"disk show -g {rg} -n d1 --query [diskState,managedBy] -o tsv", `(?s)Unattached\s+None`, 0},
	{"disk grant-access --ids {disk} --duration-in-seconds 600 --query accessSAS -o tsv", `https://md-.*sig=.*`, 0},
	{"disk revoke-access --ids {disk}", "", 0},
	{"disk update --ids {disk} --size-gb 2 --query diskSizeGB", "2", 0},
	{"vm generalize -g {rg} -n first", "", 0},
	{"vm start -g {rg} -n first", `.*\(OperationNotAllowed\) Operation 'start' is not allowed on VM 'first' since the VM is generalized.*`, 1},
	{"vm get-instance-view -g {rg} -n first --query length(instanceView.statuses[?code=='OSState/generalized'])", "1", 0},
	{"vm capture -g {rg} -n first --vhd-name-prefix x", `.*\(OperationNotAllowed\) The Capture action is only supported on a Virtual Machine with blob based disks.*`, 1},
	{"image create -g {rg} -n model --source first --query [sourceVirtualMachine.id,storageProfile.osDisk.osType] -o tsv", `{group}/providers/Microsoft.Compute/virtualMachines/first\s+Linux`, 0},
	{"vm delete -g {rg} -n first --yes", "", 0},
	{"disk delete --ids {disk} --yes", "", 0},
	{"disk create -g {rg} -n revived --source live --query osType -o tsv", "Linux", 0},
}

// computeRestore makes restore points of the machine "first" while it runs.
var computeRestore = []command{
	{"restore-point collection create -g {rg} --collection-name rpc --source-id {group}/providers/Microsoft.Compute/virtualMachines/first --query [provisioningState,source.location] -o tsv", `Succeeded\s+eastus`, 0},
	{"restore-point collection create -g {rg} --collection-name far -l westus --source-id {group}/providers/Microsoft.Compute/virtualMachines/first", `.*\(NotSupported\) A restore point collection in 'westus'.*`, 1},
	{"restore-point create -g {rg} --collection-name rpc -n p --consistency-mode CrashConsistent --query [provisioningState,consistencyMode,sourceMetadata.storageProfile.osDisk.osType] -o tsv", `(?s)Succeeded\s+CrashConsistent\s+Linux`, 0},
	{"restore-point create -g {rg} --collection-name rpc -n bad --consistency-mode ApplicationConsistent", `.*\(NotSupported\) The consistency mode 'ApplicationConsistent'.*`, 1},
	{"restore-point create -g {rg} --collection-name rpc -n bad --exclude-disks {disk}", `.*\(InvalidParameter\) A restore point cannot exclude all disks.*`, 1},
	{"restore-point show -g {rg} --collection-name rpc -n p --instance-view --query instanceView.statuses[0].code -o tsv", "ReplicationState/succeeded", 0},
	{"restore-point wait -g {rg} --collection-name rpc -n p --created", "", 0},
	{"restore-point collection show -g {rg} --collection-name rpc --restore-points --query restorePoints[].name -o tsv", "p", 0},
	{"restore-point collection list -g {rg} --query [].name -o tsv", "rpc", 0},
	{"restore-point collection list-all --query [].name -o tsv", "rpc", 0},
	{"restore-point collection update -g {rg} --collection-name rpc --tags a=b --query tags.a -o tsv", "b", 0},
	{"restore-point collection wait -g {rg} --collection-name rpc --created", "", 0},
}

// computeRestored goes on from the ID of the disk's restore point.
var computeRestored = []command{
	{"disk create -g {rg} -n restored --source {disk} --query [creationData.createOption,osType,diskState] -o tsv", `(?s)Restore\s+Linux\s+Unattached`, 0},
	{"disk create -g {rg} -n bad --source {disk}x", `.*\(ResourceNotFound\) The source.*`, 3},
	{"restore-point delete -g {rg} --collection-name rpc -n p --yes", "", 0},
	{"restore-point show -g {rg} --collection-name rpc -n p", `.*\(ResourceNotFound\).*`, 3},
	{"restore-point collection delete -g {rg} --collection-name rpc --yes", "", 0},
}

// TestCompute: what a machine wrote is in a snapshot of its running disk, in a disk made from that, and in an image of the machine.
// TestCapture has the same for image versions.
func TestCompute(t *testing.T) {
	harness.Az(t)
	t.Parallel()
	w := prepare(t, false)
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t1.SubscriptionID, "--principal", w.app.ObjectID)
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t2.SubscriptionID, "--principal", w.inT2.ObjectID)
	w.login(w.t1.TenantID)
	w.login(w.t2.TenantID)
	var vm created
	w.created(t, &vm, "first", "--image", w.version)
	fill := func(disk string) *strings.Replacer {
		return strings.NewReplacer("{rg}", consumerGroup, "{group}", w.groupID(), "{disk}", disk)
	}
	w.rows(t, computeDisks, fill(""))
	vhd := filepath.Join(w.home, "d.vhd")
	foot := format.VHDFooter(1 << 20)
	if err := os.WriteFile(vhd, append(bytes.Repeat([]byte("vitrine "), 1<<17), foot[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.rows(t, computeBlobs, strings.NewReplacer("{rg}", consumerGroup, "{vhd}", vhd))
	first := w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser")
	first.answers("echo kept > note && sync")
	var disk string
	w.azOK(&disk, "vm", "show", "-g", consumerGroup, "-n", "first", "--query", "storageProfile.osDisk.managedDisk.id")
	w.rows(t, computeRestore, fill(disk))
	var held string
	w.azOK(&held, "restore-point", "show", "-g", consumerGroup, "--collection-name", "rpc", "-n", "p", "--query", "sourceMetadata.storageProfile.osDisk.diskRestorePoint.id")
	w.rows(t, computeRestored, fill(held))
	w.rows(t, computeMachine, fill(disk))
	w.downloads(t, "live")
	w.created(t, &vm, "copied", "--image", "model")
	copied := w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser")
	w.created(t, &vm, "revived", "--attach-os-disk", "revived", "--os-type", "linux")
	for _, g := range []guestAccess{copied, w.access("fabrikam", vm.ID, vm.PublicIP, "azureuser")} {
		if said := strings.TrimSpace(g.answers("cat note")); said != "kept" {
			t.Errorf("the guest at %s has %q", g.ip, said)
		}
	}
}

// downloads reads the end of a snapshot by its signed URL: the footer of a VHD behind a disk of 1 GiB.
func (w *world) downloads(t *testing.T, snapshot string) {
	t.Helper()
	var sas string
	w.azOK(&sas, "snapshot", "grant-access", "-g", consumerGroup, "-n", snapshot, "--duration-in-seconds", "600", "--query", "accessSAS")
	where, err := client.ReadServer(w.data)
	if err != nil {
		t.Fatal(err)
	}
	r := w.exec(nil, "curl", "-sS", "--proxy", where.Proxy, "--cacert", where.Bundle, "-D", "-", "-r", "1073741824-1073742335", sas)
	if r.code != 0 || !strings.Contains(r.out, "bytes 1073741824-1073742335/1073742336") || !strings.Contains(r.out, "conectix") {
		t.Errorf("download: exit %d, %.600q %s", r.code, r.out, r.err)
	}
	w.azOK(nil, "snapshot", "revoke-access", "-g", consumerGroup, "-n", snapshot)
}

// created makes a machine by az.
func (w *world) created(t *testing.T, vm *created, name string, more ...string) {
	t.Helper()
	args := []string{"vm", "create", "-g", consumerGroup, "-n", name}
	if more[0] == "--image" {
		if len(more) == 2 {
			args = append(args, "--admin-username", "azureuser", "--generate-ssh-keys")
		}
	}
	w.azOK(vm, append(args, more...)...)
	if vm.PowerState != "VM running" {
		t.Fatalf("az vm create printed %+v", vm)
	}
}
