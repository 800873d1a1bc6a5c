package attack

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/client"
	"vitrine/internal/image/format"
	"vitrine/test/harness"
)

// world is what is there before the attacks: contoso with a gallery of disks, fabrikam beside it.
type world struct {
	t        *testing.T
	at       client.Server
	operator *client.Operator
	roots    *x509.CertPool
	http     *http.Client
	calls    atomic.Int64
	trap     string // address of the attacker's listener

	one, two     client.Tenant
	worker       client.App // of one, single-tenant: Contributor of the group
	reader       client.App // of one: Reader of the group
	granter      client.App // of one: User Access Administrator of the group
	nobody       client.App // of one, without any role
	shared       client.App // of one, multi-tenant, not known in two
	both         client.App // of one, multi-tenant, known in two
	admin, alice client.User
	key          signer    // a certificate of worker's
	user         personal  // alice's tokens by the CLI
	group        string    // ID of the resource group in one
	disks        [2]string // IDs of two disks
	sas          [2]*url.URL
	whole        string   // ID of a disk with bytes
	read         *url.URL // read access to it
}

const (
	azCLI    = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	callback = "https://app.contoso.example/callback"
)

func prepare(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.trap = listener(t, &w.calls).Listener.Addr().String()
	w.at = harness.Start(t, harness.Config{Args: []string{"--allow-issuer", "https://issuer.attack.example",
		"--allow-issuer", "https://localhost:" + w.trap[strings.LastIndex(w.trap, ":")+1:]}}).Where()
	w.operator = client.NewOperator(w.at.Operator)
	w.roots = roots(t, w.at)
	w.http = w.from("127.0.0.1")
	w.do("/v1/tenants", client.TenantRequest{Name: "contoso"}, &w.one)
	w.do("/v1/tenants", client.TenantRequest{Name: "fabrikam"}, &w.two)
	for name, app := range map[string]*client.App{"worker": &w.worker, "reader": &w.reader, "granter": &w.granter, "nobody": &w.nobody} {
		w.do("/v1/applications", client.AppRequest{Name: name, Tenant: "contoso"}, app)
	}
	for name, app := range map[string]*client.App{"shared": &w.shared, "both": &w.both} {
		w.do("/v1/applications", client.AppRequest{Name: name, Tenant: "contoso", MultiTenant: true}, app)
	}
	w.do("/v1/consents", client.ConsentRequest{AppID: w.both.AppID, Tenant: "fabrikam"}, nil)
	w.do("/v1/users", client.UserRequest{Name: "admin@fabrikam.onmicrosoft.com", Tenant: "fabrikam", Admin: true}, &w.admin)
	w.do("/v1/users", client.UserRequest{Name: "alice@contoso.onmicrosoft.com", Tenant: "contoso"}, &w.alice)
	w.furnish()
	w.user = w.signIn(w.alice, w.one.TenantID)
	return w
}

// controls proves that the attacks fail for their own reasons: the same requests without what is wrong in them succeed.
func (w *world) controls() {
	w.t.Helper()
	w.must(w.arm("GET", w.sub(), "", w.token(w.one.TenantID, "")))
	w.must(w.arm("GET", w.group, "", w.token(w.one.TenantID, w.worker.AppID)))
	w.must(w.arm("GET", "/subscriptions", "", w.token(w.one.TenantID, w.both.AppID), w.token(w.two.TenantID, w.both.AppID)))
	w.must(w.arm("PUT", w.group+"/providers/Microsoft.Compute/galleries/g1", `{"location":"eastus"}`, w.token(w.one.TenantID, w.worker.AppID)))
	w.must(w.graph("GET", "/servicePrincipals/"+w.nobody.ObjectID, "", w.graphOf(w.nobody.AppID)))
	w.must(w.deploy(deployment("")))
	w.must(w.page(w.sas[0]))
	w.must(w.path("GET", w.group+"?api-version="+version, w.token(w.one.TenantID, w.worker.AppID)))
	b, address := w.browser(), authorize(w.two.TenantID, w.shared.AppID, callback)
	b.enter(address, w.admin)
	_, token := b.open(address)
	if got, to := b.post(address, url.Values{"act": {"accept"}, "csrf": {token}}, "Origin", "https://login.microsoftonline.com"); !strings.Contains(to, "code=") {
		w.t.Errorf("the administrator cannot consent: %d %s %s", got.status, got.code, to)
	}
	w.must(w.secret(w.two.TenantID, w.shared.AppID, w.shared.Password))
	c, err := net.Dial("tcp", w.trap)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	for late := time.After(time.Minute); w.calls.Load() == 0; {
		select {
		case <-late:
			w.t.Fatal("the attacker's listener does not count")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// furnish makes the resources and roles of contoso, as its administrator.
func (w *world) furnish() {
	w.group = "/subscriptions/" + w.one.SubscriptionID + "/resourceGroups/images"
	admin := w.token(w.one.TenantID, "")
	w.put(w.group, `{"location":"eastus"}`, admin)
	for role, app := range map[string]client.App{"Contributor": w.worker, "Reader": w.reader, "User Access Administrator": w.granter} {
		w.do("/v1/roleassignments", client.RoleRequest{Role: role, Scope: w.group, Principal: app.ObjectID}, nil)
	}
	arm, err := client.NewARM(w.at, w.operator.Tokens(w.one.TenantID))
	if err != nil {
		w.t.Fatal(err)
	}
	access := func(id, create, kind string) *url.URL {
		var got struct {
			AccessSAS string `json:"accessSAS"`
		}
		body := map[string]any{"location": "eastus", "properties": json.RawMessage(`{"creationData":` + create + `}`)}
		if err := arm.Do(w.t.Context(), "PUT", id, client.VersionDisks, body, nil); err != nil {
			w.t.Fatal(err)
		}
		if err := arm.Do(w.t.Context(), "POST", id+"/beginGetAccess", client.VersionDisks, map[string]any{"access": kind, "durationInSeconds": 3600}, &got); err != nil {
			w.t.Fatal(err)
		}
		u, err := url.Parse(got.AccessSAS)
		if err != nil || u.Host == "" {
			w.t.Fatalf("%s: no address: %+v %v", id, got, err)
		}
		return u
	}
	const upload = `{"createOption":"Upload","uploadSizeBytes":1049088}`
	for i := range w.disks {
		w.disks[i] = fmt.Sprintf("%s/providers/Microsoft.Compute/disks/disk%d", w.group, i)
		w.sas[i] = access(w.disks[i], upload, "Write")
	}
	w.whole = w.group + "/providers/Microsoft.Compute/disks/whole"
	w.fillDisk(access(w.whole, upload, "Write"))
	if err := arm.Do(w.t.Context(), "POST", w.whole+"/endGetAccess", client.VersionDisks, nil, nil); err != nil {
		w.t.Fatal(err)
	}
	w.read = access(w.whole, upload, "Read")
	gallery := w.group + "/providers/Microsoft.Compute/galleries/g0"
	w.put(gallery, `{"location":"eastus"}`, admin)
	w.await(gallery, admin)
	w.put(gallery+"/images/d0", `{"location":"eastus","properties":{"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s"}}}`, admin)
	w.await(gallery+"/images/d0", admin)
	w.key = newSigner(w.t)
	graph := w.tokenFor(w.one.TenantID, "", "https://graph.microsoft.com")
	w.must(w.graph("PATCH", "/applications(appId='"+w.worker.AppID+"')", w.key.credential(), graph))
	for _, app := range []client.App{w.shared, w.both, w.worker} {
		w.must(w.graph("PATCH", "/applications(appId='"+app.AppID+"')", `{"web":{"redirectUris":["`+callback+`"]}}`, graph))
	}
}

// fillDisk uploads an empty disk of 1 MiB as a fixed VHD: its footer.
func (w *world) fillDisk(u *url.URL) {
	w.t.Helper()
	const size = 1 << 20
	target, footer := *u, format.VHDFooter(size)
	target.RawQuery += "&comp=page"
	w.must(first(w.send("PUT", target.String(), string(footer[:]), "x-ms-page-write", "update", "x-ms-range", fmt.Sprintf("bytes=%d-%d", size, size+len(footer)-1))))
}

// await polls a resource, or a deployment, until its work has ended.
func (w *world) await(id, token string) outcome {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(3 * time.Minute); ; <-tick.C {
		got := w.arm("GET", id, "", token)
		var state struct {
			Properties struct{ ProvisioningState string }
		}
		err := json.Unmarshal([]byte(got.body), &state)
		switch state.Properties.ProvisioningState {
		case "Succeeded", "Failed", "Canceled":
			return got
		}
		if err != nil || got.status != 200 || time.Now().After(late) {
			w.t.Fatalf("%s does not end: %d %s", id, got.status, got.body)
		}
	}
}

// deploy sends a deployment of worker's. One that was taken and failed later counts as its error: 409, and the innermost code.
func (w *world) deploy(body string) outcome {
	w.t.Helper()
	id, token := w.group+"/providers/Microsoft.Resources/deployments/"+uuid.NewString(), w.token(w.one.TenantID, w.worker.AppID)
	got := w.arm("PUT", id, body, token)
	if got.status != 201 {
		return got
	}
	got = w.await(id, token)
	var end struct {
		Properties struct {
			ProvisioningState string
			Error             fault
		}
	}
	if err := json.Unmarshal([]byte(got.body), &end); err != nil {
		w.t.Fatal(err)
	}
	if end.Properties.ProvisioningState == "Failed" {
		got.status, got.code = 409, end.Properties.Error.inner()
	}
	return got
}

type fault struct {
	Code    string
	Details []fault
}

// inner joins the code with that of the first detail.
func (f fault) inner() string {
	if len(f.Details) > 0 {
		return f.Code + ": " + f.Details[0].Code
	}
	return f.Code
}

// do acts as the operator.
func (w *world) do(path string, in, out any) {
	w.t.Helper()
	if err := w.operator.Do(w.t.Context(), path, in, out); err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
}

func (w *world) put(id, body, token string) {
	w.t.Helper()
	w.must(w.arm("PUT", id, body, token))
}

func (w *world) must(got outcome) {
	w.t.Helper()
	if got.status < 200 || got.status > 299 {
		w.t.Fatalf("preparing: %d %s\n%s", got.status, got.code, got.body)
	}
}

// token is a good one for Resource Manager; of the tenant's administrator when app is empty.
func (w *world) token(tenant, app string) string { return w.tokenFor(tenant, app, "") }

func (w *world) tokenFor(tenant, app, resource string) string {
	w.t.Helper()
	return w.tokenOf(client.TokenRequest{Tenant: tenant, AppID: app, Resource: resource})
}

func (w *world) tokenOf(in client.TokenRequest) string {
	w.t.Helper()
	var out client.Token
	w.do("/v1/tokens", in, &out)
	return out.AccessToken
}

// graphOf is a token of an application of contoso for Graph.
func (w *world) graphOf(app string) string {
	return w.tokenFor(w.one.TenantID, app, "https://graph.microsoft.com")
}

func (w *world) sub() string { return "/subscriptions/" + w.one.SubscriptionID }

// swapped changes the last sign of a text that is base64.
func swapped(s string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := len(s) / 2
	next := letters[(strings.IndexByte(letters, s[i])+1)%len(letters)]
	return s[:i] + string(next) + s[i+1:]
}
