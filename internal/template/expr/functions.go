package expr

import (
	"fmt"
	"strings"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/tree"
)

// function is one function of the template language.
type function struct {
	min, max int // number of arguments; max < 0: any
	eval     func(*invocation) (any, error)
	lazy     bool // arguments are evaluated by eval, as far as it needs them
	late     bool // reads the state of other resources: only in resources' bodies and outputs
	initial  bool // only in default values of parameters
	shared   bool // the result is one that is there anyway, and is not weighed
}

// invocation is a call: its arguments evaluated, or of a lazy function their nodes.
type invocation struct {
	builtin.Call
	ev    *Evaluator
	nodes []node
}

// lookup finds a function by name. Every name that begins with "list" is one: resource types have their own.
func lookup(name string) (function, bool) {
	name = tree.Fold(name)
	if strings.Contains(name, ".") {
		return function{max: -1, eval: callUser}, true
	}
	for _, table := range []map[string]function{lazyFunctions, lambdaFunctions, contextFunctions, idFunctions, resourceFunctions} {
		if fn, ok := table[name]; ok {
			return fn, true
		}
	}
	if fn, ok := builtin.Lookup(name); ok {
		return function{min: fn.Min, max: fn.Max, eval: func(c *invocation) (any, error) { return fn.Eval(&c.Call) }}, true
	}
	return function{min: 1, max: 3, eval: list, late: true}, strings.HasPrefix(name, "list") && name != "list"
}

// unserved are documented functions that need a service which this installation lacks, with what that is.
func unserved(name string) string {
	switch tree.Fold(name) {
	case "externalinput":
		return "it is resolved by a tool before a deployment is sent"
	case "roledefinitions":
		return "it is resolved by the Bicep compiler"
	}
	return ""
}

// countFault is what is wrong with a number of arguments.
func countFault(name string, fn function, n int) error {
	if n >= fn.min && (fn.max < 0 || n <= fn.max) {
		return nil
	}
	wanted := fmt.Sprint(fn.min)
	if fn.max < 0 {
		wanted = "at least " + wanted
	} else if fn.max > fn.min {
		wanted += " to " + fmt.Sprint(fn.max)
	}
	return fmt.Errorf("Unable to evaluate template language function '%s': function requires %s argument(s) while %d were provided. Please see https://aka.ms/arm-functions for usage details",
		name, wanted, n)
}
