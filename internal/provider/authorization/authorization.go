// Package authorization serves Microsoft.Authorization: role assignments and role definitions at any scope.
//
// It owns the documents of role assignments and their rules. It does not decide anything: rbac reads the same documents.
//
//	PUT {scope}/providers/Microsoft.Authorization/roleAssignments/{guid} ─▶ document with rbac's terms ─▶ next request sees it
package authorization

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Principals says what the directory knows of an object ID.
type Principals interface {
	// PrincipalType is "ServicePrincipal" or "User"; store.ErrNotFound when the tenant has no such object.
	PrincipalType(tx store.Tx, tenant, objectID string) (string, error)
}

const stampForm = "2006-01-02T15:04:05.0000000Z"

// maxAssignments is Azure's limit per subscription.
const maxAssignments = 4000

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
	Unknown          armjson.Unknown `json:"-"`
}

// Terms lets rbac find the assignment.
func (a *Assignment) Terms() []string {
	return rbac.Assignment{Principal: a.PrincipalID, Scope: strings.ToLower(a.Scope)}.Terms()
}

type resource = control.Resource[Assignment]

type provider struct{ principals Principals }

// Register adds the types of Microsoft.Authorization.
func Register(c *control.Control, principals Principals) {
	p := &provider{principals}
	control.Register(c, control.Spec[Assignment]{
		Type: "Microsoft.Authorization/roleAssignments", Level: control.Extension, Versions: versions,
		Async: control.Async{Create: 201, Update: 201, Echo: true},
		Name: func(name string) *arm.Error {
			if arm.IsGUID(name) {
				return nil
			}
			return arm.Errorf(400, "InvalidRoleAssignmentId", "The role assignment ID '%s' is not valid. The role assignment ID must be a GUID.", name)
		},
		Validate: validate,
		Put:      p.put,
		Delete:   func(context.Context, *control.Write[Assignment]) error { return nil },
		List:     list,
	})
	registerDefinitions(c)
}

// validate finds the faults that need no look at anything else. Conditions are refused by name: a condition that is not
// evaluated would grant more than it says.
func validate(r *resource) []*arm.Error {
	var faults []*arm.Error
	p := &r.Properties
	guid := p.RoleDefinitionID[strings.LastIndexByte(p.RoleDefinitionID, '/')+1:]
	if _, ok := rbac.RoleByGUID(guid); !ok {
		if !arm.IsGUID(guid) {
			faults = append(faults, arm.Errorf(400, "InvalidRoleDefinitionId", "The role definition ID '%s' is not valid. The role definition ID must be a GUID.", guid))
		} else {
			faults = append(faults, arm.Errorf(404, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", strings.ReplaceAll(guid, "-", "")))
		}
	}
	if !arm.IsGUID(p.PrincipalID) {
		faults = append(faults, arm.Errorf(400, "InvalidPrincipalId", "A valid principal ID must be provided for role assignment."))
	}
	if p.Condition != nil && *p.Condition != "" {
		faults = append(faults, arm.Errorf(400, "RoleAssignmentConditionNotSupported", "Conditions on role assignments are not supported here yet; an assignment without its condition would grant more than asked.").At("properties.condition"))
	}
	return faults
}

func (p *provider) put(_ context.Context, w *control.Write[Assignment]) error {
	scope := w.ID.Parent()
	props := &w.New.Properties
	props.Scope = scope.String()
	if err := scopeExists(w.Tx, scope); err != nil {
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

func scopeExists(tx store.Tx, scope arm.ID) error {
	if scope.String() == "/" {
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
	if scope.Subscription == "" {
		return nil
	}
	all, err := w.Tx.List(store.Query{Kind: rbac.AssignmentKind, Prefix: arm.ID{Subscription: scope.Subscription}.Key() + "/", Limit: maxAssignments})
	if err == nil && len(all) == maxAssignments {
		return arm.Errorf(400, "RoleAssignmentLimitExceeded", "The number of role assignments exceeded the limit of %d.", maxAssignments)
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

// list knows the filters that clients send: atScope() (at and above), principalId eq and assignedTo (at, above and below).
func list(_ context.Context, l *control.Listing) ([]*resource, error) {
	f, err := parseFilter(l.Query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	var at []string
	scope := l.Scope.Parent() // l.Scope ends in the namespace of the collection
	for _, s := range scope.Scopes() {
		at = append(at, rbac.ScopeTerm(s))
	}
	found, err := control.Select[Assignment](l.Tx, store.Query{Kind: rbac.AssignmentKind, Any: at})
	if err != nil {
		return nil, err
	}
	if !f.atScope {
		below, err := control.Select[Assignment](l.Tx, store.Query{Kind: rbac.AssignmentKind, Prefix: strings.TrimSuffix(scope.Key(), "/") + "/"})
		if err != nil {
			return nil, err
		}
		found = append(found, below...)
	}
	seen := map[string]bool{}
	var kept []*resource
	for _, r := range found {
		if key := strings.ToLower(r.ID); !seen[key] && (f.principal == "" || strings.EqualFold(f.principal, r.Properties.PrincipalID)) {
			seen[key] = true
			kept = append(kept, r)
		}
	}
	return kept, nil
}

type filter struct {
	atScope   bool
	principal string
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
			f.principal = term[len("assignedto('") : len(term)-2]
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
	id, err := arm.ParseID(strings.TrimSuffix(scope.String(), "/") + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString())
	if err != nil {
		return err
	}
	r := control.Make[Assignment](id, "", now)
	stamp := now.UTC().Format(stampForm)
	r.Properties = Assignment{RoleDefinitionID: RoleDefinitionID(scope.Subscription, roleGUID), PrincipalID: principal,
		PrincipalType: "ServicePrincipal", Scope: scope.String(), CreatedOn: stamp, UpdatedOn: stamp}
	return control.Save(tx, r)
}
