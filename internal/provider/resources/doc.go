// Package resources serves Microsoft.Resources: tenants, subscriptions, locations, provider manifests, resource groups,
// lists of resources and deployments.
//
// It owns the documents of resource groups and deployments. Subscriptions are written by the operator. Deleting a group
// and running a deployment go through the same pipeline as a client's requests, as the principals who asked:
//
//	DELETE group ─▶ operation ─▶ for each resource: control.Do(DELETE) ─▶ group's document is removed
//	PUT deployment ─▶ operation ─▶ template's plan ─▶ for each resource that is ready: control.Do(PUT)
//
// Template and parameters lie sealed in the deployment's document; the plan is made of them anew at each look. What
// became of each resource lies in the operation while it runs, in the document once it has ended.
package resources
