package rbac

import "slices"

// BuiltIn lists the built-in roles. GUIDs and actions are Azure's published ones, as far as they touch what is served.
func BuiltIn() []Role { return slices.Concat(general(), special(), observing(), restoring()) }

// general are those that most people are given.
func general() []Role {
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
		{"959f8984-c045-4866-89c7-12bf9737be2e", "Data Operator for Managed Disks", "Provides permissions to upload data to empty managed disks, read, or export data of managed disks (not attached to running VMs) and snapshots using SAS URIs and Azure AD authentication.",
			[]Permission{{DataActions: []string{"Microsoft.Compute/disks/download/action", "Microsoft.Compute/disks/upload/action",
				"Microsoft.Compute/snapshots/download/action", "Microsoft.Compute/snapshots/upload/action"}}}},
		{"1c0163c0-47e6-4577-8991-ea5c82e286e4", "Virtual Machine Administrator Login", "View Virtual Machines in the portal and login as administrator.", login("Microsoft.Compute/virtualMachines/login/action", "Microsoft.Compute/virtualMachines/loginAsAdmin/action",
			"Microsoft.HybridCompute/machines/login/action", "Microsoft.HybridCompute/machines/loginAsAdmin/action")},
		{"fb879df8-f326-4884-b1cf-06f3ad86be52", "Virtual Machine User Login", "View Virtual Machines in the portal and login as a regular user.", login("Microsoft.Compute/virtualMachines/login/action", "Microsoft.HybridCompute/machines/login/action")},
	}
}

// special are those for one trade.
func special() []Role {
	return []Role{
		{"602da2ba-a5c2-41da-b01d-5360126ab525", "Virtual Machine Local User Login", "View Virtual Machines in the portal and login as a local user configured on the arc server",
			allow("Microsoft.HybridCompute/machines/*/read", "Microsoft.HybridConnectivity/endpoints/listCredentials/action")},
		{"66f75aeb-eabe-4b70-9f1e-c350c4c9ad04", "Virtual Machine Data Access Administrator (preview)", "Manage access to Virtual Machines by adding or removing role assignments for the Virtual Machine Administrator Login and Virtual Machine User Login roles. Includes an ABAC condition to constrain role assignments.",
			dataAccessAdministrator()},
		{"3e5e47e6-65f7-47ef-90b5-e5dd4d455f24", "Disk Backup Reader", "Provides permission to backup vault to perform disk backup.",
			allow("Microsoft.Authorization/*/read", "Microsoft.Compute/disks/read", "Microsoft.Compute/disks/beginGetAccess/action")},
		{"60fc6e62-5479-42d4-8bf4-67625fcc2840", "Disk Pool Operator", "Used by the StoragePool Resource Provider to manage Disks added to a Disk Pool.",
			allow("Microsoft.Compute/disks/write", "Microsoft.Compute/disks/read", "Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*",
				"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read")},
		{"b50d9833-a0cb-478e-945f-707fcc997c13", "Disk Restore Operator", "Provides permission to backup vault to perform disk restore.",
			allow("Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Compute/disks/write", "Microsoft.Compute/disks/read")},
		{"7efff54f-a5b4-42b5-a1c5-5411624893ce", "Disk Snapshot Contributor", "Provides permission to backup vault to manage disk snapshots.",
			allow("Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Compute/snapshots/delete",
				"Microsoft.Compute/snapshots/write", "Microsoft.Compute/snapshots/read", "Microsoft.Compute/snapshots/beginGetAccess/action",
				"Microsoft.Compute/snapshots/endGetAccess/action", "Microsoft.Compute/disks/beginGetAccess/action",
				"Microsoft.Storage/storageAccounts/listkeys/action", "Microsoft.Storage/storageAccounts/write", "Microsoft.Storage/storageAccounts/read", "Microsoft.Storage/storageAccounts/delete")},
		{"d24ecba3-c1f4-40fa-a7bb-4588a071e8fd", "VM Scanner Operator", "Role that provides access to disk snapshot for security analysis.",
			allow("Microsoft.Compute/disks/read", "Microsoft.Compute/disks/beginGetAccess/action", "Microsoft.Compute/virtualMachines/read",
				"Microsoft.Compute/virtualMachines/instanceView/read", "Microsoft.Compute/virtualMachineScaleSets/read",
				"Microsoft.Compute/virtualMachineScaleSets/instanceView/read", "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/read",
				"Microsoft.Compute/virtualMachineScaleSets/virtualMachines/instanceView/read")},
		{"17d1049b-9a84-46fb-8f53-869881c3d3ab", "Storage Account Contributor", "Lets you manage storage accounts, including accessing storage account keys which provide full access to storage account data.",
			allow("Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Insights/diagnosticSettings/*",
				"Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action", "Microsoft.ResourceHealth/availabilityStatuses/read",
				"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Storage/storageAccounts/*", "Microsoft.Support/*")},
		{"81a9662b-bebf-436f-a333-f67b29880f12", "Storage Account Key Operator Service Role", "Storage Account Key Operators are allowed to list and regenerate keys on Storage Accounts",
			allow("Microsoft.Storage/storageAccounts/listkeys/action", "Microsoft.Storage/storageAccounts/regeneratekey/action")},
		{"c12c1c16-33a1-487b-954d-41c89c60f349", "Reader and Data Access", "Lets you view everything but will not let you delete or create a storage account or contained resource. It will also allow read/write access to all data contained in a storage account via access to storage account keys.",
			allow("Microsoft.Storage/storageAccounts/listKeys/action", "Microsoft.Storage/storageAccounts/ListAccountSas/action", "Microsoft.Storage/storageAccounts/read")},
		{"b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner", "Allows for full access to Azure Storage blob containers and data, including assigning POSIX access control.",
			[]Permission{{Actions: []string{containers + "/*", delegationKey}, DataActions: []string{containers + "/blobs/*"}}}},
		{"ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor", "Allows for read, write and delete access to Azure Storage blob containers and data",
			[]Permission{{Actions: []string{containers + "/delete", containers + "/read", containers + "/write", delegationKey},
				DataActions: []string{containers + "/blobs/delete", containers + "/blobs/read", containers + "/blobs/write", containers + "/blobs/move/action", containers + "/blobs/add/action"}}}},
		{"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Storage Blob Data Reader", "Allows for read access to Azure Storage blob containers and data",
			[]Permission{{Actions: []string{containers + "/read", delegationKey}, DataActions: []string{containers + "/blobs/read"}}}},
		{"db58b8e5-c6ad-4a2a-8342-4190687cbf4a", "Storage Blob Delegator", "Allows for generation of a user delegation key which can be used to sign SAS tokens",
			allow(delegationKey)},
		{"e40ec5ca-96e0-45a2-b4ff-59039f2c2b59", "Managed Identity Contributor", "Create, Read, Update, and Delete User Assigned Identity",
			allow("Microsoft.ManagedIdentity/userAssignedIdentities/read", "Microsoft.ManagedIdentity/userAssignedIdentities/write", "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
				"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read", "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
				"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete", "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
				"Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Resources/deployments/*", "Microsoft.Support/*")},
		{"f1a07417-d97a-45cb-824c-7a7467783830", "Managed Identity Operator", "Read and Assign User Assigned Identity",
			allow("Microsoft.ManagedIdentity/userAssignedIdentities/*/read", "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
				"Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Resources/deployments/*", "Microsoft.Support/*")},
		{"5d58bcaf-24a5-4b20-bdb6-eed9f69fbe4c", "Management Group Contributor", "Management Group Contributor Role",
			allow("Microsoft.Management/managementGroups/delete", "Microsoft.Management/managementGroups/read", "Microsoft.Management/managementGroups/subscriptions/delete",
				"Microsoft.Management/managementGroups/subscriptions/write", "Microsoft.Management/managementGroups/write", "Microsoft.Management/managementGroups/subscriptions/read", "Microsoft.Authorization/*/read")},
		{"ac63b705-f282-497d-ac71-919bf39d939d", "Management Group Reader", "Management Group Reader Role",
			allow("Microsoft.Management/managementGroups/read", "Microsoft.Management/managementGroups/subscriptions/read", "Microsoft.Authorization/*/read")},
		{"4a9ae827-6dc8-4573-8ac7-8239d42aa03f", "Tag Contributor", "Lets you manage tags on entities, without providing access to the entities themselves.",
			allow("Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
				"Microsoft.Resources/subscriptions/resources/read", "Microsoft.Resources/deployments/*", "Microsoft.Insights/alertRules/*", "Microsoft.Support/*", "Microsoft.Resources/tags/*")},
		{"28bf596f-4eb7-45ce-b5bc-6cf482fec137", "Locks Contributor", "Can Manage Locks Operations.",
			allow("Microsoft.Authorization/locks/read", "Microsoft.Authorization/locks/write", "Microsoft.Authorization/locks/delete")},
	}
}

func allow(actions ...string) []Permission { return []Permission{{Actions: actions}} }

func login(data ...string) []Permission {
	return []Permission{{Actions: []string{"Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/virtualNetworks/read",
		"Microsoft.Network/loadBalancers/read", "Microsoft.Network/networkInterfaces/read", "Microsoft.Compute/virtualMachines/*/read",
		"Microsoft.HybridCompute/machines/*/read", "Microsoft.HybridConnectivity/endpoints/listCredentials/action"}, DataActions: data}}
}

func publisher() []Permission {
	return []Permission{{Actions: []string{"Microsoft.Compute/galleries/*", "Microsoft.Compute/locations/capsOperations/read",
		"Microsoft.Compute/locations/communityGalleries/*", "Microsoft.Compute/locations/sharedGalleries/*", "Microsoft.Compute/images/*",
		"Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/disks/write", "Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*",
		"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read"},
		NotActions: []string{"Microsoft.Compute/galleries/share/action"}}}
}

func machineContributor() []Permission {
	return allow("Microsoft.Authorization/*/read", "Microsoft.Compute/availabilitySets/*", "Microsoft.Compute/locations/*",
		"Microsoft.Compute/virtualMachines/*", "Microsoft.Compute/virtualMachineScaleSets/*", "Microsoft.Compute/cloudServices/*",
		"Microsoft.Compute/disks/write", "Microsoft.Compute/disks/read", "Microsoft.Compute/disks/delete",
		"Microsoft.Compute/hostgroups/write", "Microsoft.Compute/hostgroups/hosts/write",
		"Microsoft.DevTestLab/schedules/*", "Microsoft.Insights/alertRules/*", "Microsoft.Network/applicationGateways/backendAddressPools/join/action",
		"Microsoft.Network/loadBalancers/backendAddressPools/join/action", "Microsoft.Network/loadBalancers/inboundNatPools/join/action",
		"Microsoft.Network/loadBalancers/inboundNatRules/join/action", "Microsoft.Network/loadBalancers/probes/join/action",
		"Microsoft.Network/loadBalancers/read", "Microsoft.Network/locations/*", "Microsoft.Network/networkInterfaces/*",
		"Microsoft.Network/networkSecurityGroups/join/action", "Microsoft.Network/networkSecurityGroups/read",
		"Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/publicIPAddresses/read",
		"Microsoft.Network/virtualNetworks/read", "Microsoft.Network/virtualNetworks/subnets/join/action",
		"Microsoft.RecoveryServices/locations/*", "Microsoft.RecoveryServices/Vaults/backupFabrics/backupProtectionIntent/write",
		"Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/*/read",
		"Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/read",
		"Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/write",
		"Microsoft.RecoveryServices/Vaults/backupPolicies/read", "Microsoft.RecoveryServices/Vaults/backupPolicies/write",
		"Microsoft.RecoveryServices/Vaults/read", "Microsoft.RecoveryServices/Vaults/usages/read", "Microsoft.RecoveryServices/Vaults/write",
		"Microsoft.ResourceHealth/availabilityStatuses/read",
		"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read",
		"Microsoft.SerialConsole/serialPorts/connect/action", "Microsoft.SqlVirtualMachine/*",
		"Microsoft.Storage/storageAccounts/listKeys/action", "Microsoft.Storage/storageAccounts/read", "Microsoft.Support/*")
}

const (
	containers    = "Microsoft.Storage/storageAccounts/blobServices/containers"
	delegationKey = "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"
)

// dataAccessAdministrator may assign the two roles of signing in to machines, and no other.
func dataAccessAdministrator() []Permission {
	const roles = " ForAnyOfAnyValues:GuidEquals {1c0163c0-47e6-4577-8991-ea5c82e286e4, fb879df8-f326-4884-b1cf-06f3ad86be52}))"
	return []Permission{{Actions: []string{"Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "Microsoft.Authorization/*/read",
		"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Resources/subscriptions/read", "Microsoft.Management/managementGroups/read",
		"Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/virtualNetworks/read", "Microsoft.Network/loadBalancers/read",
		"Microsoft.Network/networkInterfaces/read", "Microsoft.Compute/virtualMachines/*/read", "Microsoft.HybridCompute/machines/*/read",
		"Microsoft.Resources/deployments/*", "Microsoft.Support/*"},
		Version: "2.0",
		Condition: "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]" + roles +
			" AND ((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId]" + roles}}
}
