package attack

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

type object = map[string]any

// signer is a key of the attacker's own, with a certificate.
type signer struct {
	key *rsa.PrivateKey
	der []byte
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attack"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, der}
}

// credential is the body that registers the certificate.
func (s signer) credential() string {
	return `{"keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","key":"` + base64.StdEncoding.EncodeToString(s.der) + `"}]}`
}

func (s signer) thumbprint() string {
	sum := sha256.Sum256(s.der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sign makes a JWT with these header members beside alg.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, header, claims object) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// parts takes a token apart: header and claims.
func parts(t *testing.T, token string) (header, claims object) {
	t.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		t.Fatalf("not a token: %.40s", token)
	}
	for i, place := range []*object{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(segments[i])
		if err == nil {
			err = json.Unmarshal(raw, place)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// plain puts a token together without signing it.
func plain(t *testing.T, header, claims object, signature string) string {
	t.Helper()
	out := ""
	for _, part := range []object{header, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		out += base64.RawURLEncoding.EncodeToString(raw) + "."
	}
	return out + signature
}

// with is a copy of an object with some members changed; name and value in turns.
func with(o object, members ...any) object {
	out := object{}
	for k, v := range o {
		out[k] = v
	}
	for i := 0; i+1 < len(members); i += 2 {
		out[members[i].(string)] = members[i+1]
	}
	return out
}

// assertion is a client assertion of an application, as the token endpoint of a tenant wants it.
func assertion(app, tenant string) object {
	now := time.Now()
	return object{"aud": "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/token", "iss": app, "sub": app, "jti": uuid.NewString(),
		"nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix()}
}
