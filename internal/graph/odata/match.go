package odata

import (
	"fmt"
	"strings"
	"time"
)

// Match says whether the filter is true of an object. A nil filter is true of all.
func (f *Filter) Match(object map[string]any) bool {
	return f == nil || f.root.match(object, nil)
}

func (b both) match(o any, v map[string]any) bool   { return b.a.match(o, v) && b.b.match(o, v) }
func (e either) match(o any, v map[string]any) bool { return e.a.match(o, v) || e.b.match(o, v) }
func (n not) match(o any, v map[string]any) bool    { return !n.a.match(o, v) }

func (c compare) match(o any, v map[string]any) bool { return c.to.holds(c.path.of(o, v), c.op) }

func (i oneOf) match(o any, v map[string]any) bool {
	value := i.path.of(o, v)
	for _, l := range i.to {
		if l.holds(value, "eq") {
			return true
		}
	}
	return false
}

func (f function) match(o any, v map[string]any) bool {
	s, ok := f.path.of(o, v).(string)
	if !ok {
		return false
	}
	s, arg := strings.ToLower(s), strings.ToLower(f.arg)
	switch f.name {
	case "startswith":
		return strings.HasPrefix(s, arg)
	case "endswith":
		return strings.HasSuffix(s, arg)
	}
	return strings.Contains(s, arg)
}

func (l lambda) match(o any, v map[string]any) bool {
	items := elements(l.path.of(o, v))
	if l.body == nil {
		return len(items) > 0
	}
	for _, item := range items {
		inner := map[string]any{l.name: item}
		for name, value := range v {
			if name != l.name {
				inner[name] = value
			}
		}
		if l.body.match(o, inner) != l.all {
			return !l.all
		}
	}
	return l.all
}

// of reads a property of an object, or of a lambda's variable. What is not there is null.
func (p path) of(o any, vars map[string]any) any {
	rest := p
	if value, ok := vars[p[0]]; ok {
		o, rest = value, p[1:]
	}
	for _, name := range rest {
		m, ok := o.(map[string]any)
		if !ok {
			return nil
		}
		o = m[name]
	}
	return o
}

// elements gives the members of a collection.
func elements(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i, m := range v {
			out[i] = m
		}
		return out
	}
	return nil
}

// holds compares a value with the literal. With null only eq and ne can be true.
func (l literal) holds(value any, op string) bool {
	if l.kind == word && strings.EqualFold(l.text, "null") {
		return (value == nil) == (op == "eq") && (op == "eq" || op == "ne")
	}
	order, comparable := l.order(value)
	if !comparable {
		return op == "ne"
	}
	switch op {
	case "eq":
		return order == 0
	case "ne":
		return order != 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	}
	return order <= 0
}

// order compares a value with the literal: less, equal or greater than 0.
func (l literal) order(value any) (int, bool) {
	switch v := value.(type) {
	case string:
		if a, err := time.Parse(time.RFC3339, v); err == nil {
			if b, err := time.Parse(time.RFC3339, strings.ToUpper(l.text)); err == nil {
				return a.Compare(b), true
			}
		}
		return strings.Compare(strings.ToLower(v), strings.ToLower(l.text)), true
	case bool:
		if l.kind != word || !strings.EqualFold(l.text, "true") && !strings.EqualFold(l.text, "false") {
			return 0, false
		}
		if v == strings.EqualFold(l.text, "true") {
			return 0, true
		}
		return 1, true
	case int:
		var n int
		if l.kind != word {
			return 0, false
		}
		if _, err := fmt.Sscanf(l.text, "%d", &n); err != nil {
			return 0, false
		}
		return v - n, true
	}
	return 0, false
}

// Pinned gives the text that a property must equal for the filter to be true, if there is one: "appId eq 'x'", or for a collection
// "names/any(n:n eq 'x')", alone or joined by and. With it a caller may look up instead of reading all.
func (f *Filter) Pinned(property string) (string, bool) {
	if f == nil {
		return "", false
	}
	return pinned(f.root, property)
}

func pinned(n node, property string) (string, bool) {
	switch n := n.(type) {
	case both:
		if v, ok := pinned(n.a, property); ok {
			return v, true
		}
		return pinned(n.b, property)
	case compare:
		if len(n.path) == 1 && n.path[0] == property && n.op == "eq" && n.to.kind == text {
			return n.to.text, true
		}
	case lambda:
		if c, ok := n.body.(compare); ok && !n.all && len(n.path) == 1 && n.path[0] == property &&
			len(c.path) == 1 && c.path[0] == n.name && c.op == "eq" && c.to.kind == text {
			return c.to.text, true
		}
	}
	return "", false
}

// Check refuses a filter on what an object of the kind of sample does not have.
func (f *Filter) Check(sample map[string]any) error {
	if f == nil {
		return nil
	}
	return check(f.root, sample, nil)
}

func check(n node, sample map[string]any, vars []string) error {
	known := func(p path) error {
		for _, v := range vars {
			if v == p[0] {
				return nil
			}
		}
		if _, ok := sample[p[0]]; !ok {
			return invalidFilter("Could not find a property named '%.64s'.", p[0])
		}
		return nil
	}
	join := func(a, b node) error {
		if err := check(a, sample, vars); err != nil {
			return err
		}
		return check(b, sample, vars)
	}
	switch n := n.(type) {
	case both:
		return join(n.a, n.b)
	case either:
		return join(n.a, n.b)
	case not:
		return check(n.a, sample, vars)
	case compare:
		return known(n.path)
	case oneOf:
		return known(n.path)
	case function:
		return known(n.path)
	case lambda:
		if err := known(n.path); err != nil || n.body == nil {
			return err
		}
		return check(n.body, sample, append(vars[:len(vars):len(vars)], n.name))
	}
	return nil
}
