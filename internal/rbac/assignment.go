package rbac

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/rbac/condition"
	"vitrine/internal/store"
)

// The store's kinds of what a decision reads; their documents are written by the providers.
const (
	AssignmentKind = "microsoft.authorization/roleassignments"
	DefinitionKind = "microsoft.authorization/roledefinitions"
	DenyKind       = "microsoft.authorization/denyassignments"
	LockKind       = "microsoft.authorization/locks"
	GroupKind      = "microsoft.management/managementgroups"
	MemberKind     = "microsoft.management/managementgroups/subscriptions"
)

// Kinds are those of the documents that hang on a scope and go with it.
func Kinds() []string { return []string{AssignmentKind, DenyKind, LockKind} }

// Everyone is the principal of a deny assignment that stands for all of a tenant.
const Everyone = "00000000-0000-0000-0000-000000000000"

// Assignment is what a decision needs of a role assignment.
type Assignment struct {
	ID         string
	Principal  string // object ID, lower case
	Scope      string // key of the scope
	Definition string // GUID of the role definition

	at          string // the scope as it is written
	conditional bool
	condition   *condition.Expr
	text        string
}

// Terms gives the index terms that an assignment's document must carry to be found.
func (a Assignment) Terms() []string {
	return []string{PrincipalTerm(a.Principal), ScopeTerm(a.Scope), RoleTerm(a.Definition)}
}

// ScopeTerm is the index term of all assignments at exactly this scope (its key). A key may be longer than a term.
func ScopeTerm(key string) string {
	if term := "at:" + key; len(term) <= store.MaxTerm {
		return term
	}
	sum := sha256.Sum256([]byte(key))
	return "at#" + hex.EncodeToString(sum[:])
}

// PrincipalTerm is the index term of all assignments of a principal.
func PrincipalTerm(objectID string) string { return "principal:" + strings.ToLower(objectID) }

// RoleTerm is the index term of all assignments of a role.
func RoleTerm(guid string) string { return "role:" + strings.ToLower(guid) }

// ScopeKey is the key of a scope that is written as a path, in a tenant.
func ScopeKey(scope, tenant string) string {
	key := strings.ToLower(scope)
	if key == "" || strings.HasPrefix(key, "/subscriptions/") {
		return key
	}
	return "/tenants/" + strings.ToLower(tenant) + strings.TrimSuffix(key, "/")
}

// GUIDOf is the last part of a role definition's ID, lower case.
func GUIDOf(definition string) string {
	return strings.ToLower(definition[strings.LastIndexByte(definition, '/')+1:])
}

type document struct {
	ID         string
	OfTenant   string
	Properties struct {
		RoleDefinitionID, PrincipalID, PrincipalType, Scope string
		Condition                                           *string
		// of deny assignments
		DenyAssignmentName            string
		Permissions                   []Permission
		DoNotApplyToChildScopes       bool
		Principals, ExcludePrincipals []struct{ ID string }
	}
}

func read(d store.Document) (document, error) {
	var body document
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return body, fmt.Errorf("document %s: %w", d.Key, err)
	}
	return body, nil
}

// parseAssignment reads a document; tenant is whose a scope outside subscriptions is, if the document does not say.
func parseAssignment(d store.Document, tenant string) (Assignment, error) {
	body, err := read(d)
	if err != nil {
		return Assignment{}, err
	}
	p := body.Properties
	if body.OfTenant != "" {
		tenant = body.OfTenant
	}
	if body.ID == "" {
		body.ID = d.Key
	}
	a := Assignment{ID: body.ID, Principal: strings.ToLower(p.PrincipalID), Scope: ScopeKey(p.Scope, tenant), at: p.Scope, Definition: GUIDOf(p.RoleDefinitionID)}
	if p.Condition != nil && strings.TrimSpace(*p.Condition) != "" {
		a.conditional, a.text = true, *p.Condition
		a.condition, _ = condition.Parse(*p.Condition) // what cannot be read never holds
	}
	return a, nil
}

// Deny is what a decision needs of a deny assignment.
type Deny struct {
	ID, Name, Scope string
	at              string    // the scope as it is written
	role            *compiled // its permissions, read the same way
	exact           bool      // does not apply to child scopes
	who, except     []string
}

func parseDeny(d store.Document, tenant string) (Deny, error) {
	body, err := read(d)
	if err != nil {
		return Deny{}, err
	}
	if body.OfTenant != "" {
		tenant = body.OfTenant
	}
	p := body.Properties
	n := Deny{ID: body.ID, Name: p.DenyAssignmentName, Scope: ScopeKey(p.Scope, tenant), at: p.Scope, exact: p.DoNotApplyToChildScopes,
		role: compile(Role{Permissions: p.Permissions})}
	for _, x := range p.Principals {
		n.who = append(n.who, strings.ToLower(x.ID))
	}
	for _, x := range p.ExcludePrincipals {
		n.except = append(n.except, strings.ToLower(x.ID))
	}
	return n, nil
}

// Attributes is what conditions may ask about a request: names in lower case, "microsoft.authorization/roleassignments:principalid".
type Attributes struct {
	Request, Resource map[string][]string
	Sub               string // the action's sub-operation, "Blob.List"
}

// of answers an attribute: those given, else the names in the scope's ID ("…/galleries:name" is the gallery's name).
func (a Attributes) of(asked condition.Attribute, scope arm.ID) ([]string, bool) {
	from := a.Request
	switch asked.Source {
	case "resource":
		if v, ok := a.Resource[asked.Name]; ok {
			return v, true
		}
		return nameIn(scope, asked.Name)
	case "request":
	default:
		return nil, false
	}
	v, ok := from[asked.Name]
	return v, ok
}

func nameIn(scope arm.ID, attribute string) ([]string, bool) {
	typ, ok := strings.CutSuffix(attribute, ":name")
	if !ok {
		return nil, false
	}
	for cur := scope; cur.String() != "/"; cur = cur.Parent() {
		if len(cur.Names) > 0 || cur.Namespace == "" {
			if strings.EqualFold(cur.Type(), typ) {
				return []string{cur.Name()}, true
			}
		}
	}
	return nil, false
}
