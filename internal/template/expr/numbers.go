package expr

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/template/tree"
)

// numberFunctions are arithmetic, comparison, logic and dates. Never written to.
var numberFunctions = map[string]function{
	"add":               int2(func(a, b int64) (int64, bool) { return a + b, (a+b > a) == (b > 0) }),
	"and":               {min: 2, max: -1, eval: func(c *invocation) (any, error) { return c.logic(true) }, lazy: true},
	"bool":              {min: 1, max: 1, eval: toBool},
	"datetimeadd":       {min: 2, max: 3, eval: dateTimeAdd},
	"datetimefromepoch": {min: 1, max: 1, eval: dateTimeFromEpoch},
	"datetimetoepoch":   {min: 1, max: 1, eval: dateTimeToEpoch},
	"div":               int2(func(a, b int64) (int64, bool) { return divide(a, b) }),
	"equals":            {min: 2, max: 2, eval: func(c *invocation) (any, error) { return tree.Equal(c.args[0], c.args[1]), nil }},
	"false":             constant(false),
	"greater":           compare(func(order int) bool { return order > 0 }),
	"greaterorequals":   compare(func(order int) bool { return order >= 0 }),
	"if":                {min: 3, max: 3, eval: choose, lazy: true},
	"int":               {min: 1, max: 1, eval: toInt},
	"less":              compare(func(order int) bool { return order < 0 }),
	"lessorequals":      compare(func(order int) bool { return order <= 0 }),
	"max":               extreme(func(a, b int64) int64 { return max(a, b) }),
	"min":               extreme(func(a, b int64) int64 { return min(a, b) }),
	"mod":               int2(func(a, b int64) (int64, bool) { return remainder(a, b) }),
	"mul":               int2(multiply),
	"not":               {min: 1, max: 1, eval: not},
	"or":                {min: 2, max: -1, eval: func(c *invocation) (any, error) { return c.logic(false) }, lazy: true},
	"sub":               int2(func(a, b int64) (int64, bool) { return a - b, (a-b < a) == (b > 0) }),
	"true":              constant(true),
	"utcnow":            {min: 0, max: 1, eval: utcNow, initial: true},
}

func divide(a, b int64) (int64, bool) {
	if b == 0 || a == math.MinInt64 && b == -1 {
		return 0, false
	}
	return a / b, true
}

func remainder(a, b int64) (int64, bool) {
	if b == 0 || b == -1 {
		return 0, b != 0
	}
	return a % b, true
}

func multiply(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	return p, p/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
}

// extreme is min or max, of integers or of one array of them.
func extreme(better func(a, b int64) int64) function {
	return function{min: 1, max: -1, eval: func(c *invocation) (any, error) {
		all := c.args
		if list, ok := c.args[0].([]any); ok && len(c.args) == 1 {
			all = list
		}
		if len(all) == 0 {
			return nil, c.fail("expects at least one integer")
		}
		of := &invocation{name: c.name, args: all}
		best, err := of.integer(0)
		for i := 1; i < len(all) && err == nil; i++ {
			var n int64
			if n, err = of.integer(i); err == nil {
				best = better(best, n)
			}
		}
		return best, err
	}}
}

// compare orders integers, or strings by their code points.
func compare(f func(order int) bool) function {
	return function{min: 2, max: 2, eval: func(c *invocation) (any, error) {
		if a, ok := c.args[0].(string); ok {
			b, err := c.text(1)
			return f(strings.Compare(a, b)), err
		}
		a, err := c.integer(0)
		if err != nil {
			return nil, err
		}
		b, err := c.integer(1)
		switch {
		case a < b:
			return f(-1), err
		case a > b:
			return f(1), err
		}
		return f(0), err
	}}
}

// condition evaluates a lazy argument that must be a boolean.
func (c *invocation) condition(i int) (bool, error) {
	v, err := c.nodes[i].eval(c.ev)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, c.fail("expects its parameter '%d' to be of type 'Boolean'. The provided value is of type '%s'", i+1, tree.TypeName(v))
	}
	return b, nil
}

// logic is and (all true) or or (not all false); it stops as soon as the answer is known.
func (c *invocation) logic(and bool) (any, error) {
	for i := range c.nodes {
		if b, err := c.condition(i); err != nil || b != and {
			return b, err
		}
	}
	return and, nil
}

// choose evaluates one of two branches only: the other may refer to what does not exist.
func choose(c *invocation) (any, error) {
	b, err := c.condition(0)
	if err != nil {
		return nil, err
	}
	if b {
		return c.nodes[1].eval(c.ev)
	}
	return c.nodes[2].eval(c.ev)
}

func not(c *invocation) (any, error) {
	b, ok := c.args[0].(bool)
	if !ok {
		return nil, c.mistyped(0, "Boolean")
	}
	return !b, nil
}

func toBool(c *invocation) (any, error) {
	switch v := c.args[0].(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case string:
		switch tree.Fold(strings.TrimSpace(v)) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return nil, c.fail("cannot convert the value of type '%s' to a boolean", tree.TypeName(c.args[0]))
}

func toInt(c *invocation) (any, error) {
	switch v := c.args[0].(type) {
	case int64:
		return v, nil
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, c.fail("cannot convert the value of type '%s' to an integer", tree.TypeName(c.args[0]))
}

func utcNow(c *invocation) (any, error) {
	layout := "yyyyMMddTHHmmssZ"
	if c.has(0) {
		var err error
		if layout, err = c.text(0); err != nil {
			return nil, err
		}
	}
	return formatTime(c.ev.Env.Now.UTC(), layout), nil
}

// moment reads argument i as a date with time.
func (c *invocation) moment(i int) (time.Time, error) {
	s, err := c.text(i)
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05Z", "2006-01-02 15:04:05", "20060102T150405Z", "2006-01-02", "01/02/2006 15:04:05", "01/02/2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, c.fail("expects its parameter '%d' to be a date and time of ISO 8601", i+1)
}

var isoDuration = regexp.MustCompile(`^(-?)P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?$`)

// dateTimeAdd adds a duration of ISO 8601. As ARM documents, a year has 365 days here and a month 30.
func dateTimeAdd(c *invocation) (any, error) {
	t, err := c.moment(0)
	if err != nil {
		return nil, err
	}
	text, err := c.text(1)
	if err != nil {
		return nil, err
	}
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "P") || strings.HasSuffix(text, "T") {
		return nil, c.fail("expects its parameter '2' to be a duration of ISO 8601")
	}
	part := func(i int) int { n, _ := strconv.Atoi("0" + m[i]); return n }
	days := part(2)*365 + part(3)*30 + part(4)*7 + part(5)
	seconds := part(6)*3600 + part(7)*60 + part(8)
	if m[1] == "-" {
		days, seconds = -days, -seconds
	}
	t = t.AddDate(0, 0, days+seconds/86400).Add(time.Duration(seconds%86400) * time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		return nil, c.fail("leaves the years 1 to 9999")
	}
	layout := "yyyy-MM-ddTHH:mm:ssZ"
	if c.has(2) {
		if layout, err = c.text(2); err != nil {
			return nil, err
		}
	}
	return formatTime(t.UTC(), layout), nil
}

func dateTimeFromEpoch(c *invocation) (any, error) {
	n, err := c.integer(0)
	if err != nil || n < -62135596800 || n > 253402300799 {
		return nil, c.fail("expects seconds of the years 1 to 9999")
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339), nil
}

func dateTimeToEpoch(c *invocation) (any, error) {
	t, err := c.moment(0)
	return t.Unix(), err
}

var timeRun = regexp.MustCompile(`'[^']*'|"[^"]*"|\\.|y+|M+|d+|H+|h+|m+|s+|f+|F+|t+|z+|K|.`)

// formatTime writes t as .NET's DateTime.ToString does: the standard formats that templates use and custom ones.
func formatTime(t time.Time, layout string) string {
	standard := map[string]string{"d": "MM/dd/yyyy", "o": "yyyy-MM-ddTHH:mm:ss.fffffffK", "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
		"s": "yyyy-MM-ddTHH:mm:ss", "u": "yyyy-MM-dd HH:mm:ss'Z'", "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'", "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
		"t": "HH:mm", "T": "HH:mm:ss", "g": "MM/dd/yyyy HH:mm", "G": "MM/dd/yyyy HH:mm:ss"}
	if full, ok := standard[layout]; ok {
		layout = full
	}
	var b strings.Builder
	for _, run := range timeRun.FindAllString(layout, -1) {
		b.WriteString(timePart(t, run))
	}
	return b.String()
}

func timePart(t time.Time, run string) string {
	layouts := map[string]string{"MMMM": "January", "MMM": "Jan", "dddd": "Monday", "ddd": "Mon", "h": "3", "hh": "03", "tt": "PM", "zzz": "-07:00"}
	if layout, ok := layouts[run]; ok {
		return t.Format(layout)
	}
	pad := func(n int) string { return fmt.Sprintf("%0*d", len(run), n) }
	switch run[0] {
	case '\'', '"':
		if len(run) > 1 {
			return run[1 : len(run)-1]
		}
	case '\\':
		return run[min(1, len(run)-1):]
	case 'y':
		if len(run) <= 2 {
			return pad(t.Year() % 100)
		}
		return pad(t.Year())
	case 'M':
		return pad(int(t.Month()))
	case 'd':
		return pad(t.Day())
	case 'H':
		return pad(t.Hour())
	case 'm':
		return pad(t.Minute())
	case 's':
		return pad(t.Second())
	case 'f', 'F':
		return fmt.Sprintf("%09d", t.Nanosecond())[:min(len(run), 7)]
	case 't':
		return t.Format("PM")[:1]
	case 'z':
		return t.Format("-07")
	case 'K':
		return "Z"
	}
	return run
}
