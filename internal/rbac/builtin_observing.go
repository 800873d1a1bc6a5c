package rbac

// observing are the roles of monitoring. Source: Azure's page of built-in roles for Monitor.
func observing() []Role {
	return []Role{
		{"43d0d8ad-25c7-4714-9337-8ba259a9fe05", "Monitoring Reader", "Can read all monitoring data.",
			[]Permission{{Actions: []string{
				"*/read", "Microsoft.OperationalInsights/workspaces/search/action", "Microsoft.Support/*"}}}},
		{"749f88d5-cbae-40b8-bcfc-e573ddc772fa", "Monitoring Contributor", "Can read all monitoring data and update monitoring settings.",
			[]Permission{{Actions: []string{
				"*/read", "Microsoft.AlertsManagement/alerts/*", "Microsoft.AlertsManagement/alertsSummary/*", "Microsoft.AlertsManagement/issues/*",
				"Microsoft.Insights/actiongroups/*", "Microsoft.Insights/activityLogAlerts/*", "Microsoft.Insights/AlertRules/*",
				"Microsoft.Insights/components/*", "Microsoft.Insights/createNotifications/*", "Microsoft.Insights/dataCollectionEndpoints/*",
				"Microsoft.Insights/dataCollectionRules/*", "Microsoft.Insights/dataCollectionRuleAssociations/*",
				"Microsoft.Insights/DiagnosticSettings/*", "Microsoft.Insights/eventtypes/*", "Microsoft.Insights/LogDefinitions/*",
				"Microsoft.Insights/metricalerts/*", "Microsoft.Insights/MetricDefinitions/*", "Microsoft.Insights/Metrics/*",
				"Microsoft.Insights/notificationStatus/*", "Microsoft.Insights/Register/Action", "Microsoft.Insights/scheduledqueryrules/*",
				"Microsoft.Insights/webtests/*", "Microsoft.Insights/workbooks/*", "Microsoft.Insights/workbooktemplates/*",
				"Microsoft.Insights/privateLinkScopes/*", "Microsoft.Insights/privateLinkScopeOperationStatuses/*", "Microsoft.Monitor/accounts/*",
				"Microsoft.Monitor/settings/*", "Microsoft.OperationalInsights/workspaces/write",
				"Microsoft.OperationalInsights/workspaces/intelligencepacks/*", "Microsoft.OperationalInsights/workspaces/savedSearches/*",
				"Microsoft.OperationalInsights/workspaces/search/action", "Microsoft.OperationalInsights/workspaces/sharedKeys/action",
				"Microsoft.OperationalInsights/workspaces/sharedKeys/read", "Microsoft.OperationalInsights/workspaces/storageinsightconfigs/*",
				"Microsoft.OperationalInsights/locations/workspaces/failover/action", "Microsoft.OperationalInsights/workspaces/failback/action",
				"Microsoft.Support/*", "Microsoft.AlertsManagement/smartDetectorAlertRules/*", "Microsoft.AlertsManagement/actionRules/*",
				"Microsoft.AlertsManagement/smartGroups/*", "Microsoft.AlertsManagement/migrateFromSmartDetection/*",
				"Microsoft.AlertsManagement/investigations/*", "Microsoft.AlertsManagement/prometheusRuleGroups/*",
				"Microsoft.Monitor/investigations/*", "Microsoft.Resources/deployments/*"}}}},
		{"73c42c96-874c-492b-b04d-ab87d138a893", "Log Analytics Reader", "Log Analytics Reader can view and search all monitoring data as well as and view monitoring settings, including viewing the configuration of Azure diagnostics on all Azure resources.",
			[]Permission{{Actions: []string{
				"*/read", "Microsoft.OperationalInsights/workspaces/analytics/query/action", "Microsoft.OperationalInsights/workspaces/search/action",
				"Microsoft.Support/*"}, NotActions: []string{"Microsoft.OperationalInsights/workspaces/sharedKeys/read"}}}},
		{"92aaf0da-9dab-42b6-94a3-d43ce8d16293", "Log Analytics Contributor", "Log Analytics Contributor can read all monitoring data and edit monitoring settings. Editing monitoring settings includes adding the VM extension to VMs; reading storage account keys to be able to configure collection of logs from Azure Storage; adding solutions; and configuring Azure diagnostics on all Azure resources.",
			[]Permission{{Actions: []string{
				"*/read", "Microsoft.ClassicCompute/virtualMachines/extensions/*", "Microsoft.ClassicStorage/storageAccounts/listKeys/action",
				"Microsoft.Compute/virtualMachines/extensions/*", "Microsoft.HybridCompute/machines/extensions/write",
				"Microsoft.Insights/alertRules/*", "Microsoft.Insights/diagnosticSettings/*", "Microsoft.OperationalInsights/*",
				"Microsoft.OperationsManagement/*", "Microsoft.Resources/deployments/*",
				"Microsoft.Resources/subscriptions/resourcegroups/deployments/*", "Microsoft.Storage/storageAccounts/listKeys/action",
				"Microsoft.Support/*"}}}},
	}
}

// restoring are the roles of backups and storage tasks. Source: Azure's pages of built-in roles for Compute and Storage.
func restoring() []Role {
	return []Role{
		{"dfce8971-25e3-42e3-ba33-6055438e3080", "VM Restore Operator", "Create and Delete resources during VM Restore. This role is in preview and subject to change.",
			[]Permission{{Actions: []string{
				"Microsoft.Authorization/*/read", "Microsoft.Compute/disks/read", "Microsoft.Compute/disks/write", "Microsoft.Compute/disks/delete",
				"Microsoft.Compute/disks/beginGetAccess/action", "Microsoft.Compute/disks/endGetAccess/action",
				"Microsoft.Compute/locations/diskOperations/read", "Microsoft.Compute/virtualMachines/read", "Microsoft.Compute/virtualMachines/write",
				"Microsoft.Compute/virtualMachines/delete", "Microsoft.Compute/virtualMachines/instanceView/read",
				"Microsoft.Compute/virtualMachines/extensions/read", "Microsoft.Compute/virtualMachines/extensions/write",
				"Microsoft.Compute/virtualMachines/extensions/delete", "Microsoft.Insights/alertRules/*",
				"Microsoft.Network/locations/operationResults/read", "Microsoft.Network/locations/operations/read",
				"Microsoft.Network/locations/usages/read", "Microsoft.Network/networkInterfaces/delete",
				"Microsoft.Network/networkInterfaces/ipconfigurations/read", "Microsoft.Network/networkInterfaces/join/action",
				"Microsoft.Network/networkInterfaces/read", "Microsoft.Network/networkInterfaces/write",
				"Microsoft.Network/networkSecurityGroups/read", "Microsoft.Network/networkSecurityGroups/securityRules/read",
				"Microsoft.Network/publicIPAddresses/delete", "Microsoft.Network/publicIPAddresses/join/action",
				"Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/publicIPAddresses/write", "Microsoft.Network/virtualNetworks/read",
				"Microsoft.Network/virtualNetworks/subnets/join/action", "Microsoft.Network/virtualNetworks/subnets/read",
				"Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/resourceGroups/read",
				"Microsoft.Storage/checkNameAvailability/read", "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
				"Microsoft.Storage/storageAccounts/blobServices/containers/read", "Microsoft.Storage/storageAccounts/blobServices/containers/write",
				"Microsoft.Storage/storageAccounts/listKeys/action", "Microsoft.Storage/storageAccounts/read",
				"Microsoft.Storage/storageAccounts/write"},
				DataActions: []string{
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action"}}}},
		{"e5e2a7ff-d759-4cd2-bb51-3152d37e2eb1", "Storage Account Backup Contributor", "Lets you perform backup and restore operations using Azure Backup on the storage account.",
			[]Permission{{Actions: []string{
				"Microsoft.Authorization/*/read", "Microsoft.Authorization/locks/read", "Microsoft.Authorization/locks/write",
				"Microsoft.Authorization/locks/delete", "Microsoft.Features/features/read", "Microsoft.Features/providers/features/read",
				"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Storage/operations/read",
				"Microsoft.Storage/storageAccounts/objectReplicationPolicies/delete",
				"Microsoft.Storage/storageAccounts/objectReplicationPolicies/read",
				"Microsoft.Storage/storageAccounts/objectReplicationPolicies/write",
				"Microsoft.Storage/storageAccounts/objectReplicationPolicies/restorePointMarkers/write",
				"Microsoft.Storage/storageAccounts/blobServices/containers/read", "Microsoft.Storage/storageAccounts/blobServices/containers/write",
				"Microsoft.Storage/storageAccounts/blobServices/read", "Microsoft.Storage/storageAccounts/blobServices/write",
				"Microsoft.Storage/storageAccounts/read", "Microsoft.Storage/storageAccounts/restoreBlobRanges/action"}}}},
		{"4bad4d9e-2a13-4888-94bb-c8432f6f3040", "Storage Actions Blob Data Operator", "Used by the Storage Actions - Storage Task to list & perform operations on the Storage Account blobs",
			[]Permission{{Actions: []string{
				"Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Resources/deployments/*",
				"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Storage/storageAccounts/blobServices/containers/read",
				"Microsoft.Storage/storageAccounts/blobServices/containers/write"},
				DataActions: []string{
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/read",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/write",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/runAsSuperUser/action",
					"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/immutableStorage/runAsSuperUser/action"}}}},
	}
}
