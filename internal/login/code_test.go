package login_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636, appendix B

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

const loopback = "http://localhost:43121"

// azCode signs alice in as az login does in a browser.
func (p *people) azCode(tenant string) string {
	p.t.Helper()
	b := p.browser()
	b.get(authorizeURL(tenant, 2, "client_id", azCLI, "redirect_uri", loopback, "code_challenge", challenge(), "code_challenge_method", "S256",
		"scope", armHost+"/.default offline_access openid profile", "nonce", "n1", "client_info", "1", "prompt", "select_account"))
	return b.sent(b.signIn(p.alice), loopback).Get("code")
}

func codeForm(code string, changes ...string) url.Values {
	f := url.Values{"grant_type": {"authorization_code"}, "client_id": {azCLI}, "code": {code}, "redirect_uri": {loopback}, "code_verifier": {verifier},
		"scope": {armHost + "/.default offline_access openid profile"}, "client_info": {"1"}}
	for i := 0; i < len(changes); i += 2 {
		if f.Set(changes[i], changes[i+1]); changes[i+1] == "-" {
			f.Del(changes[i])
		}
	}
	return f
}

func payload(t *testing.T, jwt string) map[string]any {
	t.Helper()
	var v map[string]any
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[1])
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Everything that MSAL reads from the reply of a sign-in.
func TestCodeReply(t *testing.T) {
	p := newPeople(t)
	got := p.post("/organizations/oauth2/v2.0/token", codeForm(p.azCode("organizations")))
	if got.status != http.StatusOK || got.text("refresh_token") == "" || !strings.Contains(" "+got.text("scope")+" ", " "+armHost+"/.default ") {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	id := payload(t, got.text("id_token"))
	for claim, want := range map[string]any{"aud": azCLI, "iss": "https://login.microsoftonline.com/" + tenant1 + "/v2.0", "tid": tenant1, "oid": p.alice.ObjectID,
		"preferred_username": p.alice.UserPrincipalName, "ver": "2.0", "nonce": "n1", "name": "alice"} {
		if id[claim] != want {
			t.Errorf("ID token: %s is %v, want %v", claim, id[claim], want)
		}
	}
	info, err := base64.RawURLEncoding.DecodeString(got.text("client_info"))
	if want := `{"uid":"` + p.alice.ObjectID + `","utid":"` + tenant1 + `"}`; err != nil || string(info) != want {
		t.Errorf("client_info %s, %v", info, err)
	}
	c, err := p.tokens.Verify(t.Context(), got.text("access_token"))
	if err != nil || !c.Person() || c.UPN != p.alice.UserPrincipalName || c.UniqueName != c.UPN || c.Scope != "user_impersonation" || c.AppID != azCLI ||
		c.AppIDACR != "0" || c.ObjectID != p.alice.ObjectID || c.Audience != armHost || len(c.Methods) != 1 || c.SessionID == "" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := p.tokens.Verify(t.Context(), got.text("id_token")); err == nil {
		t.Error("an ID token passes for an access token")
	}
	if log := p.log.String(); strings.Contains(log, got.text("refresh_token")) || strings.Contains(log, password) {
		t.Error("the log holds a secret")
	}
}

func TestCodeRefusals(t *testing.T) {
	p := newPeople(t)
	v2 := "/organizations/oauth2/v2.0/token"
	for _, tc := range []struct {
		name, path string
		changes    []string
		status     int
		oauth      string
		code       int
	}{
		{"wrong verifier", v2, []string{"code_verifier", strings.Repeat("x", 43)}, 400, "invalid_grant", 501481},
		{"short verifier", v2, []string{"code_verifier", "x"}, 400, "invalid_grant", 50148},
		{"another redirect URI", v2, []string{"redirect_uri", "http://localhost:1"}, 400, "invalid_client", 500112},
		{"another tenant", "/" + tenant2 + "/oauth2/v2.0/token", nil, 400, "invalid_grant", 700005},
		{"another client", v2, []string{"client_id", p.public.AppID, "redirect_uri", loopback}, 400, "invalid_grant", 70000},
		{"no code", v2, []string{"code", "-"}, 400, "invalid_request", 900144},
		{"forged code", v2, []string{"code", strings.Repeat("A", 43)}, 400, "invalid_grant", 70000},
		{"public client with a secret", v2, []string{"client_secret", "x"}, 401, "invalid_client", 700025},
	} {
		checkError(t, tc.name, p.world, p.post(tc.path, codeForm(p.azCode("organizations"), tc.changes...)), tc.status, tc.oauth, tc.code, "")
	}
	late := p.azCode("organizations")
	p.at = p.at.Add(10 * time.Minute)
	checkError(t, "expired", p.world, p.post(v2, codeForm(late)), 400, "invalid_grant", 70008, "")
}

// A code that comes twice takes back what it gave.
func TestCodeReplay(t *testing.T) {
	p := newPeople(t)
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	code := p.azCode(tenant1)
	first := p.post(v2, codeForm(code))
	c, err := p.tokens.Verify(t.Context(), first.text("access_token"))
	if err != nil {
		t.Fatal(err, string(first.raw))
	}
	checkError(t, "replay", p.world, p.post(v2, codeForm(code)), 400, "invalid_grant", 54005, "already redeemed")
	checkError(t, "refresh", p.world, p.post(v2, refreshForm(first.text("refresh_token"))), 400, "invalid_grant", 50173, "revoked")
	if alive, err := p.tokens.Alive(t.Context(), c); err != nil || alive {
		t.Errorf("the access token lives on: %v, %v", alive, err)
	}
}

func refreshForm(secret string, changes ...string) url.Values {
	f := codeForm("-", "grant_type", "refresh_token", "refresh_token", secret, "code", "-", "redirect_uri", "-", "code_verifier", "-")
	for i := 0; i < len(changes); i += 2 {
		f.Set(changes[i], changes[i+1])
	}
	return f
}

// A client that names no scope renews what the person signed in for (RFC 6749, 6), also after it asked for something else in between.
func TestRefreshWithoutScope(t *testing.T) {
	p := newPeople(t)
	v1, v2 := "/"+tenant1+"/oauth2/token", "/"+tenant1+"/oauth2/v2.0/token"
	audience := func(name string, got answer, want string) string {
		t.Helper()
		if c, err := p.tokens.Verify(t.Context(), got.text("access_token")); err != nil || c.Audience != want {
			t.Fatalf("%s: %d %s: for %q, want %q, %v", name, got.status, got.raw, c.Audience, want, err)
		}
		return got.text("refresh_token")
	}
	secret := audience("code", p.post(v2, codeForm(p.azCode(tenant1))), armHost)
	secret = audience("Graph", p.post(v2, refreshForm(secret, "scope", "https://graph.microsoft.com/.default")), "https://graph.microsoft.com")
	f := refreshForm(secret)
	f.Del("scope")
	secret = audience("no scope", p.post(v2, f), armHost)
	f.Set("refresh_token", secret)
	secret = audience("version 1, no resource", p.post(v1, f), armHost)
	f.Set("refresh_token", secret)
	f.Set("resource", "https://graph.microsoft.com")
	audience("version 1, Graph", p.post(v1, f), "https://graph.microsoft.com")
}

// Refresh tokens rotate; one that is sent again ends the family, but for a retry at once from the same place.
func TestRefreshRotation(t *testing.T) {
	p := newPeople(t)
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	first := p.post(v2, codeForm(p.azCode(tenant1))).text("refresh_token")
	second := p.post(v2, refreshForm(first))
	if second.status != 200 || second.text("refresh_token") == "" || second.text("refresh_token") == first || second.text("id_token") == "" {
		t.Fatalf("%d %s", second.status, second.raw)
	}
	retried := p.post(v2, refreshForm(first))
	if retried.status != 200 {
		t.Fatalf("retry: %s", retried.raw)
	}
	checkError(t, "another client", p.world, p.post(v2, refreshForm(retried.text("refresh_token"), "client_id", p.public.AppID)), 400, "invalid_grant", 70000, "")
	checkError(t, "unknown", p.world, p.post(v2, refreshForm("x")), 400, "invalid_grant", 70000, "")
	p.at = p.at.Add(11 * time.Second)
	checkError(t, "reuse", p.world, p.post(v2, refreshForm(first)), 400, "invalid_grant", 50173, "")
	for name, secret := range map[string]string{"second": second.text("refresh_token"), "third": retried.text("refresh_token")} {
		checkError(t, name, p.world, p.post(v2, refreshForm(secret)), 400, "invalid_grant", 50173, "")
	}
	old := p.post(v2, codeForm(p.azCode(tenant1))).text("refresh_token")
	r := postRequest(v2, refreshForm(p.post(v2, refreshForm(old)).text("refresh_token")).Encode())
	if got := p.do(r); got.status != 200 {
		t.Fatal(string(got.raw))
	}
	elsewhere := postRequest(v2, refreshForm(old).Encode())
	elsewhere.RemoteAddr = "198.51.100.7:1"
	checkError(t, "from elsewhere", p.world, p.do(elsewhere), 400, "invalid_grant", 50173, "")
	idle := p.post(v2, codeForm(p.azCode(tenant1))).text("refresh_token")
	p.at = p.at.Add(90 * 24 * time.Hour)
	checkError(t, "idle", p.world, p.post(v2, refreshForm(idle)), 400, "invalid_grant", 700082, "")
}

// A guest uses one sign-in in both tenants; a change of the password or of the account ends it everywhere.
func TestRefreshAcrossTenants(t *testing.T) {
	p := newPeople(t)
	secret := p.post("/organizations/oauth2/v2.0/token", codeForm(p.azCode("organizations"))).text("refresh_token")
	abroad := p.post("/"+tenant2+"/oauth2/v2.0/token", refreshForm(secret))
	c, err := p.tokens.Verify(t.Context(), abroad.text("access_token"))
	if err != nil || c.TenantID != tenant2 || c.ObjectID != p.guest.ObjectID || c.IDP != token.Issuer(tenant1, 1) || c.UniqueName != p.alice.UserPrincipalName {
		t.Fatalf("%+v, %v %s", c, err, abroad.raw)
	}
	info, _ := base64.RawURLEncoding.DecodeString(abroad.text("client_info"))
	if !strings.Contains(string(info), tenant1) {
		t.Errorf("client_info names another account: %s", info)
	}
	p.at = p.at.Add(time.Minute)
	stays := abroad.text("refresh_token")
	p.update(func(tx store.Tx) error {
		_, err := p.dir.ChangeUserIn(tx, tenant2, p.guest.ObjectID, func(u *directory.User) error { u.AccountEnabled = false; return nil })
		return err
	})
	checkError(t, "guest disabled", p.world, p.post("/"+tenant2+"/oauth2/v2.0/token", refreshForm(stays)), 400, "invalid_grant", 50057, "")
	p.update(func(tx store.Tx) error { // as a new password or revokeSignInSessions does
		_, err := p.dir.ChangeUserIn(tx, tenant1, p.alice.ObjectID, func(u *directory.User) error { u.SessionsFrom = p.at; return nil })
		return err
	})
	checkError(t, "new password", p.world, p.post("/"+tenant1+"/oauth2/v2.0/token", refreshForm(stays)), 400, "invalid_grant", 50173, "TokensValidFrom")
}

func TestPasswordGrant(t *testing.T) {
	p := newPeople(t)
	f := url.Values{"grant_type": {"password"}, "client_id": {azCLI}, "username": {p.alice.UserPrincipalName}, "password": {password},
		"scope": {armHost + "/.default openid offline_access profile"}}
	v2 := "/organizations/oauth2/v2.0/token"
	checkError(t, "off", p.world, p.post(v2, f), 400, "unsupported_grant_type", 70003, "'password'")
	p.passwords()
	if got := p.post(v2, f); got.status != 200 || got.text("refresh_token") == "" || got.text("id_token") == "" {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	f.Set("password", "wrong")
	checkError(t, "wrong", p.world, p.post(v2, f), 400, "invalid_grant", 50126, "")
	f.Set("username", "ghost@tenant1.onmicrosoft.com")
	checkError(t, "unknown", p.world, p.post(v2, f), 400, "invalid_grant", 50034, "")
	f.Set("username", p.bob.UserPrincipalName)
	f.Set("password", password)
	checkError(t, "not there", p.world, p.post("/"+tenant1+"/oauth2/v2.0/token", f), 400, "invalid_grant", 50020, "does not exist in tenant '"+tenant1+"'")
	for path, want := range map[string]int{"/common/userrealm/alice@tenant1.onmicrosoft.com?api-version=1.0": 200, "/common/userrealm/ghost@x.example": 200, "/common/userrealm/x": 400} {
		if got := p.get(path); got.status != want || want == 200 && got.text("account_type") != "Managed" {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	p.update(func(tx store.Tx) error {
		_, err := p.dir.ChangeUserIn(tx, tenant2, p.bob.ObjectID, func(u *directory.User) error { u.AccountEnabled = false; return nil })
		return err
	})
	checkError(t, "disabled", p.world, p.post(v2, f), 400, "invalid_grant", 50057, "")
}

// az sends the code under two names, and waits its interval.
func TestDeviceCode(t *testing.T) {
	p := newPeople(t)
	begin := func() (string, string) {
		got := p.post("/organizations/oauth2/v2.0/devicecode", url.Values{"client_id": {azCLI}, "scope": {armHost + "/.default offline_access openid profile"}})
		if got.status != 200 || got.json["interval"] != 5.0 || got.json["expires_in"] != 900.0 || got.text("verification_uri") != "https://login.microsoftonline.com/common/oauth2/deviceauth" ||
			!strings.Contains(got.text("message"), got.text("user_code")) {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		return got.text("device_code"), got.text("user_code")
	}
	poll := func(device string) answer {
		p.at = p.at.Add(5 * time.Second)
		return p.post("/organizations/oauth2/v2.0/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {azCLI},
			"code": {device}, "device_code": {device}, "client_info": {"1"}})
	}
	device, user := begin()
	checkError(t, "pending", p.world, poll(device), 400, "authorization_pending", 70016, "")
	p.at = p.at.Add(-4 * time.Second)
	checkError(t, "too soon", p.world, poll(device), 400, "slow_down", 0, "")
	b := p.browser()
	b.get("/common/oauth2/deviceauth")
	if b.fill("act", "code", "code", "WRONGCODE"); !strings.Contains(b.page, "not valid or has expired") {
		t.Fatal(b.page)
	}
	b.fill("act", "code", "code", strings.ToLower(user[:4])+"-"+user[4:])
	b.signIn(p.alice)
	for _, want := range []string{"Are you signing in to Microsoft Azure CLI?", p.alice.UserPrincipalName, "Published by</dt><dd>this server: it is built in", "asked for from</dt><dd><code>192.0.2.1</code>"} {
		if !strings.Contains(b.page, want) {
			t.Fatalf("the page lacks %q:\n%s", want, b.page)
		}
	}
	p.at = p.at.Add(10 * time.Second)
	checkError(t, "not confirmed", p.world, poll(device), 400, "authorization_pending", 70016, "")
	b.fill("act", "accept", "code", user)
	if got := poll(device); got.status != 200 || got.text("refresh_token") == "" || payload(t, got.text("id_token"))["oid"] != p.alice.ObjectID {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	checkError(t, "redeemed", p.world, poll(device), 400, "bad_verification_code", 70018, "")
	device, user = begin()
	b.get("/common/oauth2/deviceauth?user_code=" + user)
	b.fill("act", "deny", "code", user)
	checkError(t, "declined", p.world, poll(device), 400, "authorization_declined", 0, "denied")
	device, _ = begin()
	p.at = p.at.Add(15 * time.Minute)
	checkError(t, "expired", p.world, poll(device), 400, "expired_token", 70019, "")
	checkError(t, "not a public client", p.world, p.post("/"+tenant1+"/oauth2/v2.0/devicecode", url.Values{"client_id": {p.app.AppID}, "scope": {"openid"}}), 401, "invalid_client", 7000218, "")
}

// An application may call itself as it likes: the page says who published it.
func TestDeviceOfAnImpostor(t *testing.T) {
	p := newPeople(t)
	p.change(p.public, func(a *directory.Application) { a.DisplayName = "Microsoft Azure CLI" })
	user := p.post("/organizations/oauth2/v2.0/devicecode", url.Values{"client_id": {p.public.AppID}, "scope": {"openid"}}).text("user_code")
	b := p.browser()
	b.get("/common/oauth2/deviceauth?user_code=" + user)
	if b.signIn(p.boss); !strings.Contains(b.page, "Published by</dt><dd>tenant 1<br><code>"+tenant1+"</code>") {
		t.Error(b.page)
	}
}

// Guessing is held up at the source and holds nobody else up.
func TestGuessingIsHeldUp(t *testing.T) {
	p := newPeople(t)
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	var last answer
	for range 31 {
		last = p.post(v2, p.form("client_secret", "wrong"))
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
		t.Errorf("secrets: %d %s", last.status, last.raw)
	}
	elsewhere := postRequest(v2, p.form().Encode())
	elsewhere.RemoteAddr = "198.51.100.7:1"
	if got := p.do(elsewhere); got.status != 200 {
		t.Errorf("the application is locked for others: %s", got.raw)
	}
	p.at = p.at.Add(3 * time.Second)
	if got := p.post(v2, p.form()); got.status != 200 {
		t.Errorf("after the pause: %s", got.raw)
	}
	b := p.browser()
	b.get("/common/oauth2/deviceauth")
	got := answer{}
	for range 11 {
		got = b.fill("act", "code", "code", "BBBBBBBBB")
	}
	if got.status != http.StatusTooManyRequests {
		t.Errorf("user codes: %d", got.status)
	}
	for range 60 {
		p.post("/organizations/oauth2/v2.0/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {azCLI}, "device_code": {"x"}})
	}
	if got := p.post("/organizations/oauth2/v2.0/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {azCLI}, "device_code": {"x"}}); got.status != http.StatusTooManyRequests {
		t.Errorf("device codes: %d", got.status)
	}
}

// A confidential web application: its code by fragment or form, redeemed with its secret and no PKCE.
func TestWebApplication(t *testing.T) {
	p := newPeople(t)
	b := p.browser()
	b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID, "scope", "openid profile", "response_mode", "fragment"))
	to := b.signIn(p.alice).header.Get("Location")
	_, fragment, ok := strings.Cut(to, "#")
	q, err := url.ParseQuery(fragment)
	if !ok || err != nil || !strings.HasPrefix(to, callback+"#") || q.Get("code") == "" {
		t.Fatalf("fragment: %q", to)
	}
	got := b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID, "scope", "openid profile", "response_mode", "form_post"))
	if got.status != 200 || !strings.Contains(b.page, `action="https://app.example/callback?keep=1"`) || !strings.Contains(b.page, `name="code" value="`) ||
		!strings.Contains(got.header.Get("Content-Security-Policy"), "form-action 'self' https://app.example;") {
		t.Errorf("form_post: %v %s", got.header, got.raw)
	}
	form := func(changes ...string) url.Values {
		return codeForm(q.Get("code"), append([]string{"client_id", p.app.AppID, "client_secret", p.secret, "redirect_uri", callback, "code_verifier", "-", "scope", "-"}, changes...)...)
	}
	path := "/" + tenant1 + "/oauth2/v2.0/token"
	checkError(t, "no secret", p.world, p.post(path, form("client_secret", "-")), 401, "invalid_client", 7000218, "")
	checkError(t, "wrong secret", p.world, p.post(path, form("client_secret", "wrong")), 401, "invalid_client", 7000215, "")
	checkError(t, "a verifier without a challenge", p.world, p.post(path, form("code_verifier", verifier)), 400, "invalid_grant", 501481, "")
	checkError(t, "rights that nobody consented to", p.world, p.post(path, form("scope", armHost+"/user_impersonation")), 400, "invalid_grant", 65001, "")
	u, err := url.Parse(b.get(authorizeURL(tenant1, 2, "client_id", p.app.AppID, "scope", "openid")).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q = u.Query()
	reply := p.post(path, form())
	if reply.status != 200 || reply.text("id_token") == "" || reply.text("refresh_token") != "" {
		t.Errorf("%d %s", reply.status, reply.raw)
	}
	if c, err := p.tokens.Verify(t.Context(), reply.text("access_token")); err != nil || c.AppIDACR != "1" || c.ObjectID != p.alice.ObjectID {
		t.Errorf("%+v, %v", c, err)
	}
}

// A refresh that is refused does not spend the token, since the client keeps it: it works later, and its family lives on.
func TestRefusedRefreshSpendsNothing(t *testing.T) {
	p := newPeople(t)
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	secret := p.post(v2, codeForm(p.azCode(tenant1))).text("refresh_token")
	for _, tc := range []struct {
		name, path string
		f          url.Values
		status     int
		oauth      string
		code       int
	}{
		{"a resource that is not there", v2, refreshForm(secret, "scope", "https://vault.azure.net/.default"), 400, "invalid_resource", 500011},
		{"a tenant that is not", "/" + nobody + "/oauth2/v2.0/token", refreshForm(secret), 400, "invalid_request", 90002},
		{"two resources", v2, refreshForm(secret, "scope", armHost+"/.default https://graph.microsoft.com/.default"), 400, "invalid_scope", 28000},
	} {
		checkError(t, tc.name, p.world, p.post(tc.path, tc.f), tc.status, tc.oauth, tc.code, "")
		p.at = p.at.Add(time.Minute)
	}
	bobs := p.browser()
	bobs.get(authorizeURL("organizations", 2, "client_id", azCLI, "redirect_uri", loopback, "code_challenge", challenge(), "code_challenge_method", "S256", "scope", armHost+"/.default offline_access"))
	bob := p.post("/organizations/oauth2/v2.0/token", codeForm(bobs.sent(bobs.signIn(p.bob), loopback).Get("code"))).text("refresh_token")
	checkError(t, "a tenant where bob is not", p.world, p.post(v2, refreshForm(bob)), 400, "invalid_grant", 50020, "")
	p.at = p.at.Add(time.Minute)
	for name, got := range map[string]answer{"alice": p.post(v2, refreshForm(secret)), "bob": p.post("/organizations/oauth2/v2.0/token", refreshForm(bob))} {
		if got.status != http.StatusOK || got.text("refresh_token") == "" {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
	p.at = p.at.Add(time.Minute)
	checkError(t, "spent", p.world, p.post(v2, refreshForm(secret)), 400, "invalid_grant", 50173, "revoked")
}

// az asks for an application that the tenant does not have: a refusal that names it, not a fault of ours.
func TestUnknownApplicationAsResource(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	path := "/" + tenant1 + "/oauth2/v2.0/token"
	secret := p.post(path, codeForm(p.azCode(tenant1))).text("refresh_token")
	for _, resource := range []string{"api://" + nobody, nobody, p.api().AppID + "/more"} {
		scope := resource + "/.default"
		checkError(t, "refresh: "+resource, p.world, p.post(path, refreshForm(secret, "scope", scope)), 400, "invalid_resource", 500011, "was not found in the tenant named "+tenant1)
		checkError(t, "password: "+resource, p.world, p.post(path, url.Values{"grant_type": {"password"}, "client_id": {azCLI}, "username": {p.alice.UserPrincipalName},
			"password": {password}, "scope": {scope}}), 400, "invalid_resource", 500011, "")
	}
}

// Whose sign-in has ended hears that, and nothing of how the person or the resource is now.
func TestRefreshOfAnEndedSignIn(t *testing.T) {
	p := newPeople(t)
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	secret := p.post(v2, codeForm(p.azCode(tenant1))).text("refresh_token")
	p.update(func(tx store.Tx) error {
		_, err := p.dir.ChangeUserIn(tx, tenant1, p.alice.ObjectID, func(u *directory.User) error { u.AccountEnabled = false; return nil })
		return err
	})
	checkError(t, "disabled", p.world, p.post(v2, refreshForm(secret)), 400, "invalid_grant", 50057, "")
	p.update(func(tx store.Tx) error { return token.EndAll(tx, tenant1, p.alice.ObjectID) })
	for _, scope := range []string{armHost + "/.default", "https://vault.azure.net/.default"} {
		checkError(t, scope, p.world, p.post(v2, refreshForm(secret, "scope", scope)), 400, "invalid_grant", 50173, "revoked")
	}
}
