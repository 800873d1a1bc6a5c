package builtin

import (
	"fmt"
	"strings"

	"vitrine/internal/template/tree"
)

// Property is v.name.
func Property(v any, name string) (any, error) {
	o, ok := v.(*tree.Object)
	if !ok {
		return nil, fmt.Errorf("The language expression property '%s' can't be evaluated, property owner is of type '%s'", name, tree.TypeName(v))
	}
	found, ok := o.Get(name)
	if !ok {
		return nil, fmt.Errorf("The language expression property '%s' doesn't exist, available properties are '%s'", name, strings.Join(o.Names, ", "))
	}
	return found, nil
}

// Pick is v[at] for arrays and objects.
func Pick(v, at any) (any, error) {
	switch at := at.(type) {
	case string:
		return Property(v, at)
	case int64:
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("The language expression property '%d' can't be evaluated, property owner is of type '%s'", at, tree.TypeName(v))
		}
		if at < 0 || at >= int64(len(list)) {
			return nil, fmt.Errorf("The language expression property array index '%d' is out of bounds", at)
		}
		return list[at], nil
	}
	return nil, fmt.Errorf("The language expression property can't be of type '%s'", tree.TypeName(at))
}

// tryGet is v[first][next]… where a missing first gives null. The further ones must be there, as in v.?first.next.
func tryGet(c *Call) (any, error) {
	switch c.Args[0].(type) {
	case nil:
		return nil, nil
	case []any, *tree.Object:
	default:
		return nil, c.Mistyped(0, "Array, Object")
	}
	v, err := Pick(c.Args[0], c.Args[1])
	if err != nil || v == nil {
		return nil, nil
	}
	return follow(v, c.Args[2:])
}

// indexFromEnd counts from the last element, which is 1.
func indexFromEnd(c *Call) (any, error) {
	list, err := c.List(0)
	if err != nil {
		return nil, err
	}
	n, err := c.Integer(1)
	if err != nil {
		return nil, err
	}
	return fromEnd(list, n)
}

func fromEnd(list []any, n int64) (any, error) {
	if n < 1 || n > int64(len(list)) {
		return nil, fmt.Errorf("The language expression property array index '%d' from the end is out of bounds", n)
	}
	return list[int64(len(list))-n], nil
}

// tryIndexFromEnd is indexFromEnd where a missing element gives null; what follows must be there.
func tryIndexFromEnd(c *Call) (any, error) {
	if c.Args[0] == nil {
		return nil, nil
	}
	list, err := c.List(0)
	if err != nil {
		return nil, err
	}
	n, err := c.Integer(1)
	if err != nil {
		return nil, err
	}
	v, err := fromEnd(list, n)
	if err != nil || v == nil {
		return nil, nil
	}
	return follow(v, c.Args[2:])
}

// follow takes names, indexes, and {"value": n, "fromEnd": true} for an index from the end.
func follow(v any, path []any) (any, error) {
	for _, at := range path {
		var err error
		o, ok := at.(*tree.Object)
		if !ok {
			if v, err = Pick(v, at); err != nil {
				return nil, err
			}
			continue
		}
		inner, _ := o.Get("value")
		back, _ := o.Get("fromEnd")
		n, isInt := inner.(int64)
		list, isList := v.([]any)
		if back == true && isInt && isList {
			v, err = fromEnd(list, n)
		} else {
			v, err = Pick(v, inner)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}
