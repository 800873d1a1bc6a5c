package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"vitrine/internal/audit"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/web"
)

// SignIns keeps the log of sign-ins; a token that cannot be told is not issued.
type SignIns interface {
	Note(ctx context.Context, e audit.Event) error
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
