package template

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// declaration is a resource as the template declares it; nested ones follow their parent in children.
type declaration struct {
	symbol   string // "" in a template without symbolic names
	existing bool   // only referred to
	body     *tree.Object
	children []*declaration
	// opaque: a nested deployment that evaluates its template itself, so that ours must leave it alone.
	opaque bool
}

// output is one declared output.
type output struct {
	*schema
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
	declared map[string]map[string]bool // "parameters", "variables", "definitions", "functions" → folded names
	count    int                        // declared resources
	schemas  []*schema
	owner    string // whose expressions are being compiled: "resource 'vm'"
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
		r.template.plain, _ = tree.Decode(data) // it was decoded a moment ago
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
	known := []string{"$schema", "contentversion", "apiprofile", "parameters", "variables", "functions", "definitions", "resources", "outputs", "metadata", "languageversion"}
	unserved := []string{"imports", "extensions", "asserts"}
	for _, name := range top.Names {
		if slices.Contains(unserved, tree.Fold(name)) {
			r.add(invalid(top.At, "the section '%s' of templates is not supported by this installation", name))
		} else if !slices.Contains(known, tree.Fold(name)) {
			r.add(invalid(top.At, "Could not find member '%s' on object of type 'Template'. Path '%s.%s', line %d, position %d",
				name, top.At.Path, name, top.At.Line, top.At.Column))
		}
	}
	r.readVersions(top)
	if data, err := tree.Encode(top); err == nil {
		r.template.hash = strconv.FormatUint(builtin.Hash64(data), 10)
	}
	definitions := r.section(top, "definitions", maxDefinitions)
	parameters, variables := r.section(top, "parameters", maxParameters), r.section(top, "variables", maxVariables)
	outputs := r.section(top, "outputs", maxOutputs)
	functions := r.declareFunctions(top)
	r.readDefinitions(definitions)
	r.readFunctions(functions, top.At)
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
	r.template.types.veil(r.schemas)
}

// readVersions reads contentVersion and languageVersion. Version 2.0 has symbolic names; the experimental ones that older
// Bicep compilers wrote mean the same.
func (r *reader) readVersions(top *tree.Object) {
	v, _ := top.Get("contentVersion")
	r.template.version, _ = restore(v).(string)
	language, _ := top.Get("languageVersion")
	text, _ := language.(string)
	switch text {
	case "", "1.0":
		if language != nil && text == "" {
			r.add(invalid(top.At, "the template's languageVersion must be of type 'String'"))
		}
	case "2.0", "1.9-experimental", "1.10-experimental", "2.1-experimental":
		r.template.symbolic = true
	default:
		r.add(invalid(top.At, "the template's languageVersion '%.40s' is not supported; '1.0' and '2.0' are", text))
	}
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
	v, _ := top.Get("resources")
	r.template.resources = r.declarations(v, top.At)
	if r.count > maxResources {
		r.add(tooMany(top.At, r.count))
	}
}

func tooMany(at tree.Place, n int) *Error {
	return invalid(at, "The number of template resources limit exceeded. Limit: '%d' and actual: '%d'. Please see https://aka.ms/arm-syntax for usage details", maxResources, n)
}

// declarations reads resources: an array, or with symbolic names an object.
func (r *reader) declarations(v any, at tree.Place) []*declaration {
	var all []*declaration
	one := func(symbol string, v any) {
		o, ok := v.(*tree.Object)
		if !ok {
			r.add(invalid(at, "resource '%s' must be of type 'Object'; it is of type '%s'", symbol, tree.TypeName(v)))
			return
		}
		d := r.declaration(o)
		if r.template.symbolic {
			d.symbol = symbol
		}
		all = append(all, d)
	}
	list, isList := v.([]any)
	object, isObject := v.(*tree.Object)
	switch {
	case v == nil:
	case isList && !r.template.symbolic:
		for i, v := range list {
			one(strconv.Itoa(i), v)
		}
	case isObject && r.template.symbolic:
		for i, name := range object.Names {
			one(name, object.Values[i])
		}
	case r.template.symbolic:
		r.add(invalid(at, "'resources' must be of type 'Object' in a template of language version 2.0; it is of type '%s'", tree.TypeName(v)))
	default:
		r.add(invalid(at, "'resources' must be of type 'Array'; it is of type '%s'", tree.TypeName(v)))
	}
	return all
}

func (r *reader) declaration(o *tree.Object) *declaration {
	r.count++
	d := &declaration{body: o}
	for _, name := range []string{"type", "name", "apiVersion"} {
		r.require(o, name)
	}
	if v, _ := o.Get("extension"); v != nil {
		r.add(invalid(o.At, "resources of extensions are not supported by this installation"))
	}
	r.owner = "resource '" + literalName(o) + "'"
	if d.existing, _ = r.flag(o, "existing"); d.existing && !r.template.symbolic {
		r.add(invalid(o.At, "'existing' needs a template of language version 2.0"))
	}
	if nested, ok := o.Get("resources"); ok {
		d.children = r.declarations(nested, o.At)
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
	case "type", "name", "apiversion", "location", "condition", "copy", "dependson", "scope", "resources", "comments", "subscriptionid", "resourcegroup", "existing", "metadata":
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
	of := r.readSchema(o)
	if c, ok := o.Get("condition"); ok {
		o.Set("condition", r.compiled(c, expr.StagePlan))
	}
	for i, member := range o.Names {
		switch tree.Fold(member) {
		case "value", "copy":
			o.Values[i] = r.compiled(o.Values[i], expr.StageBody)
		}
	}
	r.template.outputs = append(r.template.outputs, &output{schema: of, name: name, body: o})
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
