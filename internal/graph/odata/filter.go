package odata

import "strings"

// Limits of a filter.
const (
	maxFilter = 4096
	maxDepth  = 20
	maxNodes  = 200
)

// Filter is a parsed $filter.
type Filter struct{ root node }

// node is a part of a filter that is true or false of an object. vars holds the variables of the lambdas around it.
type node interface {
	match(object any, vars map[string]any) bool
}

type (
	both    struct{ a, b node }
	either  struct{ a, b node }
	not     struct{ a node }
	compare struct {
		path path
		op   string
		to   literal
	}
	oneOf struct {
		path path
		to   []literal
	}
	function struct {
		name string
		path path
		arg  string
	}
	lambda struct {
		path path
		all  bool
		name string // of the variable; empty: any()
		body node
	}
	path    []string
	literal struct {
		kind kind // text, or word for what is not quoted
		text string
	}
)

// ParseFilter reads a $filter.
func ParseFilter(s string) (*Filter, error) {
	if len(s) > maxFilter {
		return nil, invalidFilter("it has more than %d bytes.", maxFilter)
	}
	lexemes, err := scan(s)
	if err != nil {
		return nil, err
	}
	p := &parser{rest: lexemes}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != end {
		return nil, p.syntax()
	}
	return &Filter{root}, nil
}

type parser struct {
	rest         []lexeme
	depth, nodes int
	vars         []string
}

func (p *parser) peek() lexeme { return p.rest[0] }

func (p *parser) next() lexeme {
	l := p.rest[0]
	if l.kind != end {
		p.rest = p.rest[1:]
	}
	return l
}

func (p *parser) syntax() error {
	return invalidFilter("Syntax error at position %d.", p.peek().at)
}

func (p *parser) keyword(w string) bool {
	if l := p.peek(); l.kind == word && strings.EqualFold(l.text, w) {
		p.next()
		return true
	}
	return false
}

func (p *parser) symbol(s string) bool {
	if l := p.peek(); l.kind == symbol && l.text == s {
		p.next()
		return true
	}
	return false
}

// enter counts what nests and what is there at all, so that a short request cannot cost much.
func (p *parser) enter() error {
	p.depth++
	p.nodes++
	if p.depth > maxDepth || p.nodes > maxNodes {
		return invalidFilter("it has more than %d conditions or nests deeper than %d.", maxNodes, maxDepth)
	}
	return nil
}

func (p *parser) or() (node, error) {
	a, err := p.and()
	for err == nil && p.keyword("or") {
		var b node
		if b, err = p.and(); err == nil {
			a = either{a, b}
		}
	}
	return a, err
}

func (p *parser) and() (node, error) {
	a, err := p.unary()
	for err == nil && p.keyword("and") {
		var b node
		if b, err = p.unary(); err == nil {
			a = both{a, b}
		}
	}
	return a, err
}

func (p *parser) unary() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if p.keyword("not") {
		a, err := p.unary()
		return not{a}, err
	}
	if p.symbol("(") {
		a, err := p.or()
		if err == nil && !p.symbol(")") {
			err = p.syntax()
		}
		return a, err
	}
	return p.condition()
}

// condition reads what begins with a name: a function, a lambda or a comparison.
func (p *parser) condition() (node, error) {
	name := p.next()
	if name.kind != word {
		return nil, invalidFilter("Syntax error at position %d.", name.at)
	}
	if p.symbol("(") {
		return p.function(name.text)
	}
	where := path{name.text}
	for p.symbol("/") {
		part := p.next()
		if part.kind != word {
			return nil, invalidFilter("Syntax error at position %d.", part.at)
		}
		if quantifier := strings.ToLower(part.text); (quantifier == "any" || quantifier == "all") && p.symbol("(") {
			return p.lambda(where, quantifier == "all")
		}
		where = append(where, part.text)
	}
	if len(where) == 2 && where[1] == "$count" {
		return nil, unsupported("$count within $filter is not supported.")
	}
	return p.comparison(where)
}

func (p *parser) comparison(where path) (node, error) {
	if p.keyword("in") {
		return p.list(where)
	}
	for _, op := range []string{"eq", "ne", "gt", "ge", "lt", "le"} {
		if p.keyword(op) {
			to, err := p.literal()
			return compare{where, op, to}, err
		}
	}
	if p.peek().kind == word {
		return nil, unsupported("The operator '%.20s' is not supported; eq, ne, gt, ge, lt, le, in, and, or, not, startswith, endswith, contains, any and all are.", p.peek().text)
	}
	return nil, p.syntax()
}

func (p *parser) literal() (literal, error) {
	l := p.next()
	if l.kind != text && l.kind != word {
		return literal{}, invalidFilter("Syntax error at position %d.", l.at)
	}
	return literal{l.kind, l.text}, nil
}

func (p *parser) list(where path) (node, error) {
	if !p.symbol("(") {
		return nil, p.syntax()
	}
	in := oneOf{path: where}
	for {
		to, err := p.literal()
		if err != nil {
			return nil, err
		}
		in.to = append(in.to, to)
		if p.nodes++; p.nodes > maxNodes {
			return nil, invalidFilter("it has more than %d conditions.", maxNodes)
		}
		if p.symbol(")") {
			return in, nil
		}
		if !p.symbol(",") {
			return nil, p.syntax()
		}
	}
}

func (p *parser) function(name string) (node, error) {
	name = strings.ToLower(name)
	if name != "startswith" && name != "endswith" && name != "contains" {
		return nil, unsupported("The function '%.30s' is not supported; startswith, endswith and contains are.", name)
	}
	f := function{name: name}
	for {
		part := p.next()
		if part.kind != word {
			return nil, invalidFilter("Syntax error at position %d.", part.at)
		}
		f.path = append(f.path, part.text)
		if p.symbol(",") {
			break
		}
		if !p.symbol("/") {
			return nil, p.syntax()
		}
	}
	arg := p.next()
	if arg.kind != text || !p.symbol(")") {
		return nil, invalidFilter("%s takes a property and a string literal.", name)
	}
	f.arg = arg.text
	if !p.keyword("eq") { // "startswith(…) eq true" is the same, said at length
		return f, nil
	}
	switch {
	case p.keyword("true"):
		return f, nil
	case p.keyword("false"):
		return not{f}, nil
	}
	return nil, p.syntax()
}

func (p *parser) lambda(where path, all bool) (node, error) {
	if len(p.vars) > 0 { // each level multiplies the work by the length of a collection
		return nil, unsupported("any and all cannot be nested.")
	}
	if !all && p.symbol(")") {
		return lambda{path: where}, nil
	}
	name := p.next()
	if name.kind != word || !p.symbol(":") {
		return nil, invalidFilter("Syntax error at position %d.", name.at)
	}
	p.vars = append(p.vars, name.text)
	body, err := p.or()
	p.vars = p.vars[:len(p.vars)-1]
	if err == nil && !p.symbol(")") {
		err = p.syntax()
	}
	return lambda{where, all, name.text, body}, err
}
