package authorization

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Definition is the properties of a role definition.
type Definition struct {
	RoleName         string            `json:"roleName" arm:"required"`
	RoleType         string            `json:"type" arm:"readonly"` // "BuiltInRole" or "CustomRole"
	Description      string            `json:"description"`
	AssignableScopes []string          `json:"assignableScopes" arm:"required"`
	Permissions      []rbac.Permission `json:"permissions" arm:"always"`
	CreatedOn        string            `json:"createdOn" arm:"readonly"`
	UpdatedOn        string            `json:"updatedOn" arm:"readonly"`
	CreatedBy        *string           `json:"createdBy" arm:"readonly,always"`
	UpdatedBy        *string           `json:"updatedBy" arm:"readonly,always"`
	Unknown          armjson.Unknown   `json:"-"`
}

type definition = control.Resource[Definition]

// Azure's limits: custom roles of a tenant, and what is in one.
const (
	maxDefinitions = 5000
	maxScopes      = 2000
	maxPatterns    = 2048 // of all actions together, characters aside
	maxRoleName    = 512
	maxRoleText    = 2048
)

const (
	definitionType = "Microsoft.Authorization/roleDefinitions"
	builtInSince   = "2015-02-02T21:55:09.8806423Z" // when Azure's first built-in roles appeared
)

func (p *provider) registerDefinitions(c *control.Control) {
	control.Register(c, control.Spec[Definition]{
		Type: definitionType, Level: control.Extension,
		Versions: append([]arm.Version{"2022-05-01-preview"}, versions...),
		Async:    control.Async{Create: 201, Update: 201, Echo: true},
		Name: func(name string) *arm.Error {
			if arm.IsGUID(name) {
				return nil
			}
			return arm.Errorf(400, "InvalidRoleDefinitionId", "The role definition ID '%s' is not valid. The role definition ID must be a GUID.", name)
		},
		Validate: validateDefinition,
		Get:      getDefinition,
		Put:      p.putDefinition,
		Delete:   p.removeDefinition,
		List:     p.listDefinitions,
		View: func(_ context.Context, r *control.Read[Definition]) error {
			if r.Written != nil { // the document's own ID is that of the tenant
				r.Resource.ID = RoleDefinitionID(r.Written.Subscription, r.Resource.Name)
			}
			return nil
		},
		Facts:   func(r *definition) map[string]string { return map[string]string{"roleName": r.Properties.RoleName} },
		Missing: func(id arm.ID) *arm.Error { return noDefinition(id.Name()) },
	})
}

func noDefinition(guid string) *arm.Error {
	return arm.Errorf(404, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", strings.ReplaceAll(guid, "-", ""))
}

// place is where a tenant's own role is kept, at whatever scope it was named: its GUID is the tenant's.
func place(tenant, guid string) arm.ID {
	return arm.ID{Tenant: strings.ToLower(tenant), Namespace: "Microsoft.Authorization", Types: []string{"roleDefinitions"}, Names: []string{strings.ToLower(guid)}}
}

// definitionOf reads a tenant's own role; store.ErrNotFound.
func definitionOf(tx store.Tx, tenant, guid string) (*definition, error) {
	return control.Get[Definition](tx, place(tenant, guid))
}

func getDefinition(tx store.Tx, id arm.ID) (*definition, error) {
	if role, ok := rbac.RoleByGUID(id.Name()); ok {
		return shown(id.Subscription, role), nil
	}
	tenant := id.Tenant
	if id.Subscription != "" {
		var err error
		if tenant, err = control.TenantOf(tx, id.Subscription); err != nil {
			return nil, err
		}
	}
	d, err := definitionOf(tx, tenant, id.Name())
	if err == nil {
		d.ID = RoleDefinitionID(id.Subscription, d.Name)
	}
	return d, err
}

// shown gives the definition as Azure does: the ID is that of the subscription, at whatever scope it was asked for.
func shown(subscription string, role rbac.Role) *definition {
	r := &definition{Name: role.GUID, ID: RoleDefinitionID(subscription, role.GUID), Type: definitionType}
	r.Properties = Definition{RoleName: role.Name, RoleType: "BuiltInRole", Description: role.Description,
		AssignableScopes: []string{"/"}, CreatedOn: builtInSince, UpdatedOn: builtInSince, Permissions: role.Permissions}
	r.Properties.Permissions = whole(role.Permissions)
	return r
}

// whole gives every list of a permission a value: Azure sends empty lists.
func whole(list []rbac.Permission) []rbac.Permission {
	out := make([]rbac.Permission, len(list))
	for i, p := range list {
		out[i] = rbac.Permission{Actions: some(p.Actions), NotActions: some(p.NotActions), DataActions: some(p.DataActions),
			NotDataActions: some(p.NotDataActions), Condition: p.Condition, Version: p.Version}
	}
	return out
}

func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// validateDefinition finds the faults that need no look at anything else.
func validateDefinition(r *definition) []*arm.Error {
	p := &r.Properties
	var faults []*arm.Error
	fault := func(code, target, format string, args ...any) {
		faults = append(faults, arm.Errorf(400, code, format, args...).At(target))
	}
	if n := utf8.RuneCountInString(p.RoleName); strings.TrimSpace(p.RoleName) == "" || n > maxRoleName {
		fault("InvalidRoleDefinitionName", "properties.roleName", "A role name has 1 to %d characters.", maxRoleName)
	}
	if utf8.RuneCountInString(p.Description) > maxRoleText {
		fault("InvalidRoleDefinitionDescription", "properties.description", "A role's description has at most %d characters.", maxRoleText)
	}
	if n := len(p.AssignableScopes); n == 0 || n > maxScopes {
		fault("InvalidAssignableScopes", "properties.assignableScopes", "A custom role has 1 to %d assignable scopes.", maxScopes)
	}
	n := 0
	for _, b := range p.Permissions {
		if b.Condition != "" {
			fault("InvalidRoleDefinitionCondition", "properties.permissions", "Only built-in roles have conditions in their permissions; put it on the role assignment.")
		}
		for _, a := range slices.Concat(b.Actions, b.NotActions, b.DataActions, b.NotDataActions) {
			n++
			if !validPattern(a) {
				fault("InvalidActionOrNotAction", "properties.permissions", "'%.100s' does not match any of the actions supported by the providers.", a)
			}
		}
	}
	if n == 0 || n > maxPatterns {
		fault("InvalidRoleDefinitionPermissions", "properties.permissions", "A custom role names 1 to %d actions.", maxPatterns)
	}
	return faults
}

// validPattern takes "*", "*/read" and everything below a provider: an action has no other characters.
func validPattern(s string) bool {
	if s == "*" {
		return true
	}
	ok := strings.Contains(s, "/") && len(s) <= 512
	for _, r := range s {
		ok = ok && (r == '/' || r == '.' || r == '*' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	return ok
}

// putDefinition writes a tenant's own role. The writer needs the right at every scope where it may be assigned.
func (p *provider) putDefinition(_ context.Context, w *control.Write[Definition]) error {
	tenant, props := w.Caller.Primary.TenantID, &w.New.Properties
	if _, ok := rbac.RoleByGUID(w.ID.Name()); ok {
		return arm.Errorf(400, "RoleDefinitionUpdateNotPermitted", "The built-in role '%s' cannot be changed.", w.ID.Name())
	}
	if err := p.scopes(w); err != nil {
		return err
	}
	if err := uniqueName(w, tenant); err != nil {
		return err
	}
	if err := p.around(w, tenant); err != nil {
		return err
	}
	at := place(tenant, w.ID.Name())
	w.New.ID, w.New.Name, w.New.Tenant = at.String(), at.Name(), at.Tenant
	props.RoleType, props.Permissions = "CustomRole", whole(props.Permissions)
	stamp, by := w.Now.UTC().Format(stampForm), w.Caller.Primary.ObjectID
	if w.Old == nil {
		props.CreatedOn, props.CreatedBy = stamp, &by
	}
	props.UpdatedOn, props.UpdatedBy = stamp, &by
	return nil
}

func (p *provider) scopes(w *control.Write[Definition]) error {
	old := []string{}
	if w.Old != nil {
		old = w.Old.Properties.AssignableScopes
	}
	for _, s := range slices.Concat(w.New.Properties.AssignableScopes, old) { // also where it was: a change takes rights there
		scope, err := arm.ParseID(s)
		if err != nil || scope.String() == "/" || scope.Scope != "" {
			return arm.Errorf(400, "InvalidAssignableScopes", "The assignable scope '%.300s' of a custom role must be the ID of a management group, a subscription, a resource group or a resource.", s).At("properties.assignableScopes")
		}
		if err := p.rbac.Check(w.Tx, w.Caller.Primary, definitionType+"/write", scope.In(w.Caller.Primary.TenantID)); err != nil {
			return err
		}
	}
	return nil
}

func uniqueName(w *control.Write[Definition], tenant string) error {
	all, err := own(w.Tx, tenant)
	if err != nil {
		return err
	}
	_, taken := rbac.RoleByName(w.New.Properties.RoleName)
	for _, r := range all {
		taken = taken || strings.EqualFold(r.Properties.RoleName, w.New.Properties.RoleName) && !strings.EqualFold(r.Name, w.ID.Name())
	}
	if taken {
		return arm.Errorf(409, "RoleDefinitionWithSameNameExists", "A custom role with the same name already exists in this directory. Use a different name.")
	}
	if w.Old == nil && len(all) >= maxDefinitions {
		return arm.Errorf(400, "RoleDefinitionLimitExceeded", "Role definition limit exceeded. No more role definitions can be created.")
	}
	return nil
}

// own lists a tenant's custom roles.
func own(tx store.Tx, tenant string) ([]*definition, error) {
	return control.Select[Definition](tx, store.Query{Kind: rbac.DefinitionKind, Prefix: place(tenant, "").Key()})
}

func (p *provider) removeDefinition(_ context.Context, w *control.Write[Definition]) error {
	guid := strings.ToLower(w.ID.Name())
	if _, ok := rbac.RoleByGUID(guid); ok {
		return arm.Errorf(400, "RoleDefinitionDeleteNotPermitted", "The built-in role '%s' cannot be deleted.", guid)
	}
	for _, s := range w.Old.Properties.AssignableScopes {
		scope, err := arm.ParseID(s)
		if err != nil {
			return err
		}
		if err := p.rbac.Check(w.Tx, w.Caller.Primary, definitionType+"/delete", scope.In(w.Caller.Primary.TenantID)); err != nil {
			return err
		}
	}
	used, err := assigned(w.Tx, w.Caller.Primary.TenantID, guid)
	if err != nil {
		return err
	}
	if len(used) > 0 {
		return inUse()
	}
	w.ID = place(w.Caller.Primary.TenantID, guid)
	return nil
}

func inUse() *arm.Error {
	return arm.Errorf(400, "RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).")
}

// assigned lists the scopes at which a tenant's own role is assigned. Another tenant's role may have the same GUID.
func assigned(tx store.Tx, tenant, guid string) (scopes []string, err error) {
	used, err := control.Select[Assignment](tx, store.Query{Kind: rbac.AssignmentKind, Any: []string{rbac.RoleTerm(guid)}})
	for _, r := range used {
		if strings.EqualFold(r.Properties.Tenant, tenant) {
			scopes = append(scopes, r.Properties.Scope)
		}
	}
	return scopes, err
}

// around refuses scopes that leave an assignment of the role outside: who may write the role at the scopes that are left would
// change rights where it may not.
func (p *provider) around(w *control.Write[Definition], tenant string) error {
	if w.Old == nil {
		return nil
	}
	at, err := assigned(w.Tx, tenant, strings.ToLower(w.ID.Name()))
	if err != nil {
		return err
	}
	for _, s := range at {
		scope, err := arm.ParseID(s)
		if err != nil {
			return err
		}
		chain, err := p.chain(w.Tx, tenant, scope.In(tenant))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(w.New.Properties.AssignableScopes, func(s string) bool { return slices.Contains(chain, rbac.ScopeKey(s, tenant)) }) {
			return inUse()
		}
	}
	return nil
}

type definitionFilter struct {
	name, typ string
	below     bool
}

func parseDefinitionFilter(text string) (definitionFilter, error) {
	var f definitionFilter
	for _, term := range strings.Split(text, " and ") {
		term = strings.TrimSpace(term)
		lower := strings.ToLower(term)
		switch {
		case term == "" || lower == "atscope()":
		case lower == "atscopeandbelow()":
			f.below = true
		case strings.HasPrefix(lower, "rolename eq '") && strings.HasSuffix(term, "'"):
			f.name = strings.ReplaceAll(term[len("rolename eq '"):len(term)-1], "''", "'")
		case strings.HasPrefix(lower, "type eq '") && strings.HasSuffix(term, "'"):
			f.typ = term[len("type eq '") : len(term)-1]
		default:
			return f, arm.Errorf(400, "UnsupportedQuery", "The filter '%s' is not supported. Supported filters are 'roleName eq', 'type eq' and 'atScopeAndBelow()'.", text)
		}
	}
	return f, nil
}

// listDefinitions gives the built-in roles and those of the tenant that may be assigned at the scope (or below it).
func (p *provider) listDefinitions(_ context.Context, l *control.Listing) ([]*definition, error) {
	f, err := parseDefinitionFilter(strings.TrimSpace(l.Query.Get("$filter")))
	if err != nil {
		return nil, err
	}
	var found []*definition
	add := func(r *definition) {
		if (f.name == "" || strings.EqualFold(f.name, r.Properties.RoleName)) && (f.typ == "" || strings.EqualFold(f.typ, r.Properties.RoleType)) {
			found = append(found, r)
		}
	}
	for _, role := range rbac.BuiltIn() {
		add(shown(l.Scope.Subscription, role))
	}
	tenant, scope := l.Caller.Primary.TenantID, l.Scope.Parent()
	if err := listable(l.Tx, scope); err != nil {
		return nil, err
	}
	custom, err := own(l.Tx, tenant)
	if err != nil {
		return nil, err
	}
	chain, err := p.chain(l.Tx, tenant, scope)
	if err != nil {
		return nil, err
	}
	for _, r := range custom {
		if slices.ContainsFunc(r.Properties.AssignableScopes, func(s string) bool {
			key := rbac.ScopeKey(s, tenant)
			return slices.Contains(chain, key) || (f.below || scope.Subscription == "") && (strings.HasPrefix(key, scope.Key()+"/") || scope.Subscription == "")
		}) {
			r.ID = RoleDefinitionID(l.Scope.Subscription, r.Name)
			add(r)
		}
	}
	return found, nil
}
