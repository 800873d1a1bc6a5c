package login_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

const (
	tenant1 = "11111111-0000-4000-8000-000000000001"
	tenant2 = "22222222-0000-4000-8000-000000000002"
	nobody  = "99999999-0000-4000-8000-000000000009"
	armHost = "https://management.core.windows.net/"
)

// world is a token service with two tenants, a multi-tenant application in both and what else the tests need.
type world struct {
	t       *testing.T
	driver  *brittle
	store   *store.Store
	dir     *directory.Directory
	tokens  *token.Service
	config  login.Config
	handler http.Handler
	log     *syncBuffer
	at      time.Time

	app                    directory.Application // multi-tenant, in both tenants
	secret                 string
	single, absent, public directory.Application // in tenant 1 only
	singleSecret           string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func newWorld(t *testing.T) *world {
	t.Helper()
	d := &brittle{Driver: memstore.Open()}
	st := store.New(d)
	t.Cleanup(func() { _ = st.Close() })
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, driver: d, store: st, dir: directory.New(st), log: &syncBuffer{}, at: time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC)}
	now := func() time.Time { return w.at }
	w.tokens = token.New(token.Config{Store: st, Sealer: sealer, Now: now})
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	w.config = login.Config{Store: st, Directory: w.dir, Tokens: w.tokens, Log: log, Now: now}
	w.serve()
	for _, id := range []string{tenant1, tenant2} {
		if _, err := w.dir.CreateTenant(t.Context(), directory.Tenant{ID: id, Name: "tenant " + id[:1]}); err != nil {
			t.Fatal(err)
		}
	}
	w.app = w.register(directory.Application{DisplayName: "Golden images", SignInAudience: directory.MultiTenant})
	w.single = w.register(directory.Application{DisplayName: "At home", TokenVersion: 2})
	w.absent = w.register(directory.Application{DisplayName: "Not abroad", SignInAudience: directory.MultiTenant})
	w.public = w.register(directory.Application{DisplayName: "A public client", PublicClient: true})
	if _, err := w.dir.CreateServicePrincipal(t.Context(), tenant2, w.app.AppID); err != nil {
		t.Fatal(err)
	}
	w.secret, w.singleSecret = w.newSecret(w.app, 0), w.newSecret(w.single, 0)
	return w
}

func (w *world) serve() { w.handler = web.Serve(web.Config{Log: w.config.Log}, login.New(w.config)) }

func (w *world) passwords() { w.config.Passwords = true; w.serve() }

func (w *world) register(a directory.Application) directory.Application {
	w.t.Helper()
	a.TenantID = tenant1
	app, _, err := w.dir.CreateApplication(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	return app
}

// newSecret makes a secret that ends after the given time; 0 is a year.
func (w *world) newSecret(a directory.Application, after time.Duration) string {
	w.t.Helper()
	spec := directory.SecretSpec{Start: w.at.Add(-time.Hour)}
	if after != 0 {
		spec.End = w.at.Add(after)
	}
	text, _, err := w.dir.AddSecret(w.t.Context(), a.AppID, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    []byte
	json   map[string]any
}

func (a answer) text(member string) string { s, _ := a.json[member].(string); return s }

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: rec.Code, header: rec.Result().Header, raw: body}
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(body, &a.json); err != nil {
			w.t.Fatalf("%s %s: %v in %s", r.Method, r.URL, err, body)
		}
	}
	return a
}

func (w *world) get(target string) answer {
	w.t.Helper()
	return w.do(httptest.NewRequest(http.MethodGet, "https://login.microsoftonline.com"+target, nil))
}

func (w *world) post(path string, form url.Values) answer {
	w.t.Helper()
	return w.do(postRequest(path, form.Encode()))
}

func postRequest(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// form is a good request of the v2 endpoint with changes: name, value, name, value…; the value "-" removes a name.
func (w *world) form(changes ...string) url.Values {
	f := url.Values{"client_id": {w.app.AppID}, "client_secret": {w.secret}, "grant_type": {"client_credentials"},
		"scope": {armHost + "/.default"}}
	for i := 0; i < len(changes); i += 2 {
		if f.Set(changes[i], changes[i+1]); changes[i+1] == "-" {
			f.Del(changes[i])
		}
	}
	return f
}
