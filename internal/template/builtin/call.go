// Package builtin is the functions of the template language that need nothing but their arguments: strings, arrays,
// objects, numbers, dates, addresses. It owns their rules and the words of their errors; what asks about a deployment, or
// evaluates its arguments as it needs them, is package expr's.
package builtin

import (
	"errors"
	"fmt"

	"vitrine/internal/template/tree"
)

// MaxString is how many bytes a string that a function makes may have.
const MaxString = 4 << 20

const maxRange = 10000 // ARM: elements of range()

// ErrTooMuch is the error of an evaluation that is stopped because it takes too much work or memory.
var ErrTooMuch = errors.New("the template's expressions are too much work to evaluate, or make a value that is too large")

// Function is one function of the language.
type Function struct {
	Min, Max int // number of arguments; Max < 0: any
	Eval     func(*Call) (any, error)
}

// Call is a call with its arguments evaluated.
type Call struct {
	Name  string // as written
	Args  []any
	Spend func(steps int) error // charges for work that arguments and result do not show
}

// Lookup finds a function by its name in lower case.
func Lookup(name string) (Function, bool) {
	for _, table := range []map[string]Function{textFunctions, collectionFunctions, numberFunctions, dateFunctions, addressFunctions} {
		if fn, ok := table[name]; ok {
			return fn, true
		}
	}
	return Function{}, false
}

// Fail makes an error in ARM's words.
func (c *Call) Fail(format string, args ...any) error {
	return fmt.Errorf("The template language function '%s' %s. Please see https://aka.ms/arm-functions for usage details",
		c.Name, fmt.Sprintf(format, args...))
}

// Mistyped is the error of argument i, which is not of the type wanted.
func (c *Call) Mistyped(i int, wanted string) error {
	return c.Fail("expects its parameter '%d' to be of type '%s'. The provided value is of type '%s'", i+1, wanted, tree.TypeName(c.Args[i]))
}

// Has says whether argument i was given.
func (c *Call) Has(i int) bool { return i < len(c.Args) }

// Text is argument i, which must be a string.
func (c *Call) Text(i int) (string, error) {
	s, ok := c.Args[i].(string)
	if !ok {
		return "", c.Mistyped(i, "String")
	}
	return s, nil
}

// Integer is argument i, which must be one.
func (c *Call) Integer(i int) (int64, error) {
	n, ok := c.Args[i].(int64)
	if !ok {
		return 0, c.Mistyped(i, "Integer")
	}
	return n, nil
}

// Count is an integer argument that counts something: negative ones are 0. Huge ones stay beyond every limit, so that who makes
// something of that length finds it too much.
func (c *Call) Count(i int) (int, error) {
	n, err := c.Integer(i)
	return int(max(0, min(n, 4*MaxString))), err
}

// List is argument i, which must be an array.
func (c *Call) List(i int) ([]any, error) {
	l, ok := c.Args[i].([]any)
	if !ok {
		return nil, c.Mistyped(i, "Array")
	}
	return l, nil
}

// Object is argument i, which must be one.
func (c *Call) Object(i int) (*tree.Object, error) {
	o, ok := c.Args[i].(*tree.Object)
	if !ok {
		return nil, c.Mistyped(i, "Object")
	}
	return o, nil
}

// Texts returns all arguments as strings; an array counts as its elements.
func (c *Call) Texts() ([]string, error) {
	var all []string
	for i, a := range c.Args {
		list, ok := a.([]any)
		if !ok {
			list = []any{a}
		}
		for _, e := range list {
			s, ok := e.(string)
			if !ok {
				return nil, c.Mistyped(i, "String")
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// constant is a function without arguments that always gives v.
func constant(v any) Function {
	return Function{Eval: func(*Call) (any, error) { return v, nil }}
}

// text1 is a function of one string.
func text1(f func(s string) any) Function {
	return Function{Min: 1, Max: 1, Eval: func(c *Call) (any, error) {
		s, err := c.Text(0)
		if err != nil {
			return nil, err
		}
		return f(s), nil
	}}
}

// text1e is a function of one string that can fail.
func text1e(f func(s string) (any, error)) Function {
	return Function{Min: 1, Max: 1, Eval: func(c *Call) (any, error) {
		s, err := c.Text(0)
		if err != nil {
			return nil, err
		}
		v, err := f(s)
		if err != nil {
			return nil, c.Fail("cannot use the value: %v", err)
		}
		return v, nil
	}}
}

// text2 is a function of two strings.
func text2(f func(a, b string) any) Function {
	return Function{Min: 2, Max: 2, Eval: func(c *Call) (any, error) {
		a, err := c.Text(0)
		if err != nil {
			return nil, err
		}
		b, err := c.Text(1)
		if err != nil {
			return nil, err
		}
		return f(a, b), nil
	}}
}

// int2 is a function of two integers; f says whether the result is one.
func int2(f func(a, b int64) (int64, bool)) Function {
	return Function{Min: 2, Max: 2, Eval: func(c *Call) (any, error) {
		a, err := c.Integer(0)
		if err != nil {
			return nil, err
		}
		b, err := c.Integer(1)
		if err != nil {
			return nil, err
		}
		v, ok := f(a, b)
		if !ok {
			return nil, c.Fail("overflowed or divided by zero with the operands '%d' and '%d'", a, b)
		}
		return v, nil
	}}
}
