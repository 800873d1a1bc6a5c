package login

import (
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"vitrine/internal/directory"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/web"
)

// token answers the token endpoint of version 1 or 2.
func (d *door) token(c call, version int) error {
	if c.r.Method != http.MethodPost {
		return onlyMethods(c.r, http.StatusBadRequest, 900561, "POST")
	}
	form, err := readForm(c.r)
	if err != nil {
		return err
	}
	grantType := form["grant_type"]
	if err := d.grants.Check(grantType); err != nil {
		return err
	}
	q := d.request(c, version, form)
	if q.Client, err = readCredentials(c.r, form); err != nil {
		return err
	}
	web.Annotate(c.r.Context(), slog.String("client", aadsts.Clip(q.Client.ID)))
	if q.Tenant, err = d.grantTenant(c, grantType); err != nil {
		return err
	}
	reply, err := d.grants.Token(c.r.Context(), q)
	if err := d.told(c, q, reply, err); err != nil {
		return err
	}
	if origin := c.r.Header.Get("Origin"); origin != "" { // a single-page application; what it may have is in its request
		c.w.Header().Set("Access-Control-Allow-Origin", "*")
	}
	return d.replyToken(c, version, reply)
}

func (d *door) request(c call, version int, form form) grant.Request {
	return grant.Request{Form: form, Version: version, TenantName: c.tenant, Source: source(c.r), Correlation: web.CorrelationID(c.r.Context())}
}

// source is the address that a request came from, for limits.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// grantTenant finds the tenant of a request; none for one of a person that names a group of tenants.
func (d *door) grantTenant(c call, grantType string) (directory.Tenant, error) {
	if !grant.Common(c.tenant) {
		return d.tenant(c.r.Context(), c.tenant)
	}
	if !grant.NeedsTenant(grantType) {
		return directory.Tenant{}, nil
	}
	if c.tenant == "organizations" {
		return directory.Tenant{}, aadsts.Fail(http.StatusBadRequest, "invalid_request", 50059,
			"No tenant-identifying information found in either the request or implied by any provided credentials.")
	}
	return directory.Tenant{}, aadsts.Fail(http.StatusBadRequest, "invalid_request", 9001023,
		"The grant type '%s' is not supported over the /common or /consumers endpoints. Please use the /organizations or "+
			"tenant-specific endpoint.", grantType)
}

// replyToken renders a reply in the form of the endpoint's version.
func (d *door) replyToken(c call, version int, r grant.Reply) error {
	h := c.w.Header()
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	seconds := int(r.Claims.ExpiresIn().Seconds())
	person := personal{Scope: r.Scope, Refresh: r.Refresh, IDToken: r.IDToken, ClientInfo: r.ClientInfo}
	if version == 2 {
		return reply(c, replyV2{"Bearer", seconds, seconds, r.AccessToken, person})
	}
	text := strconv.Itoa(seconds)
	return reply(c, replyV1{"Bearer", text, text, strconv.FormatInt(r.Claims.Expiry, 10),
		strconv.FormatInt(r.Claims.NotBefore, 10), r.Claims.Audience, r.AccessToken, person})
}

// personal is what only the reply for a person has.
type personal struct {
	Scope      string `json:"scope,omitempty"`
	Refresh    string `json:"refresh_token,omitempty"`
	IDToken    string `json:"id_token,omitempty"`
	ClientInfo string `json:"client_info,omitempty"`
}

// replyV1 has its numbers as strings, as the v1 endpoint always had.
type replyV1 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    string `json:"expires_in"`
	ExtExpiresIn string `json:"ext_expires_in"`
	ExpiresOn    string `json:"expires_on"`
	NotBefore    string `json:"not_before"`
	Resource     string `json:"resource"`
	AccessToken  string `json:"access_token"`
	personal
}

type replyV2 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
	personal
}
