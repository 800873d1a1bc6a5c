package builtin

import (
	"slices"
	"sort"
	"strings"

	"vitrine/internal/template/tree"
)

// collectionFunctions are the functions over arrays and objects, and those over strings as well. Never written to.
var collectionFunctions = map[string]Function{
	"array":           {Min: 1, Max: 1, Eval: toArray},
	"concat":          {Min: 0, Max: -1, Eval: concat},
	"contains":        {Min: 2, Max: 2, Eval: contains},
	"createarray":     {Min: 0, Max: -1, Eval: func(c *Call) (any, error) { return append([]any{}, c.Args...), nil }},
	"createobject":    {Min: 0, Max: -1, Eval: createObject},
	"distinct":        {Min: 1, Max: 1, Eval: distinct},
	"empty":           {Min: 1, Max: 1, Eval: empty},
	"first":           {Min: 1, Max: 1, Eval: func(c *Call) (any, error) { return c.edge(true) }},
	"flatten":         {Min: 1, Max: 1, Eval: flatten},
	"indexfromend":    {Min: 2, Max: 2, Eval: indexFromEnd},
	"indexof":         {Min: 2, Max: 2, Eval: func(c *Call) (any, error) { return c.search(strings.Index) }},
	"intersection":    {Min: 2, Max: -1, Eval: intersection},
	"items":           {Min: 1, Max: 1, Eval: items},
	"last":            {Min: 1, Max: 1, Eval: func(c *Call) (any, error) { return c.edge(false) }},
	"lastindexof":     {Min: 2, Max: 2, Eval: func(c *Call) (any, error) { return c.search(strings.LastIndex) }},
	"length":          {Min: 1, Max: 1, Eval: length},
	"null":            constant(nil),
	"objectkeys":      {Min: 1, Max: 1, Eval: objectKeys},
	"range":           {Min: 2, Max: 2, Eval: numbers},
	"shallowmerge":    {Min: 1, Max: 1, Eval: shallowMerge},
	"skip":            {Min: 2, Max: 2, Eval: func(c *Call) (any, error) { return c.cut(true) }},
	"take":            {Min: 2, Max: 2, Eval: func(c *Call) (any, error) { return c.cut(false) }},
	"tryget":          {Min: 2, Max: -1, Eval: tryGet},
	"tryindexfromend": {Min: 2, Max: -1, Eval: tryIndexFromEnd},
	"union":           {Min: 2, Max: -1, Eval: union},
}

func toArray(c *Call) (any, error) {
	if list, ok := c.Args[0].([]any); ok {
		return list, nil
	}
	return []any{c.Args[0]}, nil
}

// concat joins arrays, or strings, numbers and booleans.
func concat(c *Call) (any, error) {
	if len(c.Args) == 0 {
		return "", nil
	}
	if _, ok := c.Args[0].([]any); ok {
		all := []any{}
		for i := range c.Args {
			list, err := c.List(i)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		return all, nil
	}
	var b strings.Builder
	for i, a := range c.Args {
		switch a.(type) {
		case nil, []any, *tree.Object:
			return nil, c.Mistyped(i, "String, Integer, Boolean")
		}
		s, err := formatValue(a, "")
		if err != nil {
			return nil, err
		}
		if b.WriteString(s); b.Len() > MaxString {
			return nil, ErrTooMuch
		}
	}
	return b.String(), nil
}

// contains looks for an element, a member's name (in any case) or a part of a string (in its case).
func contains(c *Call) (any, error) {
	switch in := c.Args[0].(type) {
	case []any:
		return slices.ContainsFunc(in, func(e any) bool { return tree.Equal(e, c.Args[1]) }), nil
	case *tree.Object:
		name, err := c.Text(1)
		if err != nil {
			return nil, err
		}
		_, ok := in.Get(name)
		return ok, nil
	case string:
		part, err := formatValue(c.Args[1], "")
		return strings.Contains(in, part), err
	}
	return nil, c.Mistyped(0, "Object, Array, String")
}

func createObject(c *Call) (any, error) {
	if len(c.Args)%2 != 0 {
		return nil, c.Fail("expects an even number of parameters")
	}
	o := tree.NewObject()
	for i := 0; i < len(c.Args); i += 2 {
		name, err := c.Text(i)
		if err != nil {
			return nil, err
		}
		o.Set(name, c.Args[i+1])
	}
	return o, nil
}

func size(c *Call) (int, error) {
	switch v := c.Args[0].(type) {
	case nil:
		return 0, nil
	case string:
		return len([]rune(v)), nil
	case []any:
		return len(v), nil
	case *tree.Object:
		return v.Len(), nil
	}
	return 0, c.Mistyped(0, "Object, Array, String")
}

func empty(c *Call) (any, error) {
	n, err := size(c)
	return n == 0, err
}

func length(c *Call) (any, error) {
	if c.Args[0] == nil {
		return nil, c.Mistyped(0, "Object, Array, String")
	}
	n, err := size(c)
	return int64(n), err
}

// edge is the first or last element or character; of nothing it is null, or an empty string.
func (c *Call) edge(first bool) (any, error) {
	switch v := c.Args[0].(type) {
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
	return nil, c.Mistyped(0, "Array, String")
}

// cut skips or takes the first elements or characters.
func (c *Call) cut(skip bool) (any, error) {
	n, err := c.Count(1)
	if err != nil {
		return nil, err
	}
	total, err := size(c)
	if err != nil {
		return nil, err
	}
	n = min(n, total)
	switch v := c.Args[0].(type) {
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
	return nil, c.Mistyped(0, "Array, String")
}

// search is indexOf and lastIndexOf: in strings without regard to case.
func (c *Call) search(find func(s, part string) int) (any, error) {
	if list, ok := c.Args[0].([]any); ok {
		at := slices.IndexFunc(list, func(e any) bool { return tree.Equal(e, c.Args[1]) })
		if at >= 0 && tree.Fold(c.Name) == "lastindexof" {
			for at = len(list) - 1; !tree.Equal(list[at], c.Args[1]); at-- {
			}
		}
		return int64(at), nil
	}
	s, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	part, err := c.Text(1)
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

func flatten(c *Call) (any, error) {
	list, err := c.List(0)
	if err != nil {
		return nil, err
	}
	flat := []any{}
	for _, e := range list {
		inner, ok := e.([]any)
		if !ok {
			return nil, c.Fail("expects an array of arrays")
		}
		flat = append(flat, inner...)
	}
	return flat, nil
}

// items makes an array of key and value, ordered by key.
func items(c *Call) (any, error) {
	o, err := c.Object(0)
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

func objectKeys(c *Call) (any, error) {
	o, err := c.Object(0)
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

func numbers(c *Call) (any, error) {
	start, err := c.Integer(0)
	if err != nil {
		return nil, err
	}
	n, err := c.Integer(1)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > maxRange || start+n < start || start+n > 2147483647 {
		return nil, c.Fail("expects a count from 0 to %d and a sum with the start of at most 2147483647", maxRange)
	}
	list := make([]any, 0, n)
	for i := range n {
		list = append(list, start+i)
	}
	return list, nil
}

// heft is about how many bytes of a value are looked at when it is compared with its like.
func heft(v any) int {
	n := 8
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, e := range v {
			n += heft(e)
		}
	case *tree.Object:
		for i, name := range v.Names {
			n += len(name) + heft(v.Values[i])
		}
	}
	return n
}

// union joins arrays without doubles, or objects, where later members win and objects within are joined too.
func union(c *Call) (any, error) {
	if _, ok := c.Args[0].(*tree.Object); ok {
		all := tree.NewObject()
		for i := range c.Args {
			o, err := c.Object(i)
			if err != nil {
				return nil, err
			}
			all = merge(all, o)
		}
		return all, nil
	}
	all := []any{}
	for i := range c.Args {
		list, err := c.List(i)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if err := c.Spend(len(all) * (1 + heft(e)/64) / 8); err != nil {
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

func intersection(c *Call) (any, error) {
	if first, ok := c.Args[0].(*tree.Object); ok {
		common := tree.NewObject()
		for i, name := range first.Names {
			kept := true
			for j := 1; j < len(c.Args) && kept; j++ {
				other, err := c.Object(j)
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
	common, err := c.List(0)
	for j := 1; j < len(c.Args) && err == nil; j++ {
		var other []any
		if other, err = c.List(j); err != nil {
			break
		}
		kept := []any{}
		for _, e := range common {
			if err := c.Spend((len(other) + len(kept)) * (1 + heft(e)/64) / 8); err != nil {
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

// distinct keeps the first of equal elements.
func distinct(c *Call) (any, error) {
	if _, err := c.List(0); err != nil {
		return nil, err
	}
	return union(c)
}

// shallowMerge joins the objects of an array; later members win whole.
func shallowMerge(c *Call) (any, error) {
	list, err := c.List(0)
	if err != nil {
		return nil, err
	}
	all := tree.NewObject()
	for _, e := range list {
		o, ok := e.(*tree.Object)
		if !ok {
			return nil, c.Fail("expects an array of objects. An element is of type '%s'", tree.TypeName(e))
		}
		for i, name := range o.Names {
			all.Set(name, o.Values[i])
		}
	}
	return all, nil
}
