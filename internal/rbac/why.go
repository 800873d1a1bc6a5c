package rbac

import (
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
)

// Step is one assignment on the way to a decision.
type Step struct {
	Assignment string `json:"assignmentId"`
	Role       string `json:"role"`
	RoleGUID   string `json:"roleDefinitionId"`
	Scope      string `json:"scope"`
	Via        string `json:"viaGroup,omitempty"` // object ID of the group that holds it
	Result     string `json:"result"`             // Grants, NotActions, NoMatch, ConditionNotMet, RoleGone, Denies
	Condition  string `json:"condition,omitempty"`
}

// Explanation is the whole answer to "may this principal do that there, and why".
type Explanation struct {
	Allowed   bool     `json:"allowed"`
	Tenant    string   `json:"tenantId"`
	Principal string   `json:"principalId"`
	Action    string   `json:"action"`
	Scope     string   `json:"scope"`
	Decided   *Step    `json:"decidedBy,omitempty"`
	Chain     []Step   `json:"assignments"` // all that apply at the scope, the deciding one too
	Locks     []string `json:"locks,omitempty"`
	Role      string   `json:"smallestRole,omitempty"`
	Command   string   `json:"command,omitempty"`
}

// step describes what an assignment does for a question.
func (g *Grants) step(h held, result string) Step {
	s := Step{Assignment: h.ID, RoleGUID: h.Definition, Scope: h.at, Result: result, Condition: h.text}
	if h.role != nil {
		s.Role = h.role.Name
	}
	if h.Principal != strings.ToLower(g.principal.ObjectID) {
		s.Via = h.Principal
	}
	return s
}

// steps lists the assignments that apply at the scope and what each does.
func (x explaining) steps() []Step {
	chain := x.g.chain(x.q.scope)
	out := []Step{}
	for _, h := range x.g.list {
		if !slices.Contains(chain, h.Scope) {
			continue
		}
		out = append(out, x.g.step(h, x.result(h)))
	}
	return out
}

func (x explaining) result(h held) string {
	switch {
	case h.role == nil:
		return "RoleGone"
	case x.d.by != nil && x.d.by.ID == h.ID:
		return "Grants"
	}
	for _, u := range x.d.unmet {
		if u.ID == h.ID {
			return "ConditionNotMet"
		}
	}
	for i := range h.role.blocks {
		switch b := &h.role.blocks[i]; {
		case b.match(x.q.action, x.q.data):
			return "Grants"
		case b.actions.match(x.q.action) && !x.q.data, b.data.match(x.q.action) && x.q.data:
			return "NotActions"
		}
	}
	return "NoMatch"
}

// Why explains a decision in full. It is for who may know everything: the operator.
func (e *Engine) Why(tx store.Tx, p authn.Principal, action string, scope arm.ID) (Explanation, error) {
	q := question{action: strings.ToLower(action), scope: scope}
	g, d, err := e.ask(tx, p, q)
	if err != nil {
		return Explanation{}, err
	}
	if !d.allowed && d.by == nil { // a data action is asked by the same command
		if data := g.decide(question{action: q.action, data: true, scope: scope}); data.allowed || data.deny != nil {
			q.data, d = true, data
		}
	}
	x := explaining{e, tx, p, g, q, d, action, nil}
	out := Explanation{Allowed: d.allowed, Tenant: p.TenantID, Principal: p.ObjectID, Action: action, Scope: scope.String(), Chain: x.steps()}
	switch {
	case d.deny != nil:
		out.Decided = &Step{Assignment: d.deny.ID, Role: d.deny.Name, Scope: d.deny.at, Result: "Denies"}
		out.Chain = append(out.Chain, *out.Decided)
	case d.by != nil:
		s := g.step(*d.by, "Grants")
		out.Decided = &s
	default:
		if r, ok := e.smallest(q.action, q.data); ok {
			out.Role, out.Command = r.Name, x.command(r)
		}
	}
	locks, err := locked(tx, scope, q.action)
	out.Locks = locks
	return out, err
}

// holders lists the assignments at some scopes whose role gives an action, whoever holds them, conditions left aside.
func (e *Engine) holders(tx store.Tx, tenant string, chain []string, action string) ([]held, error) {
	if len(chain) == 0 {
		return nil, nil
	}
	terms := make([]string, len(chain))
	for i, k := range chain {
		terms[i] = ScopeTerm(k)
	}
	docs, err := tx.List(store.Query{Kind: AssignmentKind, Any: terms})
	if err != nil {
		return nil, err
	}
	var out []held
	for _, d := range docs {
		a, err := parseAssignment(d, tenant)
		if err != nil {
			return nil, err
		}
		role, err := e.role(tx, tenant, a.Definition)
		if err != nil {
			return nil, err
		}
		if role != nil && slices.Contains(chain, a.Scope) && (role.match(action, false) != nil || role.match(action, true) != nil) {
			out = append(out, held{a, role})
		}
	}
	return out, nil
}

// Holder is one who may do an action at a scope, and by what.
type Holder struct {
	Principal  string `json:"principalId"`
	Via        string `json:"viaGroup,omitempty"`
	Role       string `json:"role"`
	Scope      string `json:"scope"`
	Assignment string `json:"assignmentId"`
	Condition  string `json:"condition,omitempty"` // it may do so only when this holds
	Denied     string `json:"deniedBy,omitempty"`  // name of the deny assignment that takes the right away
}

// WhoCan lists who may do an action at a scope of a tenant, members of groups one by one.
func (e *Engine) WhoCan(tx store.Tx, tenant, action string, scope arm.ID) ([]Holder, error) {
	var key string
	if scope.Subscription != "" {
		key = "/subscriptions/" + strings.ToLower(scope.Subscription)
	} else {
		scope.Tenant = tenant
		key = scope.Key()
	}
	above, err := e.Above(tx, tenant, key)
	if err != nil {
		return nil, err
	}
	chain := append(scope.Scopes(), above...)
	all, err := e.holders(tx, tenant, chain, strings.ToLower(action))
	if err != nil {
		return nil, err
	}
	out := []Holder{}
	for _, h := range all {
		one := Holder{Principal: h.Principal, Role: h.role.Name, Scope: h.at, Assignment: h.ID, Condition: h.text}
		people, err := e.expand(tx, tenant, one)
		if err != nil {
			return nil, err
		}
		out = append(out, people...)
	}
	return e.markDenied(tx, tenant, action, scope, out)
}

// expand adds the members of a group after it.
func (e *Engine) expand(tx store.Tx, tenant string, h Holder) ([]Holder, error) {
	out := []Holder{h}
	if e.members == nil {
		return out, nil
	}
	ids, err := e.members(tx, tenant, h.Principal)
	for _, id := range ids {
		m := h
		m.Principal, m.Via = strings.ToLower(id), h.Principal
		out = append(out, m)
	}
	return out, err
}

func (e *Engine) markDenied(tx store.Tx, tenant, action string, scope arm.ID, list []Holder) ([]Holder, error) {
	for i := range list {
		g, err := e.Grants(tx, authn.Principal{TenantID: tenant, ObjectID: list[i].Principal})
		if err != nil {
			return nil, err
		}
		for _, data := range []bool{false, true} {
			if d := g.decide(question{action: strings.ToLower(action), data: data, scope: scope}); d.deny != nil {
				list[i].Denied = d.deny.Name
			}
		}
	}
	return list, nil
}

// By names the assignment by which a principal may do an action at a scope, for lists that say why something is in them.
func (g *Grants) By(action string, scope arm.ID) (Step, bool) {
	d := g.decide(question{action: strings.ToLower(action), scope: scope})
	if !d.allowed {
		return Step{}, false
	}
	return g.step(*d.by, "Grants"), true
}

// LastAdministrator tells whether without an assignment (by its ID) nobody could assign roles at a scope.
func (e *Engine) LastAdministrator(tx store.Tx, tenant string, scope arm.ID, without string) (bool, error) {
	above, err := e.Above(tx, tenant, scope.Key())
	if err != nil {
		return false, err
	}
	all, err := e.holders(tx, tenant, append(scope.Scopes(), above...), assignmentsWrite)
	if err != nil {
		return false, err
	}
	is := false
	for _, h := range all {
		switch {
		case strings.EqualFold(h.ID, without):
			is = true
		case !h.conditional:
			return false, nil
		}
	}
	return is, nil
}
