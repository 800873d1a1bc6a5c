package template

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// declaration is a resource as the template declares it; nested ones follow their parent in children.
type declaration struct {
	body     *tree.Object
	children []*declaration
	// opaque: a nested deployment that evaluates its template itself, so that ours must leave it alone.
	opaque bool
}

// output is one declared output.
type output struct {
	name string
	body *tree.Object
}

// faults collects errors, each once.
type faults struct{ list []*Error }

func (f *faults) add(e *Error) {
	same := func(o *Error) bool { return o.Message == e.Message && o.Path == e.Path }
	if len(f.list) < 50 && !slices.ContainsFunc(f.list, same) {
		f.list = append(f.list, e)
	}
}

// reader turns a decoded template into a Template.
type reader struct {
	faults
	template *Template
	declared map[string]map[string]bool // "parameters", "variables" → folded names
	count    int                        // declared resources
	owner    string                     // whose expressions are being compiled: "resource 'vm'"
}

// Parse reads a template, as strict JSON (see Lenient), and returns every fault of its syntax. Positions are counted
// within data. The template is nil if there is an error.
func Parse(data json.RawMessage) (*Template, []*Error) {
	root := (*tree.Path)(nil).Member("properties").Member("template")
	doc, err := tree.DecodePlaced(data, root)
	r := &reader{template: &Template{}, declared: map[string]map[string]bool{}}
	top, ok := doc.(*tree.Object)
	switch {
	case err != nil:
		var syntax *json.SyntaxError
		at := tree.Place{Path: root}
		if errors.As(err, &syntax) {
			at.Line = 1 + strings.Count(string(data[:syntax.Offset]), "\n")
		}
		r.add(invalid(at, "%v", err))
	case !ok:
		r.add(invalid(tree.Place{Line: 1, Column: 1, Path: root}, "the template must be of type 'Object'; it is of type '%s'", tree.TypeName(doc)))
	default:
		r.read(top)
	}
	if len(r.list) > 0 {
		return nil, r.list
	}
	return r.template, nil
}

func (r *reader) read(top *tree.Object) {
	for _, name := range []string{"$schema", "contentVersion", "resources"} {
		r.require(top, name)
	}
	known := []string{"$schema", "contentversion", "apiprofile", "parameters", "variables", "functions", "resources", "outputs", "metadata", "languageversion"}
	for _, name := range top.Names {
		if !slices.Contains(known, tree.Fold(name)) {
			r.add(invalid(top.At, "Could not find member '%s' on object of type 'Template'. Path '%s.%s', line %d, position %d",
				name, top.At.Path, name, top.At.Line, top.At.Column))
		}
	}
	if v, _ := top.Get("languageVersion"); v != nil && v != "1.0" {
		r.add(invalid(top.At, "the template's languageVersion is not supported; leave it out to use resources in an array"))
	}
	if v, _ := top.Get("functions"); v != nil && !isEmpty(v) {
		r.add(invalid(top.At, "user-defined functions are not supported"))
	}
	if data, err := tree.Encode(top); err == nil {
		r.template.hash = strconv.FormatUint(expr.Hash64(data), 10)
	}
	parameters, variables := r.section(top, "parameters", maxParameters), r.section(top, "variables", maxVariables)
	outputs := r.section(top, "outputs", maxOutputs)
	r.readParameters(parameters)
	for i, name := range variables.Names {
		r.owner = "variable '" + name + "'"
		variables.Values[i] = r.compiled(variables.Values[i], expr.StageVariable)
	}
	r.template.variables = variables
	r.readResources(top)
	_ = outputs.Each(func(name string, v any) error {
		r.readOutput(name, v, outputs.At)
		return nil
	})
}

func isEmpty(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 0
}

// require reports a missing member in the words of ARM's JSON reader.
func (r *reader) require(o *tree.Object, name string) {
	if v, _ := o.Get(name); v == nil {
		r.add(invalid(o.At, "Required property '%s' not found in JSON. Path '%s', line %d, position %d", name, o.At.Path, o.At.Line, o.At.Column))
	}
}

// section returns a member of the template that must be an object, and remembers the names in it.
func (r *reader) section(top *tree.Object, name string, limit int) *tree.Object {
	v, _ := top.Get(name)
	o, ok := v.(*tree.Object)
	if !ok {
		if v != nil {
			r.add(invalid(top.At, "'%s' must be of type 'Object'; it is of type '%s'", name, tree.TypeName(v)))
		}
		o = tree.NewObject()
		o.At = top.At
	}
	if o.Len() > limit {
		r.add(invalid(o.At, "The number of template %s limit exceeded. Limit: '%d' and actual: '%d'. Please see https://aka.ms/arm-syntax for usage details", name, limit, o.Len()))
	}
	names := map[string]bool{}
	for i, n := range o.Names {
		names[tree.Fold(n)] = true
		if len(n) > maxName {
			r.add(invalid(o.At, "a name in '%s' is longer than %d characters", name, maxName))
		}
		if loops, ok := expr.PropertyCopy(n, o.Values[i]); ok {
			for _, l := range loops {
				if v, _ := l.Get("name"); tree.TypeName(v) == "String" {
					s, _ := v.(string)
					names[tree.Fold(s)] = true
				}
			}
		}
	}
	r.declared[name] = names
	return o
}

func (r *reader) readResources(top *tree.Object) {
	v, ok := top.Get("resources")
	list, isList := v.([]any)
	if ok && v != nil && !isList {
		r.add(invalid(top.At, "'resources' must be of type 'Array'; it is of type '%s'", tree.TypeName(v)))
	}
	r.template.resources = r.declarations(list, top.At)
	if r.count > maxResources {
		r.add(tooMany(top.At, r.count))
	}
}

func tooMany(at tree.Place, n int) *Error {
	return invalid(at, "The number of template resources limit exceeded. Limit: '%d' and actual: '%d'. Please see https://aka.ms/arm-syntax for usage details", maxResources, n)
}

func (r *reader) declarations(list []any, at tree.Place) []*declaration {
	var all []*declaration
	for i, v := range list {
		o, ok := v.(*tree.Object)
		if !ok {
			r.add(invalid(at, "resource '%d' must be of type 'Object'; it is of type '%s'", i, tree.TypeName(v)))
			continue
		}
		all = append(all, r.declaration(o))
	}
	return all
}

func (r *reader) declaration(o *tree.Object) *declaration {
	r.count++
	d := &declaration{body: o}
	for _, name := range []string{"type", "name", "apiVersion"} {
		r.require(o, name)
	}
	if nested, ok := o.Get("resources"); ok {
		list, _ := nested.([]any)
		d.children = r.declarations(list, o.At)
		o.Set("resources", nil)
	}
	properties, _ := o.Get("properties")
	if inner, ok := properties.(*tree.Object); ok && evaluatesItself(o, inner) {
		d.opaque = true
		if t, ok := inner.Get("template"); ok {
			inner.Set("template", restore(t))
		}
	}
	r.owner = "resource '" + literalName(o) + "'"
	for i, name := range o.Names {
		at := expr.StageBody
		if isControl(name) {
			at = expr.StagePlan
		}
		o.Values[i] = r.compiled(o.Values[i], at)
	}
	return d
}

// literalName is a resource's name as the template has it, for messages.
func literalName(o *tree.Object) string {
	v, _ := o.Get("name")
	s, _ := restore(v).(string)
	return s
}

// evaluatesItself says whether a nested deployment asks for its template to be evaluated in its own scope.
func evaluatesItself(o, properties *tree.Object) bool {
	typ, _ := o.Get("type")
	options, _ := properties.Get("expressionEvaluationOptions")
	scope, _ := options.(*tree.Object)
	inner, _ := scope.Get("scope")
	name, _ := inner.(string)
	return isDeployment(typ) && strings.EqualFold(name, "inner")
}

func isDeployment(typ any) bool {
	s, ok := typ.(string)
	return ok && strings.EqualFold(s, "Microsoft.Resources/deployments")
}

// isControl says whether a member of a resource decides whether and where it is written rather than what. None but
// location reaches the resource.
func isControl(name string) bool {
	switch tree.Fold(name) {
	case "type", "name", "apiversion", "location", "condition", "copy", "dependson", "scope", "resources", "comments", "subscriptionid", "resourcegroup":
		return true
	}
	return false
}

// restore turns possible expressions below v back into text.
func restore(v any) any {
	switch v := v.(type) {
	case *tree.Source:
		return v.Text
	case []any:
		for i := range v {
			v[i] = restore(v[i])
		}
	case *tree.Object:
		for i := range v.Values {
			v.Values[i] = restore(v.Values[i])
		}
	}
	return v
}

func (r *reader) readOutput(name string, v any, at tree.Place) {
	o, ok := v.(*tree.Object)
	if !ok {
		r.add(invalid(at, "the template output '%s' must be of type 'Object'; it is of type '%s'", name, tree.TypeName(v)))
		return
	}
	r.owner = "output '" + name + "'"
	r.require(o, "type")
	typ, _ := o.Get("type")
	if s, ok := typ.(string); ok && parameterType(s) == "" {
		r.add(invalid(o.At, "the template output '%s' has the type '%s', which is not supported", name, s))
	}
	if c, ok := o.Get("condition"); ok {
		o.Set("condition", r.compiled(c, expr.StagePlan))
	}
	r.compile(o, expr.StageBody)
	r.template.outputs = append(r.template.outputs, &output{name: name, body: o})
}

// compile compiles the members of o in place.
func (r *reader) compile(o *tree.Object, at expr.Stage) {
	for i := range o.Values {
		o.Values[i] = r.compiled(o.Values[i], at)
	}
}

// compiled returns v with every possible expression compiled and checked.
func (r *reader) compiled(v any, at expr.Stage) any {
	switch v := v.(type) {
	case *tree.Source:
		c, err := expr.Compile(v)
		if err == nil {
			err = expr.Check(c, at, r.known)
		}
		if err != nil {
			r.add(invalid(v.At, "The template %s at line '%d' and column '%d' is not valid: %v", r.owner, v.At.Line, v.At.Column, err))
			return nil
		}
		return c
	case []any:
		for i := range v {
			v[i] = r.compiled(v[i], at)
		}
	case *tree.Object:
		r.compile(v, at)
	}
	return v
}

// known says whether the template declares a parameter or variable of this name.
func (r *reader) known(section, name string) bool { return r.declared[section][tree.Fold(name)] }
