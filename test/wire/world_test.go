package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"testing"
	"time"

	"vitrine/internal/app"
	"vitrine/internal/client"
	"vitrine/internal/image/qcow2/qcow2test"
	"vitrine/internal/vm"
	"vitrine/internal/vm/fakevm"
)

// world is a fresh installation: contoso, with its people, and fabrikam.
type world struct {
	t      *testing.T
	http   *http.Client
	tokens map[string]string // by who asks
	known  map[string]string // GUIDs that have a name
	vars   map[string]string
}

const (
	contoso, contosoSub   = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	fabrikam, fabrikamSub = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"
	storageAudience       = "https://storage.azure.com"
	armAudience           = ""
)

func newWorld(t *testing.T) *world {
	t.Helper()
	at := start(t)
	w := &world{t: t, http: reach(t, at), tokens: map[string]string{"nobody": ""}, known: map[string]string{}, vars: map[string]string{}}
	operator := client.NewOperator(at.Operator)
	do := func(act string, in, out any) {
		t.Helper()
		if err := operator.Do(t.Context(), act, in, out); err != nil {
			t.Fatalf("%s: %v", act, err)
		}
	}
	token := func(who, tenant, app, audience string) {
		t.Helper()
		var got client.Token
		do("/v1/tokens", client.TokenRequest{Tenant: tenant, AppID: app, Resource: audience}, &got)
		w.tokens[who] = got.AccessToken
	}
	var one, two client.Tenant
	do("/v1/tenants", client.TenantRequest{Name: "contoso", ID: contoso, Subscription: contosoSub}, &one)
	do("/v1/tenants", client.TenantRequest{Name: "fabrikam", ID: fabrikam, Subscription: fabrikamSub}, &two)
	w.name("owner", one.ObjectID)
	w.name("ownerApp", one.AppID)
	token("owner", contoso, "", armAudience)
	token("owner@storage", contoso, "", storageAudience)
	token("stranger", fabrikam, "", armAudience)
	for _, who := range []string{"reader", "guest"} {
		var made client.App
		do("/v1/applications", client.AppRequest{Name: who, Tenant: contoso}, &made)
		w.name(who, made.ObjectID)
		w.name(who+"App", made.AppID)
		token(who, contoso, made.AppID, armAudience)
		token(who+"@storage", contoso, made.AppID, storageAudience)
	}
	do("/v1/roleassignments", client.RoleRequest{Role: "Reader", Scope: "/subscriptions/" + contosoSub, Principal: w.vars["reader"]}, nil)
	do("/v1/roleassignments", client.RoleRequest{Role: "Storage Blob Data Owner", Scope: "/subscriptions/" + contosoSub, Principal: w.vars["owner"]}, nil)
	var denied client.Denied
	do("/v1/denyassignments", client.DenyRequest{Name: "no rockets", Scope: "/subscriptions/" + contosoSub, Actions: []string{"Acme.Rockets/*"}, Principals: []string{w.vars["guest"]}}, &denied)
	w.name("denied", path.Base(denied.ID))
	for name, id := range map[string]string{"tenant": contoso, "sub": contosoSub, "tenant2": fabrikam, "sub2": fabrikamSub} {
		w.name(name, id)
	}
	return w
}

// name lets a GUID be written by name, in requests and answers.
func (w *world) name(name, guid string) { w.vars[name], w.known[guid] = guid, "{"+name+"}" }

// runtime makes the files of machines in QEMU's format, so that what a machine holds can be read.
type runtime struct{ *fakevm.Runtime }

// CreateDisk implements vm.Runtime.
func (r runtime) CreateDisk(ctx context.Context, d vm.NewDisk) error {
	if err := r.Runtime.CreateDisk(ctx, d); err != nil {
		return err
	}
	return qcow2test.Write(d.Path, max(d.Size, 1<<30), nil)
}

// start runs a server until the test ends.
func start(t *testing.T) client.Server {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	a, err := app.New(t.Context(), app.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Machines: runtime{fakevm.New()}, Networks: fakevm.NewNetworks(), Log: log, Throttle: 100, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server: %v", err)
		}
		a.Close()
	})
	return a.Server()
}

// reach is a client that trusts the server's own authority and goes through its proxy.
func reach(t *testing.T, at client.Server) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(at.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	proxy, err := url.Parse(at.Proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: time.Minute, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
