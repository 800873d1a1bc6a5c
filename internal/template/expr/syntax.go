package expr

import (
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/internal/template/tree"
)

// Expression is a parsed "[…]" string.
type Expression struct {
	text string // with its brackets
	root node
	late bool // reads the state of other resources
	at   tree.Place
}

// node is a part of an expression: *literal, *call, *member or *element.
type node interface {
	eval(*Evaluator) (any, error)
	// walk calls f for the node and all below it.
	walk(f func(node))
}

type literal struct{ value any }

type call struct {
	name string // as written
	fn   function
	args []node
}

type member struct {
	of   node
	name string
}

type element struct{ of, at node }

func (n *literal) walk(f func(node)) { f(n) }
func (n *member) walk(f func(node))  { f(n); n.of.walk(f) }
func (n *element) walk(f func(node)) { f(n); n.of.walk(f); n.at.walk(f) }
func (n *call) walk(f func(node)) {
	f(n)
	for _, a := range n.args {
		a.walk(f)
	}
}

// readsState says whether n needs a Runtime.
func readsState(n node) bool {
	late := false
	n.walk(func(n node) {
		if c, ok := n.(*call); ok && c.fn.late {
			late = true
		}
	})
	return late
}

// Compile turns s into the value it stands for: an *Expression or, for what is only text, a string. "[[" at the
// beginning stands for a bracket that begins no expression.
func Compile(s *tree.Source) (any, error) {
	text := s.Text
	switch {
	case strings.HasPrefix(text, "[["):
		return text[1:], nil
	case !strings.HasSuffix(text, "]"):
		return text, nil
	case len(text) > maxExpression:
		return nil, fmt.Errorf("The language expression length limit exceeded. Limit: '%d' and actual: '%d'", maxExpression, len(text))
	}
	p := &parser{text: text[1 : len(text)-1]}
	root, err := p.expression(0)
	if err == nil {
		if p.space(); p.pos < len(p.text) {
			err = p.fail("expected end of string at position '%d'", p.pos)
		}
	}
	if err != nil {
		return nil, err
	}
	return &Expression{text: text, root: root, late: readsState(root), at: s.At}, nil
}

// parser reads an expression by recursive descent:
//
//	expression = ( text | integer | name "(" [ expression { "," expression } ] ")" ) { "." name | "[" expression "]" }
type parser struct {
	text string
	pos  int
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("The language expression '%s' is not valid: %s. Please see https://aka.ms/arm-template-expressions for usage details",
		p.text, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// next skips space and returns the next byte, 0 at the end.
func (p *parser) next() byte {
	p.space()
	if p.pos >= len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

// accept takes c if it comes next.
func (p *parser) accept(c byte) bool {
	if p.next() != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) expect(c byte) error {
	if !p.accept(c) {
		return p.fail("expected '%c' at position '%d'", c, p.pos)
	}
	return nil
}

func (p *parser) expression(depth int) (node, error) {
	if depth > tree.MaxDepth {
		return nil, p.fail("it is nested deeper than %d levels", tree.MaxDepth)
	}
	n, err := p.primary(depth)
	for links := 0; err == nil; links++ {
		switch {
		case links > tree.MaxDepth:
			return nil, p.fail("more than %d properties in a row", tree.MaxDepth)
		case p.accept('.'):
			name := ""
			if name, err = p.name(); err == nil {
				n = &member{of: n, name: name}
			}
		case p.accept('['):
			var at node
			if at, err = p.expression(depth + 1); err == nil {
				n, err = &element{of: n, at: at}, p.expect(']')
			}
		default:
			return n, nil
		}
	}
	return nil, err
}

func (p *parser) primary(depth int) (node, error) {
	c := p.next()
	switch {
	case c == '\'':
		return p.string()
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	}
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	if p.accept('.') {
		member, err := p.name()
		if err != nil {
			return nil, err
		}
		name += "." + member
	}
	if err := p.expect('('); err != nil {
		return nil, err
	}
	args, err := p.arguments(depth)
	if err != nil {
		return nil, err
	}
	return p.resolve(name, args)
}

func (p *parser) arguments(depth int) ([]node, error) {
	var args []node
	if p.accept(')') {
		return nil, nil
	}
	for {
		n, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		args = append(args, n)
		if p.accept(')') {
			return args, nil
		}
		if err := p.expect(','); err != nil {
			return nil, err
		}
	}
}

// resolve finds the function that a call names and checks the number of its arguments.
func (p *parser) resolve(name string, args []node) (node, error) {
	if why := unserved(name); why != "" {
		return nil, fmt.Errorf("The template function '%s' is not supported by this installation: %s", name, why)
	}
	fn, ok := lookup(name)
	if !ok {
		return nil, unknownFunction(name)
	}
	if err := countFault(name, fn, len(args)); err != nil {
		return nil, err
	}
	return &call{name: name, fn: fn, args: args}, nil
}

func (p *parser) name() (string, error) {
	p.space()
	start := p.pos
	for p.pos < len(p.text) && tree.IsWord(p.text[p.pos]) {
		p.pos++
	}
	if start == p.pos {
		return "", p.fail("a name is expected at position '%d'", p.pos)
	}
	return p.text[start:p.pos], nil
}

// string reads a text in single quotes; two of them stand for one.
func (p *parser) string() (node, error) {
	start := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		if c == '\'' {
			if p.pos++; p.pos >= len(p.text) || p.text[p.pos] != '\'' {
				return &literal{b.String()}, nil
			}
		}
		b.WriteByte(c)
	}
	return nil, p.fail("the string constant at position '%d' is not terminated. String constants must be enclosed within a pair of single quotes", start)
}

func (p *parser) integer() (node, error) {
	start := p.pos
	for p.pos++; p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9'; p.pos++ {
	}
	text := p.text[start:p.pos]
	if strings.HasPrefix(p.text[p.pos:], ".") {
		return nil, p.fail("the number at position '%d' is no integer", start)
	}
	v, ok := tree.Number(json.Number(text)).(int64)
	if !ok {
		return nil, p.fail("the number '%s' at position '%d' is no 64-bit integer", text, start)
	}
	return &literal{v}, nil
}
