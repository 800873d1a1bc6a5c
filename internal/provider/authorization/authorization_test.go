package authorization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant      = "11111111-0000-4000-8000-000000000001"
	subID       = "aaaaaaaa-0000-4000-8000-00000000000a"
	sub         = "/subscriptions/" + subID
	group       = sub + "/resourceGroups/g"
	thing       = group + "/providers/Vitrine.Test/things/t"
	owner       = "00000000-0000-4000-8000-0000000000a1"
	readerID    = "00000000-0000-4000-8000-0000000000a2"
	guest       = "00000000-0000-4000-8000-0000000000a3"
	user        = "00000000-0000-4000-8000-0000000000a4"
	crew        = "00000000-0000-4000-8000-0000000000a6"
	broken      = "00000000-0000-4000-8000-0000000000a5"
	ownerRole   = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	reader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	uaa         = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
	at          = "/providers/Microsoft.Authorization/roleAssignments"
	name1       = "99999999-0000-4000-8000-000000000001"
	name2       = "99999999-0000-4000-8000-000000000002"
)

var errBroken = errors.New("broken")

type directory struct{}

func (directory) PrincipalType(_ store.Tx, t, id string) (string, error) {
	switch {
	case id == broken:
		return "", errBroken
	case t != tenant || !slices.Contains([]string{owner, readerID, guest, user, crew}, id):
		return "", store.ErrNotFound
	case id == user:
		return "User", nil
	case id == crew:
		return "Group", nil
	}
	return "ServicePrincipal", nil
}

func (directory) MemberOf(_ store.Tx, _, id string) ([]string, error) {
	if id == user {
		return []string{crew}, nil
	}
	return nil, nil
}

func (directory) Administrator(_ store.Tx, _, id string) (bool, error) { return id == user, nil }

type world struct {
	t       *testing.T
	store   *store.Store
	control *control.Control
}

type empty struct{}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: store.New(memstore.Open())}
	t.Cleanup(func() { _ = w.store.Close() })
	now := func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 123, time.UTC) }
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf, rbac.Groups(directory{}.MemberOf)), Kick: func() {}, Now: now, Log: slog.New(slog.DiscardHandler)})
	Register(w.control, directory{})
	w.update(func(tx store.Tx) error {
		if err := control.WriteSubscription(tx, control.Subscription{ID: subID, Tenant: tenant}); err != nil {
			return err
		}
		for _, id := range []string{group, thing} {
			p, err := arm.ParseID(id)
			if err != nil {
				return err
			}
			if err := control.Save(tx, control.Make[empty](p, "eastus", now())); err != nil {
				return err
			}
		}
		return errors.Join(Grant(tx, arm.ID{Subscription: subID}, ownerRole, owner, now()), Grant(tx, arm.ID{Subscription: subID}, reader, readerID, now()))
	})
	return w
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) do(who, method, target string, body any) (int, map[string]any, error) {
	w.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if body == nil {
		raw = nil
	}
	path, query, _ := strings.Cut(target, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		w.t.Fatal(err)
	}
	q.Set("api-version", "2022-04-01")
	r, err := w.control.Do(context.Background(), control.Request{Method: method, Path: path, Query: q, Header: http.Header{}, Body: raw,
		Caller: authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: who, AppID: "app"}}})
	if err != nil {
		status := 500
		if e, ok := errors.AsType[*arm.Error](err); ok {
			status = e.Status
		}
		return status, nil, err
	}
	var out map[string]any
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &out); err != nil {
			w.t.Fatal(err)
		}
	}
	return r.Status, out, nil
}

// ok expects success.
func (w *world) ok(status int, who, method, target string, body any) map[string]any {
	w.t.Helper()
	got, out, err := w.do(who, method, target, body)
	if err != nil || got != status {
		w.t.Fatalf("%s %s: %d %v, want %d", method, target, got, err, status)
	}
	return out
}

// refused expects an error.
func (w *world) refused(status int, code, text, who, method, target string, body any) {
	w.t.Helper()
	got, _, err := w.do(who, method, target, body)
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || got != status || e.Code != code || !strings.Contains(e.Message, text) {
		w.t.Errorf("%s %s: %d %v, want %d %s %q", method, target, got, err, status, code, text)
	}
}

func assignment(role, principal string, more ...string) map[string]any {
	props := map[string]any{"roleDefinitionId": RoleDefinitionID(subID, role), "principalId": principal}
	for i := 0; i < len(more); i += 2 {
		props[more[i]] = more[i+1]
	}
	return map[string]any{"properties": props}
}

func props(body map[string]any) map[string]any { p, _ := body["properties"].(map[string]any); return p }

func TestAssignAndTakeAway(t *testing.T) {
	w := newWorld(t)
	w.refused(403, "AuthorizationFailed", "", guest, "GET", group+at, nil)
	body := w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(reader, guest, "description", "for the test"))
	want := map[string]any{"principalId": guest, "principalType": "ServicePrincipal", "roleDefinitionId": RoleDefinitionID(subID, reader), "scope": group,
		"createdOn": "2026-11-22T10:00:00.0000001Z", "updatedOn": "2026-11-22T10:00:00.0000001Z", "createdBy": nil, "updatedBy": owner,
		"condition": nil, "conditionVersion": nil, "delegatedManagedIdentityResourceId": nil, "description": "for the test"}
	for name, value := range want {
		if got, ok := props(body)[name]; !ok || got != value {
			t.Errorf("%s: %v, want %v", name, got, value)
		}
	}
	if body["id"] != group+at+"/"+name1 || body["name"] != name1 || body["type"] != "Microsoft.Authorization/roleAssignments" {
		t.Errorf("%v", body)
	}
	w.ok(200, guest, "GET", group+at+"/"+name1, nil) // in force at once
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(reader, guest))
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(reader, strings.ToUpper(guest)))
	body = w.ok(200, owner, "DELETE", group+at+"/"+name1, nil)
	if !strings.EqualFold(fmt.Sprint(props(body)["principalId"]), guest) {
		t.Errorf("DELETE echoes %v", body)
	}
	w.ok(204, owner, "DELETE", group+at+"/"+name1, nil)
	w.refused(403, "AuthorizationFailed", "", guest, "GET", group+at+"/"+name1, nil)
	w.ok(201, owner, "PUT", thing+at+"/"+name1, assignment(reader, user, "principalType", "user"))
	w.ok(201, owner, "PUT", sub+at+"/"+name1, map[string]any{"properties": map[string]any{"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + reader, "principalId": user}})
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(reader, guest))
	put := func(status int, code, text, name string, body any) {
		t.Helper()
		w.refused(status, code, text, owner, "PUT", group+at+"/"+name, body)
	}
	put(400, "InvalidRoleAssignmentId", "The role assignment ID 'x' is not valid. The role assignment ID must be a GUID.", "x", assignment(reader, guest))
	put(400, "InvalidRoleDefinitionId", "The role definition ID 'Reader' is not valid. The role definition ID must be a GUID.", name2, assignment("Reader", guest))
	put(404, "RoleDefinitionDoesNotExist", "The specified role definition with ID '"+strings.ReplaceAll(name1, "-", "")+"' does not exist.", name2, assignment(name1, guest))
	put(400, "InvalidPrincipalId", "", name2, assignment(reader, "somebody"))
	put(400, "InvalidConditionVersion", "", name2, assignment(reader, guest, "condition", "@Resource…"))
	put(409, "RoleAssignmentExists", "The role assignment already exists. The ID of the conflicting role assignment is "+strings.ReplaceAll(name1, "-", "")+".", name2, assignment(reader, strings.ToUpper(guest)))
	put(400, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.", name1, assignment(contributor, guest))
	put(400, "RoleAssignmentUpdateNotPermitted", "", name1, assignment(reader, user))
	put(400, "PrincipalNotFound", "Principal "+strings.ReplaceAll(name2, "-", "")+" does not exist in the directory "+tenant+". Check that you have the correct principal ID.", name2, assignment(reader, name2))
	put(400, "UnmatchedPrincipalType", "", name2, assignment(reader, user, "principalType", "Group"))
	put(400, "InvalidParameter", "Required parameter", name2, map[string]any{})
	put(400, "InvalidParameter", "", name2, assignment(reader, user, "principalType", "Robot"))
	w.refused(404, "ResourceGroupNotFound", "Resource group 'none' could not be found.", owner, "PUT", sub+"/resourceGroups/none"+at+"/"+name2, assignment(reader, guest))
	w.refused(404, "ResourceNotFound", "", owner, "PUT", thing+"2"+at+"/"+name2, assignment(reader, guest))
	w.refused(403, "AuthorizationFailed", "", owner, "PUT", at+"/"+name2, assignment(reader, guest))
	if _, _, err := w.do(owner, "PUT", group+at+"/"+name2, assignment(reader, broken)); !errors.Is(err, errBroken) {
		t.Errorf("a fault of the directory became %v", err)
	}
}

func TestWhoMayAssign(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", group+at+"/"+uuid.NewString(), assignment(contributor, guest))
	for _, who := range []string{readerID, guest} {
		w.refused(403, "AuthorizationFailed", "'Microsoft.Authorization/roleAssignments/write' over scope '"+group+at+"/"+name1+"'", who, "PUT", group+at+"/"+name1, assignment(ownerRole, who))
		w.refused(403, "AuthorizationFailed", "", who, "DELETE", group+at+"/"+name1, nil)
		w.ok(200, who, "GET", group+at, nil)
	}
	w.ok(201, owner, "PUT", group+at+"/"+uuid.NewString(), assignment(uaa, guest))
	w.ok(201, guest, "PUT", group+at+"/"+name1, assignment(reader, user))
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", sub+at+"/"+name2, assignment(reader, user))
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", group+at+"/"+uuid.NewString(), assignment(reader, guest))
	w.ok(201, owner, "PUT", thing+at+"/"+uuid.NewString(), assignment(contributor, guest))
	w.ok(201, owner, "PUT", thing+at+"/"+uuid.NewString(), assignment(reader, user))
	for _, row := range []struct {
		scope, filter string
		n             int
	}{
		{sub, "", 5}, {group, "", 5}, {thing, "", 5},
		{sub, "atScope()", 2}, {group, "atScope()", 3}, {thing, "atScope()", 5},
		{sub, "principalId eq '" + guest + "'", 2}, {sub, "principalId eq '" + strings.ToUpper(guest) + "'", 2},
		{group, "atScope() and principalId eq '" + guest + "'", 1}, {thing, "ATSCOPE() and assignedTo('" + guest + "')", 2},
		{sub, "assignedTo('" + user + "')", 1}, {sub, "principalId eq ''", 5},
	} {
		body := w.ok(200, owner, "GET", row.scope+at+"?$filter="+url.QueryEscape(row.filter), nil)
		if list, _ := body["value"].([]any); len(list) != row.n {
			t.Errorf("%s %s: %d, want %d", row.scope, row.filter, len(list), row.n)
		}
	}
	for _, bad := range []string{"roleName eq 'x'", "atScope() or atScope()", "principalId eq 'x"} {
		w.refused(400, "UnsupportedQuery", "is not supported", owner, "GET", sub+at+"?$filter="+url.QueryEscape(bad), nil)
	}
	// Whose roles are below sees them, and no others.
	body := w.ok(200, guest, "GET", sub+at, nil)
	if list, _ := body["value"].([]any); len(list) != 3 {
		t.Errorf("the guest sees %d", len(list))
	}
	w.refused(403, "AuthorizationFailed", "", name1, "GET", sub+at, nil)
}

func TestTheLimit(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx store.Tx) error {
		for range maxAssignments {
			if err := Grant(tx, arm.ID{Subscription: subID, ResourceGroup: "g"}, reader, uuid.NewString(), time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	w.refused(400, "RoleAssignmentLimitExceeded", "4000", owner, "PUT", group+at+"/"+name1, assignment(reader, guest))
}

func TestDefinitions(t *testing.T) {
	const definitions = "/providers/Microsoft.Authorization/roleDefinitions"
	w := newWorld(t)
	for _, row := range []struct {
		filter string
		n      int
	}{
		{"", len(rbac.BuiltIn())}, {"roleName eq 'Reader'", 1}, {"rolename eq 'reader'", 1}, {"roleName eq 'No''body'", 0},
		{"type eq 'BuiltInRole'", len(rbac.BuiltIn())}, {"type eq 'CustomRole'", 0}, {"atScopeAndBelow()", len(rbac.BuiltIn())}, {"atScope() and roleName eq 'Owner'", 1},
	} {
		for _, scope := range []string{sub, group, thing} {
			body := w.ok(200, readerID, "GET", scope+definitions+"?$filter="+url.QueryEscape(row.filter), nil)
			list, _ := body["value"].([]any)
			if len(list) != row.n {
				t.Fatalf("%s at %s: %d, want %d", row.filter, scope, len(list), row.n)
			}
			for _, item := range list {
				if d := item.(map[string]any); !strings.HasPrefix(d["id"].(string), sub+definitions+"/") {
					t.Errorf("%v", d["id"])
				}
			}
		}
	}
	w.refused(400, "UnsupportedQuery", "is not supported", owner, "GET", sub+definitions+"?$filter=x", nil)
	d := w.ok(200, readerID, "GET", group+definitions+"/"+strings.ToUpper(contributor), nil)
	p := props(d)
	if d["id"] != sub+definitions+"/"+contributor || d["name"] != contributor || p["roleName"] != "Contributor" || p["type"] != "BuiltInRole" || fmt.Sprint(p["assignableScopes"]) != "[/]" {
		t.Errorf("%v", d)
	}
	blocks, _ := p["permissions"].([]any)
	for _, member := range []string{"actions", "notActions", "dataActions", "notDataActions"} {
		if _, ok := blocks[0].(map[string]any)[member].([]any); !ok {
			t.Errorf("%s is no list in %v", member, blocks)
		}
	}
	if by, ok := p["createdBy"]; !ok || by != nil {
		t.Error("createdBy must be null")
	}
	w.refused(404, "RoleDefinitionDoesNotExist", "", owner, "GET", sub+definitions+"/"+name1, nil)
	w.refused(400, "InvalidParameter", "", owner, "PUT", sub+definitions+"/"+name1, map[string]any{})
	w.refused(403, "AuthorizationFailed", "", guest, "GET", sub+definitions+"/"+reader, nil)
	if RoleDefinitionID("", reader) != definitions+"/"+reader {
		t.Error(RoleDefinitionID("", reader))
	}
}
