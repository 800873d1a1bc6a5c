package rbac

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/rbac/condition"
)

// The model is the documented rule, written as slowly as it reads: every assignment, every scope above as a list of
// segments, every pattern by recursion. It shares no code with what it checks.

type modelRole struct{ actions, not, data, notData []string }

type modelGrant struct {
	who, scope string
	roles      []modelRole
	onlyNamed  string // a condition: the resource group in the scope must have this name; empty: none
}

type modelDeny struct {
	who, except []string
	scope       string
	exact       bool
	rule        modelRole
}

type modelWorld struct {
	me     []string // the principal and its groups
	grants []modelGrant
	denies []modelDeny
	parent map[string]string // of management groups and subscriptions; absent: the root group
}

var (
	modelSubs   = []string{"/subscriptions/s1", "/subscriptions/s2"}
	modelGroups = []string{"m1", "m2", "m3"}
)

const modelRoot = "/tenants/t"

func modelGroupKey(name string) string {
	return modelRoot + "/providers/microsoft.management/managementgroups/" + name
}

// modelAbove lists everything above and at a scope, by cutting its path.
func (w *modelWorld) modelAbove(scope string) []string {
	out := []string{modelRoot}
	climb := func(at string) {
		for at != "" && at != modelGroupKey("t") {
			out = append(out, at)
			at = w.parent[at]
		}
		out = append(out, modelGroupKey("t"))
	}
	switch {
	case scope == modelRoot:
	case strings.HasPrefix(scope, modelRoot):
		climb(scope)
	default:
		parts := strings.Split(scope, "/") // "", subscriptions, s, resourcegroups, g, providers, ns, type, name, type, name
		for n := 3; n <= len(parts); n += 2 {
			if n != 7 {
				out = append(out, strings.Join(parts[:n], "/"))
			}
		}
		for n := 9; n <= len(parts); n += 2 {
			out = append(out, strings.Join(parts[:n], "/"))
		}
		climb(w.parent[strings.Join(parts[:3], "/")])
	}
	return out
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func modelAny(patterns []string, action string) bool {
	for _, p := range patterns {
		if naive(strings.ToLower(p), action) {
			return true
		}
	}
	return false
}

func (r modelRole) allows(action string, data bool) bool {
	if data {
		return modelAny(r.data, action) && !modelAny(r.notData, action)
	}
	return modelAny(r.actions, action) && !modelAny(r.not, action)
}

func (w *modelWorld) allows(action, scope string, data bool) bool {
	above := w.modelAbove(scope)
	for _, d := range w.denies {
		mine, spared := false, false
		for _, me := range w.me {
			mine = mine || has(d.who, me)
			spared = spared || has(d.except, me)
		}
		mine = mine || has(d.who, Everyone)
		here := has(above, d.scope) && (!d.exact || d.scope == scope)
		if mine && !spared && here && d.rule.allows(action, data) {
			return false
		}
	}
	for _, g := range w.grants {
		if !has(w.me, g.who) || !has(above, g.scope) {
			continue
		}
		if g.onlyNamed != "" {
			parts := strings.Split(scope, "/")
			if len(parts) < 5 || parts[4] != g.onlyNamed {
				continue
			}
		}
		for _, r := range g.roles {
			if r.allows(action, data) {
				return true
			}
		}
	}
	return false
}

type dice struct{ *rand.Rand }

func (d dice) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d dice) action() string {
	s := d.pick("a", "b", "*")
	for range d.IntN(3) {
		s += "/" + d.pick("x", "y", "*", "x*", "z")
	}
	return s + "/" + d.pick("read", "write", "*", "delete")
}

func (d dice) asked() string {
	s := d.pick("a", "b")
	for range d.IntN(3) {
		s += "/" + d.pick("x", "y", "z", "xy")
	}
	return s + "/" + d.pick("read", "write", "delete")
}

func (d dice) scope() string {
	switch d.IntN(8) {
	case 0:
		return modelRoot
	case 1:
		return modelGroupKey(d.pick(append(modelGroups, "t")...))
	}
	s := d.pick(modelSubs...)
	if d.IntN(6) == 0 {
		return s
	}
	s += "/resourcegroups/" + d.pick("g", "h", "gg")
	if d.IntN(4) == 0 {
		return s
	}
	s += "/providers/n/" + d.pick("k/1", "k/2", "kk/1")
	if d.IntN(2) == 0 {
		s += "/c/" + d.pick("1", "2")
	}
	return s
}

func (d dice) list(max int) []string {
	out := []string{}
	for range d.IntN(max + 1) {
		out = append(out, d.action())
	}
	return out
}

func (d dice) role() modelRole {
	return modelRole{append(d.list(2), d.action()), d.list(2), d.list(2), d.list(1)}
}

func (r modelRole) permission() Permission {
	return Permission{Actions: r.actions, NotActions: r.not, DataActions: r.data, NotDataActions: r.notData}
}

// world throws a world, for the model and for the product.
func (d dice) world(t testing.TB) (*modelWorld, *Grants) {
	people := []string{"p", "g1", "g2", "stranger"}
	w := &modelWorld{me: []string{"p", "g1", "g2"}, parent: map[string]string{}}
	tr := &tree{root: modelGroupKey("t"), parent: map[string]string{}}
	for i, g := range modelGroups { // a group's parent is an earlier one, or the root group
		if n := d.IntN(i + 1); n > 0 {
			w.parent[modelGroupKey(g)], tr.parent[modelGroupKey(g)] = modelGroupKey(modelGroups[n-1]), modelGroupKey(modelGroups[n-1])
		}
	}
	for _, s := range modelSubs {
		if d.IntN(3) > 0 {
			g := modelGroupKey(d.pick(modelGroups...))
			w.parent[s], tr.parent[s] = g, g
		}
	}
	p := principal("t", "p")
	g := &Grants{principal: p, groups: w.me[1:], tree: tr, owns: func(string) bool { return true }}
	for i := range d.IntN(6) {
		m := modelGrant{who: d.pick(people...), scope: d.scope()}
		var permissions []Permission
		for range 1 + d.IntN(2) {
			r := d.role()
			m.roles, permissions = append(m.roles, r), append(permissions, r.permission())
		}
		a := Assignment{ID: strconv.Itoa(i), Principal: m.who, Scope: m.scope}
		if d.IntN(4) == 0 {
			m.onlyNamed = d.pick("g", "h")
			e, err := condition.Parse("@Resource[Microsoft.Resources/resourceGroups:name] StringEquals '" + m.onlyNamed + "'")
			if err != nil {
				t.Fatal(err)
			}
			a.conditional, a.condition = true, e
		}
		w.grants = append(w.grants, m)
		if has(w.me, m.who) { // the store's query by principal does this
			g.list = append(g.list, held{a, compile(Role{Permissions: permissions})})
		}
	}
	for range d.IntN(3) {
		m := modelDeny{scope: d.scope(), exact: d.IntN(3) == 0, rule: d.role(), who: []string{d.pick(append(people, Everyone)...)}}
		if d.IntN(2) == 0 {
			m.except = []string{d.pick(people...)}
		}
		w.denies = append(w.denies, m)
		n := Deny{Scope: m.scope, exact: m.exact, who: m.who, except: m.except, role: compile(Role{Permissions: []Permission{m.rule.permission()}})}
		if g.concerns(n) {
			g.denies = append(g.denies, n)
		}
	}
	return w, g
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
	asked, allowed, denied := 0, 0, 0
	for seed := uint64(1); asked < questions; seed++ {
		d := dice{rand.New(rand.NewPCG(seed, 2026))}
		w, g := d.world(t)
		for range 250 {
			scope, action, data := d.scope(), d.asked(), d.IntN(4) == 0
			at := scopeOf(t, scope)
			got := g.decide(question{action: action, data: data, scope: at})
			if want := w.allows(action, scope, data); got.allowed != want {
				t.Fatalf("seed %d: %s (data %v) at %s: %v, the model says %v\n%+v", seed, action, data, scope, got.allowed, want, w)
			}
			asked++
			if got.allowed {
				allowed++
			}
			if got.deny != nil {
				denied++
			}
		}
	}
	if allowed < asked/50 || denied < asked/200 {
		t.Errorf("the questions are too easy: %d allowed, %d denied of %d", allowed, denied, asked)
	}
	fmt.Printf("rbac: %d random questions compared with the model, 0 differences (%d allowed, %d stopped by a deny assignment)\n", asked, allowed, denied)
}

var parsedScopes = map[string]arm.ID{} // parsing is not what is measured

func scopeOf(t testing.TB, key string) arm.ID {
	if at, ok := parsedScopes[key]; ok {
		return at
	}
	path := strings.TrimPrefix(key, modelRoot)
	p, err := arm.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID.Subscription == "" {
		p.ID.Tenant = "t"
	}
	parsedScopes[key] = p.ID
	return p.ID
}
