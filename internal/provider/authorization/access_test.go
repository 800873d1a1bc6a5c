package authorization

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const (
	roles  = "/providers/Microsoft.Authorization/roleDefinitions"
	locks  = "/providers/Microsoft.Authorization/locks"
	denies = "/providers/Microsoft.Authorization/denyAssignments"
	role1  = "77777777-0000-4000-8000-000000000001"
	role2  = "77777777-0000-4000-8000-000000000002"
)

func custom(name string, scopes []string, actions ...string) map[string]any {
	return map[string]any{"properties": map[string]any{"roleName": name, "description": "d", "type": "CustomRole", "assignableScopes": scopes,
		"permissions": []any{map[string]any{"actions": actions, "notActions": []string{}}}}}
}

func TestCustomRoles(t *testing.T) {
	w := newWorld(t)
	put := func(status int, code, text, who, at, name string, body any) {
		t.Helper()
		w.refused(status, code, text, who, "PUT", at+roles+"/"+name, body)
	}
	made := w.ok(201, owner, "PUT", sub+roles+"/"+role1, custom("Thing reader", []string{group}, "Vitrine.Test/things/read"))
	if p := props(made); p["type"] != "CustomRole" || p["createdBy"] != owner || made["name"] != role1 || made["id"] != sub+roles+"/"+role1 {
		t.Errorf("%v", made)
	}
	put(403, "AuthorizationFailed", "'Microsoft.Authorization/roleDefinitions/write'", readerID, sub, role2, custom("x", []string{sub}, "a/read"))
	put(403, "AuthorizationFailed", "over scope '/subscriptions/bbbbbbbb-0000-4000-8000-00000000000b'", owner, sub, role2, custom("x", []string{sub, "/subscriptions/bbbbbbbb-0000-4000-8000-00000000000b"}, "a/read"))
	put(400, "InvalidAssignableScopes", "", owner, sub, role2, custom("x", []string{"/"}, "a/read"))
	put(400, "InvalidAssignableScopes", "", owner, sub, role2, custom("x", []string{}, "a/read"))
	put(400, "InvalidActionOrNotAction", "'nonsense'", owner, sub, role2, custom("x", []string{sub}, "nonsense"))
	put(400, "InvalidRoleDefinitionPermissions", "", owner, sub, role2, custom("x", []string{sub}))
	put(400, "InvalidRoleDefinitionName", "", owner, sub, role2, custom(" ", []string{sub}, "a/read"))
	put(400, "InvalidRoleDefinitionId", "", owner, sub, "x", custom("x", []string{sub}, "a/read"))
	put(409, "RoleDefinitionWithSameNameExists", "", owner, sub, role2, custom("THING reader", []string{sub}, "a/read"))
	put(409, "RoleDefinitionWithSameNameExists", "", owner, sub, role2, custom("Owner", []string{sub}, "a/read"))
	put(400, "RoleDefinitionUpdateNotPermitted", "", owner, sub, reader, custom("x", []string{sub}, "a/read"))

	w.refused(400, "RoleAssignmentScopeNotAssignableToRoleDefinition", "", owner, "PUT", sub+at+"/"+name1, assignment(role1, guest))
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", thing+locks+"/l", map[string]any{})
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(role1, guest))
	grants := func(action string) bool { return w.may(guest, action, thing) }
	if !grants("Vitrine.Test/things/read") || grants("Vitrine.Test/things/write") {
		t.Error("the custom role does not decide")
	}
	w.ok(201, owner, "PUT", group+roles+"/"+role1, custom("Thing writer", []string{group}, "Vitrine.Test/*/write"))
	if grants("Vitrine.Test/things/read") || !grants("Vitrine.Test/things/write") {
		t.Error("a change of the role is not effective at once")
	}
	found := w.ok(200, owner, "GET", group+roles+"?$filter="+"type%20eq%20'CustomRole'", nil)
	if list := found["value"].([]any); len(list) != 1 || !strings.HasPrefix(list[0].(map[string]any)["id"].(string), sub+roles) {
		t.Errorf("%v", found)
	}
	if list := w.ok(200, owner, "GET", sub+roles+"?$filter=type%20eq%20'CustomRole'", nil)["value"].([]any); len(list) != 0 {
		t.Errorf("a role of a group at its subscription: %v", list)
	}
	if list := w.ok(200, owner, "GET", sub+roles+"?$filter=atScopeAndBelow()%20and%20type%20eq%20'CustomRole'", nil)["value"].([]any); len(list) != 1 {
		t.Errorf("atScopeAndBelow: %v", list)
	}
	w.refused(400, "RoleDefinitionHasAssignments", "There are existing role assignments referencing role", owner, "DELETE", sub+roles+"/"+role1, nil)
	w.refused(400, "RoleDefinitionDeleteNotPermitted", "", owner, "DELETE", sub+roles+"/"+reader, nil)
	w.ok(200, owner, "DELETE", group+at+"/"+name1, nil)
	if gone := w.ok(200, owner, "DELETE", sub+roles+"/"+role1, nil); props(gone)["roleName"] != "Thing writer" {
		t.Errorf("DELETE echoes %v", gone)
	}
	w.ok(204, owner, "DELETE", sub+roles+"/"+role1, nil)
	w.refused(404, "RoleDefinitionDoesNotExist", "", owner, "GET", sub+roles+"/"+role1, nil)
}

// may asks the engine, as the pipeline does.
func (w *world) may(who, action, scope string) (ok bool) {
	w.t.Helper()
	id, err := arm.ParseID(scope)
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		err := w.control.RBAC().Check(tx, authn.Principal{TenantID: tenant, ObjectID: who}, action, id)
		ok = err == nil
		if _, visible := errors.AsType[*arm.Error](err); err != nil && !visible {
			return err
		}
		return nil
	})
	return ok
}

func TestGroupsAndConditions(t *testing.T) {
	w := newWorld(t)
	body := assignment(reader, crew, "principalType", "Group")
	w.ok(201, owner, "PUT", group+at+"/"+name1, body)
	if !w.may(user, "x/read", thing) || w.may(guest, "x/read", thing) {
		t.Error("a group's right is not its member's")
	}
	if list := w.ok(200, owner, "GET", group+at+"?$filter=assignedTo('"+user+"')", nil)["value"].([]any); len(list) != 1 {
		t.Errorf("assignedTo leaves groups out: %v", list)
	}
	if list := w.ok(200, owner, "GET", group+at+"?$filter=principalId%20eq%20'"+user+"'", nil)["value"].([]any); len(list) != 0 {
		t.Errorf("principalId eq follows groups: %v", list)
	}
	const only = "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {" + reader +
		"} AND @Request[Microsoft.Authorization/roleAssignments:PrincipalType] StringEquals 'ServicePrincipal')) AND ((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] GuidEquals " + reader + "))"
	w.refused(400, "InvalidConditionVersion", "", owner, "PUT", group+at+"/"+name2, assignment(uaa, guest, "condition", only))
	w.refused(400, "InvalidCondition", "position", owner, "PUT", group+at+"/"+name2, assignment(uaa, guest, "condition", "@Resource[a", "conditionVersion", "2.0"))
	w.ok(201, owner, "PUT", group+at+"/"+name2, assignment(uaa, guest, "condition", only, "conditionVersion", "2.0"))
	const name3, name4 = "99999999-0000-4000-8000-000000000003", "99999999-0000-4000-8000-000000000004"
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", group+at+"/"+name3, assignment(contributor, readerID))
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", group+at+"/"+name3, assignment(reader, user))
	lie := assignment(reader, user, "principalType", "ServicePrincipal")
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", group+at+"/"+name3, lie)
	w.ok(201, guest, "PUT", group+at+"/"+name3, assignment(reader, readerID))
	w.ok(201, owner, "PUT", group+at+"/"+name4, assignment(contributor, readerID))
	w.refused(403, "AuthorizationFailed", "", guest, "DELETE", group+at+"/"+name4, nil)
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", group+at+"/"+name2, assignment(uaa, guest))
	w.ok(200, guest, "DELETE", group+at+"/"+name3, nil)
}

func TestLocks(t *testing.T) {
	w := newWorld(t)
	lock := func(level string) map[string]any {
		return map[string]any{"properties": map[string]string{"level": level, "notes": "n"}}
	}
	assign := group + at + "/" + name1
	w.ok(201, owner, "PUT", assign, assignment(reader, guest))
	w.refused(400, "InvalidParameter", "", owner, "PUT", group+locks+"/l", lock("Sometimes"))
	w.refused(403, "AuthorizationFailed", "", readerID, "PUT", group+locks+"/l", lock("ReadOnly"))
	w.refused(404, "ResourceGroupNotFound", "", owner, "PUT", sub+"/resourceGroups/none"+locks+"/l", lock("ReadOnly"))
	w.ok(201, owner, "PUT", group+locks+"/l", lock("CanNotDelete"))
	text := fmt.Sprintf("The scope '%s' cannot perform delete operation because following scope(s) are locked: '%s'. Please remove the lock and try again.", assign, group)
	w.refused(409, "ScopeLocked", text, owner, "DELETE", assign, nil)
	w.refused(403, "AuthorizationFailed", "", readerID, "DELETE", assign, nil) // roles come first
	w.ok(201, owner, "PUT", assign, assignment(reader, guest))
	w.ok(200, owner, "PUT", group+locks+"/l", lock("readonly"))
	w.refused(409, "ScopeLocked", "cannot perform write operation", owner, "PUT", assign, assignment(reader, guest))
	w.ok(200, owner, "GET", assign, nil)
	w.ok(201, owner, "PUT", thing+locks+"/deep", lock("CanNotDelete"))
	if list := w.ok(200, owner, "GET", sub+locks, nil)["value"].([]any); len(list) != 2 {
		t.Errorf("%v", list)
	}
	above := thing[:strings.LastIndex(thing, "/providers/")] // a resource's list has what is below it too
	for query, n := range map[string]int{above + locks: 2, thing + locks: 1, thing + locks + "?$filter=atScope()": 2, group + locks + "?$filter=atScope()": 1} {
		if list := w.ok(200, owner, "GET", query, nil)["value"].([]any); len(list) != n {
			t.Errorf("%s: %d, want %d", query, len(list), n)
		}
	}
	w.refused(400, "UnsupportedQuery", "'level eq 1'", owner, "GET", sub+locks+"?$filter=level%20eq%201", nil)
	w.ok(200, owner, "DELETE", group+locks+"/l", nil)
	w.ok(204, owner, "DELETE", group+locks+"/l", nil)
	w.refused(404, "LockNotFound", "The lock 'l' could not be found.", owner, "GET", group+locks+"/l", nil)
	w.ok(200, owner, "DELETE", assign, nil)
}

func TestDenyAssignments(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(ownerRole, guest))
	where, err := arm.ParseID(group)
	if err != nil {
		t.Fatal(err)
	}
	var id string
	spec := DenyAssignment{Name: "no writes", Permissions: []rbac.Permission{{Actions: []string{"*/write"}}},
		Principals: []DenyPrincipal{{ID: rbac.Everyone, Type: "SystemDefined"}}, ExcludePrincipals: []DenyPrincipal{{ID: owner, Type: "ServicePrincipal"}}}
	w.update(func(tx store.Tx) (err error) { id, err = Deny(tx, tenant, where, spec, w.control.Now()); return err })
	if w.may(guest, "x/write", thing) || !w.may(guest, "x/delete", thing) || !w.may(owner, "x/write", thing) {
		t.Error("the deny assignment does not decide")
	}
	name := id[strings.LastIndexByte(id, '/')+1:]
	w.refused(403, "DenyAssignmentAuthorizationFailed", fmt.Sprintf("; however, the access is denied because of the deny assignment with name 'no writes' and Id '%s' at scope '%s'.",
		strings.ReplaceAll(name, "-", ""), group), guest, "PUT", group+locks+"/l", map[string]any{})
	if list := w.ok(200, owner, "GET", group+denies, nil)["value"].([]any); len(list) != 1 || props(list[0].(map[string]any))["denyAssignmentName"] != "no writes" {
		t.Errorf("%v", list)
	}
	for path, n := range map[string]int{sub + denies: 1, sub + denies + "?$filter=atScope()": 0, thing + denies + "?$filter=atScope()": 1} { // below, not at, above
		if list := w.ok(200, owner, "GET", path, nil)["value"].([]any); len(list) != n {
			t.Errorf("%s: %d, want %d", path, len(list), n)
		}
	}
	w.refused(400, "UnsupportedQuery", "'atScope()'", owner, "GET", sub+denies+"?$filter=principalId%20eq%20'"+owner+"'", nil)
	w.ok(200, owner, "GET", id, nil)
	w.refused(405, "MethodNotAllowed", "", owner, "PUT", group+denies+"/"+name1, map[string]any{})
	w.refused(405, "MethodNotAllowed", "", owner, "DELETE", id, nil)
}

func TestRootAndLastAdministrator(t *testing.T) {
	w := newWorld(t)
	list := w.ok(200, owner, "GET", sub+at+"?$filter=principalId%20eq%20'"+owner+"'", nil)["value"].([]any)
	first := list[0].(map[string]any)["id"].(string)
	w.refused(400, "LastRbacAdminAssignment", "Cannot delete the last RBAC admin assignment.", owner, "DELETE", first, nil)
	w.refused(403, "AuthorizationFailed", "", owner, "PUT", at+"/"+name1, assignment(reader, guest))
	w.refused(403, "AuthorizationFailed", "Microsoft.Authorization/elevateAccess/action", owner, "POST", "/providers/Microsoft.Authorization/elevateAccess", nil)
	w.ok(200, user, "POST", "/providers/Microsoft.Authorization/elevateAccess", nil) // a Global Administrator
	w.ok(201, user, "PUT", at+"/"+name1, assignment(reader, guest))
	if !w.may(guest, "x/read", thing) {
		t.Error("a right at the root is not inherited")
	}
	// An inherited assignment names its role as the place that is asked does: az finds names of roles by these IDs.
	for _, where := range []string{sub, ""} {
		for _, v := range w.ok(200, user, "GET", where+at, nil)["value"].([]any) {
			if id := fmt.Sprint(v.(map[string]any)["properties"].(map[string]any)["roleDefinitionId"]); !strings.HasPrefix(id, where+"/providers/Microsoft.Authorization/roleDefinitions/") {
				t.Errorf("asked at %q: %s", where, id)
			}
		}
	}
	w.ok(200, owner, "DELETE", first, nil) // now there is another administrator above
	if w.may(owner, "x/read", thing) {
		t.Error("a role that was taken away still counts")
	}
	got := w.ok(200, guest, "GET", thing+"/providers/Microsoft.Authorization/permissions", nil)["value"].([]any)
	if len(got) != 1 || fmt.Sprint(got[0].(map[string]any)["actions"]) != "[*/read]" {
		t.Errorf("%v", got)
	}
	// another tenant neither sees nor shares the name
	other := authn.Principal{TenantID: "22222222-0000-4000-8000-000000000002", ObjectID: "b"}
	w.update(func(tx store.Tx) error {
		return GrantTo(tx, arm.ID{Tenant: other.TenantID}, ownerRole, other, w.control.Now())
	})
	w.refusedTo(other, 404, "RoleAssignmentNotFound", "GET", at+"/"+name1)
	if w.mayIn(other, "x/read", thing) {
		t.Error("an Owner of another tenant's root may read here")
	}
}

// TestForeignManagementGroup lists at management groups that are not the caller's tenant's: what its own root gives it says nothing of them.
func TestForeignManagementGroup(t *testing.T) {
	w := newWorld(t)
	other := authn.Principal{TenantID: "22222222-0000-4000-8000-000000000002", ObjectID: "b"}
	w.update(func(tx store.Tx) error {
		return GrantTo(tx, arm.ID{Tenant: other.TenantID}, ownerRole, other, w.control.Now())
	})
	const groups = "/providers/Microsoft.Management/managementGroups/"
	for _, what := range []string{at, roles, denies, locks} {
		for _, where := range []string{groups + tenant, groups + strings.ToUpper(tenant), groups + "nothing"} {
			w.refusedTo(other, 404, "ResourceNotFound", "GET", where+what)
		}
		for _, where := range []string{groups + other.TenantID, ""} {
			if _, err := w.control.Do(t.Context(), control.Request{Method: "GET", Path: where + what, Query: url.Values{"api-version": {"2022-04-01"}}, Header: http.Header{},
				Caller: authn.Caller{Primary: other}}); err != nil {
				t.Errorf("%s%s: %v", where, what, err)
			}
		}
	}
}

func (w *world) mayIn(p authn.Principal, action, scope string) (ok bool) {
	w.t.Helper()
	id, err := arm.ParseID(scope)
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx store.Tx) error { ok = w.control.RBAC().Check(tx, p, action, id) == nil; return nil })
	return ok
}

func (w *world) refusedTo(p authn.Principal, status int, code, method, path string) {
	w.t.Helper()
	_, err := w.control.Do(w.t.Context(), control.Request{Method: method, Path: path, Query: url.Values{"api-version": {"2022-04-01"}}, Header: http.Header{}, Caller: authn.Caller{Primary: p}})
	if e, ok := errors.AsType[*arm.Error](err); !ok || e.Status != status || e.Code != code {
		w.t.Errorf("%s %s: %v, want %d %s", method, path, err, status, code)
	}
}
