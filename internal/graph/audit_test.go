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
	team := w.must("admin", "POST", "/v1.0/groups", `{"displayName":"team","mailEnabled":false,"mailNickname":"team","securityEnabled":true}`, 201)
	w.id["team"] = str(team.body["id"])
	w.must("admin", "POST", "/v1.0/groups/{team}/members/$ref", `{"@odata.id":"https://graph.microsoft.com/v1.0/directoryObjects/{none}"}`, 204)
	w.must("admin", "DELETE", "/v1.0/groups/{team}/members/{none}/$ref", "", 204)
	w.must("admin", "PATCH", "/v1.0/servicePrincipals(appId='"+w.app["none"]+"')", `{"notes":"by the name of the client"}`, 204)
	w.as("none", "POST", "/v1.0/users", `{"passwordProfile":{"password":"Refused-before-1"}}`)
	w.must("admin", "POST", "/v1.0/groups?$select=nothing", `{"displayName":"never","mailEnabled":false,"mailNickname":"never","securityEnabled":true}`, 400)
	var out bytes.Buffer
	if err := log.Export(t.Context(), &out, w.tenant.ID, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if secret == "" || strings.Contains(out.String(), secret) {
		t.Error("the secret is in the log")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{`"Microsoft.Graph/groups","category":"Administrative","action":"Microsoft.Graph/groups/write","status":"Failed","code":"Request_BadRequest"`,
		`"Microsoft.Graph/users/write","status":"Failed","code":"Authorization_RequestDenied"`,
		`"type":"Microsoft.Graph/servicePrincipals","category":"Administrative","action":"Microsoft.Graph/servicePrincipals/write","status":"Succeeded"`,
		`"Microsoft.Graph/groups/members/delete","status":"Succeeded"`, `"Microsoft.Graph/groups/members/write","status":"Succeeded"`, `"Microsoft.Graph/groups/write","status":"Succeeded"`,
		`"Microsoft.Graph/applications/delete","status":"Succeeded"`, `"Microsoft.Graph/users/read","status":"Failed","code":"Authorization_RequestDenied"`,
		`"Microsoft.Graph/applications/delete","status":"Failed","code":"Authorization_RequestDenied"`,
		`"Microsoft.Graph/applications/addPassword/action","status":"Succeeded"`, `"Microsoft.Graph/applications/write","status":"Succeeded"`}
	if len(lines) != len(want) {
		t.Fatalf("%d events:\n%s", len(lines), out.String())
	}
	for i, want := range want {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%s\nis not %s", lines[i], want)
		}
	}
	if got := w.must("admin", "GET", "/v1.0/groups?$filter=displayName+eq+'never'", "", 200); strings.Contains(got.text, "never") {
		t.Error("a refused write was kept: " + got.text)
	}
}
