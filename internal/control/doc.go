// Package control is the front of Azure Resource Manager: the table of resource types and the one pipeline that every
// request walks, whether it came by HTTP or as a step of a deployment.
//
// It owns routing, the order of checks, the shape of answers and of long-running operations. It does not know any type:
// providers register a Spec for each, and what the Spec leaves out is off. It keeps no state of its own.
//
//	path ─▶ ID ─▶ type ─▶ subscription's tenant = token's tenant ─▶ rbac ─▶ decode ─▶ group, parent ─▶ Validate ─▶ Links ─▶ rbac
//	     ─▶ Spec.Put ─▶ document + operation in one transaction ─▶ 201 + Azure-AsyncOperation + Retry-After: 1
//
// Everything from the token's tenant on happens in one transaction of the store, so a right that is taken away at the
// same moment is either seen or not, never half.
package control
