package template

import (
	"encoding/json"
	"slices"
	"strings"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// parameter is a declared parameter.
type parameter struct {
	*schema
	name       string
	fallback   any // default value, evaluated when needed
	hasDefault bool
	at         tree.Place
}

func (r *reader) readParameters(all *tree.Object) {
	_ = all.Each(func(name string, v any) error {
		o, ok := v.(*tree.Object)
		if !ok {
			r.add(invalid(all.At, "the template parameter '%s' must be of type 'Object'; it is of type '%s'", name, tree.TypeName(v)))
			return nil
		}
		r.owner = "parameter '" + name + "'"
		p := &parameter{schema: r.readSchema(o), name: name, at: o.At}
		if p.fallback, p.hasDefault = o.Get("defaultValue"); p.hasDefault {
			p.fallback = r.compiled(p.fallback, expr.StageDefault)
		}
		r.template.parameters = append(r.template.parameters, p)
		return nil
	})
}

// bind gives every parameter its value: what the request gives, else the default, else null where that will do.
func (t *Template) bind(ev *expr.Evaluator, raw json.RawMessage) []*Error {
	var fs faults
	given := t.given(&fs, raw)
	for _, p := range t.parameters {
		v, ok := given[tree.Fold(p.name)]
		switch {
		case ok:
			ev.Parameters.Define(p.name, func() (any, error) { return v, nil })
		case p.hasDefault:
			ev.Parameters.Define(p.name, func() (any, error) { return ev.Value(p.fallback) })
		case t.types.optional(p.schema):
			ev.Parameters.Define(p.name, func() (any, error) { return nil, nil })
		default:
			fs.add(invalid(p.at, "The value for the template parameter '%s' at line '%d' and column '%d' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details",
				p.name, p.at.Line, p.at.Column))
		}
	}
	if len(fs.list) > 0 {
		return fs.list
	}
	for _, p := range t.parameters {
		v, _, err := ev.Parameters.Get(p.name)
		if err != nil {
			fs.add(unprocessable("parameter '"+p.name+"'", expr.PlaceOf(err, p.at), err))
		} else if err := t.verify(ev, p.schema, "template parameter '"+p.name+"'", v); err != nil {
			fs.add(invalid(p.at, "%v", err))
		}
	}
	return fs.list
}

// given reads the request's parameters: {"name": {"value": …}}.
func (t *Template) given(fs *faults, raw json.RawMessage) map[string]any {
	at := tree.Place{Path: (*tree.Path)(nil).Member("properties").Member("parameters")}
	if len(raw) == 0 {
		return nil
	}
	v, err := tree.Decode(raw)
	o, ok := v.(*tree.Object)
	if err != nil || !ok && v != nil {
		fs.add(invalid(at, "the parameters must be an object of objects with a value each"))
		return nil
	}
	values := map[string]any{}
	var unknown []string
	_ = o.Each(func(name string, v any) error {
		if !slices.ContainsFunc(t.parameters, func(p *parameter) bool { return strings.EqualFold(p.name, name) }) {
			unknown = append(unknown, name)
			return nil
		}
		here := tree.Place{Path: at.Path.Member(name)}
		entry, ok := v.(*tree.Object)
		value, has := entry.Get("value")
		_, vault := entry.Get("reference")
		_, outside := entry.Get("expression")
		switch {
		case ok && vault:
			fs.add(invalid(here, "the template parameter '%s' refers to a key vault, which is not supported", name))
		case ok && outside:
			fs.add(invalid(here, "the template parameter '%s' is given as an expression over external inputs, which is not supported", name))
		case !ok || !has:
			fs.add(invalid(here, "the template parameter '%s' must be given as an object with a 'value'", name))
		case value != nil:
			values[tree.Fold(name)] = value
		}
		return nil
	})
	if len(unknown) > 0 {
		fs.add(invalid(at, "The template parameters '%s' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time. The only supported parameters for this template are '%s'. Please see https://aka.ms/arm-pass-parameter-values for usage details",
			strings.Join(unknown, ", "), strings.Join(t.parameterNames(), ", ")))
	}
	return values
}

func (t *Template) parameterNames() []string {
	var names []string
	for _, p := range t.parameters {
		names = append(names, p.name)
	}
	return names
}
