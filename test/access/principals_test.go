package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

// issuer is somebody else's token service, of GitHub Actions' shape.
type issuer struct {
	url  string // https://issuer.example:PORT
	root string // file with the certificate that proves it
	key  *rsa.PrivateKey
}

const issuerHost = "issuer.example"

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, root: filepath.Join(t.TempDir(), "issuer.pem")}
	mux := http.NewServeMux()
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		}
	}
	server := httptest.NewUnstartedServer(mux)
	der, tlsKey := selfSigned(t, issuerHost)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: tlsKey}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	i.url = "https://" + issuerHost + ":" + u.Port()
	mux.HandleFunc("GET /.well-known/openid-configuration", answer(map[string]string{"issuer": i.url, "jwks_uri": i.url + "/keys"}))
	mux.HandleFunc("GET /keys", answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}}))
	if err := os.WriteFile(i.root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// allowed is what the operator says of it.
func (i *issuer) allowed() string { return i.url + "=127.0.0.1" }

func (i *issuer) token(t *testing.T, subject string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"iss": i.url, "sub": subject, "aud": "api://AzureADTokenExchange", "jti": subject,
		"iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}) // many commands of az lie between
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// selfSigned makes a certificate and its key, for a server or for an application.
func selfSigned(t *testing.T, name string) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, name, key.Public(), key), key
}

func sign(t *testing.T, name string, public, key any) []byte {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 6, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// pemPair writes a certificate and its key into one file, as az wants them.
func pemPair(t *testing.T, sh *harness.Shell, name string) (both, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(t, name, key.Public(), key)}))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return sh.File(t, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))+cert), sh.File(t, name+".crt", cert)
}

// signIns are of an application, in every way that az has for one.
var signIns = []step{
	{Args: "login --service-principal -u {worker} -p wrong --tenant {tenant}", Exit: 1, Says: "AADSTS7000215"},
	{Args: "login --service-principal -u 99999999-0000-4000-8000-000000000009 -p wrong --tenant {tenant}", Exit: 1, Says: "AADSTS700016"},
	{Args: "login --service-principal -u {worker} -p {password} --tenant 99999999-0000-4000-8000-000000000009", Exit: 1, Says: "AADSTS90002"},
	{Args: "login --service-principal -u {worker} -p {password} --tenant {tenant}", Exit: 1, Says: "No subscriptions found"},
	{Args: "login --service-principal -u {worker} -p {password} --tenant {tenant} --allow-no-subscriptions", Want: want{"0.name": "N/A(tenant level account)"}},
	{Args: "account get-access-token --tenant {tenant}", Want: want{"tenant": "{tenant}", "accessToken": "*"}},
	{Args: "account clear"},
}

var signInsWithRole = []step{
	{Args: "login --service-principal -u {worker} -p {password} --tenant {tenant}", Want: want{"": "len:1", "0.id": "{subscription}", "0.user.type": "servicePrincipal", "0.user.name": "{worker}"}},
	{Args: "account show", Want: want{"tenantId": "{tenant}", "homeTenantId": "{tenant}", "isDefault": "true"}},
	{Args: "account list", Want: want{"": "len:1"}},
	{Args: "ad signed-in-user show", Exit: 1, Says: "delegated authentication"},
	{Args: "logout --username {worker}"},
	{Args: "account list", Want: want{"": "len:0"}},
	{Args: "login --service-principal -u {worker} --certificate {pair} --tenant {tenant}", Want: want{"": "len:1", "0.user.name": "{worker}"}},
	{Args: "group list", Want: want{"": "len:0"}},
	{Args: "account get-access-token --resource https://graph.microsoft.com", Want: want{"tenant": "{tenant}"}},
	{Args: "account clear"},
	{Args: "login --service-principal -u {worker} --certificate {stranger} --tenant {tenant}", Exit: 1, Says: "AADSTS700027"},
	{Args: "login --service-principal -u {worker} --federated-token {token} --tenant {tenant}", Want: want{"": "len:1", "0.user.type": "servicePrincipal"}},
	{Args: "group list", Want: want{"": "len:0"}},
	{Args: "account clear"},
	{Args: "login --service-principal -u {worker} --federated-token {otherToken} --tenant {tenant}", Exit: 1, Says: "AADSTS70021"},
}

func principals(t *testing.T, s *harness.Server, from *issuer) {
	p := newPlace(t, s, "apps")
	var worker client.App
	s.Vitrine(t, &worker, "app", "create", "deployer", "--tenant", "apps")
	as := &place{Shell: s.Shell(t, "deployer"), names: p.names}
	n := p.names
	n["worker"], n["workerObject"], n["password"] = worker.AppID, worker.ObjectID, worker.Password
	n["pair"], n["certificate"] = pemPair(t, as.Shell, "worker")
	n["stranger"], _ = pemPair(t, as.Shell, "stranger")
	const subject = "repo:contoso/images:ref:refs/heads/main"
	n["token"], n["otherToken"] = from.token(t, subject), from.token(t, "repo:contoso/other:ref:refs/heads/main")
	n["federated"] = as.File(t, "federated.json", fmt.Sprintf(`{"name":"github","issuer":%q,"subject":%q,"audiences":["api://AzureADTokenExchange"]}`, from.url, subject))
	as.walk(t, signIns)
	p.walk(t, []step{
		{Args: "ad app credential reset --id {worker} --append --cert @{certificate}"},
		{Args: "ad app federated-credential create --id {worker} --parameters @{federated}"},
		{Args: "role assignment create --assignee {worker} --role Reader --scope {sub}"},
	})
	as.walk(t, signInsWithRole)

	// What is taken away stops at once, with the tokens that are there already.
	as.walk(t, []step{{Args: "login --service-principal -u {worker} -p {password} --tenant {tenant}"}, {Args: "group list", Want: want{"": "len:0"}}})
	p.walk(t, []step{{Args: "ad sp delete --id {worker}"}})
	as.walk(t, []step{{Args: "group list", Exit: 1, Says: "InvalidAuthenticationToken"}})
}
