package sdk

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	federatedSubject  = "system:serviceaccount:images:builder"
	federatedAudience = "api://AzureADTokenExchange"
)

// issuer is a token service of somebody else, as a cluster has one for its workloads.
type issuer struct {
	URL   string
	roots string // file with its certificate
	key   *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{key: must(rsa.GenerateKey(rand.Reader, 2048)), roots: filepath.Join(t.TempDir(), "roots.pem")}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var doc any = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
		if r.URL.Path == "/keys" {
			doc = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "k1", Use: "sig", Algorithm: "RS256"}}}
		}
		_ = json.NewEncoder(w).Encode(doc)
	}))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	i.URL = "https://example.com:" + port // the name in the test certificate
	if err := os.WriteFile(i.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// token is one that the issuer made for a subject.
func (i *issuer) token(t *testing.T, subject string) string {
	t.Helper()
	return sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k1"}},
		map[string]any{"iss": i.URL, "sub": subject, "aud": federatedAudience, "nbf": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix()})
}

func sign(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	s := must(jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT")))
	return must(must(s.Sign(must(json.Marshal(claims)))).CompactSerialize())
}
