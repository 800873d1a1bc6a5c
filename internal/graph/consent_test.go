package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

func values(r reply) []map[string]any {
	var out []map[string]any
	list, _ := r.body["value"].([]any)
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// builtin is the object ID of one of Microsoft's own service principals, as az finds it.
func (w *world) builtin(appID string) string {
	w.t.Helper()
	found := values(w.must("admin", "GET", "/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c%20eq%20'"+appID+"')", "", 200))
	if len(found) != 1 || found[0]["appId"] != appID {
		w.t.Fatalf("%s: %v", appID, found)
	}
	return str(found[0]["id"])
}

func TestPermissionGrants(t *testing.T) {
	w := newWorld(t)
	w.id["graph"], w.id["arm"] = w.builtin(consent.GraphApp), w.builtin(consent.ARMApp)
	if w.id["graph"] == w.id["arm"] {
		t.Fatal("two resources of one ID")
	}
	const path = "/v1.0/oauth2PermissionGrants"
	body := func(client, typ, principal, resource, scope string) string {
		return fmt.Sprintf(`{"clientId":%q,"consentType":%q,"principalId":%s,"resourceId":%q,"scope":%q}`, client, typ, principal, resource, scope)
	}
	all := w.must("admin", "POST", path, body("{none}", "AllPrincipals", "null", "{graph}", "User.Read  Directory.Read.All User.Read"), 201)
	if all.body["scope"] != "User.Read Directory.Read.All" || all.body["principalId"] != nil {
		t.Fatal(all.text)
	}
	one := w.must("apps", "POST", path, body("{none}", "Principal", `"{bob}"`, "{graph}", "Directory.AccessAsUser.All"), 201)
	w.must("admin", "POST", path, body("{apps}", "AllPrincipals", "null", "{arm}", "user_impersonation"), 201)
	for filter, want := range map[string]int{"": 3, "clientId eq '{none}'": 2, "clientId eq '{none}' and consentType eq 'AllPrincipals'": 1, "principalId eq '{bob}'": 1,
		"resourceId eq '{arm}'": 1, "resourceId eq '{bob}'": 0, "startswith(clientId,'{none}')": 2} {
		q := strings.ReplaceAll(w.fill(filter), " ", "%20")
		if filter != "" {
			q = "?$filter=" + q
		}
		if got := values(w.must("admin", "GET", path+q, "", 200)); len(got) != want {
			t.Errorf("%s: %d grants, want %d", filter, len(got), want)
		}
	}
	for at, want := range map[string]int{"/v1.0/servicePrincipals/{none}/oauth2PermissionGrants": 2, "/v1.0/servicePrincipals/{graph}/oauth2PermissionGrants": 0,
		"/v1.0/users/{bob}/oauth2PermissionGrants": 1, "/v1.0/users/{member}/oauth2PermissionGrants": 0} {
		if got := values(w.must("admin", "GET", at, "", 200)); len(got) != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	if got := values(w.must("bob", "GET", "/v1.0/me/oauth2PermissionGrants", "", 200)); len(got) != 1 {
		t.Error(got)
	}
	id := path + "/" + str(all.body["id"])
	w.must("admin", "PATCH", id, `{"scope":"User.Read"}`, 204)
	if got := w.must("member", "GET", id, "", 200); got.body["scope"] != "User.Read" {
		t.Error(got.text)
	}
	for name, tc := range map[string]struct {
		who, method, at, body string
		status                int
	}{
		"twice":                     {"admin", "POST", path, body("{none}", "AllPrincipals", "null", "{graph}", "x"), 400},
		"of one without one":        {"admin", "POST", path, body("{apps}", "Principal", "null", "{graph}", "x"), 400},
		"of all with one":           {"admin", "POST", path, body("{apps}", "AllPrincipals", `"{bob}"`, "{graph}", "x"), 400},
		"no type":                   {"admin", "POST", path, body("{apps}", "", "null", "{graph}", "x"), 400},
		"another type":              {"admin", "POST", path, body("{apps}", "Nobody", "null", "{graph}", "x"), 400},
		"a client that is none":     {"admin", "POST", path, body("{bob}", "AllPrincipals", "null", "{graph}", "x"), 404},
		"a client of Microsoft":     {"admin", "POST", path, body("{graph}", "AllPrincipals", "null", "{arm}", "x"), 400},
		"a client of elsewhere":     {"admin", "POST", path, body("{abroad}", "AllPrincipals", "null", "{graph}", "x"), 404},
		"a resource of elsewhere":   {"admin", "POST", path, body("{apps}", "AllPrincipals", "null", "{abroad}", "x"), 404},
		"a person that is none":     {"admin", "POST", path, body("{apps}", "Principal", `"{apps}"`, "{graph}", "x"), 404},
		"an unknown member":         {"admin", "POST", path, `{"clientId":"a","nothing":1}`, 400},
		"too long a scope":          {"admin", "POST", path, body("{apps}", "AllPrincipals", "null", "{graph}", strings.Repeat("x", 121)), 400},
		"too many scopes":           {"admin", "PATCH", id, `{"scope":"` + manyWords(201) + `"}`, 400},
		"another client afterwards": {"admin", "PATCH", id, `{"clientId":"{apps}"}`, 400},
		"an ID that is none":        {"admin", "GET", path + "/nothing", "", 404},
		"an ID of elsewhere":        {"abroad", "GET", id, "", 404},
		"deletion from elsewhere":   {"abroad", "DELETE", id, "", 404},
		"by a member":               {"member", "POST", path, body("{apps}", "AllPrincipals", "null", "{graph}", "x"), 403},
		"change by a member":        {"bob", "PATCH", id, `{"scope":"x"}`, 403},
		"deletion by a member":      {"bob", "DELETE", path + "/" + str(one.body["id"]), "", 403},
		"by who manages people":     {"users", "POST", path, body("{apps}", "AllPrincipals", "null", "{graph}", "x"), 403},
		"reading by an application": {"none", "GET", path, "", 403},
		"changing Microsoft's own":  {"admin", "PATCH", "/v1.0/servicePrincipals/{graph}", `{"notes":"x"}`, 501},
		"deleting Microsoft's own":  {"admin", "DELETE", "/v1.0/servicePrincipals/{graph}", "", 501},
		"a secret of Microsoft's":   {"admin", "POST", "/v1.0/servicePrincipals/{graph}/addPassword", `{}`, 501},
	} {
		if got := w.as(tc.who, tc.method, w.fill(tc.at), tc.body); got.status != tc.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.text, tc.status)
		}
	}
	w.must("admin", "DELETE", id, "", 204)
	w.must("admin", "GET", id, "", 404)
	w.must("admin", "DELETE", "/v1.0/users/{bob}", "", 204) // takes the grant for bob with it
	w.must("admin", "DELETE", "/v1.0/servicePrincipals/{apps}", "", 204)
	if got := values(w.must("admin", "GET", path, "", 200)); len(got) != 0 {
		t.Errorf("grants of who is gone: %v", got)
	}
}

func manyWords(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "s%d ", i)
	}
	return b.String()
}

// What a user's token may do over Graph is what the client was granted, what the token says and what the user may: all three.
func TestDelegatedGrants(t *testing.T) {
	w := newWorld(t)
	w.id["graph"] = w.builtin(consent.GraphApp)
	sign := func(scope string) {
		w.bearer["app"] = w.issue(token.Request{TenantID: w.tenant.ID, AppID: w.app["none"], AppIDACR: "1", ObjectID: w.id["bob"],
			User: &token.User{Name: "bob", UPN: "bob", HomeTenant: w.tenant.ID, Scope: scope, Session: w.session("bob", w.app["none"])}}, "https://graph.microsoft.com")
	}
	sign("User.Read Directory.Read.All Directory.AccessAsUser.All")
	w.must("app", "GET", "/v1.0/users", "", 403) // the token says so, but nobody granted it
	g := w.must("admin", "POST", "/v1.0/oauth2PermissionGrants", `{"clientId":"{none}","consentType":"AllPrincipals","resourceId":"{graph}","scope":"Directory.Read.All"}`, 201)
	w.must("app", "GET", "/v1.0/users", "", 200)
	w.must("app", "POST", "/v1.0/groups", `{"displayName":"g","mailEnabled":false,"mailNickname":"g","securityEnabled":true}`, 403)
	w.must("admin", "PATCH", "/v1.0/oauth2PermissionGrants/"+str(g.body["id"]), `{"scope":"Directory.AccessAsUser.All"}`, 204)
	w.must("app", "POST", "/v1.0/groups", `{"displayName":"g","mailEnabled":false,"mailNickname":"g","securityEnabled":true}`, 201)
	w.must("app", "PATCH", "/v1.0/users/{member}", `{"jobTitle":"x"}`, 403) // bob may not either
	sign("User.Read")
	w.must("app", "GET", "/v1.0/users", "", 403) // granted, but this token was asked for less
	sign("Directory.AccessAsUser.All")
	w.must("app", "GET", "/v1.0/users", "", 200)
	w.must("admin", "DELETE", "/v1.0/oauth2PermissionGrants/"+str(g.body["id"]), "", 204)
	w.must("app", "GET", "/v1.0/users", "", 403)
	w.must("app", "GET", "/v1.0/me", "", 200)
	w.must("admin", "PATCH", "/v1.0/servicePrincipals/{none}", `{"accountEnabled":false}`, 204)
	w.must("app", "GET", "/v1.0/me", "", 401)
}

const (
	roleBoth, roleApp, roleUser, roleOff = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002", "aaaaaaaa-0000-4000-8000-000000000003", "aaaaaaaa-0000-4000-8000-000000000004"
)

func TestAppRoleAssignments(t *testing.T) {
	w := newWorld(t)
	role := func(id, value, types string, on bool) string {
		return fmt.Sprintf(`{"id":%q,"value":%q,"displayName":%q,"description":"d","isEnabled":%v,"allowedMemberTypes":[%s]}`, id, value, value, on, types)
	}
	a := w.must("admin", "POST", "/v1.0/applications", `{"displayName":"api","appRoles":[`+strings.Join([]string{role(roleBoth, "Both", `"User","Application"`, true),
		role(roleApp, "App", `"Application"`, true), role(roleUser, "User", `"User"`, true), role(roleOff, "Off", `"User"`, false)}, ",")+`]}`, 201)
	sp := w.must("admin", "POST", "/v1.0/servicePrincipals", `{"appId":"`+str(a.body["appId"])+`"}`, 201)
	w.id["api"], w.id["apiApp"] = str(sp.body["id"]), str(a.body["id"])
	g := w.must("admin", "POST", "/v1.0/groups", `{"displayName":"g","mailEnabled":false,"mailNickname":"g","securityEnabled":true,"members@odata.bind":["https://graph.microsoft.com/v1.0/users/{member}"]}`, 201)
	w.id["group"] = str(g.body["id"])
	w.must("admin", "POST", "/v1.0/servicePrincipals/{api}/owners/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{bob}"}`, 204)
	body := func(principal, role string) string {
		return `{"principalId":"{` + principal + `}","resourceId":"{api}","appRoleId":"` + role + `"}`
	}
	first := w.must("apps", "POST", "/v1.0/servicePrincipals/{none}/appRoleAssignments", body("none", roleApp), 201)
	if first.body["principalType"] != "ServicePrincipal" || first.body["resourceDisplayName"] != "api" || first.body["principalDisplayName"] != "none" {
		t.Error(first.text)
	}
	second := w.must("bob", "POST", "/v1.0/servicePrincipals/{api}/appRoleAssignedTo", body("bob", roleBoth), 201)
	w.must("admin", "POST", "/v1.0/groups/{group}/appRoleAssignments", body("group", roleUser), 201)
	for at, want := range map[string]int{"/v1.0/servicePrincipals/{api}/appRoleAssignedTo": 3, "/v1.0/servicePrincipals/{api}/appRoleAssignments": 0, "/v1.0/users/{bob}/appRoleAssignments": 1,
		"/v1.0/groups/{group}/appRoleAssignments": 1, "/v1.0/servicePrincipals/{none}/appRoleAssignments": 1, "/v1.0/servicePrincipals/{api}/appRoleAssignedTo?$filter=principalId%20eq%20'{bob}'": 1} {
		if got := values(w.must("admin", "GET", at, "", 200)); len(got) != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	if got := values(w.must("bob", "GET", "/v1.0/me/appRoleAssignments", "", 200)); len(got) != 1 {
		t.Error(got)
	}
	for name, tc := range map[string]struct {
		who, method, at, body string
		status                int
	}{
		"twice":                        {"admin", "POST", "/v1.0/servicePrincipals/{none}/appRoleAssignments", body("none", roleApp), 400},
		"a person's role to an app":    {"admin", "POST", "/v1.0/servicePrincipals/{none}/appRoleAssignments", body("none", roleUser), 400},
		"an app's role to a person":    {"admin", "POST", "/v1.0/users/{bob}/appRoleAssignments", body("bob", roleApp), 400},
		"a disabled role":              {"admin", "POST", "/v1.0/users/{bob}/appRoleAssignments", body("bob", roleOff), 400},
		"the default role beside some": {"admin", "POST", "/v1.0/users/{bob}/appRoleAssignments", body("bob", consent.DefaultRole), 400},
		"an unknown role":              {"admin", "POST", "/v1.0/users/{bob}/appRoleAssignments", body("bob", "aaaaaaaa-0000-4000-8000-000000000009"), 400},
		"another's path":               {"admin", "POST", "/v1.0/users/{bob}/appRoleAssignments", body("member", roleBoth), 400},
		"another resource's path":      {"admin", "POST", "/v1.0/servicePrincipals/{none}/appRoleAssignedTo", body("bob", roleBoth), 400},
		"nothing":                      {"admin", "POST", "/v1.0/users/{bob}/appRoleAssignments", "{}", 400},
		"an application by its owner":  {"bob", "POST", "/v1.0/servicePrincipals/{apps}/appRoleAssignments", body("apps", roleApp), 403},
		"by a member":                  {"member", "POST", "/v1.0/users/{member}/appRoleAssignments", body("member", roleBoth), 403},
		"by who manages people":        {"users", "POST", "/v1.0/users/{member}/appRoleAssignments", body("member", roleBoth), 403},
		"at another end":               {"admin", "DELETE", "/v1.0/users/{member}/appRoleAssignments/" + str(second.body["id"]), "", 404},
		"an ID that is none":           {"admin", "DELETE", "/v1.0/users/{member}/appRoleAssignments/x", "", 404},
		"from elsewhere":               {"abroad", "GET", "/v1.0/servicePrincipals/{api}/appRoleAssignedTo", "", 404},
		"taken by a member":            {"member", "DELETE", "/v1.0/users/{bob}/appRoleAssignments/" + str(second.body["id"]), "", 403},
	} {
		if got := w.as(tc.who, tc.method, w.fill(tc.at), tc.body); got.status != tc.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.text, tc.status)
		}
	}
	w.must("bob", "DELETE", "/v1.0/servicePrincipals/{api}/appRoleAssignedTo/"+str(second.body["id"]), "", 204)
	w.must("admin", "DELETE", "/v1.0/applications/{apiApp}", "", 204) // with its service principal, and what was assigned at it
	if got := values(w.must("admin", "GET", "/v1.0/servicePrincipals/{none}/appRoleAssignments", "", 200)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// Permissions on Graph are rights over the directory: only who may give directory roles gives them, they work at once, and who holds less does
// not take over who holds them.
func TestGraphAppRoles(t *testing.T) {
	w := newWorld(t)
	w.id["graph"] = w.builtin(consent.GraphApp)
	body := func(role string) string {
		return `{"principalId":"{none}","resourceId":"{graph}","appRoleId":"` + role + `"}`
	}
	const at, readAll, writeUsers = "/v1.0/servicePrincipals/{none}/appRoleAssignments", "7ab1d382-f21e-4acd-a863-ba3e13f7da61", "741f803b-c850-494e-b5df-cde7c675a1ca"
	w.must("none", "GET", "/v1.0/users", "", 403)
	w.must("apps", "POST", at, body(readAll), 403)
	w.must("admin", "POST", at, body(readAll), 201)
	w.must("none", "GET", "/v1.0/users", "", 200)
	w.must("none", "PATCH", "/v1.0/users/{bob}", `{"jobTitle":"x"}`, 403)
	w.must("apps", "POST", "/v1.0/servicePrincipals/{none}/addPassword", `{}`, 200)
	w.must("admin", "POST", at, body(writeUsers), 201)
	w.must("none", "PATCH", "/v1.0/users/{bob}", `{"jobTitle":"x"}`, 204)
	w.must("apps", "POST", "/v1.0/servicePrincipals/{none}/addPassword", `{}`, 403) // it would be a way to manage people
	if err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return w.dir.SetRoleIn(tx, w.tenant.ID, w.id["bob"], directory.GlobalAdministrator, true)
	}); err != nil {
		t.Fatal(err)
	}
	w.must("none", "PATCH", "/v1.0/users/{bob}", `{"jobTitle":"x"}`, 403)
	// Writing applications is not consenting: it could let itself act as everybody.
	w.must("admin", "POST", at, body("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9"), 201)
	w.must("none", "POST", "/v1.0/applications", `{"displayName":"mine"}`, 201)
	w.must("none", "POST", "/v1.0/oauth2PermissionGrants", `{"clientId":"{none}","consentType":"AllPrincipals","resourceId":"{graph}","scope":"Directory.AccessAsUser.All"}`, 403)
	for _, a := range values(w.must("admin", "GET", at, "", 200)) {
		w.must("admin", "DELETE", at+"/"+str(a["id"]), "", 204)
	}
	w.must("none", "GET", "/v1.0/users", "", 403)
}
