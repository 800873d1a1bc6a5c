package template

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// parameter is a declared parameter.
type parameter struct {
	name       string
	typ        string // as parameterType returns it
	fallback   any    // default value, evaluated when needed
	hasDefault bool
	allowed    []any
	bounds     map[string]int64 // minvalue, maxvalue, minlength, maxlength
	at         tree.Place
}

// secure says whether values must be neither stored in clear nor answered.
func (p *parameter) secure() bool { return isSecure(p.typ) }

func isSecure(typ string) bool { return strings.HasPrefix(typ, "Secure") }

// parameterType returns the spelling that ARM answers of a type in any case, "" for one that does not exist.
func parameterType(s string) string {
	for _, known := range []string{"String", "SecureString", "Int", "Bool", "Object", "SecureObject", "Array"} {
		if strings.EqualFold(s, known) {
			return known
		}
	}
	return ""
}

func hasType(typ string, v any) bool {
	switch v.(type) {
	case string:
		return typ == "String" || typ == "SecureString"
	case int64:
		return typ == "Int"
	case bool:
		return typ == "Bool"
	case *tree.Object:
		return typ == "Object" || typ == "SecureObject"
	case []any:
		return typ == "Array"
	}
	return false
}

func (r *reader) readParameters(all *tree.Object) {
	_ = all.Each(func(name string, v any) error {
		o, ok := v.(*tree.Object)
		if !ok {
			r.add(invalid(all.At, "the template parameter '%s' must be of type 'Object'; it is of type '%s'", name, tree.TypeName(v)))
			return nil
		}
		r.owner = "parameter '" + name + "'"
		r.require(o, "type")
		p := &parameter{name: name, at: o.At, bounds: map[string]int64{}}
		typ, _ := o.Get("type")
		if s, ok := typ.(string); ok {
			if p.typ = parameterType(s); p.typ == "" {
				r.add(invalid(o.At, "the template parameter '%s' has the type '%s', which is not supported", name, s))
			}
		}
		if p.fallback, p.hasDefault = o.Get("defaultValue"); p.hasDefault {
			p.fallback = r.compiled(p.fallback, expr.StageDefault)
		}
		r.readConstraints(p, o)
		r.template.parameters = append(r.template.parameters, p)
		return nil
	})
}

func (r *reader) readConstraints(p *parameter, o *tree.Object) {
	if v, _ := o.Get("allowedValues"); v != nil {
		list, ok := restore(v).([]any)
		if !ok || len(list) == 0 {
			r.add(invalid(o.At, "the allowedValues of the template parameter '%s' must be an array with at least one value", p.name))
		}
		p.allowed = list
	}
	for _, name := range []string{"minvalue", "maxvalue", "minlength", "maxlength"} {
		v, _ := o.Get(name)
		if v == nil {
			continue
		}
		n, ok := v.(int64)
		if !ok {
			r.add(invalid(o.At, "the %s of the template parameter '%s' must be an integer", name, p.name))
		}
		p.bounds[name] = n
	}
}

// bind gives every parameter its value: what the request gives, else the default.
func (t *Template) bind(ev *expr.Evaluator, raw json.RawMessage) []*Error {
	var fs faults
	given := t.given(&fs, raw)
	for _, p := range t.parameters {
		if v, ok := given[tree.Fold(p.name)]; ok {
			ev.Parameters.Define(p.name, func() (any, error) { return v, nil })
			continue
		}
		if !p.hasDefault {
			fs.add(invalid(p.at, "The value for the template parameter '%s' at line '%d' and column '%d' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details",
				p.name, p.at.Line, p.at.Column))
			continue
		}
		ev.Parameters.Define(p.name, func() (any, error) { return ev.Value(p.fallback) })
	}
	if len(fs.list) > 0 {
		return fs.list
	}
	for _, p := range t.parameters {
		v, _, err := ev.Parameters.Get(p.name)
		if err != nil {
			fs.add(unprocessable("parameter '"+p.name+"'", expr.PlaceOf(err, p.at), err))
		} else if err := p.check(v); err != nil {
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
		switch {
		case ok && vault:
			fs.add(invalid(here, "the template parameter '%s' refers to a key vault, which is not supported", name))
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

// check says what is wrong with a value. It names no value: it may be a secret.
func (p *parameter) check(v any) error {
	if !hasType(p.typ, v) {
		return fmt.Errorf("Template parameter JToken type is not valid. Expected '%s'. Actual '%s'. The parameter is '%s'. Please see https://aka.ms/arm-create-parameter-file for usage details",
			expected(p.typ), tree.TypeName(v), p.name)
	}
	if p.allowed != nil && !p.allows(v) {
		shown, err := tree.Encode(p.allowed)
		if p.secure() {
			shown = []byte("…")
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("The provided value for the template parameter '%s' is not valid. The value is not part of the allowed value(s): '%s'. Please see https://aka.ms/arm-create-parameter-file for usage details",
			p.name, strings.Trim(string(shown), "[]"))
	}
	n, suffix := int64(0), "length"
	switch v := v.(type) {
	case int64:
		n, suffix = v, "value"
	case string:
		n = int64(len([]rune(v)))
	case []any:
		n = int64(len(v))
	default:
		return nil
	}
	if low, ok := p.bounds["min"+suffix]; ok && n < low {
		return fmt.Errorf("The provided value for the template parameter '%s' is not valid. The %s is less than the minimum '%d'. Please see https://aka.ms/arm-create-parameter-file for usage details", p.name, suffix, low)
	}
	if high, ok := p.bounds["max"+suffix]; ok && n > high {
		return fmt.Errorf("The provided value for the template parameter '%s' is not valid. The %s is greater than the maximum '%d'. Please see https://aka.ms/arm-create-parameter-file for usage details", p.name, suffix, high)
	}
	return nil
}

// allows looks v up in the allowed values; of an array every element must be among them.
func (p *parameter) allows(v any) bool {
	among := func(v any) bool {
		return slices.ContainsFunc(p.allowed, func(a any) bool { return tree.Equal(a, v) })
	}
	if list, ok := v.([]any); ok && !among(v) {
		return !slices.ContainsFunc(list, func(e any) bool { return !among(e) })
	}
	return among(v)
}

// expected names a type in ARM's messages.
func expected(typ string) string {
	switch typ {
	case "Int":
		return "Integer"
	case "Bool":
		return "Boolean"
	case "String", "SecureString":
		return "String, Uri"
	case "SecureObject":
		return "Object"
	}
	return typ
}
