package control_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// door is the whole door with a real token of tenant A.
func door(t *testing.T) (http.Handler, *world, string) {
	w := newWorld(t)
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	dir, tokens := directory.New(w.store), token.New(token.Config{Store: w.store, Sealer: sealer, Now: time.Now})
	if _, err := dir.CreateTenant(t.Context(), directory.Tenant{ID: tenantA, Name: "a"}); err != nil {
		t.Fatal(err)
	}
	app, sp, err := dir.CreateApplication(t.Context(), directory.Application{TenantID: tenantA, DisplayName: "app"})
	if err != nil {
		t.Fatal(err)
	}
	w.grant(sp.ObjectID, ownerRole, "/subscriptions/"+subA)
	resource, _ := token.ParseResource("https://management.azure.com/")
	raw, _, err := tokens.Issue(t.Context(), token.Request{TenantID: tenantA, Resource: resource, AppID: app.AppID, AppIDACR: "1", ObjectID: sp.ObjectID})
	if err != nil {
		t.Fatal(err)
	}
	auth := authn.New(authn.Config{Tokens: tokens, Directory: dir, Now: time.Now})
	log := slog.New(slog.DiscardHandler)
	return web.Serve(web.Config{Log: log, MaxBody: 1 << 16}, w.control.Handler(auth)), w, raw
}

func send(t *testing.T, h http.Handler, method, target, bearer string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "https://management.azure.com:443"+target, body)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func code(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	if body.Error.Message == "" {
		t.Errorf("no message in %s", rec.Body)
	}
	return body.Error.Code
}

const version = "?api-version=2022-03-03"

func TestTheDoor(t *testing.T) {
	h, _, raw := door(t)
	client := "12345678-0000-4000-8000-000000000001"
	rec := send(t, h, "PUT", widgets+"/w"+version, raw, strings.NewReader(square), "x-ms-client-request-id", client, "x-ms-return-client-request-id", "true",
		"x-ms-correlation-request-id", client)
	if rec.Code != 201 || !json.Valid(rec.Body.Bytes()) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for name, want := range map[string]string{"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "X-Content-Type-Options": "nosniff",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "Content-Type": "application/json; charset=utf-8",
		"x-ms-client-request-id": client, "x-ms-correlation-request-id": client} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	id := rec.Header().Get("x-ms-request-id")
	if id == "" || !strings.HasSuffix(rec.Header().Get("x-ms-routing-request-id"), id) {
		t.Errorf("%v", rec.Header())
	}
	rec = send(t, h, "HEAD", widgets+"/w"+version, raw, nil)
	if rec.Code != 204 || rec.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", rec.Code, rec.Body)
	}
	rec = send(t, h, "HEAD", widgets+"/none"+version, raw, nil)
	if rec.Code != 404 || rec.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", rec.Code, rec.Body)
	}
	rec = send(t, h, "PUT", engines+"/e"+version, raw, strings.NewReader(plain))
	if got := rec.Header().Get("Azure-AsyncOperation"); rec.Code != 201 || !strings.HasPrefix(got, "https://management.azure.com/subscriptions/") {
		t.Errorf("%d %s", rec.Code, got)
	}
	if rec = send(t, h, "GET", widgets+"%2f..%2fx"+version, raw, nil); rec.Code != 400 {
		t.Errorf("an escaped slash: %d %s", rec.Code, rec.Body)
	}
}

func TestTheDoorRefuses(t *testing.T) {
	h, w, raw := door(t)
	rec := send(t, h, "GET", widgets+version, "", nil)
	if rec.Code != 401 || code(t, rec) != "AuthenticationFailed" || !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Bearer ") {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	if rec = send(t, h, "GET", widgets+version, raw[:len(raw)-4]+"AAAA", nil); rec.Code != 401 || code(t, rec) != "InvalidAuthenticationToken" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec = send(t, h, "GET", "/subscriptions/"+subB+"/resourceGroups/g"+version, raw, nil); rec.Code != 401 || code(t, rec) != "InvalidAuthenticationTokenTenant" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec = send(t, h, "PUT", widgets+"/w"+version, raw, strings.NewReader(`{"x":"`+strings.Repeat("x", 1<<17)+`"}`)); rec.Code != 413 || code(t, rec) != "RequestEntityTooLarge" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for form, taken := range map[string]bool{"text/plain": false, "application/x-www-form-urlencoded": false, "json": false, "text/json": true, "application/merge-patch+json; charset=utf-8": true, "": true} {
		rec = send(t, h, "PUT", widgets+"/typed"+version, raw, strings.NewReader(plain), "Content-Type", form)
		if refused := rec.Code == 415; refused == taken || refused && code(t, rec) != "UnsupportedMediaType" {
			t.Errorf("Content-Type %q: %d %s", form, rec.Code, rec.Body)
		}
	}
	if rec = send(t, h, "GET", widgets, raw, nil); rec.Code != 400 || code(t, rec) != "MissingApiVersionParameter" || rec.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w.update(func(tx store.Tx) error { // a document that cannot be read is our fault, and the caller learns its number only
		_, err := tx.Put(store.Document{Key: strings.ToLower(widgets + "/broken"), Kind: "vitrine.test/widgets", Body: []byte(`["private"]`)})
		return err
	})
	rec = send(t, h, "GET", widgets+"/broken"+version, raw, nil)
	if rec.Code != 500 || code(t, rec) != "InternalServerError" || strings.Contains(rec.Body.String(), "document") || !strings.Contains(rec.Body.String(), rec.Header().Get("x-ms-request-id")) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if status, _, _ := control.Hide(errors.New("x")).Render(); status != 500 {
		t.Error(status)
	}
}
