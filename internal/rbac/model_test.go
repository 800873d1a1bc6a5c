package rbac

import (
	"slices"
	"strings"
)

// The model is the documented rules, written as slowly as they read: every assignment, every scope above as a list of segments, every
// pattern by recursion, every condition as the set of values that it may have. It shares no code with what it checks, and no
// document: the same throw of dice is told to both.

type modelRole struct {
	actions, not, data, notData []string
}

type modelGrant struct {
	who, scope string
	roles      []modelRole
	gone       bool // its definition was deleted
	condition  clause
}

type modelDeny struct {
	who, except []string
	scope       string
	exact       bool
	rules       []modelRole
}

type modelLock struct {
	scope string
	hard  bool // ReadOnly
}

type modelWorld struct {
	members map[string][]string // of a group: principals and groups
	grants  []modelGrant
	denies  []modelDeny
	locks   []modelLock
	parent  map[string]string // of management groups and subscriptions; absent: the root group
}

// modelQuestion is what is asked: keys are lower case.
type modelQuestion struct {
	me, action, scope string
	data              bool
	request, resource map[string][]string // attributes
}

var (
	modelSubs    = []string{"/subscriptions/s1", "/subscriptions/s2"}
	modelForeign = "/subscriptions/s3" // of tenant u
	modelGroups  = []string{"m1", "m2", "m3"}
	modelPeople  = []string{"p", "q", "r"}
	modelCrews   = []string{"g1", "g2", "g3", "g4"}
)

const modelRoot = "/tenants/t"

func modelGroupKey(name string) string {
	return modelRoot + "/providers/microsoft.management/managementgroups/" + name
}

// modelAbove lists everything above and at a scope, by cutting its path.
func (w *modelWorld) modelAbove(scope string) []string {
	if strings.HasPrefix(scope, modelForeign) {
		return nil // a principal has rights in its own tenant only
	}
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
		climb(w.parent[strings.Join(parts[:3], "/")])
	}
	return out
}

// iAm lists a principal and all groups that it is in: groups are added until none is new.
func (w *modelWorld) iAm(me string) []string {
	mine := []string{me}
	for grew := true; grew; {
		grew = false
		for _, crew := range modelCrews {
			for _, m := range w.members[crew] {
				if slices.Contains(mine, m) && !slices.Contains(mine, crew) {
					mine, grew = append(mine, crew), true
				}
			}
		}
	}
	return mine
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

// denied: a deny assignment for one of mine, for no excluded one, at the scope or above it.
func (w *modelWorld) denied(q modelQuestion, mine, above []string) bool {
	for _, d := range w.denies {
		forMe, spared := slices.Contains(d.who, Everyone), false
		for _, me := range mine {
			forMe = forMe || slices.Contains(d.who, me)
			spared = spared || slices.Contains(d.except, me)
		}
		if !forMe || spared || !slices.Contains(above, d.scope) || d.exact && d.scope != q.scope {
			continue
		}
		for _, r := range d.rules {
			if r.allows(q.action, q.data) {
				return true
			}
		}
	}
	return false
}

func (w *modelWorld) allows(q modelQuestion) bool {
	mine, above := w.iAm(q.me), w.modelAbove(q.scope)
	if w.denied(q, mine, above) {
		return false
	}
	for _, g := range w.grants {
		if g.gone || !slices.Contains(mine, g.who) || !slices.Contains(above, g.scope) {
			continue
		}
		if g.condition != nil {
			if values := g.condition.may(q); len(values) != 1 || !values[true] {
				continue // only what is surely true grants
			}
		}
		for _, r := range g.roles {
			if r.allows(q.action, q.data) {
				return true
			}
		}
	}
	return false
}

// locked: "ReadOnly" at or above stops all but reading; any lock at or above or below stops deletion; locks can always be taken off.
func (w *modelWorld) locked(q modelQuestion) bool {
	verb := q.action[strings.LastIndex(q.action, "/")+1:]
	if verb == "read" || strings.HasPrefix(q.action, "microsoft.authorization/locks/") {
		return false
	}
	for _, l := range w.locks {
		covers := (q.scope + "/")[:min(len(q.scope)+1, len(l.scope)+1)] == l.scope+"/"
		inside := (l.scope + "/")[:min(len(q.scope)+1, len(l.scope)+1)] == q.scope+"/"
		if verb == "delete" && (covers || inside) || l.hard && covers {
			return true
		}
	}
	return false
}

// A clause is a condition's part: as text for the product, and as the set of values that it may have for the model. What asks for what
// is not there may be either.
type clause interface {
	text(d dice) string
	may(q modelQuestion) map[bool]bool
}

type anyOf3 map[bool]bool

func surely(b bool) map[bool]bool { return anyOf3{b: true} }

func neither() map[bool]bool { return anyOf3{true: true, false: true} }

// combine gives the values of f over every pair of values.
func combine(a, b map[bool]bool, f func(x, y bool) bool) map[bool]bool {
	out := anyOf3{}
	for x := range a {
		for y := range b {
			out[f(x, y)] = true
		}
	}
	return out
}

func both(x, y bool) bool   { return x && y }
func either(x, y bool) bool { return x || y }

type joined struct {
	parts []clause
	and   bool
}

func (j joined) may(q modelQuestion) map[bool]bool {
	f := either
	if j.and {
		f = both
	}
	out := surely(j.and)
	for _, p := range j.parts {
		out = combine(out, p.may(q), f)
	}
	return out
}

type inverse struct{ of clause }

func (n inverse) may(q modelQuestion) map[bool]bool {
	return combine(n.of.may(q), surely(true), func(x, _ bool) bool { return !x })
}

type actionIs struct {
	patterns []string
	sub      bool
}

func (a actionIs) may(q modelQuestion) map[bool]bool {
	asked := q.action
	if a.sub {
		asked = "" // no request of Resource Manager has a sub-operation
	}
	return surely(modelAny(a.patterns, asked))
}

type presence struct {
	source, name string
	absent       bool
}

func (p presence) may(q modelQuestion) map[bool]bool {
	return surely((len(q.attribute(p.source, p.name)) > 0) != p.absent)
}

// attribute: of the request what came with it; of the resource what is known of it, else the names in its path.
func (q modelQuestion) attribute(source, name string) []string {
	if source == "Request" {
		return q.request[strings.ToLower(name)]
	}
	if v, ok := q.resource[strings.ToLower(name)]; ok {
		return v
	}
	of, ok := strings.CutSuffix(strings.ToLower(name), ":name")
	parts := strings.Split(q.scope, "/")
	if !ok || len(parts) < 3 || parts[1] != "subscriptions" {
		return nil
	}
	names := map[string]string{"microsoft.resources/subscriptions": parts[2]}
	if len(parts) > 4 {
		names["microsoft.resources/resourcegroups"] = parts[4]
	}
	typ := ""
	for i := 6; i < len(parts); i++ {
		if i == 6 || i%2 == 1 {
			typ += parts[i] + "/"
		} else {
			names[strings.TrimSuffix(typ, "/")] = parts[i]
		}
	}
	if v := names[of]; v != "" {
		return []string{v}
	}
	return nil
}

// compared is an attribute compared with values (or, in other, with another attribute).
type compared struct {
	source, name string
	quantifier   string // "", or one of the four
	op           string
	values       []string
	other        *presence // the attribute on the right
	swapped      bool      // the values stand on the left
}

func (c compared) may(q modelQuestion) map[bool]bool {
	left, right := q.attribute(c.source, c.name), c.values
	if c.other != nil {
		right = q.attribute(c.other.source, c.other.name)
	}
	if len(left) == 0 || len(right) == 0 {
		return neither()
	}
	if c.swapped {
		left, right = right, left
	}
	outer, inner := either, either // ForAnyOfAnyValues, also when nothing is written
	switch c.quantifier {
	case "ForAllOfAnyValues":
		outer = both
	case "ForAnyOfAllValues":
		inner = both
	case "ForAllOfAllValues":
		outer, inner = both, both
	}
	fold := func(f func(x, y bool) bool, list []string, of func(string) map[bool]bool) map[bool]bool {
		out := of(list[0])
		for _, s := range list[1:] {
			out = combine(out, of(s), f)
		}
		return out
	}
	return fold(outer, left, func(l string) map[bool]bool {
		return fold(inner, right, func(r string) map[bool]bool { return c.compare(l, r) })
	})
}

// compare is the table of operators.
func (c compared) compare(l, r string) map[bool]bool {
	lower := strings.ToLower
	number := func(f func(a, b int) bool) map[bool]bool {
		a, ok1 := digits(l)
		b, ok2 := digits(r)
		if !ok1 || !ok2 {
			return neither()
		}
		return surely(f(a, b))
	}
	switch c.op {
	case "StringEquals":
		return surely(l == r)
	case "StringNotEquals":
		return surely(l != r)
	case "StringEqualsIgnoreCase":
		return surely(lower(l) == lower(r))
	case "StringNotEqualsIgnoreCase":
		return surely(lower(l) != lower(r))
	case "StringLike":
		return surely(naiveLike(r, l))
	case "StringNotLike":
		return surely(!naiveLike(r, l))
	case "StringLikeIgnoreCase":
		return surely(naiveLike(lower(r), lower(l)))
	case "StringStartsWith":
		return surely(len(l) >= len(r) && l[:len(r)] == r)
	case "StringNotStartsWith":
		return surely(len(l) < len(r) || l[:len(r)] != r)
	case "GuidEquals":
		return surely(lower(l) == lower(r))
	case "GuidNotEquals":
		return surely(lower(l) != lower(r))
	case "NumericEquals":
		return number(func(a, b int) bool { return a == b })
	case "NumericNotEquals":
		return number(func(a, b int) bool { return a != b })
	case "NumericLessThan":
		return number(func(a, b int) bool { return a < b })
	case "NumericGreaterThanEquals":
		return number(func(a, b int) bool { return a >= b })
	}
	panic(c.op)
}

func digits(s string) (int, bool) {
	n := 0
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0, false
		}
		n = 10*n + int(r-'0')
	}
	return n, s != ""
}

// naiveLike is a pattern of StringLike: '*' any characters, '?' one.
func naiveLike(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return naiveLike(pattern[1:], s) || s != "" && naiveLike(pattern, s[1:])
	}
	return s != "" && (pattern[0] == '?' || pattern[0] == s[0]) && naiveLike(pattern[1:], s[1:])
}

// broken is a condition that cannot be read: it grants nothing.
type broken struct{}

func (broken) may(modelQuestion) map[bool]bool { return neither() }
func (broken) text(dice) string                { return "@Resource[a] StringEquals" }
