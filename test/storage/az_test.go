package storage

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

type (
	step = harness.Step
	want = harness.Want
	save = harness.Save
)

// place is a tenant of a table's own, with an az whose administrator is signed in, a group and an account.
type place struct {
	*harness.Shell
	server *harness.Server
	tenant client.Tenant
	names  map[string]string
	dir    string
}

func newPlace(t *testing.T, s *harness.Server, name, az string) *place {
	t.Helper()
	p := &place{Shell: s.ShellOf(t, name, az), server: s, dir: t.TempDir()}
	s.Vitrine(t, &p.tenant, "tenant", "create", name)
	p.Login(t, p.tenant.AppID, p.tenant.Password, p.tenant.TenantID)
	p.Setenv("AZURE_STORAGE_ACCOUNT", name+"acct")
	p.names = map[string]string{"tenant": p.tenant.TenantID, "subscription": p.tenant.SubscriptionID, "admin": p.tenant.ObjectID, "dir": p.dir,
		"group": "/subscriptions/" + p.tenant.SubscriptionID + "/resourceGroups/rg", "a": name + "acct", "host": "https://" + name + "acct.blob.core.windows.net"}
	p.write(t, "small.txt", []byte("small"))
	p.write(t, "block.bin", bytes.Repeat([]byte("0123456789abcdef"), 1<<17))
	p.write(t, "disk.vhd", vhd())
	for _, name := range []string{"one.txt", "sub/two.txt", "sub/three.bin"} {
		p.write(t, "tree/"+name, []byte(name))
	}
	p.walk(t, []step{
		{Args: "group create -n rg -l westeurope"},
		{Args: "storage account create -n {a} -g rg -l westeurope --sku Standard_LRS", Want: want{"name": "{a}", "kind": "StorageV2", "sku.name": "Standard_LRS", "provisioningState": "Succeeded", "primaryEndpoints.blob": "{host}/"}},
		{Args: "storage account keys list -n {a}", Want: want{"": "len:2", "0.keyName": "key1", "0.permissions": "FULL"}, Save: save{"key": "0.value"}},
	})
	return p
}

// keyed lets az sign with the account's key where a command says nothing else.
func (p *place) keyed() { p.Setenv("AZURE_STORAGE_KEY", p.names["key"]) }

// vhd is a fixed VHD of 3 MiB with something at both ends.
func vhd() []byte {
	const size = 3 << 20
	b := make([]byte, size)
	copy(b, "begins")
	copy(b[size-4:], "ends")
	footer := format.VHDFooter(size)
	return append(b, footer[:]...)
}

func (p *place) write(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// same compares a downloaded file with the one that was uploaded.
func (p *place) same(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(filepath.Join(p.dir, got))
	if err != nil {
		t.Error(err)
		return
	}
	b, err := os.ReadFile(filepath.Join(p.dir, want))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%s is not what %s was (%v)", got, want, err)
	}
}

func (p *place) walk(t *testing.T, steps []step) {
	t.Helper()
	p.Walk(t, t.Name(), steps, p.names)
}

// text runs a command that prints one text, and keeps it.
func (p *place) text(t *testing.T, name, line string) {
	t.Helper()
	for k, v := range p.names {
		line = strings.ReplaceAll(line, "{"+k+"}", v)
	}
	r := p.Az(t, append(strings.Fields(line), "-o", "tsv")...)
	if r.Code != 0 {
		t.Fatalf("az %s: %s", line, r.Err)
	}
	p.names[name] = strings.TrimSpace(r.Out)
}

func TestAz(t *testing.T) {
	az := harness.Az(t)
	s := harness.Start(t, harness.Config{})
	for name, f := range map[string]func(*testing.T, *place){"accounts": accounts, "containers": containers, "blobs": blobs, "copies": copies, "roles": roles, "quotas": quotas} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newPlace(t, s, name, az))
		})
	}
	t.Run("debian", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, s, "debian", harness.Older(t))
		p.walk(t, older)
		containers(t, p)
		blobs(t, p)
		copies(t, p)
	})
}

func accounts(t *testing.T, p *place) {
	p.walk(t, []step{
		{Args: "storage account check-name -n {a}", Want: want{"nameAvailable": "false", "reason": "AlreadyExists"}},
		{Args: "storage account check-name -n Bad-Name", Want: want{"nameAvailable": "false", "reason": "AccountNameInvalid"}},
		{Args: "storage account check-name -n freetobehad1", Want: want{"nameAvailable": "true"}},
		{Args: "storage account list", Want: want{"": "len:1", "0.name": "{a}"}},
		{Args: "storage account list -g rg -o table", Says: "{a}"},
		{Args: "storage account show -n {a}", Want: want{"accessTier": "Hot", "allowBlobPublicAccess": "false", "enableHttpsTrafficOnly": "true", "minimumTlsVersion": "TLS1_2"}},
		{Args: "storage account show -n nobody -g rg", Exit: 3, Says: "ResourceNotFound"},
		{Args: "storage account update -n {a} --tags a=b --access-tier Cool --allow-blob-public-access true --yes", Want: want{"tags.a": "b", "accessTier": "Cool", "allowBlobPublicAccess": "true"}},
		{Args: "storage account show-connection-string -n {a}", Want: want{"connectionString": "~DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName={a};AccountKey=.*;BlobEndpoint={host}/.*"}},
		{Args: "storage account keys renew -n {a} --key primary", Save: save{"key": "0.value"}},
		{Args: "storage account show-usage -l westeurope", Want: want{"currentValue": "*"}},
		{Args: "storage account create -n {a} -g rg -l westeurope --kind BlobStorage", Exit: 1, Says: "AccountPropertyCannotBeUpdated"},
		{Args: "storage account create -n hnsaccount1 -g rg --hns true", Exit: 1, Says: "isHnsEnabled"},
		{Args: "storage account create -n fileaccount1 -g rg --sku Premium_LRS --kind FileStorage", Exit: 1, Says: "FileStorage"},
		{Args: "storage account update -n {a} --default-action Deny", Exit: 1, Says: "networkAcls"},
		{Args: "storage account network-rule add --account-name {a} -g rg --ip-address 10.0.0.1", Exit: 1, Says: "networkAcls"},
		{Args: "storage account blob-service-properties show -n {a} -g rg", Want: want{"name": "default"}},
		{Args: "storage account blob-service-properties update -n {a} -g rg --enable-delete-retention true --delete-retention-days 7", Exit: 1, Says: "deleteRetentionPolicy"},
		{Args: "storage account management-policy show --account-name {a} -g rg", Exit: 3, Says: "managementPolicies"},
		{Args: "storage account encryption-scope list --account-name {a} -g rg", Exit: 3, Says: "encryptionScopes"},
		{Args: "storage account file-service-properties show -n {a} -g rg", Exit: 3, Says: "fileServices"},
		{Args: "storage account blob-service-properties cors-rule list -n {a} -g rg", Want: want{"": "len:0"}},
		{Args: "storage account network-rule list --account-name {a} -g rg", Want: want{"ipRules": "len:0"}},
		{Args: "storage share list --account-name {a} --account-key {key}", Exit: 1, Says: "403 Forbidden"},
		{Args: "storage account create -n second1acct -g rg -l eastus", Want: want{"location": "eastus"}},
		{Args: "storage account delete -n second1acct -g rg --yes"},
		{Args: "storage account list", Want: want{"": "len:1"}},
	})
	p.text(t, "sas", "storage account generate-sas --account-name {a} --account-key {key} --services b --resource-types sco --permissions rwdlac --expiry 2035-01-01T00:00Z --https-only")
	p.walk(t, []step{
		{Args: "storage container create -n box --sas-token {sas}", Want: want{"created": "true"}},
		{Args: "storage container list --sas-token {sas}", Want: want{"": "len:1"}},
	})
}

func containers(t *testing.T, p *place) {
	p.keyed()
	p.walk(t, []step{
		{Args: "storage container create -n box --metadata owner=me", Want: want{"created": "true"}},
		{Args: "storage container create -n box", Want: want{"created": "false"}},
		{Args: "storage container create -n Bad", Exit: 1, Says: "InvalidResourceName"},
		{Args: "storage container show -n box", Want: want{"name": "box", "metadata.owner": "me", "properties.lease.state": "available", "properties.etag": "*"}},
		{Args: "storage container exists -n box", Want: want{"exists": "true"}},
		{Args: "storage container exists -n nobox", Want: want{"exists": "false"}},
		{Args: "storage container list --prefix bo --include-metadata true", Want: want{"": "len:1", "0.metadata.owner": "me"}},
		{Args: "storage container metadata update -n box --metadata owner=you", Want: want{"etag": "*"}},
		{Args: "storage container metadata show -n box", Want: want{"owner": "you"}},
		{Args: "storage container lease acquire -c box --lease-duration 60 --proposed-lease-id aaaaaaaa-0000-4000-8000-000000000001", Want: want{"": "aaaaaaaa-0000-4000-8000-000000000001"}},
		{Args: "storage container lease renew -c box --lease-id aaaaaaaa-0000-4000-8000-000000000001"},
		{Args: "storage container lease release -c box --lease-id aaaaaaaa-0000-4000-8000-000000000001"},
		// One without end: az, beside others, may take longer for what follows than a lease can last.
		{Args: "storage container lease acquire -c box --lease-duration -1 --proposed-lease-id aaaaaaaa-0000-4000-8000-000000000001", Want: want{"": "aaaaaaaa-0000-4000-8000-000000000001"}},
		{Args: "storage container delete -n box", Exit: 1, Says: "LeaseIdMissing"},
		{Args: "storage container-rm delete -n box --storage-account {a} --yes", Exit: 1, Says: "lease"},
		{Args: "storage container lease change -c box --lease-id aaaaaaaa-0000-4000-8000-000000000001 --proposed-lease-id bbbbbbbb-0000-4000-8000-000000000001"},
		{Args: "storage container lease break -c box --lease-break-period 30", Want: want{"": "30"}},
		{Args: "storage container lease release -c box --lease-id bbbbbbbb-0000-4000-8000-000000000001"},
		{Args: "storage container show-permission -n box", Want: want{"publicAccess": "off"}},
		{Args: "storage container set-permission -n box --public-access blob", Exit: 1, Says: "PublicAccessNotPermitted"},
		{Args: "storage account update -n {a} --allow-blob-public-access true"},
		{Args: "storage container set-permission -n box --public-access container", Want: want{"etag": "*"}},
		{Args: "storage container show-permission -n box", Want: want{"publicAccess": "container"}},
		{Args: "storage container policy list -c box", Want: want{"p": ""}},
		{Args: "storage container policy create -c box -n p --permissions r", Exit: 1, Says: "Stored access policies"},
		{Args: "storage container-rm list --storage-account {a}", Want: want{"": "len:1", "0.publicAccess": "Container"}},
		{Args: "storage container-rm create -n arm --storage-account {a} -g rg", Want: want{"name": "arm"}},
		{Args: "storage container-rm exists -n arm --storage-account {a}", Want: want{"exists": "true"}},
		{Args: "storage container-rm update -n arm --storage-account {a} -g rg --metadata k=v", Want: want{"metadata.k": "v"}},
		{Args: "storage container-rm show -n arm --storage-account {a}", Want: want{"leaseState": "Available"}},
		{Args: "storage container legal-hold show -c box --account-name {a} -g rg"},
		{Args: "storage container immutability-policy create -c box --account-name {a} -g rg --period 1", Exit: 3, Says: "immutabilityPolicies"},
	})
	p.text(t, "sas", "storage container generate-sas -n box --permissions racwdl --expiry 2035-01-01T00:00Z --https-only")
	p.walk(t, []step{
		{Args: "storage blob upload -c box -n small -f {dir}/small.txt --sas-token {sas}", Want: want{"etag": "*"}},
		{Args: "storage blob list -c box --sas-token {sas}", Want: want{"": "len:1"}},
		{Args: "storage container delete -n box", Want: want{"deleted": "true"}},
		{Args: "storage container exists -n box", Want: want{"exists": "false"}},
	})
}
