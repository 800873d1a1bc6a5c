package rbac

import "strings"

// Role is a role definition.
type Role struct {
	GUID        string // of the definition, the same in every cloud
	Name        string
	Description string
	Permissions []Permission
}

// Permission is one block of a role definition. Patterns use '*' for any run of characters.
type Permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// Allows tells whether the role's actions grant action.
func (r Role) Allows(action string) bool {
	for _, p := range r.Permissions {
		if anyMatch(p.Actions, action) && !anyMatch(p.NotActions, action) {
			return true
		}
	}
	return false
}

func anyMatch(patterns []string, action string) bool {
	for _, p := range patterns {
		if Match(p, action) {
			return true
		}
	}
	return false
}

// Match compares an action with a pattern, without regard to case.
func Match(pattern, action string) bool {
	pattern, action = strings.ToLower(pattern), strings.ToLower(action)
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == action
	}
	if !strings.HasPrefix(action, parts[0]) {
		return false
	}
	action = action[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(action, part)
		if i < 0 {
			return false
		}
		action = action[i+len(part):]
	}
	return strings.HasSuffix(action, last)
}

// BuiltIn lists the built-in roles. GUIDs and actions are Azure's published ones, as far as they touch what is served.
func BuiltIn() []Role {
	return []Role{
		{"8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
			allow("*")},
		{"b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in Azure Blueprints, or share image galleries.",
			[]Permission{{Actions: []string{"*"}, NotActions: []string{
				"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action",
				"Microsoft.Blueprint/blueprintAssignments/write", "Microsoft.Blueprint/blueprintAssignments/delete",
				"Microsoft.Compute/galleries/share/action", "Microsoft.Purview/consents/write", "Microsoft.Purview/consents/delete",
				"Microsoft.Resources/deploymentStacks/manageDenySetting/action",
				"Microsoft.Subscription/cancel/action", "Microsoft.Subscription/enable/action"}}}},
		{"acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", "View all resources, but does not allow you to make any changes.",
			allow("*/read")},
		{"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator", "Lets you manage user access to Azure resources.",
			allow("*/read", "Microsoft.Authorization/*", "Microsoft.Support/*")},
		{"f58310d9-a9f6-439a-9e8d-f62e7b41a168", "Role Based Access Control Administrator", "Manage access to Azure resources by assigning roles using Azure RBAC. This role does not allow you to manage access using other ways, such as Azure Policy.",
			allow("Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "*/read", "Microsoft.Support/*")},
		{"1ef6a3be-d0ac-425d-8c01-acb62866290b", "Compute Gallery Sharing Admin", "This role allows user to share gallery to another subscription/tenant or share it to the public.",
			allow("Microsoft.Compute/galleries/share/action")},
		{"85a2d0d9-2eba-4c9c-b355-11c2cc0788ab", "Compute Gallery Artifacts Publisher", "This is the role for publishing gallery artifacts.",
			publisher()},
		{"cf7c76d2-98a3-4358-a134-615aa78bf44d", "Compute Gallery Image Reader", "This is the role for reading gallery images.",
			allow("Microsoft.Compute/galleries/images/read", "Microsoft.Compute/galleries/images/versions/read")},
		{"9980e02c-c2be-4d73-94e8-173b1dc7cf3c", "Virtual Machine Contributor", "Lets you manage virtual machines, but not access to them, and not the virtual network or storage account they're connected to.",
			machineContributor()},
		{"4d97b98b-1d4f-4787-a291-c67834d212e7", "Network Contributor", "Lets you manage networks, but not access to them.",
			allow("Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Network/*", "Microsoft.ResourceHealth/availabilityStatuses/read",
				"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Support/*")},
		{"959f8984-c045-4866-89c7-12bf9737be2e", "Data Operator for Managed Disks", "Provides permissions to upload data to empty managed disks, read, or export data of managed disks and snapshots using SAS URIs and Azure AD authentication.",
			[]Permission{{DataActions: []string{"Microsoft.Compute/disks/download/action", "Microsoft.Compute/disks/upload/action",
				"Microsoft.Compute/snapshots/download/action", "Microsoft.Compute/snapshots/upload/action"}}}},
		{"1c0163c0-47e6-4577-8991-ea5c82e286e4", "Virtual Machine Administrator Login", "View Virtual Machines in the portal and login as administrator.", login("Microsoft.Compute/virtualMachines/login/action", "Microsoft.Compute/virtualMachines/loginAsAdmin/action")},
		{"fb879df8-f326-4884-b1cf-06f3ad86be52", "Virtual Machine User Login", "View Virtual Machines in the portal and login as a regular user.", login("Microsoft.Compute/virtualMachines/login/action")},
	}
}

func allow(actions ...string) []Permission { return []Permission{{Actions: actions}} }

func login(data ...string) []Permission {
	return []Permission{{Actions: []string{"Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/virtualNetworks/read",
		"Microsoft.Network/networkInterfaces/read", "Microsoft.Compute/virtualMachines/*/read"}, DataActions: data}}
}

func publisher() []Permission {
	return []Permission{{Actions: []string{"Microsoft.Compute/galleries/*", "Microsoft.Compute/locations/capsOperations/read",
		"Microsoft.Compute/locations/communityGalleries/*", "Microsoft.Compute/locations/sharedGalleries/*", "Microsoft.Compute/images/*",
		"Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/disks/write", "Microsoft.Compute/snapshots/write",
		"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read",
		"Microsoft.Authorization/roleAssignments/read", "Microsoft.Authorization/roleDefinitions/read"},
		NotActions: []string{"Microsoft.Compute/galleries/share/action"}}}
}

func machineContributor() []Permission {
	return allow("Microsoft.Authorization/*/read", "Microsoft.Compute/availabilitySets/*", "Microsoft.Compute/locations/*",
		"Microsoft.Compute/virtualMachines/*", "Microsoft.Compute/virtualMachineScaleSets/*", "Microsoft.Compute/cloudServices/*",
		"Microsoft.Compute/disks/write", "Microsoft.Compute/disks/read", "Microsoft.Compute/disks/delete",
		"Microsoft.Insights/alertRules/*", "Microsoft.Network/applicationGateways/backendAddressPools/join/action",
		"Microsoft.Network/loadBalancers/backendAddressPools/join/action", "Microsoft.Network/loadBalancers/inboundNatPools/join/action",
		"Microsoft.Network/loadBalancers/inboundNatRules/join/action", "Microsoft.Network/loadBalancers/probes/join/action",
		"Microsoft.Network/loadBalancers/read", "Microsoft.Network/locations/*", "Microsoft.Network/networkInterfaces/*",
		"Microsoft.Network/networkSecurityGroups/join/action", "Microsoft.Network/networkSecurityGroups/read",
		"Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/publicIPAddresses/read",
		"Microsoft.Network/virtualNetworks/read", "Microsoft.Network/virtualNetworks/subnets/join/action",
		"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read",
		"Microsoft.Storage/storageAccounts/listKeys/action", "Microsoft.Storage/storageAccounts/read", "Microsoft.Support/*")
}

// RoleByGUID finds a built-in role by the GUID of its definition.
func RoleByGUID(guid string) (Role, bool) {
	for _, r := range BuiltIn() {
		if strings.EqualFold(r.GUID, guid) {
			return r, true
		}
	}
	return Role{}, false
}

// RoleByName finds a built-in role by its name.
func RoleByName(name string) (Role, bool) {
	for _, r := range BuiltIn() {
		if strings.EqualFold(r.Name, name) {
			return r, true
		}
	}
	return Role{}, false
}
