package rbac

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
)

// Engine decides.
type Engine struct {
	tenantOf func(tx store.Tx, subscription string) (string, error)
	groups   func(tx store.Tx, tenant, objectID string) ([]string, error)
	members  func(tx store.Tx, tenant, group string) ([]string, error)
	roles    map[string]*compiled
	builtIn  []*compiled // the same, in their order
}

// Option is what an engine may know besides.
type Option func(*Engine)

// Groups lets the engine see in which groups (their object IDs, however deep) an object of a tenant is.
func Groups(memberOf func(tx store.Tx, tenant, objectID string) ([]string, error)) Option {
	return func(e *Engine) { e.groups = memberOf }
}

// Members lets the engine name who is in a group (object IDs, however deep), for its explanations.
func Members(of func(tx store.Tx, tenant, group string) ([]string, error)) Option {
	return func(e *Engine) { e.members = of }
}

// New makes an engine. tenantOf says which tenant owns a subscription, or store.ErrNotFound.
func New(tenantOf func(tx store.Tx, subscription string) (string, error), options ...Option) *Engine {
	e := &Engine{tenantOf: tenantOf, roles: map[string]*compiled{}}
	for _, r := range BuiltIn() {
		c := compile(r)
		e.roles[r.GUID], e.builtIn = c, append(e.builtIn, c)
	}
	for _, o := range options {
		o(e)
	}
	return e
}

// CustomRoleKey is the key of a tenant's own role definition.
func CustomRoleKey(tenant, guid string) string {
	return RootKey(tenant) + "/providers/" + DefinitionKind + "/" + strings.ToLower(guid)
}

// CustomRole reads a tenant's own role definition; store.ErrNotFound.
func CustomRole(tx store.Tx, tenant, guid string) (Role, error) {
	d, err := tx.Get(CustomRoleKey(tenant, guid))
	if err != nil {
		return Role{}, err
	}
	var body struct {
		Properties struct {
			RoleName, Description string
			Permissions           []Permission
		}
	}
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return Role{}, fmt.Errorf("role definition %s: %w", d.Key, err)
	}
	p := body.Properties
	return Role{GUID: strings.ToLower(guid), Name: p.RoleName, Description: p.Description, Permissions: p.Permissions}, nil
}

// Check answers nil, Azure's AuthorizationFailed, or its ScopeLocked: whoever asks for a right asks the locks too, so nobody can
// forget them. It says nothing about whether the scope exists.
func (e *Engine) Check(tx store.Tx, p authn.Principal, action string, scope arm.ID) error {
	return e.CheckWith(tx, p, action, scope, nil)
}

// CheckWith is Check for a request whose attributes conditions may ask about; they are read only if one does.
func (e *Engine) CheckWith(tx store.Tx, p authn.Principal, action string, scope arm.ID, attributes func() Attributes) error {
	if err := e.refuse(tx, p, scope, action, question{action: strings.ToLower(action), scope: scope, attributes: attributes}); err != nil {
		return err
	}
	return Unlocked(tx, scope, action)
}

// CheckData is Check for a data action.
func (e *Engine) CheckData(tx store.Tx, p authn.Principal, action string, scope arm.ID) error {
	return e.CheckDataWith(tx, p, action, scope, nil)
}

// CheckDataWith is CheckWith for a data action.
func (e *Engine) CheckDataWith(tx store.Tx, p authn.Principal, action string, scope arm.ID, attributes func() Attributes) error {
	return e.refuse(tx, p, scope, action, question{action: strings.ToLower(action), scope: scope, data: true, attributes: attributes})
}

func (e *Engine) refuse(tx store.Tx, p authn.Principal, scope arm.ID, action string, q question) error {
	g, d, err := e.ask(tx, p, q)
	if err != nil || d.allowed {
		return err
	}
	x := explaining{e, tx, p, g, q, d, action, used(authn.Caller{Primary: p})}
	if d.deny != nil && d.by != nil {
		return x.denied(arm.Errorf(403, "DenyAssignmentAuthorizationFailed",
			"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, the access is denied because of the deny assignment with name '%s' and Id '%s' at scope '%s'.",
			p.Client(), p.ObjectID, action, scope, d.deny.Name, strings.ReplaceAll(GUIDOf(d.deny.ID), "-", ""), d.deny.at))
	}
	return x.lacking(arm.Errorf(403, "AuthorizationFailed",
		"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		p.Client(), p.ObjectID, action, scope))
}

// ask decides a question, with the failures of reading told.
func (e *Engine) ask(tx store.Tx, p authn.Principal, q question) (*Grants, decision, error) {
	if q.scope.Subscription != "" { // a principal holds rights in its own tenant only
		if _, err := e.tenantOf(tx, q.scope.Subscription); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, decision{}, err
		}
	}
	g, err := e.Grants(tx, p)
	if err != nil {
		return nil, decision{}, err
	}
	d := g.decide(q)
	return g, d, nil
}

// Link is another resource that a written one leans on, and the action on it that the writer must hold.
type Link struct {
	ID     arm.ID
	Action string
}

// Linked checks the links of a resource that the caller may write by action. Each link is judged as the principal of the
// tenant that owns it; the wordings are those that clients parse (errors.md 5, A and B). What the write does to another resource
// — a disk that is attached, a subnet that is joined, an interface that goes with its machine — its locks can stop.
func (e *Engine) Linked(tx store.Tx, caller authn.Caller, written arm.ID, action string, links []Link) error {
	var lacking []explaining
	for _, l := range links {
		tenant, err := e.tenantOf(tx, l.ID.Subscription)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		p, ok := caller.In(tenant)
		if !ok || err != nil {
			return missingToken(caller, l, tenant, arm.Errorf(403, "LinkedAuthorizationFailed",
				"The client has permission to perform action '%s' on scope '%s', however the current tenant '%s' is not authorized to access linked subscription '%s'.",
				l.Action, written, caller.Primary.TenantID, l.ID.Subscription))
		}
		q := question{action: strings.ToLower(l.Action), scope: l.ID}
		g, d, err := e.ask(tx, p, q)
		if err != nil {
			return err
		}
		if !d.allowed {
			lacking = append(lacking, explaining{e, tx, p, g, q, d, l.Action, used(caller)})
		}
	}
	if len(lacking) > 0 {
		return lackingError(caller, written, action, lacking)
	}
	later := !strings.HasSuffix(strings.ToLower(action), "/delete") // deletions that a write lists are promises, such as a disk's deleteOption
	for _, l := range links {                                       // after every right: who may not use it learns nothing of its locks
		if later && strings.HasSuffix(strings.ToLower(l.Action), "/delete") {
			continue
		}
		if err := Unlocked(tx, l.ID, l.Action); err != nil {
			return err
		}
	}
	return nil
}

func lackingError(caller authn.Caller, written arm.ID, action string, lacking []explaining) error {
	var actions, scopes []string
	for _, l := range lacking {
		actions, scopes = append(actions, l.action), append(scopes, l.q.scope.String())
	}
	p := caller.Primary
	e := arm.Errorf(403, "LinkedAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
		p.Client(), p.ObjectID, action, written, strings.Join(actions, ","), strings.Join(scopes, ","))
	for _, l := range lacking {
		if err := l.lacking(e); !errors.Is(err, e) {
			return err
		}
	}
	return e
}
