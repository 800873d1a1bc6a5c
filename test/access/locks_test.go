package access

import (
	"slices"
	"testing"

	"vitrine/test/harness"
)

const onGallery = "-g rg --resource-name gal --resource-type galleries --namespace Microsoft.Compute"

// lock are the forms of az lock and of its three narrower groups.
var lock = []step{
	{Args: "lock create -n whole --lock-type CanNotDelete --notes all", Want: want{"id": "{sub}/providers/Microsoft.Authorization/locks/whole", "level": "CanNotDelete", "notes": "all"}},
	{Args: "lock create -n inGroup --lock-type CanNotDelete -g rg", Want: want{"id": "{group}/providers/Microsoft.Authorization/locks/inGroup"}, Save: save{"inGroup": "id"}},
	{Args: "lock create -n onGallery --lock-type ReadOnly " + onGallery, Want: want{"level": "ReadOnly", "id": "{gallery}/providers/Microsoft.Authorization/locks/onGallery"}},
	{Args: "lock create -n onDefinition --lock-type CanNotDelete -g rg --resource-name def --resource-type images --parent galleries/gal --namespace Microsoft.Compute",
		Want: want{"id": "{gallery}/images/def/providers/Microsoft.Authorization/locks/onDefinition"}},
	{Args: "lock create -n byID --lock-type CanNotDelete --resource {gallery}", Want: want{"id": "{gallery}/providers/Microsoft.Authorization/locks/byID"}},
	{Args: "lock create -n nowhere --lock-type ReadOnly -g missing", Exit: 3, Says: "(ResourceGroupNotFound)"},
	{Args: "lock list", Want: want{"": "len:5"}},
	{Args: "lock list -g rg", Want: want{"": "len:4"}},
	{Args: "lock list --resource {gallery}", Want: want{"": "len:3"}},
	{Args: "lock list --resource {gallery} --filter-string atScope()", Want: want{"": "len:4"}},
	{Args: "lock show -n whole", Want: want{"notes": "all"}},
	{Args: "lock show -n inGroup -g rg", Want: want{"level": "CanNotDelete"}},
	{Args: "lock show -n onGallery " + onGallery, Want: want{"level": "ReadOnly"}},
	{Args: "lock show --ids {inGroup}", Want: want{"name": "inGroup"}},
	{Args: "lock show -n missing", Exit: 3, Says: "(LockNotFound) The lock 'missing' could not be found."},
	// What they stop.
	{Args: "group delete -n rg --yes", Exit: 1, Says: "(ScopeLocked) The scope '{group}' cannot perform delete operation because following scope(s) are locked: '{sub},{group},"},
	{Args: "sig update -g rg -r gal --set tags.a=b", Exit: 1,
		Says: "(ScopeLocked) The scope '{gallery}' cannot perform write operation because following scope(s) are locked: '{gallery}'. Please remove the lock and try again."},
	{Args: "sig image-definition update -g rg -r gal -i def --set tags.a=b", Exit: 1, Says: "(ScopeLocked)"},
	{Args: "role assignment create --assignee {admin} --role Reader --scope {gallery}", Exit: 1, Says: "(ScopeLocked)"},
	{Args: "sig show -g rg -r gal", Want: want{"name": "gal"}},
	{Args: "group update -n rg --set tags.a=b", Want: want{"tags.a": "b"}}, // CanNotDelete stops no writes
	// Taken off one by one.
	{Args: "lock update -n onGallery --lock-type CanNotDelete --notes changed " + onGallery, Want: want{"level": "CanNotDelete", "notes": "changed"}},
	{Args: "sig update -g rg -r gal --set tags.a=b", Want: want{"tags.a": "b"}},
	{Args: "lock delete -n onGallery " + onGallery},
	{Args: "lock delete --ids {inGroup} {gallery}/providers/Microsoft.Authorization/locks/byID"},
	{Args: "lock delete -n whole"},
	{Args: "sig delete -g rg -r gal", Exit: 1, Says: "'{gallery}/images/def'. Please remove the lock and try again."}, // of a child
	{Args: "lock delete -n onDefinition -g rg --resource-name def --resource-type images --parent galleries/gal --namespace Microsoft.Compute"},
	// The same by the names of one scope each.
	{Args: "account lock create -n a --lock-type CanNotDelete", Want: want{"name": "a"}},
	{Args: "account lock show -n a", Want: want{"level": "CanNotDelete"}},
	{Args: "account lock list", Want: want{"": "len:1"}},
	{Args: "account lock update -n a --lock-type CanNotDelete --notes n", Want: want{"notes": "n"}},
	{Args: "account lock delete -n a"},
	{Args: "group lock create -n g --lock-type ReadOnly -g rg", Want: want{"level": "ReadOnly"}},
	{Args: "group lock show -n g -g rg", Want: want{"name": "g"}},
	{Args: "group lock list -g rg", Want: want{"": "len:1"}},
	{Args: "group lock update -n g -g rg --notes n --lock-type ReadOnly", Want: want{"notes": "n"}},
	{Args: "group update -n rg --set tags.a=c", Exit: 1, Says: "(ScopeLocked)"},
	{Args: "group lock delete -n g -g rg"},
	{Args: "resource lock create -n r --lock-type CanNotDelete " + onGallery, Want: want{"name": "r"}},
	{Args: "resource lock show -n r " + onGallery, Want: want{"level": "CanNotDelete"}},
	{Args: "resource lock list " + onGallery, Want: want{"": "len:1"}},
	{Args: "resource lock update -n r --lock-type ReadOnly " + onGallery, Want: want{"level": "ReadOnly"}},
	{Args: "resource lock delete -n r " + onGallery},
	{Args: "lock list", Want: want{"": "len:0"}},
	{Args: "group delete -n rg --yes"},
}

func locks(t *testing.T, s *harness.Server) {
	p := newPlace(t, s, "locks")
	p.walk(t, slices.Concat(resources, lock))
}

// groups are the forms of az account management-group.
var groups = []step{
	{Args: "account management-group create -n plat --display-name Platform --no-register",
		Want: want{"displayName": "Platform", "id": "{mg}/plat", "tenantId": "{tenant}", "details.parent.name": "{tenant}", "details.version": "1"}},
	{Args: "account management-group create -n prod --parent plat --no-register", Want: want{"displayName": "prod", "details.parent.id": "{mg}/plat"}},
	{Args: "account management-group create -n bad!name --no-register", Exit: 1, Says: "(BadRequest) The management group name 'bad!name' is not valid"},
	{Args: "account management-group create -n orphan --parent missing --no-register", Exit: 3, Says: "The parent management group 'missing' was not found."},
	{Args: "account management-group update -n prod --display-name Production", Want: want{"displayName": "Production", "details.parent.name": "plat", "details.version": "2"}},
	{Args: "account management-group show -n prod --no-register", Want: want{"displayName": "Production", "details.version": "2"}},
	{Args: "account management-group update -n plat --parent prod", Exit: 1, Says: "cannot be put below itself"},
	{Args: "account management-group subscription add -n prod -s {subscription}", Want: want{"parent.name": "prod", "state": "Active", "tenant": "{tenant}"}},
	{Args: "account management-group subscription show -n prod -s {subscription}", Want: want{"displayName": "hierarchy"}},
	{Args: "account management-group subscription show-sub-under-mg -n prod", Want: want{"": "len:1", "0.name": "{subscription}"}},
	{Args: "account management-group show -n plat --expand --no-register", Want: want{"children": "len:1", "children.0.name": "prod", "children.0.displayName": "Production", "children.0.children": ""}},
	{Args: "account management-group show -n {tenant} --expand --recurse --no-register",
		Want: want{"displayName": "Tenant Root Group", "children": "len:1", "children.0.name": "plat", "children.0.children.0.children.0.id": "{sub}"}},
	{Args: "account management-group list --no-register", Want: want{"": "len:3", "0.name": "{tenant}", "2.displayName": "Production"}},
	{Args: "account management-group entities list", Want: want{"": "len:4", "2.name": "prod", "2.parentNameChain": "len:2", "2.parent.id": "{mg}/plat", "3.id": "{sub}", "3.permissions": "delete", "0.numberOfDescendants": "3"}},
	{Args: "account management-group tenant-backfill get", Want: want{"status": "Completed", "tenantId": "{tenant}"}},
	{Args: "account management-group hierarchy-settings list -n {tenant}", Exit: 3, Says: "(InvalidResourceType) The resource type 'managementGroups/settings' could not be found"},
	{Args: "account management-group delete -n plat --no-register", Exit: 1, Says: "still has the child group 'prod'"},
	{Args: "account management-group delete -n prod --no-register", Exit: 1, Says: "still has subscriptions"},
	{Args: "account management-group subscription remove -n prod -s {subscription}"},
	{Args: "account management-group subscription show -n prod -s {subscription}", Exit: 3},
	{Args: "account management-group update -n prod --parent {tenant}", Want: want{"details.parent.name": "{tenant}", "displayName": "Production"}},
	{Args: "account management-group delete -n plat --no-register"},
	{Args: "account management-group delete -n prod --no-register"},
	{Args: "account management-group show -n prod --no-register", Exit: 3, Says: "(NotFound) Management group 'prod' not found."},
	{Args: "account management-group delete -n {tenant} --no-register", Exit: 1, Says: "The tenant's root management group cannot be deleted."},
}

func hierarchy(t *testing.T, s *harness.Server) {
	p := newPlace(t, s, "hierarchy")
	p.walk(t, slices.Concat(elevated, groups))
}
