package access

import (
	"slices"
	"testing"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

const (
	reader       = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	fixed        = "11111111-2222-4333-8444-555555555555" // an assignment's name
	onlyReaders  = "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))%20OR%20(@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]%20ForAnyOfAnyValues:GuidEquals%20{" + reader + "}))"
	unauthorized = " or the scope is invalid. If access was recently granted, please refresh your credentials."
)

// assign are the forms of az role assignment, by a tenant's administrator.
var assign = []step{
	{Args: "ad user create --display-name Ann --user-principal-name ann@assignments.onmicrosoft.com --password Correct-Horse7!", Save: save{"ann": "id"}},
	{Args: "ad group create --display-name team --mail-nickname team", Save: save{"team": "id"}},
	{Args: "ad group member add --group team --member-id {ann}"},
	// Whom: by name, by object ID, by application ID, of a type.
	{Args: "role assignment create --assignee ann@assignments.onmicrosoft.com --role Reader --scope {sub} --description first",
		Want: want{"principalId": "{ann}", "principalType": "User", "description": "first", "scope": "{sub}", "condition": ""}, Save: save{"first": "name", "role": "roleDefinitionId"}},
	{Args: "role assignment create --assignee {ann} --role Reader --scope {sub}", Want: want{"name": "{first}"}}, // RoleAssignmentExists, which az takes for success
	{Args: "role assignment create --assignee-object-id {ann} --assignee-principal-type User --role Reader --scope {sub} --name {fixed} --debug", Want: want{"name": "{first}"},
		Says: `"code":"RoleAssignmentExists","message":"The role assignment already exists. The ID of the conflicting role assignment is `},
	{Args: "role assignment create --assignee {worker} --role Contributor --scope {group}", Want: want{"principalId": "{workerObject}", "principalType": "ServicePrincipal"}},
	{Args: "role assignment create --assignee-object-id {team} --role " + reader + " --scope {group}", Want: want{"principalType": "Group"}},
	{Args: "role assignment create --assignee-object-id {team} --assignee-principal-type Group --role Reader --scope {gallery} --name {fixed}", Want: want{"name": "{fixed}", "id": "{gallery}/providers/Microsoft.Authorization/roleAssignments/{fixed}"}},
	{Args: "role assignment create --assignee {team} --role Reader --scope {gallery}/images/def", Want: want{"scope": "{gallery}/images/def"}},
	{Args: "role assignment create --assignee {team} --role Role%20Based%20Access%20Control%20Administrator --scope {group} --condition " + onlyReaders + " --condition-version 2.0",
		Want: want{"conditionVersion": "2.0", "condition": `~.*GuidEquals \{` + reader + `\}\)\)`}},
	// What is refused.
	{Args: "role assignment create --assignee nobody@assignments.onmicrosoft.com --role Reader --scope {sub}", Exit: 1, Says: "Cannot find user or service principal in graph database for 'nobody@assignments.onmicrosoft.com'"},
	{Args: "role assignment create --assignee-object-id 99999999-0000-4000-8000-000000000009 --assignee-principal-type User --role Reader --scope {sub}", Exit: 1,
		Says: "(PrincipalNotFound) Principal 99999999000040008000000000000009 does not exist in the directory {tenant}. Check that you have the correct principal ID."},
	{Args: "role assignment create --assignee-object-id {team} --assignee-principal-type User --role Reader --scope {sub}", Exit: 1, Says: "(UnmatchedPrincipalType) The PrincipalId '"},
	{Args: "role assignment create --assignee {team} --role Nonsense --scope {sub}", Exit: 1, Says: "Role 'Nonsense' doesn't exist."},
	{Args: "role assignment create --assignee {team} --role 99999999-0000-4000-8000-000000000009 --scope {sub}", Exit: 3, Says: "(RoleDefinitionDoesNotExist) The specified role definition with ID '99999999000040008000000000000009' does not exist."},
	{Args: "role assignment create --assignee {team} --role Reader --scope {sub}/resourceGroups/missing", Exit: 3, Says: "(ResourceGroupNotFound) Resource group 'missing' could not be found."},
	{Args: "role assignment create --assignee {team} --role Reader --scope {gallery}/images/missing", Exit: 3, Says: "(ResourceNotFound)"},
	{Args: "role assignment create --assignee {team} --role Reader --scope {sub} --condition nonsense", Exit: 1, Says: "(InvalidCondition)"},
	{Args: "role assignment create --assignee {team} --role Contributor --scope {gallery} --name {fixed}", Exit: 1,
		Says: "(RoleAssignmentUpdateNotPermitted) Tenant ID, application ID, principal ID, and scope are not allowed to be updated."},
	{Args: "role assignment delete --assignee {admin} --role Owner", Exit: 1, Says: "(LastRbacAdminAssignment) Cannot delete the last RBAC admin assignment."},
	// Lists.
	{Args: "role assignment list", Want: want{"": "len:2"}},
	{Args: "role assignment list --all", Want: want{"": "len:7"}},
	{Args: "role assignment list -g rg", Want: want{"": "len:3"}},
	{Args: "role assignment list -g rg --include-inherited", Want: want{"": "len:5"}},
	{Args: "role assignment list --scope {gallery}/images/def --include-inherited --query length(@)", Want: want{"": "7"}},
	{Args: "role assignment list --assignee ann@assignments.onmicrosoft.com --all", Want: want{"": "len:1", "0.principalName": "ann@assignments.onmicrosoft.com", "0.roleDefinitionName": "Reader"}},
	{Args: "role assignment list --assignee {ann} --all --include-groups", Want: want{"": "len:5"}},
	{Args: "role assignment list --assignee {ann} --include-groups --scope {group} --include-inherited", Want: want{"": "len:3"}},
	{Args: "role assignment list --assignee-object-id {team} --role Reader --scope {gallery}", Want: want{"": "len:1", "0.name": "{fixed}", "0.principalName": "team"}},
	{Args: "role assignment list --role Reader --fill-principal-name false --fill-role-definition-name false", Want: want{"": "len:1", "0.principalName": "", "0.roleDefinitionName": ""}},
	// A change.
	{Args: `role assignment update --role-assignment {"id":"{sub}/providers/Microsoft.Authorization/roleAssignments/{first}","name":"{first}","scope":"{sub}","principalId":"{ann}","roleDefinitionId":"{role}","description":"second"}`,
		Want: want{"description": "second", "principalType": "User", "name": "{first}"}},
	{Args: `role assignment update --role-assignment {"id":"{sub}/providers/Microsoft.Authorization/roleAssignments/{first}","name":"{first}","scope":"{sub}","principalId":"{team}","roleDefinitionId":"{role}"}`,
		Exit: 1, Says: "(RoleAssignmentUpdateNotPermitted)"},
}

// above are those at the root and at management groups.
var above = []step{
	{Args: "account management-group create -n prod --no-register"},
	{Args: "account management-group subscription add -n prod -s {subscription}"},
	{Args: "role assignment create --assignee {team} --role " + reader + " --scope {mg}/prod", Want: want{"scope": "{mg}/prod"}},
	{Args: "role assignment list --scope {mg}/prod --query [?principalId=='{team}'].roleDefinitionName", Want: want{"0": "Reader"}},
	{Args: "role assignment list --scope / --query length(@)", Want: want{"": "2"}},
	// Inherited ones have their role's name too.
	{Args: "role assignment list --include-inherited --query [?roleDefinitionName==null]", Want: want{"": "len:0"}},
	{Args: "role assignment list --include-inherited --query sort([].scope)", Want: want{"": "len:6", "0": "/", "2": "{mg}/prod"}},
	{Args: "role assignment list --assignee {ann} --include-groups --all --query [?scope=='{mg}/prod'].roleDefinitionName", Want: want{"": "len:1", "0": "Reader"}},
	{Args: "role assignment delete --assignee {team} --role Reader --scope {mg}/prod"},
	{Args: "role assignment delete --ids {gallery}/providers/Microsoft.Authorization/roleAssignments/{fixed} {sub}/providers/Microsoft.Authorization/roleAssignments/{first}"},
	{Args: "role assignment delete --assignee {ann} --role Reader", Exit: 1, Says: "No matched assignments were found to delete"},
	{Args: "role assignment delete --assignee {worker} -g rg"},
	{Args: "role assignment delete --assignee {worker}", Exit: 1, Says: "No matched assignments were found to delete"},
	// Now there is another administrator above.
	{Args: "role assignment delete --assignee {admin} --role Owner"},
	{Args: "role assignment delete --assignee {admin} --role Owner --scope /"},
	{Args: "role assignment list-changelogs --query [?principalId==null||roleName==null]", Want: want{"": "len:0"}},
	{Args: "role assignment list-changelogs --query [?action=='Revoked'&&principalId=='{team}'].roleName", Want: want{"": "len:1", "0": "Reader"}},
	{Args: "role assignment list-changelogs --query [?action=='Revoked'].caller", Want: want{"0": "{adminObject}"}},
	{Args: "role assignment list-changelogs --query [?action=='Granted'&&scope=='{gallery}'].caller", Want: want{"0": "{adminObject}"}},
	// What is left: the group's three, below; at prod the Owner that its maker became; at the root what elevateAccess gave.
	{Args: "role assignment list --all --query [].scope", Want: want{"": "len:5"}},
}

// denied are of a service principal that is Reader of the group only.
var denied = []step{
	{Args: "role assignment create --assignee-object-id {workerObject} --assignee-principal-type ServicePrincipal --role Owner --scope {group} --name {fixed}", Exit: 1,
		Says: "(AuthorizationFailed) The client '{worker}' with object id '{workerObject}' does not have authorization to perform action 'Microsoft.Authorization/roleAssignments/write' over scope '{group}/providers/Microsoft.Authorization/roleAssignments/{fixed}'" + unauthorized},
	{Args: "role assignment delete --ids {group}/providers/Microsoft.Authorization/roleAssignments/{fixed}", Exit: 1,
		Says: "does not have authorization to perform action 'Microsoft.Authorization/roleAssignments/delete' over scope '{group}/providers/Microsoft.Authorization/roleAssignments/{fixed}'" + unauthorized},
	{Args: "role assignment list -g rg --query length(@)", Want: want{"": "3"}},
	{Args: "lock create -n l --lock-type ReadOnly -g rg", Exit: 1,
		Says: "(AuthorizationFailed) The client '{worker}' with object id '{workerObject}' does not have authorization to perform action 'Microsoft.Authorization/locks/write' over scope '{group}/providers/Microsoft.Authorization/locks/l'" + unauthorized},
	{Args: "role definition create --role-definition {\"Name\":\"Mine\",\"Actions\":[\"*\"],\"AssignableScopes\":[\"{group}\"]}", Exit: 1, Says: "(AuthorizationFailed)"},
	{Args: "account management-group create -n mine --no-register", Exit: 1,
		Says: "does not have authorization to perform action 'Microsoft.Management/managementGroups/write' over scope '{mg}/mine'" + unauthorized},
	{Args: "sig create -g rg -r gal2 -l eastus", Exit: 1,
		Says: "does not have authorization to perform action 'Microsoft.Compute/galleries/write' over scope '{gallery}2'" + unauthorized},
	{Args: "group delete -n rg --yes", Exit: 1, Says: "'Microsoft.Resources/subscriptions/resourceGroups/delete' over scope '{group}'" + unauthorized},
}

func assignments(t *testing.T, s *harness.Server) {
	p := newPlace(t, s, "assignments")
	var worker client.App
	s.Vitrine(t, &worker, "app", "create", "worker", "--tenant", "assignments")
	p.names["worker"], p.names["workerObject"], p.names["fixed"] = worker.AppID, worker.ObjectID, fixed
	p.walk(t, slices.Concat(resources, assign))

	as := &place{Shell: s.Shell(t, "worker"), names: p.names}
	s.Vitrine(t, nil, "role", "assign", "Reader", "--scope", p.names["group"], "--principal", worker.ObjectID)
	p.walk(t, []step{{Args: "role assignment delete --assignee {worker} --role Contributor -g rg"}})
	as.Login(t, worker.AppID, worker.Password, p.tenant.TenantID)
	as.walk(t, denied)

	p.walk(t, slices.Concat(elevated, above))
}

// custom are a tenant's own roles.
var custom = []step{
	{Args: "account management-group create -n plat --no-register"},
	{Args: "role definition create --role-definition @{role}",
		Want: want{"roleName": "Image Operator", "roleType": "CustomRole", "assignableScopes.1": "{mg}/plat", "permissions.0.actions": "len:3", "permissions.0.notActions": "len:1",
			"permissions.0.dataActions.0": "Microsoft.Compute/virtualMachines/login/action", "permissions.0.notDataActions": "len:0"}, Save: save{"guid": "name"}},
	{Args: "role definition create --role-definition @{role}", Exit: 1,
		Says: "(RoleDefinitionWithSameNameExists) A custom role with the same name already exists in this directory. Use a different name."},
	{Args: "role definition list --custom-role-only", Want: want{"": "len:1", "0.id": "{sub}/providers/Microsoft.Authorization/roleDefinitions/{guid}"}},
	{Args: "role definition list --name Image%20Operator -g rg", Want: want{"": "len:1"}},
	{Args: "role definition list --name {guid} --scope {mg}/plat", Want: want{"0.roleName": "Image Operator"}},
	{Args: "role definition list --query [?roleType=='BuiltInRole'&&roleName=='Reader'].name", Want: want{"0": reader}},
	{Args: "role definition show --name {guid} --scope {sub}", Want: want{"roleName": "Image Operator"}},
	{Args: "role definition show --id {sub}/providers/Microsoft.Authorization/roleDefinitions/" + reader, Want: want{"roleName": "Reader", "assignableScopes.0": "/"}},
	{Args: "role definition show --name 99999999-0000-4000-8000-000000000009 --scope {sub}", Exit: 3, Says: "(RoleDefinitionDoesNotExist)"},
	{Args: "role assignment create --assignee {worker} --role Image%20Operator --scope {group}", Want: want{"roleDefinitionId": "{sub}/providers/Microsoft.Authorization/roleDefinitions/{guid}"}},
	{Args: "role assignment create --assignee {worker} --role Image%20Operator --scope {mg}/plat"},
	{Args: "role assignment create --assignee {worker} --role Image%20Operator --scope /", Exit: 1,
		Says: "(RoleAssignmentScopeNotAssignableToRoleDefinition) The role assignment scope '/' must match the assignable scopes of the role definition '"},
	{Args: "role definition delete --name Image%20Operator", Exit: 1, Says: "(RoleDefinitionHasAssignments) There are existing role assignments referencing role (code: RoleDefinitionHasAssignments)."},
}

// operator are of one who has that role, before and after it loses its action.
var (
	operator = []step{
		{Args: "sig show -g rg -r gal", Want: want{"name": "gal"}},
		{Args: "sig image-definition list -g rg -r gal", Want: want{"": "len:1"}},
		{Args: "disk list -g rg", Want: want{"": "len:0"}}, // lists are filtered to what one may read
		{Args: "sig update -g rg -r gal --set tags.a=b", Exit: 1, Says: "'Microsoft.Compute/galleries/write' over scope '{gallery}'" + unauthorized},
	}
	without = []step{
		{Args: "sig show -g rg -r gal", Exit: 1, Says: "(AuthorizationFailed) The client '{worker}' with object id '{workerObject}' does not have authorization to perform action 'Microsoft.Compute/galleries/read' over scope '{gallery}'" + unauthorized},
	}
	narrowed = []step{
		{Args: "role definition update --role-definition @{role2}", Want: want{"description": "narrower", "permissions.0.actions.0": "Microsoft.Compute/disks/*", "name": "{guid}"}},
	}
	ended = []step{
		{Args: "role assignment delete --assignee {worker} --role Image%20Operator -g rg"},
		{Args: "role assignment delete --assignee {worker} --role Image%20Operator --scope {mg}/plat"},
		{Args: "role definition delete --name Image%20Operator --custom-role-only true"},
		{Args: "role definition list --custom-role-only true", Want: want{"": "len:0"}},
		{Args: "role definition update --role-definition @{role2}", Exit: 1, Says: "No definition was found with the name of \"Image Operator\""},
		{Args: `role definition create --role-definition {"Name":"Bad","Actions":["nonsense"],"AssignableScopes":["{sub}"]}`, Exit: 1, Says: "(InvalidActionOrNotAction) 'nonsense' does not match any of the actions supported by the providers."},
		{Args: `role definition create --role-definition {"Name":"Bad","Actions":["*/read"],"AssignableScopes":["/"]}`, Exit: 1, Says: "(InvalidAssignableScopes)"},
		{Args: `role definition create --role-definition {"Name":"Bad","Actions":["*/read"],"AssignableScopes":["/subscriptions/{foreign}"]}`, Exit: 1, Says: "(InvalidAuthenticationTokenTenant)"},
		{Args: `role definition create --role-definition {"Name":"Reader","Actions":["*/read"],"AssignableScopes":["{sub}"]}`, Exit: 1, Says: "(RoleDefinitionWithSameNameExists)"},
		{Args: "role definition delete --name Reader", Exit: 1, Says: "(RoleDefinitionDeleteNotPermitted)"},
	}
)

func definitions(t *testing.T, s *harness.Server) {
	p := newPlace(t, s, "definitions")
	var worker client.App
	var other client.Tenant
	s.Vitrine(t, &worker, "app", "create", "operator", "--tenant", "definitions")
	s.Vitrine(t, &other, "tenant", "create", "elsewhere")
	p.names["worker"], p.names["workerObject"], p.names["foreign"] = worker.AppID, worker.ObjectID, other.SubscriptionID
	sub := p.names["sub"]
	p.names["role"] = p.File(t, "role.json", `{"Name":"Image Operator","IsCustom":true,"Description":"d","Actions":["Microsoft.Compute/galleries/*/read","Microsoft.Compute/galleries/re*","Microsoft.Resources/subscriptions/resourceGroups/read"],
		"NotActions":["Microsoft.Compute/virtualMachines/delete"],"DataActions":["Microsoft.Compute/virtualMachines/login/action"],
		"AssignableScopes":["`+sub+`","/providers/Microsoft.Management/managementGroups/plat"]}`)
	p.names["role2"] = p.File(t, "role2.json", `{"Name":"Image Operator","Description":"narrower","Actions":["Microsoft.Compute/disks/*"],
		"AssignableScopes":["`+sub+`","/providers/Microsoft.Management/managementGroups/plat"]}`)
	p.walk(t, slices.Concat(resources, elevated, custom))
	as := &place{Shell: s.Shell(t, "operator"), names: p.names}
	as.Login(t, worker.AppID, worker.Password, p.tenant.TenantID)
	as.walk(t, operator)
	p.walk(t, narrowed)
	as.walk(t, without) // at once, with the token it has
	p.walk(t, ended)
}
