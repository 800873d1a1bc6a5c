package expr

import (
	"slices"
	"sort"
	"strings"

	"vitrine/internal/template/tree"
)

// collectionFunctions are the functions over arrays and objects, and those over strings as well. Never written to.
var collectionFunctions = map[string]function{
	"array":        {min: 1, max: 1, eval: toArray},
	"coalesce":     {min: 1, max: -1, eval: coalesce, lazy: true},
	"concat":       {min: 0, max: -1, eval: concat},
	"contains":     {min: 2, max: 2, eval: contains},
	"createarray":  {min: 0, max: -1, eval: func(c *invocation) (any, error) { return append([]any{}, c.args...), nil }},
	"createobject": {min: 0, max: -1, eval: createObject},
	"empty":        {min: 1, max: 1, eval: empty},
	"first":        {min: 1, max: 1, eval: func(c *invocation) (any, error) { return c.edge(true) }},
	"flatten":      {min: 1, max: 1, eval: flatten},
	"indexof":      {min: 2, max: 2, eval: func(c *invocation) (any, error) { return c.search(strings.Index) }},
	"intersection": {min: 2, max: -1, eval: intersection},
	"items":        {min: 1, max: 1, eval: items},
	"last":         {min: 1, max: 1, eval: func(c *invocation) (any, error) { return c.edge(false) }},
	"lastindexof":  {min: 2, max: 2, eval: func(c *invocation) (any, error) { return c.search(strings.LastIndex) }},
	"length":       {min: 1, max: 1, eval: length},
	"null":         constant(nil),
	"objectkeys":   {min: 1, max: 1, eval: objectKeys},
	"range":        {min: 2, max: 2, eval: numbers},
	"skip":         {min: 2, max: 2, eval: func(c *invocation) (any, error) { return c.cut(true) }},
	"take":         {min: 2, max: 2, eval: func(c *invocation) (any, error) { return c.cut(false) }},
	"tryget":       {min: 2, max: -1, eval: tryGet},
	"union":        {min: 2, max: -1, eval: union},
}

func toArray(c *invocation) (any, error) {
	if list, ok := c.args[0].([]any); ok {
		return list, nil
	}
	return []any{c.args[0]}, nil
}

func coalesce(c *invocation) (any, error) {
	for _, n := range c.nodes {
		if v, err := n.eval(c.ev); v != nil || err != nil {
			return v, err
		}
	}
	return nil, nil
}

// concat joins arrays, or strings, numbers and booleans.
func concat(c *invocation) (any, error) {
	if len(c.args) == 0 {
		return "", nil
	}
	if _, ok := c.args[0].([]any); ok {
		all := []any{}
		for i := range c.args {
			list, err := c.list(i)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		return all, nil
	}
	var b strings.Builder
	for i, a := range c.args {
		switch a.(type) {
		case nil, []any, *tree.Object:
			return nil, c.mistyped(i, "String, Integer, Boolean")
		}
		s, err := formatValue(a, "")
		if err != nil {
			return nil, err
		}
		if b.WriteString(s); b.Len() > maxString {
			return nil, ErrTooMuch
		}
	}
	return b.String(), nil
}

// contains looks for an element, a member's name (in any case) or a part of a string (in its case).
func contains(c *invocation) (any, error) {
	switch in := c.args[0].(type) {
	case []any:
		return slices.ContainsFunc(in, func(e any) bool { return tree.Equal(e, c.args[1]) }), nil
	case *tree.Object:
		name, err := c.text(1)
		if err != nil {
			return nil, err
		}
		_, ok := in.Get(name)
		return ok, nil
	case string:
		part, err := formatValue(c.args[1], "")
		return strings.Contains(in, part), err
	}
	return nil, c.mistyped(0, "Object, Array, String")
}

func createObject(c *invocation) (any, error) {
	if len(c.args)%2 != 0 {
		return nil, c.fail("expects an even number of parameters")
	}
	o := tree.NewObject()
	for i := 0; i < len(c.args); i += 2 {
		name, err := c.text(i)
		if err != nil {
			return nil, err
		}
		o.Set(name, c.args[i+1])
	}
	return o, nil
}

func size(c *invocation) (int, error) {
	switch v := c.args[0].(type) {
	case nil:
		return 0, nil
	case string:
		return len([]rune(v)), nil
	case []any:
		return len(v), nil
	case *tree.Object:
		return v.Len(), nil
	}
	return 0, c.mistyped(0, "Object, Array, String")
}

func empty(c *invocation) (any, error) {
	n, err := size(c)
	return n == 0, err
}

func length(c *invocation) (any, error) {
	if c.args[0] == nil {
		return nil, c.mistyped(0, "Object, Array, String")
	}
	n, err := size(c)
	return int64(n), err
}

// edge is the first or last element or character; of nothing it is null, or an empty string.
func (c *invocation) edge(first bool) (any, error) {
	switch v := c.args[0].(type) {
	case []any:
		switch {
		case len(v) == 0:
			return nil, nil
		case first:
			return v[0], nil
		}
		return v[len(v)-1], nil
	case string:
		runes := []rune(v)
		switch {
		case len(runes) == 0:
			return "", nil
		case first:
			return string(runes[0]), nil
		}
		return string(runes[len(runes)-1]), nil
	}
	return nil, c.mistyped(0, "Array, String")
}

// cut skips or takes the first elements or characters.
func (c *invocation) cut(skip bool) (any, error) {
	n, err := c.count(1)
	if err != nil {
		return nil, err
	}
	total, err := size(c)
	if err != nil {
		return nil, err
	}
	n = min(n, total)
	switch v := c.args[0].(type) {
	case []any:
		if skip {
			return append([]any{}, v[n:]...), nil
		}
		return append([]any{}, v[:n]...), nil
	case string:
		runes := []rune(v)
		if skip {
			return string(runes[n:]), nil
		}
		return string(runes[:n]), nil
	}
	return nil, c.mistyped(0, "Array, String")
}

// search is indexOf and lastIndexOf: in strings without regard to case.
func (c *invocation) search(find func(s, part string) int) (any, error) {
	if list, ok := c.args[0].([]any); ok {
		at := slices.IndexFunc(list, func(e any) bool { return tree.Equal(e, c.args[1]) })
		if at >= 0 && tree.Fold(c.name) == "lastindexof" {
			for at = len(list) - 1; !tree.Equal(list[at], c.args[1]); at-- {
			}
		}
		return int64(at), nil
	}
	s, err := c.text(0)
	if err != nil {
		return nil, err
	}
	part, err := c.text(1)
	if err != nil {
		return nil, err
	}
	s = tree.Fold(s)
	at := find(s, tree.Fold(part))
	if at > 0 {
		at = len([]rune(s[:at]))
	}
	return int64(at), nil
}

func flatten(c *invocation) (any, error) {
	list, err := c.list(0)
	if err != nil {
		return nil, err
	}
	flat := []any{}
	for _, e := range list {
		inner, ok := e.([]any)
		if !ok {
			return nil, c.fail("expects an array of arrays")
		}
		flat = append(flat, inner...)
	}
	return flat, nil
}

// items makes an array of key and value, ordered by key.
func items(c *invocation) (any, error) {
	o, err := c.object(0)
	if err != nil {
		return nil, err
	}
	names := o.Keys()
	sort.Slice(names, func(i, j int) bool { return tree.Fold(names[i]) < tree.Fold(names[j]) })
	list := []any{}
	for _, name := range names {
		v, _ := o.Get(name)
		list = append(list, tree.ObjectOf("key", name, "value", v))
	}
	return list, nil
}

func objectKeys(c *invocation) (any, error) {
	o, err := c.object(0)
	if err != nil {
		return nil, err
	}
	names := o.Keys()
	sort.Slice(names, func(i, j int) bool { return tree.Fold(names[i]) < tree.Fold(names[j]) })
	list := make([]any, 0, len(names))
	for _, name := range names {
		list = append(list, name)
	}
	return list, nil
}

func numbers(c *invocation) (any, error) {
	start, err := c.integer(0)
	if err != nil {
		return nil, err
	}
	n, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > maxRange || start+n < start || start+n > 2147483647 {
		return nil, c.fail("expects a count from 0 to %d and a sum with the start of at most 2147483647", maxRange)
	}
	list := make([]any, 0, n)
	for i := range n {
		list = append(list, start+i)
	}
	return list, nil
}

// tryGet follows names and indexes; where one is missing the answer is null.
func tryGet(c *invocation) (any, error) {
	v := c.args[0]
	for _, at := range c.args[1:] {
		next, err := pick(v, at)
		if err != nil {
			return nil, nil
		}
		v = next
	}
	return v, nil
}

// union joins arrays without doubles, or objects, where later members win and objects within are joined too.
func union(c *invocation) (any, error) {
	if _, ok := c.args[0].(*tree.Object); ok {
		all := tree.NewObject()
		for i := range c.args {
			o, err := c.object(i)
			if err != nil {
				return nil, err
			}
			all = merge(all, o)
		}
		return all, nil
	}
	all := []any{}
	for i := range c.args {
		list, err := c.list(i)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if err := c.ev.Spend(len(all) / 8); err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(all, func(known any) bool { return tree.Equal(known, e) }) {
				all = append(all, e)
			}
		}
	}
	return all, nil
}

func merge(a, b *tree.Object) *tree.Object {
	all := tree.NewObject()
	for _, o := range []*tree.Object{a, b} {
		for i, name := range o.Names {
			v := o.Values[i]
			if known, ok := all.Get(name); ok {
				x, isX := known.(*tree.Object)
				y, isY := v.(*tree.Object)
				if isX && isY {
					v = merge(x, y)
				}
			}
			all.Set(name, v)
		}
	}
	return all
}

func intersection(c *invocation) (any, error) {
	if first, ok := c.args[0].(*tree.Object); ok {
		common := tree.NewObject()
		for i, name := range first.Names {
			kept := true
			for j := 1; j < len(c.args) && kept; j++ {
				other, err := c.object(j)
				if err != nil {
					return nil, err
				}
				v, ok := other.Get(name)
				kept = ok && tree.Equal(v, first.Values[i])
			}
			if kept {
				common.Set(name, first.Values[i])
			}
		}
		return common, nil
	}
	common, err := c.list(0)
	for j := 1; j < len(c.args) && err == nil; j++ {
		var other []any
		if other, err = c.list(j); err != nil {
			break
		}
		kept := []any{}
		for _, e := range common {
			if err := c.ev.Spend(len(other) / 8); err != nil {
				return nil, err
			}
			has := func(x any) bool { return tree.Equal(x, e) }
			if slices.ContainsFunc(other, has) && !slices.ContainsFunc(kept, has) {
				kept = append(kept, e)
			}
		}
		common = kept
	}
	return common, err
}
