package graphquery

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/provider/graphquery/kql"
	"vitrine/internal/store"
)

// Config is what the provider asks of others.
type Config struct {
	// Community gives the rows of communitygalleryresources as JSON objects; nil: there are none.
	Community func(store.Tx) ([]json.RawMessage, error)
}

type provider struct{ Config }

// Register adds the route.
func Register(c *control.Control, cfg Config) {
	p := &provider{cfg}
	c.Handle(control.Route{Method: "POST", Pattern: "/providers/Microsoft.ResourceGraph/resources", Reads: true, Do: p.query})
}

// request is the body.
type request struct {
	Subscriptions []string        `json:"subscriptions"`
	Groups        []string        `json:"managementGroups"`
	Query         string          `json:"query" arm:"required"`
	Options       options         `json:"options"`
	Facets        json.RawMessage `json:"facets"`
	Unknown       armjson.Unknown `json:"-"`
}

type options struct {
	Top     *int            `json:"$top"`
	Skip    *int            `json:"$skip"`
	Token   string          `json:"$skipToken"`
	Format  string          `json:"resultFormat" arm:"enum=table|objectArray"`
	Unknown armjson.Unknown `json:"-"`
}

const (
	defaultTop = 100
	maxTop     = 1000
)

// query answers a query in the forms of Resource Graph.
func (p *provider) query(_ context.Context, c *control.Call) (any, error) {
	version, err := arm.VersionOf(c.Query)
	if err != nil {
		return nil, err
	}
	in, err := read(c.Body)
	if err != nil {
		return nil, err
	}
	q, err := kql.Parse(in.Query)
	if err != nil {
		return nil, invalid(err)
	}
	r, err := newReader(c, in.Subscriptions)
	if err != nil {
		return nil, err
	}
	if err := p.table(r, q.Table); err != nil {
		return nil, err
	}
	result, err := q.Run(columns, r.rows)
	if err != nil {
		return nil, invalid(err)
	}
	if in.Options.Format == "" && version.Date() < "2020-04-01" { // until then tables were the default
		in.Options.Format = "table"
	}
	return in.page(result)
}

// table fills in the rows of the table that a query names.
func (p *provider) table(r *reader, name string) error {
	switch strings.ToLower(name) {
	case "resources":
		return r.resources()
	case "resourcecontainers":
		return r.containers()
	case "communitygalleryresources":
		return r.community(p.Community)
	}
	return refused(&arm.Error{Code: "UnknownTable", Message: fmt.Sprintf("The table '%.80s' is not known to this installation. It knows Resources, ResourceContainers and communitygalleryresources.", name)})
}

func read(body []byte) (*request, error) {
	var in request
	var any json.RawMessage
	if err := json.Unmarshal(body, &any); err != nil {
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	faults := armjson.Decode(body, &in, "")
	if len(in.Groups) > 0 {
		faults = append(faults, arm.Errorf(400, "NotSupported", "A query over management groups is not supported by this installation: name 'subscriptions', or none for all.").At("managementGroups"))
	}
	if f := strings.TrimSpace(string(in.Facets)); f != "" && f != "[]" && f != "null" {
		faults = append(faults, arm.Errorf(400, "NotSupported", "Facets are not supported by this installation.").At("facets"))
	}
	for _, s := range in.Subscriptions {
		if !arm.IsGUID(s) {
			faults = append(faults, arm.Errorf(400, "InvalidSubscriptionId", "The provided subscription identifier '%.80s' is malformed or invalid.", s).At("subscriptions"))
		}
	}
	for _, n := range []struct {
		name        string
		value       *int
		least, most int
	}{{"$top", in.Options.Top, 1, maxTop}, {"$skip", in.Options.Skip, 0, maxRows}} {
		if n.value != nil && (*n.value < n.least || *n.value > n.most) {
			faults = append(faults, arm.Errorf(400, "BadRequest", "The value of options.%s is out of range: it must be between %d and %d.", n.name, n.least, n.most).At("options."+n.name))
		}
	}
	return &in, arm.Join(faults)
}

// invalid words the fault of a query as Resource Graph does: the code is the same for all, and the details tell.
func invalid(err error) error {
	fault, ok := errors.AsType[*kql.Error](err)
	if !ok {
		return err
	}
	message := fmt.Sprintf("%s near '%s'.", strings.TrimSuffix(fault.Message, "."), fault.Token)
	if fault.Token == "" {
		message = fault.Message + " at the end of the query."
	}
	return refused(&arm.Error{Code: "ParserFailure", Message: fmt.Sprintf("%s Line: %d, character: %d.", message, fault.Line, fault.Column)})
}

func refused(detail *arm.Error) error {
	e := arm.Errorf(400, "BadRequest", "The query is invalid. %s", detail.Message)
	e.Details = []*arm.Error{{Code: "InvalidQuery", Message: "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix the error before retrying."}, detail}
	return e
}

// mark ties a token to its query: that of another one is refused.
func (in *request) mark() string {
	sum := sha256.Sum256([]byte(in.Query + "\x00" + strings.ToLower(strings.Join(in.Subscriptions, ","))))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

func (in *request) offset() (int, error) {
	n := 0
	if in.Options.Skip != nil {
		n = *in.Options.Skip
	}
	if in.Options.Token == "" {
		return n, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(in.Options.Token)
	at, mark, ok := strings.Cut(string(raw), " ")
	if err == nil && ok && mark == in.mark() {
		if n, err = strconv.Atoi(at); err == nil && n >= 0 && n <= maxRows {
			return n, nil
		}
	}
	return 0, arm.Errorf(400, "BadRequest", "The value of options.$skipToken is not one that this query gave.").At("options.$skipToken")
}

type answer struct {
	Total     int    `json:"totalRecords"`
	Count     int    `json:"count"`
	Data      any    `json:"data"`
	Facets    []any  `json:"facets"`
	Truncated string `json:"resultTruncated"` // "true" or "false", as a text
	Token     string `json:"$skipToken,omitempty"`
}

// page cuts the page that is asked for out of the rows.
func (in *request) page(r kql.Result) (any, error) {
	from, err := in.offset()
	if err != nil {
		return nil, err
	}
	top := defaultTop
	if in.Options.Top != nil {
		top = *in.Options.Top
	}
	from = min(from, len(r.Rows))
	to := min(from+top, len(r.Rows))
	out := answer{Total: len(r.Rows), Count: to - from, Facets: []any{}, Truncated: "false"}
	if to < len(r.Rows) {
		out.Token = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to) + " " + in.mark()))
	}
	if out.Data = objects(r.Columns, r.Rows[from:to]); in.Options.Format == "table" {
		out.Data = tabular(r.Columns, r.Rows[from:to])
	}
	return control.Raw(out)
}

func objects(columns []string, rows []kql.Row) any {
	list := make([]map[string]any, len(rows))
	for i, r := range rows {
		list[i] = make(map[string]any, len(columns))
		for _, c := range columns {
			list[i][c] = r[c]
		}
	}
	return list
}

func tabular(columns []string, rows []kql.Row) any {
	type head struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	heads, cells := []head{}, [][]any{}
	for _, c := range columns {
		heads = append(heads, head{c, typeOf(c, rows)})
	}
	for _, r := range rows {
		row := make([]any, len(columns))
		for i, c := range columns {
			row[i] = r[c]
		}
		cells = append(cells, row)
	}
	return map[string]any{"columns": heads, "rows": cells}
}

// typeOf is the type of the first value that a column has.
func typeOf(column string, rows []kql.Row) string {
	for _, r := range rows {
		switch v := r[column].(type) {
		case string:
			return "string"
		case bool:
			return "boolean"
		case float64:
			if v == float64(int64(v)) {
				return "integer"
			}
			return "number"
		case map[string]any, []any:
			return "object"
		}
	}
	return "string"
}
