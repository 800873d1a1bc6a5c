package authn_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/token"
)

const (
	tenant1 = "11111111-0000-4000-8000-000000000001"
	tenant2 = "22222222-0000-4000-8000-000000000002"
	tenant3 = "33333333-0000-4000-8000-000000000003"
	tenant4 = "44444444-0000-4000-8000-000000000004"
)

// world is an installation of four tenants with one application in all of them, and another one.
type world struct {
	t         testing.TB
	store     *store.Store
	dir       *directory.Directory
	tokens    *token.Service
	auth      *authn.Authenticator
	app, evil directory.Application
	mu        sync.Mutex
	at        time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, dir: directory.New(st), at: time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC)}
	w.tokens = token.New(token.Config{Store: st, Sealer: sealer, Now: w.now})
	w.auth = authn.New(authn.Config{Tokens: w.tokens, Directory: w.dir, Now: w.now})
	for _, id := range []string{tenant1, tenant2, tenant3, tenant4} {
		if _, err := w.dir.CreateTenant(t.Context(), directory.Tenant{ID: id, Name: "tenant " + id[:1]}); err != nil {
			t.Fatal(err)
		}
	}
	w.app, w.evil = w.register("Golden images"), w.register("Another application")
	return w
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.at }

func (w *world) wait(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.at = w.at.Add(d) }

func (w *world) register(name string) directory.Application {
	w.t.Helper()
	app, _, err := w.dir.CreateApplication(w.t.Context(), directory.Application{TenantID: tenant1, DisplayName: name, SignInAudience: directory.MultiTenant})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range []string{tenant2, tenant3, tenant4} {
		if _, err := w.dir.CreateServicePrincipal(w.t.Context(), id, app.AppID); err != nil {
			w.t.Fatal(err)
		}
	}
	return app
}

func (w *world) object(tenant string, app directory.Application) string {
	w.t.Helper()
	sp, err := w.dir.Principal(w.t.Context(), tenant, app.AppID)
	if err != nil {
		w.t.Fatal(err)
	}
	return sp.ObjectID
}

func (w *world) tokenFor(tenant string, app directory.Application, resource string) string {
	w.t.Helper()
	r, ok := token.ParseResource(resource)
	if !ok {
		w.t.Fatalf("resource %q", resource)
	}
	raw, _, err := w.tokens.Issue(w.t.Context(), token.Request{TenantID: tenant, Resource: r, AppID: app.AppID, AppIDACR: "1", ObjectID: w.object(tenant, app)})
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

func (w *world) arm(tenant string) string {
	return w.tokenFor(tenant, w.app, "https://management.core.windows.net/")
}

// forge changes one character of the signature.
func forge(raw string) string {
	i := strings.LastIndexByte(raw, '.') + 1
	c := byte('A')
	if raw[i] == c {
		c = 'B'
	}
	return raw[:i] + string(c) + raw[i+1:]
}

func headers(primary []string, auxiliary ...string) http.Header {
	h := http.Header{}
	for _, v := range primary {
		h.Add("Authorization", v)
	}
	for _, v := range auxiliary {
		h.Add("X-Ms-Authorization-Auxiliary", v)
	}
	return h
}

func TestCallers(t *testing.T) {
	w := newWorld(t)
	t1, t2, t3, t4 := w.arm(tenant1), w.arm(tenant2), w.arm(tenant3), w.arm(tenant4)
	b := func(raw string) string { return "Bearer " + raw }
	for _, tc := range []struct {
		name      string
		primary   string
		auxiliary []string
		want      []string // tenants
	}{
		{"primary only", b(t2), nil, []string{tenant2}},
		{"scheme in lower case, spaces", " bearer   " + t2 + " ", nil, []string{tenant2}},
		{"one auxiliary", b(t2), []string{b(t1)}, []string{tenant2, tenant1}},
		{"three with commas", b(t4), []string{b(t1) + ", " + b(t2) + "," + b(t3)}, []string{tenant4, tenant1, tenant2, tenant3}},
		{"three with semicolons", b(t4), []string{b(t1) + ";" + b(t2) + "; " + b(t3)}, []string{tenant4, tenant1, tenant2, tenant3}},
		{"both separators, empty elements", b(t4), []string{" ,;" + b(t1) + ";, " + b(t2) + ","}, []string{tenant4, tenant1, tenant2}},
		{"two header lines", b(t4), []string{b(t1), b(t2)}, []string{tenant4, tenant1, tenant2}},
		{"empty auxiliary header", b(t2), []string{""}, []string{tenant2}},
		{"one tenant twice", b(t2), []string{b(t1) + "," + b(t1)}, []string{tenant2, tenant1}},
		{"auxiliary of the primary's tenant", b(t2), []string{b(t2)}, []string{tenant2}},
		{"another audience of ARM", b(w.tokenFor(tenant2, w.app, "https://management.azure.com")), nil, []string{tenant2}},
		{"ARM's client ID as audience", b(w.tokenFor(tenant2, w.app, "797f4846-ba00-4fd7-ba43-dac1f8f63013")), nil, []string{tenant2}},
	} {
		caller, err := w.auth.Authenticate(t.Context(), headers([]string{tc.primary}, tc.auxiliary...))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var got []string
		for _, p := range caller.All() {
			got = append(got, p.TenantID)
			if p.ObjectID != w.object(p.TenantID, w.app) || p.AppID != w.app.AppID || p.Kind != authn.ServicePrincipal || p.HomeTenant != tenant1 {
				t.Errorf("%s: principal %+v", tc.name, p)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: tenants (-want +got):\n%s", tc.name, diff)
		}
	}
}

// A caller is stored with an operation: it must come back whole, and hold no token.
func TestCallerIsStored(t *testing.T) {
	w := newWorld(t)
	raw := w.arm(tenant2)
	caller, err := w.auth.Authenticate(t.Context(), headers([]string{"Bearer " + raw}, "Bearer "+w.arm(tenant1)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(caller)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), strings.Split(raw, ".")[2]) {
		t.Error("the token is stored")
	}
	var back authn.Caller
	if err := json.Unmarshal(body, &back); err != nil || cmp.Diff(caller, back) != "" {
		t.Errorf("back from JSON: %v %s", err, cmp.Diff(caller, back))
	}
	if p, ok := back.In(tenant1); !ok || p.ObjectID != w.object(tenant1, w.app) {
		t.Errorf("In(tenant1) = %+v, %v", p, ok)
	}
	if _, ok := back.In(tenant3); ok {
		t.Error("In(tenant3) found a principal")
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	expired := w.arm(tenant1)
	w.wait(2 * time.Hour)
	t1, t2 := w.arm(tenant1), w.arm(tenant2)
	b := func(raw string) string { return "Bearer " + raw }
	graph := w.tokenFor(tenant2, w.app, "https://graph.microsoft.com")
	which := func(n string) string { return "auxiliary token " + n + " of the header 'x-ms-authorization-auxiliary'" }
	mine := "client '" + w.app.AppID + "' and tenant '" + tenant1 + "'"

	for _, tc := range []struct {
		name      string
		primary   []string
		auxiliary []string
		code      string
		texts     []string // parts of the message
	}{
		{"no header", nil, nil, "AuthenticationFailed", []string{"Authentication failed. The 'Authorization' header is missing."}},
		{"empty header", []string{""}, nil, "AuthenticationFailed", []string{"missing the access token"}},
		{"auxiliary as primary only", nil, []string{b(t1)}, "AuthenticationFailed", []string{"'Authorization' header is missing"}},
		{"two headers", []string{b(t1), b(t2)}, nil, "InvalidAuthenticationToken", []string{"more than once"}},
		{"scheme only", []string{"Bearer"}, nil, "InvalidAuthenticationToken", []string{"missing after the scheme Bearer"}},
		{"Basic", []string{"Basic dTpw"}, nil, "InvalidAuthenticationToken", []string{"The authentication scheme of 'Basic' is not supported."}},
		{"EncryptedBearer", []string{"EncryptedBearer " + t2}, nil, "InvalidAuthenticationToken", []string{"EncryptedBearer is not supported"}},
		{"scheme with markup", []string{"<b>\"x\\ " + t2}, nil, "InvalidAuthenticationToken", []string{"scheme of 'bx' is"}},
		{"opaque", []string{"Bearer abc"}, nil, "InvalidAuthenticationToken", []string{"The access token is invalid: it is not a token"}},
		{"two in one", []string{b(t2) + ", " + b(t1)}, nil, "InvalidAuthenticationToken", []string{"characters that no token has"}},
		{"forged", []string{b(forge(t2))}, nil, "InvalidAuthenticationToken", []string{"its signature does not fit."}},
		{"expired", []string{b(expired)}, nil, "ExpiredAuthenticationToken",
			[]string{"The access token expiry UTC time '11/22/2026 4:04:04 PM' is earlier than current UTC time '11/22/2026 5:04:05 PM'."}},
		{"Graph's audience", []string{b(graph)}, nil, "InvalidAuthenticationTokenAudience",
			[]string{"audience or resource 'https://graph.microsoft.com'", "'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'"}},
		{"EncryptedBearer as auxiliary", []string{b(t2)}, []string{"EncryptedBearer " + t1}, "InvalidAuthenticationToken", []string{"EncryptedBearer is not supported", which("1")}},
		{"auxiliary without scheme", []string{b(t2)}, []string{t1}, "InvalidAuthenticationToken", []string{"is not supported", which("1")}},
		{"four auxiliary", []string{b(t2)}, []string{b(t1) + "," + b(t1) + ";" + b(t1), b(t1)}, "InvalidAuthenticationToken", []string{"has 4 access tokens; at most 3 are allowed"}},
		{"auxiliary header too long", []string{b(t2)}, []string{strings.Repeat(",", 50_000)}, "InvalidAuthenticationToken", []string{"more than 49152 bytes"}},
		{"forged auxiliary", []string{b(t2)}, []string{b(t2) + "," + b(forge(t1))}, "InvalidAuthenticationToken", []string{"its signature does not fit", which("2"), mine}},
		{"opaque auxiliary", []string{b(t2)}, []string{"Bearer abc"}, "InvalidAuthenticationToken", []string{which("1"), "client 'unknown' and tenant 'unknown'"}},
		{"expired auxiliary", []string{b(t2)}, []string{b(expired)}, "ExpiredAuthenticationToken", []string{"The access token expiry UTC time", which("1"), mine}},
		{"expired auxiliary for an untouched tenant", []string{b(t2)}, []string{b(t1) + "," + b(expired)}, "ExpiredAuthenticationToken", []string{which("2")}},
		{"auxiliary for Graph", []string{b(t2)}, []string{b(graph)}, "InvalidAuthenticationTokenAudience", []string{which("1")}},
		{"auxiliary of another application", []string{b(t2)}, []string{b(w.tokenFor(tenant1, w.evil, "https://management.azure.com/"))}, "InvalidAuthenticationToken",
			[]string{"client '" + w.evil.AppID + "' and tenant '" + tenant1 + "'", "client '" + w.app.AppID + "' of tenant '" + tenant2 + "'", which("1")}},
	} {
		_, err := w.auth.Authenticate(t.Context(), headers(tc.primary, tc.auxiliary...))
		checkRefusal(t, tc.name, err, tc.code, tc.texts)
	}
}

func checkRefusal(t *testing.T, name string, err error, code string, texts []string) {
	t.Helper()
	refused, ok := errors.AsType[*arm.Error](err)
	if !ok || refused.Status != 401 || refused.Code != code {
		t.Errorf("%s: got %v, want 401 %s", name, err, code)
		return
	}
	for _, text := range texts {
		if !strings.Contains(refused.Message, text) {
			t.Errorf("%s: message %q lacks %q", name, refused.Message, text)
		}
	}
	challenge := refused.Header["WWW-Authenticate"]
	if !strings.HasPrefix(challenge, `Bearer authorization_uri="https://login.microsoftonline.com/`) ||
		!strings.Contains(challenge, `, error="invalid_token", error_description="`) ||
		strings.Count(challenge, `"`) != 6 || strings.ContainsAny(challenge, "\r\n\\") {
		t.Errorf("%s: challenge %q", name, challenge)
	}
}

// A token says what was true when it was made; the directory says what is true now.
func TestPrincipalMustStillExist(t *testing.T) {
	w := newWorld(t)
	t1, t2 := "Bearer "+w.arm(tenant1), "Bearer "+w.arm(tenant2)
	try := func(name, text string) {
		t.Helper()
		_, err := w.auth.Authenticate(t.Context(), headers([]string{t2}))
		checkRefusal(t, name, err, "InvalidAuthenticationToken", []string{text})
		_, err = w.auth.Authenticate(t.Context(), headers([]string{t1}, t2))
		checkRefusal(t, name+", as auxiliary", err, "InvalidAuthenticationToken", []string{text, "auxiliary token 1", tenant2})
		if _, err = w.auth.Authenticate(t.Context(), headers([]string{t1})); err != nil {
			t.Errorf("%s: the other tenant's token: %v", name, err)
		}
	}
	if err := w.dir.SetAccountEnabled(t.Context(), tenant2, w.app.AppID, false); err != nil {
		t.Fatal(err)
	}
	try("disabled", "is disabled in tenant '"+tenant2+"'")
	if err := w.dir.DeletePrincipal(t.Context(), tenant2, w.app.AppID); err != nil {
		t.Fatal(err)
	}
	try("deleted", "does not exist in tenant '"+tenant2+"'")
	if _, err := w.dir.CreateServicePrincipal(t.Context(), tenant2, w.app.AppID); err != nil {
		t.Fatal(err)
	}
	try("made anew", "does not exist in tenant '"+tenant2+"'")
}

func TestWrongTenant(t *testing.T) {
	e := authn.WrongTenant(tenant1, tenant2)
	checkRefusal(t, "wrong tenant", e, "InvalidAuthenticationTokenTenant", []string{
		"The access token is from the wrong issuer 'https://sts.windows.net/" + tenant1 + "/'. It must match the tenant 'https://sts.windows.net/" + tenant2 +
			"/' associated with this subscription. Please use the authority (URL) 'https://login.windows.net/" + tenant2 + "' to get the token. Note, if the subscription is transferred to another tenant"})
	if c := e.Header["WWW-Authenticate"]; !strings.Contains(c, "/"+tenant2+`"`) {
		t.Errorf("challenge %q does not lead to the subscription's tenant", c)
	}
}
