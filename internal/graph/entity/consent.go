package entity

import "vitrine/internal/directory/consent"

// GrantKind is what a delegated permission grant is like.
func GrantKind() Kind {
	return Kind{Name: "oAuth2PermissionGrant", Sample: grantProps(consent.Grant{})}
}

// Grant shows a delegated permission grant.
func Grant(g consent.Grant) *Entity { return New(GrantKind(), grantProps(g)) }

func grantProps(g consent.Grant) map[string]any {
	return map[string]any{"id": g.ID, "clientId": g.ClientID, "consentType": g.ConsentType, "principalId": Text(g.PrincipalID),
		"resourceId": g.ResourceID, "scope": g.Scope}
}

// AssignmentKind is what an app role assignment is like.
func AssignmentKind() Kind {
	return Kind{Name: "appRoleAssignment", Sample: assignmentProps(consent.Assignment{}, "", "")}
}

// Assignment shows an app role assignment with the names of its parties.
func Assignment(a consent.Assignment, principal, resource string) *Entity {
	return New(AssignmentKind(), assignmentProps(a, principal, resource))
}

func assignmentProps(a consent.Assignment, principal, resource string) map[string]any {
	return map[string]any{"id": a.ID, "deletedDateTime": nil, "appRoleId": a.RoleID, "createdDateTime": Stamp(a.Created), "principalDisplayName": Text(principal),
		"principalId": a.PrincipalID, "principalType": a.PrincipalType, "resourceDisplayName": Text(resource), "resourceId": a.ResourceID}
}
