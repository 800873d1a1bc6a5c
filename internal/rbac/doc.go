// Package rbac answers whether a principal may do an action at a scope, and words the refusal as Azure does, with an
// explanation beside it.
//
// It owns the built-in role definitions, the reading of role and deny assignments, of the tenant's own roles, management
// groups and locks, and the rule of decision: a deny assignment wins; else a grant, to the principal or a group it is in, at
// the scope or above it, whose role's actions match, whose notActions do not and whose condition holds; grants add up, a
// notAction takes away only from its own role; locks come after. It does not write any of these (provider/authorization and
// provider/management do) and keeps no cache: a removed role is gone at the next request, on every server.
//
//	principal, groups ──▶ Grants (two indexed reads) ──▶ decide(action, scope) ──▶ nil, AuthorizationFailed, DenyAssignment…, LinkedAuthorizationFailed
//	                                                                         └──▶ details and additionalInfo: why, and how to get in
package rbac
