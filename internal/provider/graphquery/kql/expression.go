package kql

import (
	"strings"
)

// expression gives a value of a row: nil, bool, float64, string, []any or map[string]any.
type expression interface {
	eval(Row) any
	check(known map[string]bool) *Error // that each column is there
}

type literal struct{ value any }

// path is a column, or what is inside of one.
type path struct {
	parts []any // string or int
	fault *Error
}

type call struct {
	name string
	f    function
	args []expression
}

type compare struct {
	f    func(a, b any) bool
	a, b expression
}

type among struct {
	of       expression
	list     []expression
	fold, no bool
}

type logic struct {
	or   bool
	a, b expression
}

func (l literal) eval(Row) any                 { return l.value }
func (l literal) check(map[string]bool) *Error { return nil }

func (p path) names() []string {
	var list []string
	for _, part := range p.parts {
		if name, ok := part.(string); ok {
			list = append(list, name)
		}
	}
	return list
}

func (p path) eval(r Row) any {
	var v any = map[string]any(r)
	for _, part := range p.parts {
		switch x := v.(type) {
		case map[string]any:
			name, ok := part.(string)
			if !ok {
				return nil
			}
			v = x[name]
		case []any:
			i, ok := part.(int)
			if !ok || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (p path) check(known map[string]bool) *Error {
	if name, ok := p.parts[0].(string); ok && known[name] {
		return nil
	}
	return p.fault
}

func (c call) eval(r Row) any {
	args := make([]any, len(c.args))
	for i, a := range c.args {
		args[i] = a.eval(r)
	}
	return c.f.do(args)
}

func (c call) check(known map[string]bool) *Error { return checkAll(known, c.args...) }

func (c compare) eval(r Row) any                     { return c.f(c.a.eval(r), c.b.eval(r)) }
func (c compare) check(known map[string]bool) *Error { return checkAll(known, c.a, c.b) }

func (a among) eval(r Row) any {
	v := a.of.eval(r)
	for _, e := range a.list {
		if w := e.eval(r); equal(v, w) || a.fold && fold(v, w) {
			return !a.no
		}
	}
	return a.no
}

func (a among) check(known map[string]bool) *Error {
	return checkAll(known, append([]expression{a.of}, a.list...)...)
}

func (l logic) eval(r Row) any {
	if truth(l.a.eval(r)) == l.or {
		return l.or
	}
	return truth(l.b.eval(r))
}

func (l logic) check(known map[string]bool) *Error { return checkAll(known, l.a, l.b) }

func checkAll(known map[string]bool, list ...expression) *Error {
	for _, e := range list {
		if err := e.check(known); err != nil {
			return err
		}
	}
	return nil
}

// expression reads or, and, comparisons, in that order of binding.
func (p *parser) expression() (expression, *Error) { return p.either("or") }

func (p *parser) either(op string) (expression, *Error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.wrong("The expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	inner := p.comparison
	if op == "or" {
		inner = func() (expression, *Error) { return p.either("and") }
	}
	a, err := inner()
	for err == nil && p.says(op) {
		var b expression
		b, err = inner()
		a = logic{op == "or", a, b}
	}
	return a, err
}

func (p *parser) comparison() (expression, *Error) {
	a, err := p.primary()
	if err != nil {
		return nil, err
	}
	t := p.peek()
	name := t.text
	if t.kind == word {
		name = strings.ToLower(name)
	}
	switch bare := strings.TrimPrefix(name, "!"); {
	case t.kind == word && (bare == "in" || bare == "in~"):
		p.at++
		return p.among(a, bare == "in~", bare != name)
	case (t.kind == word || t.kind == sign) && comparisons[name] != nil:
		p.at++
		b, err := p.primary()
		return compare{comparisons[name], a, b}, err
	case t.kind == word && t.text[0] == '!':
		return nil, p.wrong("The operator is not supported by this installation")
	}
	return a, nil
}

func (p *parser) among(of expression, fold, no bool) (expression, *Error) {
	if err := p.want("("); err != nil {
		return nil, err
	}
	a := among{of: of, fold: fold, no: no}
	for {
		e, err := p.primary()
		if err != nil {
			return nil, err
		}
		a.list = append(a.list, e)
		if !p.is(",") {
			return a, p.want(")")
		}
	}
}

func (p *parser) primary() (expression, *Error) {
	t := p.take()
	if p.values++; p.values > maxParts {
		return nil, p.fail(t.at, "The query has more than %d values", maxParts)
	}
	switch {
	case t.kind == text:
		return literal{t.text}, nil
	case t.kind == number:
		return literal{t.value}, nil
	case t.kind == sign && t.text == "(":
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		return e, p.want(")")
	case t.kind == sign && t.text == "[": // ['a column']
		return p.named(t)
	case t.kind != word || t.text[0] == '!':
		return nil, p.fail(t.at, "A value is expected")
	case strings.EqualFold(t.text, "true") || strings.EqualFold(t.text, "false"):
		return literal{strings.EqualFold(t.text, "true")}, nil
	case p.is("("):
		return p.call(t)
	}
	return p.path(t.text, t.at)
}

func (p *parser) named(open token) (expression, *Error) {
	t := p.take()
	if t.kind != text {
		return nil, p.fail(t.at, "A column's name in quotes is expected")
	}
	if err := p.want("]"); err != nil {
		return nil, err
	}
	return p.path(t.text, open.at)
}

// path reads what follows a column: .member, ['member'], [0].
func (p *parser) path(first string, at int) (expression, *Error) {
	e := path{parts: []any{first}, fault: p.fail(at, "Failed to resolve the column or scalar expression named '%.80s'", first)}
	for {
		switch {
		case p.is("."):
			t := p.take()
			if t.kind != word || t.text[0] == '!' {
				return nil, p.fail(t.at, "A member's name is expected")
			}
			e.parts = append(e.parts, t.text)
		case p.is("["):
			t := p.take()
			switch {
			case t.kind == text:
				e.parts = append(e.parts, t.text)
			case t.kind == number && t.value >= 0 && t.value < 1<<20 && t.value == float64(int(t.value)):
				e.parts = append(e.parts, int(t.value))
			default:
				return nil, p.fail(t.at, "A member's name in quotes or an index is expected")
			}
			if err := p.want("]"); err != nil {
				return nil, err
			}
		default:
			return e, nil
		}
	}
}

func (p *parser) call(name token) (expression, *Error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.wrong("The expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	f, known := functions[strings.ToLower(name.text)]
	if !known {
		return nil, p.fail(name.at, "The function '%.40s' is not supported by this installation", name.text)
	}
	c := call{name: name.text, f: f}
	for !p.is(")") {
		if len(c.args) > 0 {
			if err := p.want(","); err != nil {
				return nil, err
			}
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, e)
	}
	if n := len(c.args); n < f.least || n > f.most {
		return nil, p.fail(name.at, "The function '%s' takes between %d and %d arguments", name.text, f.least, f.most)
	}
	return c, nil
}
