// Package authorization serves Microsoft.Authorization: role assignments and role definitions at any scope.
//
// It owns the documents of role assignments and their rules. It does not decide anything: rbac reads the same documents.
//
//	PUT {scope}/providers/Microsoft.Authorization/roleAssignments/{guid} ─▶ document with rbac's terms ─▶ next request sees it
package authorization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/rbac/condition"
	"vitrine/internal/store"
)

// Principals says what the directory knows of an object ID.
type Principals interface {
	// PrincipalType is "ServicePrincipal", "User" or "Group"; store.ErrNotFound when the tenant has no such object.
	PrincipalType(tx store.Tx, tenant, objectID string) (string, error)
	// MemberOf lists the groups that an object is in, however deep.
	MemberOf(tx store.Tx, tenant, objectID string) ([]string, error)
	// Administrator tells whether an object is a Global Administrator of the tenant, who may elevate its access.
	Administrator(tx store.Tx, tenant, objectID string) (bool, error)
}

const stampForm = "2006-01-02T15:04:05.0000000Z"

// Azure's limits: role assignments in a subscription with all that is in it, and at a management group or the root.
const (
	maxAssignments      = 4000
	maxAssignmentsAbove = 500
)

var versions = []arm.Version{"2022-04-01", "2020-10-01-preview", "2020-04-01-preview", "2018-09-01-preview", "2018-01-01-preview", "2015-07-01"}

// Assignment is the properties of a role assignment. Microsoft.Authorization does send nulls.
type Assignment struct {
	RoleDefinitionID string          `json:"roleDefinitionId" arm:"required"`
	PrincipalID      string          `json:"principalId" arm:"required"`
	PrincipalType    string          `json:"principalType" arm:"enum=User|Group|ServicePrincipal|ForeignGroup|Device"`
	Scope            string          `json:"scope" arm:"readonly"`
	Condition        *string         `json:"condition" arm:"always"`
	ConditionVersion *string         `json:"conditionVersion" arm:"always"`
	CreatedOn        string          `json:"createdOn" arm:"readonly"`
	UpdatedOn        string          `json:"updatedOn" arm:"readonly"`
	CreatedBy        *string         `json:"createdBy" arm:"readonly,always"`
	UpdatedBy        *string         `json:"updatedBy" arm:"readonly,always"`
	Delegated        *string         `json:"delegatedManagedIdentityResourceId" arm:"always"`
	Description      *string         `json:"description" arm:"always"`
	Tenant           string          `json:"tenant" arm:"private"`
	Unknown          armjson.Unknown `json:"-"`
}

// Terms lets rbac find the assignment.
func (a *Assignment) Terms() []string {
	return rbac.Assignment{Principal: a.PrincipalID, Scope: rbac.ScopeKey(a.Scope, a.Tenant), Definition: rbac.GUIDOf(a.RoleDefinitionID)}.Terms()
}

type resource = control.Resource[Assignment]

type provider struct {
	principals Principals
	rbac       *rbac.Engine
}

// Register adds the types of Microsoft.Authorization.
func Register(c *control.Control, principals Principals) {
	p := &provider{principals, c.RBAC()}
	control.Register(c, control.Spec[Assignment]{
		Type: "Microsoft.Authorization/roleAssignments", Level: control.Extension, Versions: versions,
		Async: control.Async{Create: 201, Update: 201, Echo: true},
		Name: func(name string) *arm.Error {
			if arm.IsGUID(name) {
				return nil
			}
			return arm.Errorf(400, "InvalidRoleAssignmentId", "The role assignment ID '%s' is not valid. The role assignment ID must be a GUID.", name)
		},
		Validate:   validate,
		Put:        p.put,
		Delete:     p.remove,
		List:       p.list,
		Attributes: p.attributes,
		View: func(_ context.Context, r *control.Read[Assignment]) error {
			if r.Written != nil {
				r.Resource.Properties.CreatedBy = nil // recorded of the answer to a PUT alone
			}
			return nil
		},
		Facts: func(r *resource) map[string]string {
			p := &r.Properties
			return map[string]string{"principalId": p.PrincipalID, "principalType": p.PrincipalType, "roleDefinitionId": p.RoleDefinitionID, "scope": p.Scope}
		},
		Missing: func(id arm.ID) *arm.Error {
			return arm.Errorf(404, "RoleAssignmentNotFound", "The role assignment '%s' is not found.", strings.ReplaceAll(id.Name(), "-", ""))
		},
	})
	p.registerDefinitions(c)
	p.registerDenies(c)
	registerLocks(c)
	p.routes(c)
}

// validate finds the faults that need no look at anything else.
func validate(r *resource) []*arm.Error {
	var faults []*arm.Error
	p := &r.Properties
	if guid := p.RoleDefinitionID[strings.LastIndexByte(p.RoleDefinitionID, '/')+1:]; !arm.IsGUID(guid) {
		faults = append(faults, arm.Errorf(400, "InvalidRoleDefinitionId", "The role definition ID '%s' is not valid. The role definition ID must be a GUID.", guid))
	}
	if !arm.IsGUID(p.PrincipalID) {
		faults = append(faults, arm.Errorf(400, "InvalidPrincipalId", "A valid principal ID must be provided for role assignment."))
	}
	return append(faults, validateCondition(p)...)
}

// validateCondition reads the condition: one that does not parse would never hold, so it is refused while somebody can see.
func validateCondition(p *Assignment) []*arm.Error {
	if p.Condition == nil || strings.TrimSpace(*p.Condition) == "" {
		p.Condition, p.ConditionVersion = nil, nil
		return nil
	}
	if p.ConditionVersion == nil || *p.ConditionVersion != "2.0" {
		return []*arm.Error{arm.Errorf(400, "InvalidConditionVersion", "The condition version of a role assignment with a condition must be '2.0'.").At("properties.conditionVersion")}
	}
	if _, err := condition.Parse(*p.Condition); err != nil {
		return []*arm.Error{arm.Errorf(400, "InvalidCondition", "The given role assignment condition is invalid: %s.", err).At("properties.condition")}
	}
	return nil
}

func (p *provider) put(_ context.Context, w *control.Write[Assignment]) error {
	scope := w.ID.Parent()
	props := &w.New.Properties
	props.Scope, props.Tenant = scope.String(), w.Caller.Primary.TenantID
	if err := scopeExists(w.Tx, scope); err != nil {
		return err
	}
	if err := p.assignable(w, scope); err != nil {
		return err
	}
	if err := unique(w, scope); err != nil {
		return err
	}
	if err := p.checkPrincipal(w); err != nil {
		return err
	}
	stamp := w.Now.UTC().Format(stampForm)
	by := w.Caller.Primary.ObjectID
	if w.Old == nil {
		props.CreatedOn, props.CreatedBy = stamp, &by
	}
	props.UpdatedOn, props.UpdatedBy = stamp, &by
	return nil
}

// assignable finds the role, and checks that it may be assigned at the scope.
func (p *provider) assignable(w *control.Write[Assignment], scope arm.ID) error {
	guid, tenant := rbac.GUIDOf(w.New.Properties.RoleDefinitionID), w.Caller.Primary.TenantID
	if _, ok := rbac.RoleByGUID(guid); ok {
		return nil
	}
	d, err := definitionOf(w.Tx, tenant, guid)
	if errors.Is(err, store.ErrNotFound) {
		return noDefinition(guid)
	}
	if err != nil {
		return err
	}
	chain, err := p.chain(w.Tx, tenant, scope)
	if err != nil {
		return err
	}
	for _, s := range d.Properties.AssignableScopes {
		if slices.Contains(chain, rbac.ScopeKey(s, tenant)) {
			return nil
		}
	}
	return arm.Errorf(400, "RoleAssignmentScopeNotAssignableToRoleDefinition", "The role assignment scope '%s' must match the assignable scopes of the role definition '%s'.", scope, strings.ReplaceAll(guid, "-", ""))
}

// chain lists the keys of a scope and of everything above it, management groups too.
func (p *provider) chain(tx store.Tx, tenant string, scope arm.ID) ([]string, error) {
	key := scope.Key()
	if scope.Subscription != "" {
		key = arm.ID{Subscription: scope.Subscription}.Key()
	}
	above, err := p.rbac.Above(tx, tenant, key)
	return append(scope.Scopes(), above...), err
}

// attributes lets conditions ask whom a request gives which role, or what the assignment is that it deletes.
func (p *provider) attributes(tx store.Tx, id arm.ID, body []byte) rbac.Attributes {
	const prefix = "microsoft.authorization/roleassignments:"
	describe := func(a Assignment) map[string][]string {
		m := map[string][]string{prefix + "roledefinitionid": {rbac.GUIDOf(a.RoleDefinitionID)}, prefix + "principalid": {strings.ToLower(a.PrincipalID)}}
		if a.PrincipalType != "" {
			m[prefix+"principaltype"] = []string{a.PrincipalType}
		}
		return m
	}
	var out rbac.Attributes
	var asked struct{ Properties Assignment }
	if len(body) > 0 && json.Unmarshal(body, &asked) == nil {
		a := asked.Properties
		tenant := id.Tenant
		if id.Subscription != "" {
			tenant, _ = control.TenantOf(tx, id.Subscription) // unknown: no type, and a condition on it does not hold
		}
		a.PrincipalType, _ = p.principals.PrincipalType(tx, tenant, strings.ToLower(a.PrincipalID)) // what the directory says, not what is claimed
		out.Request = describe(a)
	}
	if old, err := control.Get[Assignment](tx, id); err == nil {
		out.Resource = describe(old.Properties)
	}
	return out
}

// remove keeps the last one who can assign roles in a subscription: nobody could let anybody in again.
func (p *provider) remove(_ context.Context, w *control.Write[Assignment]) error {
	scope := w.ID.Parent()
	if scope.Subscription == "" || scope.ResourceGroup != "" || scope.Namespace != "" {
		return nil
	}
	last, err := p.rbac.LastAdministrator(w.Tx, w.Caller.Primary.TenantID, scope, w.Old.ID)
	if err == nil && last {
		return arm.Errorf(400, "LastRbacAdminAssignment", "Cannot delete the last RBAC admin assignment.")
	}
	return err
}

func scopeExists(tx store.Tx, scope arm.ID) error {
	if scope.String() == "/" || scope.Key() == rbac.ManagementGroupKey(scope.Tenant, scope.Tenant) { // these are always there
		return nil
	}
	if _, err := tx.Get(scope.Key()); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	} else if err != nil {
		if scope.ResourceGroup != "" && scope.Namespace == "" {
			return arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", scope.ResourceGroup)
		}
		return arm.Errorf(404, "ResourceNotFound", "The Resource '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", scope)
	}
	return nil
}

// listable refuses a list at what is outside subscriptions and not there, such as another tenant's management group: the root above it
// would answer in its name. In a subscription the right to read it comes first, and there a list may be asked for what is gone.
func listable(tx store.Tx, scope arm.ID) error {
	if scope.Subscription != "" {
		return nil
	}
	return scopeExists(tx, scope)
}

// unique refuses a second assignment of the same, the reuse of a name for another, and too many.
func unique(w *control.Write[Assignment], scope arm.ID) error {
	if w.Old != nil {
		old, next := w.Old.Properties, w.New.Properties
		if !strings.EqualFold(old.PrincipalID, next.PrincipalID) || !sameRole(old, next) {
			return arm.Errorf(400, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
		}
		return nil
	}
	held, err := control.Select[Assignment](w.Tx, store.Query{Kind: rbac.AssignmentKind, Any: []string{rbac.PrincipalTerm(w.New.Properties.PrincipalID)}})
	if err != nil {
		return err
	}
	for _, r := range held {
		if strings.EqualFold(r.Properties.Scope, scope.String()) && sameRole(r.Properties, w.New.Properties) {
			return arm.Errorf(409, "RoleAssignmentExists", "The role assignment already exists. The ID of the conflicting role assignment is %s.", strings.ReplaceAll(r.Name, "-", ""))
		}
	}
	q, limit := store.Query{Kind: rbac.AssignmentKind, Any: []string{rbac.ScopeTerm(scope.Key())}}, maxAssignmentsAbove
	if scope.Subscription != "" {
		q, limit = store.Query{Kind: rbac.AssignmentKind, Prefix: arm.ID{Subscription: scope.Subscription}.Key() + "/"}, maxAssignments
	}
	q.Limit = limit
	all, err := w.Tx.List(q)
	if err == nil && len(all) == limit {
		return arm.Errorf(400, "RoleAssignmentLimitExceeded", "No more role assignments can be created: the number of role assignments exceeded the limit of %d.", limit)
	}
	return err
}

func sameRole(a, b Assignment) bool {
	return strings.EqualFold(last(a.RoleDefinitionID), last(b.RoleDefinitionID))
}

func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// checkPrincipal: az retries PrincipalNotFound every 5 s, since the directory of Azure lags.
func (p *provider) checkPrincipal(w *control.Write[Assignment]) error {
	props, tenant := &w.New.Properties, w.Caller.Primary.TenantID
	typ, err := p.principals.PrincipalType(w.Tx, tenant, strings.ToLower(props.PrincipalID))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil {
		return arm.Errorf(400, "PrincipalNotFound", "Principal %s does not exist in the directory %s. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
			strings.ReplaceAll(props.PrincipalID, "-", ""), tenant)
	}
	if props.PrincipalType != "" && props.PrincipalType != typ {
		return arm.Errorf(400, "UnmatchedPrincipalType", "The PrincipalId '%s' has type '%s' , which is different from specified PrinciaplType '%s'.",
			strings.ReplaceAll(props.PrincipalID, "-", ""), typ, props.PrincipalType)
	}
	props.PrincipalType = typ
	return nil
}

// list knows the filters that clients send: atScope() (at and above), principalId eq and assignedTo, which follows groups (at,
// above and below).
func (p *provider) list(_ context.Context, l *control.Listing) ([]*resource, error) {
	f, err := parseFilter(l.Query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	who := []string{strings.ToLower(f.principal)}
	if f.groups {
		groups, err := p.principals.MemberOf(l.Tx, l.Caller.Primary.TenantID, who[0])
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		who = append(who, groups...)
	}
	found, err := atAndBelow[Assignment](p, l, rbac.AssignmentKind, f.atScope)
	if err != nil {
		return nil, err
	}
	var kept []*resource
	for _, r := range found {
		if f.principal == "" || slices.Contains(who, strings.ToLower(r.Properties.PrincipalID)) {
			// The role is named as the place that is asked names it: az looks the ID up in that place's own list of roles.
			r.Properties.RoleDefinitionID = RoleDefinitionID(l.Scope.Subscription, rbac.GUIDOf(r.Properties.RoleDefinitionID))
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// atAndBelow lists what is assigned at the scope of a list and above it and, without atScope, in what is below it, each once.
func atAndBelow[T any](p *provider, l *control.Listing, kind string, atScope bool) ([]*control.Resource[T], error) {
	scope := l.Scope.Parent() // l.Scope ends in the namespace of the collection
	if err := listable(l.Tx, scope); err != nil {
		return nil, err
	}
	chain, err := p.chain(l.Tx, l.Caller.Primary.TenantID, scope)
	if err != nil {
		return nil, err
	}
	var at []string
	for _, s := range chain {
		at = append(at, rbac.ScopeTerm(s))
	}
	found, err := control.Select[T](l.Tx, store.Query{Kind: kind, Any: at})
	if err != nil || atScope {
		return found, err
	}
	seen := map[string]bool{}
	for _, r := range found {
		seen[r.ParsedID().Key()] = true
	}
	below, err := control.Select[T](l.Tx, store.Query{Kind: kind, Prefix: strings.TrimSuffix(scope.Key(), "/") + "/"})
	for _, r := range below {
		if !seen[r.ParsedID().Key()] {
			found = append(found, r)
		}
	}
	return found, err
}

type filter struct {
	atScope   bool
	principal string
	groups    bool // of the principal count too
}

func parseFilter(text string) (filter, error) {
	var f filter
	for _, term := range strings.Split(text, " and ") {
		term = strings.TrimSpace(term)
		lower := strings.ToLower(term)
		switch {
		case term == "":
		case lower == "atscope()":
			f.atScope = true
		case strings.HasPrefix(lower, "principalid eq '") && strings.HasSuffix(term, "'"):
			f.principal = term[len("principalid eq '") : len(term)-1]
		case strings.HasPrefix(lower, "assignedto('") && strings.HasSuffix(term, "')"):
			f.principal, f.groups = term[len("assignedto('"):len(term)-2], true
		default:
			return f, arm.Errorf(400, "UnsupportedQuery", "The filter '%s' is not supported. Supported filters are either 'atScope()' or 'principalId eq '{value}'' or 'assignedTo('{value}')'.", text)
		}
	}
	return f, nil
}

// RoleDefinitionID is the full ID of a built-in role as it is written in assignments of a subscription.
func RoleDefinitionID(subscription, guid string) string {
	prefix := ""
	if subscription != "" {
		prefix = "/subscriptions/" + subscription
	}
	return fmt.Sprintf("%s/providers/Microsoft.Authorization/roleDefinitions/%s", prefix, guid)
}

// Grant writes a role assignment of a service principal without a request: the operator's way to give a new subscription
// its first Owner, before anybody could ask.
func Grant(tx store.Tx, scope arm.ID, roleGUID, principal string, now time.Time) error {
	return GrantTo(tx, scope, roleGUID, authn.Principal{ObjectID: principal, TenantID: scope.Tenant, Kind: authn.ServicePrincipal}, now)
}

// GrantTo is Grant for a principal of any kind. A scope outside subscriptions is the principal's tenant's.
func GrantTo(tx store.Tx, scope arm.ID, roleGUID string, p authn.Principal, now time.Time) error {
	id, err := arm.ParseID(strings.TrimSuffix(scope.String(), "/") + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString())
	if err != nil {
		return err
	}
	if scope.Subscription == "" {
		id.Tenant = strings.ToLower(p.TenantID)
	}
	r := control.Make[Assignment](id, "", now)
	stamp := now.UTC().Format(stampForm)
	r.Properties = Assignment{RoleDefinitionID: RoleDefinitionID(scope.Subscription, roleGUID), PrincipalID: p.ObjectID,
		PrincipalType: string(p.Kind), Scope: scope.String(), Tenant: p.TenantID, CreatedOn: stamp, UpdatedOn: stamp}
	return control.Save(tx, r)
}
