package expr

import (
	"fmt"
	"strings"

	"vitrine/internal/template/tree"
)

// function is one function of the template language.
type function struct {
	min, max int // number of arguments; max < 0: any
	eval     func(*invocation) (any, error)
	lazy     bool // arguments are evaluated by eval, as far as it needs them
	late     bool // reads the state of other resources: only in resources' bodies and outputs
	initial  bool // only in default values of parameters
}

// invocation is a call with its arguments evaluated.
type invocation struct {
	ev    *Evaluator
	name  string
	args  []any
	nodes []node // for lazy functions
}

// lookup finds a function by name. Every name that begins with "list" is one: resource types have their own.
func lookup(name string) (function, bool) {
	name = tree.Fold(name)
	for _, table := range []map[string]function{textFunctions, collectionFunctions, numberFunctions, contextFunctions} {
		if fn, ok := table[name]; ok {
			return fn, true
		}
	}
	return function{min: 2, max: 3, eval: list, late: true}, strings.HasPrefix(name, "list") && name != "list"
}

// fail makes an error in ARM's words.
func (c *invocation) fail(format string, args ...any) error {
	return fmt.Errorf("The template language function '%s' %s. Please see https://aka.ms/arm-functions for usage details",
		c.name, fmt.Sprintf(format, args...))
}

func (c *invocation) mistyped(i int, wanted string) error {
	return c.fail("expects its parameter '%d' to be of type '%s'. The provided value is of type '%s'", i+1, wanted, tree.TypeName(c.args[i]))
}

// has says whether argument i was given.
func (c *invocation) has(i int) bool { return i < len(c.args) }

func (c *invocation) text(i int) (string, error) {
	s, ok := c.args[i].(string)
	if !ok {
		return "", c.mistyped(i, "String")
	}
	return s, nil
}

func (c *invocation) integer(i int) (int64, error) {
	n, ok := c.args[i].(int64)
	if !ok {
		return 0, c.mistyped(i, "Integer")
	}
	return n, nil
}

// count is an integer argument that counts something: negative ones are 0. Huge ones stay beyond every limit, so that who makes
// something of that length finds it too much.
func (c *invocation) count(i int) (int, error) {
	n, err := c.integer(i)
	return int(max(0, min(n, 4*maxString))), err
}

func (c *invocation) list(i int) ([]any, error) {
	l, ok := c.args[i].([]any)
	if !ok {
		return nil, c.mistyped(i, "Array")
	}
	return l, nil
}

func (c *invocation) object(i int) (*tree.Object, error) {
	o, ok := c.args[i].(*tree.Object)
	if !ok {
		return nil, c.mistyped(i, "Object")
	}
	return o, nil
}

// texts returns all arguments as strings; an array counts as its elements.
func (c *invocation) texts() ([]string, error) {
	var all []string
	for i, a := range c.args {
		list, ok := a.([]any)
		if !ok {
			list = []any{a}
		}
		for _, e := range list {
			s, ok := e.(string)
			if !ok {
				return nil, c.mistyped(i, "String")
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// constant is a function without arguments that always gives v.
func constant(v any) function {
	return function{eval: func(*invocation) (any, error) { return v, nil }}
}

// text1 is a function of one string.
func text1(f func(s string) any) function {
	return function{min: 1, max: 1, eval: func(c *invocation) (any, error) {
		s, err := c.text(0)
		if err != nil {
			return nil, err
		}
		return f(s), nil
	}}
}

// text1e is a function of one string that can fail.
func text1e(f func(s string) (any, error)) function {
	return function{min: 1, max: 1, eval: func(c *invocation) (any, error) {
		s, err := c.text(0)
		if err != nil {
			return nil, err
		}
		v, err := f(s)
		if err != nil {
			return nil, c.fail("cannot use the value: %v", err)
		}
		return v, nil
	}}
}

// text2 is a function of two strings.
func text2(f func(a, b string) any) function {
	return function{min: 2, max: 2, eval: func(c *invocation) (any, error) {
		a, err := c.text(0)
		if err != nil {
			return nil, err
		}
		b, err := c.text(1)
		if err != nil {
			return nil, err
		}
		return f(a, b), nil
	}}
}

// int2 is a function of two integers; f says whether the result is one.
func int2(f func(a, b int64) (int64, bool)) function {
	return function{min: 2, max: 2, eval: func(c *invocation) (any, error) {
		a, err := c.integer(0)
		if err != nil {
			return nil, err
		}
		b, err := c.integer(1)
		if err != nil {
			return nil, err
		}
		v, ok := f(a, b)
		if !ok {
			return nil, c.fail("overflowed or divided by zero with the operands '%d' and '%d'", a, b)
		}
		return v, nil
	}}
}
