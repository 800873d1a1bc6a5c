package sdk

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"os"
	"testing"
)

// azureCLI is the client that azidentity's and az's people sign in to when nothing else is named.
const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// answered reads the code from the address to which the browser was sent.
func answered(t *testing.T, back, state string) string {
	t.Helper()
	q := must(url.Parse(back)).Query()
	if q.Get("code") == "" || q.Get("state") != state {
		t.Fatalf("the browser is sent to %s", back)
	}
	return q.Get("code")
}

func (w *world) readPEM(t *testing.T) string {
	t.Helper()
	return string(must(os.ReadFile(w.pem)))
}

func certsOf(w *world) []*x509.Certificate { return []*x509.Certificate{w.certificate} }

// thumbprint is the certificate's name in an assertion's header.
func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
