// Package arm holds the words of Azure Resource Manager: resource IDs and types, api-versions, the error, regions and
// provisioning states. They are values without behaviour of their own; nothing here reads a request or a store.
//
//	"/subscriptions/S/resourceGroups/g/providers/Microsoft.Compute/disks/d" ──▶ ParsePath ──▶ Path{ID, Tail}
//	a fault ──▶ Error ──▶ Render ──▶ {"error":{"code","message",…}}
package arm
