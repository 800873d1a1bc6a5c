package login_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func TestConfiguration(t *testing.T) {
	w := newWorld(t)
	const base = "https://login.microsoftonline.com/"
	for _, tc := range []struct{ path, issuer, token, keys string }{
		{"/" + tenant1 + "/v2.0/.well-known/openid-configuration", base + tenant1 + "/v2.0", base + tenant1 + "/oauth2/v2.0/token", base + tenant1 + "/discovery/v2.0/keys"},
		{"/" + tenant1 + "/.well-known/openid-configuration", "https://sts.windows.net/" + tenant1 + "/", base + tenant1 + "/oauth2/token", base + tenant1 + "/discovery/keys"},
		{"//" + strings.ToUpper(tenant1) + "//V2.0/.Well-Known/OpenID-Configuration/", base + tenant1 + "/v2.0", base + tenant1 + "/oauth2/v2.0/token", base + tenant1 + "/discovery/v2.0/keys"},
		{"/organizations/v2.0/.well-known/openid-configuration", base + "{tenantid}/v2.0", base + "organizations/oauth2/v2.0/token", base + "organizations/discovery/v2.0/keys"},
		{"/common/.well-known/openid-configuration", "https://sts.windows.net/{tenantid}/", base + "common/oauth2/token", base + "common/discovery/keys"},
	} {
		got := w.get(tc.path)
		if got.status != http.StatusOK || got.text("issuer") != tc.issuer || got.text("token_endpoint") != tc.token || got.text("jwks_uri") != tc.keys {
			t.Errorf("%s: %d %s", tc.path, got.status, got.raw)
		}
		for _, member := range []string{"authorization_endpoint", "device_authorization_endpoint"} {
			if !strings.HasPrefix(got.text(member), base) {
				t.Errorf("%s: %s is %q", tc.path, member, got.text(member))
			}
		}
	}
	for _, tc := range []struct {
		path string
		code int
	}{
		{"/" + nobody + "/v2.0/.well-known/openid-configuration", 90002},
		{"/" + nobody + "/discovery/v2.0/keys", 90002},
		{"/consumers/v2.0/.well-known/openid-configuration", 900023},
		{"/a_b/.well-known/openid-configuration", 900023},
	} {
		checkError(t, tc.path, w, w.get(tc.path), 400, "invalid_request", tc.code, "")
	}
}

// Addresses follow the host that was asked, if it is one of ours, and no other.
func TestConfigurationHosts(t *testing.T) {
	w := newWorld(t)
	for host, want := range map[string]string{
		"login.microsoftonline.com:443": "login.microsoftonline.com", "LOGIN.windows.net": "login.windows.net",
		"sts.windows.net": "login.microsoftonline.com", "evil.example": "login.microsoftonline.com", "": "login.microsoftonline.com",
	} {
		r := httptest.NewRequest(http.MethodGet, "/"+tenant1+"/v2.0/.well-known/openid-configuration", nil)
		r.Host = host
		if got := w.do(r); got.text("token_endpoint") != "https://"+want+"/"+tenant1+"/oauth2/v2.0/token" {
			t.Errorf("host %q: %s", host, got.text("token_endpoint"))
		}
	}
}

// The published keys verify a token by themselves, as a foreign service would do it.
func TestKeysVerifyTokens(t *testing.T) {
	w := newWorld(t)
	raw := w.post("/"+tenant1+"/oauth2/v2.0/token", w.form()).text("access_token")
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/common/discovery/keys", "/common/discovery/v2.0/keys", "/" + tenant1 + "/discovery/keys", "/" + tenant2 + "/discovery/v2.0/keys"} {
		got := w.get(path)
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(got.raw, &set); err != nil || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v %v", path, err, got.header)
		}
		if _, err := signed.Verify(set); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestInstanceDiscovery(t *testing.T) {
	w := newWorld(t)
	ask := func(version, endpoint string) answer {
		return w.get("/common/discovery/instance?api-version=" + version + "&authorization_endpoint=" + url.QueryEscape(endpoint))
	}
	got := ask("1.1", "https://login.microsoftonline.com/common/oauth2/authorize")
	want := map[string]any{
		"tenant_discovery_endpoint": "https://login.microsoftonline.com/common/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
			"aliases": []any{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}}},
	}
	if diff := cmp.Diff(want, got.json); got.status != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got):\n%s", got.status, diff)
	}
	got = ask("1.0", "https://login.windows.net:443/"+tenant1+"/oauth2/v2.0/authorize")
	if got.text("tenant_discovery_endpoint") != "https://login.windows.net/"+tenant1+"/v2.0/.well-known/openid-configuration" || len(got.json) != 1 {
		t.Errorf("1.0: %s", got.raw)
	}
	for _, endpoint := range []string{"https://evil.example/common/oauth2/authorize", "http://login.microsoftonline.com/common", "::", "https://login.microsoftonline.com.evil.example/"} {
		checkError(t, endpoint, w, ask("1.1", endpoint), 400, "invalid_instance", 50049, "Unknown or invalid instance.")
	}
	checkError(t, "nothing asked", w, w.get("/common/discovery/instance?api-version=1.1"), 400, "invalid_request", 900144, "'authorization_endpoint'")
}

func TestPathsThatAreNotThere(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/common", "/" + tenant1 + "/oauth2/v3.0/token", "/" + tenant1 + "/" + strings.Repeat("a/", 600)} {
		checkError(t, path[:min(len(path), 60)], w, w.get(path), 404, "invalid_request", 0, "There is nothing at the path")
	}
	got := w.post("/"+tenant1+"/discovery/keys", nil)
	checkError(t, "POST on keys", w, got, 405, "invalid_request", 0, "only accepts GET")
	if got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", got.header.Get("Allow"))
	}
}
