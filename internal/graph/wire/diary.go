package wire

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

// Recorder keeps the activity log.
type Recorder interface {
	Record(tx store.Tx, e audit.Event) error       // in the transaction of what it tells
	Note(ctx context.Context, e audit.Event) error // in one of its own, repeats counted
}

// Diary tells the activity log of requests. Without a Recorder it tells nothing.
type Diary struct {
	Recorder
	Log *slog.Logger
	Now func() time.Time
}

// event is what the log has of a request to a route. Nothing of the body is in it, nor the query.
func (d Diary) event(r *http.Request, route string, p authn.Principal, status audit.Status) audit.Event {
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // without the version
	what, _, _ := strings.Cut(route, "/")
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	return audit.Event{Time: d.Now(), Tenant: p.TenantID, Resource: "/" + path, Type: "Microsoft.Graph/" + what, Category: audit.Administrative,
		Action: "Microsoft.Graph/" + action(r.Method, route), Status: status,
		Caller: audit.Caller{Tenant: p.TenantID, ObjectID: p.ObjectID, AppID: p.AppID, Name: p.Name, Kind: string(p.Kind), HomeTenant: p.HomeTenant, TokenID: p.TokenID},
		Request: audit.Request{ID: web.RequestID(r.Context()), CorrelationID: web.CorrelationID(r.Context()), ClientID: r.Header.Get("client-request-id"),
			Source: source, Method: r.Method, URI: "https://graph.microsoft.com/v1.0/" + path}}
}

// action names what a route does, by its names without the keys: who takes a member out of a group deletes groups/members, not groups.
func action(method, route string) string {
	name := strings.NewReplacer("/{}", "", "/$ref", "", "/$count", "").Replace(route)
	switch {
	case method == http.MethodGet:
		return name + "/read"
	case method == http.MethodDelete:
		return name + "/delete"
	case method == http.MethodPost && strings.Contains(name, "/") && !strings.HasSuffix(route, "/$ref"):
		return name + "/action"
	}
	return name + "/write"
}

// Wrote keeps a write in its transaction. The status 0 is 200, or 204 of an empty answer.
func (d Diary) Wrote(tx store.Tx, r *http.Request, route string, p authn.Principal, status int, empty bool) error {
	if d.Recorder == nil {
		return nil
	}
	e := d.event(r, route, p, audit.Succeeded)
	if e.Request.HTTPStatus = status; status == 0 {
		if e.Request.HTTPStatus = http.StatusOK; empty {
			e.Request.HTTPStatus = http.StatusNoContent
		}
	}
	return d.Recorder.Record(tx, e)
}

// Refused keeps a write that came to nothing, and of the rest what was denied.
func (d Diary) Refused(r *http.Request, route string, p authn.Principal, writes bool, cause error) {
	if d.Recorder == nil || r.Context().Err() != nil {
		return
	}
	e := d.event(r, route, p, audit.Failed)
	e.Code, e.Request.HTTPStatus = "InternalServerError", http.StatusInternalServerError
	if said := Words(cause); said != nil {
		var body struct{ Error struct{ Code string } }
		status, _, raw := said.Render()
		if err := json.Unmarshal(raw, &body); err == nil {
			e.Code, e.Request.HTTPStatus = body.Error.Code, status
		}
	}
	if s := e.Request.HTTPStatus; !writes && s != http.StatusForbidden && s != http.StatusUnauthorized {
		return
	}
	if err := d.Recorder.Note(r.Context(), e); err != nil {
		d.Log.LogAttrs(r.Context(), slog.LevelError, "activity log", slog.Any("error", err))
	}
}
