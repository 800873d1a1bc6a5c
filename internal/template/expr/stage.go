package expr

import (
	"strings"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/tree"
)

// Stage is where in a template an expression stands; it decides which functions are allowed.
type Stage int

const (
	// StageDefault is the default value of a parameter.
	StageDefault Stage = iota
	// StageVariable is a variable.
	StageVariable
	// StagePlan is what decides whether and where a resource is written.
	StagePlan
	// StageBody is a resource's body or an output.
	StageBody
	// StageFunction is the body of a user-defined function.
	StageFunction
)

// Check finds functions that may not stand at this place, and names of parameters and variables that known, asked
// with "parameters", "variables" or "functions" and a name, does not know. v is what Compile returned.
func Check(v any, at Stage, known func(section, name string) bool) error {
	e, ok := v.(*Expression)
	if !ok {
		return nil
	}
	var found error
	e.root.walk(func(n node) {
		c, ok := n.(*call)
		if !ok || found != nil {
			return
		}
		name := tree.Fold(c.name)
		switch {
		case c.fn.late && at != StageBody, c.fn.initial && at != StageDefault,
			(at == StageDefault || at == StageFunction) && (name == "variables" || name == "copyindex"):
			found = (&builtin.Call{Name: c.name}).Fail("is not expected at this location")
		case strings.Contains(name, ".") && !known("functions", name):
			found = unknownFunction(c.name)
		case name == "parameters" || name == "variables":
			found = checkName(name, c, known)
		}
	})
	return found
}

func checkName(section string, c *call, known func(section, name string) bool) error {
	l, ok := c.args[0].(*literal)
	if !ok {
		return nil
	}
	name, ok := l.value.(string)
	if !ok || known(section, name) {
		return nil
	}
	if section == "parameters" {
		return unknownParameter(name)
	}
	return unknownVariable(name)
}
