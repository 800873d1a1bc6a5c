package login

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// configuration answers OpenID Connect discovery. It names only what this server can do. az reads the tenant from the path of
// token_endpoint, so that path holds the ID.
func (d *door) configuration(c call, version int) error {
	tenant, issuer := strings.ToLower(c.tenant), token.Issuer("{tenantid}", version)
	if tenant != "common" && tenant != "organizations" {
		t, err := d.tenant(c.r.Context(), c.tenant)
		if err != nil {
			return err
		}
		tenant, issuer = t.ID, token.Issuer(t.ID, version)
	}
	base := "https://" + canonicalHost(c.r.Host) + "/" + tenant
	oauth, keys := base+"/oauth2", "/discovery/keys"
	if version == 2 {
		oauth, keys = base+"/oauth2/v2.0", "/discovery/v2.0/keys"
	}
	return reply(c, map[string]any{
		"issuer":                                           issuer,
		"token_endpoint":                                   oauth + "/token",
		"authorization_endpoint":                           oauth + "/authorize",
		"device_authorization_endpoint":                    oauth + "/devicecode",
		"end_session_endpoint":                             oauth + "/logout",
		"jwks_uri":                                         base + keys,
		"grant_types_supported":                            d.grants.Types(),
		"token_endpoint_auth_methods_supported":            []string{"client_secret_post", "client_secret_basic", "private_key_jwt"},
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query", "fragment", "form_post"},
		"subject_types_supported":                          []string{"pairwise"},
		"id_token_signing_alg_values_supported":            []string{"RS256"},
		"scopes_supported":                                 []string{"openid", "profile", "email", "offline_access"},
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "PS256", "ES256"},
		"request_uri_parameter_supported":                  false,
		"claims_supported": []string{"aud", "iss", "iat", "nbf", "exp", "appid", "appidacr", "idp", "idtyp", "oid",
			"sub", "tid", "uti", "ver", "name", "preferred_username", "upn", "nonce", "scp"},
		"cloud_instance_name":   "microsoftonline.com",
		"cloud_graph_host_name": "graph.windows.net",
		"msgraph_host":          "graph.microsoft.com",
	})
}

// keys answers the key set, which is the same for all tenants.
func (d *door) keys(c call) error {
	if !grant.Common(c.tenant) {
		if _, err := d.tenant(c.r.Context(), c.tenant); err != nil {
			return err
		}
	}
	set, err := d.Tokens.Keys(c.r.Context())
	if err != nil {
		return err
	}
	return reply(c, set)
}

// instance answers which names stand for this cloud. MSAL asks it about authorities it does not know by itself, and for
// the aliases under which its cache may hold a token.
func (d *door) instance(c call) error {
	q := c.r.URL.Query()
	endpoint := q.Get("authorization_endpoint")
	if endpoint == "" {
		return aadsts.MissingParameter("authorization_endpoint")
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || !slices.Contains(aliases(), bareHost(u.Host)) {
		return aadsts.Fail(http.StatusBadRequest, "invalid_instance", 50049, "Unknown or invalid instance.")
	}
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	document := "/.well-known/openid-configuration"
	if strings.HasPrefix(strings.ToLower(rest), "oauth2/v2.0/") {
		document = "/v2.0" + document
	}
	answer := map[string]any{"tenant_discovery_endpoint": "https://" + bareHost(u.Host) + "/" + url.PathEscape(tenant) + document}
	if q.Get("api-version") != "1.0" && q.Get("api-version") != "" {
		answer["api-version"] = "1.1"
		answer["metadata"] = []any{map[string]any{"preferred_network": Hosts()[0], "preferred_cache": Hosts()[1], "aliases": aliases()}}
	}
	return reply(c, answer)
}

// aliases are the names that MSAL takes for one and the same cloud; the third is not served here, but a token cache that
// was filled under it stays usable.
func aliases() []string {
	return []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}
}

// canonicalHost is the host for absolute addresses: the one that was asked, if it is ours. A Host header of another name
// must not find its way into a document.
func canonicalHost(host string) string {
	if h := bareHost(host); slices.Contains(Hosts()[:2], h) {
		return h
	}
	return Hosts()[0]
}

// bareHost drops the port, which MSAL writes out as :443.
func bareHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(host)
}

func reply(c call, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("login: encode an answer: %w", err)
	}
	web.Write(c.w, http.StatusOK, aadsts.JSON, body)
	return nil
}
