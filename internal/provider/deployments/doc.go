// Package deployments serves Microsoft.Resources/deployments: it runs templates.
//
// It owns the documents of deployments. What a template writes goes through the same pipeline as a client's requests, as
// the principals who sent it:
//
//	PUT deployment ─▶ operation ─▶ template's plan ─▶ for each resource that is ready: control.Do(PUT)
//
// Template and parameters lie sealed in the deployment's document; the plan is made of them anew at each look. What
// became of each resource lies in the operation while it runs, in the document once it has ended. The language itself is
// package template's; resource groups are package resources'.
package deployments
