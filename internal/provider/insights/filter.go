package insights

import (
	"regexp"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
)

// filter is a $filter that was read. The grammar is Azure's: clauses joined by "and", a time and at most one of the others
// in its documentation; here any number of them, once each (learn.microsoft.com, Activity Logs - List).
type filter struct {
	from, to time.Time
	match    []func(*audit.Event) bool
	status   string
}

const maxFilter = 4096 // bytes

var clause = regexp.MustCompile(`(?i)^\s*([a-z]+)\s+(eq|ge|le)\s+(?:'((?:[^']|'')*)'|([^'\s]+))\s*(?:\s(and)\s|$)`)

func bad(format string, args ...any) error {
	return arm.Errorf(400, "BadRequest", format, args...).At("$filter")
}

// parse reads a $filter. The beginning of the time is required, as in Azure.
func parse(text string) (*filter, error) {
	f := &filter{}
	seen := map[string]bool{}
	if len(text) > maxFilter {
		return nil, bad("The $filter is longer than %d bytes.", maxFilter)
	}
	for rest, more := text, true; more; {
		m := clause.FindStringSubmatch(rest)
		if m == nil {
			return nil, bad("The $filter '%s' is not properly formed. It needs at least \"eventTimestamp ge '<time>'\", and takes \"and\" with eventTimestamp le, resourceGroupName, resourceUri, resourceProvider, caller, correlationId and status, each with eq.", text)
		}
		name, op, value := strings.ToLower(m[1]), strings.ToLower(m[2]), strings.ReplaceAll(m[3], "''", "'")+m[4]
		key := name + " " + op
		if seen[key] {
			return nil, bad("The $filter has '%s' twice.", key)
		}
		seen[key] = true
		if err := f.clause(name, op, value); err != nil {
			return nil, err
		}
		rest, more = rest[len(m[0]):], m[5] != ""
	}
	if f.from.IsZero() {
		return nil, bad("The $filter needs the beginning of the time: eventTimestamp ge '<time>'.")
	}
	if !f.to.IsZero() && f.to.Before(f.from) {
		return nil, bad("The $filter ends before it begins.")
	}
	return f, nil
}

func (f *filter) clause(name, op, value string) error {
	if name == "eventtimestamp" && op != "eq" {
		t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(value))
		if err != nil {
			if t, err = time.Parse("2006-01-02T15:04:05.999999999", strings.ToUpper(value)); err != nil {
				return bad("The time '%s' in the $filter is not one of ISO 8601.", value)
			}
		}
		if op == "ge" {
			f.from = t
		} else {
			f.to = t
		}
		return nil
	}
	test, ok := comparisons[name]
	if !ok || op != "eq" {
		return bad("The $filter cannot compare '%s' with '%s'.", name, op)
	}
	if name == "status" {
		f.status = value
		return nil
	}
	if test != nil {
		f.match = append(f.match, func(e *audit.Event) bool { return test(e, value) })
	}
	return nil
}

// comparisons are those besides the time, by lower-case name. Nil is true of everything here: there is one channel.
var comparisons = map[string]func(e *audit.Event, value string) bool{
	"resourcegroupname": func(e *audit.Event, v string) bool { return strings.EqualFold(e.Group, v) },
	"resourceuri":       func(e *audit.Event, v string) bool { return strings.EqualFold(strings.TrimSuffix(v, "/"), e.Resource) },
	"resourceid":        func(e *audit.Event, v string) bool { return strings.EqualFold(strings.TrimSuffix(v, "/"), e.Resource) },
	"resourceprovider":  func(e *audit.Event, v string) bool { return strings.EqualFold(provider(e), v) },
	"resourcetype":      func(e *audit.Event, v string) bool { return strings.EqualFold(e.Type, v) },
	"operationname":     func(e *audit.Event, v string) bool { return strings.EqualFold(e.Action, v) },
	"correlationid":     func(e *audit.Event, v string) bool { return strings.EqualFold(e.Request.CorrelationID, v) },
	"caller": func(e *audit.Event, v string) bool {
		return v != "" && (strings.EqualFold(caller(e), v) || strings.EqualFold(e.Caller.ObjectID, v) || strings.EqualFold(e.Caller.AppID, v))
	},
	"status":        nil,
	"eventchannels": nil,
	"channels":      nil,
}

func (f *filter) matches(e *audit.Event) bool {
	for _, m := range f.match {
		if !m(e) {
			return false
		}
	}
	return true
}

func provider(e *audit.Event) string {
	ns, _, _ := strings.Cut(e.Action, "/")
	return ns
}

// caller is whom Azure names: a person's name, the object ID of a service principal.
func caller(e *audit.Event) string {
	if e.Caller.Kind == "User" && e.Caller.Name != "" {
		return e.Caller.Name
	}
	return e.Caller.ObjectID
}
