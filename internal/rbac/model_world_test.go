package rbac

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

type dice struct{ *rand.Rand }

func (d dice) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d dice) once(in int) bool { return d.IntN(in) == 0 }

func (d dice) action() string {
	if d.once(8) {
		return d.pick("*", "*/read", "a/*", "b/*")
	}
	s := d.pick("a", "b", "*")
	for range d.IntN(3) {
		s += "/" + d.pick("x", "y", "*", "x*", "z")
	}
	return s + "/" + d.pick("read", "write", "*", "delete")
}

func (d dice) asked() string {
	if d.once(20) {
		return "microsoft.authorization/locks/" + d.pick("write", "delete")
	}
	s := d.pick("a", "b")
	for range d.IntN(3) {
		s += "/" + d.pick("x", "y", "z", "xy")
	}
	return s + "/" + d.pick("read", "write", "delete")
}

func (d dice) scope() string {
	switch d.IntN(24) {
	case 0, 1:
		return modelRoot
	case 2, 3:
		return modelGroupKey(d.pick("m1", "m2", "m3", "t"))
	case 4:
		return modelForeign + d.pick("", "/resourcegroups/g")
	}
	s := d.pick(modelSubs...)
	if d.once(6) {
		return s
	}
	s += "/resourcegroups/" + d.pick("g", "h", "gg")
	if d.once(4) {
		return s
	}
	s += "/providers/n/" + d.pick("k/1", "k/2", "kk/1", "k/1.x")
	if d.once(2) {
		s += "/c/" + d.pick("1", "2")
	}
	return s
}

func (d dice) list(most int) []string {
	out := []string{}
	for range d.IntN(most + 1) {
		out = append(out, d.mixed(d.action()))
	}
	return out
}

// mixed writes some letters large.
func (d dice) mixed(s string) string {
	if d.once(3) {
		return strings.ToUpper(s)
	}
	return s
}

func (d dice) role() modelRole {
	return modelRole{append(d.list(2), d.action()), d.list(2), d.list(2), d.list(1)}
}

func (d dice) rolesOf(most int) []modelRole {
	var out []modelRole
	for range 1 + d.IntN(most) {
		out = append(out, d.role())
	}
	return out
}

func (d dice) someOf(list []string, most int) []string {
	var out []string
	for range 1 + d.IntN(most) {
		out = append(out, d.pick(list...))
	}
	return out
}

const (
	modelRoleAttribute = "Microsoft.Authorization/roleAssignments:RoleDefinitionId"
	modelWhoAttribute  = "Microsoft.Authorization/roleAssignments:PrincipalId"
	modelSizeAttribute = "Vitrine.Test/things:size"
)

// clause throws a condition.
func (d dice) clause(deep int) clause {
	if deep > 0 && !d.once(3) {
		if d.once(3) {
			return inverse{d.clause(deep - 1)}
		}
		j := joined{and: d.once(2)}
		for range 2 + d.IntN(2) {
			j.parts = append(j.parts, d.clause(deep-1))
		}
		return j
	}
	names := []string{"Microsoft.Resources/resourceGroups:name", "Microsoft.Resources/subscriptions:name", "n/k:name", "N/k/c:Name", "n/kk:name",
		modelRoleAttribute, modelWhoAttribute, modelSizeAttribute, "none"}
	source, name := d.pick("Request", "Resource", "Resource"), d.pick(names...)
	switch d.IntN(8) {
	case 0:
		return actionIs{patterns: d.someOf([]string{"a/*", "*/READ", "b/x/write", "*", "a/*/delete", "microsoft.authorization/locks/*"}, 2)}
	case 1:
		return actionIs{patterns: []string{d.pick("Blob.List", "*")}, sub: true}
	case 2:
		return presence{source, name, d.once(2)}
	}
	c := compared{source: source, name: name, quantifier: d.pick("", "ForAnyOfAnyValues", "ForAllOfAnyValues", "ForAnyOfAllValues", "ForAllOfAllValues"),
		op: d.pick("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike", "StringLikeIgnoreCase",
			"StringStartsWith", "StringNotStartsWith", "GuidEquals", "GuidNotEquals", "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThanEquals"),
		values: d.someOf([]string{"g", "G", "h", "g*", "?", "1", "2", "s1", "r1", "R2", "s*", "12", "7", "it's"}, 3), swapped: d.once(8)}
	if d.once(10) {
		c.other, c.swapped = &presence{source: d.pick("Request", "Resource"), name: d.pick(names...)}, false
	}
	return c
}

func (d dice) space() string { return d.pick(" ", "  ", "\n", "\t ") }

func (j joined) text(d dice) string {
	words := []string{"OR", "||", "or"}
	if j.and {
		words = []string{"AND", "&&", "and"}
	}
	var parts []string
	for _, p := range j.parts {
		inner, isJoined := p.(joined)
		if s := p.text(d); isJoined && (j.and || !inner.and || d.once(2)) { // AND binds closer than OR
			parts = append(parts, "("+s+")")
		} else {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, d.space()+d.pick(words...)+d.space())
}

func (n inverse) text(d dice) string {
	return d.pick("!(", "NOT (", "! ( ", "not(") + n.of.text(d) + ")"
}

func (a actionIs) text(d dice) string {
	name := "ActionMatches"
	if a.sub {
		name = "SubOperationMatches"
	}
	return name + d.pick("{", " { ") + "'" + strings.Join(a.patterns, "', '") + "'}"
}

func (p presence) text(d dice) string {
	word := "Exists"
	if p.absent {
		word = "NotExists"
	}
	return word + d.space() + "@" + p.source + "[" + p.name + "]"
}

func (c compared) text(d dice) string {
	left, op := "@"+d.mixed(c.source)+"["+d.mixed(c.name)+"]", c.op
	if c.quantifier != "" {
		op = c.quantifier + ":" + c.op
	}
	var values []string
	for _, v := range c.values {
		values = append(values, "'"+strings.ReplaceAll(v, "'", d.pick(`\'`, "''"))+"'")
	}
	right := "{" + strings.Join(values, ",") + "}"
	if len(values) == 1 && d.once(2) {
		right = values[0]
	}
	if c.other != nil {
		right = "@" + c.other.source + "[" + c.other.name + "]"
	}
	if c.swapped {
		left, right = right, left
	}
	return left + d.space() + op + d.space() + right
}

// modelled is a world told to both.
type modelled struct {
	*modelWorld
	store  *store.Store
	engine *Engine
}

// world throws a world.
func (d dice) world(t testing.TB) modelled {
	w := &modelWorld{members: map[string][]string{}, parent: map[string]string{}}
	for i, g := range modelGroups { // a group's parent is an earlier one, or the root group
		if n := d.IntN(i + 1); n > 0 {
			w.parent[modelGroupKey(g)] = modelGroupKey(modelGroups[n-1])
		}
	}
	for _, s := range modelSubs {
		if !d.once(3) {
			w.parent[s] = modelGroupKey(d.pick(modelGroups...))
		}
	}
	for _, crew := range modelCrews { // rings are possible
		w.members[crew] = d.someOf(slices.Concat(modelPeople, modelCrews), 3)
	}
	people := slices.Concat(modelPeople, modelCrews, []string{"stranger"})
	for range d.IntN(14) {
		g := modelGrant{who: d.pick(people...), scope: d.scope(), roles: d.rolesOf(2), gone: d.once(20)}
		if d.once(3) {
			if g.condition = d.clause(2); d.once(20) {
				g.condition = broken{}
			}
		}
		w.grants = append(w.grants, g)
	}
	for range d.IntN(4) {
		n := modelDeny{scope: d.scope(), exact: d.once(3), rules: d.rolesOf(2), who: d.someOf(append(people, Everyone), 2)}
		if d.once(2) {
			n.except = d.someOf(people, 2)
		}
		w.denies = append(w.denies, n)
	}
	for range d.IntN(4) {
		if s := d.scope(); strings.HasPrefix(s, "/subscriptions/") {
			w.locks = append(w.locks, modelLock{s, d.once(2)})
		}
	}
	return w.tell(t, d)
}

// scopeAsWritten is a scope as a request writes it.
func scopeAsWritten(key string) string {
	if s := strings.TrimPrefix(key, modelRoot); s != "" {
		return s
	}
	return "/"
}

// tell writes the documents that the providers would write.
func (w *modelWorld) tell(t testing.TB, d dice) modelled {
	m := modelled{w, store.New(memstore.Open()), nil}
	m.engine = New(func(_ store.Tx, sub string) (string, error) {
		switch sub {
		case "s1", "s2":
			return "t", nil
		case "s3":
			return "u", nil
		}
		return "", store.ErrNotFound
	}, Groups(func(_ store.Tx, _, id string) ([]string, error) { return w.iAm(id)[1:], nil }),
		Members(func(_ store.Tx, _, id string) ([]string, error) {
			var out []string
			for _, p := range modelPeople {
				if p != id && slices.Contains(w.iAm(p), id) {
					out = append(out, p)
				}
			}
			return out, nil
		}))
	err := m.store.Update(t.Context(), func(tx store.Tx) error {
		for _, doc := range w.documents(t, d) {
			if _, err := tx.Put(doc); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *modelWorld) documents(t testing.TB, d dice) (docs []store.Document) {
	add := func(key, kind string, terms []string, body any) {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, store.Document{Key: key, Kind: kind, Terms: terms, Body: raw})
	}
	type o = map[string]any
	for child, parent := range w.parent {
		if sub, ok := strings.CutPrefix(child, "/subscriptions/"); ok {
			add(parent+"/subscriptions/"+sub, MemberKind, nil, o{})
		} else {
			add(child, GroupKind, nil, o{"properties": o{"details": o{"parent": o{"id": scopeAsWritten(parent)}}}})
		}
	}
	for i, g := range w.grants {
		guid := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		if !g.gone {
			add(CustomRoleKey("t", guid), DefinitionKind, nil, o{"properties": o{"permissions": permissionsOf(g.roles)}})
		}
		properties := o{"roleDefinitionId": "/x/" + guid, "principalId": d.mixed(g.who), "scope": d.mixed(scopeAsWritten(g.scope))}
		if g.condition != nil {
			properties["condition"] = g.condition.text(d)
		}
		a := Assignment{Principal: g.who, Scope: g.scope, Definition: guid}
		add(g.scope+"/providers/"+AssignmentKind+"/"+guid, AssignmentKind, a.Terms(), o{"id": guid, "ofTenant": "t", "properties": properties})
	}
	for i, n := range w.denies {
		terms := []string{ScopeTerm(n.scope)}
		var who, except []any
		for _, id := range n.who {
			if who = append(who, o{"id": id}); id == Everyone {
				terms = append(terms, EveryoneTerm("t"))
			} else {
				terms = append(terms, PrincipalTerm(id))
			}
		}
		for _, id := range n.except {
			except = append(except, o{"id": id})
		}
		add(fmt.Sprintf("%s/providers/%s/%d", n.scope, DenyKind, i), DenyKind, terms, o{"properties": o{"scope": scopeAsWritten(n.scope), "denyAssignmentName": "d",
			"doNotApplyToChildScopes": n.exact, "permissions": permissionsOf(n.rules), "principals": who, "excludePrincipals": except}})
	}
	for i, l := range w.locks {
		level := "CanNotDelete"
		if l.hard {
			level = "ReadOnly"
		}
		key := fmt.Sprintf("%s/providers/%s/%d", l.scope, LockKind, i)
		add(key, LockKind, []string{LockTerm(l.scope)}, o{"id": key, "properties": o{"level": level}})
	}
	return docs
}

func permissionsOf(roles []modelRole) (out []Permission) {
	for _, r := range roles {
		out = append(out, Permission{Actions: r.actions, NotActions: r.not, DataActions: r.data, NotDataActions: r.notData})
	}
	return out
}

// question throws a question.
func (d dice) question() modelQuestion {
	q := modelQuestion{me: d.pick(modelPeople...), action: d.asked(), scope: d.scope(), data: d.once(4)}
	throw := func() map[string][]string {
		m := map[string][]string{}
		for i, values := range [][]string{{"r1", "R2"}, {"p", "q"}, {"7", "12", "g"}} {
			if name := []string{modelRoleAttribute, modelWhoAttribute, modelSizeAttribute}[i]; !d.once(3) {
				m[strings.ToLower(name)] = d.someOf(values, 2)
			}
		}
		return m
	}
	if d.once(2) {
		q.request, q.resource = throw(), throw()
	}
	return q
}

// TestModel compares with the model; VITRINE_RBAC_QUESTIONS changes how often.
func TestModel(t *testing.T) {
	questions := 2_100_000
	if s := os.Getenv("VITRINE_RBAC_QUESTIONS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		questions = n
	}
	if testing.Short() {
		questions /= 25
	}
	n := tally{}
	for seed := uint64(1); n.asked < questions; seed++ {
		n.compare(t, seed)
	}
	for what, got := range map[string]int{"allowed": n.allowed * 20, "denied": n.denied * 200, "conditions that hold": n.met * 200, "conditions that do not": n.unmet * 200, "locked": n.locked * 1000} {
		if got < n.asked {
			t.Errorf("the questions are too easy: too few %s: %+v", what, n)
		}
	}
	fmt.Printf("rbac: %d random questions compared with the model, 0 differences (%d allowed, %d of them by a condition; %d not for one; %d stopped by a deny assignment; %d stopped by a lock)\n",
		n.asked, n.allowed, n.met, n.unmet, n.denied, n.locked)
}

type tally struct{ asked, allowed, met, unmet, denied, locked int }

// compare asks both 800 questions about a world.
func (n *tally) compare(t *testing.T, seed uint64) {
	d := dice{rand.New(rand.NewPCG(seed, 2026))}
	w := d.world(t)
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		grants := map[string]*Grants{}
		for _, p := range modelPeople {
			g, err := w.engine.Grants(tx, principal("t", p))
			if err != nil {
				return err
			}
			grants[p] = g
		}
		for i := range 800 {
			q := d.question()
			at := scopeOf(t, q.scope)
			attributes := func() Attributes { return Attributes{Request: q.request, Resource: q.resource} }
			got := grants[q.me].decide(question{action: q.action, data: q.data, scope: at, attributes: attributes})
			want := w.allows(q)
			if got.allowed != want {
				t.Fatalf("seed %d: %+v: %v, the model says %v\n%s", seed, q, got.allowed, want, w)
			}
			n.count(got)
			if q.data || want && i%4 != 0 || !want && i%32 != 0 { // refusals explain themselves, which takes long
				continue
			}
			err := w.engine.CheckWith(tx, principal("t", q.me), q.action, at, attributes) // the whole way, locks too
			if stopped := w.locked(q); (err == nil) != (want && !stopped) || want && stopped != isLocked(err) {
				t.Fatalf("seed %d: %+v: %v; the model says %v, locked %v\n%s", seed, q, err, want, stopped, w)
			} else if want && stopped {
				n.locked++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func (n *tally) count(d decision) {
	n.asked++
	if d.allowed {
		n.allowed++
		if d.by.conditional {
			n.met++
		}
	} else if len(d.unmet) > 0 {
		n.unmet++
	}
	if d.deny != nil {
		n.denied++
	}
}

func isLocked(err error) bool {
	e, ok := err.(*arm.Error)
	return ok && e.Code == "ScopeLocked"
}

func (w modelled) String() string {
	var b strings.Builder
	d := dice{rand.New(rand.NewPCG(1, 1))}
	for _, g := range w.grants {
		fmt.Fprintf(&b, "grant to %s at %s: %+v", g.who, g.scope, g.roles)
		if g.condition != nil {
			fmt.Fprintf(&b, " if %s", g.condition.text(d))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "denies %+v\nlocks %+v\nmembers %v\nparents %v\n", w.denies, w.locks, w.members, w.parent)
	return b.String()
}

var parsedScopes = map[string]arm.ID{} // parsing is not what is measured

func scopeOf(t testing.TB, key string) arm.ID {
	if at, ok := parsedScopes[key]; ok {
		return at
	}
	p, err := arm.ParsePath(strings.TrimPrefix(key, modelRoot))
	if err != nil {
		t.Fatal(err)
	}
	if p.ID.Subscription == "" {
		p.ID.Tenant = "t"
	}
	parsedScopes[key] = p.ID
	return p.ID
}
