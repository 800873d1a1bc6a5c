// Package planetest is a small control plane for the tests of the providers of resource groups and of deployments, which lean on one
// another: both of them over a store in memory, types that answer at once, later or with a failure, and a running engine.
//
// It owns what those tests share. What one of them alone looks at stays with it.
package planetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/deployments"
	"vitrine/internal/provider/deployments/link"
	"vitrine/internal/provider/resources"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// Tenants, the subscriptions of their owners, roles, and where things are.
const (
	TenantA     = "aaaaaaaa-0000-4000-8000-000000000001"
	TenantB     = "bbbbbbbb-0000-4000-8000-000000000002"
	SubA        = "aaaaaaaa-0000-4000-8000-00000000000a"
	SubB        = "bbbbbbbb-0000-4000-8000-00000000000b"
	Owner       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	Contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	Machines    = "9980e02c-c2be-4d73-94e8-173b1dc7cf3c" // Virtual Machine Contributor: may deploy
	Reader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	Group       = "/subscriptions/" + SubA + "/resourceGroups/Rg"
	Things      = Group + "/providers/Test.Fake/"
	Deployed    = Group + "/providers/Microsoft.Resources/deployments/"
	wait        = 2 * time.Minute
)

// thing is the properties of the fake types.
type thing struct {
	arm.Provisioning
	Value   json.RawMessage `json:"value"`
	Link    string          `json:"link"`
	Secret  string          `json:"secret" arm:"secret"`
	Unknown armjson.Unknown `json:"-"`
}

// World is a control plane with the providers, fake types and a running engine.
type World struct {
	*testing.T
	Store       *store.Store
	Control     *control.Control
	Correlation string // of the requests; empty: they have none
	Cancel      func() // begins to end the engine
	Stop        func() // ends the engine
	works       map[string]operation.Work
	log         *slog.Logger
	lines       bytes.Buffer // of the log

	mu       sync.Mutex
	puts     []string        // names of the fakes, in the order in which they were written
	secrets  []string        // what fakes were told
	held     map[string]bool // names of the fakes whose operations or deletions wait
	onCommit func()          // after each transaction that began an operation
	begun    map[string]bool // names of the fakes an operation on which has been looked at
	engine   *operation.Engine
}

// Config is what a test replaces; nothing of it need be given.
type Config struct {
	Fetcher link.Fetcher                                // of linked templates
	Seal    func(deployments.Sealer) deployments.Sealer // of what is secret in deployments
}

// Principal is an application in a tenant.
func Principal(tenant, object string) authn.Principal {
	return authn.Principal{TenantID: tenant, ObjectID: object, AppID: "app", Kind: authn.ServicePrincipal}
}

// Caller is who presents the tokens of these.
func Caller(p ...authn.Principal) authn.Caller { return authn.Caller{Primary: p[0], Auxiliary: p[1:]} }

// OwnerA owns SubA.
func OwnerA() authn.Principal { return Principal(TenantA, "00000000-0000-4000-8000-0000000000aa") }

// OwnerB owns SubB.
func OwnerB() authn.Principal { return Principal(TenantB, "00000000-0000-4000-8000-0000000000bb") }

// GuestA holds what a test gives.
func GuestA() authn.Principal { return Principal(TenantA, "00000000-0000-4000-8000-0000000000ac") }

// New makes a world with two subscriptions and, in the first, the group.
func New(t *testing.T, cfg Config) *World {
	t.Helper()
	w := &World{T: t, Store: store.New(memstore.Open()), held: map[string]bool{}, begun: map[string]bool{}}
	w.log = slog.New(slog.NewTextHandler(&locked{mu: &w.mu, to: &w.lines}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sealer, err := seal.New(make([]byte, seal.KeySize))
	w.Must(err)
	w.Control = control.New(control.Config{Store: w.Store, RBAC: rbac.New(control.TenantOf), Now: time.Now, Log: w.log, Kick: w.kick, Open: sealer.Open,
		Audit: audit.New(audit.Config{Store: w.Store, Sealer: sealer, Owner: "test", Log: w.log})})
	w.works = resources.Register(w.Control, resources.Config{}).Works()
	sealing := deployments.Sealer(sealer)
	if cfg.Seal != nil {
		sealing = cfg.Seal(sealer)
	}
	maps.Copy(w.works, deployments.Register(w.Control, deployments.Config{Sealer: sealing, Fetcher: cfg.Fetcher}).Works())
	w.fakes()
	w.Start()
	t.Cleanup(func() { w.Stop(); w.Must(w.Store.Close()) })
	w.populate()
	return w
}

type locked struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

func (w *World) kick() {
	w.mu.Lock()
	engine, hook := w.engine, w.onCommit
	w.mu.Unlock()
	engine.Kick()
	if hook != nil {
		hook()
	}
}

// OnCommit has f called after each transaction that began an operation.
func (w *World) OnCommit(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onCommit = f
}

// Start begins an engine; the one before it must have been stopped.
func (w *World) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	engine := operation.New(w.Store, "test", w.works, w.log)
	engine.Ended = w.Control.Ended
	w.mu.Lock()
	w.engine = engine
	w.mu.Unlock()
	ended := make(chan struct{})
	go func() { defer close(ended); engine.Run(ctx, 4) }()
	w.Cancel, w.Stop = cancel, func() { cancel(); <-ended }
}

// fakes registers types that answer at once (sync), later (slow), that fail (broken) and that lean on others (linked).
func (w *World) fakes() {
	for _, typ := range []string{"Test.Fake/sync", "Test.Fake/slow", "Test.Fake/broken", "Test.Fake/linked", "Test.Fake/sync/children",
		"Microsoft.Network/virtualNetworks", "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/publicIPAddresses",
		"Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines", "Microsoft.Compute/galleries"} {
		slow := !strings.Contains(typ, "sync") && !strings.Contains(typ, "linked")
		control.Register(w.Control, control.Spec[thing]{
			Type: typ, Versions: []arm.Version{"2020-01-01"}, Tracked: !strings.Contains(typ, "children"), Async: control.Async{Family: "operations"},
			Put: func(_ context.Context, x *control.Write[thing]) error {
				w.note(x.ID.Name(), x.New.Properties.Secret)
				x.New.Properties.Secret = ""
				if !slow {
					return nil
				}
				return x.Begin("fake", typ)
			},
			Links: func(_, next *control.Resource[thing]) []rbac.Link {
				id, err := arm.ParseID(next.Properties.Link)
				if next.Properties.Link == "" || err != nil {
					return nil
				}
				return []rbac.Link{{ID: id, Action: "Microsoft.Compute/galleries/images/versions/read"}}
			},
			Delete: func(_ context.Context, x *control.Write[thing]) error {
				if w.holds(x.ID.Name()) {
					return arm.Errorf(409, "InUse", "The thing '%s' is in use.", x.ID.Name())
				}
				return nil
			},
			Actions: []control.Action[thing]{{Name: "listKeys", Do: func(_ context.Context, x *control.Act[thing]) error {
				x.Output = map[string]string{"key": "key of " + x.ID.Name()}
				return nil
			}}},
		})
	}
	w.works["fake"] = operation.Work{
		Steps: func(_ context.Context, r *operation.Run) []operation.Step {
			return []operation.Step{{Name: "wait", Do: func() error { return w.work(r) }}}
		},
		Finish: func(tx store.Tx, r *operation.Run, failure *arm.Error) error {
			x, err := control.Find[thing](tx, r.Resource)
			if err != nil {
				return err
			}
			x.SetState(arm.Succeeded)
			if failure != nil {
				x.SetState(arm.Failed)
			}
			return control.Save(tx, x)
		},
	}
}

func (w *World) work(r *operation.Run) error {
	name := r.Resource[strings.LastIndexByte(r.Resource, '/')+1:]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun[name] = true
	if w.held[name] {
		return operation.Again{After: 10 * time.Millisecond}
	}
	if strings.Contains(string(r.Input), "broken") {
		return arm.Errorf(409, "Broken", "The thing '%s' broke.", name).At("properties.value")
	}
	return nil
}

func (w *World) note(name, secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.puts = append(w.puts, name)
	if secret != "" {
		w.secrets = append(w.secrets, secret)
	}
}

// Written are the names of the fakes in the order in which they were written.
func (w *World) Written() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.puts, " ")
}

// Hold has the operations and deletions of a fake wait, or lets them go on.
func (w *World) Hold(name string, held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[name] = held
}

func (w *World) holds(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[name]
}

func (w *World) populate() {
	w.Update(func(tx store.Tx) error {
		for sub, p := range map[string]authn.Principal{SubA: OwnerA(), SubB: OwnerB()} {
			if err := control.WriteSubscription(tx, control.Subscription{ID: sub, Name: "name of " + sub, State: "Enabled", Tenant: p.TenantID}); err != nil {
				return err
			}
			if err := assign(tx, p, Owner, "/subscriptions/"+sub); err != nil {
				return err
			}
		}
		return nil
	})
	w.OK(Caller(OwnerA()), "PUT", Group, `{"location":"eastus","tags":{"k":"v"}}`)
}

func assign(tx store.Tx, p authn.Principal, role, scope string) error {
	a := rbac.Assignment{Principal: p.ObjectID, Scope: strings.ToLower(scope), Definition: role}
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, role, p.ObjectID, scope)
	_, err := tx.Put(store.Document{Key: strings.ToLower(scope) + "/providers/microsoft.authorization/roleassignments/" + p.ObjectID,
		Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: []byte(body)})
	return err
}

// Give assigns a role.
func (w *World) Give(p authn.Principal, role, scope string) {
	w.Helper()
	w.Update(func(tx store.Tx) error { return assign(tx, p, role, scope) })
}

// Must ends the test on an error.
func (w *World) Must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// Update changes the store past the control plane.
func (w *World) Update(f func(store.Tx) error) {
	w.Helper()
	w.Must(w.Store.Update(context.Background(), f))
}

// Do sends one request.
func (w *World) Do(as authn.Caller, method, path, body string) (*control.Response, error) {
	p, q, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(q)
	w.Must(err)
	if !query.Has("api-version") {
		query.Set("api-version", "2021-04-01")
	}
	return w.Control.Do(context.Background(), control.Request{Method: method, Path: p, Query: query, Header: http.Header{"X-Ms-Correlation-Request-Id": {w.Correlation}}, Peer: "192.0.2.7:4711", Body: []byte(body), Caller: as, Base: "https://management.azure.com"})
}

// OK sends a request that must succeed.
func (w *World) OK(as authn.Caller, method, path, body string) *control.Response {
	w.Helper()
	r, err := w.Do(as, method, path, body)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// Get reads JSON.
func (w *World) Get(as authn.Caller, path string) map[string]any {
	w.Helper()
	return w.Decode(w.OK(as, "GET", path, "").Body)
}

// Decode reads an object.
func (w *World) Decode(body []byte) map[string]any {
	w.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		w.Fatalf("%s: %v", body, err)
	}
	return v
}

// Refused wants an error of this status and code ("404 NotFound") whose message has this part.
func (w *World) Refused(as authn.Caller, method, path, body, want, part string) *arm.Error {
	w.Helper()
	_, err := w.Do(as, method, path, body)
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || fmt.Sprint(e.Status, " ", e.Code) != want || !strings.Contains(e.Message, part) {
		w.Fatalf("%s %s: want %s %q, got %v", method, path, want, part, err)
	}
	return e
}

// At reads a member: "properties.outputs.x.value", "value.0.id".
func At(v any, path string) any {
	for _, name := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// Until waits for f, which is asked again and again.
func (w *World) Until(what string, f func() bool) {
	w.Helper()
	deadline := time.After(wait)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			w.Fatalf("%s did not come; log:\n%s", what, w.Logged())
		case <-tick.C:
		}
	}
}

// Logged is what the log tells.
func (w *World) Logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.String()
}

// Follow polls the URL of an answer's operation until it ends.
func (w *World) Follow(as authn.Caller, r *control.Response) map[string]any {
	w.Helper()
	u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
	w.Must(err)
	if u.Path == "" {
		w.Fatalf("no Azure-AsyncOperation in %v", r.Header)
	}
	var status map[string]any
	w.Until("the end of "+u.Path, func() bool {
		status = w.Get(as, u.Path+"?"+u.RawQuery)
		return status["status"] != "Accepted" && status["status"] != "Running" && status["status"] != "InProgress"
	})
	return status
}

// Deploy sends a template and waits for its end.
func (w *World) Deploy(as authn.Caller, name, template string) map[string]any {
	w.Helper()
	return w.Follow(as, w.OK(as, "PUT", Deployed+name, Request(template, "{}")))
}

// Request is the body that sends a template in mode Incremental.
func Request(template, parameters string) string {
	return `{"properties":{"mode":"incremental","template":` + template + `,"parameters":` + parameters + `}}`
}

// Document is a template with these members.
func Document(members string) string {
	return `{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",` + members + `}`
}

// Resource is one of a template.
func Resource(typ, name, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"type":%q,"name":%q,"apiVersion":"2020-01-01","location":"eastus"%s}`, typ, name, more)
}

// List is the resources of a template.
func List(resources ...string) string { return `"resources":[` + strings.Join(resources, ",") + `]` }

// Revoke takes the role away that Give gave.
func (w *World) Revoke(p authn.Principal, scope string) {
	w.Helper()
	w.Update(func(tx store.Tx) error {
		return tx.Delete(strings.ToLower(scope)+"/providers/microsoft.authorization/roleassignments/"+p.ObjectID, 0)
	})
}

// Left counts the documents in the group whose keys have this part.
func (w *World) Left(part string) int {
	w.Helper()
	n := 0
	w.Must(w.Store.View(w.Context(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Prefix: strings.ToLower(Group) + "/providers/"})
		n = 0
		for _, d := range docs {
			if strings.Contains(d.Key, part) {
				n++
			}
		}
		return err
	}))
	return n
}

// Begun tells whether an operation on the fake has been looked at.
func (w *World) Begun(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun[name]
}

// Secrets is what fakes were told.
func (w *World) Secrets() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.secrets)
}
