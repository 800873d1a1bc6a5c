package sqlstore

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"vitrine/internal/store"
)

// selection renders q so that an index leads, whichever back-end plans it:
//
//	All      the terms table leads in key order; the other terms are looked up for each document
//	Any      the keys come from the terms table, the documents by key
//	neither  documents by kind and key, or by key
func selection(q store.Query) (string, []any) {
	b := &builder{}
	switch {
	case len(q.All) > 0:
		// CROSS JOIN tells SQLite to keep this order.
		b.add(`SELECT ` + columns + ` FROM terms t CROSS JOIN documents d WHERE d.key = t.key AND t.term = ` + b.arg(q.All[0]))
		b.within("t", q)
		for _, term := range q.All[1:] {
			b.add(` AND EXISTS (SELECT 1 FROM terms o WHERE o.term = ` + b.arg(term) + ` AND o.kind = t.kind AND o.key = t.key)`)
		}
		if len(q.Any) > 0 {
			b.add(` AND EXISTS (SELECT 1 FROM terms o WHERE o.term IN (` + b.list(q.Any) + `) AND o.kind = t.kind AND o.key = t.key)`)
		}
		b.add(` ORDER BY t.key`)
	case len(q.Any) > 0:
		b.add(`SELECT ` + columns + ` FROM documents d WHERE d.key IN (SELECT t.key FROM terms t WHERE t.term IN (` + b.list(q.Any) + `)`)
		b.within("t", q)
		b.add(`) ORDER BY d.key`)
	default:
		b.add(`SELECT ` + columns + ` FROM documents d WHERE true`)
		b.within("d", q)
		b.add(` ORDER BY d.key`)
	}
	if q.Limit > 0 {
		b.add(fmt.Sprintf(` LIMIT %d`, q.Limit))
	}
	return b.text.String(), b.args
}

type builder struct {
	text strings.Builder
	args []any
}

func (b *builder) add(s string) { b.text.WriteString(s) }

func (b *builder) arg(v string) string {
	b.args = append(b.args, v)
	return fmt.Sprintf("$%d", len(b.args))
}

func (b *builder) list(terms []string) string {
	var marks []string
	for _, term := range slices.Compact(slices.Sorted(slices.Values(terms))) {
		marks = append(marks, b.arg(term))
	}
	return strings.Join(marks, ", ")
}

// within restricts kind and key of the table called name.
func (b *builder) within(name string, q store.Query) {
	if q.Kind != "" {
		b.add(` AND ` + name + `.kind = ` + b.arg(q.Kind))
	}
	if q.After >= q.Prefix && q.After != "" {
		b.add(` AND ` + name + `.key > ` + b.arg(q.After))
	} else if q.Prefix != "" {
		b.add(` AND ` + name + `.key >= ` + b.arg(q.Prefix))
	}
	if end := beyond(q.Prefix); end != "" {
		b.add(` AND ` + name + `.key < ` + b.arg(end))
	}
}

// beyond returns the least text that is greater than all that begin with prefix, or "" if there is none. It counts in
// runes, because PostgreSQL takes only UTF-8; UTF-8 sorts as its runes do.
func beyond(prefix string) string {
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch r {
		case utf8.MaxRune:
			continue
		case 0xD7FF: // surrogates are no text
			r = 0xE000
		default:
			r++
		}
		return prefix + string(r)
	}
	return ""
}
