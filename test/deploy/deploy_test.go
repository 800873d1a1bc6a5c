package deploy

import (
	"os"
	"path/filepath"
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

type (
	step = harness.Step
	want = harness.Want
	save = harness.Save
)

// files are the templates and parameters that the tables name as {name}.
var files = map[string]string{
	// small has comments, as az sends them on.
	"small": `{ // a network group and a network that leans on it
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
  "parameters": { "prefix": { "type": "string", "defaultValue": "web" }, "owner": { "type": "string", "defaultValue": "us" } },
  "resources": [
    { "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2022-07-01", "name": "[concat(parameters('prefix'), '-nsg')]",
      "location": "[resourceGroup().location]", "tags": { "owner": "[parameters('owner')]" }, "properties": {} },
    { "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2022-07-01", "name": "net", "location": "[resourceGroup().location]",
      "dependsOn": [ "[concat(parameters('prefix'), '-nsg')]" ],
      "properties": { "addressSpace": { "addressPrefixes": [ "10.1.0.0/16" ] }, "subnets": [ { "name": "a", "properties": { "addressPrefix": "[cidrSubnet('10.1.0.0/16', 24, 3)]",
        "networkSecurityGroup": { "id": "[resourceId('Microsoft.Network/networkSecurityGroups', concat(parameters('prefix'), '-nsg'))]" } } } ] } }
  ],
  "outputs": { "prefix": { "type": "string", "value": "[reference('net').subnets[0].properties.addressPrefix]" } } }`,
	// bicep is what Bicep makes of symbols, types and an existing resource.
	"bicep": `{
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "languageVersion": "2.0", "contentVersion": "1.0.0.0",
  "definitions": { "sku": { "type": "object", "properties": { "name": { "type": "string", "allowedValues": [ "Standard", "Basic" ] } } } },
  "functions": [ { "namespace": "__bicep", "members": { "ip": { "parameters": [ { "type": "string", "name": "n" } ], "output": { "type": "string", "value": "[format('{0}-ip', parameters('n'))]" } } } } ],
  "parameters": { "sku": { "$ref": "#/definitions/sku", "defaultValue": { "name": "Standard" } }, "note": { "type": "string", "nullable": true } },
  "resources": {
    "net": { "existing": true, "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2022-07-01", "name": "net" },
    "ips": { "copy": { "name": "ips", "count": 2, "mode": "serial", "batchSize": 1 }, "type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2022-07-01",
      "name": "[__bicep.ip(string(copyIndex()))]", "location": "[resourceGroup().location]", "sku": "[parameters('sku')]", "properties": { "publicIPAllocationMethod": "Static" } } },
  "outputs": {
    "names": { "type": "array", "value": "[map(references('ips', 'Full'), lambda('ip', lambdaVariables('ip').sku.name))]" },
    "space": { "type": "string", "value": "[reference('net').addressSpace.addressPrefixes[0]]" } } }`,
	"empty":   `{ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": [] }`,
	"unknown": `{ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": [], "outputs": { "z": { "type": "string", "value": "[externalInput('a', 'b')]" } } }`,
	// wide makes a group and a network in it.
	"wide": `{
  "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#", "contentVersion": "1.0.0.0",
  "resources": [
    { "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2021-04-01", "name": "made", "location": "[deployment().location]" },
    { "type": "Microsoft.Resources/deployments", "apiVersion": "2021-04-01", "name": "inner", "resourceGroup": "made", "dependsOn": [ "made" ],
      "properties": { "mode": "Incremental", "expressionEvaluationOptions": { "scope": "inner" }, "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": [
          { "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2022-07-01", "name": "[uniqueString(resourceGroup().id)]", "location": "[resourceGroup().location]" } ],
        "outputs": { "where": { "type": "string", "value": "[resourceGroup().name]" } } } } } ],
  "outputs": { "where": { "type": "string", "value": "[reference('inner').outputs.where.value]" } } }`,
}

// place is a tenant of a table's own, with an az whose administrator is signed in.
type place struct {
	*harness.Shell
	names map[string]string
}

func newPlace(t *testing.T, s *harness.Server, name, az string) *place {
	t.Helper()
	p := &place{Shell: s.ShellOf(t, name, az)}
	var tenant client.Tenant
	s.Vitrine(t, &tenant, "tenant", "create", name)
	p.Login(t, tenant.AppID, tenant.Password, tenant.TenantID)
	p.names = map[string]string{"sub": "/subscriptions/" + tenant.SubscriptionID, "subscription": tenant.SubscriptionID, "adminObject": tenant.ObjectID,
		"rg": "/subscriptions/" + tenant.SubscriptionID + "/resourceGroups/rg", "arm": "https://management.azure.com"}
	dir := t.TempDir()
	for file, text := range files {
		p.names[file] = filepath.Join(dir, file+".json")
		if err := os.WriteFile(p.names[file], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestAz(t *testing.T) {
	az := harness.Az(t)
	s := harness.Start(t, harness.Config{})
	for name, steps := range map[string][]step{"groups": groups, "symbols": symbols, "scopes": scopes, "generic": generic, "registering": registering, "tags": tagging, "seldom": seldom} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, s, name, az)
			p.Walk(t, name, steps, p.names)
		})
		if name == "symbols" || name == "registering" {
			continue // what 2.45 cannot do, whatever the server
		}
		t.Run("debian/"+name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, s, "debian-"+name, harness.Older(t))
			p.Walk(t, name, steps, p.names)
		})
	}
}

// groups are deployments to a resource group.
var groups = []step{
	{Args: "group create -n rg -l eastus"},
	{Args: "deployment group validate -g rg -n d -f {small}", Want: want{"properties.provisioningState": "Succeeded", "properties.validatedResources": "len:2"}},
	{Args: "deployment group what-if -g rg -n d -f {small} --no-pretty-print", Want: want{"status": "Succeeded", "changes": "len:2", "changes.0.changeType": "Create", "changes.0.after.tags.owner": "us"}},
	{Args: "deployment group create -g rg -n d -f {small} --confirm-with-what-if --proceed-if-no-change", Exit: 1, Says: "+ Microsoft.Network/networkSecurityGroups/web-nsg"},
	{Args: "deployment group create -g rg -n d -f {small}", Want: want{"properties.provisioningState": "Succeeded", "properties.outputs.prefix.value": "10.1.3.0/24", "properties.outputResources": "len:2"}},
	{Args: "deployment group what-if -g rg -n d -f {small} --no-pretty-print", Want: want{"changes.0.changeType": "NoChange", "changes.1.changeType": "NoChange"}},
	{Args: "deployment group what-if -g rg -n d -f {small} -p owner=them --no-pretty-print", Want: want{"changes.0.changeType": "Modify", "changes.0.delta.0.path": "tags.owner", "changes.0.delta.0.before": "us", "changes.0.delta.0.after": "them", "changes.1.changeType": "NoChange"}},
	{Args: "deployment group what-if -g rg -n d -f {small} -p owner=them -o table", Says: "1 to modify, 1 no change"},
	{Args: "deployment group create -g rg -n d -f {small} --confirm-with-what-if --proceed-if-no-change", Says: "2 no change"},
	{Args: "deployment group what-if -g rg -n u -f {unknown}", Exit: 1, Says: "resolved by a tool before a deployment is sent"},
	{Args: "deployment group list -g rg", Want: want{"": "len:1"}},
	{Args: "deployment group show -g rg -n d", Want: want{"properties.mode": "Incremental", "properties.parameters.prefix.value": "web"}},
	{Args: "deployment operation group list -g rg -n d", Want: want{"": "len:2", "0.properties.provisioningOperation": "Create"}, Save: save{"operation": "0.operationId"}},
	{Args: "deployment operation group show -g rg -n d --operation-ids {operation}", Want: want{"0.properties.provisioningState": "Succeeded"}},
	{Args: "deployment group export -g rg -n d", Want: want{"contentVersion": "1.0.0.0"}},
	{Args: "deployment group wait -g rg -n d --created"},
	{Args: "deployment group cancel -g rg -n d", Exit: 1, Says: "DeploymentCannotBeCancelled"},
	{Args: "deployment group create -g rg -n d -f {small} --rollback-on-error", Want: want{"properties.onErrorDeployment.type": "LastSuccessful"}},
	{Args: "deployment group create -g rg -n d --template-spec {rg}/providers/Microsoft.Resources/templateSpecs/t/versions/1", Exit: 1, Says: "templateSpecs"},
	{Args: "group export -n rg --include-parameter-default-value", Want: want{"resources": "len:2", "parameters.virtualNetworks_net_name.defaultValue": "net"}},
	{Args: "deployment group delete -g rg -n d"},
	{Args: "deployment group show -g rg -n d", Exit: 3, Says: "DeploymentNotFound"},
}

// symbols are deployments of what Bicep writes, whose nullable parameters 2.45 asks for, and the mode Complete.
var symbols = []step{
	{Args: "group create -n rg -l eastus"},
	{Args: "deployment group create -g rg -n d -f {small}"},
	{Args: "deployment group create -g rg -n b -f {bicep}", Want: want{"properties.outputs.names.value": "len:2", "properties.outputs.names.value.0": "Standard", "properties.outputs.space.value": "10.1.0.0/16"}},
	{Args: "deployment group what-if -g rg -n b -f {bicep} --no-pretty-print --exclude-change-types Ignore", Want: want{"changes": "len:2", "changes.0.changeType": "NoChange", "changes.1.changeType": "NoChange"}},
	{Args: "deployment group what-if -g rg -n b -f {bicep} -p sku={%22name%22:%22Odd%22}", Exit: 1, Says: "The value is not part of the allowed value(s)"},
	{Args: "deployment group export -g rg -n b", Want: want{"languageVersion": "2.0"}},
	{Args: "deployment group what-if -g rg -n d -f {small} --mode Complete --no-pretty-print --exclude-change-types NoChange", Want: want{"changes": "len:2", "changes.0.changeType": "Delete", "changes.1.changeType": "Delete"}},
	{Args: "deployment group what-if -g rg -n d -f {small} --mode Complete --result-format ResourceIdOnly --no-pretty-print", Want: want{"changes": "len:4", "changes.0.changeType": "Deploy", "changes.0.before": ""}},
	{Args: "deployment group create -g rg -n d -f {small} --mode Complete", Want: want{"properties.mode": "Complete"}},
	{Args: "resource list -g rg", Want: want{"": "len:2"}},
	{Args: "lock create -g rg -n keep --lock-type CanNotDelete"},
	{Args: "deployment group what-if -g rg -n d -f {empty} --mode Complete --no-pretty-print", Exit: 1, Says: "ScopeLocked"},
	{Args: "deployment group create -g rg -n d -f {empty} --mode Complete", Exit: 1, Says: "DeploymentFailedCleanUp"},
	{Args: "lock delete -g rg -n keep"},
}

// scopes are deployments to a subscription, a tenant and a management group.
var scopes = []step{
	{Args: "deployment sub validate -l westus -n d -f {wide}", Want: want{"properties.provisioningState": "Succeeded", "properties.validatedResources": "len:2"}},
	{Args: "deployment sub what-if -l westus -n d -f {wide} --no-pretty-print", Want: want{"changes": "len:2", "changes.0.resourceId": "{sub}/resourceGroups/made", "changes.0.changeType": "Create", "changes.1.changeType": "Create"}},
	{Args: "deployment sub create -l westus -n d -f {wide}", Want: want{"location": "westus", "properties.outputs.where.value": "made", "id": "{sub}/providers/Microsoft.Resources/deployments/d"}},
	{Args: "deployment sub what-if -l westus -n d -f {wide} --no-pretty-print", Want: want{"changes.0.changeType": "NoChange", "changes.1.changeType": "NoChange"}},
	{Args: "deployment sub create -l eastus -n d -f {wide}", Exit: 1}, // 2.74 hides the reason: "The content for this response was already consumed"
	{Args: "deployment sub list", Want: want{"": "len:1"}},
	{Args: "deployment sub show -n d", Want: want{"properties.provisioningState": "Succeeded"}},
	{Args: "deployment operation sub list -n d", Want: want{"": "len:2"}},
	{Args: "deployment sub export -n d", Want: want{"resources.0.name": "made"}},
	{Args: "deployment sub wait -n d --created"},
	{Args: "deployment sub cancel -n d", Exit: 1, Says: "DeploymentCannotBeCancelled"},
	{Args: "deployment sub delete -n d"},
	{Args: "deployment sub list", Want: want{"": "len:0"}},
	{Args: "deployment tenant what-if -l westus -n t -f {empty}", Exit: 1, Says: "AuthorizationFailed"},
	{Args: "rest --method post --url {arm}/providers/Microsoft.Authorization/elevateAccess?api-version=2016-07-01"},
	{Args: ownRoot},
	{Args: "deployment tenant validate -l westus -n t -f {empty}", Want: want{"properties.provisioningState": "Succeeded"}},
	{Args: "deployment tenant what-if -l westus -n t -f {empty} --no-pretty-print", Want: want{"status": "Succeeded", "changes": "len:0"}},
	{Args: "deployment tenant create -l westus -n t -f {empty}", Want: want{"id": "/providers/Microsoft.Resources/deployments/t", "properties.provisioningState": "Succeeded"}},
	{Args: "deployment tenant list", Want: want{"": "len:1"}},
	{Args: "deployment tenant show -n t", Want: want{"location": "westus"}},
	{Args: "deployment operation tenant list -n t", Want: want{"": "len:0"}},
	{Args: "deployment tenant export -n t", Want: want{"contentVersion": "1.0.0.0"}},
	{Args: "deployment tenant delete -n t"},
	{Args: "account management-group create -n team"},
	{Args: "deployment mg create -m team -l westus -n m -f {empty}", Want: want{"properties.provisioningState": "Succeeded"}},
	{Args: "deployment mg what-if -m team -l westus -n m -f {empty} --no-pretty-print", Want: want{"status": "Succeeded"}},
	{Args: "deployment mg list -m team", Want: want{"": "len:1"}},
	{Args: "deployment mg delete -m team -n m"},
}

// generic are groups, resources of any type, and providers.
var generic = []step{
	{Args: "group create -n rg -l eastus --tags a=b", Want: want{"tags.a": "b"}},
	{Args: "group update -n rg --set tags.c=d", Want: want{"tags.c": "d"}},
	{Args: "group wait -n rg --created"},
	{Args: "group lock create -g rg -n l --lock-type CanNotDelete"},
	{Args: "group lock list -g rg", Want: want{"": "len:1"}},
	{Args: "group delete -n rg --yes", Exit: 1, Says: "ScopeLocked"},
	{Args: "group lock delete -g rg -n l"},
	{Args: "resource create -g rg -n net --resource-type Microsoft.Network/virtualNetworks -p {%22addressSpace%22:{%22addressPrefixes%22:[%2210.2.0.0/16%22]}}", Want: want{"properties.provisioningState": "*", "location": "eastus"}},
	{Args: "resource show -g rg -n net --resource-type Microsoft.Network/virtualNetworks", Want: want{"name": "net"}, Save: save{"net": "id"}},
	{Args: "resource tag --ids {net} --tags x=1", Want: want{"tags.x": "1"}},
	{Args: "resource tag --ids {net} --tags y=2 -i", Want: want{"tags.x": "1", "tags.y": "2"}},
	{Args: "resource list --tag x=1", Want: want{"": "len:1", "0.name": "net"}},
	{Args: "resource update --ids {net} --set tags.z=3", Want: want{"tags.z": "3"}},
	{Args: "resource wait --ids {net} --exists"},
	{Args: "resource create -g rg -n d --resource-type Microsoft.Compute/disks -p {%22creationData%22:{%22createOption%22:%22Empty%22},%22diskSizeGB%22:1}", Save: save{"disk": "id"}},
	{Args: "resource wait --ids {disk} --created"},
	{Args: "resource invoke-action --ids {disk} --action endGetAccess"},
	{Args: "resource invoke-action --ids {disk} --action dance", Exit: 3, Says: "no action 'dance'"},
	{Args: "resource lock create --ids {net} -n rl --lock-type ReadOnly", Exit: 2, Says: "unrecognized arguments"},
	{Args: "group create -n other -l eastus"},
	{Args: "resource move --destination-group other --ids {net}", Exit: 1, Says: "ResourceMoveNotSupported"},
	{Args: "resource link create --link {net}/providers/Microsoft.Resources/links/l --target {disk}"},
	{Args: "resource link show --link {net}/providers/Microsoft.Resources/links/l", Want: want{"name": "l", "properties.sourceId": "{net}", "properties.targetId": "{disk}"}},
	{Args: "resource link update --link {net}/providers/Microsoft.Resources/links/l --notes belongs"},
	{Args: "resource link list --scope {net}", Want: want{"": "len:1", "0.properties.notes": "belongs"}},
	{Args: "resource link list", Want: want{"": "len:1"}},
	{Args: "resource link create --link {disk}x/providers/Microsoft.Resources/links/l --target {net}", Exit: 3, Says: "ResourceNotFound"},
	{Args: "resource link delete --link {net}/providers/Microsoft.Resources/links/l"},
	{Args: "resource link show --link {net}/providers/Microsoft.Resources/links/l", Exit: 3, Says: "ResourceNotFound"},
	{Args: "group export -n rg --resource-ids {net} --skip-all-params", Want: want{"resources": "len:1", "resources.0.name": "net"}},
	{Args: "resource delete --ids {disk}"},
	{Args: "resource delete --ids {net}"},
	{Args: "group delete -n rg --yes"},
	{Args: "group exists -n rg", Want: want{"": "false"}},
	{Args: "provider list", Want: want{"0.registrationState": "*"}},
	{Args: "provider show -n Microsoft.Compute", Want: want{"registrationState": "Registered", "registrationPolicy": "RegistrationRequired"}},
	{Args: "provider unregister -n Microsoft.Storage", Says: ""},
	{Args: "provider show -n Microsoft.Storage", Want: want{"registrationState": "Unregistered"}},
	{Args: "provider register -n Microsoft.Storage"},
	{Args: "provider unregister -n Microsoft.Resources", Exit: 1, Says: "CannotUnregisterProvider"},
	{Args: "provider operation show --namespace Microsoft.Compute", Want: want{"name": "Microsoft.Compute"}},
	{Args: "provider operation list", Want: want{"0.name": "*"}},
	{Args: "provider permission list -n Microsoft.Compute", Want: want{"value": "len:0"}},
}

// registering is what az does by itself when a namespace is not registered. In az network 2.45 crashes.
var registering = []step{
	{Args: "group create -n other -l eastus"},
	{Args: "provider unregister -n Microsoft.Network"},
	{Args: "network nsg create -g other -n auto", Want: want{"NewNSG.name": "auto"}},
}

// tagging is az tag on a subscription, a group and a resource.
var tagging = []step{
	{Args: "group create -n rg -l eastus"},
	{Args: "resource create -g rg -n nsg --resource-type Microsoft.Network/networkSecurityGroups --is-full-object -p {%22location%22:%22eastus%22,%22tags%22:{%22k%22:%22v%22}}", Save: save{"nsg": "id"}},
	{Args: "tag create --resource-id {nsg} --tags a=1 b=2", Want: want{"properties.tags.a": "1", "properties.tags.k": ""}},
	{Args: "tag update --resource-id {nsg} --operation merge --tags c=3", Want: want{"properties.tags.a": "1", "properties.tags.c": "3"}},
	{Args: "tag update --resource-id {nsg} --operation delete --tags a=1", Want: want{"properties.tags.a": "", "properties.tags.c": "3"}},
	{Args: "tag update --resource-id {nsg} --operation replace --tags z=9", Want: want{"properties.tags.z": "9", "properties.tags.c": ""}},
	{Args: "resource show --ids {nsg}", Want: want{"tags.z": "9", "properties.securityRules": "len:0"}},
	{Args: "tag list --resource-id {nsg}", Want: want{"properties.tags.z": "9"}},
	{Args: "tag create --resource-id {rg} --tags team=red", Want: want{"properties.tags.team": "red"}},
	{Args: "group show -n rg", Want: want{"tags.team": "red"}},
	{Args: "tag create --resource-id {sub} --tags cost=7", Want: want{"properties.tags.cost": "7"}},
	{Args: "tag list --resource-id {sub}", Want: want{"properties.tags.cost": "7"}},
	{Args: "tag create -n env", Want: want{"tagName": "env"}},
	{Args: "tag add-value -n env --value prod", Want: want{"tagValue": "prod"}},
	{Args: "tag list", Want: want{"": "len:3"}},
	{Args: "tag delete -n env --yes", Exit: 1, Says: "CannotDeleteTagName"},
	{Args: "tag remove-value -n env --value prod"},
	{Args: "tag delete -n env --yes"},
	{Args: "tag delete --resource-id {nsg} --yes"},
	{Args: "tag list --resource-id {nsg}", Want: want{"properties.tags.z": ""}},
	{Args: "tag list --resource-id {nsg}x", Exit: 3, Says: "ResourceNotFound"},
}
