package condition

import (
	"fmt"
	"strings"
)

// Expr is a condition that was read.
type Expr struct{ root node }

// Attribute names a value that a condition asks for.
type Attribute struct {
	Source string // "resource", "request", "principal" or "environment"
	Name   string // lower case, "microsoft.authorization/roleassignments:roledefinitionid"
}

// Parse reads a condition; its error tells a person what is wrong where.
func Parse(s string) (*Expr, error) {
	list, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &parser{list: list}
	n, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if l := p.peek(); l.kind != end {
		return nil, fmt.Errorf("unexpected '%.40s' at position %d", l.text, l.at)
	}
	return &Expr{n}, nil
}

type parser struct {
	list []lexeme
	at   int
}

func (p *parser) peek() lexeme { return p.list[p.at] }

func (p *parser) next() lexeme {
	l := p.list[p.at]
	if l.kind != end {
		p.at++
	}
	return l
}

// take consumes a symbol or word if it is next, without regard to case.
func (p *parser) take(any ...string) bool {
	l := p.peek()
	for _, s := range any {
		if (l.kind == symbol || l.kind == word) && strings.EqualFold(l.text, s) {
			p.at++
			return true
		}
	}
	return false
}

func (p *parser) expect(s string) error {
	if p.take(s) {
		return nil
	}
	l := p.peek()
	return fmt.Errorf("'%s' is expected at position %d, not '%.40s'", s, l.at, l.text)
}

func (p *parser) or(depth int) (node, error) { return p.series(depth, p.and, false, "||", "OR") }

func (p *parser) and(depth int) (node, error) { return p.series(depth, p.not, true, "&&", "AND") }

func (p *parser) series(depth int, part func(int) (node, error), all bool, signs ...string) (node, error) {
	n, err := part(depth)
	if err != nil {
		return nil, err
	}
	list := []node{n}
	for p.take(signs...) {
		if n, err = part(depth); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return series{list, all}, nil
}

func (p *parser) not(depth int) (node, error) {
	if depth > maxDeep {
		return nil, fmt.Errorf("the condition is nested deeper than %d levels", maxDeep)
	}
	if p.take("!", "NOT") {
		n, err := p.not(depth + 1)
		return negation{n}, err
	}
	if p.take("(") {
		n, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")")
	}
	return p.leaf()
}

func (p *parser) leaf() (node, error) {
	l := p.next()
	switch {
	case l.kind == word && strings.EqualFold(l.text, "ActionMatches"), l.kind == word && strings.EqualFold(l.text, "SubOperationMatches"):
		v, err := p.set()
		return matches{strings.EqualFold(l.text, "SubOperationMatches"), v}, err
	case l.kind == word && (strings.EqualFold(l.text, "Exists") || strings.EqualFold(l.text, "NotExists")):
		a, err := attributeOf(p.next())
		return exists{a, strings.EqualFold(l.text, "NotExists")}, err
	}
	left, err := p.operand(l)
	if err != nil {
		return nil, err
	}
	name := p.next()
	if name.kind != word {
		return nil, fmt.Errorf("an operator is expected at position %d, not '%.40s'", name.at, name.text)
	}
	c, err := operatorOf(name)
	if err != nil {
		return nil, err
	}
	c.left = left
	c.right, err = p.operand(p.next())
	return c, err
}

// operand is an attribute, a value, or a set of values in braces.
func (p *parser) operand(l lexeme) (operand, error) {
	switch {
	case l.kind == attr:
		a, err := attributeOf(l)
		return operand{attribute: &a}, err
	case l.kind == text, l.kind == word:
		return operand{values: []string{l.text}}, nil
	case l.kind == symbol && l.text == "{":
		p.at--
		v, err := p.set()
		return operand{values: v}, err
	}
	return operand{}, fmt.Errorf("an attribute or a value is expected at position %d, not '%.40s'", l.at, l.text)
}

func (p *parser) set() ([]string, error) {
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	var out []string
	for {
		l := p.next()
		if l.kind != text && l.kind != word {
			return nil, fmt.Errorf("a value is expected at position %d, not '%.40s'", l.at, l.text)
		}
		out = append(out, l.text)
		if p.take(",") {
			continue
		}
		return out, p.expect("}")
	}
}

func attributeOf(l lexeme) (Attribute, error) {
	source, name, ok := strings.Cut(strings.TrimSuffix(l.text, "]"), "[")
	source = strings.ToLower(strings.TrimPrefix(source, "@"))
	switch {
	case l.kind != attr || !ok || name == "":
		return Attribute{}, fmt.Errorf("an attribute such as @Resource[name] is expected at position %d, not '%.40s'", l.at, l.text)
	case source != "resource" && source != "request" && source != "principal" && source != "environment":
		return Attribute{}, fmt.Errorf("the attribute source '@%.20s' at position %d is not one of @Resource, @Request, @Principal, @Environment", source, l.at)
	}
	return Attribute{source, strings.ToLower(strings.TrimSpace(name))}, nil
}

func operatorOf(l lexeme) (comparison, error) {
	c := comparison{leftAny: true, rightAny: true}
	name := strings.ToLower(l.text)
	if quantifier, op, ok := strings.Cut(name, ":"); ok {
		q, known := quantifiers()[quantifier]
		if !known {
			return c, fmt.Errorf("the function '%.40s' at position %d is not known", l.text, l.at)
		}
		c.leftAny, c.rightAny, name = q[0], q[1], op
	}
	op, ok := operators()[name]
	if !ok {
		return c, fmt.Errorf("the operator '%.40s' at position %d is not known", l.text, l.at)
	}
	c.op = op
	return c, nil
}
