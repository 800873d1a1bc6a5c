package management_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/provider/management"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

const (
	tenant      = "11111111-0000-4000-8000-000000000001"
	sub         = "aaaaaaaa-0000-4000-8000-00000000000a"
	adminID     = "ad000000-0000-4000-8000-000000000001"
	malloryID   = "a11ce000-0000-4000-8000-000000000001"
	owner       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	contributor = "5d58bcaf-24a5-4b20-bdb6-eed9f69fbe4c" // Management Group Contributor
	version     = "2020-05-01"
	groups      = "/providers/Microsoft.Management/managementGroups/"
)

var (
	admin   = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: adminID}}
	mallory = authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: malloryID}}
)

type world struct {
	t       *testing.T
	store   *store.Store
	control *control.Control
}

// newWorld has the groups prod, with a subscription in it, and sandbox, both below plat.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: store.New(memstore.Open())}
	t.Cleanup(func() { _ = w.store.Close() })
	w.control = control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	management.Register(w.control, management.Config{Grant: authorization.GrantTo})
	w.update(func(tx store.Tx) error {
		return control.WriteSubscription(tx, control.Subscription{ID: sub, Tenant: tenant, Name: sub})
	})
	w.grant(arm.ID{Tenant: tenant}, owner, adminID)
	w.expect(200, admin, "PUT", "plat", `{}`)
	w.expect(200, admin, "PUT", "prod", under("plat"))
	w.expect(200, admin, "PUT", "sandbox", under("plat"))
	w.expect(200, admin, "PUT", "prod/subscriptions/"+sub, "")
	return w
}

func under(parent string) string {
	return `{"properties":{"details":{"parent":{"id":"` + groups + parent + `"}}}}`
}

func group(name string) arm.ID {
	return arm.ID{Tenant: tenant, Namespace: "Microsoft.Management", Types: []string{"managementGroups"}, Names: []string{name}}
}

func (w *world) update(f func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) grant(scope arm.ID, role, who string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		return authorization.GrantTo(tx, scope, role, authn.Principal{TenantID: tenant, ObjectID: who, Kind: authn.ServicePrincipal}, time.Now())
	})
}

// deny takes actions from mallory at a group.
func (w *world) deny(at, action string, exact bool) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		body := fmt.Sprintf(`{"properties":{"denyAssignmentName":"d","scope":%q,"doNotApplyToChildScopes":%v,"permissions":[{"actions":[%q]}],"principals":[{"id":%q}]}}`,
			groups+at, exact, action, malloryID)
		_, err := tx.Put(store.Document{Key: "deny", Kind: rbac.DenyKind, Terms: []string{rbac.PrincipalTerm(malloryID)}, Body: []byte(body)})
		return err
	})
}

func (w *world) expect(status int, c authn.Caller, method, path, body string) {
	w.t.Helper()
	got, err := 0, error(nil)
	r, err := w.control.Do(w.t.Context(), control.Request{Method: method, Path: groups + path, Query: url.Values{"api-version": {version}}, Header: http.Header{}, Body: []byte(body), Caller: c})
	if e, ok := err.(*arm.Error); ok {
		got = e.Status
	} else if err == nil {
		got = r.Status
	}
	if got != status {
		w.t.Errorf("%s %s %s: %d %v, want %d", method, path, body, got, err, status)
	}
}

// may tells whether mallory may do an action in the subscription.
func (w *world) may(action string) bool {
	w.t.Helper()
	return w.store.View(w.t.Context(), func(tx store.Tx) error {
		return w.control.RBAC().Check(tx, mallory.Primary, action, arm.ID{Subscription: sub})
	}) == nil
}

const assign = "Microsoft.Authorization/roleAssignments/write"

// Whoever makes a group owns it, so pulling another group below it must need the right to assign roles there already.
func TestMovingAGroupIsNoWayToOwnIt(t *testing.T) {
	w := newWorld(t)
	w.grant(group(tenant), contributor, malloryID)
	w.expect(200, mallory, "PUT", "mine", under("plat"))
	w.expect(403, mallory, "PUT", "prod", under("mine"))
	w.expect(403, mallory, "PATCH", "prod", under("mine"))
	if w.may(assign) {
		t.Error("a Management Group Contributor became Owner of a subscription")
	}
	w.expect(200, mallory, "PUT", "prod", `{"properties":{"displayName":"Production","details":{"parent":{"id":"`+groups+`plat"}}}}`) // it stays
	w.expect(200, mallory, "PUT", "mine", under("sandbox"))                                                                           // his own, between places he may write
}

// The group that is left must agree.
func TestMovingAGroupAsksItsOldParent(t *testing.T) {
	w := newWorld(t)
	w.grant(group("prod"), owner, malloryID)
	w.grant(group("sandbox"), contributor, malloryID)
	w.expect(403, mallory, "PUT", "prod", under("sandbox"))
	w.grant(group("plat"), contributor, malloryID)
	w.expect(200, mallory, "PUT", "prod", under("sandbox"))
	w.expect(200, admin, "PUT", "free", `{}`)
	w.grant(group("free"), owner, malloryID)
	w.expect(200, mallory, "PUT", "free", under("sandbox")) // the root group covers every place and is not asked
	w.expect(403, mallory, "PUT", "free", `{}`)             // no parent means the root group: a move, and into a place he may not write
}

// An Owner of a subscription does not shake off what is denied at its group.
func TestASubscriptionDoesNotLeaveItsGroupUnasked(t *testing.T) {
	const write = "Microsoft.Resources/subscriptions/resourceGroups/write"
	w := newWorld(t)
	w.deny("prod", write, false)
	w.grant(arm.ID{Subscription: sub}, owner, malloryID)
	w.grant(group("sandbox"), contributor, malloryID)
	w.expect(403, mallory, "PUT", "sandbox/subscriptions/"+sub, "")
	w.expect(403, mallory, "DELETE", "prod/subscriptions/"+sub, "")
	if w.may(write) {
		t.Error("the deny assignment is gone")
	}
	w.grant(group("prod"), contributor, malloryID)
	w.expect(200, mallory, "PUT", "sandbox/subscriptions/"+sub, "")
	w.expect(200, mallory, "PUT", "sandbox/subscriptions/"+sub, "") // where it is already
	w.expect(200, mallory, "DELETE", "sandbox/subscriptions/"+sub, "")
}

func TestLeavingNeedsBothRights(t *testing.T) {
	w := newWorld(t)
	w.grant(group("prod"), contributor, malloryID)
	w.expect(403, mallory, "DELETE", "prod/subscriptions/"+sub, "") // not the subscription's
	w.grant(arm.ID{Subscription: sub}, owner, malloryID)
	w.deny("prod", "Microsoft.Management/managementGroups/subscriptions/delete", true)
	w.expect(403, mallory, "DELETE", "prod/subscriptions/"+sub, "") // denied at the group itself
	w.update(func(tx store.Tx) error { return tx.Delete("deny", 0) })
	w.expect(200, mallory, "DELETE", "prod/subscriptions/"+sub, "")
}

// answer sends a request that must succeed and decodes what comes back.
func (w *world) answer(c authn.Caller, method, path, query, body string) map[string]any {
	w.t.Helper()
	q, err := url.ParseQuery("api-version=2021-04-01&" + query)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.control.Do(w.t.Context(), control.Request{Method: method, Path: path, Query: q, Header: http.Header{}, Body: []byte(body), Caller: c})
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	var v map[string]any
	if err := json.Unmarshal(r.Body, &v); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return v
}

// az sends a PATCH whose members lie beside each other (PatchManagementGroupRequest).
func TestPatchIsFlat(t *testing.T) {
	w := newWorld(t)
	got := w.answer(admin, "PATCH", groups+"prod", "", `{"displayName":"Production"}`)
	if got["displayName"] != nil || member(got, "properties", "displayName") != "Production" || member(got, "properties", "details", "parent", "name") != "plat" {
		t.Errorf("renamed: %v", got)
	}
	got = w.answer(admin, "PATCH", groups+"prod", "", `{"parentGroupId":"`+groups+`sandbox","displayName":null}`)
	if member(got, "properties", "displayName") != "Production" || member(got, "properties", "details", "parent", "name") != "sandbox" {
		t.Errorf("moved: %v", got)
	}
	w.grant(group("prod"), owner, malloryID)
	w.expect(403, mallory, "PATCH", "prod", `{"parentGroupId":"`+groups+`plat"}`) // the same rights as a PUT's
	w.expect(400, admin, "PATCH", "prod", `{"parentGroupId":7}`)
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"x.", "-x", ".x", "x%20y", "x%3By", "%C3%A9", strings.Repeat("x", 91)} {
		w.expect(400, admin, "PUT", name, `{}`)
	}
	for _, name := range []string{"x", "x-", "x.y", "CON", strings.Repeat("x", 90)} {
		w.expect(200, admin, "PUT", name, `{}`)
	}
}

func member(v any, names ...string) any {
	for _, name := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

func names(list any, name string) string {
	var out []string
	all, _ := list.([]any)
	for _, v := range all {
		out = append(out, fmt.Sprint(member(v, name)))
	}
	return strings.Join(out, " ")
}

func TestTreeShowsWhatTheCallerSees(t *testing.T) {
	const free = "bbbbbbbb-0000-4000-8000-00000000000b"
	w := newWorld(t)
	w.update(func(tx store.Tx) error {
		return control.WriteSubscription(tx, control.Subscription{ID: free, Tenant: tenant, Name: "free"})
	})
	root := w.answer(admin, "GET", groups+tenant, "$expand=children&$recurse=true", "")
	below := member(root, "properties", "children")
	if names(below, "name") != "plat "+free {
		t.Fatalf("below the root group: %v", below)
	}
	if inner := member(below.([]any)[0], "children"); names(inner, "name") != "prod sandbox" || names(member(inner.([]any)[0], "children"), "name") != sub {
		t.Errorf("below plat: %v", inner)
	}
	if plain := w.answer(admin, "GET", groups+"plat", "", ""); member(plain, "properties", "children") != nil {
		t.Errorf("children that were not asked for: %v", plain)
	}
	flat := w.answer(admin, "GET", groups+"plat", "$expand=children", "")
	if below := member(flat, "properties", "children"); names(below, "name") != "prod sandbox" || member(below.([]any)[0], "children") != nil {
		t.Errorf("one level: %v", below)
	}
	if all := w.answer(admin, "GET", strings.TrimSuffix(groups, "/"), "", ""); names(all["value"], "name") != tenant+" plat prod sandbox" {
		t.Errorf("groups: %v", names(all["value"], "name"))
	}
	all := w.answer(admin, "POST", "/providers/Microsoft.Management/getEntities", "", "")
	if got := names(all["value"], "name"); got != tenant+" plat prod "+sub+" sandbox "+free {
		t.Errorf("entities: %s", got)
	}

	// Who may read one group learns nothing of those above or beside it.
	w.grant(group("prod"), contributor, malloryID)
	some := w.answer(mallory, "POST", "/providers/Microsoft.Management/getEntities", "", "")
	list := some["value"].([]any)
	if names(list, "name") != "prod "+sub || member(list[0], "properties", "permissions") != "delete" || len(member(list[0], "properties", "parentNameChain").([]any)) != 0 ||
		len(member(list[0], "properties", "parent").(map[string]any)) != 0 {
		t.Errorf("what mallory sees: %v", list)
	}
}

func TestDeleteAnswers204(t *testing.T) {
	w := newWorld(t)
	w.expect(204, admin, "DELETE", "sandbox", "") // az takes 202 and 204 only
	w.expect(204, admin, "DELETE", "sandbox", "")
	w.expect(400, admin, "DELETE", "prod", "") // it holds a subscription
	w.expect(400, admin, "DELETE", "plat", "")
}
