package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// CodeOutputEvaluation is ARM's code for an output that cannot be evaluated once all resources are written.
const CodeOutputEvaluation = "DeploymentOutputEvaluationFailed"

// boundOutput is an output with everything evaluated that is not late.
type boundOutput struct {
	*output
	value any
}

// outputs evaluates the outputs as far as possible.
func (x *expander) outputs(declared []*output) []boundOutput {
	var all []boundOutput
	for _, o := range declared {
		out, keep, err := x.output(o)
		if err != nil {
			x.fail("output '"+o.name+"'", o.body.At, err)
		} else if keep {
			all = append(all, out)
		}
	}
	return all
}

func (x *expander) output(o *output) (boundOutput, bool, error) {
	out := boundOutput{output: o}
	if raw, ok := o.body.Get("condition"); ok {
		condition, err := x.ev.Value(raw)
		if keep, isBool := condition.(bool); err != nil || !isBool || !keep {
			if err == nil && !isBool {
				err = fmt.Errorf("the condition must be of type 'Boolean'; it is of type '%s'", tree.TypeName(condition))
			}
			return out, false, err
		}
	}
	if c, ok := o.body.Get("copy"); ok {
		head, ok := c.(*tree.Object)
		if !ok {
			return out, false, fmt.Errorf("the copy loop must be of type 'Object'; it is of type '%s'", tree.TypeName(c))
		}
		named := tree.NewObject() // the loop of an output has no name of its own
		named.At = head.At
		for _, name := range head.Names {
			v, _ := head.Get(name)
			named.Set(name, v)
		}
		named.Set("name", o.name)
		made := tree.NewObject()
		err := x.ev.Copies([]*tree.Object{named}, made)
		out.value, _ = made.Get(o.name)
		return out, true, err
	}
	raw, ok := o.body.Get("value")
	if !ok {
		return out, false, errors.New("it has no value")
	}
	var err error
	out.value, err = x.ev.Value(raw)
	return out, true, err
}

// Body evaluates the body of p.Resources[i] as it is sent to the resource's provider: all members but type, name,
// apiVersion and those that only steer the deployment. Its dependencies must have been written. An error of rt comes
// back as it is, one of an expression as an *Error. Body may be called by several goroutines.
func (p *Plan) Body(i int, rt Runtime) (json.RawMessage, error) {
	what := "resource '" + p.Resources[i].ID + "'"
	ev := &expr.Evaluator{Scope: p.scope, Runtime: rt}
	v, err := ev.Value(p.bodies[i])
	if err != nil {
		return nil, p.failure(what, p.places[i], err)
	}
	if body, ok := v.(*tree.Object); ok && isDeployment(p.Resources[i].Type) {
		protect(body)
	}
	data, err := tree.Encode(v)
	if err != nil {
		return nil, p.failure(what, p.places[i], err)
	}
	return data, nil
}

// Late says whether the body of p.Resources[i] needs a Runtime. One that does not can be had before anything is written.
func (p *Plan) Late(i int) bool { return expr.IsLate(p.bodies[i]) }

// Draft is the body of p.Resources[i] as far as it can be known before anything is written: what needs a Runtime stands as
// the text of its expression.
func (p *Plan) Draft(i int) any { return expr.Draft(p.bodies[i]) }

func (p *Plan) failure(what string, at tree.Place, err error) error {
	var foreign *expr.RuntimeFailure
	if errors.As(err, &foreign) {
		return foreign.Unwrap()
	}
	return unprocessable(what, expr.PlaceOf(err, at), err)
}

// protect escapes the text of a nested deployment's template that our evaluation made, lest the nested deployment
// take a parameter's value for an expression.
func protect(body *tree.Object) {
	v, _ := body.Get("properties")
	properties, ok := v.(*tree.Object)
	if !ok || evaluatesItself(tree.ObjectOf("type", "Microsoft.Resources/deployments"), properties) {
		return
	}
	if t, ok := properties.Get("template"); ok {
		properties.Set("template", escaped(t))
	}
}

func escaped(v any) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, "[") {
			return "[" + v
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = escaped(v[i])
		}
		return list
	case *tree.Object:
		o := tree.NewObject()
		for i, name := range v.Names {
			o.Set(name, escaped(v.Values[i]))
		}
		return o
	}
	return v
}

// Outputs evaluates the outputs once all resources are written. Errors are as Body's.
func (p *Plan) Outputs(rt Runtime) (map[string]Output, error) {
	all := map[string]Output{}
	for _, o := range p.outputs {
		ev := &expr.Evaluator{Scope: p.scope, Runtime: rt}
		v, err := ev.Value(o.value)
		if err == nil && v != nil {
			err = p.template.verify(ev, o.schema, "output '"+o.name+"'", v)
		}
		out := Output{Type: p.template.types.typeOf(o.schema)}
		if err == nil && !p.template.types.secret(o.schema) {
			out.Value, err = tree.Encode(v)
		}
		var foreign *expr.RuntimeFailure
		if errors.As(err, &foreign) {
			return nil, foreign.Unwrap()
		}
		if err != nil {
			at := expr.PlaceOf(err, o.body.At)
			return nil, &Error{Code: CodeOutputEvaluation, Target: o.name, Line: at.Line, Position: at.Column, Path: at.Path.String(),
				Message: fmt.Sprintf("The template output '%s' is not valid: %v.", o.name, err)}
		}
		all[o.name] = out
	}
	return all, nil
}

// Echo returns the deployment's parameters as ARM answers them: defaults included, secure ones without value.
func (p *Plan) Echo() map[string]Output {
	all := map[string]Output{}
	for _, param := range p.template.parameters {
		out := Output{Type: p.template.types.typeOf(param.schema)}
		if v, _, err := p.scope.Parameters.Get(param.name); err == nil && !p.template.types.secret(param.schema) {
			out.Value, _ = tree.Encode(v) // what is too large to write was refused by Expand
		}
		all[param.name] = out
	}
	return all
}

// ResourceRef names a resource in Dependency.
type ResourceRef struct {
	ID           string `json:"id"`
	ResourceType string `json:"resourceType"`
	ResourceName string `json:"resourceName"`
}

// Dependency is an element of a deployment's properties.dependencies.
type Dependency struct {
	DependsOn []ResourceRef `json:"dependsOn"`
	ResourceRef
}

// Provider is an element of a deployment's properties.providers.
type Provider struct {
	Namespace     string         `json:"namespace"`
	ResourceTypes []ProviderType `json:"resourceTypes"`
}

// ProviderType is a resource type that a deployment writes. ARM writes null for a resource without location.
type ProviderType struct {
	ResourceType string    `json:"resourceType"`
	Locations    []*string `json:"locations"`
}

// Ref names p.Resources[i].
func (p *Plan) Ref(i int) ResourceRef {
	r := p.Resources[i]
	return ResourceRef{ID: r.ID, ResourceType: r.DeclaredType, ResourceName: r.Name}
}

// Dependencies lists the resources that wait for others, as ARM answers them.
func (p *Plan) Dependencies() []Dependency {
	all := []Dependency{}
	for i, r := range p.Resources {
		if len(r.DependsOn) == 0 {
			continue
		}
		d := Dependency{ResourceRef: p.Ref(i)}
		for _, j := range r.DependsOn {
			d.DependsOn = append(d.DependsOn, p.Ref(j))
		}
		all = append(all, d)
	}
	return all
}

// Providers lists the resource types that the plan writes with their locations, as ARM answers them.
func (p *Plan) Providers() []Provider {
	all := []Provider{}
	for _, r := range p.Resources {
		namespace, rest, _ := strings.Cut(r.DeclaredType, "/")
		at := slices.IndexFunc(all, func(known Provider) bool { return strings.EqualFold(known.Namespace, namespace) })
		if at < 0 {
			at, all = len(all), append(all, Provider{Namespace: namespace})
		}
		all[at].add(rest, r.Location)
	}
	return all
}

func (p *Provider) add(typ, location string) {
	at := slices.IndexFunc(p.ResourceTypes, func(known ProviderType) bool { return strings.EqualFold(known.ResourceType, typ) })
	if at < 0 {
		at, p.ResourceTypes = len(p.ResourceTypes), append(p.ResourceTypes, ProviderType{ResourceType: typ})
	}
	t := &p.ResourceTypes[at]
	var l *string
	if location != "" {
		l = &location
	}
	same := func(known *string) bool {
		return known == nil && l == nil || known != nil && l != nil && strings.EqualFold(*known, *l)
	}
	if !slices.ContainsFunc(t.Locations, same) {
		t.Locations = append(t.Locations, l)
	}
}
