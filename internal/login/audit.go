package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/audit"
	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

// SignIns keeps the log of sign-ins; a token that cannot be told is not issued.
type SignIns interface {
	Note(ctx context.Context, e audit.Event) error
	Record(tx store.Tx, e audit.Event) error // in the transaction of what it tells
}

// event is what the log has of a browser's request. Nothing of the form is in it, nor the query.
func (d *door) event(c call, tenant, action string) audit.Event {
	ctx := c.r.Context()
	return audit.Event{Time: d.Now(), Tenant: tenant, Category: audit.SignIn, Action: action, Status: audit.Succeeded,
		Request: audit.Request{ID: web.RequestID(ctx), CorrelationID: web.CorrelationID(ctx), Source: source(c.r), Method: c.r.Method, URI: c.r.URL.Path, HTTPStatus: http.StatusOK}}
}

func callerOf(p grant.Person) audit.Caller {
	return audit.Caller{Tenant: p.TenantID, ObjectID: p.ObjectID, Name: p.UPN, Kind: "User", HomeTenant: p.HomeTenant}
}

// done keeps what came off by itself; an error of it ends the request.
func (d *door) done(c call, e audit.Event) error {
	if d.Audit == nil {
		return nil
	}
	return d.Audit.Note(c.r.Context(), e)
}

// telling keeps what comes off in the transaction that does it.
func (d *door) telling(e audit.Event) func(store.Tx) error {
	return func(tx store.Tx) error {
		if d.Audit == nil {
			return nil
		}
		return d.Audit.Record(tx, e)
	}
}

// failed keeps what was refused. Faults of ours are not told, nor what belongs to no tenant.
func (d *door) failed(c call, e audit.Event, cause error) {
	f, ok := errors.AsType[*aadsts.Failure](cause)
	if d.Audit == nil || !ok || e.Tenant == "" {
		return
	}
	e.Status, e.Code, e.Request.HTTPStatus = audit.Failed, code(f), f.Status
	if err := d.Audit.Note(c.r.Context(), e); err != nil {
		d.Log.LogAttrs(c.r.Context(), slog.LevelError, "activity log", slog.Any("error", err))
	}
}

// knockedAt says at whom a sign-in by a name was aimed: in the log of the person's home. A name that nobody has is not kept, since people type
// their passwords there.
func (d *door) knockedAt(ctx context.Context, e *audit.Event, name string) {
	u, err := d.Directory.UserByName(ctx, strings.TrimSpace(name))
	if err == nil && u.UserType == directory.Member {
		e.Tenant, e.Resource, e.Type = u.TenantID, "/users/"+u.ObjectID, "Microsoft.Entra/users"
		return
	}
	_, domain, ok := strings.Cut(name, "@")
	if t, err := d.Directory.TenantByDomain(ctx, strings.TrimSpace(domain)); ok && err == nil {
		e.Tenant, e.Resource, e.Type = t.ID, "/users", "Microsoft.Entra/users"
	}
}

// told keeps what came of a request for a token, and gives back what the request ends with. Of a failure nothing proves
// who it was: the client that it named is what was knocked at, not who knocked.
func (d *door) told(c call, q grant.Request, reply grant.Reply, cause error) error {
	if d.Audit == nil {
		return cause
	}
	ctx := c.r.Context()
	e := audit.Event{Time: d.Now(), Tenant: q.Tenant.ID, Category: audit.SignIn, Action: "Microsoft.Entra/signIns/" + q.Form["grant_type"] + "/action",
		Status: audit.Succeeded, Request: audit.Request{ID: web.RequestID(ctx), CorrelationID: q.Correlation, Source: q.Source, Method: c.r.Method,
			URI: c.r.URL.Path, HTTPStatus: http.StatusOK}}
	if cause == nil {
		t := reply.Claims
		e.Tenant, e.Resource, e.Type = t.TenantID, t.Audience, "Microsoft.Entra/resources"
		e.Caller = audit.Caller{Tenant: t.TenantID, ObjectID: t.ObjectID, AppID: t.Client(), TokenID: t.UniqueID}
		return d.Audit.Note(ctx, e)
	}
	failure, ok := errors.AsType[*aadsts.Failure](cause)
	if !ok || e.Tenant == "" || waiting(failure) {
		return cause
	}
	e.Status, e.Code, e.Request.HTTPStatus = audit.Failed, code(failure), failure.Status
	e.Resource, e.Type = "/applications/"+aadsts.Clip(q.Client.ID), "Microsoft.Entra/applications"
	if err := d.Audit.Note(ctx, e); err != nil {
		d.Log.LogAttrs(ctx, slog.LevelError, "activity log", slog.Any("error", err))
	}
	return cause
}

// waiting is the answer to a device that asks whether its person has signed in: no sign-in yet, failed or not.
func waiting(f *aadsts.Failure) bool {
	return f.OAuth == "authorization_pending" || f.OAuth == "slow_down"
}

func code(f *aadsts.Failure) string {
	if f.Code == 0 {
		return f.OAuth
	}
	return "AADSTS" + strconv.Itoa(f.Code)
}
