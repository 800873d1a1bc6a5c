package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/template/builtin"
	"vitrine/internal/template/tree"
)

// Scope is what expressions of one deployment can see. It does not change once the plan is made.
type Scope struct {
	Env        Env
	Hash       string // of the template
	Template   any    // as it was sent, for deployment()
	Given      any    // the parameters of the request, for deployment()
	Parameters *Values
	Variables  *Values
	Declared   map[string]Target        // resources of the template, by folded ID and name
	Symbols    map[string][]Target      // of a template with symbolic names: what each names, by folded name
	Functions  map[string]*UserFunction // by folded "namespace.name"
}

// Target is a resource that the template declares.
type Target struct {
	ID         string
	APIVersion string
	Type       string
	Name       string
	Index      int  // whatever the caller counts; -1 for a resource that the template does not declare
	Ambiguous  bool // several resources have this name
}

// loop is a copy loop that is being run; loops nest.
type loop struct {
	name  string
	index int64
	outer *loop
}

// deferred is an expression that waits for a Runtime, with the loops it stands in.
type deferred struct {
	*Expression
	loop *loop
}

// Evaluator evaluates expressions. Without Runtime, late ones are left for later and the resources that they name are told
// to Note.
type Evaluator struct {
	*Scope
	Runtime Runtime
	Note    func(id string)
	loop    *loop
	bound   *binding // of the lambdas around
	frame   *frame   // of the user-defined function around
	guids   int      // how many newGuid() were made
	steps   int
}

// Values are parameters or variables, which may refer to one another in any order: each is made when first asked for.
// Once all were made, values are only read, and may be by several goroutines.
type Values struct {
	names []string
	made  map[string]any // by folded name
	todo  map[string]func() (any, error)
	busy  map[string]bool
}

// NewValues returns an empty set.
func NewValues() *Values {
	return &Values{made: map[string]any{}, todo: map[string]func() (any, error){}, busy: map[string]bool{}}
}

// Define says how the value called name is made.
func (vs *Values) Define(name string, f func() (any, error)) {
	vs.names = append(vs.names, name)
	vs.todo[tree.Fold(name)] = f
}

// Defined returns the names in the order of Define.
func (vs *Values) Defined() []string { return vs.names }

// Get returns the value called name and whether there is one.
func (vs *Values) Get(name string) (any, bool, error) {
	key := tree.Fold(name)
	if v, ok := vs.made[key]; ok {
		return v, true, nil
	}
	f, ok := vs.todo[key]
	if !ok {
		return nil, false, nil
	}
	if vs.busy[key] {
		return nil, true, fmt.Errorf("circular reference detected: '%s' needs itself", name)
	}
	vs.busy[key] = true
	defer delete(vs.busy, key)
	v, err := f()
	if err != nil {
		return nil, true, err
	}
	vs.made[key] = v
	return v, true, nil
}

// Spend charges n steps.
func (ev *Evaluator) Spend(n int) error {
	if ev.steps += n; ev.steps > maxSteps {
		return builtin.ErrTooMuch
	}
	return nil
}

// weigh charges for all of v, however often its parts are shared, so that whatever walks v later is bounded too.
func (ev *Evaluator) weigh(v any, depth int) error {
	if depth > tree.MaxDepth {
		return fmt.Errorf("a value is nested deeper than %d levels", tree.MaxDepth)
	}
	switch v := v.(type) {
	case string:
		if len(v) > builtin.MaxString {
			return builtin.ErrTooMuch
		}
		return ev.Spend(1 + len(v)/16)
	case []any:
		for _, e := range v {
			if err := ev.weigh(e, depth+1); err != nil {
				return err
			}
		}
	case *tree.Object:
		if err := ev.Spend(objectCost); err != nil {
			return err
		}
		return v.Each(func(_ string, e any) error { return ev.weigh(e, depth+1) })
	}
	return ev.Spend(1)
}

func (n *literal) eval(*Evaluator) (any, error) { return n.value, nil }

func (n *call) eval(ev *Evaluator) (any, error) {
	c := &invocation{ev: ev, nodes: n.args}
	c.Name, c.Spend = n.name, ev.Spend
	if !n.fn.lazy {
		c.Args = make([]any, len(n.args))
		for i, a := range n.args {
			v, err := a.eval(ev)
			if err != nil {
				return nil, err
			}
			if err := ev.weigh(v, 0); err != nil {
				return nil, err
			}
			c.Args[i] = v
		}
	}
	v, err := n.fn.eval(c)
	if err != nil || n.fn.shared {
		return v, err
	}
	return v, ev.weigh(v, 0)
}

func (n *member) eval(ev *Evaluator) (any, error) {
	v, err := n.of.eval(ev)
	if err != nil {
		return nil, err
	}
	return builtin.Property(v, n.name)
}

func (n *element) eval(ev *Evaluator) (any, error) {
	v, err := n.of.eval(ev)
	if err != nil {
		return nil, err
	}
	at, err := n.at.eval(ev)
	if err != nil {
		return nil, err
	}
	return builtin.Pick(v, at)
}

// failure is an error of an expression with the place of that expression.
type failure struct {
	at    tree.Place
	cause error
}

func (f *failure) Error() string { return f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// RuntimeFailure is an error of a Runtime, which reaches the caller as it is.
type RuntimeFailure struct{ error }

// Unwrap returns the error.
func (f *RuntimeFailure) Unwrap() error { return f.error }

// PlaceOf returns where err happened, or at if it does not know.
func PlaceOf(err error, at tree.Place) tree.Place {
	var f *failure
	if errors.As(err, &f) {
		return f.at
	}
	return at
}

// Value evaluates everything within v. Objects and arrays are made anew.
func (ev *Evaluator) Value(v any) (any, error) {
	if err := ev.Spend(1); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *Expression:
		return ev.expression(v)
	case *deferred:
		outer := ev.loop
		defer func() { ev.loop = outer }()
		ev.loop = v.loop
		return ev.expression(v.Expression)
	case []any:
		list := make([]any, 0, len(v))
		for _, e := range v {
			e, err := ev.Value(e)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		return list, nil
	case *tree.Object:
		return ev.object(v)
	}
	return v, nil
}

func (ev *Evaluator) expression(e *Expression) (any, error) {
	if e.late && ev.Runtime == nil {
		ev.collect(e.root)
		return &deferred{Expression: e, loop: ev.loop}, nil
	}
	v, err := e.root.eval(ev)
	if err != nil {
		return nil, &failure{at: e.at, cause: err}
	}
	return v, nil
}

// collect notes the resources that late functions below n will read, as far as their names are known now.
func (ev *Evaluator) collect(n node) {
	n.walk(func(n node) {
		c, ok := n.(*call)
		if !ok || !c.fn.late || len(c.args) == 0 || ev.Note == nil || readsState(c.args[0]) {
			return
		}
		if v, err := c.args[0].eval(ev); err == nil {
			if name, ok := v.(string); ok {
				ev.Note(name)
			}
		}
	})
}

// IsLate says whether v, which an Evaluator without Runtime returned, holds anything that needs one.
func IsLate(v any) bool {
	switch v := v.(type) {
	case *deferred:
		return true
	case []any:
		return slices.ContainsFunc(v, IsLate)
	case *tree.Object:
		return slices.ContainsFunc(v.Values, IsLate)
	}
	return false
}

// Draft is v, which an Evaluator without Runtime returned, with the text of what needs one in its place.
func Draft(v any) any {
	switch v := v.(type) {
	case *deferred:
		return v.text
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = Draft(v[i])
		}
		return list
	case *tree.Object:
		o := tree.NewObject()
		for i, name := range v.Names {
			o.Set(name, Draft(v.Values[i]))
		}
		return o
	}
	return v
}

func (ev *Evaluator) object(o *tree.Object) (any, error) {
	if err := ev.Spend(objectCost * (1 + o.Len())); err != nil {
		return nil, err
	}
	result := tree.NewObject()
	result.At = o.At
	err := o.Each(func(name string, v any) error {
		if loops, ok := PropertyCopy(name, v); ok {
			return ev.Copies(loops, result)
		}
		v, err := ev.Value(v)
		if err != nil {
			return err
		}
		result.Set(name, v)
		return nil
	})
	return result, err
}

// PropertyCopy recognises "copy": [{"name", "count", "input"}], which makes one property per element.
func PropertyCopy(name string, v any) ([]*tree.Object, bool) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || !strings.EqualFold(name, "copy") {
		return nil, false
	}
	loops := make([]*tree.Object, 0, len(list))
	for _, e := range list {
		o, ok := e.(*tree.Object)
		if !ok {
			return nil, false
		}
		for _, member := range []string{"name", "count", "input"} {
			if _, ok := o.Get(member); !ok {
				return nil, false
			}
		}
		loops = append(loops, o)
	}
	return loops, true
}

// Copies sets one property of into per loop, an array of the loop's iterations.
func (ev *Evaluator) Copies(loops []*tree.Object, into *tree.Object) error {
	for _, l := range loops {
		name, count, err := ev.LoopHead(l)
		if err != nil {
			return err
		}
		input, _ := l.Get("input")
		list := make([]any, 0, count)
		for i := range count {
			v, err := ev.Within(name, i, func() (any, error) { return ev.Value(input) })
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		into.Set(name, list)
	}
	return nil
}

// Alone runs f outside of all loops, lambdas and functions.
func (ev *Evaluator) Alone(f func() (any, error)) (any, error) {
	loop, bound, frame := ev.loop, ev.bound, ev.frame
	defer func() { ev.loop, ev.bound, ev.frame = loop, bound, frame }()
	ev.loop, ev.bound, ev.frame = nil, nil, nil
	return f()
}

// Within runs f as iteration i of the loop called name.
func (ev *Evaluator) Within(name string, i int64, f func() (any, error)) (any, error) {
	outer := ev.loop
	defer func() { ev.loop = outer }()
	ev.loop = &loop{name: name, index: i, outer: outer}
	return f()
}

// LoopHead evaluates name and count of a copy element.
func (ev *Evaluator) LoopHead(o *tree.Object) (string, int64, error) {
	name, err := ev.Text(o, "name")
	if err != nil {
		return "", 0, err
	}
	raw, _ := o.Get("count")
	v, err := ev.Value(raw)
	if err != nil {
		return "", 0, err
	}
	count, ok := v.(int64)
	if name == "" || !ok || count < 0 || count > MaxIterations {
		return "", 0, &failure{at: o.At, cause: fmt.Errorf("The copy loop '%s' needs a name and a count, an integer from 0 to %d that is known before the deployment starts. Please see https://aka.ms/arm-resource-loops for usage details", name, MaxIterations)}
	}
	return name, count, nil
}

// Text evaluates a member that must be a string; absent and null are "".
func (ev *Evaluator) Text(o *tree.Object, name string) (string, error) {
	raw, _ := o.Get(name)
	v, err := ev.Value(raw)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case *deferred:
		return "", &failure{at: v.at, cause: fmt.Errorf("'%s' cannot depend on the state of other resources", name)}
	}
	return "", &failure{at: o.At, cause: fmt.Errorf("'%s' must be of type 'String'; it is of type '%s'", name, tree.TypeName(v))}
}
