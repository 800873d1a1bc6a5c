package builtin

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"vitrine/internal/template/tree"
)

// numberFunctions are arithmetic, comparison and logic. Never written to.
var numberFunctions = map[string]Function{
	"add":             int2(func(a, b int64) (int64, bool) { return a + b, (a+b > a) == (b > 0) }),
	"bool":            {Min: 1, Max: 1, Eval: toBool},
	"div":             int2(func(a, b int64) (int64, bool) { return divide(a, b) }),
	"equals":          {Min: 2, Max: 2, Eval: func(c *Call) (any, error) { return tree.Equal(c.Args[0], c.Args[1]), nil }},
	"false":           constant(false),
	"float":           {Min: 1, Max: 1, Eval: toFloat},
	"greater":         compare(func(order int) bool { return order > 0 }),
	"greaterorequals": compare(func(order int) bool { return order >= 0 }),
	"int":             {Min: 1, Max: 1, Eval: toInt},
	"less":            compare(func(order int) bool { return order < 0 }),
	"lessorequals":    compare(func(order int) bool { return order <= 0 }),
	"max":             extreme(func(a, b int64) int64 { return max(a, b) }),
	"min":             extreme(func(a, b int64) int64 { return min(a, b) }),
	"mod":             int2(func(a, b int64) (int64, bool) { return remainder(a, b) }),
	"mul":             int2(multiply),
	"not":             {Min: 1, Max: 1, Eval: not},
	"sub":             int2(func(a, b int64) (int64, bool) { return a - b, (a-b < a) == (b > 0) }),
	"true":            constant(true),
}

func divide(a, b int64) (int64, bool) {
	if b == 0 || a == math.MinInt64 && b == -1 {
		return 0, false
	}
	return a / b, true
}

func remainder(a, b int64) (int64, bool) {
	if b == 0 || b == -1 {
		return 0, b != 0
	}
	return a % b, true
}

func multiply(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	return p, p/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
}

// extreme is min or max, of integers or of one array of them.
func extreme(better func(a, b int64) int64) Function {
	return Function{Min: 1, Max: -1, Eval: func(c *Call) (any, error) {
		all := c.Args
		if list, ok := c.Args[0].([]any); ok && len(c.Args) == 1 {
			all = list
		}
		if len(all) == 0 {
			return nil, c.Fail("expects at least one integer")
		}
		of := &Call{Name: c.Name, Args: all}
		best, err := of.Integer(0)
		for i := 1; i < len(all) && err == nil; i++ {
			var n int64
			if n, err = of.Integer(i); err == nil {
				best = better(best, n)
			}
		}
		return best, err
	}}
}

// compare orders integers, or strings by their code points.
func compare(f func(order int) bool) Function {
	return Function{Min: 2, Max: 2, Eval: func(c *Call) (any, error) {
		if a, ok := c.Args[0].(string); ok {
			b, err := c.Text(1)
			return f(strings.Compare(a, b)), err
		}
		a, err := c.Integer(0)
		if err != nil {
			return nil, err
		}
		b, err := c.Integer(1)
		switch {
		case a < b:
			return f(-1), err
		case a > b:
			return f(1), err
		}
		return f(0), err
	}}
}

func not(c *Call) (any, error) {
	b, ok := c.Args[0].(bool)
	if !ok {
		return nil, c.Mistyped(0, "Boolean")
	}
	return !b, nil
}

func toBool(c *Call) (any, error) {
	switch v := c.Args[0].(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case string:
		switch tree.Fold(strings.TrimSpace(v)) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return nil, c.Fail("cannot convert the value of type '%s' to a boolean", tree.TypeName(c.Args[0]))
}

func toInt(c *Call) (any, error) {
	switch v := c.Args[0].(type) {
	case int64:
		return v, nil
	case json.Number:
		if f, err := v.Float64(); err == nil && math.Abs(f) < 1<<53 {
			return int64(f), nil
		}
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, c.Fail("cannot convert the value of type '%s' to an integer", tree.TypeName(c.Args[0]))
}

// toFloat makes a number with a fraction of text; integers stay what they are, since JSON knows one kind of number.
func toFloat(c *Call) (any, error) {
	switch v := c.Args[0].(type) {
	case int64, json.Number:
		return v, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return tree.Number(json.Number(strconv.FormatFloat(f, 'f', -1, 64))), nil
		}
	}
	return nil, c.Fail("cannot convert the value of type '%s' to a number", tree.TypeName(c.Args[0]))
}
