package kql

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
)

func truth(v any) bool {
	b, ok := v.(bool)
	return ok && b
}

// written is a value as text: what is null is empty, what has parts is JSON.
func written(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

// equal compares what is of one kind; a text of digits equals the number, as Kusto casts what is dynamic.
func equal(a, b any) bool {
	if x, ok := numbers(a, b); ok {
		return x == 0
	}
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	}
	return false
}

func fold(a, b any) bool { return a != nil && b != nil && strings.EqualFold(written(a), written(b)) }

// numbers compares as numbers, if both can be and one is.
func numbers(a, b any) (int, bool) {
	x, xIs, okX := numeric(a)
	y, yIs, okY := numeric(b)
	return cmp.Compare(x, y), okX && okY && (xIs || yIs)
}

func numeric(v any) (value float64, is, ok bool) {
	switch x := v.(type) {
	case float64:
		return x, true, true
	case string:
		f, err := strconv.ParseFloat(x, 64)
		return f, false, err == nil && x != ""
	}
	return 0, false, false
}

// order3 puts two values in order; null is below all.
func order3(a, b any) int {
	if (a == nil) != (b == nil) {
		if a == nil {
			return -1
		}
		return 1
	}
	if n, ok := numbers(a, b); ok {
		return n
	}
	return strings.Compare(written(a), written(b))
}

func less(want ...int) func(a, b any) bool {
	return func(a, b any) bool {
		if a == nil || b == nil {
			return false
		}
		n := order3(a, b)
		return n == want[0] || len(want) > 1 && n == want[1]
	}
}

// lower is for the operators that disregard case.
func lower(f func(a, b string) bool) func(a, b any) bool {
	return func(a, b any) bool { return f(strings.ToLower(written(a)), strings.ToLower(written(b))) }
}

func exact(f func(a, b string) bool) func(a, b any) bool {
	return func(a, b any) bool { return f(written(a), written(b)) }
}

func not(f func(a, b any) bool) func(a, b any) bool {
	return func(a, b any) bool { return !f(a, b) }
}

// term tells whether b stands in a as a whole word: letters and digits.
func term(a, b string) bool {
	inside := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for from := 0; b != ""; {
		i := strings.Index(a[from:], b)
		if i < 0 {
			return false
		}
		start, stop := from+i, from+i+len(b)
		before, after := strings.TrimRightFunc(a[:start], inside), strings.TrimLeftFunc(a[stop:], inside)
		if len(before) == start && len(after) == len(a)-stop {
			return true
		}
		from = start + 1
	}
	return true
}

// comparisons are the operators between two values.
var comparisons = map[string]func(a, b any) bool{
	"==": equal, "!=": not(equal), "=~": fold, "!~": not(fold),
	"<": less(-1), "<=": less(-1, 0), ">": less(1), ">=": less(1, 0),
	"has": lower(term), "!has": not(lower(term)), "has_cs": exact(term), "!has_cs": not(exact(term)),
	"contains": lower(strings.Contains), "!contains": not(lower(strings.Contains)), "contains_cs": exact(strings.Contains), "!contains_cs": not(exact(strings.Contains)),
	"startswith": lower(strings.HasPrefix), "!startswith": not(lower(strings.HasPrefix)), "startswith_cs": exact(strings.HasPrefix), "!startswith_cs": not(exact(strings.HasPrefix)),
	"endswith": lower(strings.HasSuffix), "!endswith": not(lower(strings.HasSuffix)), "endswith_cs": exact(strings.HasSuffix), "!endswith_cs": not(exact(strings.HasSuffix)),
}

type function struct {
	least, most int
	do          func([]any) any
}

func one(f func(any) any) function {
	return function{1, 1, func(a []any) any { return f(a[0]) }}
}

func empty(v any) bool { return written(v) == "" }

func toNumber(v any) any {
	n, _, ok := numeric(v)
	if !ok {
		return nil
	}
	return n
}

// functions are those of the language that are known.
var functions = map[string]function{
	"tolower":    one(func(v any) any { return strings.ToLower(written(v)) }),
	"toupper":    one(func(v any) any { return strings.ToUpper(written(v)) }),
	"tostring":   one(func(v any) any { return written(v) }),
	"toint":      one(toNumber),
	"tolong":     one(toNumber),
	"todouble":   one(toNumber),
	"tobool":     one(func(v any) any { return strings.EqualFold(written(v), "true") }),
	"not":        one(func(v any) any { return !truth(v) }),
	"isnull":     one(func(v any) any { return v == nil }),
	"isnotnull":  one(func(v any) any { return v != nil }),
	"isempty":    one(func(v any) any { return empty(v) }),
	"isnotempty": one(func(v any) any { return !empty(v) }),
	"strlen":     one(func(v any) any { return float64(len([]rune(written(v)))) }),
	"array_length": one(func(v any) any {
		list, ok := v.([]any)
		if !ok {
			return nil
		}
		return float64(len(list))
	}),
	"strcat": {1, 32, func(args []any) any {
		var b strings.Builder
		for _, a := range args {
			if b.WriteString(written(a)); b.Len() > maxMade1 {
				return nil
			}
		}
		return b.String()
	}},
	"coalesce": {1, 32, func(args []any) any {
		for _, a := range args {
			if a != nil {
				return a
			}
		}
		return nil
	}},
	"iff": {3, 3, func(args []any) any {
		if truth(args[0]) {
			return args[1]
		}
		return args[2]
	}},
}
