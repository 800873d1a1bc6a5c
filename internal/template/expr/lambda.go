package expr

import (
	"sort"
	"strings"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/tree"
)

// lambdaFunctions take lambda('x', …, body), which they evaluate once per element. Never written to.
var lambdaFunctions = map[string]function{
	"filter":          {min: 2, max: 2, eval: filter, lazy: true},
	"groupby":         {min: 2, max: 2, eval: groupBy, lazy: true},
	"lambda":          {min: 1, max: -1, eval: strayLambda, lazy: true},
	"lambdavariables": {min: 1, max: 1, eval: lambdaVariable},
	"map":             {min: 2, max: 2, eval: mapList, lazy: true},
	"mapvalues":       {min: 2, max: 2, eval: mapValues, lazy: true},
	"reduce":          {min: 3, max: 3, eval: reduce, lazy: true},
	"sort":            {min: 2, max: 2, eval: sorted, lazy: true},
	"toobject":        {min: 2, max: 3, eval: toObject, lazy: true},
}

// binding gives a lambda's variables their values; bindings nest.
type binding struct {
	names  []string
	values []any
	outer  *binding
}

func (b *binding) find(name string) (any, bool) {
	for ; b != nil; b = b.outer {
		for i, n := range b.names {
			if strings.EqualFold(n, name) {
				return b.values[i], true
			}
		}
	}
	return nil, false
}

func lambdaVariable(c *invocation) (any, error) {
	name, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	if v, ok := c.ev.bound.find(name); ok {
		return v, nil
	}
	return nil, c.Fail("names the lambda variable '%s', which no lambda around it declares", name)
}

func strayLambda(c *invocation) (any, error) {
	return nil, c.Fail("is only expected as an argument of a function that takes lambdas")
}

// closure is a lambda that can be called.
type closure struct {
	ev    *Evaluator
	names []string
	body  node
	bound *binding // around the lambda
}

// lambda is argument i, which must be a lambda of min to max variables.
func (c *invocation) lambda(i, min, max int) (*closure, error) {
	n, ok := c.nodes[i].(*call)
	if !ok || tree.Fold(n.name) != "lambda" {
		return nil, c.Fail("expects its parameter '%d' to be a lambda", i+1)
	}
	f := &closure{ev: c.ev, body: n.args[len(n.args)-1], bound: c.ev.bound}
	for _, a := range n.args[:len(n.args)-1] {
		v, err := a.eval(c.ev)
		if err != nil {
			return nil, err
		}
		name, ok := v.(string)
		if !ok || name == "" {
			return nil, c.Fail("expects the variables of the lambda in its parameter '%d' to be named by text", i+1)
		}
		f.names = append(f.names, name)
	}
	if len(f.names) < min || len(f.names) > max {
		return nil, c.Fail("expects the lambda in its parameter '%d' to have %d to %d variables. It has %d", i+1, min, max, len(f.names))
	}
	return f, nil
}

// call evaluates the body with as many of the values as the lambda has variables.
func (f *closure) call(values ...any) (any, error) {
	if err := f.ev.Spend(1); err != nil {
		return nil, err
	}
	outer := f.ev.bound
	defer func() { f.ev.bound = outer }()
	f.ev.bound = &binding{names: f.names, values: values[:len(f.names)], outer: f.bound}
	return f.body.eval(f.ev)
}

// text is call for a lambda that makes a string.
func (f *closure) text(c *invocation, values ...any) (string, error) {
	v, err := f.call(values...)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", c.Fail("expects its lambda to give a value of type 'String'. The value is of type '%s'", tree.TypeName(v))
	}
	return s, nil
}

// truth is call for a lambda that decides.
func (f *closure) truth(c *invocation, values ...any) (bool, error) {
	v, err := f.call(values...)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, c.Fail("expects its lambda to give a value of type 'Boolean'. The value is of type '%s'", tree.TypeName(v))
	}
	return b, nil
}

// argument evaluates argument i of a lazy function.
func (c *invocation) argument(i int) (any, error) {
	v, err := c.nodes[i].eval(c.ev)
	if err != nil {
		return nil, err
	}
	return v, c.ev.weigh(v, 0)
}

// elements is argument i, which must be an array.
func (c *invocation) elements(i int) ([]any, error) {
	v, err := c.argument(i)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, c.Fail("expects its parameter '%d' to be of type 'Array'. The provided value is of type '%s'", i+1, tree.TypeName(v))
	}
	return list, nil
}

// over is the usual beginning: an array and a lambda of one variable and perhaps an index.
func (c *invocation) over(most int) ([]any, *closure, error) {
	list, err := c.elements(0)
	if err != nil {
		return nil, nil, err
	}
	f, err := c.lambda(1, 1, most)
	return list, f, err
}

func mapList(c *invocation) (any, error) {
	list, f, err := c.over(2)
	if err != nil {
		return nil, err
	}
	made := make([]any, 0, len(list))
	for i, e := range list {
		v, err := f.call(e, int64(i))
		if err != nil {
			return nil, err
		}
		made = append(made, v)
	}
	return made, nil
}

func filter(c *invocation) (any, error) {
	list, f, err := c.over(2)
	if err != nil {
		return nil, err
	}
	kept := []any{}
	for i, e := range list {
		keep, err := f.truth(c, e, int64(i))
		if err != nil {
			return nil, err
		}
		if keep {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// reduce folds an array; what a step makes is weighed, since the next begins with it.
func reduce(c *invocation) (any, error) {
	list, err := c.elements(0)
	if err != nil {
		return nil, err
	}
	made, err := c.argument(1)
	if err != nil {
		return nil, err
	}
	f, err := c.lambda(2, 2, 3)
	if err != nil {
		return nil, err
	}
	for i, e := range list {
		if made, err = f.call(made, e, int64(i)); err != nil {
			return nil, err
		}
		if err := c.ev.weigh(made, 0); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// sorted orders by a lambda that says whether its first variable comes before its second. Equals keep their order.
func sorted(c *invocation) (any, error) {
	list, err := c.elements(0)
	if err != nil {
		return nil, err
	}
	f, err := c.lambda(1, 2, 2)
	if err != nil {
		return nil, err
	}
	made := append([]any{}, list...)
	var failed error
	sort.SliceStable(made, func(i, j int) bool {
		if failed != nil {
			return false
		}
		before, err := f.truth(c, made[i], made[j])
		failed = err
		return before
	})
	return made, failed
}

func toObject(c *invocation) (any, error) {
	list, key, err := c.over(2)
	if err != nil {
		return nil, err
	}
	var value *closure
	if len(c.nodes) == 3 {
		if value, err = c.lambda(2, 1, 2); err != nil {
			return nil, err
		}
	}
	made := tree.NewObject()
	for i, e := range list {
		name, err := key.text(c, e, int64(i))
		if err != nil {
			return nil, err
		}
		v := e
		if value != nil {
			if v, err = value.call(e, int64(i)); err != nil {
				return nil, err
			}
		}
		made.Set(name, v)
	}
	return made, nil
}

func groupBy(c *invocation) (any, error) {
	list, key, err := c.over(2)
	if err != nil {
		return nil, err
	}
	made := tree.NewObject()
	for i, e := range list {
		name, err := key.text(c, e, int64(i))
		if err != nil {
			return nil, err
		}
		known, _ := made.Get(name)
		group, _ := known.([]any)
		if group == nil {
			made.Set(name, []any{e})
			continue
		}
		made.Set(name, append(group, e))
	}
	return made, nil
}

func mapValues(c *invocation) (any, error) {
	v, err := c.argument(0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*tree.Object)
	if !ok {
		return nil, (&builtin.Call{Name: c.Name, Args: []any{v}}).Mistyped(0, "Object")
	}
	f, err := c.lambda(1, 1, 1)
	if err != nil {
		return nil, err
	}
	made := tree.NewObject()
	err = o.Each(func(name string, v any) error {
		v, err := f.call(v)
		made.Set(name, v)
		return err
	})
	return made, err
}
