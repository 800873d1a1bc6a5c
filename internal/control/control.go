package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/control/throttle"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// Control is the table of resource types and the pipeline over it.
type Control struct {
	store    *store.Store
	rbac     *rbac.Engine
	kick     func()
	open     func(sealed, resource string) ([]byte, error)
	audit    Recorder
	now      func() time.Time
	log      *slog.Logger
	throttle *throttle.Meter
	types    map[string]entry // by lower-case type
	routes   []Route
}

// Config is what a Control needs.
type Config struct {
	Store    *store.Store
	RBAC     *rbac.Engine
	Kick     func()                                        // told after a transaction that began an operation
	Open     func(sealed, resource string) ([]byte, error) // reads sealed results; nil when no provider seals any
	Audit    Recorder                                      // the activity log; nil: none is kept
	Now      func() time.Time
	Log      *slog.Logger
	Throttle *throttle.Meter // counts the requests that come by Handler; nil: none is
}

// New makes an empty table.
func New(c Config) *Control {
	return &Control{store: c.Store, rbac: c.RBAC, kick: c.Kick, open: c.Open, audit: c.Audit, now: c.Now, log: c.Log, throttle: c.Throttle, types: map[string]entry{}}
}

// Request is a request whose tokens were verified.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte
	Caller authn.Caller
	Base   string // "https://management.azure.com", for absolute URLs in the answer
	Peer   string // address of the other end, for the activity log

	inner bool // made by an operation: its body may be made of what nobody may see, such as a deployment's secure parameters
}

// Response is the answer; Body is JSON or empty.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Route serves a path that is not a resource: "/subscriptions/{subscription}/locations". Segments in braces match any
// one name, without regard to case for the rest. Tenants of the path's subscription and token agree when Do is called.
type Route struct {
	Method  string
	Pattern string
	Reads   bool   // a POST that only asks: nothing is written, no activity log either
	Right   string // what the caller must hold at the path's subscription or group; empty: Do asks itself
	Do      func(ctx context.Context, c *Call) (any, error)
	// Alone runs Do outside of a transaction: Tx is nil, and what Do leaves in Commit is done in one of its own at the end.
	Alone bool
}

// Call is a request to a Route.
type Call struct {
	Request
	Tx      store.Tx
	Names   map[string]string // what the braces matched
	Control *Control
	Status  int // of the answer; 0: 200
	Reply   http.Header

	Correlation string // joins the request to those before and after it

	// Commit is done in the transaction that ends an Alone route; nil: nothing.
	Commit func(tx store.Tx) error
}

// entry is a Spec without its type parameter.
type entry interface {
	about() about
	bare(raw []byte) ([]byte, error)
	put(ctx context.Context, c *Control, p *pass) (*Response, error)
	get(ctx context.Context, c *Control, p *pass) (*Response, error)
	list(ctx context.Context, c *Control, p *pass) (*Response, error)
	remove(ctx context.Context, c *Control, p *pass) (*Response, error)
	act(ctx context.Context, c *Control, p *pass) (*Response, error)
	shown(d store.Document, v arm.Version) (Shown, error)
	part(ctx context.Context, c *Control, p *pass, part, name string) (*Response, error)
}

// about is what a manifest says of a type.
type about struct {
	Type     string
	Level    Level
	Versions []arm.Version
	Actions  []string
	Rates    map[string]throttle.Limit
	Verbs    []string
	Tracked  bool
	Brief    bool
	Rights   []string
}

// pass is one request on its way through the pipeline.
type pass struct {
	Request
	id      arm.ID
	tail    string
	version arm.Version

	rehearsal store.Tx          // of Rehearse; else nil
	fetched   any               // what Spec.Fetch found
	action    string            // the permission that was asked for last
	operation string            // that the request began
	facts     map[string]string // of what was written or deleted, for the activity log
	origin    audit.Event       // what the activity log will say
}

// Register adds a type to the table.
func Register[T any](c *Control, s Spec[T]) {
	k := &kind[T]{Spec: s}
	if k.Action == "" {
		k.Action = s.Type
	}
	if k.Missing == nil {
		k.Missing = notFound
	}
	c.types[Kind(s.Type)] = k
	for _, other := range s.Synonyms {
		c.types[Kind(other)] = k
	}
}

// Handle adds a route.
func (c *Control) Handle(r Route) { c.routes = append(c.routes, r) }

// Store is where the resources are.
func (c *Control) Store() *store.Store { return c.store }

// Now is the clock of everything that is written.
func (c *Control) Now() time.Time { return c.now() }

// RBAC is who decides.
func (c *Control) RBAC() *rbac.Engine { return c.rbac }

// Do walks a request through the pipeline. An error is an *arm.Error or a fault of ours.
func (c *Control) Do(ctx context.Context, r Request) (*Response, error) { return c.do(ctx, r, nil) }

func (c *Control) do(ctx context.Context, r Request, rehearsal store.Tx) (*Response, error) {
	path, err := arm.ParsePath(r.Path)
	if err != nil {
		return nil, err
	}
	version, err := arm.VersionOf(r.Query)
	if err != nil {
		return nil, err
	}
	if s := path.ID.Subscription; s != "" && !arm.IsGUID(s) {
		return nil, arm.Errorf(400, "InvalidSubscriptionId", "The provided subscription identifier '%s' is malformed or invalid.", s)
	}
	if path.ID.Subscription == "" {
		path.ID.Tenant = strings.ToLower(r.Caller.Primary.TenantID)
	}
	p := &pass{Request: r, id: path.ID, tail: path.Tail, version: version, rehearsal: rehearsal}
	answer, err := c.route(ctx, p)
	if answer == nil && err == nil {
		answer, err = c.dispatch(ctx, p)
	}
	if errors.Is(err, store.ErrConflict) {
		err = arm.Errorf(409, "Conflict", "The resource '%s' was changed by another request at the same time. Please retry.", p.id)
	}
	if err != nil {
		c.refused(ctx, p, err)
		return nil, err
	}
	return answer, nil
}

// dispatch finds the type and the verb.
func (c *Control) dispatch(ctx context.Context, p *pass) (*Response, error) {
	if answer, err := c.status(ctx, p); answer != nil || err != nil {
		return answer, err
	}
	if p.tail != "" && p.Method == http.MethodGet || p.id.Namespace == "" && p.tail != "" {
		return c.collection(ctx, p)
	}
	k, ok := c.types[Kind(p.id.Type())]
	if !ok {
		if answer, err := c.inner(ctx, p); answer != nil || err != nil {
			return answer, err
		}
		if _, ok := c.types[Kind(p.id.Type()+"/"+p.tail)]; ok {
			return nil, c.noVerb(p) // PUT or POST to a collection
		}
		return nil, c.unknownType(p.id, p.id.Type(), p.version)
	}
	if err := level(k.about(), p.id); err != nil {
		return nil, err
	}
	switch p.Method {
	case http.MethodPut, http.MethodPatch:
		if p.tail == "" {
			return k.put(ctx, c, p)
		}
	case http.MethodGet, http.MethodHead:
		if p.tail == "" {
			return k.get(ctx, c, p)
		}
	case http.MethodDelete:
		if p.tail == "" {
			return k.remove(ctx, c, p)
		}
	case http.MethodPost:
		if p.tail != "" {
			return k.act(ctx, c, p)
		}
	}
	return nil, c.noVerb(p)
}

func (c *Control) noVerb(p *pass) error {
	return arm.Errorf(405, "MethodNotAllowed", "The resource type '%s' does not support the verb %s at '%s'.", p.id.Type(), p.Method, p.Path)
}

// collection lists a type, or serves a part of a resource such as …/virtualMachines/m/instanceView.
func (c *Control) collection(ctx context.Context, p *pass) (*Response, error) {
	typ := p.id.Type() + "/" + p.tail
	if p.id.Namespace == "" && (p.id.ResourceGroup != "" || p.id.Subscription != "") {
		typ = "Microsoft.Resources/" + p.tail
	}
	if k, ok := c.types[Kind(typ)]; ok && p.Method == http.MethodGet {
		if err := listed(k.about(), p.id); err != nil {
			return nil, err
		}
		return k.list(ctx, c, p)
	}
	if k, ok := c.types[Kind(p.id.Type())]; ok && p.Method == http.MethodGet {
		return k.part(ctx, c, p, p.tail, "")
	}
	return nil, c.unknownType(p.id, typ, p.version)
}

// inner serves …/deployments/d/operations/7: a named part of a resource.
func (c *Control) inner(ctx context.Context, p *pass) (*Response, error) {
	n := len(p.id.Types)
	if n < 2 || p.Method != http.MethodGet {
		return nil, nil
	}
	outer := *p
	outer.id = p.id.Parent()
	if k, ok := c.types[Kind(outer.id.Type())]; ok {
		return k.part(ctx, c, &outer, p.id.Types[n-1], p.id.Names[n-1])
	}
	return nil, nil
}

// level refuses a resource at a place where its type does not live.
func level(a about, id arm.ID) error {
	at := InTenant
	switch {
	case id.Scope != "":
		at = Extension
	case id.ResourceGroup != "":
		at = InGroup
	case id.Subscription != "":
		at = InSubscription
	}
	if at == a.Level || a.Level == Extension || id.Namespace == "" {
		return nil
	}
	return misplaced(a, id)
}

// listed refuses a list at a place below which resources of the type do not live.
func listed(a about, id arm.ID) error {
	child := len(id.Types) > 0
	switch {
	case a.Level == Extension:
		return nil
	case id.Scope != "",
		a.Level == InGroup && (id.Subscription == "" || child && id.ResourceGroup == ""),
		a.Level == InSubscription && (id.Subscription == "" || id.ResourceGroup != ""),
		a.Level == InTenant && id.Subscription != "":
		return misplaced(a, id)
	}
	return nil
}

func misplaced(a about, id arm.ID) error {
	return arm.Errorf(404, "InvalidResourceType", "The resource type '%s' does not exist at the scope of '%s'.", a.Type, id)
}

// unknownType words the absence of a type or of its whole namespace.
func (c *Control) unknownType(id arm.ID, typ string, v arm.Version) error {
	ns, rest, _ := strings.Cut(typ, "/")
	var versions []string
	known := false
	for name, k := range c.types {
		if strings.HasPrefix(name, strings.ToLower(ns)+"/") {
			known = true
			for _, v := range k.about().Versions {
				versions = append(versions, string(v))
			}
		}
	}
	if !known {
		return arm.Errorf(404, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", ns)
	}
	sort.Strings(versions)
	versions = slices.Compact(versions)
	return arm.Errorf(404, "InvalidResourceType",
		"The resource type '%s' could not be found in the namespace '%s' for api version '%s'. The supported api-versions are '%s'.",
		rest, ns, v, strings.Join(versions, ","))
}

// Tracked tells whether resources of a kind have a location and tags, and so are listed among a group's resources.
func (c *Control) Tracked(kind string) bool {
	k, ok := c.types[kind]
	return ok && k.about().Tracked
}

// Bare is what a client could have sent to make a resource of which raw is what GET shows: without what the server alone says.
func (c *Control) Bare(typ string, raw []byte) ([]byte, error) {
	k, ok := c.types[Kind(typ)]
	if !ok {
		return raw, nil
	}
	return k.bare(raw)
}

// Permission is the prefix of a type's permissions.
func (c *Control) Permission(typ string) string {
	if k, ok := c.types[Kind(typ)]; ok && len(k.about().Rights) > 0 {
		return strings.TrimSuffix(k.about().Rights[0], "/read")
	}
	return typ
}

// Newest is the newest api-version of a type that is served.
func (c *Control) Newest(typ string) string {
	if k, ok := c.types[Kind(typ)]; ok && len(k.about().Versions) > 0 {
		return string(slices.Max(k.about().Versions))
	}
	return "2021-04-01"
}

// Type is one line of a provider's manifest.
type Type struct {
	Name     string // without the namespace
	Versions []arm.Version
	Rights   []string // that a role can give: Microsoft.Compute/disks/read
}

// Rights are all that the types and the routes ask for, sorted.
func (c *Control) Rights() (all []string) {
	for _, k := range c.types {
		all = append(all, k.about().Rights...)
	}
	for _, r := range c.routes {
		all = append(all, r.Right)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(right string) bool { return right == "" })
}

// Namespaces gives the manifest of every provider: its types, sorted.
func (c *Control) Namespaces() map[string][]Type {
	all := map[string][]Type{}
	seen := map[string]bool{}
	for _, k := range c.types {
		a := k.about()
		if ns, name, _ := strings.Cut(a.Type, "/"); !seen[a.Type] {
			seen[a.Type] = true
			all[ns] = append(all[ns], Type{Name: name, Versions: a.Versions, Rights: a.Rights})
		}
	}
	for _, types := range all {
		sort.Slice(types, func(i, j int) bool { return types[i].Name < types[j].Name })
	}
	return all
}
