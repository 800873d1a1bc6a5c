package sdk

import (
	"context"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

const authority = "https://login.microsoftonline.com/"

func (w *world) msal(t *testing.T) {
	t.Run("secret, cached", w.msalSecret)
	t.Run("certificate", w.msalCertificate)
	t.Run("federated token", w.msalFederated)
	t.Run("other tenant", w.msalTenants)
	t.Run("code of a web site, then silently", w.msalCode)
	t.Run("browser", w.msalBrowser)
	t.Run("device code", w.msalDevice)
	t.Run("password", w.msalPassword)
	t.Run("what is refused", w.msalRefusals)
}

// daemonBy is MSAL for the daemon with some proof.
func (w *world) daemonBy(t *testing.T, c confidential.Credential, options ...confidential.Option) confidential.Client {
	t.Helper()
	return must(confidential.New(authority+w.contoso.TenantID, w.daemon.AppID, c, options...))
}

func (w *world) msalSecret(t *testing.T) {
	c := w.daemonBy(t, must(confidential.NewCredFromSecret(w.daemon.Password)), confidential.WithClientCapabilities([]string{"cp1"}))
	first, err := c.AcquireTokenByCredential(t.Context(), []string{armScope})
	if err != nil {
		t.Fatal(err)
	}
	says(t, first.AccessToken, "appid", w.daemon.AppID, "oid", w.daemon.ObjectID, "tid", w.contoso.TenantID, "idtyp", "app", "appidacr", "1")
	works(t, fixed(first.AccessToken), w.contoso.SubscriptionID)
	again, err := c.AcquireTokenByCredential(t.Context(), []string{armScope})
	if err != nil || again.AccessToken != first.AccessToken || again.Metadata.TokenSource != confidential.TokenSourceCache {
		t.Errorf("the second token is not the cached one: %v %v", again.Metadata.TokenSource, err)
	}
}

func (w *world) msalCertificate(t *testing.T) {
	certs, key, err := confidential.CertFromPEM([]byte(w.readPEM(t)), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string][]confidential.Option{"thumbprint": nil, "x5c": {confidential.WithX5C()}} {
		c := w.daemonBy(t, must(confidential.NewCredFromCert(certs, key)), options...)
		for _, scope := range []string{armScope, graphScope} {
			got, err := c.AcquireTokenByCredential(t.Context(), []string{scope})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			says(t, got.AccessToken, "appidacr", "2", "oid", w.daemon.ObjectID)
			if scope == armScope {
				works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
			}
		}
	}
}

func (w *world) msalFederated(t *testing.T) {
	var at string
	c := w.daemonBy(t, confidential.NewCredFromAssertionCallback(func(_ context.Context, o confidential.AssertionRequestOptions) (string, error) {
		at = o.TokenEndpoint
		return w.issuer.token(t, federatedSubject), nil
	}))
	got, err := c.AcquireTokenByCredential(t.Context(), []string{armScope})
	if err != nil {
		t.Fatal(err)
	}
	if want := authority + w.contoso.TenantID + "/oauth2/v2.0/token"; at != want {
		t.Errorf("the token endpoint is %s, want %s", at, want)
	}
	works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
}

func (w *world) msalTenants(t *testing.T) {
	c := w.daemonBy(t, must(confidential.NewCredFromSecret(w.daemon.Password)))
	for _, at := range []tenant{w.contoso, w.fabrikam} {
		got, err := c.AcquireTokenByCredential(t.Context(), []string{armScope}, confidential.WithTenantID(at.TenantID))
		if err != nil {
			t.Fatal(err)
		}
		says(t, got.AccessToken, "tid", at.TenantID, "appid", w.daemon.AppID)
		works(t, fixed(got.AccessToken), at.SubscriptionID)
	}
}

// msalCode is a web site: the person signs in at the token service, the site redeems the code with its secret, and later gets
// further tokens without the person.
func (w *world) msalCode(t *testing.T) {
	c := must(confidential.New(authority+w.contoso.TenantID, w.site.AppID, must(confidential.NewCredFromSecret(w.site.Password))))
	scopes := []string{"https://management.azure.com/user_impersonation"}
	const verifier = "0123456789-0123456789-0123456789-0123456789-abc"
	address := must(c.AuthCodeURL(t.Context(), w.site.AppID, callback, scopes)) + "&state=s1&code_challenge_method=S256&code_challenge=" + challenge(verifier)
	back := newBrowser(t, w.alice).open(address)
	code := answered(t, back, "s1")
	got, err := c.AcquireTokenByAuthCode(t.Context(), code, callback, scopes, confidential.WithChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if got.Account.PreferredUsername != w.alice.UserPrincipalName || got.Account.HomeAccountID != w.alice.ObjectID+"."+w.contoso.TenantID {
		t.Errorf("account %+v", got.Account)
	}
	says(t, got.AccessToken, "oid", w.alice.ObjectID, "upn", w.alice.UserPrincipalName, "scp", "user_impersonation", "appid", w.site.AppID)
	works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
	silent := func(scope string, options ...confidential.AcquireSilentOption) confidential.AuthResult {
		t.Helper()
		r, err := c.AcquireTokenSilent(t.Context(), []string{scope}, append(options, confidential.WithSilentAccount(got.Account))...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := silent(scopes[0]); r.AccessToken != got.AccessToken || r.Metadata.TokenSource != confidential.TokenSourceCache {
		t.Errorf("silently: not the cached one: %v", r.Metadata.TokenSource)
	}
	if r := silent("https://graph.microsoft.com/User.Read"); r.Metadata.TokenSource != confidential.TokenSourceIdentityProvider {
		t.Errorf("for Graph: %v", r.Metadata.TokenSource)
	} else {
		says(t, r.AccessToken, "oid", w.alice.ObjectID, "scp", "User.Read")
	}
	_, err = c.AcquireTokenByAuthCode(t.Context(), code, callback, scopes, confidential.WithChallenge(verifier))
	fails(t, err, "AADSTS54005")
}

// msalBrowser is a program on a person's machine: it listens on a loopback port of its own choice.
func (w *world) msalBrowser(t *testing.T) {
	c := must(public.New(w.tool.AppID, public.WithAuthority(authority+w.contoso.TenantID)))
	got, err := c.AcquireTokenInteractive(t.Context(), []string{armScope}, public.WithOpenURL(newBrowser(t, w.alice).follow), public.WithLoginHint(w.alice.UserPrincipalName))
	if err != nil {
		t.Fatal(err)
	}
	says(t, got.AccessToken, "appid", w.tool.AppID, "oid", w.alice.ObjectID, "appidacr", "0")
	works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
	accounts, err := c.Accounts(t.Context())
	if err != nil || len(accounts) != 1 {
		t.Fatalf("accounts %v %v", accounts, err)
	}
	again, err := c.AcquireTokenSilent(t.Context(), []string{armScope}, public.WithSilentAccount(accounts[0]))
	if err != nil || again.AccessToken != got.AccessToken {
		t.Errorf("silently: %v", err)
	}
	again, err = c.AcquireTokenSilent(t.Context(), []string{graphScope}, public.WithSilentAccount(accounts[0]))
	if err != nil || again.Metadata.TokenSource != public.TokenSourceIdentityProvider {
		t.Errorf("silently for Graph: %v", err)
	}
}

func (w *world) msalDevice(t *testing.T) {
	for _, at := range []string{w.contoso.TenantID, "organizations"} {
		client := w.tool.AppID
		if at == "organizations" { // a single-tenant application may not be asked for there; the CLI is at home everywhere
			client = azureCLI
		}
		c := must(public.New(client, public.WithAuthority(authority+at)))
		code, err := c.AcquireTokenByDeviceCode(t.Context(), []string{armScope})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(code.Result.Message, code.Result.UserCode) || !strings.Contains(code.Result.Message, code.Result.VerificationURL) {
			t.Errorf("the message does not say what to do: %q", code.Result.Message)
		}
		newBrowser(t, w.alice).approve(code.Result.VerificationURL, code.Result.UserCode)
		got, err := code.AuthenticationResult(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		says(t, got.AccessToken, "oid", w.alice.ObjectID, "tid", w.contoso.TenantID, "appid", client)
		works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
	}
}

func (w *world) msalPassword(t *testing.T) {
	c := must(public.New(w.tool.AppID, public.WithAuthority(authority+w.contoso.TenantID)))
	got, err := c.AcquireTokenByUsernamePassword(t.Context(), []string{armScope}, w.alice.UserPrincipalName, w.alice.Password) //nolint:staticcheck // deprecated, and programs still use it
	if err != nil {
		t.Fatal(err)
	}
	works(t, fixed(got.AccessToken), w.contoso.SubscriptionID)
	_, err = c.AcquireTokenByUsernamePassword(t.Context(), []string{armScope}, w.alice.UserPrincipalName, "wrong") //nolint:staticcheck // as above
	fails(t, err, "invalid_grant", "AADSTS50126")
}

// msalRefusals: the libraries hand the number on, and programs look for it.
func (w *world) msalRefusals(t *testing.T) {
	secret := must(confidential.NewCredFromSecret(w.daemon.Password))
	with := func(tenant, client string, c confidential.Credential, scope string) error {
		_, err := must(confidential.New(authority+tenant, client, c)).AcquireTokenByCredential(t.Context(), []string{scope})
		return err
	}
	assertion := func(subject string) confidential.Credential {
		return confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
			return w.issuer.token(t, subject), nil
		})
	}
	homeSecret := must(confidential.NewCredFromSecret(w.home.Password))
	for _, row := range []struct {
		name string
		err  error
		says string
	}{
		{"wrong secret", with(w.contoso.TenantID, w.daemon.AppID, must(confidential.NewCredFromSecret("wrong")), armScope), "AADSTS7000215"},
		{"certificate of another", with(w.contoso.TenantID, w.home.AppID, must(confidential.NewCredFromCert(certsOf(w), w.key)), armScope), "AADSTS700027"},
		{"subject of another", with(w.contoso.TenantID, w.daemon.AppID, assertion("system:serviceaccount:images:other"), armScope), "AADSTS700213"},
		{"no federated credential", with(w.contoso.TenantID, w.home.AppID, assertion(federatedSubject), armScope), "AADSTS70021"},
		{"single-tenant abroad", with(w.fabrikam.TenantID, w.home.AppID, homeSecret, armScope), "AADSTS700016"},
		{"unknown application", with(w.contoso.TenantID, w.contoso.TenantID, secret, armScope), "AADSTS700016"},
		{"unknown tenant", with(w.daemon.AppID, w.daemon.AppID, secret, armScope), "AADSTS90002"},
		{"unknown resource", with(w.contoso.TenantID, w.daemon.AppID, secret, "https://vault.azure.net/.default"), "AADSTS500011"},
		{"scope of a person", with(w.contoso.TenantID, w.daemon.AppID, secret, "https://management.azure.com/user_impersonation"), "AADSTS1002012"},
	} {
		t.Run(row.name, func(t *testing.T) { fails(t, row.err, row.says) })
	}
	var token struct{ AccessToken string }
	w.ask(t, &token, "token", "--tenant", "contoso")
	_, err := w.daemonBy(t, secret).AcquireTokenOnBehalfOf(t.Context(), token.AccessToken, []string{armScope})
	fails(t, err, "AADSTS70003", "jwt-bearer") // not served, and told by name
}
