package condition

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Request is what a condition is asked about.
type Request struct {
	Action     string // as in a role definition
	Sub        string // the sub-operation, for SubOperationMatches
	Attributes func(Attribute) ([]string, bool)
}

// Holds tells whether the condition is true. What cannot be evaluated is not.
func (e *Expr) Holds(r Request) bool { return e != nil && e.root.eval(&r) == yes }

// answer is the logic's value: unknown stands between no and yes.
type answer int

const (
	no answer = iota
	unknown
	yes
)

func truth(b bool) answer {
	if b {
		return yes
	}
	return no
}

type node interface{ eval(*Request) answer }

// series joins by AND (the least answer counts) or by OR (the greatest).
type series struct {
	list []node
	all  bool
}

func (s series) eval(r *Request) answer {
	out := s.list[0].eval(r)
	for _, n := range s.list[1:] {
		if a := n.eval(r); s.all && a < out || !s.all && a > out {
			out = a
		}
	}
	return out
}

type negation struct{ of node }

func (n negation) eval(r *Request) answer { return yes - n.of.eval(r) }

type matches struct {
	sub      bool
	patterns []string
}

func (m matches) eval(r *Request) answer {
	of := r.Action
	if m.sub {
		of = r.Sub
	}
	for _, p := range m.patterns {
		if like(strings.ToLower(p), strings.ToLower(of)) {
			return yes
		}
	}
	return no
}

type exists struct {
	attribute Attribute
	not       bool
}

func (e exists) eval(r *Request) answer {
	_, ok := r.value(e.attribute)
	return truth(ok != e.not)
}

func (r *Request) value(a Attribute) ([]string, bool) {
	if r.Attributes == nil {
		return nil, false
	}
	v, ok := r.Attributes(a)
	return v, ok && len(v) > 0
}

type operand struct {
	attribute *Attribute
	values    []string
}

func (o operand) of(r *Request) ([]string, bool) {
	if o.attribute == nil {
		return o.values, true
	}
	return r.value(*o.attribute)
}

// operator compares two values; ok is false when one is not of the operator's kind.
type operator func(left, right string) (is, ok bool)

// comparison is "left op right"; any says whether one value of a side is enough.
type comparison struct {
	left, right       operand
	op                operator
	leftAny, rightAny bool
}

func (c comparison) eval(r *Request) answer {
	left, ok1 := c.left.of(r)
	right, ok2 := c.right.of(r)
	if !ok1 || !ok2 {
		return unknown
	}
	return quantify(left, c.leftAny, func(l string) answer {
		return quantify(right, c.rightAny, func(r string) answer {
			is, ok := c.op(l, r)
			if !ok {
				return unknown
			}
			return truth(is)
		})
	})
}

func quantify(values []string, any bool, f func(string) answer) answer {
	out := truth(!any)
	for _, v := range values {
		if a := f(v); any && a > out || !any && a < out {
			out = a
		}
	}
	return out
}

func quantifiers() map[string][2]bool {
	return map[string][2]bool{"foranyofanyvalues": {true, true}, "forallofanyvalues": {false, true},
		"foranyofallvalues": {true, false}, "forallofallvalues": {false, false}}
}

func operators() map[string]operator {
	all := map[string]operator{}
	add := func(name, not string, f operator) {
		all[name] = f
		all[not] = func(l, r string) (bool, bool) { is, ok := f(l, r); return !is, ok }
	}
	text := func(name string, f func(l, r string) bool) {
		add("string"+name, "stringnot"+name, func(l, r string) (bool, bool) { return f(l, r), true })
		add("string"+name+"ignorecase", "stringnot"+name+"ignorecase", func(l, r string) (bool, bool) {
			return f(strings.ToLower(l), strings.ToLower(r)), true
		})
	}
	text("equals", func(l, r string) bool { return l == r })
	text("like", func(l, r string) bool { return like(r, l) })
	text("startswith", strings.HasPrefix)
	add("guidequals", "guidnotequals", func(l, r string) (bool, bool) { return guid(l) == guid(r), true })
	add("boolequals", "boolnotequals", func(l, r string) (bool, bool) {
		a, err1 := strconv.ParseBool(l)
		b, err2 := strconv.ParseBool(r)
		return a == b, err1 == nil && err2 == nil
	})
	for kind, compare := range map[string]func(l, r string) (int, bool){"numeric": numbers, "datetime": times} {
		order := func(f func(int) bool) operator {
			return func(l, r string) (bool, bool) { n, ok := compare(l, r); return f(n), ok }
		}
		add(kind+"equals", kind+"notequals", order(func(n int) bool { return n == 0 }))
		all[kind+"lessthan"] = order(func(n int) bool { return n < 0 })
		all[kind+"lessthanequals"] = order(func(n int) bool { return n <= 0 })
		all[kind+"greaterthan"] = order(func(n int) bool { return n > 0 })
		all[kind+"greaterthanequals"] = order(func(n int) bool { return n >= 0 })
	}
	add("ipmatch", "ipnotmatch", addresses)
	return all
}

// guid is a GUID in the form that is compared: Azure's own conditions write it with hyphens and without.
func guid(s string) string {
	return strings.ToLower(strings.ReplaceAll(strings.Trim(s, "{}"), "-", ""))
}

func numbers(l, r string) (int, bool) {
	a, err1 := strconv.ParseFloat(l, 64)
	b, err2 := strconv.ParseFloat(r, 64)
	switch {
	case a < b:
		return -1, err1 == nil && err2 == nil
	case a > b:
		return 1, err1 == nil && err2 == nil
	}
	return 0, err1 == nil && err2 == nil && a == b
}

func times(l, r string) (int, bool) {
	a, err1 := time.Parse(time.RFC3339, l)
	b, err2 := time.Parse(time.RFC3339, r)
	return a.Compare(b), err1 == nil && err2 == nil
}

func addresses(l, r string) (bool, bool) {
	a, err := netip.ParseAddr(l)
	if err != nil {
		return false, false
	}
	if p, err := netip.ParsePrefix(r); err == nil {
		return p.Contains(a), true
	}
	b, err := netip.ParseAddr(r)
	return a == b, err == nil
}

// like compares with a pattern: '*' is any run of characters, '?' any one. It needs no more than pattern × text steps.
func like(pattern, s string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
