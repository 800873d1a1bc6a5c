package authorization

import (
	"context"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Definition is the properties of a role definition.
type Definition struct {
	RoleName         string            `json:"roleName"`
	RoleType         string            `json:"type"` // "BuiltInRole"
	Description      string            `json:"description"`
	AssignableScopes []string          `json:"assignableScopes"`
	Permissions      []rbac.Permission `json:"permissions"`
	CreatedOn        string            `json:"createdOn"`
	UpdatedOn        string            `json:"updatedOn"`
	CreatedBy        *string           `json:"createdBy" arm:"always"`
	UpdatedBy        *string           `json:"updatedBy" arm:"always"`
}

const builtInSince = "2015-02-02T21:55:09.8806423Z" // when Azure's first built-in roles appeared

func registerDefinitions(c *control.Control) {
	control.Register(c, control.Spec[Definition]{
		Type: "Microsoft.Authorization/roleDefinitions", Level: control.Extension,
		Versions: append([]arm.Version{"2022-05-01-preview"}, versions...),
		Get: func(_ store.Tx, id arm.ID) (*control.Resource[Definition], error) {
			role, ok := rbac.RoleByGUID(id.Name())
			if !ok {
				return nil, arm.Errorf(404, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", strings.ReplaceAll(id.Name(), "-", ""))
			}
			return shown(id.Subscription, role), nil
		},
		List: listDefinitions,
	})
}

// shown gives the definition as Azure does: the ID is that of the subscription, at whatever scope it was asked for.
func shown(subscription string, role rbac.Role) *control.Resource[Definition] {
	r := &control.Resource[Definition]{Name: role.GUID, ID: RoleDefinitionID(subscription, role.GUID), Type: "Microsoft.Authorization/roleDefinitions"}
	r.Properties = Definition{RoleName: role.Name, RoleType: "BuiltInRole", Description: role.Description,
		AssignableScopes: []string{"/"}, CreatedOn: builtInSince, UpdatedOn: builtInSince}
	for _, p := range role.Permissions {
		r.Properties.Permissions = append(r.Properties.Permissions, rbac.Permission{Actions: some(p.Actions),
			NotActions: some(p.NotActions), DataActions: some(p.DataActions), NotDataActions: some(p.NotDataActions)})
	}
	return r
}

func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func listDefinitions(_ context.Context, l *control.Listing) ([]*control.Resource[Definition], error) {
	text := strings.TrimSpace(l.Query.Get("$filter"))
	name, typ := "", ""
	for _, term := range strings.Split(text, " and ") {
		term = strings.TrimSpace(term)
		lower := strings.ToLower(term)
		switch {
		case term == "" || lower == "atscope()" || lower == "atscopeandbelow()":
		case strings.HasPrefix(lower, "rolename eq '") && strings.HasSuffix(term, "'"):
			name = strings.ReplaceAll(term[len("rolename eq '"):len(term)-1], "''", "'")
		case strings.HasPrefix(lower, "type eq '") && strings.HasSuffix(term, "'"):
			typ = term[len("type eq '") : len(term)-1]
		default:
			return nil, arm.Errorf(400, "UnsupportedQuery", "The filter '%s' is not supported. Supported filters are 'roleName eq', 'type eq' and 'atScopeAndBelow()'.", text)
		}
	}
	var found []*control.Resource[Definition]
	for _, role := range rbac.BuiltIn() {
		if (name == "" || strings.EqualFold(name, role.Name)) && (typ == "" || strings.EqualFold(typ, "BuiltInRole")) {
			found = append(found, shown(l.Scope.Subscription, role))
		}
	}
	return found, nil
}
