package deployments_test

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

const (
	tenantA     = "aaaaaaaa-0000-4000-8000-000000000001"
	tenantB     = "bbbbbbbb-0000-4000-8000-000000000002"
	subA        = "aaaaaaaa-0000-4000-8000-00000000000a"
	subB        = "bbbbbbbb-0000-4000-8000-00000000000b"
	owner       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	machines    = "9980e02c-c2be-4d73-94e8-173b1dc7cf3c" // Virtual Machine Contributor: may deploy
	reader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	group       = "/subscriptions/" + subA + "/resourceGroups/Rg"
	things      = group + "/providers/Test.Fake/"
	deployed    = group + "/providers/Microsoft.Resources/deployments/"
	wait        = 15 * time.Second
)

// thing is the properties of the fake types.
type thing struct {
	arm.Provisioning
	Value   json.RawMessage `json:"value"`
	Link    string          `json:"link"`
	Secret  string          `json:"secret" arm:"secret"`
	Unknown armjson.Unknown `json:"-"`
}

// world is a control plane with the provider, fake types and a running engine.
type world struct {
	*testing.T
	store   *store.Store
	control *control.Control
	works   map[string]operation.Work
	log     *bytes.Buffer
	files   *files // what links lead to; nil texts: nothing

	mu       sync.Mutex
	puts     []string                 // names of the fakes, in the order in which they were written
	secrets  []string                 // what fakes were told
	held     map[string]bool          // names of the fakes whose operations or deletions wait
	onCommit func(*world)             // after each transaction that began an operation
	cancel   func()                   // begins to end the engine
	stop     func()                   // ends the engine
	waiting  map[string]chan struct{} // closed when an operation on the fake has been looked at
	engine   *operation.Engine
	sealing  func(resource string) bool // tells whether the next sealing fails
}

func principal(tenant, object string) authn.Principal {
	return authn.Principal{TenantID: tenant, ObjectID: object, AppID: "app", Kind: authn.ServicePrincipal}
}

func caller(p ...authn.Principal) authn.Caller { return authn.Caller{Primary: p[0], Auxiliary: p[1:]} }

var (
	ownerA  = principal(tenantA, "00000000-0000-4000-8000-0000000000aa")
	ownerB  = principal(tenantB, "00000000-0000-4000-8000-0000000000bb")
	guestA  = principal(tenantA, "00000000-0000-4000-8000-0000000000ac") // holds what a test gives
	inA     = caller(ownerA)
	inB     = caller(ownerB)
	inGuest = caller(guestA)
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, store: store.New(memstore.Open()), held: map[string]bool{}, waiting: map[string]chan struct{}{}, log: &bytes.Buffer{}, files: &files{}}
	log := slog.New(slog.NewTextHandler(&locked{mu: &w.mu, to: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sealer, err := seal.New(make([]byte, seal.KeySize))
	w.must(err)
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Now: time.Now, Log: log, Kick: w.kick, Open: sealer.Open,
		Audit: audit.New(audit.Config{Store: w.store, Sealer: sealer, Owner: "test", Log: log})})
	w.works = resources.Register(w.control, resources.Config{}).Works()
	maps.Copy(w.works, deployments.Register(w.control, deployments.Config{Sealer: faulty{sealer, w}, Fetcher: w.fetcher()}).Works())
	w.fakes()
	w.start(log)
	t.Cleanup(func() { w.stop(); w.must(w.store.Close()) })
	w.populate()
	return w
}

// faulty is a sealer that a test makes fail.
type faulty struct {
	deployments.Sealer
	w *world
}

func (f faulty) Seal(plain []byte, resource string) (string, error) {
	f.w.mu.Lock()
	fail := f.w.sealing
	f.w.mu.Unlock()
	if fail != nil && fail(resource) {
		return "", errors.New("the sealer is out of order")
	}
	return f.Sealer.Seal(plain, resource)
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

func (w *world) kick() {
	w.mu.Lock()
	engine, hook := w.engine, w.onCommit
	w.mu.Unlock()
	engine.Kick()
	if hook != nil {
		hook(w)
	}
}

// start begins an engine; the one before it must have been stopped.
func (w *world) start(log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	engine := operation.New(w.store, "test", w.works, log)
	w.mu.Lock()
	w.engine = engine
	w.mu.Unlock()
	ended := make(chan struct{})
	go func() { defer close(ended); engine.Run(ctx, 4) }()
	w.cancel, w.stop = cancel, func() { cancel(); <-ended }
}

// fakes registers types that answer at once (sync), later (slow), that fail (broken) and that lean on others (linked).
func (w *world) fakes() {
	for _, typ := range []string{"Test.Fake/sync", "Test.Fake/slow", "Test.Fake/broken", "Test.Fake/linked", "Test.Fake/sync/children",
		"Microsoft.Network/virtualNetworks", "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/publicIPAddresses",
		"Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines", "Microsoft.Compute/galleries"} {
		slow := !strings.Contains(typ, "sync") && !strings.Contains(typ, "linked")
		control.Register(w.control, control.Spec[thing]{
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

func (w *world) work(r *operation.Run) error {
	name := r.Resource[strings.LastIndexByte(r.Resource, '/')+1:]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[name] == nil {
		w.waiting[name] = make(chan struct{})
		close(w.waiting[name])
	}
	if w.held[name] {
		return operation.Again{After: 10 * time.Millisecond}
	}
	if strings.Contains(string(r.Input), "broken") {
		return arm.Errorf(409, "Broken", "The thing '%s' broke.", name).At("properties.value")
	}
	return nil
}

func (w *world) note(name, secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.puts = append(w.puts, name)
	if secret != "" {
		w.secrets = append(w.secrets, secret)
	}
}

func (w *world) written() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.puts, " ")
}

func (w *world) hold(name string, held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[name] = held
}

func (w *world) holds(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[name]
}

func (w *world) populate() {
	w.update(func(tx store.Tx) error {
		for sub, p := range map[string]authn.Principal{subA: ownerA, subB: ownerB} {
			if err := control.WriteSubscription(tx, control.Subscription{ID: sub, Name: "name of " + sub, State: "Enabled", Tenant: p.TenantID}); err != nil {
				return err
			}
			if err := assign(tx, p, owner, "/subscriptions/"+sub); err != nil {
				return err
			}
		}
		return nil
	})
	w.ok(inA, "PUT", group, `{"location":"eastus","tags":{"k":"v"}}`)
}

func assign(tx store.Tx, p authn.Principal, role, scope string) error {
	a := rbac.Assignment{Principal: p.ObjectID, Scope: strings.ToLower(scope), Definition: role}
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q}}`, role, p.ObjectID, scope)
	_, err := tx.Put(store.Document{Key: strings.ToLower(scope) + "/providers/microsoft.authorization/roleassignments/" + p.ObjectID,
		Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: []byte(body)})
	return err
}

func (w *world) give(p authn.Principal, role, scope string) {
	w.Helper()
	w.update(func(tx store.Tx) error { return assign(tx, p, role, scope) })
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) update(f func(store.Tx) error) {
	w.Helper()
	w.must(w.store.Update(context.Background(), f))
}

// do sends one request.
func (w *world) do(as authn.Caller, method, path, body string) (*control.Response, error) {
	p, q, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(q)
	w.must(err)
	if !query.Has("api-version") {
		query.Set("api-version", "2021-04-01")
	}
	return w.control.Do(context.Background(), control.Request{Method: method, Path: p, Query: query, Header: http.Header{}, Body: []byte(body), Caller: as, Base: "https://management.azure.com"})
}

func (w *world) ok(as authn.Caller, method, path, body string) *control.Response {
	w.Helper()
	r, err := w.do(as, method, path, body)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// get reads JSON.
func (w *world) get(as authn.Caller, path string) map[string]any {
	w.Helper()
	return w.decode(w.ok(as, "GET", path, "").Body)
}

func (w *world) decode(body []byte) map[string]any {
	w.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		w.Fatalf("%s: %v", body, err)
	}
	return v
}

// refused wants an error of this status and code whose message has this part.
func (w *world) refused(as authn.Caller, method, path, body string, status int, code, part string) *arm.Error {
	w.Helper()
	_, err := w.do(as, method, path, body)
	var e *arm.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || !strings.Contains(e.Message, part) {
		w.Fatalf("%s %s: want %d %s %q, got %d %v", method, path, status, code, part, statusOf(e), err)
	}
	return e
}

func statusOf(e *arm.Error) int {
	if e == nil {
		return 0
	}
	return e.Status
}

// at reads a member: "properties.outputs.x.value", "value.0.id".
func at(v any, path string) any {
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

// until waits for f, which is asked again and again.
func (w *world) until(what string, f func() bool) {
	w.Helper()
	deadline := time.After(wait)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			w.Fatalf("%s did not come; log:\n%s", what, w.logged())
		case <-tick.C:
		}
	}
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// follow polls the URL of an answer's operation until it ends.
func (w *world) follow(as authn.Caller, r *control.Response) map[string]any {
	w.Helper()
	u, err := url.Parse(r.Header.Get("Azure-AsyncOperation"))
	w.must(err)
	if u.Path == "" {
		w.Fatalf("no Azure-AsyncOperation in %v", r.Header)
	}
	var status map[string]any
	w.until("the end of "+u.Path, func() bool {
		status = w.get(as, u.Path+"?"+u.RawQuery)
		return status["status"] != "Accepted" && status["status"] != "Running" && status["status"] != "InProgress"
	})
	return status
}

// deploy sends a template and waits for its end.
func (w *world) deploy(as authn.Caller, name, template string) map[string]any {
	w.Helper()
	return w.follow(as, w.ok(as, "PUT", deployed+name, request(template, "{}")))
}

func request(template, parameters string) string {
	return `{"properties":{"mode":"incremental","template":` + template + `,"parameters":` + parameters + `}}`
}

func document(members string) string {
	return `{"$schema":"https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",` + members + `}`
}

func resource(typ, name, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"type":%q,"name":%q,"apiVersion":"2020-01-01","location":"eastus"%s}`, typ, name, more)
}

func list(resources ...string) string { return `"resources":[` + strings.Join(resources, ",") + `]` }

// left counts the documents in the group whose keys have this part.
func (w *world) left(part string) int {
	w.Helper()
	n := 0
	w.must(w.store.View(w.Context(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Prefix: strings.ToLower(group) + "/providers/"})
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

// A resource that the caller may not delete blocks the deletion at once; the group is as it was.

// fetcher is none in the tests that say nothing of files, whose operator allows no links.
func (w *world) fetcher() link.Fetcher {
	if strings.HasPrefix(w.Name(), "TestLinked") && w.Name() != "TestLinkedAuthorization" {
		return w.files
	}
	return nil
}

// fill writes deployments that ended long ago.
func (w *world) fill(n int, name string) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		for i := range n {
			at, err := arm.ParseID(fmt.Sprintf("%s%s%03d", deployed, name, i))
			if err != nil {
				return err
			}
			d := control.Make[deployments.Deployment](at, "", time.Now())
			d.Properties.ProvisioningState, d.Properties.Begun = "Succeeded", fmt.Sprintf("2020-01-01T00:00:00.%06dZ", i)
			if err := control.Save(tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}
