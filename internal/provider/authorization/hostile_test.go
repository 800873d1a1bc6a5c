package authorization

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const delegation = "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {" + reader +
	"})) AND ((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {" + reader + "}))"

// raw sends a body as it stands.
func (w *world) raw(who, method, target, body string) error {
	w.t.Helper()
	_, err := w.control.Do(w.t.Context(), control.Request{Method: method, Path: target, Query: url.Values{"api-version": {"2022-04-01"}}, Header: http.Header{}, Body: []byte(body),
		Caller: authn.Caller{Primary: authn.Principal{TenantID: tenant, ObjectID: who, AppID: "app"}}})
	if err != nil {
		if _, visible := errors.AsType[*arm.Error](err); !visible {
			w.t.Errorf("%s: %v", body, err)
		}
	}
	return err
}

// TestConstrainedDelegation has somebody who may assign Reader only try to assign Owner: what the condition is asked about must be what is
// written, however the body is put.
func TestConstrainedDelegation(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(uaa, guest, "condition", delegation, "conditionVersion", "2.0"))
	good, bad := `"/providers/Microsoft.Authorization/roleDefinitions/`+reader+`"`, `"/providers/Microsoft.Authorization/roleDefinitions/`+ownerRole+`"`
	who := `"principalId":"` + guest + `"`
	for i, body := range []string{
		`{"properties":{"roleDefinitionId":` + bad + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + good + `,"roleDefinitionId":` + bad + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + bad + `,"roleDefinitionId":` + good + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + bad + `,"ROLEDEFINITIONID":` + good + `,` + who + `}}`,
		`{"properties":{"ROLEDEFINITIONID":` + good + `,"roleDefinitionId":` + bad + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + bad + `,"roleDefinitionID":null,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + good + `,` + who + `},"Properties":{"roleDefinitionId":` + bad + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + bad + `,` + who + `},"Properties":{"roleDefinitionId":` + good + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + good + `},"PROPERTIES":{` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + bad + `,` + who + `},"properties":null}`,
		`{"properties":{"roleDefinitionId":` + bad + `,` + who + `},"roleDefinitionId":` + good + `}`,
		`{"roleDefinitionId":` + good + `,"properties":{"roleDefinitionId":` + bad + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + strings.ToUpper(bad) + `,` + who + `}}`,
		`{"properties":{"role\u0044efinitionId":` + bad + `,` + who + `}}`,
		`{"properties":{"roleDefinitionId":"` + reader + `/` + ownerRole + `",` + who + `}}`,
		`{"properties":{"roleDefinitionId":"` + ownerRole + `/",` + who + `}}`,
		`{"properties":{"roleDefinitionId":` + bad + `,` + who + `,"scope":"/"}}`,
		`{"properties":{"roleDefinitionId":[` + good + `,` + bad + `],` + who + `}}`,
		`{"properties":{"\u017foleDefinitionId":` + good + `,"roleDefinitionId":` + bad + `,` + who + `}}`,
		`{"properties":[{"roleDefinitionId":` + good + `}]}`, `null`, `[]`, `{`, ``,
	} {
		name := fmt.Sprintf("%s/99999999-0000-4000-8000-0000000001%02d", group+at, i)
		err := w.raw(guest, "PUT", name, body)
		if w.may(guest, "Microsoft.Compute/disks/write", thing) {
			t.Fatalf("escalated by %s (%v)", body, err)
		}
	}
	// Its own assignment, and the condition in it, are out of reach; so is taking an Owner away.
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", group+at+"/"+name1, assignment(uaa, guest))
	w.refused(400, "RoleAssignmentUpdateNotPermitted", "", guest, "PUT", group+at+"/"+name1, assignment(reader, guest))
	w.refused(403, "AuthorizationFailed", "", guest, "DELETE", group+at+"/"+name1, nil)
	w.refused(403, "AuthorizationFailed", "", guest, "PUT", sub+at+"/"+name2, assignment(reader, user))
	w.ok(201, guest, "PUT", group+at+"/"+name2, assignment(reader, user))
}

// TestRoleCannotLeaveItsAssignments keeps a custom role's scopes around its assignments: whoever may change the role where it may be
// assigned would change rights elsewhere too.
func TestRoleCannotLeaveItsAssignments(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", sub+roles+"/"+role1, custom("Mover", []string{sub}, "Vitrine.Test/things/read"))
	w.ok(201, owner, "PUT", group+at+"/"+name1, assignment(role1, guest))
	w.refused(400, "RoleDefinitionHasAssignments", "", owner, "PUT", sub+roles+"/"+role1, custom("Mover", []string{sub + "/resourceGroups/other"}, "*"))
	w.ok(201, owner, "PUT", sub+roles+"/"+role1, custom("Mover", []string{group}, "Vitrine.Test/things/read"))
	for _, scopes := range [][]string{{"/subscriptions/bbbbbbbb-0000-4000-8000-00000000000b"}, {group, "/subscriptions/bbbbbbbb-0000-4000-8000-00000000000b"}, // another tenant's
		{"/providers/Microsoft.Management/managementGroups/22222222-0000-4000-8000-000000000002"}} {
		if err := w.raw(owner, "PUT", sub+roles+"/"+role1, `{"properties":{"roleName":"Mover","assignableScopes":["`+strings.Join(scopes, `","`)+`"],"permissions":[{"actions":["*"]}]}}`); err == nil {
			t.Errorf("a role with the scopes %v is taken", scopes)
		}
	}
	if w.may(guest, "Vitrine.Test/things/write", thing) {
		t.Error("the role was widened")
	}
	// Who may write roles at one scope only cannot widen one that is assigned at another.
	w.ok(201, owner, "PUT", sub+roles+"/"+role2, custom("Editor", []string{sub}, "Microsoft.Authorization/roleDefinitions/*"))
	w.ok(201, owner, "PUT", thing+at+"/"+name2, assignment(role2, guest))
	w.refused(403, "AuthorizationFailed", "over scope '"+group+"'", guest, "PUT", thing+roles+"/"+role1, custom("Mover", []string{thing}, "*"))
}

// TestLastAdministratorOnce has two Owners take each other away at the same time: one stays.
func TestLastAdministratorOnce(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		w.ok(201, owner, "PUT", sub+at+"/"+name1, assignment(ownerRole, guest))
		var first string
		for _, r := range w.ok(200, owner, "GET", sub+at+"?$filter=principalId%20eq%20'"+owner+"'", nil)["value"].([]any) {
			first = r.(map[string]any)["id"].(string)
		}
		var wait sync.WaitGroup
		errs := make([]error, 2)
		for i, id := range []string{first, sub + at + "/" + name1} {
			wait.Go(func() { _, _, errs[i] = w.do([]string{owner, guest}[1-i], "DELETE", id, nil) })
		}
		wait.Wait()
		if w.may(owner, "Microsoft.Authorization/roleAssignments/write", arm.ID{Subscription: subID}.String()) ==
			w.may(guest, "Microsoft.Authorization/roleAssignments/write", arm.ID{Subscription: subID}.String()) {
			t.Fatalf("not exactly one Owner is left: %v", errs)
		}
	}
}

// TestScopesThatComeBack gives no right at what was deleted and made again.
func TestScopesThatComeBack(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", thing+at+"/"+name1, assignment(reader, guest))
	w.refused(404, "ResourceNotFound", "", owner, "PUT", thing+"2"+at+"/"+name2, assignment(reader, guest))
	w.refused(404, "ResourceGroupNotFound", "", owner, "PUT", group+"2"+at+"/"+name2, assignment(reader, guest))
	if !w.may(guest, "x/read", thing) || w.may(guest, "x/read", thing+"2") || w.may(guest, "x/read", thing+".x") || w.may(guest, "x/read", group) {
		t.Error("an assignment at a resource covers something else")
	}
	id, err := arm.ParseID(thing)
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx store.Tx) error { return control.Remove(tx, id) })
	w.update(func(tx store.Tx) error { return control.Save(tx, control.Make[empty](id, "eastus", w.control.Now())) })
	if w.may(guest, "x/read", thing) {
		t.Error("the resource that came back has the rights of the one that went")
	}
	var left []store.Document
	w.update(func(tx store.Tx) (err error) {
		left, err = tx.List(store.Query{Kind: rbac.AssignmentKind, Any: []string{rbac.PrincipalTerm(guest)}})
		return err
	})
	if len(left) != 0 {
		t.Errorf("%d assignments are left", len(left))
	}
}

// TestOddPaths asks for rights by paths that clients and attackers write.
func TestOddPaths(t *testing.T) {
	w := newWorld(t)
	w.ok(201, owner, "PUT", thing+at+"/"+name1, assignment(contributor, guest))
	for _, path := range []string{thing + "/../../../..", group + "//", group + "/./", strings.ReplaceAll(group, "/", "//"), group + "%2f..", thing + "/" + strings.Repeat("../", 5), sub + "/resourceGroups/g/providers/Vitrine.Test/things",
		group + "\x00", sub + "/resourcegroups/G2", "/" + strings.Trim(sub, "/") + "/"} {
		err := w.raw(guest, "PUT", path+at+"/"+name2, `{"properties":{"roleDefinitionId":"/x/`+ownerRole+`","principalId":"`+guest+`"}}`)
		if err == nil || !slices.Contains([]int{400, 403, 404, 405}, mustStatus(err)) {
			t.Errorf("%q: %v", path, err)
		}
		if w.may(guest, "Microsoft.Authorization/roleAssignments/write", group) {
			t.Fatalf("escalated by %q", path)
		}
	}
}

func mustStatus(err error) int {
	if e, ok := errors.AsType[*arm.Error](err); ok {
		return e.Status
	}
	return 500
}

func TestLockNotesAreBounded(t *testing.T) {
	w := newWorld(t)
	at := group + "/providers/Microsoft.Authorization/locks/l"
	notes := func(n int) any {
		return map[string]any{"properties": map[string]any{"level": "CanNotDelete", "notes": strings.Repeat("\u00e4", n)}}
	}
	w.refused(400, "InvalidParameter", "512 characters", owner, "PUT", at, notes(513))
	w.ok(201, owner, "PUT", at, notes(512))
}
