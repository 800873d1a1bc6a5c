package token_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/token"
)

const (
	tenantA = "aaaaaaaa-0000-4000-8000-000000000001"
	tenantB = "bbbbbbbb-0000-4000-8000-000000000002"
	appID   = "cccccccc-0000-4000-8000-000000000003"
	object  = "dddddddd-0000-4000-8000-000000000004"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// server makes a Service of an installation: same store, same master key, same clock.
func newInstallation(t *testing.T) (server func() *token.Service, c *clock, st *store.Store) {
	t.Helper()
	st = store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	c = newClock()
	return func() *token.Service { return token.New(token.Config{Store: st, Sealer: sealer, Now: c.now}) }, c, st
}

func request(tenant string) token.Request {
	r, _ := token.ParseResource("https://management.core.windows.net/")
	return token.Request{TenantID: tenant, Resource: r, AppID: appID, AppIDACR: "1", ObjectID: object}
}

func mustIssue(t *testing.T, s *token.Service, r token.Request) (string, token.Claims) {
	t.Helper()
	raw, c, err := s.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return raw, c
}

func TestClaimsOnTheWire(t *testing.T) {
	server, c, _ := newInstallation(t)
	s := server()
	raw, claims := mustIssue(t, s, request(tenantA))
	parts := strings.Split(raw, ".")
	var header, got map[string]any
	for i, into := range []*map[string]any{&header, &got} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	if header["alg"] != "RS256" || header["typ"] != "JWT" || header["kid"] == "" || len(header) != 3 {
		t.Errorf("header: %v", header)
	}
	at := float64(c.now().Unix())
	want := map[string]any{
		"aud": "https://management.core.windows.net/", "iss": "https://sts.windows.net/" + tenantA + "/",
		"iat": at - 300, "nbf": at - 300, "exp": at + 3599, "appid": appID, "appidacr": "1",
		"idp": "https://sts.windows.net/" + tenantA + "/", "idtyp": "app", "oid": object, "sub": object, "tid": tenantA,
		"uti": claims.UniqueID, "ver": "1.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	verified, err := s.Verify(t.Context(), raw)
	if err != nil || !cmp.Equal(verified, claims) || len(claims.UniqueID) != 22 {
		t.Errorf("Verify = %+v, %v", verified, err)
	}
}

// Microsoft's APIs get version 1.0 whatever is asked; an application gets the version that it chose.
func TestVersions(t *testing.T) {
	server, _, _ := newInstallation(t)
	s := server()
	for _, tc := range []struct {
		resource string
		version  int
		want     token.Claims
	}{
		{"https://graph.microsoft.com", 2, token.Claims{Version: "1.0", Audience: "https://graph.microsoft.com", AppID: appID}},
		{"api://" + appID, 1, token.Claims{Version: "1.0", Audience: "api://" + appID, AppID: appID}},
		{"api://" + appID, 2, token.Claims{Version: "2.0", Audience: appID, AZP: appID}},
	} {
		r := request(tenantA)
		r.Resource, _ = token.ParseResource(tc.resource)
		r.Version = tc.version
		raw, _ := mustIssue(t, s, r)
		c, err := s.Verify(t.Context(), raw)
		if err != nil || c.Version != tc.want.Version || c.Audience != tc.want.Audience || c.AppID != tc.want.AppID || c.AZP != tc.want.AZP || c.Client() != appID {
			t.Errorf("%s, version %d: %+v, %v", tc.resource, tc.version, c, err)
		}
		if want := token.Issuer(tenantA, int(c.Version[0]-'0')); c.Issuer != want {
			t.Errorf("%s, version %d: issuer %q, want %q", tc.resource, tc.version, c.Issuer, want)
		}
	}
}

func TestParseResource(t *testing.T) {
	for _, tc := range []struct {
		in, audience string
		api          token.API
	}{
		{"https://management.core.windows.net/", "https://management.core.windows.net/", token.ARM},
		{"https://management.core.windows.net", "https://management.core.windows.net", token.ARM},
		{"https://management.core.windows.net//", "https://management.core.windows.net/", token.ARM},
		{"https://management.azure.com", "https://management.azure.com", token.ARM},
		{"HTTPS://Management.Azure.com/", "https://management.azure.com/", token.ARM},
		{"https://management.azure.com:443/", "https://management.azure.com:443/", token.ARM},
		{"797f4846-ba00-4fd7-ba43-dac1f8f63013", "797f4846-ba00-4fd7-ba43-dac1f8f63013", token.ARM},
		{"https://graph.microsoft.com/", "https://graph.microsoft.com/", token.Graph},
		{"00000003-0000-0000-c000-000000000000", "00000003-0000-0000-c000-000000000000", token.Graph},
		{"https://storage.azure.com/", "https://storage.azure.com/", token.Storage},
		{"https://account1.blob.core.windows.net", "https://account1.blob.core.windows.net", token.Storage},
		{"api://" + appID, "api://" + appID, token.Application},
		{appID, appID, token.Application},
		{"", "", ""}, {"https://", "", ""}, {"https://management.azure.com.evil.example/", "", ""},
		{"http://management.azure.com/", "", ""}, {"https://management.azure.com/x", "", ""},
		{"https://a.b.blob.core.windows.net/", "", ""}, {"https://graph.windows.net/", "", ""},
		{"urn:uuid:" + appID, "", ""}, {"https://user@management.azure.com/", "", ""},
	} {
		r, ok := token.ParseResource(tc.in)
		if ok != (tc.api != "") || r.API != tc.api || r.Audience != tc.audience {
			t.Errorf("ParseResource(%q) = %+v, %v; want %q %q", tc.in, r, ok, tc.api, tc.audience)
		}
	}
}

func TestLifetime(t *testing.T) {
	server, c, _ := newInstallation(t)
	s := server()
	raw, _ := mustIssue(t, s, request(tenantA))
	for _, step := range []struct {
		add  time.Duration
		want error
	}{
		{0, nil},
		{token.Lifetime - time.Second, nil}, // a second before exp
		{time.Second, token.ErrExpired},     // at exp
		{-token.Lifetime - 5*time.Minute, nil},
		{-time.Second, token.ErrNotYetValid},
	} {
		c.add(step.add)
		if claims, err := s.Verify(t.Context(), raw); !errors.Is(err, step.want) || claims.TenantID != tenantA {
			t.Errorf("at %v: %+v, %v; want %v", c.now(), claims, err, step.want)
		}
	}
}

func TestAskedLifetime(t *testing.T) {
	server, c, _ := newInstallation(t)
	s := server()
	for asked, want := range map[time.Duration]time.Duration{2 * time.Second: 2 * time.Second, 0: token.Lifetime, token.MaxLifetime: token.MaxLifetime} {
		r := request(tenantA)
		r.Lifetime = asked
		if _, claims := mustIssue(t, s, r); claims.ExpiresIn() != want || !claims.Expires().Equal(c.now().Add(want)) {
			t.Errorf("asked for %v: %v, %v", asked, claims.ExpiresIn(), claims.Expires())
		}
	}
	for _, asked := range []time.Duration{-1, token.MaxLifetime + 1} {
		r := request(tenantA)
		r.Lifetime = asked
		if _, _, err := s.Issue(t.Context(), r); err == nil {
			t.Errorf("a token for %v was issued", asked)
		}
	}
}

// stolen reads the installation's private key as nobody else could, to sign what Issue never would.
func stolen(t *testing.T, st *store.Store) jose.JSONWebKey {
	t.Helper()
	var keys struct {
		Keys []struct{ Kid, Sealed string }
	}
	if err := st.View(t.Context(), func(tx store.Tx) error {
		doc, err := tx.Get("token/signingkeys")
		if err != nil {
			return err
		}
		return json.Unmarshal(doc.Body, &keys)
	}); err != nil {
		t.Fatal(err)
	}
	sealer, _ := seal.New(make([]byte, seal.KeySize))
	plain, err := sealer.Open(keys.Keys[0].Sealed, "token/signingkeys/"+keys.Keys[0].Kid)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: keys.Keys[0].Kid}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, opts *jose.SignerOptions, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestAttacks(t *testing.T) {
	server, _, st := newInstallation(t)
	s := server()
	raw, good := mustIssue(t, s, request(tenantA))
	ours := stolen(t, st)
	private := ours.Key.(*rsa.PrivateKey)
	spki, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(raw, ".")
	payload, _ := json.Marshal(good)
	change := func(f func(*token.Claims)) string {
		c := good
		f(&c)
		return sign(t, jose.RS256, ours, nil, c)
	}
	embedded := (&jose.SignerOptions{EmbedJWK: true}).WithHeader("kid", ours.KeyID)
	pointing := (&jose.SignerOptions{}).WithHeader("jku", "https://evil.example/keys").WithHeader("x5u", "https://evil.example/cert")
	other := good
	other.TenantID = tenantB
	changed, _ := json.Marshal(other)

	for _, tc := range []struct {
		name, raw string
		want      error
	}{
		{"control: signed with the real key", change(func(*token.Claims) {}), nil},
		{"empty", "", token.ErrMalformed},
		{"opaque", "abc", token.ErrMalformed},
		{"four parts", raw + ".x", token.ErrMalformed},
		{"huge", raw + strings.Repeat("A", 1<<20), token.ErrMalformed},
		{"JSON serialisation", `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`, token.ErrMalformed},
		{"alg none", b64(`{"alg":"none","typ":"JWT"}`) + "." + part[1] + ".", token.ErrMalformed},
		{"alg None", b64(`{"alg":"None","kid":"`+ours.KeyID+`"}`) + "." + part[1] + ".", token.ErrMalformed},
		{"no alg", b64(`{"kid":"`+ours.KeyID+`"}`) + "." + part[1] + "." + part[2], token.ErrMalformed},
		{"HS256 with our public key", sign(t, jose.HS256, jose.JSONWebKey{Key: spki, KeyID: ours.KeyID}, nil, good), token.ErrMalformed},
		{"RS384 with our own key", sign(t, jose.RS384, ours, nil, good), token.ErrMalformed},
		{"PS256 with our own key", sign(t, jose.PS256, ours, nil, good), token.ErrMalformed},
		{"unknown kid", sign(t, jose.RS256, jose.JSONWebKey{Key: foreign, KeyID: "nobody"}, nil, good), token.ErrUnknownKey},
		{"no kid", sign(t, jose.RS256, foreign, nil, good), token.ErrUnknownKey},
		{"no kid, real key", sign(t, jose.RS256, private, nil, good), token.ErrUnknownKey},
		{"foreign key under our kid", sign(t, jose.RS256, jose.JSONWebKey{Key: foreign, KeyID: ours.KeyID}, nil, good), token.ErrSignature},
		{"foreign key embedded as jwk", sign(t, jose.RS256, jose.JSONWebKey{Key: foreign, KeyID: ours.KeyID}, embedded, good), token.ErrSignature},
		{"jku and x5u", sign(t, jose.RS256, jose.JSONWebKey{Key: foreign, KeyID: "evil"}, pointing, good), token.ErrUnknownKey},
		{"changed payload", part[0] + "." + b64(string(changed)) + "." + part[2], token.ErrSignature},
		{"no signature", part[0] + "." + part[1] + ".", token.ErrSignature},
		{"signature of another token", part[0] + "." + part[1] + "." + strings.Split(change(func(c *token.Claims) { c.UniqueID = "x" }), ".")[2], token.ErrSignature},
		{"crit header", sign(t, jose.RS256, ours, (&jose.SignerOptions{}).WithHeader("crit", []string{"x"}).WithHeader("x", 1), good), token.ErrSignature},
		{"tenant of another issuer", change(func(c *token.Claims) { c.TenantID = tenantB }), token.ErrIssuer},
		{"issuer of another tenant", change(func(c *token.Claims) { c.Issuer = token.Issuer(tenantB, 1) }), token.ErrIssuer},
		{"v2 issuer in a v1 token", change(func(c *token.Claims) { c.Issuer = token.Issuer(tenantA, 2) }), token.ErrIssuer},
		{"foreign issuer", change(func(c *token.Claims) { c.Issuer = "https://evil.example/" + tenantA + "/" }), token.ErrIssuer},
		{"tenant in upper case", change(func(c *token.Claims) {
			c.TenantID = strings.ToUpper(tenantA)
			c.Issuer = token.Issuer(c.TenantID, 1)
		}), token.ErrIssuer},
		{"no tenant", change(func(c *token.Claims) { c.TenantID, c.Issuer = "", token.Issuer("", 1) }), token.ErrIssuer},
		{"no version, as an ID token", change(func(c *token.Claims) { c.Version = "" }), token.ErrIssuer},
		{"both client claims", change(func(c *token.Claims) { c.AZP = appID }), token.ErrIssuer},
		{"no object", change(func(c *token.Claims) { c.ObjectID = "" }), token.ErrIssuer},
		{"no audience", change(func(c *token.Claims) { c.Audience = "" }), token.ErrIssuer},
		{"no expiry", change(func(c *token.Claims) { c.Expiry = 0 }), token.ErrExpired},
		{"audience as a list", sign(t, jose.RS256, ours, nil, map[string]any{"aud": []string{good.Audience}}), token.ErrMalformed},
		{"payload is no JSON", sign(t, jose.RS256, ours, nil, "text"), token.ErrMalformed},
	} {
		if _, err := s.Verify(t.Context(), tc.raw); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	if string(payload) == string(changed) {
		t.Fatal("the changed payload is not changed")
	}
}

func TestKeysAreSealed(t *testing.T) {
	server, _, st := newInstallation(t)
	if _, err := server().Keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	otherSealer, err := seal.New([]byte(strings.Repeat("k", seal.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	other := token.New(token.Config{Store: st, Sealer: otherSealer})
	if _, _, err := other.Issue(context.Background(), request(tenantA)); !errors.Is(err, seal.ErrKey) {
		t.Errorf("with another master key: %v", err)
	}
}
