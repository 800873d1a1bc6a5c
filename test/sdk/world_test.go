package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"
)

const (
	armScope   = "https://management.azure.com/.default"
	graphScope = "https://graph.microsoft.com/.default"
	callback   = "http://localhost:8400/callback" // nobody listens there: the driver of the pages reads the address
)

type tenant struct{ TenantID, SubscriptionID, AppID, Password string }

type app struct{ AppID, ObjectID, TenantID, Password string }

type user struct{ ObjectID, UserPrincipalName, Password string }

// world is what the clients find: contoso with a daemon that fabrikam knows too, a tool without a secret, a web site, and a person.
type world struct {
	*server
	contoso, fabrikam tenant
	daemon            app // multi-tenant, Contributor of both subscriptions, with a certificate and a federated credential
	home              app // of contoso alone
	tool, site        app // a public client; a web application
	alice             user
	key               *rsa.PrivateKey
	certificate       *x509.Certificate
	pem               string // a file with both
	issuer            *issuer
}

// TestClients is one test, since Go reads the environment of a process's HTTP clients once.
func TestClients(t *testing.T) {
	w := settle(t)
	t.Run("MSAL for Go", w.msal)
	t.Run("azidentity", w.azidentity)
	t.Run("go-oidc", w.oidc)
	t.Run("JavaScript", w.javascript)
	t.Run("galleries", w.gallery)
}

func settle(t *testing.T) *world {
	t.Helper()
	issuer := newIssuer(t)
	w := &world{issuer: issuer, server: serve(t, issuer.roots, "--allow-password-grant", "--allow-issuer", issuer.URL+"=127.0.0.1")}
	w.ask(t, &w.contoso, "tenant", "create", "contoso")
	w.ask(t, &w.fabrikam, "tenant", "create", "fabrikam")
	w.ask(t, &w.daemon, "app", "create", "daemon", "--tenant", "contoso", "--multi-tenant")
	for name, a := range map[string]*app{"home": &w.home, "tool": &w.tool, "site": &w.site} {
		w.ask(t, a, "app", "create", name, "--tenant", "contoso")
	}
	var abroad app
	w.ask(t, &abroad, "app", "consent", w.daemon.AppID, "--tenant", "fabrikam")
	w.ask(t, &w.alice, "user", "create", "alice@contoso.onmicrosoft.com", "--tenant", "contoso", "--admin")
	for _, object := range []string{w.daemon.ObjectID, w.alice.ObjectID} {
		w.ask(t, &struct{}{}, "role", "assign", "Contributor", "--scope", "/subscriptions/"+w.contoso.SubscriptionID, "--principal", object)
	}
	w.ask(t, &struct{}{}, "role", "assign", "Contributor", "--scope", "/subscriptions/"+w.fabrikam.SubscriptionID, "--principal", abroad.ObjectID)
	w.certify(t)
	w.register(t, w.daemon, map[string]any{"keyCredentials": []any{map[string]any{"type": "AsymmetricX509Cert", "usage": "Verify", "key": w.certificate.Raw}}})
	w.register(t, w.tool, map[string]any{"isFallbackPublicClient": true, "publicClient": map[string]any{"redirectUris": []string{"http://localhost"}}})
	w.register(t, w.site, map[string]any{"web": map[string]any{"redirectUris": []string{callback}},
		"keyCredentials": []any{map[string]any{"type": "AsymmetricX509Cert", "usage": "Verify", "key": w.certificate.Raw}}})
	w.graph(t, http.MethodPost, "/applications(appId='"+w.daemon.AppID+"')/federatedIdentityCredentials",
		map[string]any{"name": "cluster", "issuer": w.issuer.URL, "subject": federatedSubject, "audiences": []string{federatedAudience}})
	for _, a := range []app{w.tool, w.site} {
		newBrowser(t, w.alice).open("https://login.microsoftonline.com/" + w.contoso.TenantID + "/v2.0/adminconsent?client_id=" + a.AppID +
			"&scope=https://management.azure.com/user_impersonation&redirect_uri=" + map[bool]string{true: "http://localhost:1", false: callback}[a == w.tool])
	}
	return w
}

// certify makes the key pair by which applications prove themselves.
func (w *world) certify(t *testing.T) {
	t.Helper()
	w.key = must(rsa.GenerateKey(rand.Reader, 2048))
	spec := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "daemon"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	w.certificate = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, spec, spec, &w.key.PublicKey, w.key))))
	w.pem = filepath.Join(t.TempDir(), "daemon.pem")
	text := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.certificate.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(w.key))}))
	if err := os.WriteFile(w.pem, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// register changes an application over Graph, as contoso's first service principal.
func (w *world) register(t *testing.T, a app, change map[string]any) {
	t.Helper()
	w.graph(t, http.MethodPatch, "/applications(appId='"+a.AppID+"')", change)
}

func (w *world) graph(t *testing.T, method, path string, body any) {
	t.Helper()
	var token struct{ AccessToken string }
	w.ask(t, &token, "token", "--tenant", "contoso", "--resource", "https://graph.microsoft.com")
	r := must(http.NewRequestWithContext(t.Context(), method, "https://graph.microsoft.com/v1.0"+path, bytes.NewReader(must(json.Marshal(body)))))
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text := must(io.ReadAll(answer.Body)); answer.StatusCode > 299 {
		t.Fatalf("%s %s: %s %s", method, path, answer.Status, text)
	}
}

// fixed is a credential that has its token already.
type fixed string

// GetToken gives it.
func (f fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(f), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// works uses a credential: Resource Manager's own client lists exactly these subscriptions by it.
func works(t *testing.T, c azcore.TokenCredential, want ...string) {
	t.Helper()
	var got []string
	for p := must(armsubscriptions.NewClient(c, nil)).NewListPager(nil); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Value {
			got = append(got, *s.SubscriptionID)
		}
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("subscriptions %v, want %v", got, want)
	}
}

// claims reads a token without verifying it: that is what works and the libraries are for.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	var got map[string]any
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// says checks claims of a token: name, value, name, value…
func says(t *testing.T, token string, want ...string) {
	t.Helper()
	got := claims(t, token)
	for i := 0; i+1 < len(want); i += 2 {
		if got[want[i]] != want[i+1] {
			t.Errorf("%s is %v, want %s", want[i], got[want[i]], want[i+1])
		}
	}
}

// fails checks that an error is there and says all of it.
func fails(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v\nlacks %q", err, s)
		}
	}
}
