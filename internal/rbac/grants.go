package rbac

import (
	"errors"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/rbac/condition"
	"vitrine/internal/store"
)

// Grants is everything a principal holds, and what is denied to it, in the transaction that read it.
type Grants struct {
	principal authn.Principal
	groups    []string // object IDs of the groups it is in, however deep
	list      []held
	denies    []Deny
	tree      *tree                          // nil: nothing is assigned at a management group
	owns      func(subscription string) bool // whether its tenant owns a subscription
}

type held struct {
	Assignment
	role *compiled // nil: a definition that is gone grants nothing
}

// Grants reads what a principal and its groups hold, in one indexed read (a second one for deny assignments); in
// many groups, one for each termsAtOnce of them.
func (e *Engine) Grants(tx store.Tx, p authn.Principal) (*Grants, error) {
	g := &Grants{principal: p, owns: e.ownership(tx, p.TenantID)}
	if e.groups != nil {
		groups, err := e.groups(tx, p.TenantID, p.ObjectID)
		if err != nil {
			return nil, err
		}
		for _, id := range groups {
			g.groups = append(g.groups, strings.ToLower(id))
		}
	}
	terms := []string{PrincipalTerm(p.ObjectID)}
	for _, id := range g.groups {
		terms = append(terms, PrincipalTerm(id))
	}
	if err := e.readHeld(tx, g, terms); err != nil {
		return nil, err
	}
	return g, e.readDenies(tx, g, append(terms, EveryoneTerm(p.TenantID)))
}

// EveryoneTerm is the index term of deny assignments that are for everybody of a tenant.
func EveryoneTerm(tenant string) string { return "everyone:" + strings.ToLower(tenant) }

const termsAtOnce = 256 // below the store's limit: a principal may be in more groups than one query takes

// anyOf lists the documents of a kind that have any of the terms, each once, however many terms there are.
func anyOf(tx store.Tx, kind string, terms []string) ([]store.Document, error) {
	var out []store.Document
	seen := map[string]bool{}
	for part := range slices.Chunk(terms, termsAtOnce) {
		docs, err := tx.List(store.Query{Kind: kind, Any: part})
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			if !seen[d.Key] {
				seen[d.Key] = true
				out = append(out, d)
			}
		}
	}
	return out, nil
}

func (e *Engine) readHeld(tx store.Tx, g *Grants, terms []string) error {
	docs, err := anyOf(tx, AssignmentKind, terms)
	if err != nil {
		return err
	}
	for _, d := range docs {
		a, err := parseAssignment(d, g.principal.TenantID)
		if err != nil {
			return err
		}
		role, err := e.role(tx, g.principal.TenantID, a.Definition)
		if err != nil {
			return err
		}
		g.list = append(g.list, held{a, role})
		if err := g.grow(tx, a.Scope); err != nil {
			return err
		}
	}
	return nil
}

// grow reads the management groups when a scope is one.
func (g *Grants) grow(tx store.Tx, scope string) (err error) {
	if g.tree == nil && strings.Contains(scope, groupPath) {
		g.tree, err = readTree(tx, g.principal.TenantID)
	}
	return err
}

func (e *Engine) readDenies(tx store.Tx, g *Grants, terms []string) error {
	docs, err := anyOf(tx, DenyKind, terms)
	if err != nil {
		return err
	}
	for _, d := range docs {
		n, err := parseDeny(d, g.principal.TenantID)
		if err != nil {
			return err
		}
		if g.concerns(n) {
			g.denies = append(g.denies, n)
			if err := g.grow(tx, n.Scope); err != nil {
				return err
			}
		}
	}
	return nil
}

// is tells whether an object ID is the principal or one of its groups.
func (g *Grants) is(id string) bool {
	return id == strings.ToLower(g.principal.ObjectID) || slices.Contains(g.groups, id)
}

func (g *Grants) concerns(n Deny) bool {
	for _, id := range n.except {
		if g.is(id) {
			return false
		}
	}
	for _, id := range n.who {
		if id == Everyone || g.is(id) {
			return true
		}
	}
	return false
}

// ownership answers, and remembers, whether a tenant owns a subscription. A failure counts as no.
func (e *Engine) ownership(tx store.Tx, tenant string) func(string) bool {
	known := map[string]bool{}
	return func(subscription string) bool {
		key := strings.ToLower(subscription)
		own, ok := known[key]
		if !ok {
			of, err := e.tenantOf(tx, subscription)
			own = err == nil && strings.EqualFold(of, tenant)
			known[key] = own
		}
		return own
	}
}

// role finds a definition: a built-in one or one of the tenant's own. Nil: there is none.
func (e *Engine) role(tx store.Tx, tenant, guid string) (*compiled, error) {
	if r, ok := e.roles[guid]; ok {
		return r, nil
	}
	r, err := CustomRole(tx, tenant, guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return compile(r), err
}

// chain lists the keys of a scope and of everything above it. It is nil for a scope that is not the principal's tenant's.
func (g *Grants) chain(scope arm.ID) []string {
	root := RootKey(g.principal.TenantID)
	switch {
	case scope.Subscription != "":
		if !g.owns(scope.Subscription) {
			return nil
		}
		keys := append([]string{root}, scope.Scopes()[1:]...)
		if g.tree != nil {
			keys = append(keys, g.tree.above(keys[1])...)
		}
		return keys
	case scope.Tenant == "":
		scope.Tenant = g.principal.TenantID
	case !strings.EqualFold(scope.Tenant, g.principal.TenantID):
		return nil
	}
	keys := scope.Scopes()
	if g.tree != nil {
		for _, k := range keys {
			if strings.HasPrefix(k, root+groupPath) {
				return append(keys, g.tree.above(k)...)
			}
		}
	}
	return keys
}

// question is one that was made ready: the action in lower case.
type question struct {
	action     string
	data       bool
	scope      arm.ID
	attributes func() Attributes
}

// decision is an answer with what decided it.
type decision struct {
	allowed bool
	by      *held  // what gives the right, also when it is denied
	deny    *Deny  // what takes it
	unmet   []held // what would give it but for a condition
}

// decide is the rule: a deny that matches wins; else any grant at the scope or above it whose role's actions match, whose
// notActions do not and whose conditions hold.
func (g *Grants) decide(q question) decision {
	var d decision
	chain := g.chain(q.scope)
	if chain == nil {
		return d
	}
	holds := q.holds()
	for i := range g.list {
		h := &g.list[i]
		if !slices.Contains(chain, h.Scope) {
			continue
		}
		met, would := h.grants(q, holds)
		if met {
			d.allowed, d.by = true, h
			break
		}
		if would {
			d.unmet = append(d.unmet, *h)
		}
	}
	for i := range g.denies {
		n := &g.denies[i]
		at := slices.Contains(chain, n.Scope) && (!n.exact || n.Scope == g.keyOf(q.scope))
		if at && n.role.match(q.action, q.data) != nil {
			d.allowed, d.deny = false, n
			return d
		}
	}
	return d
}

// holds gives a judge of conditions about a question; the attributes are read when the first condition asks.
func (q question) holds() func(*condition.Expr) bool {
	var attributes *Attributes
	return func(e *condition.Expr) bool {
		if attributes == nil {
			attributes = &Attributes{}
			if q.attributes != nil {
				*attributes = q.attributes()
			}
		}
		return e.Holds(condition.Request{Action: q.action, Sub: attributes.Sub, Attributes: func(a condition.Attribute) ([]string, bool) { return attributes.of(a, q.scope) }})
	}
}

// always tells whether an assignment gives an action whatever the request.
func (h *held) always(action string) bool {
	met, _ := h.grants(question{action: action}, func(*condition.Expr) bool { return false })
	return met
}

// grants tells whether an assignment gives the right, and whether it would if its conditions held.
func (h *held) grants(q question, holds func(*condition.Expr) bool) (met, would bool) {
	if h.role == nil {
		return false, false
	}
	for i := range h.role.blocks {
		b := &h.role.blocks[i]
		if !b.match(q.action, q.data) {
			continue
		}
		would = true
		if (!b.conditional || holds(b.condition)) && (!h.conditional || holds(h.condition)) {
			return true, true
		}
	}
	return false, would
}

// keyOf is the key of a scope as the principal's tenant sees it.
func (g *Grants) keyOf(scope arm.ID) string {
	if scope.Subscription == "" && scope.Tenant == "" {
		scope.Tenant = g.principal.TenantID
	}
	return scope.Key()
}

// Allows tells whether the principal may do the action at the scope.
func (g *Grants) Allows(action string, scope arm.ID) bool {
	return g.decide(question{action: strings.ToLower(action), scope: scope}).allowed
}

// AllowsData is Allows for a data action.
func (g *Grants) AllowsData(action string, scope arm.ID) bool {
	return g.decide(question{action: strings.ToLower(action), data: true, scope: scope}).allowed
}

// Within tells whether the principal holds anything at the scope, above or below it.
func (g *Grants) Within(scope arm.ID) bool {
	chain, key := g.chain(scope), g.keyOf(scope)
	for _, h := range g.list {
		if slices.Contains(chain, h.Scope) || chain != nil && g.below(h.Scope, key) {
			return true
		}
	}
	return false
}

// below tells whether a scope's key is in what another one holds.
func (g *Grants) below(inner, outer string) bool {
	if strings.HasPrefix(inner, outer+"/") || outer == RootKey(g.principal.TenantID) && inner != "" {
		return true
	}
	if g.tree == nil || !strings.Contains(outer, groupPath) {
		return false
	}
	sub, _, _ := strings.Cut(strings.TrimPrefix(inner, "/subscriptions/"), "/")
	return slices.Contains(g.tree.above("/subscriptions/"+sub), outer) || slices.Contains(g.tree.above(inner), outer)
}

// Permissions lists what the principal's roles give at a scope, for the provider's list of that name.
func (g *Grants) Permissions(scope arm.ID) []Permission {
	out := []Permission{}
	chain := g.chain(scope)
	for _, h := range g.list {
		if h.role != nil && slices.Contains(chain, h.Scope) {
			for _, p := range h.role.Permissions {
				if h.conditional {
					p.Condition, p.Version = h.text, "2.0"
				}
				out = append(out, p)
			}
		}
	}
	return out
}
