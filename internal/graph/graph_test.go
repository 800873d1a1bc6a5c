package graph_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/graph"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// world is a tenant with principals of every standing, and another tenant.
type world struct {
	t      *testing.T
	store  *store.Store
	dir    *directory.Directory
	tokens *token.Service
	door   http.Handler
	tenant directory.Tenant
	other  directory.Tenant
	bearer map[string]string // by who: admin, apps, users, none, abroad, member, bob, guest
	id     map[string]string // object IDs of these
	app    map[string]string // client IDs of service principals
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, dir: directory.New(st), bearer: map[string]string{}, id: map[string]string{}, app: map[string]string{}}
	w.tokens = token.New(token.Config{Store: st, Sealer: sealer})
	who := authn.New(authn.Config{Tokens: w.tokens, Directory: w.dir, API: token.Graph})
	w.door = web.Serve(web.Config{Log: slog.New(slog.DiscardHandler)}, graph.New(graph.Config{Store: st, Directory: w.dir, Authn: who}))
	for name, place := range map[string]*directory.Tenant{"contoso": &w.tenant, "fabrikam": &w.other} {
		if *place, err = w.dir.CreateTenant(t.Context(), directory.Tenant{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	for name, role := range map[string]string{"admin": directory.GlobalAdministrator, "apps": directory.ApplicationAdministrator,
		"users": directory.UserAdministrator, "none": ""} {
		w.principal(w.tenant, name, role)
	}
	w.principal(w.other, "abroad", directory.GlobalAdministrator)
	w.person(w.tenant, "member")
	w.person(w.tenant, "bob")
	return w
}

func (w *world) principal(tenant directory.Tenant, name, role string) {
	w.t.Helper()
	app, sp, err := w.dir.CreateApplication(w.t.Context(), directory.Application{TenantID: tenant.ID, DisplayName: name})
	if err == nil && role != "" {
		err = w.store.Update(w.t.Context(), func(tx store.Tx) error { return w.dir.GrantDirectoryRoleIn(tx, tenant.ID, app.AppID, role) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.id[name], w.app[name] = sp.ObjectID, app.AppID
	w.bearer[name] = w.issue(token.Request{TenantID: tenant.ID, AppID: app.AppID, AppIDACR: "1", ObjectID: sp.ObjectID}, "https://graph.microsoft.com")
}

func (w *world) person(tenant directory.Tenant, name string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		u, err := w.dir.CreateUserIn(tx, directory.User{TenantID: tenant.ID, UserPrincipalName: name + "@" + tenant.Name + ".onmicrosoft.com",
			AccountEnabled: true, Profile: directory.Profile{DisplayName: name}})
		w.id[name] = u.ObjectID
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.signIn(name, name, directory.AzureCLI)
}

// signIn makes a token for a person in the hands of an application, in a session of its own.
func (w *world) signIn(bearer, name, app string) {
	w.t.Helper()
	w.bearer[bearer] = w.issue(token.Request{TenantID: w.tenant.ID, AppID: app, AppIDACR: "0", ObjectID: w.id[name],
		User: &token.User{Name: name, UPN: name, HomeTenant: w.tenant.ID, Scope: "User.Read", Session: w.session(name, app)}}, "https://graph.microsoft.com")
}

func (w *world) session(name, app string) (session string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) (err error) {
		session, err = token.Begin(tx, token.Session{Client: app, HomeTenant: w.tenant.ID, HomeObject: w.id[name], Begun: time.Now()}, time.Now().Add(time.Hour))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return session
}

func (w *world) issue(r token.Request, resource string) string {
	w.t.Helper()
	var ok bool
	if r.Resource, ok = token.ParseResource(resource); !ok {
		w.t.Fatal(resource)
	}
	raw, _, err := w.tokens.Issue(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (r reply) code() string {
	e, _ := r.body["error"].(map[string]any) // nil when it is no error
	s, _ := e["code"].(string)
	return s
}

// as sends a request as one of the world's principals.
func (w *world) as(who, method, path, body string) reply {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "https://graph.microsoft.com"+path, strings.NewReader(w.fill(body)))
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+w.bearer[who])
	}
	rec := httptest.NewRecorder()
	w.door.ServeHTTP(rec, r)
	out := reply{status: rec.Code, header: rec.Header(), text: rec.Body.String()}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(rec.Body.Bytes(), &out.body); err != nil {
			w.t.Fatalf("%s %s: %v\n%s", method, path, err, rec.Body)
		}
	}
	return out
}

func (w *world) fill(s string) string {
	for name, id := range w.id {
		s = strings.ReplaceAll(s, "{"+name+"}", id)
	}
	return s
}

func (w *world) must(who, method, path, body string, status int) reply {
	w.t.Helper()
	r := w.as(who, method, w.fill(path), body)
	if r.status != status {
		w.t.Fatalf("%s: %s %s: %d, want %d\n%s", who, method, path, r.status, status, r.text)
	}
	return r
}

func str(v any) string { s, _ := v.(string); return s } // "" when it is none

// TestAccess is who may do what: each line a request and those who may send it; all the others get 403.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	everybody := []string{"admin", "apps", "users", "none", "abroad", "member", "bob"}
	app := w.must("admin", "POST", "/v1.0/applications", `{"displayName":"owned"}`, 201)
	w.id["owned"], w.id["ownedApp"] = str(app.body["id"]), str(app.body["appId"])
	w.must("admin", "POST", "/v1.0/applications/{owned}/owners/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{bob}"}`, 204)
	g := w.must("admin", "POST", "/v1.0/groups", `{"displayName":"g","mailEnabled":false,"mailNickname":"g","securityEnabled":true}`, 201)
	w.id["group"] = str(g.body["id"])
	readers := "admin apps users member bob"
	for _, tc := range []struct{ method, path, body, may string }{
		{"GET", "/v1.0/users", "", readers + " abroad"}, // each its own tenant's
		{"GET", "/v1.0/applications", "", readers + " abroad"},
		{"GET", "/v1.0/groups/{group}", "", readers},
		{"GET", "/v1.0/users/{bob}", "", readers},
		{"GET", "/v1.0/servicePrincipals/{none}", "", readers + " none"},
		{"GET", "/v1.0/directoryObjects/{none}", "", readers + " none"},
		{"PATCH", "/v1.0/applications/{owned}", `{"description":"x"}`, "admin apps bob"},
		{"POST", "/v1.0/applications/{owned}/addPassword", `{}`, "admin apps bob"},
		{"PATCH", "/v1.0/users/{bob}", `{"jobTitle":"x"}`, "admin users"},
		{"PATCH", "/v1.0/groups/{group}", `{"description":"x"}`, "admin users"},
		// What would make one a Global Administrator is for Global Administrators alone.
		{"POST", "/v1.0/servicePrincipals/{admin}/addPassword", `{}`, "admin"},
		{"PATCH", "/v1.0/servicePrincipals/{admin}", `{"notes":"x"}`, "admin"},
		{"POST", "/v1.0/servicePrincipals/{none}/addPassword", `{}`, "admin apps"},
		{"GET", "/v1.0/organization", "", "admin apps users none abroad member bob"},
	} {
		for _, who := range everybody {
			r := w.as(who, tc.method, w.fill(tc.path), tc.body)
			may := strings.Contains(" "+tc.may+" ", " "+who+" ")
			if may && r.status >= 300 || !may && r.status != 403 && !(who == "abroad" && r.status == 404) {
				t.Errorf("%s: %s %s: %d %s; allowed: %v", who, tc.method, tc.path, r.status, r.text, may)
			}
			if r.status == 403 && r.code() != "Authorization_RequestDenied" {
				t.Errorf("%s: %s %s: %s", who, tc.method, tc.path, r.text)
			}
		}
	}
	if r := w.as("member", "POST", w.fill("/v1.0/directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members/$ref"),
		`{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{member}"}`); r.status != 403 {
		t.Errorf("a member made itself administrator: %d %s", r.status, r.text)
	}
}

// A role given counts at the next request, a role taken away too.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	const members = "/v1.0/directoryRoles(roleTemplateId='fe930be7-5e62-47db-91af-98c3a49a38b1')/members"
	ref := `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{bob}"}`
	w.must("bob", "PATCH", "/v1.0/users/{member}", `{"jobTitle":"x"}`, 403)
	w.must("admin", "POST", members+"/$ref", ref, 204)
	w.must("admin", "POST", members+"/$ref", ref, 400)
	w.must("bob", "PATCH", "/v1.0/users/{member}", `{"jobTitle":"x"}`, 204)
	if r := w.must("admin", "GET", members, "", 200); len(r.body["value"].([]any)) != 2 {
		t.Errorf("members: %s", r.text)
	}
	w.must("users", "PATCH", "/v1.0/users/{bob}", `{"jobTitle":"x"}`, 403) // bob holds a role now
	w.must("admin", "DELETE", members+"/{bob}/$ref", "", 204)
	w.must("bob", "PATCH", "/v1.0/users/{member}", `{"jobTitle":"x"}`, 403)
	const global = "/v1.0/directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members"
	if r := w.must("admin", "DELETE", global+"/{admin}/$ref", "", 400); !strings.Contains(r.text, "last Global Administrator") {
		t.Errorf("the last administrator: %s", r.text)
	}
	w.must("admin", "DELETE", "/v1.0/servicePrincipals/{admin}", "", 400)
}

// The token of somebody who is deleted is nothing at once, and one for another API never was.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	if r := w.as("", "GET", "/v1.0/users", ""); r.status != 401 || r.code() != "InvalidAuthenticationToken" || r.header.Get("WWW-Authenticate") == "" {
		t.Errorf("no token: %d %s", r.status, r.text)
	}
	w.bearer["arm"] = w.issue(token.Request{TenantID: w.tenant.ID, AppID: w.app["admin"], AppIDACR: "1", ObjectID: w.id["admin"]}, "https://management.azure.com/")
	if r := w.as("arm", "GET", "/v1.0/users", ""); r.status != 401 || !strings.Contains(r.text, "Invalid audience") {
		t.Errorf("a token for ARM: %d %s", r.status, r.text)
	}
	w.must("admin", "DELETE", "/v1.0/servicePrincipals/{users}", "", 204)
	w.must("users", "GET", "/v1.0/users", "", 401)
	w.must("admin", "DELETE", "/v1.0/users/{bob}", "", 204)
	w.must("bob", "GET", "/v1.0/me", "", 401)
	w.must("admin", "POST", "/v1.0/directory/deletedItems/{bob}/restore", "", 200)
	w.must("bob", "GET", "/v1.0/me", "", 401) // the sessions of before stay ended
	w.signIn("bob", "bob", directory.AzureCLI)
	if r := w.must("bob", "GET", "/v1.0/me", "", 200); r.body["id"] != w.id["bob"] || r.body["accountEnabled"] != nil {
		t.Errorf("me: %s", r.text)
	}
}

// An application's token for a user gets what User.Read gives, however mighty the user.
func TestDelegated(t *testing.T) {
	w := newWorld(t)
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return w.dir.SetRoleIn(tx, w.tenant.ID, w.id["bob"], directory.GlobalAdministrator, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.must("bob", "GET", "/v1.0/users", "", 200)
	w.signIn("app", "bob", w.app["none"])
	w.must("app", "GET", "/v1.0/me", "", 200)
	w.must("app", "GET", "/v1.0/users", "", 403)
	w.must("app", "POST", "/v1.0/applications", `{"displayName":"x"}`, 403)
	w.must("app", "PATCH", "/v1.0/users/{bob}", `{"jobTitle":"x"}`, 403)
	w.must("app", "POST", "/v1.0/me/changePassword", `{"currentPassword":"a","newPassword":"b"}`, 403)
}

// What a client sends wrong is refused in Graph's words, and nothing is half done.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/beta/users", "", 501, "NotImplemented"},
		{"GET", "/v2.0/users", "", 400, "Request_BadRequest"},
		{"GET", "/v1.0/policies", "", 501, "NotImplemented"},
		{"PUT", "/v1.0/users", "{}", 405, "Request_BadRequest"},
		{"GET", "/v1.0/applications/00000000-0000-0000-0000-000000000001", "", 404, "Request_ResourceNotFound"},
		{"GET", "/v1.0/applications/x%00y", "", 400, "Request_BadRequest"},
		{"GET", "/v1.0/users/..%2f..%2f", "", 404, "Request_ResourceNotFound"},
		{"GET", "/v1.0/users?$filter=nothing%20eq%201", "", 400, "Request_BadRequest"},
		{"GET", "/v1.0/users?$select=nothing", "", 400, "Request_BadRequest"},
		{"GET", "/v1.0/users?$search=x", "", 501, "Request_UnsupportedQuery"},
		{"GET", "/v1.0/users?$expand=manager", "", 501, "NotImplemented"},
		{"POST", "/v1.0/applications", "[]", 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", "{", 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", "{}", 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","nothing":1}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","appId":"00000000-0000-0000-0000-000000000009"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":["x"]}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","signInAudience":"PersonalMicrosoftAccount"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","web":{"redirectUris":["https://*.example/cb"]}}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","spa":{"redirectUris":["javascript:alert(1)"]}}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","identifierUris":["https://graph.microsoft.com"]}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","keyCredentials":[{"key":"AAAA","type":"AsymmetricX509Cert","usage":"Verify"}]}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/applications", `{"displayName":"x","passwordCredentials":[{"secretText":"mine"}]}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/users", `{"displayName":"x"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/groups", `{"displayName":"x","mailEnabled":true,"mailNickname":"x","securityEnabled":true}`, 501, "NotImplemented"},
		{"POST", "/v1.0/invitations", `{"invitedUserEmailAddress":"a@nowhere.example","inviteRedirectUrl":"https://x"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/invitations", `{"invitedUserEmailAddress":"a@fabrikam.onmicrosoft.com","inviteRedirectUrl":"javascript:x"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/invitations", `{"invitedUserEmailAddress":"a@fabrikam.onmicrosoft.com","inviteRedirectUrl":"https:x"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/invitations", `{"invitedUserEmailAddress":"a@fabrikam.onmicrosoft.com","inviteRedirectUrl":"https://login.microsoftonline.com@x.example/"}`, 400, "Request_BadRequest"},
		{"POST", "/v1.0/invitations", `{"invitedUserEmailAddress":"a@fabrikam.onmicrosoft.com","inviteRedirectUrl":"https://x","sendInvitationMessage":true}`, 501, "NotImplemented"},
		{"GET", "/v1.0/me", "", 400, "Request_BadRequest"},
		{"GET", "/v1.0/directoryObjects/{abroad}", "", 404, "Request_ResourceNotFound"},
	} {
		r := w.as("admin", tc.method, w.fill(tc.path), tc.body)
		if r.status != tc.status || r.code() != tc.code {
			t.Errorf("%s %s %s: %d %s; want %d %s", tc.method, tc.path, tc.body, r.status, r.text, tc.status, tc.code)
		}
	}
	if r := w.must("admin", "GET", "/v1.0/applications?$filter=displayName%20eq%20'x'", "", 200); len(r.body["value"].([]any)) != 0 {
		t.Errorf("something was made: %s", r.text)
	}
}

// A secret's text is in one answer and in none after.
func TestSecretsAreShownOnce(t *testing.T) {
	w := newWorld(t)
	app := w.must("admin", "POST", "/v1.0/applications", `{"displayName":"x","passwordCredentials":[{"displayName":"a"}]}`, 201)
	w.id["x"] = str(app.body["id"])
	first := str(app.body["passwordCredentials"].([]any)[0].(map[string]any)["secretText"])
	second := str(w.must("admin", "POST", "/v1.0/applications/{x}/addPassword", `{"passwordCredential":{"displayName":"b"}}`, 200).body["secretText"])
	if len(first) != 40 || len(second) != 40 {
		t.Fatalf("secrets: %q %q", first, second)
	}
	for _, path := range []string{"/v1.0/applications/{x}", "/v1.0/applications", "/v1.0/directoryObjects/{x}"} {
		if r := w.must("admin", "GET", path, "", 200); strings.Contains(r.text, first) || strings.Contains(r.text, second) || !strings.Contains(r.text, `"hint"`) {
			t.Errorf("%s: %s", path, r.text)
		}
	}
}

// A stolen token is no oracle for the password: wrong guesses lock, for the person and nobody else, and the right one no longer tells.
func TestGuesses(t *testing.T) {
	w := newWorld(t)
	const good = "Correct-Horse7!"
	for _, name := range []string{"member", "bob"} {
		if err := w.dir.SetPassword(t.Context(), w.tenant.ID, w.id[name], good, false); err != nil {
			t.Fatal(err)
		}
		w.signIn(name, name, directory.AzureCLI)
	}
	change := func(current string) string {
		return `{"currentPassword":"` + current + `","newPassword":"Other-Horse8!"}`
	}
	for range 10 {
		w.must("member", "POST", "/v1.0/me/changePassword", change("Wrong-Horse7!"), 400)
	}
	for _, current := range []string{"Wrong-Horse7!", good} {
		if r := w.must("member", "POST", "/v1.0/me/changePassword", change(current), 429); r.code() != "TooManyRequests" {
			t.Errorf("%s", r.text)
		}
	}
	w.must("bob", "POST", "/v1.0/me/changePassword", change(good), 204)
}
