package template

import (
	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// maxFunctions is how many functions a template may define; ARM publishes no limit.
const maxFunctions = 256

// definedFunction is a function of the section functions.
type definedFunction struct {
	name   string // "namespace.name"
	names  []string
	params []*schema
	result *schema
	body   any
}

// declareFunctions remembers the names, so that functions may call those that are declared behind them.
func (r *reader) declareFunctions(top *tree.Object) []any {
	r.declared["functions"] = map[string]bool{}
	v, _ := top.Get("functions")
	list, ok := v.([]any)
	if v != nil && !ok {
		r.add(invalid(top.At, "'functions' must be of type 'Array'; it is of type '%s'", tree.TypeName(v)))
	}
	for _, e := range list {
		space, members := r.functionSpace(e, top.At)
		for _, name := range members.Keys() {
			r.declared["functions"][tree.Fold(space+"."+name)] = true
		}
	}
	if n := len(r.declared["functions"]); n > maxFunctions {
		r.add(invalid(top.At, "the template defines %d functions; at most %d are supported", n, maxFunctions))
	}
	return list
}

func (r *reader) functionSpace(v any, at tree.Place) (string, *tree.Object) {
	o, _ := v.(*tree.Object)
	name, _ := o.Get("namespace")
	space, ok := name.(string)
	members, _ := o.Get("members")
	all, isObject := members.(*tree.Object)
	if !ok || space == "" || !isObject {
		r.add(invalid(at, "each of the template's functions needs a 'namespace' and 'members'"))
		return "", nil
	}
	return space, all
}

func (r *reader) readFunctions(list []any, at tree.Place) {
	for _, e := range list {
		space, members := r.functionSpace(e, at)
		_ = members.Each(func(name string, v any) error {
			o, ok := v.(*tree.Object)
			if !ok {
				r.add(invalid(at, "the function '%s.%s' must be of type 'Object'", space, name))
				return nil
			}
			r.template.functions = append(r.template.functions, r.readFunction(space+"."+name, o))
			return nil
		})
	}
}

func (r *reader) readFunction(name string, o *tree.Object) *definedFunction {
	r.owner = "function '" + name + "'"
	f := &definedFunction{name: name}
	own := map[string]bool{}
	v, _ := o.Get("parameters")
	list, ok := v.([]any)
	if v != nil && !ok {
		r.add(invalid(o.At, "the parameters of the function '%s' must be of type 'Array'", name))
	}
	for _, e := range list {
		p, _ := e.(*tree.Object)
		named, _ := p.Get("name")
		text, ok := named.(string)
		if !ok {
			r.add(invalid(o.At, "each parameter of the function '%s' needs a name and a type", name))
			continue
		}
		if v, _ := p.Get("defaultValue"); v != nil {
			r.add(invalid(p.At, "the parameter '%s' of the function '%s' has a default value, which parameters of functions cannot have", text, name))
		}
		own[tree.Fold(text)] = true
		f.names, f.params = append(f.names, text), append(f.params, r.readSchema(p))
	}
	out, _ := o.Get("output")
	result, ok := out.(*tree.Object)
	if !ok {
		r.add(invalid(o.At, "the function '%s' needs an output with a type and a value", name))
		return f
	}
	f.result = r.readSchema(result)
	outer := r.declared["parameters"]
	r.declared["parameters"] = own
	value, _ := result.Get("value")
	f.body = r.compiled(value, expr.StageFunction)
	r.declared["parameters"] = outer
	return f
}

// userFunctions are t's functions as expressions call them.
func (t *Template) userFunctions(ev *expr.Evaluator) map[string]*expr.UserFunction {
	all := map[string]*expr.UserFunction{}
	for _, f := range t.functions {
		u := &expr.UserFunction{Body: f.body, Result: func(v any) error { return t.verify(ev, f.result, "output of the function '"+f.name+"'", v) }}
		for i, p := range f.params {
			u.Parameters = append(u.Parameters, expr.UserParameter{Name: f.names[i], Optional: t.types.optional(p),
				Check: func(v any) error { return t.verify(ev, p, "parameter '"+f.names[i]+"'", v) }})
		}
		all[tree.Fold(f.name)] = u
	}
	return all
}
