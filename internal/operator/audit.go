package operator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
	"vitrine/internal/client"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

// event is an operator's act as the log has it. What was asked for is not in it: it may be a secret.
func (d *door) event(r *http.Request, name string, status audit.Status) audit.Event {
	uid, _ := r.Context().Value(peerKey{}).(string)
	return audit.Event{Time: d.Now(), Tenant: audit.Installation, Category: audit.Operator, Action: "Vitrine.Operator/" + strings.ReplaceAll(name, " ", "/") + "/action",
		Status: status, Caller: audit.Caller{Kind: "Operator", ObjectID: "uid:" + uid, Name: "operator"},
		Request: audit.Request{ID: web.RequestID(r.Context()), CorrelationID: web.CorrelationID(r.Context()), Source: "operator socket", Method: r.Method, URI: r.URL.Path}}
}

func (d *door) keep(r *http.Request, e audit.Event) error {
	return d.Store.Update(context.WithoutCancel(r.Context()), func(tx store.Tx) error { return d.Audit.Record(tx, e) })
}

// began keeps that an act was asked for, before it is done: none goes unrecorded, whatever happens then.
func (d *door) began(r *http.Request, name string) error {
	if d.Audit == nil {
		return nil
	}
	return d.keep(r, d.event(r, name, audit.Started))
}

// ended keeps what came of an act, in the installation's log and in that of the tenant it was about.
func (d *door) ended(r *http.Request, name string, out any, err error) {
	if d.Audit == nil {
		return
	}
	e := d.event(r, name, audit.Succeeded)
	if err != nil {
		e.Status, e.Code = audit.Failed, "InternalServerError"
		if fault, ok := errors.AsType[*arm.Error](visible(err)); ok {
			e.Code = fault.Code
		}
	}
	var about struct{ TenantID, SubscriptionID, AppID, ObjectID, ID string } // no member that is a secret
	if raw, err := json.Marshal(out); err == nil {
		_ = json.Unmarshal(raw, &about) // answers of another form are about nothing
	}
	for _, what := range []string{about.ID, about.ObjectID, about.AppID, about.SubscriptionID, about.TenantID} {
		if what != "" && e.Resource == "" {
			e.Resource = what
		}
	}
	told := d.keep(r, e)
	if e.Tenant = about.TenantID; arm.IsGUID(e.Tenant) {
		told = errors.Join(told, d.keep(r, e))
	}
	if told != nil {
		d.Log.Error("activity log", "act", name, "error", told)
	}
}

// auditor serves what needs the log.
func auditor[T any](d *door, f func(context.Context, T) (any, error)) http.Handler {
	return d.handle(func(r *http.Request) (any, error) {
		var in T
		if d.Audit == nil {
			return nil, arm.Errorf(501, "NotImplemented", "This server keeps no activity log.")
		}
		raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, arm.Errorf(400, "InvalidRequestContent", "The request cannot be read: %s.", err)
		}
		return f(r.Context(), in)
	})
}

// logs gives the IDs of the logs that a name stands for: a tenant's, the installation's, or all.
func (d *door) logs(ctx context.Context, name string) (tenants []string, err error) {
	switch name {
	case "":
		err = d.Store.View(ctx, func(tx store.Tx) (err error) {
			tenants, err = audit.Tenants(tx)
			return err
		})
		return tenants, err
	case audit.Installation:
		return []string{name}, nil
	}
	t, err := d.Directory.FindTenant(ctx, name)
	return []string{t.ID}, err
}

const maxAuditList = 1000

// auditList answers the newest events of all places of a log, newest first.
func (d *door) auditList(ctx context.Context, in client.AuditQuery) (any, error) {
	tenants, err := d.logs(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if in.Limit <= 0 || in.Limit > maxAuditList {
		in.Limit = maxAuditList
	}
	var all []audit.Event
	err = d.Store.View(ctx, func(tx store.Tx) error {
		all = nil
		for _, tenant := range tenants {
			places, err := audit.Places(tx, tenant)
			if err != nil {
				return err
			}
			for _, place := range places {
				some, _, err := audit.List(tx, audit.Query{Tenant: tenant, Subscription: place, From: in.Since, Limit: in.Limit})
				if err != nil {
					return err
				}
				all = append(all, some...)
			}
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b audit.Event) int { return b.Time.Compare(a.Time) })
	list := []client.AuditEvent{}
	for _, e := range all[:min(len(all), in.Limit)] {
		list = append(list, client.AuditEvent{Time: e.Time, Tenant: e.Tenant, Caller: callerOf(e), Source: e.Request.Source, Action: e.Action, Status: string(e.Status),
			Code: e.Code, Count: max(1, e.Count), Resource: e.Resource, CorrelationID: e.Request.CorrelationID, ID: e.ID})
	}
	return list, err
}

func callerOf(e audit.Event) string {
	if e.Caller.Name != "" && e.Caller.Name != "operator" {
		return e.Caller.Name + " (" + e.Caller.ObjectID + ")"
	}
	if e.Caller.ObjectID == "" {
		return e.Caller.AppID
	}
	return e.Caller.ObjectID
}

// auditVerify proves the chains.
func (d *door) auditVerify(ctx context.Context, in client.AuditVerify) (any, error) {
	tenants, err := d.logs(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if in.Hash != "" && in.Tenant == "" {
		return nil, arm.Errorf(400, "InvalidParameter", "A seal that was noted is of one tenant: name it.").At("tenant")
	}
	reports := []audit.Report{}
	for _, tenant := range tenants {
		r, err := d.Audit.Verify(ctx, tenant, audit.Mark{Sequence: in.Sequence, Hash: in.Hash})
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// auditExport streams lines of JSON.
func (d *door) auditExport(w http.ResponseWriter, r *http.Request) error {
	if d.Audit == nil {
		return arm.Errorf(501, "NotImplemented", "This server keeps no activity log.")
	}
	tenants, err := d.logs(r.Context(), r.URL.Query().Get("tenant"))
	if err != nil {
		return visible(err)
	}
	var since time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return arm.Errorf(400, "InvalidParameter", "The time '%s' is not one of RFC 3339.", text).At("since")
		}
	}
	if err := d.keep(r, d.event(r, "audit export", audit.Succeeded)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriter(w)
	for _, tenant := range tenants {
		if err := d.Audit.Export(r.Context(), out, tenant, since); err != nil {
			return fmt.Errorf("export: %w", err) // the answer has begun: web cuts it
		}
	}
	return out.Flush()
}
