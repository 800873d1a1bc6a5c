package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// instance is a resource of the plan in the making: one iteration of a declaration.
type instance struct {
	Resource
	at       tree.Place
	body     any      // evaluated but for what is late
	explicit []string // dependsOn
	implicit []string // what reference() and list*() name
	follows  []int    // instances before it in a serial loop or as its parent
	dropped  bool     // its condition is false
	existing bool     // only referred to
	symbol   string   // "" without symbolic names
}

// expander makes instances of declarations.
type expander struct {
	faults
	ev        *expr.Evaluator
	instances []*instance
	loops     map[string][]int // instances by folded name of the copy loop, or of the symbol of one
	symbols   map[string]bool  // folded symbols whose instances are several
}

// Expand evaluates t for one deployment. parameters is the request's properties.parameters, or nil. It returns every
// fault it finds before anything is written; the plan is nil if there is one.
func Expand(t *Template, env Env, parameters json.RawMessage) (*Plan, []*Error) {
	x := &expander{ev: t.evaluator(env, parameters), loops: map[string][]int{}, symbols: map[string]bool{}}
	if errs := t.bind(x.ev, parameters); errs != nil {
		return nil, errs
	}
	if x.bindVariables(t.variables); len(x.list) > 0 {
		return nil, x.list
	}
	for _, d := range t.resources {
		x.declaration(d, -1)
	}
	outputs := x.outputs(t.outputs)
	if len(x.list) == 0 {
		x.index()
	}
	if len(x.list) > 0 {
		return nil, x.list
	}
	p, errs := x.plan()
	if errs != nil {
		return nil, errs
	}
	p.template, p.outputs = t, outputs
	return p, nil
}

// evaluator makes the scope of t's expressions; parameters and variables are not bound yet.
func (t *Template) evaluator(env Env, parameters json.RawMessage) *expr.Evaluator {
	s := &expr.Scope{Env: env, Hash: t.hash, Template: t.plain, Parameters: expr.NewValues(), Variables: expr.NewValues(),
		Declared: map[string]expr.Target{}, Symbols: map[string][]expr.Target{}}
	if v, err := tree.Decode(parameters); err == nil {
		s.Given = v
	}
	ev := &expr.Evaluator{Scope: s}
	s.Functions = t.userFunctions(ev)
	return ev
}

// bindVariables evaluates all variables. Those of a copy loop are arrays.
func (x *expander) bindVariables(variables *tree.Object) {
	vs := x.ev.Variables
	_ = variables.Each(func(name string, v any) error {
		loops, ok := expr.PropertyCopy(name, v)
		if !ok {
			vs.Define(name, func() (any, error) {
				return x.ev.Alone(func() (any, error) { return x.ev.Value(v) })
			})
			return nil
		}
		for _, l := range loops {
			element, _ := l.Get("name")
			name, ok := element.(string)
			if !ok {
				x.add(invalid(l.At, "the name of a copy loop of variables must be text"))
				continue
			}
			vs.Define(name, func() (any, error) {
				return x.ev.Alone(func() (any, error) {
					made := tree.NewObject()
					err := x.ev.Copies([]*tree.Object{l}, made)
					v, _ := made.Get(name)
					return v, err
				})
			})
		}
		return nil
	})
	for _, name := range vs.Defined() {
		if _, _, err := vs.Get(name); err != nil {
			x.add(unprocessable("variable '"+name+"'", expr.PlaceOf(err, variables.At), err))
		}
	}
}

// declaration makes the instances of d and of what is nested in it. parent is the instance d is nested in, or -1.
func (x *expander) declaration(d *declaration, parent int) {
	if errors.Is(x.ev.Spend(1), builtin.ErrTooMuch) {
		x.add(invalid(d.body.At, "%v", builtin.ErrTooMuch))
		return
	}
	c, _ := d.body.Get("copy")
	head, ok := c.(*tree.Object)
	if !ok {
		x.instance(d, parent)
		return
	}
	name, count, err := x.ev.LoopHead(head)
	if err != nil {
		x.fail("the copy loop of a resource", d.body.At, err)
		return
	}
	batch, err := x.batch(head)
	if err != nil {
		x.fail("the copy loop of a resource", head.At, err)
		return
	}
	made := make([]int, 0, count)
	for i := range count {
		_, _ = x.ev.Within(name, i, func() (any, error) {
			if at := x.instance(d, parent); at >= 0 {
				made = append(made, at)
			}
			return nil, nil
		})
	}
	for i := range made {
		if batch > 0 && i >= batch {
			start := (i/batch - 1) * batch
			x.instances[made[i]].follows = append(x.instances[made[i]].follows, made[start:start+batch]...)
		}
	}
	x.loops[tree.Fold(name)] = append(x.loops[tree.Fold(name)], made...)
	if d.symbol != "" {
		x.several(d.symbol, made)
	}
}

// several notes that a symbol stands for the instances of a loop: symbol for all, symbol[0] for the first.
func (x *expander) several(symbol string, made []int) {
	x.symbols[tree.Fold(symbol)] = true
	x.loops[tree.Fold(symbol)] = made
	for i, at := range made {
		x.instances[at].symbol = fmt.Sprintf("%s[%d]", symbol, i)
	}
}

// batch returns how many iterations may run at a time, 0 for all.
func (x *expander) batch(head *tree.Object) (int, error) {
	mode, err := x.ev.Text(head, "mode")
	if err != nil {
		return 0, err
	}
	raw, _ := head.Get("batchSize")
	size, err := x.ev.Value(raw)
	if err != nil {
		return 0, err
	}
	n, isInt := size.(int64)
	switch {
	case mode == "" || strings.EqualFold(mode, "parallel"):
		return 0, nil
	case !strings.EqualFold(mode, "serial"):
		return 0, fmt.Errorf("the copy mode '%s' is neither 'parallel' nor 'serial'", mode)
	case size == nil:
		return 1, nil
	case !isInt || n < 1 || n > expr.MaxIterations:
		return 0, fmt.Errorf("the batchSize of a copy loop must be an integer from 1 to %d", expr.MaxIterations)
	}
	return int(n), nil
}

func (x *expander) fail(what string, at tree.Place, err error) {
	x.add(unprocessable(what, expr.PlaceOf(err, at), err))
}

// instance makes one instance of d with what is nested in it and returns its index, -1 if it has faults.
func (x *expander) instance(d *declaration, parent int) int {
	if len(x.instances) >= maxResources {
		x.add(tooMany(d.body.At, len(x.instances)+1))
		return -1
	}
	in := &instance{at: d.body.At, existing: d.existing, symbol: d.symbol}
	if err := x.identity(in, d, parent); err != nil {
		what := "a resource"
		if in.Name != "" {
			what = "resource '" + in.Name + "'"
		}
		x.fail(what, in.at, err)
		return -1
	}
	at := len(x.instances)
	x.instances = append(x.instances, in)
	if parent >= 0 {
		in.follows = append(in.follows, parent)
	}
	if !in.dropped {
		if err := x.content(in, d); err != nil {
			x.fail("resource '"+in.ID+"'", in.at, err)
		}
	}
	for _, child := range d.children {
		x.declaration(child, at)
	}
	return at
}

// identity evaluates what decides whether and where a resource is written.
func (x *expander) identity(in *instance, d *declaration, parent int) error {
	fields := []struct {
		name string
		into *string
	}{{"type", &in.DeclaredType}, {"name", &in.Name}, {"apiVersion", &in.APIVersion}, {"location", &in.Location}, {"scope", &in.Scope}}
	for _, f := range fields {
		var err error
		if *f.into, err = x.ev.Text(d.body, f.name); err != nil {
			return err
		}
	}
	raw, has := d.body.Get("condition")
	condition, err := x.ev.Value(raw)
	if err != nil {
		return err
	}
	keep, ok := condition.(bool)
	if has && !ok {
		return fmt.Errorf("the condition must be of type 'Boolean'; it is of type '%s'", tree.TypeName(condition))
	}
	in.dropped = has && !keep
	if parent >= 0 {
		in.DeclaredType = x.instances[parent].DeclaredType + "/" + in.DeclaredType
		in.Name = x.instances[parent].Name + "/" + in.Name
	}
	return x.locate(in, d)
}

// locate makes ID, Type and Scope of the names that identity found.
func (x *expander) locate(in *instance, d *declaration) error {
	base, err := x.base(in, d)
	if err != nil {
		return err
	}
	if strings.EqualFold(in.DeclaredType, "Microsoft.Resources/resourceGroups") {
		in.ID, in.Type, in.Scope = base+"/resourceGroups/"+in.Name, in.DeclaredType, base
		return nil
	}
	id, ok := expr.JoinID(base, in.DeclaredType, strings.Split(in.Name, "/"))
	if !ok {
		return invalid(in.at, "The template resource '%s' for type '%s' at line '%d' and column '%d' has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name. A root resource type must have segment length one greater than its resource name. Please see https://aka.ms/arm-syntax-resources for usage details",
			in.Name, in.DeclaredType, in.at.Line, in.at.Column)
	}
	in.ID = id
	at := strings.LastIndex(tree.Fold(id), "/providers/")
	in.Scope = id[:at]
	segments := strings.Split(id[at+len("/providers/"):], "/")
	in.Type = segments[0]
	for i := 1; i < len(segments); i += 2 {
		in.Type += "/" + segments[i]
	}
	return nil
}

// base is the ID that the resource's own lies below: the deployment's scope, the scope member, or for a nested
// deployment the group and subscription it names.
func (x *expander) base(in *instance, d *declaration) (string, error) {
	env := x.ev.Env
	switch {
	case strings.HasPrefix(in.Scope, "/"):
		return strings.TrimSuffix(in.Scope, "/"), nil
	case in.Scope != "":
		return env.Base() + "/providers/" + in.Scope, nil
	}
	var named [2]string
	for i, name := range []string{"subscriptionId", "resourceGroup"} {
		var err error
		if named[i], err = x.ev.Text(d.body, name); err != nil {
			return "", err
		}
	}
	if !isDeployment(in.DeclaredType) || named == [2]string{} {
		return env.Base(), nil
	}
	if named[0] == "" {
		named[0] = env.SubscriptionID
	}
	if named[0] == "" {
		return "", fmt.Errorf("the nested deployment names the resource group '%s', but no subscription", named[1])
	}
	if named[1] == "" {
		return "/subscriptions/" + named[0], nil
	}
	return "/subscriptions/" + named[0] + "/resourceGroups/" + named[1], nil
}

// content evaluates a resource's body and dependsOn.
func (x *expander) content(in *instance, d *declaration) error {
	x.ev.Note = func(name string) { in.implicit = append(in.implicit, name) }
	defer func() { x.ev.Note = nil }()
	raw, _ := d.body.Get("dependsOn")
	list, err := x.ev.Value(raw)
	if err != nil {
		return err
	}
	if in.explicit, err = dependencies(list); err != nil {
		return err
	}
	body := tree.NewObject()
	body.At = d.body.At
	if in.existing {
		in.body = body
		return nil
	}
	for i, name := range d.body.Names {
		if isControl(name) && !strings.EqualFold(name, "location") {
			continue
		}
		v, err := x.ev.Value(d.body.Values[i])
		if err != nil {
			return err
		}
		body.Set(name, v)
	}
	in.body = body
	return nil
}

func dependencies(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("'dependsOn' must be of type 'Array'; it is of type '%s'", tree.TypeName(v))
	}
	var names []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("'dependsOn' must name resources with text; an element is of type '%s'", tree.TypeName(e))
		}
		names = append(names, s)
	}
	return names, nil
}
