package sdk

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// azidentity tries each credential of the library by using it for a call to Resource Manager.
func (w *world) azidentity(t *testing.T) {
	federated := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(federated, []byte(w.issuer.token(t, federatedSubject)), 0o600); err != nil {
		t.Fatal(err)
	}
	at, certs := w.contoso.TenantID, []*x509.Certificate{w.certificate}
	b := newBrowser(t, w.alice)
	opened := w.openBy(t, b)
	prompt := func(_ context.Context, m azidentity.DeviceCodeMessage) error {
		b.approve(m.VerificationURL, m.UserCode)
		return nil
	}
	for _, row := range []struct {
		name   string
		make   func() (azcore.TokenCredential, error)
		claims []string
	}{
		{"ClientSecretCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientSecretCredential(at, w.daemon.AppID, w.daemon.Password, nil)
		}, []string{"appidacr", "1", "oid", w.daemon.ObjectID}},
		{"ClientCertificateCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(at, w.daemon.AppID, certs, w.key, nil)
		}, []string{"appidacr", "2", "oid", w.daemon.ObjectID}},
		{"ClientCertificateCredential with its chain", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientCertificateCredential(at, w.daemon.AppID, certs, w.key, &azidentity.ClientCertificateCredentialOptions{SendCertificateChain: true})
		}, []string{"appidacr", "2"}},
		{"ClientAssertionCredential, own key", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientAssertionCredential(at, w.daemon.AppID, w.assertion(t, w.daemon), nil)
		}, []string{"appidacr", "2"}},
		{"ClientAssertionCredential, federated", func() (azcore.TokenCredential, error) {
			return azidentity.NewClientAssertionCredential(at, w.daemon.AppID, func(context.Context) (string, error) { return w.issuer.token(t, federatedSubject), nil }, nil)
		}, []string{"appidacr", "2"}},
		{"WorkloadIdentityCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{TenantID: at, ClientID: w.daemon.AppID, TokenFilePath: federated})
		}, []string{"appidacr", "2", "oid", w.daemon.ObjectID}},
		{"EnvironmentCredential, certificate file", func() (azcore.TokenCredential, error) {
			w.environment(t, map[string]string{"AZURE_CLIENT_CERTIFICATE_PATH": w.pem})
			return azidentity.NewEnvironmentCredential(nil)
		}, []string{"appidacr", "2"}},
		{"DefaultAzureCredential, secret", func() (azcore.TokenCredential, error) {
			w.environment(t, map[string]string{"AZURE_CLIENT_SECRET": w.daemon.Password, "AZURE_CLIENT_CERTIFICATE_PATH": ""})
			return azidentity.NewDefaultAzureCredential(nil)
		}, []string{"appidacr", "1", "oid", w.daemon.ObjectID}},
		{"DeviceCodeCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{UserPrompt: prompt})
		}, []string{"oid", w.alice.ObjectID, "appid", azureCLI, "appidacr", "0"}},
		{"DeviceCodeCredential, own application", func() (azcore.TokenCredential, error) {
			return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{TenantID: at, ClientID: w.tool.AppID, UserPrompt: prompt})
		}, []string{"oid", w.alice.ObjectID, "appid", w.tool.AppID}},
		{"UsernamePasswordCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewUsernamePasswordCredential(at, w.tool.AppID, w.alice.UserPrincipalName, w.alice.Password, nil)
		}, []string{"oid", w.alice.ObjectID}},
		{"InteractiveBrowserCredential", func() (azcore.TokenCredential, error) {
			return azidentity.NewInteractiveBrowserCredential(nil)
		}, []string{"oid", w.alice.ObjectID, "appid", azureCLI}},
		{"InteractiveBrowserCredential, own application", func() (azcore.TokenCredential, error) {
			return azidentity.NewInteractiveBrowserCredential(&azidentity.InteractiveBrowserCredentialOptions{TenantID: at, ClientID: w.tool.AppID, LoginHint: w.alice.UserPrincipalName})
		}, []string{"oid", w.alice.ObjectID, "appid", w.tool.AppID}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := row.make()
			if err != nil {
				t.Fatal(err)
			}
			works(t, c, w.contoso.SubscriptionID)
			got := get(t, c, policy.TokenRequestOptions{})
			says(t, got, row.claims...)
			if again := get(t, c, policy.TokenRequestOptions{}); again != got {
				t.Error("the second token is not the cached one")
			}
			if cae := get(t, c, policy.TokenRequestOptions{EnableCAE: true}); cae == "" { // another cache, another token, and no question to the person
				t.Error("no token for a client that can handle claims challenges")
			}
			graph := get(t, c, policy.TokenRequestOptions{Scopes: []string{graphScope}})
			says(t, graph, "aud", "https://graph.microsoft.com")
		})
	}
	if n := opened(); n != 4 { // two credentials, each once for each of its caches
		t.Errorf("the browser was opened %d times, want 4", n)
	}
	t.Run("other tenants", w.azidentityTenants)
	t.Run("what is refused", w.azidentityRefusals)
}

// environment is the daemon's, as azidentity reads it.
func (w *world) environment(t *testing.T, more map[string]string) {
	t.Helper()
	t.Setenv("AZURE_TENANT_ID", w.contoso.TenantID)
	t.Setenv("AZURE_CLIENT_ID", w.daemon.AppID)
	for name, value := range more {
		t.Setenv(name, value)
	}
}

func get(t *testing.T, c azcore.TokenCredential, o policy.TokenRequestOptions) string {
	t.Helper()
	if o.Scopes == nil {
		o.Scopes = []string{armScope}
	}
	got, err := c.GetToken(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.ExpiresOn); left < 50*time.Minute || left > 70*time.Minute {
		t.Errorf("good for %v", left)
	}
	return got.Token
}

// assertion is what an application says of itself, signed with its own key: PS256 and the certificate's SHA-256.
func (w *world) assertion(t *testing.T, a app) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		key := jose.SigningKey{Algorithm: jose.PS256, Key: jose.JSONWebKey{Key: w.key, KeyID: thumbprint(w.certificate)}}
		return sign(t, key, map[string]any{"iss": a.AppID, "sub": a.AppID, "aud": authority + w.contoso.TenantID + "/oauth2/v2.0/token", "jti": uuid.NewString(),
			"nbf": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix()}), nil
	}
}

func (w *world) azidentityTenants(t *testing.T) {
	c := must(azidentity.NewClientSecretCredential(w.contoso.TenantID, w.daemon.AppID, w.daemon.Password,
		&azidentity.ClientSecretCredentialOptions{AdditionallyAllowedTenants: []string{w.fabrikam.TenantID}}))
	says(t, get(t, c, policy.TokenRequestOptions{}), "tid", w.contoso.TenantID)
	abroad := get(t, c, policy.TokenRequestOptions{TenantID: w.fabrikam.TenantID})
	says(t, abroad, "tid", w.fabrikam.TenantID, "appid", w.daemon.AppID)
	works(t, fixed(abroad), w.fabrikam.SubscriptionID)
	narrow := must(azidentity.NewClientSecretCredential(w.contoso.TenantID, w.daemon.AppID, w.daemon.Password, nil))
	_, err := narrow.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}, TenantID: w.fabrikam.TenantID})
	fails(t, err, "isn't configured to acquire tokens for tenant") // the library's own refusal
	certificate := must(azidentity.NewClientCertificateCredential(w.contoso.TenantID, w.daemon.AppID, []*x509.Certificate{w.certificate}, w.key,
		&azidentity.ClientCertificateCredentialOptions{AdditionallyAllowedTenants: []string{"*"}}))
	works(t, fixed(get(t, certificate, policy.TokenRequestOptions{TenantID: w.fabrikam.TenantID})), w.fabrikam.SubscriptionID)
}

func (w *world) azidentityRefusals(t *testing.T) {
	at := w.contoso.TenantID
	secret := func(tenant string, a app, password string) azcore.TokenCredential {
		return must(azidentity.NewClientSecretCredential(tenant, a.AppID, password, nil))
	}
	user := func(name, password string) azcore.TokenCredential {
		return must(azidentity.NewUsernamePasswordCredential(at, w.tool.AppID, name, password, nil))
	}
	for _, row := range []struct {
		name string
		c    azcore.TokenCredential
		says []string
	}{
		{"wrong secret", secret(at, w.daemon, "wrong"), []string{"ClientSecretCredential authentication failed", "401 Unauthorized", "AADSTS7000215"}},
		{"single-tenant abroad", secret(w.fabrikam.TenantID, w.home, w.home.Password), []string{"AADSTS700016"}},
		{"unknown tenant", secret(w.daemon.AppID, w.daemon, w.daemon.Password), []string{"AADSTS90002"}},
		{"another's certificate", must(azidentity.NewClientCertificateCredential(at, w.home.AppID, []*x509.Certificate{w.certificate}, w.key, nil)), []string{"AADSTS700027"}},
		{"another's assertion", must(azidentity.NewClientAssertionCredential(at, w.daemon.AppID, w.assertion(t, w.home), nil)), []string{"AADSTS700021"}},
		{"wrong password", user(w.alice.UserPrincipalName, "wrong"), []string{"AADSTS50126"}},
		{"unknown person", user("nobody@contoso.onmicrosoft.com", "wrong"), []string{"AADSTS50034"}},
		{"on behalf of", must(azidentity.NewOnBehalfOfCredentialWithSecret(at, w.daemon.AppID, w.issuer.token(t, federatedSubject), w.daemon.Password, nil)), []string{"AADSTS70003"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := row.c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{armScope}})
			fails(t, err, row.says...)
		})
	}
	works(t, secret(at, w.home, w.home.Password)) // proved, and without a role: no subscription
}
