package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
	"vitrine/internal/operation"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

// Recorder keeps the activity log.
type Recorder interface {
	Record(tx store.Tx, e audit.Event) error       // in the transaction of what it tells
	Note(ctx context.Context, e audit.Event) error // in one of its own, repeats counted
}

// update runs a write and keeps its event in the same transaction.
func (c *Control) update(ctx context.Context, p *pass, answer **Response, f func(store.Tx) error) error {
	if p.rehearsal != nil {
		return f(p.rehearsal)
	}
	p.origin = c.event(ctx, p)
	return c.store.Update(ctx, func(tx store.Tx) error {
		p.facts = nil
		if err := f(tx); err != nil || c.audit == nil {
			return err
		}
		e := p.origin
		e.Action, e.Operation, e.Status, e.Facts = p.permission(), p.operation, audit.Succeeded, p.facts
		if e.Request.HTTPStatus = (*answer).Status; e.Request.HTTPStatus == http.StatusAccepted || p.operation != "" {
			e.Status = audit.Accepted
		}
		return c.audit.Record(tx, e)
	})
}

// Following gives a request that a long-running operation makes what joins it to the request that began the operation: its
// correlation ID and its source. So every step of a deployment and every deletion of a group's is an event of its own that
// is found by its parent's correlation ID, as in Azure.
func Following(o *operation.Operation, r Request) Request {
	var e audit.Event
	r.inner = true
	if len(o.Origin) == 0 || json.Unmarshal(o.Origin, &e) != nil { // of an older server: no parent is known
		return r
	}
	if r.Header = r.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(correlationHeader, e.Request.CorrelationID)
	r.Peer = e.Request.Source
	return r
}

const correlationHeader = "x-ms-correlation-request-id"

// correlation is the ID that joins a request to others: what the door made of it, or for a request from inside, the header.
func correlation(ctx context.Context, h http.Header) string {
	if id := web.CorrelationID(ctx); id != "" {
		return id
	}
	return h.Get(correlationHeader)
}

// begin writes an operation that knows which request it came from, so that its end can be told.
func (p *pass) begin(tx store.Tx, o operation.Operation) error {
	e := p.origin
	e.Action, p.operation = p.permission(), o.ID
	origin, err := json.Marshal(e)
	if err != nil {
		return err
	}
	o.Origin = origin
	return operation.Begin(tx, o)
}

// refused keeps the event of a request that came to nothing: every write and action, and of the rest what was denied.
func (c *Control) refused(ctx context.Context, p *pass, err error) {
	fault, ok := errors.AsType[*arm.Error](err)
	denied := ok && (fault.Status == http.StatusUnauthorized || fault.Status == http.StatusForbidden)
	reading := p.Method == http.MethodGet || p.Method == http.MethodHead
	if c.audit == nil || p.rehearsal != nil || reading && !denied || ctx.Err() != nil {
		return
	}
	e := c.event(ctx, p)
	e.Action, e.Status, e.Code, e.Request.HTTPStatus = p.permission(), audit.Failed, "InternalServerError", http.StatusInternalServerError
	if ok {
		e.Code, e.Request.HTTPStatus = fault.Code, fault.Status
	}
	if denied && !(p.inner && e.Code == "LinkedAuthorizationFailed") { // made of names and IDs; other messages may quote what a body said
		e.Message = fault.Message
	}
	if err := c.audit.Note(ctx, e); err != nil {
		c.log.Error("activity log", "error", err)
	}
}

// event is what there is to say of a request before it is decided. The body is not in it, nor the query but for the version.
func (c *Control) event(ctx context.Context, p *pass) audit.Event {
	caller := p.Caller.Primary
	var others []string
	for _, a := range p.Caller.Auxiliary {
		others = append(others, a.TenantID+"/"+a.ObjectID)
	}
	source, _, err := net.SplitHostPort(p.Peer)
	if err != nil {
		source = p.Peer
	}
	uri := p.Base + escaped(p.Path)
	if p.version != "" {
		uri += "?api-version=" + string(p.version)
	}
	e := audit.Event{Time: c.now(), Tenant: caller.TenantID, Group: p.id.ResourceGroup, Resource: p.id.String(), Type: p.id.Type(),
		Category: audit.Administrative,
		Caller: audit.Caller{Tenant: caller.TenantID, ObjectID: caller.ObjectID, AppID: caller.AppID, Name: caller.Name,
			Kind: string(caller.Kind), HomeTenant: caller.HomeTenant, TokenID: caller.TokenID, Auxiliary: strings.Join(others, " ")},
		Request: audit.Request{ID: web.RequestID(ctx), ClientID: p.Header.Get("x-ms-client-request-id"), CorrelationID: correlation(ctx, p.Header),
			Source: source, Method: p.Method, URI: uri}}
	// A token of tenant A at tenant B's subscription is told in A's log: B's cannot be filled by strangers.
	if arm.IsGUID(p.id.Subscription) {
		e.Subscription = p.id.Subscription
	}
	return e
}

// permission is what the request needs. Before the pipeline has come to ask for it, it follows from path and method.
func (p *pass) permission() string {
	if p.action != "" {
		return p.action
	}
	typ := p.id.Type()
	switch p.Method {
	case http.MethodPut, http.MethodPatch:
		return typ + "/write"
	case http.MethodDelete:
		return typ + "/delete"
	case http.MethodPost:
		return typ + "/" + p.tail + "/action"
	}
	if p.tail != "" {
		typ += "/" + p.tail
	}
	return typ + "/read"
}

// supersede ends what is under way on a resource, since another write, the operation by, has taken its place.
func (c *Control) supersede(tx store.Tx, id arm.ID, by, name string) error {
	ended, err := operation.Supersede(tx, id, by, name, c.now())
	for _, o := range ended {
		err = errors.Join(err, c.Ended(tx, o))
	}
	return err
}

// Ended keeps the event of an operation's end, in the transaction that ends it.
func (c *Control) Ended(tx store.Tx, o *operation.Operation) error {
	if c.audit == nil || len(o.Origin) == 0 {
		return nil
	}
	var e audit.Event
	if err := json.Unmarshal(o.Origin, &e); err != nil {
		return err
	}
	e.Time, e.Operation, e.End, e.Status = o.End, o.ID, true, audit.Succeeded
	if o.Status != operation.Succeeded {
		e.Status = audit.Failed
	}
	if o.Error != nil {
		e.Code = o.Error.Code
	}
	return c.audit.Record(tx, e)
}
