package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/arm"
)

// Credentials are a service principal's, as az login --service-principal takes them.
type Credentials struct {
	Tenant string
	AppID  string
	Secret string
}

// Complete says whether nothing is missing.
func (c Credentials) Complete() bool { return c.Tenant != "" && c.AppID != "" && c.Secret != "" }

// Tokens signs in with the credentials at login.microsoftonline.com, through the server's proxy.
func (c Credentials) Tokens(s Server) (TokenSource, error) {
	h, err := s.HTTP()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (Token, error) { return c.signIn(ctx, h) }, nil
}

func (c Credentials) signIn(ctx context.Context, h *http.Client) (Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.AppID}, "client_secret": {c.Secret},
		"scope": {"https://management.azure.com/.default"}}
	target := url.URL{Scheme: "https", Host: "login.microsoftonline.com", Path: "/" + c.Tenant + "/oauth2/v2.0/token"}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := h.Do(req)
	if err != nil {
		return Token{}, unreachable(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return Token{}, fmt.Errorf("sign in: the server answered %d: %w", resp.StatusCode, err)
	}
	if answer.Error != "" || answer.AccessToken == "" {
		first, _, _ := strings.Cut(answer.Description, "\r\n")
		return Token{}, fmt.Errorf("sign in as %s: %s: %s", c.AppID, answer.Error, first)
	}
	return Token{AccessToken: answer.AccessToken, TenantID: c.Tenant, AppID: c.AppID,
		Expires: time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)}, nil
}

// Tokens issues tokens of a tenant's first service principal by the operator's right.
func (o *Operator) Tokens(tenant string) TokenSource {
	return o.source(TokenRequest{Tenant: tenant})
}

func (o *Operator) source(in TokenRequest) TokenSource {
	return func(ctx context.Context) (t Token, err error) {
		err = o.Do(ctx, "/v1/tokens", in, &t)
		return t, err
	}
}

// Tenants lists the tenants of the installation.
func (o *Operator) Tenants(ctx context.Context) (list []TenantInfo, err error) {
	err = o.Do(ctx, "/v1/tenants", nil, &list)
	return list, err
}

// TenantOf finds the tenant that owns a subscription.
func (o *Operator) TenantOf(ctx context.Context, subscription string) (TenantInfo, error) {
	list, err := o.Tenants(ctx)
	if err != nil {
		return TenantInfo{}, err
	}
	for _, t := range list {
		for _, s := range t.Subscriptions {
			if strings.EqualFold(s.SubscriptionID, subscription) {
				return t, nil
			}
		}
	}
	return TenantInfo{}, arm.Errorf(404, "SubscriptionNotFound", "The subscription '%s' could not be found; 'vitrine tenant list' shows those that there are.", subscription)
}

// SerialLog is the end of what a machine wrote to its serial port, by its vmId.
func (o *Operator) SerialLog(ctx context.Context, vmID string) (string, error) {
	var out struct {
		Text string `json:"text"`
	}
	err := o.Do(ctx, "/v1/serial?vm="+url.QueryEscape(vmID), nil, &out)
	return out.Text, err
}
