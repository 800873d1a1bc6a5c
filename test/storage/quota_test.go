package storage

import (
	"testing"

	"vitrine/internal/client"
)

// quotas shows what az says where a tenant may hold no more: Compute's and the Blob service's own error, at once and not after retries.
func quotas(t *testing.T, p *place) {
	p.keyed()
	limit := func(size string) {
		var q client.TenantQuota
		p.server.Vitrine(t, &q, "tenant", "quota", p.tenant.TenantID, "--limit", size)
	}
	limit("3MiB")
	p.walk(t, []step{
		{Args: "storage container create -n box"},
		{Args: "storage blob upload -c box -n one -f {dir}/block.bin"},
		{Args: "storage blob upload -c box -n two -f {dir}/block.bin", Exit: 1, Says: "ErrorCode:QuotaExceeded"},
		{Args: "storage blob upload -c box -n disk.vhd -t page -f {dir}/disk.vhd", Exit: 1, Says: "ErrorCode:QuotaExceeded"},
		{Args: "storage blob copy start -c box -b copy --source-container box --source-blob one", Exit: 1, Says: "ErrorCode:QuotaExceeded"},
		{Args: "storage blob list -c box", Want: want{"": "len:1"}},
		{Args: "disk create -g rg -n d -l westeurope --size-gb 4", Exit: 1, Says: "(QuotaExceeded) Operation could not be completed as it results in exceeding the approved quota of stored bytes of the tenant"},
		{Args: "disk create -g rg -n d -l westeurope --for-upload --upload-size-bytes 4294967808", Exit: 1, Says: "Current Limit: 3145728, Current Usage: 2097152, Additional Required: 4294967296"},
		{Args: "disk list -g rg", Want: want{"": "len:0"}},
	})
	limit("5GiB")
	p.walk(t, []step{
		{Args: "storage blob upload -c box -n disk.vhd -t page -f {dir}/disk.vhd"},
		{Args: "disk create -g rg -n d -l westeurope --size-gb 4", Want: want{"diskSizeGB": "4"}},
		{Args: "snapshot create -g rg -n s -l westeurope --source d", Exit: 1, Says: "QuotaExceeded"},
		{Args: "vm list-usage -l westeurope --query [?name.value=='TenantStoredGigabytes']", Want: want{"": "len:1", "0.currentValue": "5", "0.limit": "5"}},
		{Args: "vm create -g rg -n m --attach-os-disk d --os-type linux --size Standard_B1s --data-disk-sizes-gb 2 --nsg= --public-ip-address=", Exit: 1, Says: "QuotaExceeded"},
		{Args: "disk list -g rg", Want: want{"": "len:1"}},
		{Args: "vm list -g rg", Want: want{"": "len:0"}},
		{Args: "disk delete -g rg -n d --yes"},
		{Args: "storage container delete -n box"},
		{Args: "vm list-usage -l westeurope --query [?name.value=='TenantStoredGigabytes']", Want: want{"0.currentValue": "0", "0.limit": "5"}},
	})
}
