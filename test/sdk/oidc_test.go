package sdk

import (
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// oidc is a web site that knows nothing of Microsoft: OpenID Connect by discovery, and OAuth.
func (w *world) oidc(t *testing.T) {
	p := w.provider(t, w.contoso)
	t.Run("discovery", func(t *testing.T) { w.oidcDiscovery(t, p) })
	t.Run("code", func(t *testing.T) { w.oidcCode(t, p) })
	t.Run("device", func(t *testing.T) { w.oidcDevice(t, p) })
	t.Run("client credentials", func(t *testing.T) { w.oidcClient(t, p) })
}

func (w *world) provider(t *testing.T, at tenant) *oidc.Provider {
	t.Helper()
	p, err := oidc.NewProvider(t.Context(), authority+at.TenantID+"/v2.0")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) oidcDiscovery(t *testing.T, p *oidc.Provider) {
	e := p.Endpoint()
	base := authority + w.contoso.TenantID + "/oauth2/v2.0/"
	if e.AuthURL != base+"authorize" || e.TokenURL != base+"token" || e.DeviceAuthURL != base+"devicecode" {
		t.Errorf("endpoints %+v", e)
	}
	_, err := oidc.NewProvider(t.Context(), authority+w.daemon.AppID+"/v2.0")
	fails(t, err, "AADSTS90002")
	// The document of all tenants has a template for the issuer, as Entra's has; the library wants to be told.
	_, err = oidc.NewProvider(t.Context(), authority+"common/v2.0")
	fails(t, err, "did not match the issuer URL", "{tenantid}")
	all := oidc.InsecureIssuerURLContext(t.Context(), authority+"{tenantid}/v2.0")
	if _, err = oidc.NewProvider(all, authority+"common/v2.0"); err != nil {
		t.Error(err)
	}
	_, err = p.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "x"}))
	fails(t, err, "user info endpoint is not supported") // and not promised either
}

func (w *world) oidcCode(t *testing.T, p *oidc.Provider) {
	ctx := t.Context()
	c := oauth2.Config{ClientID: w.site.AppID, ClientSecret: w.site.Password, Endpoint: p.Endpoint(), RedirectURL: callback,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess, "https://management.azure.com/user_impersonation"}}
	verifier := oauth2.GenerateVerifier()
	code := answered(t, newBrowser(t, w.alice).open(c.AuthCodeURL("s2", oidc.Nonce("n-1"), oauth2.S256ChallengeOption(verifier))), "s2")
	_, err := c.Exchange(ctx, code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
	fails(t, err, "AADSTS501481")
	got, err := c.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
	raw, _ := got.Extra("id_token").(string)
	w.oidcVerify(t, p, raw, "n-1")
	wrongUse := p.Verifier(&oidc.Config{SkipClientIDCheck: true})
	if _, err := wrongUse.Verify(ctx, got.AccessToken); err == nil {
		t.Error("an access token of another issuer's form passed for an ID token")
	}
	renewed, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: got.RefreshToken, Expiry: time.Now().Add(-time.Minute)}).Token()
	if err != nil {
		t.Fatal(err)
	}
	if renewed.AccessToken == got.AccessToken || renewed.RefreshToken == got.RefreshToken || renewed.RefreshToken == "" {
		t.Error("renewing gave no new tokens")
	}
	works(t, fixed(renewed.AccessToken), w.contoso.SubscriptionID)
	if raw, _ = renewed.Extra("id_token").(string); raw != "" {
		w.oidcVerify(t, p, raw, "")
	}
}

// oidcVerify checks an ID token, and that it passes for nobody and nowhere else.
func (w *world) oidcVerify(t *testing.T, p *oidc.Provider, raw, nonce string) {
	t.Helper()
	ctx := t.Context()
	id, err := p.Verifier(&oidc.Config{ClientID: w.site.AppID}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var who struct {
		OID  string `json:"oid"`
		TID  string `json:"tid"`
		Name string `json:"preferred_username"`
	}
	if err := id.Claims(&who); err != nil {
		t.Fatal(err)
	}
	if id.Nonce != nonce || who.OID != w.alice.ObjectID || who.TID != w.contoso.TenantID || who.Name != w.alice.UserPrincipalName || id.Subject == "" {
		t.Errorf("ID token %+v of %+v", id, who)
	}
	_, err = p.Verifier(&oidc.Config{ClientID: w.tool.AppID}).Verify(ctx, raw)
	fails(t, err, "expected audience")
	_, err = w.provider(t, w.fabrikam).Verifier(&oidc.Config{ClientID: w.site.AppID}).Verify(ctx, raw)
	fails(t, err, "issued by a different provider")
	late := oidc.Config{ClientID: w.site.AppID, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}
	_, err = p.Verifier(&late).Verify(ctx, raw)
	fails(t, err, "token is expired")
	parts := strings.Split(raw, ".")
	parts[2] = strings.Repeat("A", len(parts[2]))
	_, err = p.Verifier(&oidc.Config{ClientID: w.site.AppID}).Verify(ctx, strings.Join(parts, "."))
	fails(t, err, "failed to verify")
}

func (w *world) oidcDevice(t *testing.T, p *oidc.Provider) {
	c := oauth2.Config{ClientID: w.tool.AppID, Endpoint: p.Endpoint(), Scopes: []string{oidc.ScopeOpenID, armScope}}
	d, err := c.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.Interval = 1 // the library waits that long before it asks for the first time; the server lets the first question through
	newBrowser(t, w.alice).approve(d.VerificationURI, d.UserCode)
	got, err := c.DeviceAccessToken(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
	raw, _ := got.Extra("id_token").(string)
	if _, err := p.Verifier(&oidc.Config{ClientID: w.tool.AppID}).Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
}

// oidcClient proves the secret in both ways of RFC 6749, 2.3.1.
func (w *world) oidcClient(t *testing.T, p *oidc.Provider) {
	for name, style := range map[string]oauth2.AuthStyle{"Basic": oauth2.AuthStyleInHeader, "form": oauth2.AuthStyleInParams} {
		c := clientcredentials.Config{ClientID: w.daemon.AppID, ClientSecret: w.daemon.Password, TokenURL: p.Endpoint().TokenURL, Scopes: []string{armScope}, AuthStyle: style}
		got, err := c.Token(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
		c.ClientSecret = "wrong"
		_, err = c.Token(t.Context())
		fails(t, err, "invalid_client", "AADSTS7000215")
	}
}
