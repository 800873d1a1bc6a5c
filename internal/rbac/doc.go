// Package rbac answers whether a principal may do an action at a scope, and words the refusal as Azure does.
//
// It owns the built-in role definitions, the reading of role assignments and the rule of decision: a grant at the scope or
// above it whose role's actions match and whose notActions do not; grants add up, a notAction takes away only from its
// own role. It does not write assignments (provider/authorization does) and keeps no cache: a removed role is gone at the
// next request, on every server.
//
//	principal ──▶ Grants (one indexed read) ──▶ Allows(action, scope) ──▶ nil, AuthorizationFailed or LinkedAuthorizationFailed
package rbac
