package odata

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Graph's page sizes.
const (
	defaultTop = 100
	maxTop     = 999
)

// Query is the query options of a request.
type Query struct {
	Filter *Filter
	Select []string // empty: what the type shows by default
	Count  bool
	Expand []string

	top   int
	order string // property; empty: id
	down  bool
	after []string // order value and id of the last object of the page before
}

// Parse reads the options of a request. Names may come with or without their $, as in Graph.
func Parse(values url.Values) (*Query, error) {
	q := &Query{top: defaultTop}
	for name, all := range values {
		value := all[len(all)-1]
		if len(all) > 1 {
			return nil, bad("Query option '%.30s' was specified more than once, but it must be specified at most once.", name)
		}
		if err := q.option(strings.TrimPrefix(strings.ToLower(name), "$"), value); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func (q *Query) option(name, value string) (err error) {
	switch name {
	case "filter":
		q.Filter, err = ParseFilter(value)
	case "select":
		q.Select = fields(value)
		if len(q.Select) > 100 {
			return bad("$select names more than 100 properties.")
		}
	case "expand":
		q.Expand = fields(value)
	case "top":
		q.top, err = strconv.Atoi(value)
		if err != nil || q.top < 1 || q.top > maxTop {
			return bad("Invalid page size specified: '%.20s'. Must be between 1 and %d inclusive.", value, maxTop)
		}
	case "count":
		if value != "true" && value != "false" {
			return bad("Invalid value '%.20s' for $count query option found. Valid values are 'false', 'true'.", value)
		}
		q.Count = value == "true"
	case "orderby":
		err = q.orderBy(value)
	case "skiptoken":
		err = q.resume(value)
	case "search", "skip", "apply", "compute", "deltatoken", "format":
		return unsupported("The query option '$%s' is not supported by this server.", name)
	default:
		return bad("The query parameter '%.30s' is not supported.", name)
	}
	return err
}

func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func (q *Query) orderBy(value string) error {
	words := strings.Fields(value)
	if len(words) == 0 || len(words) > 2 || strings.Contains(value, ",") {
		return unsupported("$orderby takes one property here.")
	}
	q.order = words[0]
	if len(words) == 2 {
		switch strings.ToLower(words[1]) {
		case "asc":
		case "desc":
			q.down = true
		default:
			return bad("Syntax error in $orderby.")
		}
	}
	return nil
}

func (q *Query) resume(token string) error {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	q.after = strings.SplitN(string(raw), "\x00", 2)
	if err != nil || len(q.after) != 2 || len(token) > 2048 {
		return bad("Invalid value for $skiptoken.")
	}
	return nil
}

// Check refuses options on properties that an object of the kind of sample does not have.
func (q *Query) Check(sample map[string]any) error {
	for _, name := range q.Select {
		if _, ok := sample[name]; !ok && name != "*" {
			return bad("Could not find a property named '%.64s'.", name)
		}
	}
	if _, ok := sample[q.order]; !ok && q.order != "" {
		return bad("Could not find a property named '%.64s'.", q.order)
	}
	return q.Filter.Check(sample)
}

// Page sorts the objects that match and cuts one page out of them. total counts all that match; next is the token for the page after, or
// empty.
func (q *Query) Page(all []map[string]any) (page []map[string]any, total int, next string) {
	for _, o := range all {
		if q.Filter.Match(o) {
			page = append(page, o)
		}
	}
	total = len(page)
	slices.SortFunc(page, func(a, b map[string]any) int { return q.compare(q.place(a), q.place(b)) })
	if q.after != nil {
		page = page[countWhile(page, func(o map[string]any) bool { return q.compare(q.place(o), q.after) <= 0 }):]
	}
	if len(page) > q.top {
		page = page[:q.top]
		next = base64.RawURLEncoding.EncodeToString([]byte(strings.Join(q.place(page[q.top-1]), "\x00")))
	}
	return page, total, next
}

func countWhile(list []map[string]any, f func(map[string]any) bool) int {
	if i := slices.IndexFunc(list, func(o map[string]any) bool { return !f(o) }); i >= 0 {
		return i
	}
	return len(list)
}

// place is where an object stands in the order.
func (q *Query) place(o map[string]any) []string {
	var key string
	if q.order != "" {
		switch v := o[q.order].(type) {
		case string:
			key = strings.ToLower(v)
		case bool:
			key = strconv.FormatBool(v)
		}
	}
	id, _ := o["id"].(string) // every object has one; without, the order is that of the keys alone
	return []string{key, id}
}

func (q *Query) compare(a, b []string) int {
	order := cmp.Compare(a[0], b[0])
	if q.down {
		order = -order
	}
	return cmp.Or(order, cmp.Compare(a[1], b[1]))
}
