package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/control/throttle"
	"vitrine/internal/operation"
	"vitrine/internal/operation/operationtest"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenantA, tenantB = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	subA, subB       = "aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b"
	group            = "/subscriptions/" + subA + "/resourceGroups/g"
	widgets          = group + "/providers/Vitrine.Test/widgets"
	engines          = group + "/providers/Vitrine.Test/engines"
	disks            = group + "/providers/Vitrine.Test/disks"
	ownerRole        = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	contributorRole  = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	readerRole       = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
)

type widget struct {
	Colour  string          `json:"colour" arm:"enum=Red|Green|Blue"`
	Shape   string          `json:"shape" arm:"required,immutable"`
	Size    *int            `json:"size"`
	Leans   string          `json:"leansOn"`
	Secret  string          `json:"secret" arm:"secret"`
	Serial  string          `json:"serial" arm:"readonly"`
	Inner   string          `json:"inner" arm:"private"`
	Unknown armjson.Unknown `json:"-"`
}

type engine struct {
	arm.Provisioning
	Fail    bool            `json:"fail"`
	Unknown armjson.Unknown `json:"-"`
}

type part struct {
	N int `json:"n"`
}

// gate holds back the work of engines until it is opened.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func (g *gate) shut() { g.mu.Lock(); defer g.mu.Unlock(); g.open = make(chan struct{}) }

func (g *gate) lift() { g.mu.Lock(); defer g.mu.Unlock(); close(g.open); g.open = nil }

func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open == nil {
		return nil
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type world struct {
	t       *testing.T
	store   *store.Store
	control *control.Control
	gate    gate
	n       int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: store.New(memstore.Open())}
	log := slog.New(slog.DiscardHandler)
	var runner *operation.Engine
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Kick: func() { runner.Kick() }, Now: time.Now, Log: log, Throttle: throttle.New(1, time.Now)})
	w.register()
	runner = operation.New(w.store, "test", w.works(), log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); runner.Run(ctx, 2) }()
	t.Cleanup(func() { cancel(); <-done; _ = w.store.Close() })
	w.update(func(tx store.Tx) error {
		return errors.Join(control.WriteSubscription(tx, control.Subscription{ID: subA, Tenant: tenantA, State: "Enabled"}),
			control.WriteSubscription(tx, control.Subscription{ID: subB, Tenant: tenantB, State: "Enabled"}))
	})
	w.grant("owner", ownerRole, "/subscriptions/"+subA)
	w.grant("owner-b", ownerRole, "/subscriptions/"+subB)
	w.do("owner", "PUT", group, `{"location":"eastus"}`).is(201, "")
	return w
}

func (w *world) register() {
	control.Register(w.control, control.Spec[struct{}]{Type: "Microsoft.Resources/resourceGroups", Action: "Microsoft.Resources/subscriptions/resourceGroups",
		Tracked: true, Put: func(context.Context, *control.Write[struct{}]) error { return nil },
		Delete: func(_ context.Context, x *control.Write[struct{}]) error { return x.Begin("remove", nil) }})
	control.Register(w.control, control.Spec[widget]{
		Type: "Vitrine.Test/widgets", Versions: []arm.Version{"2022-01-01", "2021-01-01"}, Noun: "widget", Tracked: true, Patch: true,
		Synonyms: []string{"Vitrine.Test/wdgts"}, Size: "$top",
		Name: func(name string) *arm.Error {
			if strings.HasPrefix(name, "bad") {
				return arm.Errorf(400, "InvalidParameter", "The name '%s' is bad.", name)
			}
			return nil
		},
		Validate: func(r *control.Resource[widget]) (faults []*arm.Error) {
			if r.Properties.Size != nil && *r.Properties.Size > 9 {
				faults = append(faults, arm.Errorf(400, "InvalidParameter", "Too large.").At("widget.properties.size"))
			}
			return faults
		},
		Links: func(_, next *control.Resource[widget]) (links []rbac.Link) {
			if next.Properties.Leans != "" {
				if id, err := arm.ParseID(next.Properties.Leans); err == nil {
					links = append(links, rbac.Link{ID: id, Action: "Vitrine.Test/widgets/join/action"})
				}
			}
			return links
		},
		Put: func(_ context.Context, x *control.Write[widget]) error {
			if x.Old == nil {
				x.New.Properties.Serial, x.New.Properties.Inner = "serial-1", "inner-1"
			}
			return nil
		},
		Delete: func(context.Context, *control.Write[widget]) error { return nil },
		Actions: []control.Action[widget]{
			{Name: "poke", Do: func(_ context.Context, x *control.Act[widget]) error {
				x.New.Properties.Inner, x.Changed = "poked", true
				x.Output = map[string]string{"inner": x.New.Properties.Inner}
				return nil
			}},
			{Name: "hush", Permission: "Vitrine.Test/widgets/read", Do: func(context.Context, *control.Act[widget]) error { return nil }},
		},
		Parts: map[string]func(context.Context, *control.Read[widget], string) (any, error){
			"gauge": func(_ context.Context, r *control.Read[widget], name string) (any, error) {
				if name == "none" {
					return nil, arm.Errorf(404, "NotFound", "No such gauge.")
				}
				return map[string]string{"gauge": name, "inner": r.Resource.Properties.Inner}, nil
			}},
	})
	control.Register(w.control, control.Spec[part]{Type: "Vitrine.Test/widgets/parts", Async: control.Async{Echo: true},
		Put: func(context.Context, *control.Write[part]) error { return nil }, Delete: func(context.Context, *control.Write[part]) error { return nil }})
	control.Register(w.control, control.Spec[part]{Type: "Vitrine.Test/fixed"})
	control.Register(w.control, control.Spec[part]{Type: "Vitrine.Test/plans", Level: control.InSubscription,
		Put: func(context.Context, *control.Write[part]) error { return nil }})
	control.Register(w.control, control.Spec[part]{Type: "Vitrine.Test/marks", Level: control.Extension,
		Put:  func(context.Context, *control.Write[part]) error { return nil },
		List: w.marks})
	w.long("Vitrine.Test/engines", control.Async{Family: "operations"})
	w.long("Vitrine.Test/disks", control.Async{Create: 202, First: arm.Updating, Family: "DiskOperations", Partition: true, Location: true})
	w.control.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}/locations", Do: func(_ context.Context, c *control.Call) (any, error) {
		return control.Values([]string{c.Names["subscription"]}), nil
	}})
	for method, alone := range map[string]bool{"GET": false, "POST": true} {
		w.control.Handle(control.Route{Method: method, Pattern: "/subscriptions/{subscription}/providers/Vitrine.Test/numbers", Right: "Vitrine.Test/numbers/read", Alone: alone,
			Do: func(context.Context, *control.Call) (any, error) { return control.Values([]int{1}), nil }})
	}
	w.control.Handle(control.Route{Method: "POST", Pattern: "/providers/Vitrine.Test/clash", Do: func(context.Context, *control.Call) (any, error) {
		return nil, store.ErrConflict
	}})
	w.control.Handle(control.Route{Method: "POST", Pattern: "/providers/Vitrine.Test/nothing", Do: func(_ context.Context, c *control.Call) (any, error) {
		c.Status = http.StatusAccepted
		return control.Raw(map[string]int{"n": 1})
	}})
}

// marks is a list of its own of 501 marks.
func (w *world) marks(_ context.Context, l *control.Listing) (all []*control.Resource[part], _ error) {
	for n := range 501 {
		id, err := arm.ParseID(fmt.Sprintf("/subscriptions/%s/providers/Vitrine.Test/marks/m%d", l.Scope.Subscription, n))
		if err != nil {
			return nil, err
		}
		all = append(all, control.Make[part](id, "", time.Now()))
	}
	return all, nil
}

func (w *world) long(typ string, async control.Async) {
	control.Register(w.control, control.Spec[engine]{Type: typ, Tracked: true, Async: async,
		Put:    func(_ context.Context, x *control.Write[engine]) error { return x.Begin("make", x.New.Properties.Fail) },
		Delete: func(_ context.Context, x *control.Write[engine]) error { return x.Begin("remove", nil) },
		Actions: []control.Action[engine]{{Name: "reveal", Do: func(_ context.Context, x *control.Act[engine]) error {
			return x.Begin("reveal", nil)
		}}}})
}

func (w *world) works() map[string]operation.Work {
	step := func(f func(*operation.Run) error) func(context.Context, *operation.Run) []operation.Step {
		return func(ctx context.Context, r *operation.Run) []operation.Step {
			return []operation.Step{{Name: "step", Do: func() error { return errors.Join(w.gate.wait(ctx), f(r)) }}}
		}
	}
	return map[string]operation.Work{
		"make": {Steps: step(func(r *operation.Run) error {
			if string(r.Input) == "true" {
				return arm.Errorf(400, "OddEngine", "The engine fails.")
			}
			return nil
		}), Finish: func(tx store.Tx, r *operation.Run, failure *arm.Error) error {
			e, err := control.Find[engine](tx, r.Resource)
			if err != nil {
				return err
			}
			e.SetState(arm.Succeeded)
			if failure != nil {
				e.SetState(arm.Failed)
			}
			return control.Save(tx, e)
		}},
		"remove": {Steps: step(func(*operation.Run) error { return nil }), Finish: func(tx store.Tx, r *operation.Run, _ *arm.Error) error {
			p, err := arm.ParsePath(r.Resource)
			if err != nil {
				return err
			}
			return control.Remove(tx, p.ID)
		}},
		"reveal": {Steps: step(func(r *operation.Run) error { r.Output = []byte(`{"accessSAS":"https://x"}`); return nil })},
	}
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) grant(who, role, scope string) {
	w.t.Helper()
	w.n++
	a := rbac.Assignment{Principal: who, Scope: strings.ToLower(scope)}
	body, err := json.Marshal(map[string]any{"properties": map[string]string{"roleDefinitionId": "/x/" + role, "principalId": who, "scope": a.Scope}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: fmt.Sprintf("%s/providers/microsoft.authorization/roleassignments/%d", a.Scope, w.n),
			Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: body})
		return err
	})
}

// caller of a name that ends in -b is of tenant B.
func caller(who string) authn.Caller {
	p := authn.Principal{TenantID: tenantA, ObjectID: who, AppID: "app-" + who, Kind: authn.ServicePrincipal}
	if strings.HasSuffix(who, "-b") {
		p.TenantID = tenantB
	}
	return authn.Caller{Primary: p}
}

// answer is what a request got.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   map[string]any
	err    *arm.Error
}

// do sends a request as somebody; headers are "Name: value" pairs. A path without an api-version gets one.
func (w *world) do(who, method, target, body string, headers ...string) answer {
	w.t.Helper()
	return w.as(caller(who), method, target, body, headers...)
}

func (w *world) as(c authn.Caller, method, target, body string, headers ...string) answer {
	w.t.Helper()
	path, rawQuery, _ := strings.Cut(target, "?")
	path, err := url.PathUnescape(strings.TrimPrefix(path, "https://management.azure.com"))
	if err != nil {
		w.t.Fatal(err)
	}
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		w.t.Fatal(err)
	}
	if !q.Has("api-version") {
		q.Set("api-version", "2022-03-03")
	}
	h := http.Header{}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	a := answer{t: w.t, what: method + " " + target}
	r, err := w.control.Do(w.t.Context(), control.Request{Method: method, Path: path, Query: q, Header: h, Body: []byte(body),
		Caller: c, Base: "https://management.azure.com"})
	if refused, ok := errors.AsType[*arm.Error](err); ok {
		a.err = refused
		a.status, _, _ = refused.Render()
		return a
	}
	if err != nil {
		w.t.Fatalf("%s: a fault of ours: %v", a.what, err)
	}
	a.status, a.header = r.Status, r.Header
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &a.body); err != nil {
			w.t.Fatalf("%s: %v in %s", a.what, err, r.Body)
		}
	}
	return a
}

// is checks status and, of an error, the code.
func (a answer) is(status int, code string) answer {
	a.t.Helper()
	got := ""
	if a.err != nil {
		got = a.err.Code
	}
	if a.status != status || got != code {
		a.t.Fatalf("%s: %d %s, want %d %s; %v %v", a.what, a.status, got, status, code, a.err, a.body)
	}
	return a
}

// says checks that an error's message holds a text.
func (a answer) says(text string) answer {
	a.t.Helper()
	if a.err == nil || !strings.Contains(a.err.Message, text) {
		a.t.Errorf("%s: %v does not say %q", a.what, a.err, text)
	}
	return a
}

// at follows a path of members; absent gives nil.
func (a answer) at(path string) any {
	var v any = a.body
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// has checks a member; want nil: it must be absent.
func (a answer) has(path string, want any) answer {
	a.t.Helper()
	if got := a.at(path); got != want {
		a.t.Errorf("%s: %s is %v, want %v; %v", a.what, path, got, want, a.body)
	}
	return a
}

func (a answer) count() int { list, _ := a.at("value").([]any); return len(list) }

// finish follows an operation to its end and gives the last answer.
func (w *world) finish(who, target string) answer {
	w.t.Helper()
	id := target[:strings.IndexByte(target, '?')]
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := operationtest.Wait(ctx, w.store, id[strings.LastIndexByte(id, '/')+1:]); err != nil {
		w.t.Fatal(err)
	}
	return w.do(who, "GET", target, "")
}
