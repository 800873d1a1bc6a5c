package login_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"net"

	"github.com/go-jose/go-jose/v4"

	"vitrine/internal/directory"
	"vitrine/internal/web"
)

// certified gives the multi-tenant application a certificate and returns its key.
func (p *people) certified() (*rsa.PrivateKey, directory.Certificate) {
	p.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	spec := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "golden"}, NotBefore: p.at.Add(-time.Hour), NotAfter: p.at.Add(100 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, spec, spec, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := directory.NewCertificate(der, "", time.Time{}, time.Time{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.change(p.app, func(a *directory.Application) { a.Certificates = append(a.Certificates, c) })
	return key, c
}

func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, header map[string]string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// standard writes base64url in the standard alphabet, padded.
func standard(t *testing.T, s string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

const bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func (p *people) assert(raw string, changes ...string) url.Values {
	return p.form(append([]string{"client_secret", "-", "client_assertion_type", bearer, "client_assertion", raw}, changes...)...)
}

func TestCertificate(t *testing.T) {
	p := newPeople(t)
	key, c := p.certified()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	v2 := "/" + tenant2 + "/oauth2/v2.0/token"
	n := 0
	claims := func(changes map[string]any) map[string]any {
		n++
		all := map[string]any{"iss": p.app.AppID, "sub": p.app.AppID, "aud": "https://login.microsoftonline.com/" + tenant2 + "/oauth2/v2.0/token",
			"jti": string(rune('a' + n)), "nbf": p.at.Unix(), "exp": p.at.Add(10 * time.Minute).Unix()}
		maps.Copy(all, changes)
		return all
	}
	x5t := map[string]string{"x5t": c.X5T}
	for _, tc := range []struct {
		name   string
		alg    jose.SignatureAlgorithm
		key    crypto.PrivateKey
		header map[string]string
		claims map[string]any
		code   int
	}{
		{"RS256, x5t", jose.RS256, key, x5t, nil, 0},
		{"PS256, x5t#S256", jose.PS256, key, map[string]string{"x5t#S256": c.X5TS256}, nil, 0},
		{"padded x5t", jose.RS256, key, map[string]string{"x5t": c.X5T + "="}, nil, 0},
		{"thumbprint in the other alphabet, as MSAL for Go writes it", jose.PS256, key, map[string]string{"x5t#S256": standard(t, c.X5TS256)}, nil, 0},
		{"kid is the thumbprint", jose.RS256, key, map[string]string{"kid": c.Thumbprint()}, nil, 0},
		{"audience is the v1 endpoint", jose.RS256, key, x5t, map[string]any{"aud": "https://login.microsoftonline.com/" + tenant2 + "/oauth2/token"}, 0},
		{"audiences", jose.RS256, key, x5t, map[string]any{"aud": []string{"x", "https://login.microsoftonline.com/" + tenant2 + "/v2.0"}}, 0},
		{"another key", jose.RS256, other, x5t, nil, 700027},
		{"unknown thumbprint", jose.RS256, key, map[string]string{"x5t": "AAAA"}, nil, 700027},
		{"no thumbprint", jose.RS256, key, nil, nil, 700027},
		{"key by address", jose.RS256, other, map[string]string{"jku": "https://evil.example/", "x5u": "https://evil.example/"}, nil, 700027},
		{"HS256 with the certificate", jose.HS256, c.DER, x5t, nil, 50027},
		{"another tenant's endpoint", jose.RS256, key, x5t, map[string]any{"aud": "https://login.microsoftonline.com/" + tenant1 + "/oauth2/v2.0/token"}, 700023},
		{"another server", jose.RS256, key, x5t, map[string]any{"aud": "https://evil.example/" + tenant2 + "/oauth2/v2.0/token"}, 700023},
		{"expired", jose.RS256, key, x5t, map[string]any{"exp": p.at.Add(-6 * time.Minute).Unix()}, 700024},
		{"not yet valid", jose.RS256, key, x5t, map[string]any{"nbf": p.at.Add(6 * time.Minute).Unix()}, 700024},
		{"too long", jose.RS256, key, x5t, map[string]any{"exp": p.at.Add(48 * time.Hour).Unix()}, 700024},
		{"no end", jose.RS256, key, x5t, map[string]any{"exp": 0}, 700024},
		{"another subject", jose.RS256, key, x5t, map[string]any{"sub": p.single.AppID}, 700021},
		{"another issuer", jose.RS256, key, x5t, map[string]any{"iss": p.single.AppID}, 700021},
	} {
		got := p.post(v2, p.assert(signed(t, tc.alg, tc.key, tc.header, claims(tc.claims))))
		if tc.code != 0 {
			checkError(t, tc.name, p.world, got, 401, "invalid_client", tc.code, "")
		} else if a, err := p.tokens.Verify(t.Context(), got.text("access_token")); err != nil || a.AppIDACR != "2" {
			t.Errorf("%s: %s %v", tc.name, got.raw, err)
		}
	}
	checkError(t, "alg none", p.world, p.post(v2, p.assert("eyJhbGciOiJub25lIn0.e30.")), 401, "invalid_client", 50027, "")
	checkError(t, "secret and assertion", p.world, p.post(v2, p.assert("x", "client_secret", p.secret)), 400, "invalid_request", 9002313, "")

	raw := signed(t, jose.RS256, key, x5t, claims(nil))
	if got := p.post(v2, p.assert(raw)); got.status != 200 {
		t.Fatal(string(got.raw))
	}
	checkError(t, "replay", p.world, p.post(v2, p.assert(raw)), 401, "invalid_client", 50013, "used before")
	if got := p.post(v2, p.assert(raw, "scope", "https://graph.microsoft.com/.default")); got.status != 200 { // MSAL for Python does
		t.Errorf("for another resource: %s", got.raw)
	}
	r := postRequest(v2, p.assert(raw, "scope", "https://storage.azure.com/.default").Encode())
	r.RemoteAddr = "198.51.100.7:1"
	checkError(t, "from elsewhere", p.world, p.do(r), 401, "invalid_client", 50013, "used before")
	p.at = p.at.Add(100 * time.Hour)
	checkError(t, "certificate expired", p.world, p.post(v2, p.assert(signed(t, jose.RS256, key, x5t, claims(nil)))), 401, "invalid_client", 700027, "expired")
}

// A GitHub Actions token: the keys are fetched from where the operator allows, and only there.
func TestFederated(t *testing.T) {
	p := newPeople(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const issuer, subject, audience = "https://example.com", "repo:octo/images:ref:refs/heads/main", "api://AzureADTokenExchange"
	document := map[string]any{"issuer": issuer, "jwks_uri": issuer + "/keys"}
	fetched := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched++
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Use: "sig", Algorithm: "RS256"}}})
			return
		}
		_ = json.NewEncoder(w).Encode(document)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	p.config.Fetcher = web.NewFetcher(web.FetchConfig{Origins: []web.Origin{{Host: "example.com", Port: "443"}}, Roots: roots,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("1.1.1.1")}, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "1.1.1.1:443" {
				return nil, errors.New("dialled " + address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		}})
	p.serve()
	v2 := "/" + tenant1 + "/oauth2/v2.0/token"
	send := func(iss, sub, aud, kid string, k *rsa.PrivateKey, exp time.Duration) answer {
		return p.post(v2, p.assert(signed(t, jose.RS256, k, map[string]string{"kid": kid}, map[string]any{"iss": iss, "sub": sub, "aud": aud, "nbf": p.at.Unix(), "exp": p.at.Add(exp).Unix()})))
	}
	checkError(t, "no record", p.world, send(issuer, subject, audience, "k1", key, time.Minute), 400, "invalid_request", 70021, "Assertion Subject: '"+subject+"'")
	p.change(p.app, func(a *directory.Application) {
		for i, one := range []string{issuer, "https://not.allowed.example"} {
			a.Federated = append(a.Federated, directory.FederatedCredential{ID: []string{nobody, tenant1}[i], Name: []string{"github", "other"}[i], Issuer: one, Subject: subject, Audiences: []string{audience}})
		}
	})
	checkError(t, "another issuer", p.world, send("https://evil.example", subject, audience, "k1", key, time.Minute), 401, "invalid_client", 700211, "")
	checkError(t, "another subject", p.world, send(issuer, "repo:evil/images:ref:refs/heads/main", audience, "k1", key, time.Minute), 401, "invalid_client", 700213, "")
	checkError(t, "another audience", p.world, send(issuer, subject, "https://vault.example", "k1", key, time.Minute), 401, "invalid_client", 700212, "")
	checkError(t, "not allowed", p.world, send("https://not.allowed.example", subject, audience, "k1", key, time.Minute), 400, "invalid_request", 50166, "--allow-issuer")
	if fetched != 0 {
		t.Errorf("%d documents were fetched for tokens that fit no record", fetched)
	}
	if got := send(issuer, subject, audience, "k1", key, time.Minute); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got := send(issuer, subject, audience, "k1", key, time.Minute); got.status != 200 || fetched != 2 {
		t.Errorf("again: %s, %d documents", got.raw, fetched)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	checkError(t, "another key", p.world, send(issuer, subject, audience, "k1", other, time.Minute), 401, "invalid_client", 50013, "signature validation")
	checkError(t, "unknown key", p.world, send(issuer, subject, audience, "k2", other, time.Minute), 401, "invalid_client", 50013, "The key was not found")
	checkError(t, "expired", p.world, send(issuer, subject, audience, "k1", key, -6*time.Minute), 401, "invalid_client", 700024, "")
	if fetched != 2 {
		t.Errorf("unknown keys made %d documents be fetched", fetched)
	}
	p.at = p.at.Add(11 * time.Minute)
	document["issuer"] = "https://evil.example"
	checkError(t, "a document of another issuer", p.world, send(issuer, subject, audience, "k9", key, time.Minute), 400, "invalid_request", 50166, "")
	p.at = p.at.Add(time.Minute)
	document["issuer"], document["jwks_uri"] = issuer, "http://169.254.169.254/keys"
	checkError(t, "keys of the inside", p.world, send(issuer, subject, audience, "k9", key, time.Minute), 400, "invalid_request", 50166, "")
	if strings.Contains(p.log.String(), "dialled") {
		t.Error("another address was dialled")
	}
}
