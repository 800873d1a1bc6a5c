package expr

import (
	"vitrine/internal/template/tree"
)

// lazyFunctions evaluate their arguments as they need them. Never written to.
var lazyFunctions = map[string]function{
	"and":      {min: 2, max: -1, eval: func(c *invocation) (any, error) { return c.logic(true) }, lazy: true},
	"coalesce": {min: 1, max: -1, eval: coalesce, lazy: true},
	"if":       {min: 3, max: 3, eval: choose, lazy: true},
	"or":       {min: 2, max: -1, eval: func(c *invocation) (any, error) { return c.logic(false) }, lazy: true},
}

func coalesce(c *invocation) (any, error) {
	for _, n := range c.nodes {
		if v, err := n.eval(c.ev); v != nil || err != nil {
			return v, err
		}
	}
	return nil, nil
}

// condition evaluates a lazy argument that must be a boolean.
func (c *invocation) condition(i int) (bool, error) {
	v, err := c.nodes[i].eval(c.ev)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, c.Fail("expects its parameter '%d' to be of type 'Boolean'. The provided value is of type '%s'", i+1, tree.TypeName(v))
	}
	return b, nil
}

// logic is and (all true) or or (not all false); it stops as soon as the answer is known.
func (c *invocation) logic(and bool) (any, error) {
	for i := range c.nodes {
		if b, err := c.condition(i); err != nil || b != and {
			return b, err
		}
	}
	return and, nil
}

// choose evaluates one of two branches only: the other may refer to what does not exist.
func choose(c *invocation) (any, error) {
	b, err := c.condition(0)
	if err != nil {
		return nil, err
	}
	if b {
		return c.nodes[1].eval(c.ev)
	}
	return c.nodes[2].eval(c.ev)
}
