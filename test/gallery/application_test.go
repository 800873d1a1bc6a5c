package gallery

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/test/harness"
)

// TestApplications publishes VM applications with az, from blobs of both kinds, and takes them away again.
func TestApplications(t *testing.T) {
	harness.Az(t)
	s := harness.Start(t, harness.Config{})
	t.Run("debian", func(t *testing.T) {
		t.Parallel()
		olderApplications(t, s)
	})
	t.Run("az", func(t *testing.T) {
		t.Parallel()
		newerApplications(t, s)
	})
}

func newerApplications(t *testing.T, s *harness.Server) {
	p, dir := newSide(t, s, "apps"), t.TempDir()
	for name, data := range map[string][]byte{"app.zip": bytes.Repeat([]byte("package"), 100_000), "app.page": bytes.Repeat([]byte("page"), 1024), "app.conf": []byte("a=b"),
		"template.json": []byte(fmt.Sprintf(applicationTemplate, "https://appsacct.blob.core.windows.net/packages/app.zip"))} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]string{"dir": dir, "arm": "https://management.azure.com", "host": "https://appsacct.blob.core.windows.net/packages",
		"gallery": "/subscriptions/" + p.tenant.SubscriptionID + "/resourceGroups/rg/providers/Microsoft.Compute/galleries/shop"}
	do := func(name string, steps []step) { t.Helper(); p.Walk(t, name, steps, names) }
	do("blobs", []step{
		{Args: "group create -n rg -l eastus"}, {Args: "storage account create -n appsacct -g rg -l eastus --sku Standard_LRS"},
		{Args: "storage account keys list -n appsacct", Save: save{"key": "0.value"}},
	})
	p.Setenv("AZURE_STORAGE_ACCOUNT", "appsacct")
	p.Setenv("AZURE_STORAGE_KEY", names["key"])
	do("blobs", []step{
		{Args: "storage container create -n packages"},
		{Args: "storage blob upload -c packages -n app.zip -f {dir}/app.zip --no-progress"}, {Args: "storage blob upload -c packages -n app.page -f {dir}/app.page --type page --no-progress"},
		{Args: "storage blob upload -c packages -n app.conf -f {dir}/app.conf --no-progress"},
		{Args: "sig create -g rg -r shop"},
	})
	r := p.Az(t, "storage", "container", "generate-sas", "-n", "packages", "--permissions", "r", "--expiry", "2030-01-01", "-o", "tsv")
	if r.Code != 0 {
		t.Fatal(r.Err)
	}
	names["sas"] = strings.TrimSpace(r.Out)
	do("application", applications())
	do("version", applicationVersions())
	do("changes", applicationChanges())
	do("end", applicationEnd())
}

// olderApplications is what Debian 12's az does with applications: it speaks other api-versions, through another library.
func olderApplications(t *testing.T, s *harness.Server) {
	p := &side{Shell: s.ShellOf(t, "olderapps", harness.Older(t))}
	s.Vitrine(t, &p.tenant, "tenant", "create", "olderapps")
	p.Login(t, p.tenant.AppID, p.tenant.Password, p.tenant.TenantID)
	p.Setenv("AZURE_STORAGE_ACCOUNT", "olderacct")
	file := filepath.Join(t.TempDir(), "app.zip")
	if err := os.WriteFile(file, []byte("package"), 0o600); err != nil {
		t.Fatal(err)
	}
	const link = "https://olderacct.blob.core.windows.net/packages/app.zip"
	p.Walk(t, "debian", []step{
		{Args: "group create -n rg -l eastus"}, {Args: "storage account create -n olderacct -g rg -l eastus --sku Standard_LRS"},
		{Args: "storage container create -n packages --auth-mode key"}, {Args: "storage blob upload -c packages -n app.zip -f " + file + " --no-progress --auth-mode key"},
		{Args: "sig create -g rg -r shop"},
		{Args: "sig gallery-application create -g rg -r shop -n app --os-type Linux", Want: want{"supportedOsType": "Linux"}},
		{Args: "sig gallery-application update -g rg -r shop -n app --description changed", Want: want{"description": "changed"}},
		{Args: "sig gallery-application show -g rg -r shop -n app", Want: want{"description": "changed", "supportedOSType": "Linux"}},
		{Args: "sig gallery-application wait -g rg -r shop -n app --exists"},
		{Args: "sig gallery-application version create" + inShop + " -n 1.0.0 --package-file-link " + link + " --install-command i --remove-command r --config-file-name c", Want: want{"provisioningState": "Succeeded", "publishingProfile.source.mediaLink": link, "publishingProfile.settings.configFileName": "c"}},
		{Args: "sig gallery-application version update" + inShop + " -n 1.0.0 --package-file-link " + link + " --exclude-from true", Want: want{"publishingProfile.excludeFromLatest": "true"}},
		{Args: "sig gallery-application version show" + inShop + " -n 1.0.0 --expand ReplicationStatus", Want: want{"replicationStatus.aggregatedState": "Completed"}},
		{Args: "sig gallery-application version wait" + inShop + " -n 1.0.0 --created --timeout 60"},
		{Args: "sig gallery-application version list" + inShop, Want: want{"": "len:1"}},
		{Args: "sig gallery-application version delete" + inShop + " -n 1.0.0 --yes"}, {Args: "sig gallery-application delete -g rg -r shop -n app --yes"},
		{Args: "sig gallery-application list -g rg -r shop", Want: want{"": "len:0"}},
	}, map[string]string{})
}

const inShop = " -g rg -r shop --application-name app"

func applications() []step {
	const create = "sig gallery-application create -g rg -r shop "
	return []step{
		{Args: create + "-n app --os-type linux --description d --tags a=b", Want: want{"name": "app", "location": "eastus", "supportedOSType": "Linux", "description": "d", "tags.a": "b", "provisioningState": "", "id": "{gallery}/applications/app"}},
		{Args: create + "-n app --os-type Windows", Exit: 1, Says: "(PropertyChangeNotAllowed)"},
		{Args: "sig gallery-application update -g rg -r shop -n app --description changed", Want: want{"description": "changed", "tags.a": "b"}},
		{Args: "sig gallery-application show -g rg -r shop -n app", Want: want{"description": "changed", "supportedOSType": "Linux"}},
		{Args: "sig gallery-application list -g rg -r shop", Want: want{"": "len:1", "0.name": "app"}},
		{Args: "sig gallery-application wait -g rg -r shop -n app --exists"},
	}
}

func applicationVersions() []step {
	const create = "sig gallery-application version create" + inShop + " --install-command install --remove-command remove "
	return []step{
		{Args: create + "-n 1.0.0 --package-file-link {host}/app.zip?{sas} --default-file-link {host}/app.conf?{sas} --update-command update --package-file-name app.zip --config-file-name app.conf --target-regions [{name:eastus},{name:westus,regional-replica-count:2}] --exclude-from true --end-of-life-date 2050-12-01",
			Want: want{"name": "1.0.0", "provisioningState": "Succeeded", "publishingProfile.source.mediaLink": "{host}/app.zip", "publishingProfile.source.defaultConfigurationLink": "{host}/app.conf",
				"publishingProfile.manageActions.update": "update", "publishingProfile.settings.packageFileName": "app.zip", "publishingProfile.targetRegions": "len:2", "publishingProfile.targetRegions.1.name": "West US",
				"publishingProfile.targetRegions.1.regionalReplicaCount": "2", "publishingProfile.excludeFromLatest": "true", "publishingProfile.endOfLifeDate": "~2050-12-01T.*", "publishingProfile.publishedDate": "*"}},
		{Args: create + "-n 1.1.0 --package-file-link {host}/app.page?{sas}", Want: want{"provisioningState": "Succeeded", "publishingProfile.replicaCount": "1", "publishingProfile.targetRegions.0.name": "East US"}},
		{Args: create + "-n 1.2.0 --package-file-link {host}/app.zip", Want: want{"provisioningState": "Succeeded"}}, // by the right on the account
		{Args: create + "-n 2.0.0 --package-file-link {host}/app.zip?{sas}x", Exit: 1, Says: "The SAS is not valid for source uri '{host}/app.zip'"},
		{Args: create + "-n 2.0.0 --package-file-link {host}/none", Exit: 1, Says: "does not exist"},
		{Args: create + "-n 2.0.0 --package-file-link https://example.com/app.zip", Exit: 1, Says: "no storage account of this installation"},
		{Args: "sig gallery-application version list" + inShop, Want: want{"": "len:3", "0.name": "1.0.0"}},
		{Args: "sig gallery-application version show" + inShop + " -n 1.0.0 --expand ReplicationStatus", Want: want{"replicationStatus.aggregatedState": "Completed", "replicationStatus.summary.1.progress": "100"}},
		{Args: "sig gallery-application version wait" + inShop + " -n 1.0.0 --created --timeout 60"},
		{Args: graph + `{"query":"Resources%20|%20where%20type%20=~%20'microsoft.compute/galleries/applications/versions'%20|%20project%20name"}`, Want: want{"totalRecords": "3"}},
	}
}

func applicationChanges() []step {
	const update = "sig gallery-application version update" + inShop + " -n 1.0.0 "
	return []step{
		{Args: update + "--package-file-link {host}/app.zip?{sas} --target-regions [{name:eastus}] --exclude-from false", Want: want{"provisioningState": "Succeeded", "publishingProfile.targetRegions": "len:1", "publishingProfile.excludeFromLatest": "false", "publishingProfile.source.mediaLink": "{host}/app.zip"}},
		{Args: update + "--package-file-link {host}/app.page?{sas}", Exit: 1, Says: "(PropertyChangeNotAllowed)"},
		{Args: "resource tag --ids {gallery}/applications/app/versions/1.0.0 --tags c=d --api-version 2024-03-03", Want: want{"tags.c": "d"}},
		{Args: "deployment group what-if -g rg -f {dir}/template.json --no-pretty-print", Want: want{"status": "Succeeded", "changes.0.changeType": "Create"}},
		{Args: "deployment group create -g rg -n apps -f {dir}/template.json", Want: want{"properties.provisioningState": "Succeeded", "properties.outputs.state.value": "Succeeded"}},
		{Args: "sig gallery-application version show -g rg -r shop --application-name templated -n 1.0.0", Want: want{"provisioningState": "Succeeded"}},
		{Args: "lock create -n keep --lock-type CanNotDelete --resource {gallery}"},
		{Args: "sig gallery-application version delete" + inShop + " -n 1.1.0 --yes", Exit: 1, Says: "(ScopeLocked)"},
		{Args: "lock delete -n keep --resource {gallery}"},
	}
}

func applicationEnd() []step {
	return []step{
		{Args: "sig delete -g rg -r shop", Exit: 1, Says: "(CannotDeleteResource)"},
		{Args: "sig gallery-application delete -g rg -r shop -n app --yes", Exit: 1, Says: "(CannotDeleteResource)"},
		{Args: "sig gallery-application version delete" + inShop + " -n 1.0.0 --yes"},
		{Args: "sig gallery-application version list" + inShop, Want: want{"": "len:2"}},
		{Args: "sig gallery-application version delete" + inShop + " -n 1.1.0 --yes"}, {Args: "sig gallery-application version delete" + inShop + " -n 1.2.0 --yes"},
		{Args: "sig gallery-application delete -g rg -r shop -n app --yes"},
		{Args: "sig gallery-application list -g rg -r shop", Want: want{"": "len:1", "0.name": "templated"}},
		{Args: "group delete -n rg --yes"},
	}
}

// applicationTemplate deploys an application and a version of it.
const applicationTemplate = `{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0","resources":[
{"type":"Microsoft.Compute/galleries/applications","apiVersion":"2024-03-03","name":"shop/templated","location":"[resourceGroup().location]","properties":{"supportedOSType":"Linux","customActions":[{"name":"restart","script":"systemctl restart app"}]}},
{"type":"Microsoft.Compute/galleries/applications/versions","apiVersion":"2024-03-03","name":"shop/templated/1.0.0","location":"[resourceGroup().location]","dependsOn":["[resourceId('Microsoft.Compute/galleries/applications','shop','templated')]"],
"properties":{"publishingProfile":{"source":{"mediaLink":"%s"},"manageActions":{"install":"i","remove":"r"}}}}],
"outputs":{"state":{"type":"string","value":"[reference(resourceId('Microsoft.Compute/galleries/applications/versions','shop','templated','1.0.0'),'2024-03-03').provisioningState]"}}}`
