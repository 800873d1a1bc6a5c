package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// javascript runs the scripts in js, which report here what came of each way in.
func (w *world) javascript(t *testing.T) {
	t.Run("azure identity", w.jsIdentity)
	t.Run("openid-client", w.jsOpenID)
}

// jsRow is what a script has to report: a token that works in a tenant and has these claims, or an error that says something.
type jsRow struct {
	at     tenant
	claims []string
	says   []string
}

// jsLine is one line from a script.
type jsLine struct {
	Do      string
	Name    string
	Address string
	Code    string
	Token   string
	Error   string
	Cached  *bool // the second token was the first one
	Graph   string
	Renewed string
	Rotated bool
	ID      map[string]any
}

func (w *world) jsIdentity(t *testing.T) {
	app := []string{"appid", w.daemon.AppID, "oid", w.daemon.ObjectID, "idtyp", "app"}
	person := []string{"oid", w.alice.ObjectID, "upn", w.alice.UserPrincipalName, "scp", "user_impersonation"}
	w.environment(t, map[string]string{"AZURE_CLIENT_SECRET": w.daemon.Password})
	b := newBrowser(t, w.alice)
	opened := w.openBy(t, b)
	w.jsRun(t, b, "identity.mjs", map[string]jsRow{
		"ClientSecretCredential":                     {at: w.contoso, claims: append(app, "appidacr", "1")},
		"ClientCertificateCredential":                {at: w.contoso, claims: append(app, "appidacr", "2")},
		"ClientCertificateCredential with its chain": {at: w.contoso, claims: append(app, "appidacr", "2")},
		"ClientAssertionCredential":                  {at: w.contoso, claims: append(app, "appidacr", "2")},
		"WorkloadIdentityCredential":                 {at: w.contoso, claims: append(app, "appidacr", "2")},
		"EnvironmentCredential":                      {at: w.contoso, claims: append(app, "appidacr", "1")},
		"DefaultAzureCredential":                     {at: w.contoso, claims: append(app, "appidacr", "1")},
		"DeviceCodeCredential":                       {at: w.contoso, claims: append(person, "appid", azureCLI)},
		"DeviceCodeCredential, own application":      {at: w.contoso, claims: append(person, "appid", w.tool.AppID)},
		"UsernamePasswordCredential":                 {at: w.contoso, claims: append(person, "appid", w.tool.AppID)},
		"InteractiveBrowserCredential":               {at: w.contoso, claims: append(person, "appid", w.tool.AppID)},
		"AuthorizationCodeCredential":                {at: w.contoso, claims: append(person, "appid", w.site.AppID)},
		"other tenant":                               {at: w.fabrikam, claims: []string{"appid", w.daemon.AppID, "tid", w.fabrikam.TenantID}},
		"claims challenge":                           {at: w.contoso, claims: app},
		"other tenant, not allowed by the program":   {says: []string{"AdditionallyAllowedTenants"}},
		"wrong secret":                               {says: []string{"invalid_client", "AADSTS7000215"}},
		"another's certificate":                      {says: []string{"AADSTS700027"}},
		"single-tenant abroad":                       {says: []string{"AADSTS700016"}},
		"unknown tenant":                             {says: []string{"AADSTS90002"}},
		"wrong password":                             {says: []string{"AADSTS50126"}},
		"on behalf of":                               {says: []string{"AADSTS70003"}},
	})
	if n := opened(); n != 1 {
		t.Errorf("the browser was opened %d times, want 1", n)
	}
}

func (w *world) jsOpenID(t *testing.T) {
	itself := jsRow{at: w.contoso, claims: []string{"appid", w.daemon.AppID, "idtyp", "app"}}
	person := func(client app) jsRow {
		return jsRow{at: w.contoso, claims: []string{"oid", w.alice.ObjectID, "appid", client.AppID, "scp", "user_impersonation"}}
	}
	w.jsRun(t, newBrowser(t, w.alice), "openid.mjs", map[string]jsRow{
		"client credentials, secret in the form":   itself,
		"client credentials, secret in the header": itself,
		"private_key_jwt, RS256":                   itself,
		"private_key_jwt, PS256":                   itself,
		"code with PKCE, then refresh":             person(w.site),
		"code with private_key_jwt":                person(w.site),
		"code of a native application":             person(w.tool),
		"device authorization":                     person(w.tool),
		"wrong secret":                             {says: []string{"invalid_client", "AADSTS7000215"}},
		"wrong nonce":                              {says: []string{"nonce"}},
		"wrong verifier":                           {says: []string{"invalid_grant", "AADSTS501481"}},
		"single-tenant abroad":                     {says: []string{"AADSTS700016"}},
	})
}

// jsRun runs a script and checks each row that it reports; every row has to come.
func (w *world) jsRun(t *testing.T, b *browser, script string, rows map[string]jsRow) {
	t.Helper()
	node := w.node(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, node, filepath.Join("js", script))
	c.Stderr = os.Stderr
	in, out := must(c.StdinPipe()), must(c.StdoutPipe())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	say := json.NewEncoder(in)
	tell := func(v any) {
		if err := say.Encode(v); err != nil {
			t.Errorf("%s does not listen: %v", script, err)
		}
	}
	tell(w.told(t))
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var l jsLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%s: %q: %v", script, lines.Text(), err)
		}
		switch l.Do {
		case "open":
			tell(map[string]string{"address": b.open(l.Address)})
		case "approve":
			b.approve(l.Address, l.Code)
			tell(map[string]string{})
		default:
			row, ok := rows[l.Name]
			if delete(rows, l.Name); !ok {
				t.Errorf("%s reports %q, of which this test knows nothing", script, l.Name)
			}
			t.Run(l.Name, func(t *testing.T) { w.jsCheck(t, row, l) })
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%s: %v", script, err)
	}
	for name := range rows {
		t.Errorf("%s did not report %q", script, name)
	}
}

func (w *world) jsCheck(t *testing.T, row jsRow, l jsLine) {
	if row.says != nil {
		if l.Token != "" {
			t.Fatalf("a token instead of %q", row.says)
		}
		fails(t, jsError(l.Error), row.says...)
		return
	}
	if l.Error != "" {
		t.Fatal(l.Error)
	}
	says(t, l.Token, row.claims...)
	works(t, fixed(l.Token), row.at.SubscriptionID)
	if l.Cached != nil && !*l.Cached {
		t.Error("the second token is not the cached one")
	}
	if l.Graph != "" {
		says(t, l.Graph, "aud", "https://graph.microsoft.com")
	}
	if l.Renewed != "" {
		works(t, fixed(l.Renewed), row.at.SubscriptionID)
		if !l.Rotated || l.ID["oid"] != w.alice.ObjectID || l.ID["aud"] != w.site.AppID {
			t.Errorf("rotated: %v, ID token %v", l.Rotated, l.ID)
		}
	}
}

type jsError string

func (e jsError) Error() string { return string(e) }

// told is what the scripts get to know of the world.
func (w *world) told(t *testing.T) map[string]any {
	t.Helper()
	token := w.issuer.token(t, federatedSubject)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	of := func(a app) map[string]string { return map[string]string{"id": a.AppID, "secret": a.Password} }
	return map[string]any{"contoso": w.contoso.TenantID, "fabrikam": w.fabrikam.TenantID, "daemon": of(w.daemon), "home": of(w.home), "tool": of(w.tool), "site": of(w.site),
		"alice": map[string]string{"name": w.alice.UserPrincipalName, "password": w.alice.Password}, "pem": w.pem, "thumbprint": thumbprint(w.certificate),
		"callback": callback, "federated": token, "federatedFile": file}
}

// node is the program that runs scripts. scripts/sdk-js puts what they need into js/node_modules.
func (w *world) node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	missing := ""
	if err != nil {
		missing = "there is no node"
	} else if _, err := os.Stat(filepath.Join("js", "node_modules")); err != nil {
		missing = "js/node_modules is not there (scripts/sdk-js makes it)"
	}
	if missing == "" {
		return path
	}
	if os.Getenv("VITRINE_FULL") == "1" {
		t.Fatal("VITRINE_FULL=1, but " + missing)
	}
	t.Skip("not tested: " + missing)
	return ""
}
