package rbac

import (
	"strings"

	"vitrine/internal/rbac/condition"
)

// Role is a role definition.
type Role struct {
	GUID        string // of the definition, the same in every cloud
	Name        string
	Description string
	Permissions []Permission
}

// Permission is one block of a role definition. Patterns use '*' for any run of characters.
type Permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
	Condition      string   `json:"condition,omitempty"` // of built-in roles that may assign only certain roles
	Version        string   `json:"conditionVersion,omitempty"`
}

// Allows tells whether the role's actions grant action, conditions left aside.
func (r Role) Allows(action string) bool {
	return compile(r).match(strings.ToLower(action), false) != nil
}

// AllowsData tells whether the role's data actions grant a data action.
func (r Role) AllowsData(action string) bool {
	return compile(r).match(strings.ToLower(action), true) != nil
}

// Match compares an action with a pattern, without regard to case.
func Match(pattern, action string) bool {
	return patternOf(pattern).match(strings.ToLower(action))
}

// pattern is a pattern in lower case, cut at its asterisks.
type pattern []string

func patternOf(s string) pattern { return strings.Split(strings.ToLower(s), "*") }

// match compares with an action in lower case.
func (p pattern) match(action string) bool {
	if len(p) == 1 {
		return p[0] == action
	}
	if !strings.HasPrefix(action, p[0]) {
		return false
	}
	action = action[len(p[0]):]
	for _, part := range p[1 : len(p)-1] {
		i := strings.Index(action, part)
		if i < 0 {
			return false
		}
		action = action[i+len(part):]
	}
	return strings.HasSuffix(action, p[len(p)-1])
}

type patterns []pattern

func patternsOf(list []string) patterns {
	out := make(patterns, len(list))
	for i, s := range list {
		out[i] = patternOf(s)
	}
	return out
}

func (ps patterns) match(action string) bool {
	for _, p := range ps {
		if p.match(action) {
			return true
		}
	}
	return false
}

// block is a Permission ready to be asked.
type block struct {
	actions, not, data, notData patterns
	condition                   *condition.Expr
	conditional                 bool
	text                        string // of the condition
}

func (b *block) match(action string, data bool) bool {
	if data {
		return b.data.match(action) && !b.notData.match(action)
	}
	return b.actions.match(action) && !b.not.match(action)
}

// compiled is a Role ready to be asked.
type compiled struct {
	Role
	blocks []block
}

func compile(r Role) *compiled {
	c := &compiled{Role: r}
	for _, p := range r.Permissions {
		b := block{actions: patternsOf(p.Actions), not: patternsOf(p.NotActions), data: patternsOf(p.DataActions), notData: patternsOf(p.NotDataActions)}
		if p.Condition != "" {
			b.conditional, b.text = true, p.Condition
			b.condition, _ = condition.Parse(p.Condition) // what cannot be read never holds
		}
		c.blocks = append(c.blocks, b)
	}
	return c
}

// match finds the first block that grants an action in lower case.
func (c *compiled) match(action string, data bool) *block {
	if c == nil {
		return nil
	}
	for i := range c.blocks {
		if c.blocks[i].match(action, data) {
			return &c.blocks[i]
		}
	}
	return nil
}

// RoleByGUID finds a built-in role by the GUID of its definition.
func RoleByGUID(guid string) (Role, bool) {
	for _, r := range BuiltIn() {
		if strings.EqualFold(r.GUID, guid) {
			return r, true
		}
	}
	return Role{}, false
}

// RoleByName finds a built-in role by its name.
func RoleByName(name string) (Role, bool) {
	for _, r := range BuiltIn() {
		if strings.EqualFold(r.Name, name) {
			return r, true
		}
	}
	return Role{}, false
}
