package login_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

// The published how-to: an administrator of tenant 2 opens the address, signs in, accepts, and the service principal is there.
func TestConsentWalk(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	got := b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID))
	if got.status != http.StatusOK || !strings.Contains(b.page, "to continue to <strong>Not abroad</strong>") {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if b.fill("act", "signin", "username", p.boss.UserPrincipalName, "password", "wrong"); !strings.Contains(b.page, "AADSTS50126") {
		t.Fatal(b.page)
	}
	b.signIn(p.boss)
	for _, want := range []string{"<h1>Not abroad</h1>", "tenant 1", tenant1, p.absent.AppID, "tenant 2", p.boss.UserPrincipalName, ">Accept<", ">Cancel<"} {
		if !strings.Contains(b.page, want) {
			t.Errorf("the page lacks %q:\n%s", want, b.page)
		}
	}
	if _, err := p.dir.Principal(t.Context(), tenant2, p.absent.AppID); err == nil {
		t.Fatal("a service principal before consent")
	}
	q := b.sent(b.fill("act", "accept"), callback)
	if q.Get("code") == "" || q.Get("state") != "s t&a<te" || q.Get("keep") != "1" {
		t.Errorf("%v", q)
	}
	if _, err := p.dir.Principal(t.Context(), tenant2, p.absent.AppID); err != nil {
		t.Error(err)
	}
	// Now it is known: the session alone is enough, and no page comes.
	if q := b.sent(b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID)), callback); q.Get("code") == "" {
		t.Error(q)
	}
	// More rights need more consent; prompt=consent always shows the page.
	if b.get(authorizeURL(tenant2, 2, "client_id", p.absent.AppID, "scope", armHost+"/user_impersonation")); !strings.Contains(b.page, "asks for more") {
		t.Error(b.page)
	}
	if b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID, "prompt", "consent")); !strings.Contains(b.page, ">Accept<") {
		t.Error(b.page)
	}
}

func TestConsentDenied(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	b.get(authorizeURL(tenant2, 2, "client_id", p.absent.AppID))
	b.signIn(p.boss)
	q := b.sent(b.fill("act", "deny"), callback)
	if q.Get("error") != "access_denied" || !strings.HasPrefix(q.Get("error_description"), "AADSTS65004: ") || q.Get("state") != "s t&a<te" || q.Get("code") != "" {
		t.Errorf("%v", q)
	}
	if _, err := p.dir.Principal(t.Context(), tenant2, p.absent.AppID); err == nil {
		t.Error("a service principal after a denial")
	}
}

// Who is no administrator may not consent, whatever the form says.
func TestConsentNeedsAdministrator(t *testing.T) {
	p := newPeople(t)
	for name, who := range map[string]directory.User{"member": p.bob, "guest": p.alice} {
		b := p.browser()
		b.get(authorizeURL(tenant2, 2, "client_id", p.absent.AppID))
		if got := b.signIn(who); got.status != http.StatusForbidden || !strings.Contains(b.page, "AADSTS90094") || !strings.Contains(b.page, "Need admin approval") {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
		if got := b.fill("act", "accept"); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if _, err := p.dir.Principal(t.Context(), tenant2, p.absent.AppID); err == nil {
		t.Error("a service principal without an administrator")
	}
}

func TestAdminConsent(t *testing.T) {
	p := newPeople(t)
	for _, path := range []string{"/" + tenant2 + "/v2.0/adminconsent?", "/organizations/adminconsent?", "/tenant2.onmicrosoft.com/v2.0/adminconsent?"} {
		b := p.browser()
		target := path + url.Values{"client_id": {p.absent.AppID}, "redirect_uri": {callback}, "state": {"x"}}.Encode()
		b.get(target)
		b.signIn(p.boss)
		q := b.sent(b.fill("act", "accept"), callback)
		if q.Get("admin_consent") != "True" || q.Get("tenant") != tenant2 || q.Get("state") != "x" || q.Get("code") != "" {
			t.Errorf("%s: %v", path, q)
		}
		b.get(target)
		if q := b.sent(b.fill("act", "deny"), callback); q.Get("error") != "access_denied" || q.Get("admin_consent") != "" {
			t.Errorf("%s: %v", path, q)
		}
	}
}

// A form that another page sent, or that is of another address or browser, does nothing.
func TestConsentForgery(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	target := authorizeURL(tenant2, 2, "client_id", p.absent.AppID)
	b.get(target)
	b.signIn(p.boss)
	good := csrfField.FindStringSubmatch(b.page)[1]
	other := p.browser()
	other.get(target)
	for name, change := range map[string]func(r *http.Request, f url.Values){
		"no token":          func(_ *http.Request, f url.Values) { f.Del("csrf") },
		"wrong token":       func(_ *http.Request, f url.Values) { f.Set("csrf", good+"A") },
		"another browser's": func(_ *http.Request, f url.Values) { f.Set("csrf", csrfField.FindStringSubmatch(other.page)[1]) },
		"another origin":    func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "https://evil.example") },
		"null origin":       func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "null") },
		"cross-site":        func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another address":   func(r *http.Request, _ url.Values) { r.URL.RawQuery += "&x=1"; r.RequestURI += "&x=1" },
		"two cookies": func(r *http.Request, _ url.Values) {
			r.AddCookie(&http.Cookie{Name: "__Host-csrf", Value: "x"})
		},
	} {
		f := url.Values{"act": {"accept"}, "csrf": {good}}
		probe := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com"+target, nil)
		change(probe, f)
		r := postRequest(probe.URL.RequestURI(), f.Encode())
		for header, values := range probe.Header {
			r.Header[header] = values
		}
		if got := b.send(r); got.status != http.StatusForbidden || got.header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, got.status, got.header)
		}
		if _, err := p.dir.Principal(t.Context(), tenant2, p.absent.AppID); err == nil {
			t.Fatalf("%s: consent was forged", name)
		}
	}
}

// Where the redirect URI cannot be trusted, the failure is a page.
func TestAuthorizePageErrors(t *testing.T) {
	p := newPeople(t)
	for _, tc := range []struct{ name, target, code string }{
		{"unknown application", authorizeURL(tenant2, 2, "client_id", nobody), "AADSTS700016"},
		{"no application", authorizeURL(tenant2, 2), "AADSTS900144"},
		{"single-tenant application of another tenant", authorizeURL(tenant2, 1, "client_id", p.single.AppID), "AADSTS700016"},
		{"single-tenant application at common", authorizeURL("common", 1, "client_id", p.single.AppID), "AADSTS50194"},
		{"unknown tenant", authorizeURL(nobody, 1, "client_id", p.app.AppID), "AADSTS90002"},
		{"another redirect URI", authorizeURL(tenant2, 1, "client_id", p.app.AppID, "redirect_uri", "https://evil.example/"), "AADSTS50011"},
		{"redirect URI with more", authorizeURL(tenant2, 1, "client_id", p.app.AppID, "redirect_uri", callback+"&x=1"), "AADSTS50011"},
		{"redirect URI in another case", authorizeURL(tenant2, 1, "client_id", p.app.AppID, "redirect_uri", strings.Replace(callback, "callback", "Callback", 1)), "AADSTS50011"},
		{"redirect URI below", authorizeURL(tenant2, 1, "client_id", p.app.AppID, "redirect_uri", "https://app.example/callback/../x?keep=1"), "AADSTS50011"},
		{"loopback of a web application", authorizeURL(tenant2, 1, "client_id", p.app.AppID, "redirect_uri", "http://localhost:1"), "AADSTS50011"},
		{"loopback with another host", authorizeURL(tenant2, 1, "client_id", azCLI, "redirect_uri", "http://localhost.evil.example:1"), "AADSTS50011"},
		{"loopback with a user", authorizeURL(tenant2, 1, "client_id", azCLI, "redirect_uri", "http://localhost:1@evil.example"), "AADSTS50011"},
		{"consent to a client that nobody published", "/" + tenant2 + "/adminconsent?client_id=" + azCLI + "&redirect_uri=http://localhost:8400", "AADSTS65002"},
		{"twice", authorizeURL(tenant2, 1, "client_id", p.app.AppID) + "&redirect_uri=https://evil.example", "AADSTS9002313"},
	} {
		b := p.browser()
		got := b.get(tc.target)
		if got.status < 400 || got.header.Get("Location") != "" || !strings.Contains(b.page, tc.code+": ") || strings.Contains(b.page, `href="https://evil`) {
			t.Errorf("%s: %d %v\n%s", tc.name, got.status, got.header, got.raw)
		}
	}
}

// With a good redirect URI the application hears about it.
func TestAuthorizeRedirectErrors(t *testing.T) {
	p := newPeople(t)
	for _, tc := range []struct {
		name, target, redirect, oauth, code string
	}{
		{"implicit flow", authorizeURL(tenant2, 2, "client_id", p.app.AppID, "response_type", "token"), callback, "unsupported_response_type", "AADSTS700054"},
		{"no response type", authorizeURL(tenant2, 2, "client_id", p.app.AppID, "response_type", "-"), callback, "invalid_request", "AADSTS900144"},
		{"response mode", authorizeURL(tenant2, 2, "client_id", p.app.AppID, "response_mode", "web_message"), callback, "invalid_request", "AADSTS70007"},
		{"a form for a scheme of its own", authorizeURL(tenant2, 2, "client_id", p.public.AppID, "redirect_uri", "myapp://auth", "response_mode", "form_post"), "myapp://auth", "invalid_request", "AADSTS70007"},
		{"request object", authorizeURL(tenant2, 2, "client_id", p.app.AppID, "request_uri", "https://evil.example/x"), callback, "invalid_request", "AADSTS90014"},
		{"nobody signed in", authorizeURL(tenant2, 2, "client_id", p.app.AppID, "prompt", "none"), callback, "login_required", "AADSTS50058"},
		{"public client without PKCE", authorizeURL("common", 2, "client_id", azCLI, "redirect_uri", "http://localhost:8400"), "http://localhost:8400", "invalid_request", "AADSTS9002325"},
		{"plain PKCE", authorizeURL("common", 2, "client_id", azCLI, "redirect_uri", "http://localhost:8400/", "code_challenge", strings.Repeat("a", 43), "code_challenge_method", "plain"), "http://localhost:8400/", "invalid_request", "AADSTS50147"},
		{"short challenge", authorizeURL("common", 2, "client_id", azCLI, "redirect_uri", "http://localhost:8400/", "code_challenge", "abc", "code_challenge_method", "S256"), "http://localhost:8400/", "invalid_request", "AADSTS501491"},
	} {
		b := p.browser()
		q := b.sent(b.get(tc.target), tc.redirect)
		if q.Get("error") != tc.oauth || !strings.HasPrefix(q.Get("error_description"), tc.code+": ") || q.Get("state") != "s t&a<te" {
			t.Errorf("%s: %v", tc.name, q)
		}
	}
}

// A silent request shows no page, also when who is signed in may not go on; the application does not hear who that is.
func TestSilentRequestOfAStranger(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	b.get(authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid"))
	b.sent(b.signIn(p.bob), callback)
	q := b.sent(b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID, "scope", "openid", "prompt", "none")), callback)
	if q.Get("error") != "login_required" || !strings.HasPrefix(q.Get("error_description"), "AADSTS50058: ") || strings.Contains(q.Encode(), "bob") {
		t.Errorf("%v", q)
	}
	if q := b.sent(b.get(authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid", "prompt", "none")), callback); q.Get("code") == "" {
		t.Errorf("where bob is: %v", q)
	}
}

// What keeps a person or an application out is an answer too, where the request shows no page.
func TestSilentRequestIsAnswered(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	silent := authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid", "prompt", "none")
	b.get(authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid"))
	b.sent(b.signIn(p.bob), callback)
	keepOut := func(change func(*directory.ServicePrincipal)) {
		p.update(func(tx store.Tx) error {
			_, err := p.dir.ChangePrincipalIn(tx, tenant2, p.app.AppID, func(s *directory.ServicePrincipal) error { change(s); return nil })
			return err
		})
	}
	keepOut(func(s *directory.ServicePrincipal) { s.AssignmentRequired = true })
	q := b.sent(b.get(silent), callback)
	if q.Get("error") != "access_denied" || !strings.HasPrefix(q.Get("error_description"), "AADSTS50105: ") || q.Get("state") != "s t&a<te" || strings.Contains(q.Encode(), "bob") {
		t.Errorf("not assigned: %v", q)
	}
	if got := b.get(authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid")); got.status != http.StatusBadRequest || !strings.Contains(b.page, "AADSTS50105") {
		t.Errorf("not assigned, not silent: %d %s", got.status, b.page)
	}
	keepOut(func(s *directory.ServicePrincipal) { s.AccountEnabled = false })
	if q := b.sent(b.get(silent), callback); q.Get("error") != "unauthorized_client" || !strings.HasPrefix(q.Get("error_description"), "AADSTS7000112: ") {
		t.Errorf("disabled: %v", q)
	}
	keepOut(func(s *directory.ServicePrincipal) { s.AccountEnabled = true })
	p.change(p.app, func(a *directory.Application) {
		a.Requires = []directory.RequiredResource{{ResourceAppID: nobody, ResourceAccess: []directory.ResourceAccess{{ID: nobody, Type: "Role"}}}}
	})
	if q := b.sent(b.get(authorizeURL(tenant2, 1, "client_id", p.app.AppID, "prompt", "none")), callback); q.Get("error") == "" || !strings.HasPrefix(q.Get("error_description"), "AADSTS650052: ") {
		t.Errorf("without its resource: %v", q)
	}
}

func TestSignInRefusals(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID, "login_hint", `"><script>alert(1)</script>`))
	if strings.Contains(b.page, "<script>") {
		t.Fatal("the hint was not escaped")
	}
	if b.fill("act", "signin", "username", "nobody@tenant1.onmicrosoft.com", "password", "x"); !strings.Contains(b.page, "AADSTS50034") {
		t.Error(b.page)
	}
	if b.signIn(p.bob); !strings.Contains(b.page, "AADSTS50020") { // of tenant 2, no guest of tenant 1
		t.Error(b.page)
	}
	b = p.browser()
	b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID))
	for range 10 {
		b.fill("act", "signin", "username", p.alice.UserPrincipalName, "password", "wrong")
	}
	if b.signIn(p.alice); !strings.Contains(b.page, "AADSTS50053") {
		t.Error(b.page)
	}
	p.at = p.at.Add(61e9)
	if q := b.sent(b.signIn(p.alice), callback); q.Get("code") == "" {
		t.Error(q)
	}
	if b.get("/common/oauth2/v2.0/logout"); !strings.Contains(b.page, "signed out") {
		t.Error(b.page)
	}
	if b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID)); !strings.Contains(b.page, "<h1>Sign in</h1>") {
		t.Error(b.page)
	}
}

// A path that begins with two slashes names another host to a browser: no page leads there, neither after a code nor after a sign-in.
func TestPagesStayHere(t *testing.T) {
	p := newPeople(t)
	user := p.post("/organizations/oauth2/v2.0/devicecode", url.Values{"client_id": {azCLI}, "scope": {"openid"}}).text("user_code")
	for _, path := range []string{"//evil.example/oauth2/deviceauth", "///evil.example/oauth2/deviceauth", "/%5Cevil.example/oauth2/deviceauth"} {
		for name, fields := range map[string]url.Values{"a code": {"act": {"code"}, "code": {user}},
			"a sign-in": {"act": {"signin"}, "username": {p.alice.UserPrincipalName}, "password": {password}}} {
			b := p.browser()
			b.get(path)
			fields.Set("csrf", csrfField.FindStringSubmatch(b.page)[1])
			got := b.send(postRequest(path, fields.Encode()))
			to := got.header.Get("Location")
			if got.status != http.StatusSeeOther || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsRune(to, '\\') {
				t.Errorf("%s, %s: %d %q", path, name, got.status, to)
			}
		}
	}
}
