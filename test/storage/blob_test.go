package storage

import (
	"testing"
	"time"
)

func tomorrow() string { return time.Now().Add(24 * time.Hour).UTC().Format("2006-01-02T15:04Z") }

func blobs(t *testing.T, p *place) {
	p.keyed()
	p.walk(t, []step{
		{Args: "storage container create -n box"},
		{Args: "storage blob upload -c box -n small -f {dir}/small.txt --metadata a=b --content-type text/plain", Want: want{"etag": "*", "lastModified": "*"}},
		{Args: "storage blob upload -c box -n small -f {dir}/small.txt", Exit: 1, Says: "already exists"},
		{Args: "storage blob upload -c box -n small -f {dir}/small.txt --overwrite --metadata a=b --content-type text/plain", Want: want{"etag": "*"}},
		{Args: "storage blob upload -c box -n dir/block -f {dir}/block.bin --validate-content"},
		{Args: "storage blob upload -c box -n disk.vhd -f {dir}/disk.vhd --type page", Want: want{"etag": "*"}},
		{Args: "storage blob upload -c box -n append -f {dir}/small.txt --type append", Exit: 1, Says: "comp=appendblock"},
		{Args: "storage blob upload -c box -n cool -f {dir}/small.txt --tier Cool", Exit: 1, Says: "x-ms-access-tier"},
		{Args: "storage blob list -c box", Want: want{"": "len:3", "0.name": "dir/block", "1.name": "disk.vhd", "1.properties.blobType": "PageBlob", "2.properties.contentLength": "5"}},
		{Args: "storage blob list -c box --prefix d --delimiter /", Want: want{"": "len:2"}},
		{Args: "storage blob list -c box --num-results 1", Want: want{"": "len:1"}},
		{Args: "storage blob list -c box -o table", Says: "disk.vhd"},
		{Args: "storage blob show -c box -n small", Want: want{"metadata.a": "b", "properties.contentSettings.contentType": "text/plain", "properties.lease.state": "available", "properties.contentLength": "5"}, Save: save{"etag": "properties.etag"}},
		{Args: "storage blob show -c box -n none", Exit: 3, Says: "BlobNotFound"},
		{Args: "storage blob exists -c box -n none", Want: want{"exists": "false"}},
		{Args: "storage blob exists -c box -n small", Want: want{"exists": "true"}},
		{Args: "storage blob url -c box -n small", Want: want{"": "{host}/box/small"}},
		{Args: "storage blob download -c box -n disk.vhd -f {dir}/back.vhd --no-progress"},
		{Args: "storage blob download -c box -n dir/block -f {dir}/back.bin --no-progress --validate-content"},
		{Args: "storage blob download -c box -n small -f {dir}/range --start-range 1 --end-range 3 --no-progress"},
		{Args: "storage blob metadata update -c box -n small --metadata c=d --if-match {etag}"},
		{Args: "storage blob metadata update -c box -n small --metadata c=e --if-match {etag}", Exit: 1, Says: "ConditionNotMet"},
		{Args: "storage blob metadata show -c box -n small", Want: want{"c": "d"}},
		{Args: "storage blob update -c box -n small --content-type text/html --content-cache-control no-store"},
		{Args: "storage blob show -c box -n small", Want: want{"properties.contentSettings.contentType": "text/html", "properties.contentSettings.cacheControl": "no-store"}},
		{Args: "storage blob lease acquire -c box -b small --lease-duration -1 --proposed-lease-id aaaaaaaa-0000-4000-8000-000000000001", Want: want{"": "aaaaaaaa-0000-4000-8000-000000000001"}},
		{Args: "storage blob delete -c box -n small", Exit: 1, Says: "LeaseIdMissing"},
		{Args: "storage blob lease change -c box -b small --lease-id aaaaaaaa-0000-4000-8000-000000000001 --proposed-lease-id bbbbbbbb-0000-4000-8000-000000000001"},
		{Args: "storage blob lease renew -c box -b small --lease-id bbbbbbbb-0000-4000-8000-000000000001"},
		{Args: "storage blob lease break -c box -b small", Want: want{"": "0"}},
		{Args: "storage blob lease release -c box -b small --lease-id bbbbbbbb-0000-4000-8000-000000000001"},
		{Args: "storage blob snapshot -c box -n small", Exit: 1, Says: "comp=snapshot"},
		{Args: "storage blob set-tier -c box -n small --tier Cool", Exit: 1, Says: "x-ms-access-tier"},
		{Args: "storage blob undelete -c box -n small", Exit: 1, Says: "comp=undelete"},
		{Args: "storage blob upload-batch -d box -s {dir}/tree --destination-path up --no-progress", Want: want{"": "len:3"}},
		{Args: "storage blob download-batch -d {dir} -s box --pattern up/* --no-progress", Want: want{"": "len:3"}},
		{Args: "storage blob delete-batch -s box --pattern up/*"},
		{Args: "storage blob delete -c box -n disk.vhd"},
		{Args: "storage blob list -c box", Want: want{"": "len:2"}},
	})
	p.same(t, "back.vhd", "disk.vhd")
	p.same(t, "back.bin", "block.bin")
	p.same(t, "up/sub/two.txt", "tree/sub/two.txt")
	p.write(t, "mal", []byte("mal"))
	p.same(t, "range", "mal")
}

// copies are copies of blobs, and disks that are made of VHDs.
func copies(t *testing.T, p *place) {
	p.keyed()
	p.walk(t, []step{
		{Args: "storage container create -n box"},
		{Args: "storage blob upload -c box -n disk.vhd -f {dir}/disk.vhd --type page"},
		{Args: "storage blob upload -c box -n no.vhd -f {dir}/small.txt"},
		{Args: "storage blob copy start -c box -b two.vhd --source-container box --source-blob disk.vhd", Want: want{"copy_status": "~pending|success"}, Save: save{"copy": "copy_id"}},
		{Args: "storage blob copy cancel -c box -b disk.vhd --copy-id {copy}", Exit: 1, Says: "NoPendingCopyOperation"},
		{Args: "storage blob copy start -c box -b three --source-uri https://nobodyatall1.blob.core.windows.net/box/x", Exit: 1, Says: "CannotVerifyCopySource"},
		{Args: "storage blob copy start -c box -b three --source-uri https://foreign.example.com/box/x", Exit: 1, Says: "outside this installation"},
	})
	p.text(t, "sas", "storage blob generate-sas -c box -n disk.vhd --permissions r --expiry 2035-01-01T00:00Z --https-only --full-uri")
	p.walk(t, []step{
		{Args: "storage account create -n {a}2 -g rg -l westeurope"},
		{Args: "storage account keys list -n {a}2", Save: save{"key2": "0.value"}},
		{Args: "storage container create -n far --account-name {a}2 --account-key {key2}"},
		{Args: "storage blob copy start -c far -b far.vhd --account-name {a}2 --account-key {key2} --source-uri {sas}", Want: want{"copy_id": "*"}},
		{Args: "storage blob copy start-batch --destination-container box --destination-path all --source-container far --source-account-name {a}2 --source-account-key {key2}", Want: want{"": "len:1"}},
		{Args: "storage blob show -c box -n two.vhd", Want: want{"properties.copy.status": "success", "properties.contentLength": "~3.14624e.06"}},
		{Args: "storage blob download -c far -n far.vhd -f {dir}/far.vhd --account-name {a}2 --account-key {key2} --no-progress"},
		// Disks and snapshots.
		{Args: "disk create -g rg -n d --source {host}/box/disk.vhd --source-storage-account-id {group}/providers/Microsoft.Storage/storageAccounts/{a} -l westeurope --os-type Linux", Want: want{"creationData.createOption": "Import", "diskSizeBytes": "~1.073741824e.09", "provisioningState": "Succeeded"}},
		{Args: "snapshot create -g rg -n s --source {host}/box/two.vhd --source-storage-account-id {group}/providers/Microsoft.Storage/storageAccounts/{a} -l westeurope", Want: want{"provisioningState": "Succeeded"}},
		{Args: "disk create -g rg -n e --source {host}/box/no.vhd --source-storage-account-id {group}/providers/Microsoft.Storage/storageAccounts/{a} -l westeurope", Exit: 1, Says: "page blobs"},
		{Args: "disk create -g rg -n f --source {host}/box/none.vhd --source-storage-account-id {group}/providers/Microsoft.Storage/storageAccounts/{a} -l westeurope", Exit: 1, Says: "BlobNotFound"},
		{Args: "disk create -g rg -n g --source {host}/box/disk.vhd -l eastus", Exit: 1, Says: "same location"},
	})
	p.same(t, "far.vhd", "disk.vhd")
}

// roles are what a token may do, with az's --auth-mode login.
func roles(t *testing.T, p *place) {
	login := " --auth-mode login"
	p.walk(t, []step{
		{Args: "storage container create -n box" + login, Want: want{"created": "true"}}, // Owner makes containers
		{Args: "storage blob upload -c box -n b -f {dir}/small.txt" + login, Exit: 1, Says: "You do not have the required permissions"},
		{Args: "role assignment create --assignee-object-id {admin} --assignee-principal-type ServicePrincipal --role Storage%20Blob%20Data%20Contributor --scope {group}"},
		{Args: "storage blob upload -c box -n b -f {dir}/small.txt" + login, Want: want{"etag": "*"}},
		{Args: "storage blob upload -c box -n b -f {dir}/small.txt --overwrite" + login, Want: want{"etag": "*"}},
		{Args: "storage blob list -c box" + login, Want: want{"": "len:1"}},
		{Args: "storage blob copy start -c box -b c --source-container box --source-blob b --account-key {key}", Want: want{"copy_id": "*"}},
	})
	p.text(t, "sas", "storage blob generate-sas -c box -n b --as-user --auth-mode login --permissions r --expiry "+tomorrow())
	p.walk(t, []step{
		{Args: "storage blob download -c box -n b -f {dir}/back --no-progress --sas-token {sas}"},
		{Args: "storage blob delete -c box -n b --sas-token {sas}", Exit: 1, Says: "You do not have the required permissions"},
		{Args: "storage account update -n {a} --allow-shared-key-access false", Want: want{"allowSharedKeyAccess": "false"}},
		{Args: "storage blob list -c box --account-key {key}", Exit: 1, Says: "KeyBasedAuthenticationNotPermitted"},
		{Args: "storage blob download -c box -n b -f {dir}/back --no-progress --sas-token {sas}"},
		{Args: "storage blob delete -c box -n b" + login},
	})
	p.same(t, "back", "small.txt")
}

// older is what Debian 12's az, 2.45, is asked of accounts: some of the options that accounts has are not there yet.
var older = []step{
	{Args: "storage account check-name -n {a}", Want: want{"nameAvailable": "false"}},
	{Args: "storage account list", Want: want{"": "len:1", "0.name": "{a}"}},
	{Args: "storage account show -n {a}", Want: want{"minimumTlsVersion": "TLS1_2"}},
	{Args: "storage account update -n {a} --tags a=b", Want: want{"tags.a": "b"}},
	{Args: "storage account show-usage -l westeurope", Want: want{"currentValue": "*"}},
	{Args: "storage account show-connection-string -n {a}", Want: want{"connectionString": "~.*;AccountName={a};AccountKey=.*"}},
	{Args: "storage account keys renew -n {a} --key primary", Save: save{"key": "0.value"}},
	{Args: "storage account generate-sas --account-name {a} --account-key {key} --services b --resource-types sco --permissions r --expiry 2035-01-01T00:00Z", Want: want{"": "~.*sig=.*"}},
	{Args: "storage account network-rule add --account-name {a} -g rg --ip-address 10.0.0.1", Exit: 1, Says: "networkAcls"},
	{Args: "storage account blob-service-properties show -n {a} -g rg", Want: want{"name": "default"}},
	{Args: "storage account blob-service-properties update -n {a} -g rg --enable-delete-retention true --delete-retention-days 7", Exit: 1, Says: "deleteRetentionPolicy"},
	{Args: "storage account management-policy show --account-name {a} -g rg", Exit: 3, Says: "managementPolicies"},
	{Args: "storage account create -n second2acct -g rg -l eastus", Want: want{"location": "eastus"}},
	{Args: "storage account delete -n second2acct -g rg --yes"},
}
