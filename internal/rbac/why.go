package rbac

import (
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/rbac/condition"
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
	Allowed   bool     `json:"allowed"` // as Check says: no lock is in the way either
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
	q := e.asking(action, scope)
	g, d, err := e.ask(tx, p, q)
	if err != nil {
		return Explanation{}, err
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
	if !q.data { // as CheckData, which asks no locks: they are for Resource Manager only
		out.Locks, err = locked(tx, scope, q.action)
		out.Allowed = out.Allowed && len(out.Locks) == 0
	}
	return out, err
}

// asking makes the question of an operator ready. What Azure's built-in roles call a data action is asked as one.
func (e *Engine) asking(action string, scope arm.ID) question {
	q := question{action: strings.ToLower(action), scope: scope}
	for _, r := range e.builtIn {
		q.data = q.data || r.match(q.action, true) != nil
	}
	return q
}

// holders lists the assignments at some scopes whose role gives what is asked, whoever holds them, conditions left aside.
func (e *Engine) holders(tx store.Tx, tenant string, chain []string, q question) ([]held, error) {
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
		if role != nil && slices.Contains(chain, a.Scope) && role.match(q.action, q.data) != nil {
			out = append(out, held{a, role})
		}
	}
	return out, nil
}

// Holder is one whose role gives an action at a scope, and whether it may do it by this assignment.
type Holder struct {
	Allowed    bool   `json:"allowed"` // the condition holds, no deny assignment and no lock is in the way: Check says the same
	Principal  string `json:"principalId"`
	Via        string `json:"viaGroup,omitempty"`
	Role       string `json:"role"`
	Scope      string `json:"scope"`
	Assignment string `json:"assignmentId"`
	Condition  string `json:"condition,omitempty"` // of the assignment, else of the role; it may depend on the request, and then does not hold here
	Denied     string `json:"deniedBy,omitempty"`  // name of the deny assignment that takes the right away
	Locked     string `json:"lockedAt,omitempty"`  // scope of a lock that stops everybody
}

// WhoCan lists whose roles give an action at a scope of a tenant, members of groups one by one.
func (e *Engine) WhoCan(tx store.Tx, tenant, action string, scope arm.ID) ([]Holder, error) {
	q := e.asking(action, scope)
	if scope.Subscription == "" {
		q.scope.Tenant = tenant
	}
	c := canning{e: e, tx: tx, tenant: tenant, q: q, known: map[string]*Deny{}, holds: q.holds(), out: []Holder{}}
	anybody := &Grants{principal: authn.Principal{TenantID: tenant}, owns: e.ownership(tx, tenant)}
	var err error
	if anybody.tree, err = readTree(tx, tenant); err != nil {
		return nil, err
	}
	if !q.data {
		if c.locks, err = locked(tx, q.scope, q.action); err != nil {
			return nil, err
		}
	}
	all, err := e.holders(tx, tenant, anybody.chain(q.scope), q)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := c.add(&all[i]); err != nil {
			return nil, err
		}
	}
	return c.out, nil
}

// canning is a list of holders being made.
type canning struct {
	e      *Engine
	tx     store.Tx
	tenant string
	q      question
	holds  func(*condition.Expr) bool
	locks  []string
	known  map[string]*Deny // of a principal
	out    []Holder
}

// add lists an assignment: who it is for and, if that is a group, its members.
func (c *canning) add(h *held) error {
	who := []string{h.Principal}
	if c.e.members != nil {
		ids, err := c.e.members(c.tx, c.tenant, h.Principal)
		if err != nil {
			return err
		}
		who = append(who, ids...)
	}
	met, _ := h.grants(c.q, c.holds)
	for i, id := range who {
		one := Holder{Principal: strings.ToLower(id), Role: h.role.Name, Scope: h.at, Assignment: h.ID, Condition: h.text}
		if one.Condition == "" {
			one.Condition = h.role.match(c.q.action, c.q.data).text
		}
		if i > 0 {
			one.Via = h.Principal
		}
		deny, err := c.denied(one.Principal)
		if err != nil {
			return err
		}
		if deny != nil {
			one.Denied = deny.Name
		}
		if len(c.locks) > 0 {
			one.Locked = c.locks[0]
		}
		one.Allowed = met && deny == nil && len(c.locks) == 0
		c.out = append(c.out, one)
	}
	return nil
}

// denied finds what takes the right from a principal, asked once for each.
func (c *canning) denied(id string) (*Deny, error) {
	deny, ok := c.known[id]
	if !ok {
		g, err := c.e.Grants(c.tx, authn.Principal{TenantID: c.tenant, ObjectID: id})
		if err != nil {
			return nil, err
		}
		deny = g.decide(c.q).deny
		c.known[id] = deny
	}
	return deny, nil
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
	all, err := e.holders(tx, tenant, append(scope.Scopes(), above...), question{action: assignmentsWrite})
	if err != nil {
		return false, err
	}
	is := false
	for _, h := range all {
		switch {
		case strings.EqualFold(h.ID, without):
			is = true
		case h.always(assignmentsWrite):
			return false, nil
		}
	}
	return is, nil
}
