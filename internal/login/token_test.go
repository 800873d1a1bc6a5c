package login_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/directory"
	"vitrine/internal/token"
)

// The three requests that MSAL sends for az login --service-principal, byte for byte as recorded (az-cli-flows, 1.2).
func TestAsMSAL(t *testing.T) {
	w := newWorld(t)
	discovery := w.get(":443/" + tenant2 + "/v2.0/.well-known/openid-configuration")
	if discovery.status != http.StatusOK || discovery.text("authorization_endpoint") == "" {
		t.Fatalf("discovery: %d %s", discovery.status, discovery.raw)
	}
	endpoint, err := url.Parse(discovery.text("token_endpoint"))
	if err != nil || endpoint.Host != "login.microsoftonline.com" || endpoint.Path != "/"+tenant2+"/oauth2/v2.0/token" {
		t.Fatalf("token_endpoint: %v, %v", endpoint, err)
	}
	body := "client_id=" + w.app.AppID + "&grant_type=client_credentials&client_info=1&client_secret=" + strings.ReplaceAll(w.secret, "~", "%7E") +
		"&claims=%7B%22access_token%22%3A+%7B%22xms_cc%22%3A+%7B%22values%22%3A+%5B%22CP1%22%5D%7D%7D%7D" +
		"&scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default"
	r := postRequest(endpoint.Path, body)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("x-client-sku", "MSAL.Python")
	r.Header.Set("x-client-current-telemetry", "4|730,0|")
	r.Header.Set("client-request-id", nobody)
	got := w.do(r)
	if got.status != http.StatusOK || got.header.Get("client-request-id") != nobody {
		t.Fatalf("token: %d %v %s", got.status, got.header, got.raw)
	}
	raw := got.text("access_token")
	delete(got.json, "access_token")
	want := map[string]any{"token_type": "Bearer", "expires_in": 3599.0, "ext_expires_in": 3599.0}
	if diff := cmp.Diff(want, got.json); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
	claims, err := w.tokens.Verify(t.Context(), raw)
	if err != nil || claims.Audience != armHost || claims.TenantID != tenant2 || claims.AppID != w.app.AppID || claims.AppIDACR != "1" || claims.Version != "1.0" {
		t.Errorf("token: %+v, %v", claims, err)
	}
	sp, err := w.dir.Principal(t.Context(), tenant2, w.app.AppID)
	if err != nil || claims.ObjectID != sp.ObjectID {
		t.Errorf("token of %s, want %s, %v", claims.ObjectID, sp.ObjectID, err)
	}
	if cc := got.header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
		t.Errorf("Cache-Control: %q", cc)
	}
}

// MSAL for Go sends the scopes of OpenID Connect for every grant.
func TestAsMSALForGo(t *testing.T) {
	w := newWorld(t)
	got := w.post("/"+tenant1+"/oauth2/v2.0/token", w.form("scope", "https://management.azure.com/.default openid offline_access profile"))
	if c, err := w.tokens.Verify(t.Context(), got.text("access_token")); err != nil || c.Audience != "https://management.azure.com" {
		t.Errorf("%d %s: %+v, %v", got.status, got.raw, c, err)
	}
	if got.text("id_token")+got.text("refresh_token") != "" {
		t.Errorf("an application got what is a person's: %s", got.raw)
	}
}

// The v1 endpoint has its numbers as strings and repeats the resource.
func TestVersion1Reply(t *testing.T) {
	w := newWorld(t)
	got := w.post("/"+tenant1+"/oauth2/token", w.form("scope", "-", "resource", "https://management.azure.com/"))
	raw := got.text("access_token")
	delete(got.json, "access_token")
	at := w.at.Unix()
	want := map[string]any{"token_type": "Bearer", "expires_in": "3599", "ext_expires_in": "3599",
		"expires_on": strconv.FormatInt(at+3599, 10), "not_before": strconv.FormatInt(at-300, 10), "resource": "https://management.azure.com/"}
	if diff := cmp.Diff(want, got.json); got.status != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got):\n%s", got.status, diff)
	}
	if c, err := w.tokens.Verify(t.Context(), raw); err != nil || c.Audience != "https://management.azure.com/" {
		t.Errorf("token: %+v, %v", c, err)
	}
}

// Which audience and version a token gets for what was asked.
func TestScopes(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct{ scope, audience, version string }{
		{"https://management.core.windows.net//.default", "https://management.core.windows.net/", "1.0"},
		{"https://management.azure.com/.default", "https://management.azure.com", "1.0"},
		{"https://management.azure.com//.default", "https://management.azure.com/", "1.0"},
		{"https://graph.microsoft.com/.default", "https://graph.microsoft.com", "1.0"},
		{"https://graph.microsoft.com//.default", "https://graph.microsoft.com/", "1.0"},
		{"https://storage.azure.com/.default", "https://storage.azure.com", "1.0"},
		{"api://" + w.app.AppID + "/.default", "api://" + w.app.AppID, "1.0"},
		{"api://" + w.single.AppID + "/.default", w.single.AppID, "2.0"}, // that application asked for version 2
		{w.single.AppID + "/.default", w.single.AppID, "2.0"},
	} {
		got := w.post("/"+strings.ToUpper(tenant1)+"/oauth2/v2.0/token", w.form("scope", tc.scope))
		c, err := w.tokens.Verify(t.Context(), got.text("access_token"))
		if err != nil || c.Audience != tc.audience || c.Version != tc.version || c.TenantID != tenant1 || c.Client() != w.app.AppID {
			t.Errorf("%s: %d %+v, %v %s", tc.scope, got.status, c, err, got.text("error_description"))
		}
	}
}

// Every refusal of the token endpoint, with its status, its OAuth word, its number and its text.
func TestTokenErrors(t *testing.T) {
	w := newWorld(t)
	expired := w.newSecret(w.app, time.Minute)
	w.at = w.at.Add(2 * time.Minute)
	disabled := w.register(directory.Application{DisplayName: "Stopped"})
	disabledSecret := w.newSecret(disabled, 0)
	if err := w.dir.SetAccountEnabled(t.Context(), tenant1, disabled.AppID, false); err != nil {
		t.Fatal(err)
	}
	v2, v1 := "/"+tenant1+"/oauth2/v2.0/token", "/"+tenant1+"/oauth2/token"
	app := w.app.AppID
	for _, tc := range []struct {
		name, path string
		form       url.Values
		status     int
		oauth      string
		code       int
		text       string
	}{
		{"wrong secret", v2, w.form("client_secret", "wrong"), 401, "invalid_client", 7000215,
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + app + "'."},
		{"another application's secret", v2, w.form("client_secret", w.singleSecret), 401, "invalid_client", 7000215, ""},
		{"expired secret", v2, w.form("client_secret", expired), 401, "invalid_client", 7000222, "The provided client secret keys for app '" + app + "' are expired."},
		{"unknown application", v2, w.form("client_id", nobody), 400, "unauthorized_client", 700016, "Application with identifier '" + nobody + "' was not found in the directory '" + tenant1 + "'."},
		{"client_id is no GUID", v2, w.form("client_id", "<script>"), 400, "unauthorized_client", 700016, "'<script>' was not found"},
		{"single-tenant application abroad", "/" + tenant2 + "/oauth2/v2.0/token", w.form("client_id", w.single.AppID, "client_secret", w.singleSecret), 400, "unauthorized_client", 700016, ""},
		{"no consent in the tenant", "/" + tenant2 + "/oauth2/v2.0/token", w.form("client_id", w.absent.AppID), 400, "unauthorized_client", 7000229,
			"The client application " + w.absent.AppID + " is missing service principal in the tenant " + tenant2 + "."},
		{"disabled", v2, w.form("client_id", disabled.AppID, "client_secret", disabledSecret), 400, "unauthorized_client", 7000112, "Application '" + disabled.AppID + "'(Stopped) is disabled."},
		{"disabled, wrong secret", v2, w.form("client_id", disabled.AppID, "client_secret", "x"), 401, "invalid_client", 7000215, ""},
		{"public client with a secret", v2, w.form("client_id", w.public.AppID), 401, "invalid_client", 700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."},
		{"az's own application", v2, w.form("client_id", directory.AzureCLI), 401, "invalid_client", 700025, ""},
		{"public client without a secret", v2, w.form("client_id", w.public.AppID, "client_secret", "-"), 401, "invalid_client", 7000218, ""},
		{"no credential", v2, w.form("client_secret", "-"), 401, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."},
		{"assertion of no known type", v2, w.form("client_secret", "-", "client_assertion", "a.b.c"), 400, "invalid_request", 9002313, "client_assertion_type must be"},
		{"unknown tenant", "/" + nobody + "/oauth2/v2.0/token", w.form(), 400, "invalid_request", 90002, "Tenant '" + nobody + "' not found. Check to make sure you have the correct tenant ID"},
		{"unknown domain", "/contoso.onmicrosoft.com/oauth2/v2.0/token", w.form(), 400, "invalid_request", 90002, "Tenant 'contoso.onmicrosoft.com' not found."},
		{"tenant of no form", "/not_a_tenant/oauth2/v2.0/token", w.form(), 400, "invalid_request", 900023, "Specified tenant identifier 'not_a_tenant' is neither a valid DNS name, nor a valid external domain."},
		{"common", "/common/oauth2/v2.0/token", w.form(), 400, "invalid_request", 9001023, "The grant type 'client_credentials' is not supported over the /common or /consumers endpoints."},
		{"consumers", "/consumers/oauth2/v2.0/token", w.form(), 400, "invalid_request", 9001023, ""},
		{"organizations", "/organizations/oauth2/v2.0/token", w.form(), 400, "invalid_request", 50059, "No tenant-identifying information found"},
		{"no grant_type", v2, w.form("grant_type", "-"), 400, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."},
		{"no client_id", v2, w.form("client_id", "-"), 400, "invalid_request", 900144, "parameter: 'client_id'."},
		{"no scope", v2, w.form("scope", "-"), 400, "invalid_request", 900144, "parameter: 'scope'."},
		{"no resource", v1, w.form(), 400, "invalid_request", 900144, "parameter: 'resource'."},
		{"empty body", v2, url.Values{}, 400, "invalid_request", 900144, "parameter: 'grant_type'."},
		{"scopes of OpenID Connect alone", v2, w.form("scope", "openid offline_access profile"), 400, "invalid_scope", 1002012, "The provided value for scope openid offline_access profile is not valid."},
		{"scope of a person, as MSAL for Go sends it", v2, w.form("scope", "https://graph.microsoft.com/User.Read openid offline_access profile"), 400, "invalid_scope", 1002012, "scope https://graph.microsoft.com/User.Read is not valid"},
		{"two scopes", v2, w.form("scope", "a/.default b/.default"), 400, "invalid_scope", 70011, "The scope a/.default b/.default is not valid."},
		{"scope without .default", v2, w.form("scope", "https://graph.microsoft.com/User.Read"), 400, "invalid_scope", 1002012, "The provided value for scope https://graph.microsoft.com/User.Read is not valid."},
		{".default alone", v2, w.form("scope", "/.default"), 400, "invalid_scope", 1002012, ""},
		{"unknown resource", v2, w.form("scope", "https://vault.azure.net/.default"), 400, "invalid_resource", 500011, "The resource principal named https://vault.azure.net was not found in the tenant named " + tenant1 + "."},
		{"unknown resource in v1", v1, w.form("resource", "https://vault.azure.net"), 400, "invalid_resource", 500011, ""},
		{"application without service principal as resource", "/" + tenant2 + "/oauth2/v2.0/token", w.form("scope", w.absent.AppID+"/.default"), 400, "invalid_resource", 500011, ""},
		{"unknown grant", v2, w.form("grant_type", "foo"), 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type 'foo'."},
		{"password", v2, w.form("grant_type", "password"), 400, "unsupported_grant_type", 70003, "'password'"},
		{"device code", v2, w.form("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), 400, "invalid_request", 900144, "'device_code'"},
	} {
		checkError(t, tc.name, w, w.post(tc.path, tc.form), tc.status, tc.oauth, tc.code, tc.text)
	}
	if strings.Contains(w.log.String(), w.secret) || strings.Contains(w.log.String(), expired) {
		t.Error("a secret is in the log")
	}
}

var tail = regexp.MustCompile(` Trace ID: ([0-9a-f-]{36}) Correlation ID: ([0-9a-f-]{36}) Timestamp: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ)$`)

func checkError(t *testing.T, name string, w *world, got answer, status int, oauth string, code int, text string) {
	t.Helper()
	description := got.text("error_description")
	if got.status != status || got.text("error") != oauth || !strings.Contains(description, text) {
		t.Errorf("%s: %d %s\nwant %d %s %d %q", name, got.status, got.raw, status, oauth, code, text)
		return
	}
	members := []string{"correlation_id", "error", "error_description", "timestamp", "trace_id"}
	if code != 0 {
		members = append(members, "error_codes", "error_uri")
		if !strings.HasPrefix(description, fmt.Sprintf("AADSTS%d: ", code)) || !cmp.Equal(got.json["error_codes"], []any{float64(code)}) ||
			got.text("error_uri") != fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code) {
			t.Errorf("%s: %s, want code %d", name, got.raw, code)
		}
	}
	slices.Sort(members)
	var have []string
	for member := range got.json {
		have = append(have, member)
	}
	slices.Sort(have)
	if diff := cmp.Diff(members, have); diff != "" {
		t.Errorf("%s: members (-want +got):\n%s", name, diff)
	}
	m := tail.FindStringSubmatch(description)
	if len(m) != 4 || m[1] != got.text("trace_id") || m[2] != got.text("correlation_id") || m[3] != got.text("timestamp") ||
		m[3] != w.at.Format("2006-01-02 15:04:05Z") || m[1] != got.header.Get("x-ms-request-id") {
		t.Errorf("%s: description ends %q; body %s", name, m, got.raw)
	}
	if !strings.Contains(got.header.Get("Cache-Control"), "no-store") {
		t.Errorf("%s: Cache-Control %q", name, got.header.Get("Cache-Control"))
	}
}

// Requests that are malformed as HTTP or as a form.
func TestMalformedRequests(t *testing.T) {
	w := newWorld(t)
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	good := w.form().Encode()
	with := func(body string, change func(*http.Request)) *http.Request {
		r := postRequest(v2, body)
		change(r)
		return r
	}
	none := func(*http.Request) {}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
	}
	noClient := w.form("client_id", "-", "client_secret", "-").Encode()
	for _, tc := range []struct {
		name   string
		r      *http.Request
		status int
		code   int
		text   string
	}{
		{"control", with(good, none), 200, 0, ""},
		{"charset in the type", with(good, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		}), 200, 0, ""},
		{"basic", with(noClient, basic(w.app.AppID, w.secret)), 200, 0, ""},
		{"basic, secret not encoded", with(noClient, func(r *http.Request) { r.SetBasicAuth(w.app.AppID, w.secret) }), 200, 0, ""},
		{"basic and the same client_id", with(w.form("client_secret", "-").Encode(), basic(w.app.AppID, w.secret)), 200, 0, ""},
		{"basic, wrong secret", with(noClient, basic(w.app.AppID, "wrong")), 401, 7000215, ""},
		{"basic and another client_id", with(w.form("client_secret", "-").Encode(), basic(w.single.AppID, w.singleSecret)), 400, 9002313, "more than one way"},
		{"basic and a secret in the form", with(good, basic(w.app.AppID, w.secret)), 400, 9002313, "more than one way"},
		{"bearer instead of basic", with(noClient, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }), 400, 9002313, "not well-formed Basic"},
		{"duplicate parameter", with(good+"&scope=x", none), 400, 9002313, "the parameter 'scope' is included more than once"},
		{"duplicate secret", with(good+"&client_secret=x", none), 400, 9002313, "'client_secret' is included more than once"},
		{"bad escape", with(good+"&x=%zz", none), 400, 9002313, "not well-formed"},
		{"not UTF-8", with(good+"&x=%ff", none), 400, 9002313, "'x' is not text"},
		{"too many parameters", with(good+strings.Repeat("&a=", 100), none), 400, 9002313, "more than 64 parameters"},
		{"JSON", with(`{"grant_type":"client_credentials"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400, 9002313, "application/x-www-form-urlencoded"},
		{"no type", with(good, func(r *http.Request) { r.Header.Del("Content-Type") }), 400, 9002313, "application/x-www-form-urlencoded"},
		{"too long", with(good+"&x="+strings.Repeat("a", 70_000), none), 413, 9002313, "more than 65536 bytes"},
		{"beyond the server's limit", with(strings.Repeat("a", 5<<20), none), 413, 9002313, "more than 65536 bytes"},
		{"GET", with("", func(r *http.Request) { r.Method = http.MethodGet }), 400, 900561, "The endpoint only accepts POST requests. Received a GET request."},
		{"secret in the query", func() *http.Request {
			r := postRequest(v2+"?"+w.form().Encode(), "")
			return r
		}(), 400, 900144, "grant_type"},
	} {
		got := w.do(tc.r)
		if tc.status == http.StatusOK {
			if got.status != http.StatusOK || got.text("access_token") == "" {
				t.Errorf("%s: %d %s", tc.name, got.status, got.raw)
			}
			continue
		}
		oauth := "invalid_request"
		if tc.status == http.StatusUnauthorized {
			oauth = "invalid_client"
			if c := got.header.Get("WWW-Authenticate"); !strings.HasPrefix(c, "Basic ") {
				t.Errorf("%s: challenge %q", tc.name, c)
			}
		}
		checkError(t, tc.name, w, got, tc.status, oauth, tc.code, tc.text)
	}
	if strings.Contains(w.log.String(), w.secret) {
		t.Error("a secret is in the log")
	}
}

// The log says who got which token, and not the token.
func TestIssueIsLogged(t *testing.T) {
	w := newWorld(t)
	got := w.post("/"+tenant1+"/oauth2/v2.0/token", w.form())
	c, err := w.tokens.Verify(t.Context(), got.text("access_token"))
	if err != nil {
		t.Fatal(err)
	}
	log := w.log.String()
	for _, want := range []string{`"msg":"token issued"`, `"grant":"client_credentials"`, `"tenant":"` + tenant1 + `"`, `"client":"` + w.app.AppID + `"`,
		`"audience":"` + armHost + `"`, `"uti":"` + c.UniqueID + `"`, `"correlation":"` + got.header.Get("x-ms-correlation-request-id") + `"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, got.text("access_token")) || strings.Contains(log, w.secret) {
		t.Error("the log holds the token or the secret")
	}
	if c.Expires().Sub(w.at) != token.Lifetime {
		t.Errorf("expires %v", c.Expires())
	}
}
