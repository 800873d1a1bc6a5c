package graph_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"vitrine/internal/audit"
	"vitrine/internal/authn"
	"vitrine/internal/graph"
	"vitrine/internal/seal"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

func TestWritesAreInTheActivityLog(t *testing.T) {
	w := newWorld(t)
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	log := audit.New(audit.Config{Store: w.store, Sealer: sealer, Owner: "test"})
	who := authn.New(authn.Config{Tokens: w.tokens, Directory: w.dir, API: token.Graph})
	w.door = web.Serve(web.Config{Log: slog.New(slog.DiscardHandler)}, graph.New(graph.Config{Store: w.store, Directory: w.dir, Authn: who, Audit: log}))
	app := w.must("admin", "POST", "/v1.0/applications", `{"displayName":"logged"}`, 201)
	w.id["logged"] = str(app.body["id"])
	secret := str(w.must("admin", "POST", "/v1.0/applications/{logged}/addPassword", `{}`, 200).body["secretText"])
	w.must("admin", "GET", "/v1.0/applications/{logged}", "", 200)
	w.as("none", "DELETE", w.fill("/v1.0/applications/{logged}"), "")
	w.as("none", "GET", w.fill("/v1.0/users/{bob}"), "")
	w.must("admin", "DELETE", "/v1.0/applications/{logged}", "", 204)
	var out bytes.Buffer
	if err := log.Export(t.Context(), &out, w.tenant.ID, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if secret == "" || strings.Contains(out.String(), secret) {
		t.Error("the secret is in the log")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d events:\n%s", len(lines), out.String())
	}
	for i, want := range []string{`"Microsoft.Graph/applications/delete","status":"Succeeded"`, `"Microsoft.Graph/users/read","status":"Failed","code":"Authorization_RequestDenied"`,
		`"Microsoft.Graph/applications/delete","status":"Failed","code":"Authorization_RequestDenied"`,
		`"Microsoft.Graph/applications/addPassword/action","status":"Succeeded"`, `"Microsoft.Graph/applications/write","status":"Succeeded"`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%s\nis not %s", lines[i], want)
		}
	}
}
