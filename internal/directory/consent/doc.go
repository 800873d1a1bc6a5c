// Package consent is what applications were allowed in a tenant: delegated permissions and app roles.
//
// It owns the grants (oauth2PermissionGrants: a client may act for people at a resource) and the assignments (appRoleAssignments: a
// principal holds an app role of a resource), and the service principals of Microsoft's own resources, which every tenant has. It does not
// decide who may consent, and makes no tokens:
//
//	graph: POST, PATCH, DELETE ─┐                             ┌─ Scopes ─▶ scp of a token
//	login: an accepted page ────┴─▶ Grant, Assignment ─▶ store ┴─ Roles  ─▶ roles of a token, rights over Graph
//
// Both end with either party: directory drops them when it deletes a principal.
package consent
