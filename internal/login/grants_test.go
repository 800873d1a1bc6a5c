package login_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/store"
)

const (
	readDirectory = "06da0dbc-49e2-44d2-8312-53f166ab848a" // delegated
	readAsItself  = "7ab1d382-f21e-4acd-a863-ba3e13f7da61"
	armAsUser     = "41094075-9dad-400e-a0bd-54e686782033"
	apiRead       = "aaaaaaaa-0000-4000-8000-00000000000a"
	apiRole       = "aaaaaaaa-0000-4000-8000-00000000000b"
)

// claims reads a token without proof.
func claims(t *testing.T, raw string) (c struct {
	Scope string   `json:"scp"`
	Roles []string `json:"roles"`
}) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", raw)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// api registers an application that others call, in both tenants.
func (p *people) api() directory.Application {
	p.t.Helper()
	app := p.register(directory.Application{DisplayName: "An API", SignInAudience: directory.MultiTenant})
	p.change(app, func(a *directory.Application) {
		value := "Tasks.All"
		a.Scopes = []directory.PermissionScope{{ID: apiRead, Value: "Tasks.Read", IsEnabled: true, Type: "User", AdminConsentDisplayName: "Read tasks"}}
		a.AppRoles = []directory.AppRole{{ID: apiRole, Value: &value, DisplayName: "All tasks", IsEnabled: true, AllowedMemberTypes: []string{"User", "Application"}}}
	})
	if _, err := p.dir.CreateServicePrincipal(p.t.Context(), tenant2, app.AppID); err != nil {
		p.t.Fatal(err)
	}
	return app
}

// grants of a client in tenant 2, as resource=scopes.
func (p *people) grants(app directory.Application) (out []string) {
	p.t.Helper()
	p.update(func(tx store.Tx) error {
		sp, err := p.dir.PrincipalIn(tx, tenant2, app.AppID)
		if err != nil {
			return err
		}
		c := consent.New(p.dir)
		all, err := c.Grants(tx, tenant2, sp.ObjectID)
		for _, g := range all {
			r, err := c.Principal(tx, tenant2, g.ResourceID)
			if err != nil {
				return err
			}
			out = append(out, r.DisplayName+"="+g.Scope)
		}
		roles, _, errRoles := c.Roles(tx, consent.Builtins(tenant2)[0], sp.ObjectID)
		if len(roles) > 0 {
			out = append(out, "as itself="+strings.Join(roles, " "))
		}
		if err == nil {
			err = errRoles
		}
		return err
	})
	slices.Sort(out)
	return out
}

// What an administrator accepts is what the registration lists, each as a grant, and tokens say that and no more.
func TestConsentMakesGrants(t *testing.T) {
	p := newPeople(t)
	api := p.api()
	p.change(p.absent, func(a *directory.Application) {
		a.Requires = []directory.RequiredResource{
			{ResourceAppID: consent.GraphApp, ResourceAccess: []directory.ResourceAccess{{ID: readDirectory, Type: "Scope"}, {ID: readAsItself, Type: "Role"}, {ID: nobody, Type: "Scope"}}},
			{ResourceAppID: consent.ARMApp, ResourceAccess: []directory.ResourceAccess{{ID: armAsUser, Type: "Scope"}}},
			{ResourceAppID: api.AppID, ResourceAccess: []directory.ResourceAccess{{ID: apiRead, Type: "Scope"}}}}
	})
	b := p.browser()
	b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID))
	b.signIn(p.boss)
	for _, want := range []string{"Microsoft Graph: Read directory data, as the person who signs in", "Microsoft Graph: Read directory data, as itself without a person",
		"Microsoft Graph: a permission that does not exist here", "Windows Azure Service Management API: ", "An API: Read tasks"} {
		if !strings.Contains(b.page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	code := b.sent(b.fill("act", "accept"), callback).Get("code")
	want := []string{"An API=Tasks.Read", "Microsoft Graph=Directory.Read.All User.Read", "Windows Azure Service Management API=user_impersonation", "as itself=Directory.Read.All"}
	if got := p.grants(p.absent); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	secret := p.newSecret(p.absent, 0)
	path := "/" + tenant2 + "/oauth2/v2.0/token"
	first := p.post(path, url.Values{"grant_type": {"authorization_code"}, "client_id": {p.absent.AppID}, "client_secret": {secret}, "code": {code}, "redirect_uri": {callback}, "scope": {"openid offline_access https://graph.microsoft.com/.default"}})
	if got := claims(t, first.text("access_token")).Scope; got != "Directory.Read.All User.Read" {
		t.Errorf("scp %q", got)
	}
	refresh := func(scope string) answer {
		a := p.post(path, url.Values{"grant_type": {"refresh_token"}, "client_id": {p.absent.AppID}, "client_secret": {secret}, "refresh_token": {first.text("refresh_token")}, "scope": {scope}})
		if a.text("refresh_token") != "" {
			first = a
		}
		return a
	}
	if got := claims(t, refresh("api://"+api.AppID+"/tasks.read").text("access_token")).Scope; got != "Tasks.Read" { // whatever the case
		t.Errorf("scp %q", got)
	}
	checkError(t, "a scope that is none", p.world, refresh("api://"+api.AppID+"/Tasks.Write"), 400, "invalid_client", 650053, "")
	checkError(t, "a scope of Graph that is none", p.world, refresh("https://graph.microsoft.com/Mail.Read"), 400, "invalid_client", 650053, "")
	checkError(t, "a scope that nobody granted", p.world, refresh("https://graph.microsoft.com/Directory.AccessAsUser.All"), 400, "invalid_grant", 65001, "")
	if got := claims(t, p.post(path, url.Values{"grant_type": {"client_credentials"}, "client_id": {p.absent.AppID}, "client_secret": {secret}, "scope": {"https://graph.microsoft.com/.default"}}).text("access_token")); !slices.Equal(got.Roles, []string{"Directory.Read.All"}) || got.Scope != "" {
		t.Errorf("%+v", got)
	}
	// A grant that is taken back is gone at the next token.
	p.update(func(tx store.Tx) error {
		sp, err := p.dir.PrincipalIn(tx, tenant2, p.absent.AppID)
		if err != nil {
			return err
		}
		all, err := consent.New(p.dir).Grants(tx, tenant2, sp.ObjectID)
		for _, g := range all {
			if err == nil {
				err = consent.New(p.dir).Revoke(tx, tenant2, g.ID)
			}
		}
		return err
	})
	checkError(t, "after it was revoked", p.world, refresh(armHost+"/user_impersonation"), 400, "invalid_grant", 65001, "")
	if b.get(authorizeURL(tenant2, 2, "client_id", p.absent.AppID, "scope", armHost+"/user_impersonation")); !strings.Contains(b.page, "asks for more") {
		t.Error(b.page)
	}
}

// The publisher adds to the list while the administrator reads it: the answer is to the old list, so the new one is shown.
func TestConsentToWhatWasShown(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID))
	b.signIn(p.boss)
	p.change(p.absent, func(a *directory.Application) {
		a.Requires = []directory.RequiredResource{{ResourceAppID: consent.GraphApp, ResourceAccess: []directory.ResourceAccess{{ID: readAsItself, Type: "Role"}}}}
	})
	if got := b.fill("act", "accept"); got.status != http.StatusOK || !strings.Contains(b.page, "as itself without a person") {
		t.Errorf("%d %s", got.status, b.page)
	}
	if _, err := p.dir.Principal(t.Context(), tenant2, p.absent.AppID); err == nil {
		t.Fatal("consent to what was not shown")
	}
	if q := b.sent(b.fill("act", "accept"), callback); q.Get("code") == "" {
		t.Error(q)
	}
}

// Permissions on the directory for an application itself are more than an administrator of applications may give.
func TestConsentToGraphRoles(t *testing.T) {
	p := newPeople(t)
	apps := p.addUser(tenant2, "apps@tenant2.onmicrosoft.com", directory.ApplicationAdministrator)
	want := func(a *directory.Application) {
		a.Requires = []directory.RequiredResource{{ResourceAppID: consent.GraphApp, ResourceAccess: []directory.ResourceAccess{{ID: readAsItself, Type: "Role"}}}}
	}
	p.change(p.absent, want)
	b := p.browser()
	b.get("/" + tenant2 + "/v2.0/adminconsent?" + url.Values{"client_id": {p.absent.AppID}, "redirect_uri": {callback}}.Encode())
	if got := b.signIn(apps); got.status != http.StatusForbidden || !strings.Contains(b.page, "AADSTS90094") {
		t.Errorf("%d %s", got.status, b.page)
	}
	p.change(p.absent, func(a *directory.Application) {
		a.Requires = []directory.RequiredResource{{ResourceAppID: nobody, ResourceAccess: []directory.ResourceAccess{{ID: readAsItself, Type: "Role"}}}}
	})
	if b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID)); !strings.Contains(b.page, "AADSTS650052") {
		t.Error(b.page)
	}
}

// appRoleAssignmentRequired keeps out who holds no role; roles are in the tokens of who does, also through a group.
func TestAssignmentRequired(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	api := p.api()
	var sp, client directory.ServicePrincipal
	p.update(func(tx store.Tx) (err error) {
		if sp, err = p.dir.ChangePrincipalIn(tx, tenant2, api.AppID, func(s *directory.ServicePrincipal) error { s.AssignmentRequired = true; return nil }); err != nil {
			return err
		}
		client, err = p.dir.PrincipalIn(tx, tenant2, p.app.AppID)
		return err
	})
	path := "/" + tenant2 + "/oauth2/v2.0/token"
	asItself := func() answer { return p.post(path, p.form("scope", "api://"+api.AppID+"/.default")) }
	person := func(u directory.User) answer {
		return p.post(path, p.form("grant_type", "password", "username", u.UserPrincipalName, "password", password, "scope", "openid api://"+api.AppID+"/Tasks.Read"))
	}
	p.update(func(tx store.Tx) error {
		return consent.New(p.dir).Allow(tx, tenant2, client.ObjectID, sp.ObjectID, []string{"Tasks.Read"})
	})
	checkError(t, "an application without a role", p.world, asItself(), 400, "invalid_grant", 501051, "")
	checkError(t, "a person without a role", p.world, person(p.bob), 400, "invalid_grant", 50105, "")
	p.update(func(tx store.Tx) error {
		g, err := p.dir.CreateGroupIn(tx, directory.Group{TenantID: tenant2, DisplayName: "g", SecurityEnabled: true})
		if err == nil {
			err = p.dir.AddMemberIn(tx, tenant2, g.ObjectID, p.bob.ObjectID)
		}
		for _, id := range []string{client.ObjectID, g.ObjectID} {
			if err == nil {
				_, err = consent.New(p.dir).Assign(tx, consent.Assignment{TenantID: tenant2, PrincipalID: id, ResourceID: sp.ObjectID, RoleID: apiRole})
			}
		}
		return err
	})
	if got := claims(t, asItself().text("access_token")); !slices.Equal(got.Roles, []string{"Tasks.All"}) {
		t.Errorf("%+v", got)
	}
	if got := claims(t, person(p.bob).text("access_token")); !slices.Equal(got.Roles, []string{"Tasks.All"}) || got.Scope != "Tasks.Read" {
		t.Errorf("%+v", got)
	}
	checkError(t, "another person", p.world, person(p.boss), 400, "invalid_grant", 50105, "")
	if err := p.dir.SetAccountEnabled(t.Context(), tenant2, api.AppID, false); err != nil {
		t.Fatal(err)
	}
	checkError(t, "a disabled resource", p.world, asItself(), 400, "invalid_resource", 500014, "")
	checkError(t, "the portal's API", p.world, p.post(path, p.form("scope", "74658136-14ec-4630-ad9b-26e160ff0fc6/.default")), 400, "invalid_resource", 500011, "admin-consent")
}
