package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

// kind is a Spec in the table.
type kind[T any] struct{ Spec[T] }

func (k *kind[T]) about() about {
	a := about{Type: k.Type, Level: k.Level, Versions: k.Versions, Tracked: k.Tracked, Rates: k.Rates, Brief: k.Async.Brief, Verbs: []string{"read"}}
	if k.Put != nil {
		a.Verbs = append(a.Verbs, "write")
	}
	if k.Spec.Delete != nil {
		a.Verbs = append(a.Verbs, "delete")
	}
	for _, verb := range a.Verbs {
		a.Rights = append(a.Rights, k.Action+"/"+verb)
	}
	for _, x := range k.Actions {
		a.Actions = append(a.Actions, x.Name)
		if right := cmp.Or(x.Permission, k.Action+"/"+x.Name+"/action"); !slices.Contains(a.Rights, right) {
			a.Rights = append(a.Rights, right)
		}
	}
	return a
}

// bare decodes as a request is decoded, which drops what clients cannot say.
func (k *kind[T]) bare(raw []byte) ([]byte, error) {
	var r Resource[T]
	_ = armjson.Decode(raw, &r, "") // what GET shows has no faults that matter here
	return armjson.Wire(&r)
}

// put serves PUT and PATCH.
func (k *kind[T]) put(ctx context.Context, c *Control, p *pass) (*Response, error) {
	if k.Put == nil || p.Method == http.MethodPatch && !k.Patch {
		return nil, c.noVerb(p)
	}
	if err := k.fetchFirst(ctx, c, p); err != nil {
		return nil, err
	}
	var answer *Response
	err := c.update(ctx, p, &answer, func(tx store.Tx) error {
		w, err := k.prepare(c, tx, p)
		if err != nil {
			return err
		}
		if err := k.Put(ctx, w); err != nil {
			return err
		}
		if answer, err = k.commit(ctx, p, w); err == nil && k.Supersede != "" && p.rehearsal == nil {
			err = c.supersede(tx, p.id, w.OperationID(), k.Supersede)
		}
		if k.Facts != nil {
			p.facts = k.Facts(w.New)
		}
		return err
	})
	if err == nil {
		c.stir(p)
	}
	return answer, err
}

func newWrite[T any](c *Control, tx store.Tx, p *pass, permission string) *Write[T] {
	return &Write[T]{Tx: tx, Caller: p.Caller, ID: p.id, Query: p.Query, Version: p.version, Now: c.now(), Correlation: p.origin.Request.CorrelationID, permission: permission,
		Fetched: p.fetched, Rehearsed: p.rehearsal != nil}
}

// fetchFirst does what needs the world outside before the transaction, once the right to write is known.
func (k *kind[T]) fetchFirst(ctx context.Context, c *Control, p *pass) error {
	if k.Fetch == nil || p.rehearsal != nil {
		return nil
	}
	err := c.view(ctx, p, func(tx store.Tx) error { return c.mayWith(tx, p, k.Action+"/write", k.attributes(tx, p)) })
	if err != nil {
		return err
	}
	p.Body, p.fetched, err = k.Fetch(ctx, p.Body)
	return err
}

// prepare runs every check of a write, in ARM's order.
func (k *kind[T]) prepare(c *Control, tx store.Tx, p *pass) (*Write[T], error) {
	w := newWrite[T](c, tx, p, k.Action+"/write")
	if err := c.mayWith(tx, p, w.permission, k.attributes(tx, p)); err != nil {
		return nil, err
	}
	if err := placed(tx, p.id, true); err != nil {
		return nil, err
	}
	old, err := k.existing(tx, p.id)
	if err == nil && old == nil && k.Buried != nil {
		if old, err = k.Buried(tx, p.id); errors.Is(err, store.ErrNotFound) {
			old, err = nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	w.Old = old
	if old == nil {
		if err := registered(tx, p.id); err != nil {
			return nil, err
		}
	}
	if err := k.decode(w, p); err != nil {
		return nil, err
	}
	if err := precondition(p.Header, old != nil, old.tag()); err != nil {
		return nil, err
	}
	if err := operation.Idle(tx, p.id, k.Supersede != ""); err != nil {
		return nil, err
	}
	if k.Links == nil {
		return w, nil
	}
	return w, c.rbac.Linked(tx, p.Caller, p.id, w.permission, k.Links(w.Old, w.New))
}

func (k *kind[T]) read(tx store.Tx, id arm.ID) (*Resource[T], error) {
	if k.Get != nil {
		return k.Get(tx, id)
	}
	return Get[T](tx, id)
}

func (k *kind[T]) existing(tx store.Tx, id arm.ID) (*Resource[T], error) {
	old, err := k.read(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return old, err
}

// decode makes the model of the request, merged with what exists, and reports every fault at once.
func (k *kind[T]) decode(w *Write[T], p *pass) error {
	body, err := k.body(p)
	if err != nil {
		return err
	}
	w.Body = body
	stamp := w.Now.UTC().Format(time.RFC3339Nano)
	w.New = &Resource[T]{Created: stamp}
	var faults []*arm.Error
	switch {
	case p.Method == http.MethodPatch && w.Old == nil:
		return notFound(p.id)
	case p.Method == http.MethodPatch:
		copied, err := clone(w.Old)
		if err != nil {
			return err
		}
		w.New = copied
		faults = armjson.Merge(body, w.New, "")
	default:
		faults = armjson.Decode(body, w.New, "")
	}
	if w.Old != nil {
		armjson.Carry(w.Old, w.New)
		w.New.etag = w.Old.etag
		if p.Method == http.MethodPut && w.New.Location != "" {
			w.New.Written = "" // said anew
		}
		faults = append(faults, armjson.Changed(w.Old, w.New, "")...)
	} else {
		w.New.Name, w.New.ID, w.New.Type, w.New.Tenant = p.id.Name(), p.id.String(), k.Type, p.id.Tenant
		faults = append(faults, k.name(p.id.Name())...)
	}
	w.New.Changed = stamp
	faults = append(faults, k.tracked(w)...)
	for _, f := range faults {
		f.Target = k.target(f.Target)
		f.Message = strings.ReplaceAll(f.Message, "'properties.", "'"+k.target("properties."))
	}
	return arm.Join(append(faults, k.invalid(w.New, faults)...))
}

// invalid is what Validate finds. When decoding found faults already, it sees a model with holes: what it says about a member that
// is at fault, or about none, is left out, and if it cannot look at such a model at all, it says nothing.
func (k *kind[T]) invalid(r *Resource[T], already []*arm.Error) (found []*arm.Error) {
	if k.Validate == nil {
		return nil
	}
	if len(already) == 0 {
		return k.Validate(r)
	}
	defer func() {
		if recover() != nil {
			found = nil // a rule leaned on what decoding refused; the request is refused anyway
		}
	}()
	for _, f := range k.Validate(r) {
		if !slices.ContainsFunc(already, func(a *arm.Error) bool { return f.Target == "" || overlap(a.Target, f.Target) }) {
			found = append(found, f)
		}
	}
	return found
}

// overlap tells whether two targets are the same member or one is inside the other.
func overlap(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	inside := func(in, out string) bool {
		rest, ok := strings.CutPrefix(in, out)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return a == "" || inside(a, b) || inside(b, a)
}

func clone[T any](r *Resource[T]) (*Resource[T], error) {
	raw, err := armjson.Store(r)
	if err != nil {
		return nil, err
	}
	var out Resource[T]
	err = armjson.Load(raw, &out)
	out.etag = r.etag
	return &out, err
}

// target gives a path the prefix that the provider uses: galleryImage.properties.osType, or plain osProfile.
func (k *kind[T]) target(path string) string {
	rest, inside := strings.CutPrefix(path, "properties.")
	switch {
	case !inside:
		return path
	case k.Noun == "":
		return rest
	}
	return k.Noun + "." + path
}

func (k *kind[T]) name(name string) []*arm.Error {
	if k.Name == nil {
		return nil
	}
	if fault := k.Name(name); fault != nil {
		return []*arm.Error{fault}
	}
	return nil
}

// tracked checks location and tags.
func (k *kind[T]) tracked(w *Write[T]) []*arm.Error {
	if !k.Tracked {
		return nil
	}
	faults := arm.CheckTags(w.New.Tags)
	if w.New.Location == "" && w.Old != nil {
		w.New.Location = w.Old.Location
	}
	if w.New.Location == "" {
		return append(faults, arm.Errorf(400, "LocationRequired", "The location property is required for this definition."))
	}
	l, ok := arm.LocationOf(w.New.Location)
	if !ok {
		var names []string
		for _, l := range arm.Locations() {
			names = append(names, l.Name)
		}
		return append(faults, arm.Errorf(400, "LocationNotAvailableForResourceType",
			"The provided location '%s' is not available for resource type '%s'. List of available regions for the resource type is '%s'.", w.New.Location, k.Type, strings.Join(names, ",")))
	}
	if k.AsWritten && w.New.Location != l.Name && len(w.New.Location) <= 2*len(l.DisplayName) { // blanks count for nothing, so there may be any number
		w.New.Written = w.New.Location
	}
	w.New.Location = l.Name
	if w.Old != nil && w.Old.Location != l.Name {
		faults = append(faults, moved(Kind(k.Type), w.ID, w.Old.Location, l.Name))
	}
	return faults
}

// moved refuses a name that is taken in another location (errors.md 7).
func moved(kind string, id arm.ID, from, to string) *arm.Error {
	if kind == GroupKind {
		return arm.Errorf(409, "InvalidResourceGroupLocation", "Invalid resource group location '%s'. The Resource group already exists in location '%s'.", to, from)
	}
	return arm.Errorf(409, "InvalidResourceLocation",
		"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.",
		id.Name(), from, id.ResourceGroup, to)
}

// tag is the entity tag of a resource: the body's for providers that have one of their own, else the store's. What is not stored
// has none.
func (r *Resource[T]) tag() string {
	if r == nil || r.etag == 0 {
		return ""
	}
	return cmp.Or(r.Etag, `"`+strconv.FormatInt(r.etag, 10)+`"`)
}

// tagged adds the header by which a client can make its next write conditional.
func (r *Resource[T]) tagged(h http.Header) http.Header {
	if tag := r.tag(); tag != "" {
		h.Set("ETag", tag)
	}
	return h
}

// precondition applies If-Match and If-None-Match (the RPC contract's table).
func precondition(h http.Header, exists bool, tag string) error {
	match, none := h.Get("If-Match"), h.Get("If-None-Match")
	switch {
	case match != "" && (!exists || match != "*" && strings.TrimPrefix(match, "W/") != strings.TrimPrefix(tag, "W/")):
		return arm.Errorf(412, "PreconditionFailed", "The condition '%s' in the If-Match header was not satisfied.", match)
	case none == "*" && exists:
		return arm.Errorf(412, "PreconditionFailed", "The condition '*' in the If-None-Match header was not satisfied.")
	}
	return nil
}

// first says with which status and provisioning state a write answers.
func (k *kind[T]) first(created, long bool) (status int, state string) {
	status, state = http.StatusOK, arm.Updating
	switch {
	case created:
		status, state = cmp.Or(k.Async.Create, http.StatusCreated), cmp.Or(k.Async.First, arm.Creating)
	case k.Async.Update != 0:
		status = k.Async.Update
	case k.Async.Create == http.StatusAccepted:
		status = http.StatusAccepted
	}
	if !long {
		state = arm.Succeeded
		if status == http.StatusAccepted {
			status = http.StatusOK
		}
	}
	return status, state
}

// authored tells whether an api-version tells systemData of this type.
func (k *kind[T]) authored(v arm.Version) bool {
	return k.Authored != "" && v.Date() >= k.Authored.Date()
}

// answered is a resource as a GET would show it now, so that a PUT's answer lacks nothing. The View completes a copy: what is
// stored, and what the operation's URL is made of, stays as it is.
func (k *kind[T]) answered(ctx context.Context, tx store.Tx, p *pass, r *Resource[T]) (json.RawMessage, error) {
	if k.View == nil && k.Dialect == nil {
		return r.wire(k.authored(p.version))
	}
	shown, err := clone(r)
	if err != nil {
		return nil, err
	}
	return k.show(ctx, tx, p, shown)
}

// commit writes resource and operation and words the first answer.
func (k *kind[T]) commit(ctx context.Context, p *pass, w *Write[T]) (*Response, error) {
	if p.rehearsal != nil {
		w.op = nil // what would take long is taken for done
	}
	status, state := k.first(w.Old == nil, w.op != nil)
	w.New.SetState(state)
	if k.Authored != "" {
		w.New.signed(p.Caller.Primary, w.Now)
	}
	if err := Save(w.Tx, w.New); err != nil {
		return nil, err
	}
	body, err := k.answered(ctx, w.Tx, p, w.New)
	if err != nil {
		return nil, err
	}
	answer := &Response{Status: status, Header: w.New.tagged(http.Header{}), Body: body}
	if w.op == nil {
		return answer, nil
	}
	if err := p.begin(w.Tx, *w.op); err != nil {
		return nil, err
	}
	k.follow(p, answer, w, k.Async.Location)
	return answer, nil
}
