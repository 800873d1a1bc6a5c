package attack

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/client"
)

const (
	graphApp  = "00000003-0000-0000-c000-000000000000"
	graphRole = "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9" // Application.ReadWrite.All
)

// graphPrincipal is the object ID of Microsoft Graph's service principal in contoso.
func (w *world) graphPrincipal() string {
	w.t.Helper()
	got := w.graph("GET", "/servicePrincipals(appId='"+graphApp+"')?$select=id", "", w.graphOf(""))
	var sp struct{ ID string }
	if err := json.Unmarshal([]byte(got.body), &sp); err != nil || sp.ID == "" {
		w.t.Fatalf("no principal of Graph: %d %s", got.status, got.body)
	}
	return sp.ID
}

// consentRows try to get, or to see, what somebody would have to consent to.
func consentRows() []row {
	grant := func(w *world, client, scope string) string {
		return `{"clientId":"` + client + `","consentType":"AllPrincipals","resourceId":"` + w.graphPrincipal() + `","scope":"` + scope + `"}`
	}
	assign := func(w *world, principal string) string {
		return `{"principalId":"` + principal + `","resourceId":"` + w.graphPrincipal() + `","appRoleId":"` + graphRole + `"}`
	}
	return []row{
		{"application gives itself a permission of Graph", "POST appRoleAssignments: Application.ReadWrite.All", 403, denied, func(w *world) outcome {
			return w.graph("POST", "/servicePrincipals/"+w.nobody.ObjectID+"/appRoleAssignments", assign(w, w.nobody.ObjectID), w.graphOf(w.nobody.AppID))
		}},
		{"application grants itself a delegated permission", "POST oauth2PermissionGrants: Directory.AccessAsUser.All", 403, denied, func(w *world) outcome {
			return w.graph("POST", "/oauth2PermissionGrants", grant(w, w.nobody.ObjectID, "Directory.AccessAsUser.All"), w.graphOf(w.nobody.AppID))
		}},
		{"member consents for everybody", "alice POSTs oauth2PermissionGrants", 403, denied, func(w *world) outcome {
			return w.graph("POST", "/oauth2PermissionGrants", grant(w, w.nobody.ObjectID, "Directory.AccessAsUser.All"), w.aliceGraph())
		}},
		{"member gives an application a permission of Graph", "alice POSTs appRoleAssignments", 403, denied, func(w *world) outcome {
			return w.graph("POST", "/servicePrincipals/"+w.nobody.ObjectID+"/appRoleAssignments", assign(w, w.nobody.ObjectID), w.aliceGraph())
		}},
		{"consent of another tenant", "fabrikam's administrator deletes contoso's grant", 404, "Request_ResourceNotFound", func(w *world) outcome {
			made := w.graph("POST", "/oauth2PermissionGrants", grant(w, w.reader.ObjectID, "User.Read"), w.graphOf(""))
			w.must(made)
			var g struct{ ID string }
			if err := json.Unmarshal([]byte(made.body), &g); err != nil {
				w.t.Fatal(err)
			}
			return w.graph("DELETE", "/oauth2PermissionGrants/"+g.ID, "", w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com"))
		}},
		{"grant for another tenant's application", "fabrikam's administrator: clientId of contoso's worker", 404, "Request_ResourceNotFound", func(w *world) outcome {
			return w.graph("POST", "/oauth2PermissionGrants", grant(w, w.worker.ObjectID, "User.Read"), w.tokenFor(w.two.TenantID, "", "https://graph.microsoft.com"))
		}},
		{"secret for Microsoft Graph itself", "contoso's administrator: addPassword at Graph's service principal", 501, "NotImplemented", func(w *world) outcome {
			return w.graph("POST", "/servicePrincipals/"+w.graphPrincipal()+"/addPassword", `{}`, w.graphOf(""))
		}},
		{"sign in as Microsoft Graph", "client_id of Graph with a secret", 400, "AADSTS700016", func(w *world) outcome { return w.secret(w.one.TenantID, graphApp, "wrong") }},
		{"chain of groups without end", "alice nests groups deeper than allowed", 403, "Directory_QuotaExceeded", func(w *world) (got outcome) {
			token, inner := w.aliceGraph(), ""
			for range 40 {
				got = w.graph("POST", "/groups", `{"displayName":"chain","mailEnabled":false,"mailNickname":"c","securityEnabled":true`+inner+`}`, token)
				var g struct{ ID string }
				if err := json.Unmarshal([]byte(got.body), &g); err != nil || got.status != 201 {
					return got
				}
				inner = `,"members@odata.bind":["https://graph.microsoft.com/v1.0/groups/` + g.ID + `"]`
			}
			return got
		}},
	}
}

// person makes somebody of contoso who nobody else is.
func (w *world) person() (u client.User) {
	w.t.Helper()
	w.do("/v1/users", client.UserRequest{Name: "p" + uuid.NewString()[:8] + "@contoso.onmicrosoft.com", Tenant: "contoso"}, &u)
	return u
}

func (w *world) patchUser(u client.User, body string) {
	w.t.Helper()
	w.must(w.graph("PATCH", "/users/"+u.ObjectID, body, w.graphOf("")))
}

func (w *world) refresh(token, source string) outcome {
	w.t.Helper()
	return w.tokenBy(w.from(source), w.one.TenantID, url.Values{"grant_type": {"refresh_token"}, "client_id": {azCLI}, "refresh_token": {token},
		"scope": {"https://management.azure.com/.default offline_access openid"}})
}

// sessionRows go on with what a person had before something ended it.
func sessionRows() []row {
	const newPassword = `{"passwordProfile":{"password":"Battery-Staple-7","forceChangePasswordNextSignIn":false}}`
	ended := func(name, sent string, end func(w *world, u client.User)) []row {
		after := func(w *world) (personal, browser, string) {
			u := w.person()
			p := w.signIn(u, w.one.TenantID)
			b, address := w.browser(), authorize(w.one.TenantID, azCLI, loopback)
			b.enter(address, u)
			end(w, u)
			return p, b, address
		}
		gone := "AADSTS50173"
		switch name {
		case "deletion":
			gone = "AADSTS50034"
		case "disabling":
			gone = "AADSTS50057"
		}
		return []row{
			{"refresh token after " + name, sent, 400, "AADSTS50173", func(w *world) outcome {
				p, _, _ := after(w)
				return w.refresh(p.Refresh, "127.0.0.1")
			}},
			{"access token after " + name, sent, 401, invalid, func(w *world) outcome {
				p, _, _ := after(w)
				return w.arm("GET", "/subscriptions", "", p.Access)
			}},
			{"browser's session after " + name, sent, 200, gone, func(w *world) outcome {
				_, b, address := after(w)
				got, _ := b.open(address)
				got.code = aadsts.FindString(got.body)
				return got
			}},
		}
	}
	rows := []row{
		{"reused refresh token", "a refresh token for the second time, from another address", 400, "AADSTS50173", func(w *world) outcome {
			p := w.signIn(w.person(), w.one.TenantID)
			w.must(w.refresh(p.Refresh, "127.0.0.1"))
			return w.refresh(p.Refresh, "127.0.0.7")
		}},
		{"successor of a reused refresh token", "the token that the owner got, after a thief used the one before", 400, "AADSTS50173", func(w *world) outcome {
			p := w.signIn(w.person(), w.one.TenantID)
			var next personal
			if err := json.Unmarshal([]byte(w.refresh(p.Refresh, "127.0.0.1").body), &next); err != nil || next.Refresh == "" {
				w.t.Fatal("no successor", err)
			}
			w.refresh(p.Refresh, "127.0.0.7")
			return w.refresh(next.Refresh, "127.0.0.1")
		}},
		{"access token of a reused refresh token", "the access token of that sign-in", 401, invalid, func(w *world) outcome {
			p := w.signIn(w.person(), w.one.TenantID)
			w.must(w.refresh(p.Refresh, "127.0.0.1"))
			w.refresh(p.Refresh, "127.0.0.7")
			return w.arm("GET", "/subscriptions", "", p.Access)
		}},
	}
	rows = append(rows, ended("a new password", "an administrator set another password", func(w *world, u client.User) { w.patchUser(u, newPassword) })...)
	rows = append(rows, ended("disabling", "accountEnabled false", func(w *world, u client.User) { w.patchUser(u, `{"accountEnabled":false}`) })...)
	rows = append(rows, ended("revoked sessions", "POST revokeSignInSessions", func(w *world, u client.User) {
		w.must(w.graph("POST", "/users/"+u.ObjectID+"/revokeSignInSessions", "", w.graphOf("")))
	})...)
	return append(rows, ended("deletion", "DELETE of the user", func(w *world, u client.User) { w.must(w.graph("DELETE", "/users/"+u.ObjectID, "", w.graphOf(""))) })...)
}

// renewRows attack the page on which an expired password is replaced.
func renewRows() []row {
	const next = "Battery-Staple-7"
	renew := func(name, sent string, status int, code string, attack func(w *world, b browser, address string, form url.Values) (outcome, string)) row {
		return row{"expired password: " + name, sent, status, code, func(w *world) outcome {
			u := w.person()
			w.patchUser(u, `{"passwordProfile":{"forceChangePasswordNextSignIn":true}}`)
			b, address := w.browser(), authorize(w.one.TenantID, azCLI, loopback)
			_, token := b.open(address)
			got, to := attack(w, b, address, url.Values{"csrf": {token}, "act": {"renew"}, "username": {u.Name}, "password": {string(u.Password)}, "next": {next}, "again": {next}})
			if got.code == "" || got.status == 200 {
				got.code = aadsts.FindString(got.body)
			}
			if to != "" {
				got.code = "redirected"
			}
			return got
		}}
	}
	with := func(name, value string) func(*world, browser, string, url.Values) (outcome, string) {
		return func(_ *world, b browser, address string, form url.Values) (outcome, string) {
			form.Set(name, value)
			return b.post(address, form)
		}
	}
	return []row{
		renew("CSRF", "without the form's token", 403, "page: AADSTS90023", with("csrf", "")),
		renew("another site's Origin", "the right token, Origin https://evil.example", 403, "page: AADSTS90023", func(_ *world, b browser, address string, form url.Values) (outcome, string) {
			return b.post(address, form, "Origin", "https://evil.example")
		}),
		renew("without the old one", "password empty", 200, "AADSTS50126", with("password", "")),
		renew("with a wrong old one", "password invented", 200, "AADSTS50126", with("password", "Wrong-Horse-9")),
		renew("of somebody unknown", "a name that nobody has", 200, "AADSTS50034", with("username", "nobody-"+strings.Repeat("x", 8)+"@contoso.onmicrosoft.com")),
		renew("sign in without changing it", "act=signin with the expired password", 200, "AADSTS50055", with("act", "signin")),
		renew("replay", "the form that worked, once more", 200, "AADSTS50126", func(w *world, b browser, address string, form url.Values) (outcome, string) {
			if got, to := b.post(address, form); got.status != 303 || to == "" {
				w.t.Fatalf("the form does not work: %d %.600s", got.status, got.body)
			}
			b = w.browser()
			_, token := b.open(address)
			form.Set("csrf", token)
			return b.post(address, form)
		}),
	}
}
