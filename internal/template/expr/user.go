package expr

import (
	"fmt"

	"vitrine/internal/template/tree"
)

// UserFunction is a function that a template defines.
type UserFunction struct {
	Parameters []UserParameter
	Body       any                   // as compiled
	Result     func(value any) error // what is wrong with a result
}

// UserParameter is a parameter of a user-defined function.
type UserParameter struct {
	Name     string
	Optional bool                  // nullable: may be left out at the end
	Check    func(value any) error // what is wrong with an argument
}

// maxCalls is how deep user-defined functions may call one another; ARM allows no cycle, which we find by depth.
const maxCalls = 32

// frame is a call of a user-defined function: parameters() means its arguments.
type frame struct {
	arguments map[string]any // by folded name
	depth     int
}

// Count says what is wrong with a call's number of arguments.
func (f *UserFunction) Count(name string, n int) error {
	least := len(f.Parameters)
	for least > 0 && f.Parameters[least-1].Optional {
		least--
	}
	return countFault(name, function{min: least, max: len(f.Parameters)}, n)
}

// callUser evaluates the body of a user-defined function: it sees its arguments and nothing else of the template.
func callUser(c *invocation) (any, error) {
	f, ok := c.ev.Functions[tree.Fold(c.Name)]
	if !ok {
		return nil, unknownFunction(c.Name)
	}
	if err := f.Count(c.Name, len(c.Args)); err != nil {
		return nil, err
	}
	inner := &frame{arguments: map[string]any{}, depth: 1}
	if c.ev.frame != nil {
		inner.depth = c.ev.frame.depth + 1
	}
	if inner.depth > maxCalls {
		return nil, c.Fail("is nested deeper than %d calls", maxCalls)
	}
	for i, p := range f.Parameters {
		var v any
		if i < len(c.Args) {
			v = c.Args[i]
		}
		if err := p.Check(v); err != nil {
			return nil, c.Fail("was given an argument '%s' that is not valid: %v", p.Name, err)
		}
		inner.arguments[tree.Fold(p.Name)] = v
	}
	ev := c.ev
	outer, bound, loop := ev.frame, ev.bound, ev.loop
	defer func() { ev.frame, ev.bound, ev.loop = outer, bound, loop }()
	ev.frame, ev.bound, ev.loop = inner, nil, nil
	v, err := ev.Value(f.Body)
	if err != nil {
		return nil, err
	}
	if err := f.Result(v); err != nil {
		return nil, c.Fail("gives a value that is not valid: %v", err)
	}
	return v, nil
}

func unknownFunction(name string) error {
	return fmt.Errorf("The template function '%s' is not valid. Please see https://aka.ms/arm-functions for usage details", name)
}
