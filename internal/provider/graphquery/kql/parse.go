package kql

import (
	"fmt"
	"slices"
	"strings"
)

// Query is a query that was understood. Its table's name is as the text has it.
type Query struct {
	Table string
	pipe  []operator
}

// operator changes a table.
type operator interface {
	run(*table) *Error
}

type parser struct {
	lexer
	tokens []token
	at     int
	depth  int
	values int // of all expressions
}

// Parse reads a query: a table's name and operators after it, each behind a bar. A query without a name asks Resources.
func Parse(source string) (*Query, error) {
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{lexer: lexer{source: source}, tokens: tokens}
	q, err := p.query()
	if err != nil {
		return nil, err
	}
	return q, nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// is takes a sign if it is next.
func (p *parser) is(s string) bool {
	if t := p.peek(); t.kind == sign && t.text == s {
		p.at++
		return true
	}
	return false
}

// says takes a word if it is next; operators of the language are lower case, and read without regard to it.
func (p *parser) says(words ...string) bool {
	if t := p.peek(); t.kind == word && slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, t.text) }) {
		p.at++
		return true
	}
	return false
}

func (p *parser) want(s string) *Error {
	if p.is(s) {
		return nil
	}
	return p.wrong("'%s' is expected", s)
}

func (p *parser) wrong(format string, args ...any) *Error {
	return p.fail(p.peek().at, format, args...)
}

func (p *parser) query() (*Query, *Error) {
	q := &Query{Table: "Resources"}
	t := p.peek()
	if t.kind == end {
		return nil, p.wrong("The query is empty")
	}
	if next := p.tokens[min(p.at+1, len(p.tokens)-1)]; t.kind == word && (next.kind == end || next.kind == sign && next.text == "|") && !strings.EqualFold(t.text, "count") {
		q.Table = p.take().text
		if p.peek().kind == end {
			return q, nil
		}
		p.at++
	}
	for {
		if len(q.pipe) == maxPipes {
			return nil, p.wrong("The query has more than %d operators", maxPipes)
		}
		o, err := p.operator()
		if err != nil {
			return nil, err
		}
		q.pipe = append(q.pipe, o)
		if p.peek().kind == end {
			return q, nil
		}
		if err := p.want("|"); err != nil {
			return nil, err
		}
	}
}

func (p *parser) operator() (operator, *Error) {
	t := p.take()
	if t.kind != word {
		return nil, p.fail(t.at, "An operator is expected")
	}
	switch name := strings.ToLower(t.text); name {
	case "where":
		e, err := p.expression()
		return where{e}, err
	case "project":
		if p.peek().kind == minus {
			p.at++
			if !p.says("away") {
				return nil, p.wrong("The operator is not supported by this installation; of 'project-…' it knows 'project-away'")
			}
			return p.away()
		}
		c, err := p.columns()
		return project{c}, err
	case "extend":
		c, err := p.columns()
		return extend{c}, err
	case "distinct":
		c, err := p.columns()
		return distinct{c}, err
	case "order", "sort":
		if !p.says("by") {
			return nil, p.wrong("'by' is expected")
		}
		k, err := p.keys()
		return order{k}, err
	case "take", "limit":
		n, err := p.count()
		return limit{n}, err
	case "top":
		return p.top()
	case "count":
		return total{}, nil
	case "summarize":
		return p.summarize()
	}
	return nil, p.fail(t.at, "The operator '%.40s' is not supported by this installation. It knows count, distinct, extend, limit, order by, project, project-away, sort by, summarize, take, top and where", t.text)
}

func (p *parser) away() (operator, *Error) {
	var names []string
	for {
		t := p.take()
		if t.kind != word {
			return nil, p.fail(t.at, "A column's name is expected")
		}
		names = append(names, t.text)
		if !p.is(",") {
			return away{names}, nil
		}
	}
}

// columns reads a, b.c, name = expression.
func (p *parser) columns() ([]column, *Error) {
	var list []column
	for {
		c, err := p.column(len(list))
		if err != nil {
			return nil, err
		}
		list = append(list, c)
		if !p.is(",") {
			return list, nil
		}
	}
}

func (p *parser) column(n int) (column, *Error) {
	t, next := p.peek(), p.tokens[min(p.at+1, len(p.tokens)-1)]
	if t.kind == word && next.kind == sign && next.text == "=" {
		p.at += 2
		e, err := p.expression()
		return column{t.text, e}, err
	}
	e, err := p.expression()
	if err != nil {
		return column{}, err
	}
	name := fmt.Sprintf("Column%d", n+1)
	if at, ok := e.(path); ok { // properties.hardwareProfile.vmSize is called properties_hardwareProfile_vmSize
		name = strings.Join(at.names(), "_")
	}
	return column{name, e}, nil
}

func (p *parser) keys() ([]key, *Error) {
	var list []key
	for {
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		k := key{of: e, down: true} // Kusto's own way
		if p.says("asc") {
			k.down = false
		} else {
			p.says("desc")
		}
		k.last = k.down
		if p.says("nulls") {
			k.last = p.says("last")
			if !k.last && !p.says("first") {
				return nil, p.wrong("'first' or 'last' is expected")
			}
		}
		list = append(list, k)
		if !p.is(",") {
			return list, nil
		}
	}
}

func (p *parser) count() (int, *Error) {
	t := p.take()
	if t.kind != number || t.value < 0 || t.value != float64(int(t.value)) {
		return 0, p.fail(t.at, "A whole number is expected")
	}
	return int(t.value), nil
}

func (p *parser) top() (operator, *Error) {
	n, err := p.count()
	if err != nil {
		return nil, err
	}
	if !p.says("by") {
		return nil, p.wrong("'by' is expected")
	}
	k, err := p.keys()
	return top{order{k}, limit{n}}, err
}

// summarize knows count().
func (p *parser) summarize() (operator, *Error) {
	s := summary{name: "count_"}
	if t, next := p.peek(), p.tokens[min(p.at+1, len(p.tokens)-1)]; t.kind == word && next.kind == sign && next.text == "=" {
		s.name = t.text
		p.at += 2
	}
	if !p.says("count") {
		return nil, p.wrong("Only count() is supported by this installation in 'summarize'")
	}
	if err := p.want("("); err != nil {
		return nil, err
	}
	if err := p.want(")"); err != nil {
		return nil, err
	}
	if !p.says("by") {
		return s, nil
	}
	var err *Error
	s.by, err = p.columns()
	return s, err
}
