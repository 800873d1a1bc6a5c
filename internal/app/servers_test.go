package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/internal/store/storetest/pgtest"
)

// pair is two servers of one installation, and an application of its only tenant.
type pair struct {
	*testing.T
	servers  [2]client.Server
	http     [2]*http.Client
	operator *client.Operator
	tenant   client.Tenant
	who      client.App
	scope    string
	admin    string // token for Azure Resource Manager of the tenant's first principal
	graph    string // and for Microsoft Graph
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dsn, dir := pgtest.Start(t), t.TempDir()
	key := filepath.Join(dir, "master.key")
	p := &pair{T: t, servers: [2]client.Server{start(t, filepath.Join(dir, "a"), key, dsn), start(t, filepath.Join(dir, "b"), key, dsn)}}
	for i := range p.servers {
		var err error
		if p.http[i], err = p.servers[i].HTTP(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.http[i].CloseIdleConnections)
	}
	p.operator = client.NewOperator(p.servers[0].Operator)
	p.operate("/v1/tenants", client.TenantRequest{Name: "contoso"}, &p.tenant)
	p.operate("/v1/applications", client.AppRequest{Name: "x", Tenant: "contoso"}, &p.who)
	p.scope = "/subscriptions/" + p.tenant.SubscriptionID
	for resource, token := range map[string]*string{"": &p.admin, "https://graph.microsoft.com": &p.graph} {
		var got client.Token
		p.operate("/v1/tokens", client.TokenRequest{Tenant: "contoso", Resource: resource}, &got)
		*token = got.AccessToken
	}
	return p
}

func (p *pair) operate(path string, in, out any) {
	p.Helper()
	if err := p.operator.Do(p.Context(), path, in, out); err != nil {
		p.Fatal(err)
	}
}

// ask sends a request to one of the servers and gives the status and the answer.
func (p *pair) ask(server int, token, method, target string, body any) (int, map[string]any) {
	p.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		p.Fatal(err)
	}
	kind := "application/json"
	if form, ok := body.(url.Values); ok {
		raw, kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	} else if body == nil {
		raw = nil
	}
	ctx, cancel := context.WithTimeout(p.Context(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(raw))
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := p.http[server].Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	var answer map[string]any
	_ = json.Unmarshal(text, &answer) // what is no JSON is compared by its status
	return res.StatusCode, answer
}

func (p *pair) must(server int, token, method, target string, body any) map[string]any {
	p.Helper()
	status, answer := p.ask(server, token, method, target, body)
	if status >= 300 {
		p.Fatalf("%s %s: %d %v", method, target, status, answer)
	}
	return answer
}

func (p *pair) arm(path string) string {
	return "https://management.azure.com" + path + "?api-version=2022-04-01"
}

const graphURL = "https://graph.microsoft.com/v1.0"

// signIn gets a token with the application's secret; empty: refused.
func (p *pair) signIn(server int) (string, map[string]any) {
	p.Helper()
	_, answer := p.ask(server, "", "POST", "https://login.microsoftonline.com/"+p.tenant.TenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {p.who.AppID}, "client_secret": {p.who.Password}, "scope": {"https://management.azure.com/.default"}})
	token, _ := answer["access_token"].(string)
	return token, answer
}

// assign gives a role to a principal in the subscription and returns the assignment's URL.
func (p *pair) assign(n int, principal, role string) string {
	p.Helper()
	at := p.arm(fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/99999999-0000-4000-8000-%012d", p.scope, n))
	p.must(0, p.admin, "PUT", at, map[string]any{"properties": map[string]string{"principalId": principal,
		"roleDefinitionId": p.scope + "/providers/Microsoft.Authorization/roleDefinitions/" + role}})
	return at
}

// TestEffectInEveryServer changes what somebody may do at one server and asks the other at once: the very next request must see it.
func TestEffectInEveryServer(t *testing.T) {
	p := newPair(t)
	token, answer := p.signIn(1)
	if token == "" {
		t.Fatal(answer)
	}
	const reader, custom = "acdd72a7-3385-48ef-bd42-f606fba81ae7", "99999999-0000-4000-8000-0000000000cc"
	group, object := p.arm(p.scope+"/resourceGroups/g"), p.who.ObjectID
	p.must(0, p.admin, "PUT", group, map[string]string{"location": "eastus"})
	var slowest time.Duration
	// at asks the second server with the application's token, and measures how long after the change the answer was there.
	at := func(what, method, target string, body any, changed time.Time, status int) {
		t.Helper()
		got, answer := p.ask(1, token, method, target, body)
		took := time.Since(changed)
		if slowest = max(slowest, took); got != status {
			t.Errorf("%s: the other server answers %d %v, want %d", what, got, answer, status)
		}
		fmt.Printf("%-45s %3d at the other server, %s after the change\n", what, got, took.Round(time.Millisecond))
	}
	change := func(token, method, target string, body any) time.Time {
		t.Helper()
		p.must(0, token, method, target, body)
		return time.Now()
	}

	team := p.must(0, p.graph, "POST", graphURL+"/groups", map[string]any{"displayName": "team", "mailNickname": "team", "mailEnabled": false, "securityEnabled": true})
	id, _ := team["id"].(string)
	p.assign(1, id, reader)
	at("in no group", "GET", group, nil, time.Now(), 403)
	at("put into a group", "GET", group, nil, change(p.graph, "POST", graphURL+"/groups/"+id+"/members/$ref", map[string]string{"@odata.id": graphURL + "/directoryObjects/" + object}), 200)
	at("taken out of the group", "GET", group, nil, change(p.graph, "DELETE", graphURL+"/groups/"+id+"/members/"+object+"/$ref", nil), 403)

	role := p.arm(p.scope + "/providers/Microsoft.Authorization/roleDefinitions/" + custom)
	actions := func(action string) map[string]any {
		return map[string]any{"properties": map[string]any{"roleName": "own", "type": "CustomRole", "assignableScopes": []string{p.scope},
			"permissions": []map[string]any{{"actions": []string{action}}}}}
	}
	p.must(0, p.admin, "PUT", role, actions("Microsoft.Compute/*"))
	p.assign(2, object, custom)
	at("a custom role without the action", "GET", group, nil, time.Now(), 403)
	at("with it", "GET", group, nil, change(p.admin, "PUT", role, actions("Microsoft.Resources/*")), 200)

	lock := p.arm(p.scope + "/resourceGroups/g/providers/Microsoft.Authorization/locks/l")
	tags := map[string]any{"location": "eastus", "tags": map[string]string{"a": "b"}}
	at("no lock", "PUT", group, tags, time.Now(), 200)
	at("a lock", "PUT", group, tags, change(p.admin, "PUT", lock, map[string]any{"properties": map[string]string{"level": "ReadOnly"}}), 409)
	at("no lock any more", "PUT", group, tags, change(p.admin, "DELETE", lock, nil), 200)

	p.operate("/v1/denyassignments", client.DenyRequest{Tenant: "contoso", Name: "d", Scope: p.scope, Actions: []string{"Microsoft.Resources/*/write"}, Principals: []string{object}}, nil)
	at("a deny assignment", "PUT", group, tags, time.Now(), 403)
	at("which denies no reading", "GET", group, nil, time.Now(), 200)

	p.effectOnTokens(at, change, group)
	fmt.Printf("slowest: %s\n", slowest.Round(time.Millisecond)) // which says how busy this host is: the answers were right at the first question
}

// operatorToken is another token of the application.
func (p *pair) operatorToken() string {
	p.Helper()
	var got client.Token
	p.operate("/v1/tokens", client.TokenRequest{Tenant: "contoso", AppID: p.who.AppID}, &got)
	if status, answer := p.ask(1, got.AccessToken, "GET", p.arm(p.scope+"/resourceGroups/g"), nil); status != 200 {
		p.Fatalf("a fresh token: %d %v", status, answer)
	}
	return got.AccessToken
}

// effectOnTokens goes on with what makes tokens and secrets worthless.
func (p *pair) effectOnTokens(at func(string, string, string, any, time.Time, int), change func(string, string, string, any) time.Time, group string) {
	p.Helper()
	principal := graphURL + "/servicePrincipals/" + p.who.ObjectID
	at("a principal disabled", "GET", group, nil, change(p.graph, "PATCH", principal, map[string]bool{"accountEnabled": false}), 401)
	at("enabled again", "GET", group, nil, change(p.graph, "PATCH", principal, map[string]bool{"accountEnabled": true}), 200)
	app := p.must(1, p.graph, "GET", graphURL+"/applications(appId='"+p.who.AppID+"')", nil)
	credentials, _ := app["passwordCredentials"].([]any)
	if len(credentials) != 1 {
		p.Fatalf("%v", app)
	}
	keyID, _ := credentials[0].(map[string]any)["keyId"].(string)
	change(p.graph, "POST", graphURL+"/applications(appId='"+p.who.AppID+"')/removePassword", map[string]string{"keyId": keyID})
	for server := range p.servers {
		if token, answer := p.signIn(server); token != "" || !strings.Contains(fmt.Sprint(answer["error_description"]), "AADSTS7000215") {
			p.Errorf("a secret that was removed, server %d: %v", server, answer)
		}
	}
	at("the token of before the secret's removal", "GET", group, nil, time.Now(), 200)
	token := p.operatorToken()
	at("a principal deleted", "GET", group, nil, change(p.graph, "DELETE", principal, nil), 401)
	for server := range p.servers {
		if status, answer := p.ask(server, token, "GET", group, nil); status != 401 {
			p.Errorf("the token of a principal that was deleted, server %d: %d %v", server, status, answer)
		}
	}
}
