package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
	"vitrine/internal/template/tree"
)

// exportRequest is the body of …/exportTemplate.
type exportRequest struct {
	Resources []string
	Options   string
}

// exporter makes a template of what stands in a group.
type exporter struct {
	*control.Call
	group      arm.ID
	ids        []arm.ID // to be exported, in the order of their keys
	parameters *tree.Object
	names      map[string]string // expressions of names, by key
	defaults   bool              // parameters have the names as default values
	literal    bool              // names are no parameters
	faults     []*arm.Error
}

// maxExported is how many resources a template may have (ARM).
const maxExported = 200

// exportGroup serves POST …/resourceGroups/g/exportTemplate: the tracked resources that the caller may read, without what the
// server alone says of them, so that the template can be deployed again.
func exportGroup(ctx context.Context, c *control.Call) (any, error) {
	x := &exporter{Call: c, group: arm.ID{Subscription: c.Names["subscription"], ResourceGroup: c.Names["group"]}, parameters: tree.NewObject(), names: map[string]string{}}
	var q exportRequest
	if err := json.Unmarshal(c.Body, &q); err != nil {
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	x.literal = strings.Contains(strings.ToLower(q.Options), "skipresourcenameparameterization") || strings.Contains(strings.ToLower(q.Options), "skipallparameterization")
	x.defaults = strings.Contains(strings.ToLower(q.Options), "includeparameterdefaultvalue")
	if err := c.Control.Store().View(ctx, func(tx store.Tx) error { return x.find(tx, q) }); err != nil {
		return nil, err
	}
	if len(x.ids) > maxExported {
		return nil, arm.Errorf(400, "ExportTemplateResourceLimitExceeded", "The resource group has %d resources to export; at most %d can be. Name fewer of them.", len(x.ids), maxExported)
	}
	list := []any{}
	for _, id := range x.ids {
		o, err := x.resource(ctx, id)
		if err != nil {
			return nil, err
		}
		if o != nil {
			list = append(list, o)
		}
	}
	answer := tree.ObjectOf("template", tree.ObjectOf("$schema", "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
		"contentVersion", "1.0.0.0", "parameters", x.parameters, "variables", tree.NewObject(), "resources", list))
	raw, err := tree.Encode(answer)
	if err != nil || len(x.faults) == 0 {
		return json.RawMessage(raw), err
	}
	fault := arm.Errorf(0, "ExportTemplateCompletedWithErrors", "Export template operation completed with errors. Some resources were not exported. Please see details for more information.")
	fault.Details = x.faults
	return struct {
		Template json.RawMessage `json:"template"`
		Error    *arm.Error      `json:"error"`
	}{raw[len(`{"template":`) : len(raw)-1], fault}, nil
}

// find says what is to be exported and names its names.
func (x *exporter) find(tx store.Tx, q exportRequest) error {
	if err := x.Control.RBAC().Check(tx, x.Caller.Primary, "Microsoft.Resources/subscriptions/resourceGroups/exportTemplate/action", x.group); err != nil {
		return err
	}
	if _, err := tx.Get(x.group.Key()); errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", x.group.ResourceGroup)
	} else if err != nil {
		return err
	}
	docs, err := tx.List(store.Query{Prefix: x.group.Key() + "/providers/"})
	if err != nil {
		return err
	}
	all := len(q.Resources) == 0 || slices.Contains(q.Resources, "*")
	x.ids = nil
	for _, d := range docs {
		wanted := slices.ContainsFunc(q.Resources, func(r string) bool { return strings.EqualFold(r, d.Key) })
		if !x.Control.Tracked(d.Kind) || !all && !wanted {
			continue
		}
		var head struct{ ID string }
		if err := json.Unmarshal(d.Body, &head); err != nil {
			return err
		}
		id, err := arm.ParseID(head.ID)
		if err != nil {
			return err
		}
		x.ids = append(x.ids, id)
		x.names[id.Key()] = x.name(id)
	}
	return nil
}

// name is the expression of a resource's own name: a parameter's, called after type and name as ARM does.
func (x *exporter) name(id arm.ID) string {
	if x.literal {
		return quoted(id.Name())
	}
	called := fmt.Sprintf("%s_%s_name", id.Types[len(id.Types)-1], strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' {
			return r
		}
		return '_'
	}, strings.Join(id.Names, "_")))
	for n := 2; ; n++ {
		if _, taken := x.parameters.Get(called); !taken {
			break
		}
		called = fmt.Sprintf("%s%d", called, n)
	}
	p := tree.ObjectOf("type", "String")
	if x.defaults {
		p = tree.ObjectOf("defaultValue", id.Name(), "type", "String")
	}
	x.parameters.Set(called, p)
	return "parameters(" + quoted(called) + ")"
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// resource is one entry of the template; nil if the caller may not read it.
func (x *exporter) resource(ctx context.Context, id arm.ID) (*tree.Object, error) {
	version := x.Control.Newest(id.Type())
	answer, err := x.Control.Do(ctx, control.Request{Method: http.MethodGet, Path: id.String(), Query: url.Values{"api-version": {version}}, Header: http.Header{}, Caller: x.Caller, Base: x.Base})
	if fault, ok := errors.AsType[*arm.Error](err); ok {
		x.faults = append(x.faults, fault.At(id.String()))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := x.Control.Bare(id.Type(), answer.Body)
	if err != nil {
		return nil, err
	}
	v, err := tree.Decode(raw)
	body, ok := v.(*tree.Object)
	if err != nil || !ok {
		return nil, err
	}
	name := x.nameOf(id)
	o := tree.ObjectOf("type", id.Type(), "apiVersion", version, "name", "["+name+"]")
	if x.literal {
		o.Set("name", strings.Join(id.Names, "/"))
	}
	needs := map[string]bool{}
	for at := id.Parent(); len(at.Names) > 0; at = at.Parent() {
		x.need(at, id, needs)
	}
	_ = body.Each(func(name string, v any) error { o.Set(name, x.value(v, id, needs)); return nil })
	if len(needs) > 0 {
		var on []any
		for _, other := range x.ids {
			if needs[other.Key()] {
				on = append(on, "["+x.expression(other)+"]")
			}
		}
		o.Set("dependsOn", on)
	}
	return o, nil
}

// nameOf is the expression of a whole name: parent/child.
func (x *exporter) nameOf(id arm.ID) string {
	parts := x.segments(id)
	if len(parts) == 1 {
		return parts[0]
	}
	return "concat(" + strings.Join(parts, ", '/', ") + ")"
}

// segments are the expressions of an ID's names: those of exported resources are parameters.
func (x *exporter) segments(id arm.ID) []string {
	parts := make([]string, len(id.Names))
	for at := id; len(at.Names) > 0; at = at.Parent() {
		n := len(at.Names) - 1
		if parts[n] = quoted(at.Name()); x.names[at.Key()] != "" {
			parts[n] = x.names[at.Key()]
		}
	}
	return parts
}

func (x *exporter) expression(id arm.ID) string {
	return "resourceId(" + quoted(id.Type()) + ", " + strings.Join(x.segments(id), ", ") + ")"
}

// need notes that a resource leans on another one of the template.
func (x *exporter) need(on, of arm.ID, needs map[string]bool) {
	if x.names[on.Key()] != "" && on.Key() != of.Key() {
		needs[on.Key()] = true
	}
}

// value makes expressions of IDs in the group, and keeps other text from being taken for one.
func (x *exporter) value(v any, of arm.ID, needs map[string]bool) any {
	switch v := v.(type) {
	case string:
		return x.text(v, of, needs)
	case []any:
		for i := range v {
			v[i] = x.value(v[i], of, needs)
		}
	case *tree.Object:
		for i := range v.Values {
			v.Values[i] = x.value(v.Values[i], of, needs)
		}
	}
	return v
}

func (x *exporter) text(s string, of arm.ID, needs map[string]bool) string {
	if strings.HasPrefix(strings.ToLower(s), x.group.Key()+"/providers/") {
		if id, err := arm.ParseID(s); err == nil && id.Scope == "" && len(id.Names) > 0 {
			for at := id; len(at.Names) > 0; at = at.Parent() {
				x.need(at, of, needs)
			}
			return "[" + x.expression(id) + "]"
		}
	}
	if strings.HasPrefix(s, "[") {
		return "[" + s
	}
	return s
}
