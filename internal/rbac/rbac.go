package rbac

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
)

// AssignmentKind is the store's kind of role assignments; their documents are written by provider/authorization.
const AssignmentKind = "microsoft.authorization/roleassignments"

// Assignment is what a decision needs of a role assignment.
type Assignment struct {
	ID         string
	Principal  string // object ID, lower case
	Scope      string // key of the scope
	Definition string // GUID of the role definition
}

// Terms gives the index terms that an assignment's document must carry to be found.
func (a Assignment) Terms() []string {
	return []string{PrincipalTerm(a.Principal), ScopeTerm(a.Scope)}
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

// Engine decides.
type Engine struct {
	tenantOf func(tx store.Tx, subscription string) (string, error)
	roles    map[string]Role
}

// New makes an engine. tenantOf says which tenant owns a subscription, or store.ErrNotFound.
func New(tenantOf func(tx store.Tx, subscription string) (string, error)) *Engine {
	roles := map[string]Role{}
	for _, r := range BuiltIn() {
		roles[r.GUID] = r
	}
	return &Engine{tenantOf: tenantOf, roles: roles}
}

// Grants is everything a principal holds.
type Grants struct {
	list  []Assignment
	roles map[string]Role
}

// Grants reads what a principal holds, in one indexed read.
func (e *Engine) Grants(tx store.Tx, p authn.Principal) (*Grants, error) {
	docs, err := tx.List(store.Query{Kind: AssignmentKind, Any: []string{PrincipalTerm(p.ObjectID)}})
	if err != nil {
		return nil, err
	}
	g := &Grants{roles: e.roles}
	for _, d := range docs {
		a, err := parseAssignment(d)
		if err != nil {
			return nil, err
		}
		g.list = append(g.list, a)
	}
	return g, nil
}

func parseAssignment(d store.Document) (Assignment, error) {
	var body struct {
		Properties struct{ RoleDefinitionID, PrincipalID, Scope string }
	}
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return Assignment{}, fmt.Errorf("role assignment %s: %w", d.Key, err)
	}
	p := body.Properties
	return Assignment{ID: d.Key, Principal: strings.ToLower(p.PrincipalID), Scope: strings.ToLower(p.Scope),
		Definition: strings.ToLower(p.RoleDefinitionID[strings.LastIndexByte(p.RoleDefinitionID, '/')+1:])}, nil
}

// Allows tells whether a grant at the scope or above it gives the action.
func (g *Grants) Allows(action string, scope arm.ID) bool {
	key := scope.Key()
	for _, a := range g.list {
		if covers(a.Scope, key) && g.roles[a.Definition].Allows(action) {
			return true
		}
	}
	return false
}

// Within tells whether the principal holds anything at the scope, above or below it.
func (g *Grants) Within(scope arm.ID) bool {
	key := scope.Key()
	for _, a := range g.list {
		if covers(a.Scope, key) || covers(key, a.Scope) {
			return true
		}
	}
	return false
}

// covers tells whether outer is inner or holds it. An empty scope is nobody's and holds nothing.
func covers(outer, inner string) bool {
	return outer == "/" || outer != "" && (inner == outer || strings.HasPrefix(inner, outer+"/"))
}

// Check answers nil or Azure's AuthorizationFailed. It says nothing about whether the scope exists.
func (e *Engine) Check(tx store.Tx, p authn.Principal, action string, scope arm.ID) error {
	allowed, err := e.allowed(tx, p, action, scope)
	if err != nil || allowed {
		return err
	}
	return arm.Errorf(403, "AuthorizationFailed",
		"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		p.Client(), p.ObjectID, action, scope)
}

func (e *Engine) allowed(tx store.Tx, p authn.Principal, action string, scope arm.ID) (bool, error) {
	if scope.Subscription != "" { // a principal holds rights in its own tenant only
		tenant, err := e.tenantOf(tx, scope.Subscription)
		if errors.Is(err, store.ErrNotFound) || err == nil && !strings.EqualFold(tenant, p.TenantID) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	g, err := e.Grants(tx, p)
	if err != nil {
		return false, err
	}
	return g.Allows(action, scope), nil
}

// Link is another resource that a written one leans on, and the action on it that the writer must hold.
type Link struct {
	ID     arm.ID
	Action string
}

// Linked checks the links of a resource that the caller may write by action. Each link is judged as the principal of the
// tenant that owns it; the wordings are those that clients parse (errors.md 5, A and B).
func (e *Engine) Linked(tx store.Tx, caller authn.Caller, written arm.ID, action string, links []Link) error {
	var lacking []Link
	for _, l := range links {
		tenant, err := e.tenantOf(tx, l.ID.Subscription)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		p, ok := caller.In(tenant)
		if !ok || err != nil {
			return arm.Errorf(403, "LinkedAuthorizationFailed",
				"The client has permission to perform action '%s' on scope '%s', however the current tenant '%s' is not authorized to access linked subscription '%s'.",
				l.Action, written, caller.Primary.TenantID, l.ID.Subscription)
		}
		allowed, err := e.allowed(tx, p, l.Action, l.ID)
		if err != nil {
			return err
		}
		if !allowed {
			lacking = append(lacking, l)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return lackingError(caller.Primary, written, action, lacking)
}

func lackingError(p authn.Principal, written arm.ID, action string, lacking []Link) error {
	var actions, scopes []string
	for _, l := range lacking {
		actions, scopes = append(actions, l.Action), append(scopes, l.ID.String())
	}
	return arm.Errorf(403, "LinkedAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		p.Client(), p.ObjectID, action, written, strings.Join(actions, ","), strings.Join(scopes, ","))
}
