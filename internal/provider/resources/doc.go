// Package resources serves Microsoft.Resources but for deployments: tenants, subscriptions, locations, provider manifests,
// resource groups and lists of resources.
//
// It owns the documents of resource groups. Subscriptions are written by the operator. Deleting a group goes through the
// same pipeline as a client's requests, as the principals who asked:
//
//	DELETE group ─▶ operation ─▶ for each resource: control.Do(DELETE) ─▶ group's document is removed
package resources
