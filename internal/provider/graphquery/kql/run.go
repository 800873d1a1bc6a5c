package kql

import (
	"fmt"
	"slices"
	"strings"
)

// Row is one row of a table; a column that is absent is null.
type Row map[string]any

// Result is what a query gives: its columns in order, and the rows.
type Result struct {
	Columns []string
	Rows    []Row
}

// table is what goes from operator to operator.
type table struct {
	Result
	size int // bytes that computed texts have taken so far
}

// maxMade bounds what a query may compute; the bound is ours. Each extend can double a text.
const maxMade = 64 << 20

// Run answers the query over a table's columns and rows, which it leaves as they are. An *Error names a column that is not there.
func (q *Query) Run(columns []string, rows []Row) (Result, error) {
	t := &table{Result: Result{Columns: slices.Clone(columns), Rows: slices.Clone(rows)}}
	for _, o := range q.pipe {
		if err := o.run(t); err != nil {
			return Result{}, err
		}
	}
	return t.Result, nil
}

func (t *table) known() map[string]bool {
	known := map[string]bool{}
	for _, c := range t.Columns {
		known[c] = true
	}
	return known
}

type where struct{ e expression }

func (w where) run(t *table) *Error {
	if err := w.e.check(t.known()); err != nil {
		return err
	}
	t.Rows = slices.DeleteFunc(t.Rows, func(r Row) bool { return !truth(w.e.eval(r)) })
	return nil
}

// column is a name and what stands there.
type column struct {
	name string
	of   expression
}

func check(t *table, columns []column) *Error {
	known := t.known()
	for _, c := range columns {
		if err := c.of.check(known); err != nil {
			return err
		}
	}
	return nil
}

type project struct{ columns []column }

func (p project) run(t *table) *Error {
	if err := check(t, p.columns); err != nil {
		return err
	}
	t.Columns = nil
	for _, c := range p.columns {
		if !slices.Contains(t.Columns, c.name) {
			t.Columns = append(t.Columns, c.name)
		}
	}
	return t.each(func(Row) Row { return Row{} }, p.columns)
}

// each makes new rows and puts computed columns into them.
func (t *table) each(start func(Row) Row, columns []column) *Error {
	for i, r := range t.Rows {
		next := start(r)
		for _, c := range columns {
			v := c.of.eval(r)
			if s, ok := v.(string); ok {
				t.size += len(s)
			}
			if t.size > maxMade {
				return &Error{Message: "The query computes more than this installation allows", Line: 1, Column: 1}
			}
			next[c.name] = v
		}
		t.Rows[i] = next
	}
	return nil
}

type extend struct{ columns []column }

func (e extend) run(t *table) *Error {
	for _, c := range e.columns { // each sees those before it
		if err := check(t, []column{c}); err != nil {
			return err
		}
		err := t.each(func(r Row) Row {
			next := make(Row, len(r)+1)
			for k, v := range r {
				next[k] = v
			}
			return next
		}, []column{c})
		if err != nil {
			return err
		}
		if !slices.Contains(t.Columns, c.name) {
			t.Columns = append(t.Columns, c.name)
		}
	}
	return nil
}

type away struct{ names []string }

func (a away) run(t *table) *Error {
	t.Columns = slices.DeleteFunc(t.Columns, func(c string) bool { return slices.Contains(a.names, c) })
	for i, r := range t.Rows {
		next := make(Row, len(r))
		for _, c := range t.Columns {
			next[c] = r[c]
		}
		t.Rows[i] = next
	}
	return nil
}

type distinct struct{ columns []column }

func (d distinct) run(t *table) *Error {
	if err := project(d).run(t); err != nil {
		return err
	}
	seen := map[string]bool{}
	t.Rows = slices.DeleteFunc(t.Rows, func(r Row) bool {
		k := t.key(r)
		had := seen[k]
		seen[k] = true
		return had
	})
	return nil
}

// key is equal for rows with equal values.
func (t *table) key(r Row) string {
	var b strings.Builder
	for _, c := range t.Columns {
		v := written(r[c])
		fmt.Fprintf(&b, "%t %d %s", r[c] == nil, len(v), v)
	}
	return b.String()
}

// key is one of the sort keys.
type key struct {
	of         expression
	down, last bool // descending; nulls at the end
}

type order struct{ keys []key }

func (o order) run(t *table) *Error {
	known := t.known()
	for _, k := range o.keys {
		if err := k.of.check(known); err != nil {
			return err
		}
	}
	slices.SortStableFunc(t.Rows, func(a, b Row) int {
		for _, k := range o.keys {
			if n := k.compare(k.of.eval(a), k.of.eval(b)); n != 0 {
				return n
			}
		}
		return 0
	})
	return nil
}

func (k key) compare(a, b any) int {
	n := order3(a, b)
	if a == nil || b == nil {
		if k.last {
			n = -n
		}
		return n
	}
	if k.down {
		n = -n
	}
	return n
}

type limit struct{ n int }

func (l limit) run(t *table) *Error {
	t.Rows = t.Rows[:min(l.n, len(t.Rows))]
	return nil
}

type top struct {
	order
	limit
}

func (o top) run(t *table) *Error {
	if err := o.order.run(t); err != nil {
		return err
	}
	return o.limit.run(t)
}

type total struct{}

func (total) run(t *table) *Error {
	t.Columns, t.Rows = []string{"Count"}, []Row{{"Count": float64(len(t.Rows))}}
	return nil
}

// summary counts rows by what they have in common.
type summary struct {
	name string
	by   []column
}

func (s summary) run(t *table) *Error {
	if err := (project{s.by}).run(t); err != nil {
		return err
	}
	if len(s.by) == 0 {
		t.Columns, t.Rows = []string{s.name}, []Row{{s.name: float64(len(t.Rows))}}
		return nil
	}
	groups := map[string]Row{}
	var list []Row
	for _, r := range t.Rows {
		k := t.key(r)
		if groups[k] == nil {
			groups[k] = r
			r[s.name] = 0.0
			list = append(list, r)
		}
		groups[k][s.name] = groups[k][s.name].(float64) + 1
	}
	t.Rows, t.Columns = list, append(t.Columns, s.name)
	return nil
}
