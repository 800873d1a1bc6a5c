package walk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vitrine/test/harness"
)

// command is one line of az, what it must print, and its exit code. docs/compatibility.md is written from this table.
type command struct {
	line string // words are separated by blanks; {name} is replaced
	want string // a regular expression that stdout, blanks at the ends removed, must match as a whole; of a failure: stderr
	exit int
}

const smallTemplate = `{
  // az sends this file as it is, comments and all
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": { "prefix": { "type": "string", "defaultValue": "web" } },
  "variables": { "nsg": "[concat(parameters('prefix'), '-nsg')]" },
  "resources": [
    { "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2022-01-01", "name": "[variables('nsg')]",
      "location": "[resourceGroup().location]", /* no rules of its own */ "properties": {} },
    { "type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2022-01-01",
      "name": "[format('{0}-ip', parameters('prefix'))]", "location": "[resourceGroup().location]",
      "sku": { "name": "Standard" }, "properties": { "publicIPAllocationMethod": "Static" },
      "dependsOn": [ "[resourceId('Microsoft.Network/networkSecurityGroups', variables('nsg'))]" ] }
  ],
  "outputs": { "nsgId": { "type": "string", "value": "[resourceId('Microsoft.Network/networkSecurityGroups', variables('nsg'))]" } }
}
`

// commands are run in order by an application that owns both subscriptions; S2 is the default.
func commands() []command {
	all := []command{}
	for _, some := range [][]command{groupCommands, deploymentCommands, networkCommands, diskCommands, galleryCommands, roleCommands, machineCommands} {
		all = append(all, some...)
	}
	return all
}

var groupCommands = []command{
	{"account show --query id -o tsv", "{S2}", 0},
	{"account list --query length(@)", "2", 0},
	{"account list-locations --query [?name=='eastus'].displayName -o tsv", "East US", 0},
	{"group create -n scratch -l westus --tags a=b --query tags.a -o tsv", "b", 0},
	{"group show -n scratch --query location -o tsv", "westus", 0},
	{"group list --query length(@)", "2", 0},
	{"group list --tag A=b --query [].name -o tsv", "scratch", 0},
	{"group list --tag a=c --query length(@)", "0", 0},
	{"group exists -n scratch", "true", 0},
	{"group update -n scratch --set tags.c=d --query tags.c -o tsv", "d", 0},
	{"group create -n scratch -l eastus", `.*\(InvalidResourceGroupLocation\).*`, 1},
	{"group delete -n scratch --yes", "", 0},
	{"group exists -n scratch", "false", 0},
	{"group show -n scratch", `.*\(ResourceGroupNotFound\) Resource group 'scratch' could not be found.*`, 3},
	{"provider show -n Microsoft.Compute --query registrationState -o tsv", "Registered", 0},
	{"provider register -n Microsoft.Network --wait", "", 0},
	{"provider list --query length([?namespace=='Microsoft.Compute'])", "1", 0},
}

var deploymentCommands = []command{
	{"deployment group validate -g {rg} -n small -f {template} --query properties.provisioningState -o tsv", "Succeeded", 0},
	{"deployment group create -g {rg} -n small -f {template} -p prefix=shop --query properties.outputs.nsgId.value -o tsv", "{group}/providers/Microsoft.Network/networkSecurityGroups/shop-nsg", 0},
	{"deployment group show -g {rg} -n small --query properties.provisioningState -o tsv", "Succeeded", 0},
	{"deployment group list -g {rg} --query [].name -o tsv", "small", 0},
	{"deployment operation group list -g {rg} -n small --query length([?properties.provisioningState=='Succeeded'])", "[23]", 0},
	{"deployment group export -g {rg} -n small ", `(?s).*"contentVersion": "1\.0\.0\.0".*`, 0},
	{"deployment group what-if -g {rg} -n small -f {template} -p prefix=shop --no-pretty-print --query changes[].changeType -o tsv", "NoChange\\nNoChange", 0},
	{"resource list -g {rg} --query length(@)", "2", 0},
	{"resource show --ids {group}/providers/Microsoft.Network/publicIPAddresses/shop-ip --query sku.name -o tsv", "Standard", 0},
	{"resource patch --ids {group}/providers/Microsoft.Network/publicIPAddresses/shop-ip -p {\"tags\":{\"x\":\"y\"}} --is-full-object --query tags.x -o tsv", "y", 0},
	{"deployment group delete -g {rg} -n small", "", 0},
	{"resource delete --ids {group}/providers/Microsoft.Network/publicIPAddresses/shop-ip", "", 0},
	{"network nsg delete -g {rg} -n shop-nsg", "", 0},
}

var networkCommands = []command{
	{"network vnet create -g {rg} -n net --address-prefixes 10.9.0.0/16 --subnet-name a --subnet-prefixes 10.9.0.0/24 --query newVNet.subnets[0].addressPrefix -o tsv", "10.9.0.0/24", 0},
	{"network vnet list -g {rg} --query [].name -o tsv", "net", 0},
	{"network vnet subnet create -g {rg} --vnet-name net -n b --address-prefixes 10.9.1.0/24 --query provisioningState -o tsv", "Succeeded", 0},
	{"network vnet subnet list -g {rg} --vnet-name net --query length(@)", "2", 0},
	{"network vnet subnet delete -g {rg} --vnet-name net -n b", "", 0},
	{"network nsg create -g {rg} -n guard --query NewNSG.provisioningState -o tsv", "Succeeded", 0},
	{"network nsg rule create -g {rg} --nsg-name guard -n web --priority 500 --destination-port-ranges 80 443 --query access -o tsv", "Allow", 0},
	{"network nsg rule list -g {rg} --nsg-name guard --query [].name -o tsv", "web", 0},
	{"network nsg rule show -g {rg} --nsg-name guard -n web --query destinationPortRanges[1] -o tsv", "443", 0},
	{"network nsg rule delete -g {rg} --nsg-name guard -n web", "", 0},
	{"network public-ip create -g {rg} -n addr --sku Standard --query publicIp.ipAddress -o tsv", `127\.[0-9.]+`, 0},
	{"network public-ip show -g {rg} -n addr --query publicIPAllocationMethod -o tsv", "Static", 0},
	{"network public-ip list -g {rg} --query [].name -o tsv", "addr", 0},
	{"network nic create -g {rg} -n card --vnet-name net --subnet a --public-ip-address addr --network-security-group guard --query NewNIC.ipConfigurations[0].privateIPAddress -o tsv", `10\.9\.0\.4`, 0},
	{"network nic list -g {rg} --query [].name -o tsv", "card", 0},
	{"network nic show -g {rg} -n card --query networkSecurityGroup.id -o tsv", "{group}/providers/Microsoft.Network/networkSecurityGroups/guard", 0},
	{"network vnet delete -g {rg} -n net", `.*\((InUseSubnetCannotBeDeleted|InUse[A-Za-z]*)\).*`, 1},
	{"network nic delete -g {rg} -n card", "", 0},
	{"network public-ip delete -g {rg} -n addr", "", 0},
	{"network nsg delete -g {rg} -n guard", "", 0},
	{"network vnet delete -g {rg} -n net", "", 0},
}

var diskCommands = []command{
	{"disk create -g {rg} -n empty --size-gb 1 --query diskState -o tsv", "Unattached", 0},
	{"disk update -g {rg} -n empty --size-gb 2 --query diskSizeGB", "2", 0},
	{"disk grant-access -g {rg} -n empty --duration-in-seconds 600 --query accessSAS -o tsv", `https://md-.*sig=.*`, 0},
	{"disk revoke-access -g {rg} -n empty", "", 0},
	{"disk create -g {rg} -n up --upload-type Upload --upload-size-bytes 1049088 --query diskState -o tsv", "ReadyToUpload", 0},
	{"disk grant-access -g {rg} -n up --access-level Write --duration-in-seconds 600 --query accessSAS -o tsv", `https://md-[^/]+\.blob\.storage\.azure\.net/.*sig=.*`, 0},
	{"disk revoke-access -g {rg} -n up", `.*\(InvalidVhd\) The upload to disk 'up' is not a fixed VHD of the announced size.*`, 1},
	{"disk list -g {rg} --query [].name -o tsv", `(?s)empty\s+up`, 0},
	// az sends no auxiliary token for a disk: across tenants this is refused, in Azure too
	{"disk create -g {rg} -n foreign --gallery-image-reference {version}", `.*\(LinkedAuthorizationFailed\) The client has permission to perform action.*is not authorized to access linked subscription '{S1}'.*`, 1},
	{"disk create --subscription {S1} -g images -n fromImage --gallery-image-reference {version} --query creationData.createOption -o tsv", "FromImage", 0},
	{"disk show --subscription {S1} -g images -n fromImage --query osType -o tsv", "Linux", 0},
	{"disk grant-access --subscription {S1} -g images -n fromImage --duration-in-seconds 600 --query accessSAS -o tsv", `https://md-.*sig=.*`, 0},
	{"disk delete --subscription {S1} -g images -n fromImage --yes", `.*\(OperationNotAllowed\).*`, 1},
	{"disk revoke-access --subscription {S1} -g images -n fromImage", "", 0},
	{"disk delete --subscription {S1} -g images -n fromImage --yes", "", 0},
	{"disk delete -g {rg} -n empty --yes", "", 0},
	{"disk delete -g {rg} -n up --yes", "", 0},
	{"disk show -g {rg} -n up", `.*\(ResourceNotFound\).*`, 3},
}

var galleryCommands = []command{
	{"sig list --subscription {S1} --query [].name -o tsv", "myGallery", 0},
	{"sig show --subscription {S1} -g images -r myGallery --query provisioningState -o tsv", "Succeeded", 0},
	{"sig create --subscription {S1} -g images -r second --query location -o tsv", "eastus", 0},
	{"sig update --subscription {S1} -g images -r second --set tags.a=b --query tags.a -o tsv", "b", 0},
	{"sig wait --subscription {S1} -g images -r second --created", "", 0},
	{"sig image-definition create --subscription {S1} -g images -r second -i def -p pub -f off -s sku --os-type Linux --os-state generalized --hyper-v-generation V1 --query osState -o tsv", "Generalized", 0},
	{"sig image-definition wait --subscription {S1} -g images -r second -i def --created", "", 0},
	{"sig image-definition list --subscription {S1} -g images -r second --query [].name -o tsv", "def", 0},
	{"sig image-definition show --subscription {S1} -g images -r second -i def --query identifier.offer -o tsv", "off", 0},
	{"sig image-definition update --subscription {S1} -g images -r second -i def --set tags.x=y --query tags.x -o tsv", "y", 0},
	{"sig delete --subscription {S1} -g images -r second", `.*\(CannotDeleteResource\).*`, 1},
	{"sig image-version create --subscription {S1} -g images -r second -i def -e 1.0.0 --image-version {version} --query provisioningState -o tsv", "Succeeded", 0},
	{"sig image-version list --subscription {S1} -g images -r myGallery -i tiny --query [].name -o tsv", "1.0.0", 0},
	{"sig image-version show --subscription {S1} -g images -r myGallery -i tiny -e 1.0.0 --expand ReplicationStatus --query replicationStatus.aggregatedState -o tsv", "Completed", 0},
	{"sig image-version update --subscription {S1} -g images -r myGallery -i tiny -e 1.0.0 --target-regions eastus westus=1 --query publishingProfile.targetRegions[].name -o tsv", `(?s)East US\s+West US`, 0},
	{"sig image-version update --subscription {S1} -g images -r myGallery -i tiny -e 1.0.0 --set publishingProfile.excludeFromLatest=true --query publishingProfile.excludeFromLatest", "true", 0},
	{"sig image-version delete --subscription {S1} -g images -r second -i def -e 1.0.0", "", 0},
	{"sig image-definition delete --subscription {S1} -g images -r second -i def", "", 0},
	{"sig delete --subscription {S1} -g images -r second", "", 0},
	{"sig show --subscription {S1} -g images -r second", `.*\(ResourceNotFound\).*`, 3},
	{"sig create --subscription {S1} -g images -r third --soft-delete true --description shelf --query softDeletePolicy.isSoftDeleteEnabled", "true", 0},
	{"sig update --subscription {S1} -g images -r third --set description=deep --query description -o tsv", "deep", 0},
	{"sig show --subscription {S1} -g images -r third --select Permissions --query sharingProfile.permissions -o tsv", "Private", 0},
	{"sig image-definition create --subscription {S1} -g images -r third -i def -p pub -f off -s sku --os-type Linux --os-state generalized --hyper-v-generation V1 --architecture x64 --minimum-cpu-core 1 --maximum-cpu-core 4 --minimum-memory 1 --end-of-life-date 2099-01-01 --features IsAcceleratedNetworkSupported=true --query [recommended.vCPUs.max,features[0].value,endOfLifeDate] -o tsv", `(?s)4\s+True\s+2099-01-01T12:59:59.*`, 0},
	{"sig image-definition update --subscription {S1} -g images -r third -i def --set hyperVGeneration=V2", `.*\(PropertyChangeNotAllowed\) Changing property 'galleryImage.properties.hyperVGeneration' is not allowed.*`, 1},
	{"sig image-definition create --subscription {S1} -g images -r third -i twin -p pub -f off -s sku --os-type Linux --hyper-v-generation V1", `.*\(Conflict\) The combination of publisher 'pub'.*`, 1},
	{"sig image-version create --subscription {S1} -g images -r third -i def -e 1.0.0 --image-version {version} --target-regions eastus=2=standard_zrs westus=1 --replica-count 2 --end-of-life-date 2099-01-01 --exclude-from-latest true --block-deletion-before-end-of-life true --query publishingProfile.targetRegions[].[name,regionalReplicaCount,storageAccountType][] -o tsv", `(?s)East US\s+2\s+Standard_ZRS\s+West US\s+1\s+Standard_LRS`, 0},
	{"sig image-version wait --subscription {S1} -g images -r third -i def -e 1.0.0 --created --timeout 60", "", 0},
	{"sig image-version delete --subscription {S1} -g images -r third -i def -e 1.0.0", `.*\(DeleteGalleryImageVersionBlockedBeforeEndOfLife\).*`, 1},
	{"sig image-version update --subscription {S1} -g images -r third -i def -e 1.0.0 --target-regions eastus=3", `.*\(OperationNotAllowed\) Removing the replicated region 'westus'.*`, 1},
	{"sig image-version update --subscription {S1} -g images -r third -i def -e 1.0.0 --target-regions eastus=3 --block-deletion-before-end-of-life false --allow-replicated-location-deletion true --query publishingProfile.targetRegions[].[name,regionalReplicaCount][] -o tsv", `(?s)East US\s+3`, 0},
	{"sig image-version create --subscription {S1} -g images -r third -i def -e 1.0.1 --image-version {version} --replication-mode Shallow --query publishingProfile.replicationMode -o tsv", "Shallow", 0},
	{"sig image-version create --subscription {S1} -g images -r third -i def -e 1.x --image-version {version}", `.*\(InvalidParameter\).*Major.Minor.Patch.*`, 1},
	{"sig image-version delete --subscription {S1} -g images -r third -i def -e 1.0.0", "", 0},
	{"sig image-version show --subscription {S1} -g images -r third -i def -e 1.0.0", `.*\(ResourceNotFound\).*`, 3},
	{"rest --uri {images}/galleries/third/softDeletedArtifactTypes/Images/artifacts/def/versions?api-version=2026-03-03 --query value[].name -o tsv", `1\.0\.0`, 0},
	{"sig image-definition delete --subscription {S1} -g images -r third -i def", `.*\(CannotDeleteResource\).*`, 1},
	{"sig image-version undelete --subscription {S1} -g images -r third -i def -e 1.0.0 --query [provisioningState,publishingProfile.replicaCount] -o tsv", `(?s)Succeeded\s+2`, 0},
	{"rest --method delete --uri {images}/galleries/third/images/def/versions/1.0.0?api-version=2026-03-03&bypassSoftDelete=true", "", 0},
	{"sig image-version delete --subscription {S1} -g images -r third -i def -e 1.0.1", "", 0},
	{"rest --method delete --uri {images}/galleries/third/softDeletedArtifactTypes/Images/artifacts/def/versions/1.0.1?api-version=2026-03-03", "", 0},
	{"sig image-definition delete --subscription {S1} -g images -r third -i def", "", 0},
	{"sig delete --subscription {S1} -g images -r third", "", 0},
	{"vm list-usage --subscription {S1} -l eastus --query [?name.value=='GalleryImageVersions'].limit -o tsv", "10000", 0},
	{"sig share add --subscription {S1} -g images -r myGallery --tenant-ids {T2}", `\{\}`, 0},
	{"sig share reset --subscription {S1} -g images -r myGallery", `\{\}`, 0},
}

var roleCommands = []command{
	{"role definition list --name Reader --query [].name -o tsv", "acdd72a7-3385-48ef-bd42-f606fba81ae7", 0},
	{"role assignment create --assignee-object-id {object} --assignee-principal-type ServicePrincipal --role Reader --scope {group} --query principalId -o tsv", "{object}", 0},
	{"role assignment list --scope {group} --query length(@) --fill-principal-name false", "[1-9]", 0},
	{"role assignment delete --assignee-object-id {object} --role Reader --scope {group}", "", 0},
	{"ad sp show --id {app}", "(?s).*Insufficient privileges to complete the operation.*", 1},
}

// The machine has no public address, a password, and a data disk; the walk has the other kind.
var machineCommands = []command{
	{"vm list-sizes -l eastus --query [?name=='Standard_DS1_v2'].numberOfCores -o tsv", "1", 0},
	{"vm list-skus -l eastus --size Standard_DS1 --query [0].name -o tsv", "Standard_DS1_v2", 0},
	{"vm image list-publishers -l eastus", `.*\(InvalidResourceType\).*`, 3},
	{"vm create -g {rg} -n inner --image {version} --admin-username azureuser --admin-password Geheim12345678 --public-ip-address= --nsg-rule NONE --data-disk-sizes-gb 1 --validate --query properties.provisioningState -o tsv", "Succeeded", 0},
	{"vm create -g {rg} -n inner --image {version} --admin-username azureuser --admin-password Geheim12345678 --public-ip-address= --nsg-rule NONE --data-disk-sizes-gb 1 --query publicIpAddress -o tsv", "", 0},
	{"vm wait -g {rg} -n inner --created --timeout 120", "", 0},
	{"vm list -g {rg} --query [].name -o tsv", "inner", 0},
	{"vm update -g {rg} -n inner --set tags.a=b --query tags.a -o tsv", "b", 0},
	{"vm stop -g {rg} -n inner --skip-shutdown", "", 0},
	{"vm deallocate -g {rg} -n inner", "", 0},
	{"vm show -d -g {rg} -n inner --query powerState -o tsv", "VM deallocated", 0},
	{"vm show -g {rg} -n inner --query length(storageProfile.dataDisks)", "1", 0},
	{"vm delete -g {rg} -n inner --yes", "", 0},
	// galleryCommands has brought the version to westus: this machine's disk comes from the replica there
	{"vm create -g {rg} -n west --location westus --image {version} --admin-username azureuser --generate-ssh-keys --query powerState -o tsv", "VM running", 0},
	{"vm delete -g {rg} -n west --yes", "", 0},
	{"vm show -g {rg} -n inner", `.*\(ResourceNotFound\).*`, 3},
}

// TestCommands runs what else az users type, one line after another against one server.
func TestCommands(t *testing.T) {
	harness.Az(t)
	t.Parallel()
	w := prepare(t, false)
	file := filepath.Join(w.home, "small.jsonc")
	if err := os.WriteFile(file, []byte(smallTemplate), 0o600); err != nil {
		t.Fatal(err)
	}
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t1.SubscriptionID, "--principal", w.app.ObjectID)
	w.vitrine(nil, "role", "assign", "Owner", "--scope", "/subscriptions/"+w.t2.SubscriptionID, "--principal", w.inT2.ObjectID)
	w.login(w.t1.TenantID)
	w.login(w.t2.TenantID)
	fill := strings.NewReplacer("{S1}", w.t1.SubscriptionID, "{S2}", w.t2.SubscriptionID, "{T2}", w.t2.TenantID, "{rg}", consumerGroup,
		"{group}", w.groupID(), "{version}", w.version,
		"{images}", "/subscriptions/"+w.t1.SubscriptionID+"/resourceGroups/images/providers/Microsoft.Compute", "{template}", file, "{object}", w.inT2.ObjectID, "{app}", w.app.AppID)
	w.rows(t, commands(), fill)
}

// rows runs commands, each as a test of its own.
func (w *world) rows(t *testing.T, commands []command, fill *strings.Replacer) {
	t.Helper()
	for _, c := range commands {
		words := strings.Fields(c.line)
		name, _, _ := strings.Cut(c.line, " -")
		t.Run(name, func(t *testing.T) {
			defer w.reportTo(t)()
			for i := range words {
				words[i] = fill.Replace(words[i])
			}
			r := w.az(words...)
			said := strings.TrimSpace(r.out)
			if c.exit != 0 {
				said = strings.TrimSpace(strings.ReplaceAll(r.err, "\n", " "))
			}
			if r.code != c.exit || !regexp.MustCompile("^(?:"+fill.Replace(c.want)+")$").MatchString(said) {
				t.Errorf("az %s\nexit %d, not %d; printed %.600q, not %q\n%.1500s", strings.Join(words, " "), r.code, c.exit, said, c.want, r.err)
			}
		})
	}
}
