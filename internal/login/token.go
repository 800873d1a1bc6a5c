package login

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"vitrine/internal/directory"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// tokenRequest is a request to the token endpoint, its form read and its tenant found.
type tokenRequest struct {
	call
	form    form
	version int // of the endpoint
	tenant  directory.Tenant
	client  credentials
}

// token answers the token endpoint of version 1 or 2.
func (d *door) token(c call, version int) error {
	if c.r.Method != http.MethodPost {
		f := fail(http.StatusBadRequest, "invalid_request", 900561,
			"The endpoint only accepts POST requests. Received a %s request.", clip(c.r.Method))
		f.header = map[string]string{"Allow": "POST"}
		return f
	}
	form, err := readForm(c.r)
	if err != nil {
		return err
	}
	q := tokenRequest{call: c, form: form, version: version}
	grant := d.grant(form["grant_type"])
	switch {
	case form["grant_type"] == "":
		return missingParameter("grant_type")
	case grant == nil:
		return fail(http.StatusBadRequest, "unsupported_grant_type", 70003,
			"The app requested an unsupported grant type '%s'.", clip(form["grant_type"]))
	}
	if q.client, err = readCredentials(c.r, form); err != nil {
		return err
	}
	web.Annotate(c.r.Context(), slog.String("client", clip(q.client.id)))
	if q.tenant, err = d.grantTenant(c, form["grant_type"]); err != nil {
		return err
	}
	return grant(q)
}

// grant is the table of grant types: one function, in a file of its own, for each.
func (d *door) grant(grantType string) func(tokenRequest) error {
	return map[string]func(tokenRequest) error{
		"client_credentials": d.clientCredentials,
	}[grantType]
}

// grantTenant finds the tenant of a grant that needs one.
func (d *door) grantTenant(c call, grantType string) (directory.Tenant, error) {
	if !isCommon(c.tenant) {
		return d.tenant(c.r.Context(), c.tenant)
	}
	if c.tenant == "organizations" {
		return directory.Tenant{}, fail(http.StatusBadRequest, "invalid_request", 50059,
			"No tenant-identifying information found in either the request or implied by any provided credentials.")
	}
	return directory.Tenant{}, fail(http.StatusBadRequest, "invalid_request", 9001023,
		"The grant type '%s' is not supported over the /common or /consumers endpoints. Please use the /organizations or "+
			"tenant-specific endpoint.", grantType)
}

// issue makes the token, notes it in the log and replies in the form of the endpoint's version.
func (d *door) issue(q tokenRequest, r token.Request) error {
	raw, claims, err := d.Tokens.Issue(q.r.Context(), r)
	if err != nil {
		return fmt.Errorf("login: issue a token: %w", err)
	}
	d.Log.LogAttrs(q.r.Context(), slog.LevelInfo, "token issued",
		slog.String("grant", q.form["grant_type"]), slog.String("tenant", r.TenantID), slog.String("client", r.AppID),
		slog.String("object", r.ObjectID), slog.String("audience", claims.Audience), slog.String("uti", claims.UniqueID),
		slog.Time("expires", claims.Expires()), slog.String("correlation", web.CorrelationID(q.r.Context())))
	h := q.w.Header()
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	seconds := int(claims.ExpiresIn().Seconds())
	if q.version == 2 {
		return reply(q.call, replyV2{"Bearer", seconds, seconds, raw})
	}
	text := strconv.Itoa(seconds)
	return reply(q.call, replyV1{"Bearer", text, text, strconv.FormatInt(claims.Expiry, 10),
		strconv.FormatInt(claims.NotBefore, 10), claims.Audience, raw})
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
}

type replyV2 struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
}
