package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/directory"
	"vitrine/internal/operation"
	"vitrine/internal/operator"
	"vitrine/internal/provider/authorization"
	"vitrine/internal/rbac"
	"vitrine/internal/seal"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/token"
	"vitrine/internal/vm"
)

const nobody = "99999999-0000-4000-8000-000000000009"

type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) { j.mu.Lock(); defer j.mu.Unlock(); return j.b.Write(p) }

func (j *journal) String() string { j.mu.Lock(); defer j.mu.Unlock(); return j.b.String() }

type world struct {
	t      *testing.T
	socket string
	client *client.Operator
	store  *store.Store
	dir    *directory.Directory
	tokens *token.Service
	log    journal
}

// principals is what app plugs in.
type principals struct{ d *directory.Directory }

func (p principals) PrincipalType(tx store.Tx, tenant, id string) (string, error) {
	_, err := p.d.PrincipalByObjectIn(tx, tenant, id)
	if errors.Is(err, directory.ErrPrincipalNotFound) {
		return "", store.ErrNotFound
	}
	return "ServicePrincipal", err
}

func (p principals) MemberOf(tx store.Tx, tenant, id string) ([]string, error) {
	return p.d.MemberOf(tx, tenant, id)
}

func (principals) Administrator(store.Tx, string, string) (bool, error) { return false, nil }

func newWorld(t *testing.T, change ...func(*operator.Config)) *world {
	t.Helper()
	w := &world{t: t, store: store.New(memstore.Open())}
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(&w.log, nil))
	w.dir, w.tokens = directory.New(w.store), token.New(token.Config{Store: w.store, Sealer: sealer, Now: time.Now})
	c := control.New(control.Config{Store: w.store, RBAC: rbac.New(control.TenantOf), Kick: func() {}, Now: time.Now, Log: log})
	authorization.Register(c, principals{w.dir})
	cfg := operator.Config{Store: w.store, Directory: w.dir, Tokens: w.tokens, Control: c, Server: client.Server{Version: "test", PID: 7},
		Renew: func() error { return nil }, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") },
		Log: log, Now: time.Now}
	for _, f := range change {
		f(&cfg)
	}
	folder, err := os.MkdirTemp("", "op") // a socket's path may have some hundred bytes only
	if err != nil {
		t.Fatal(err)
	}
	w.socket = filepath.Join(folder, "new", "operator.sock")
	l, err := operator.Listen(w.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: operator.New(cfg), ConnContext: operator.WithPeer}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }() // ErrServerClosed
	w.client = client.NewOperator(w.socket)
	t.Cleanup(func() { _ = server.Close(); <-done; _ = w.store.Close(); _ = os.RemoveAll(folder) })
	return w
}

// do expects success.
func do[T any](w *world, path string, in any) T {
	w.t.Helper()
	var out T
	if err := w.client.Do(w.t.Context(), path, in, &out); err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
	return out
}

// refused expects an error in ARM's envelope.
func (w *world) refused(status int, code, path string, in any) {
	w.t.Helper()
	err := w.client.Do(w.t.Context(), path, in, nil)
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || e.Status != status || e.Code != code || e.Message == "" {
		w.t.Errorf("%s %+v: %v, want %d %s", path, in, err, status, code)
	}
}

func TestTenant(t *testing.T) {
	w := newWorld(t)
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "Contoso"})
	for _, id := range []string{a.TenantID, a.SubscriptionID, a.AppID, a.ObjectID} {
		if !arm.IsGUID(id) {
			t.Errorf("%+v", a)
		}
	}
	if a.Name != "Contoso" || len(a.Password) < 20 {
		t.Errorf("%+v", a)
	}
	if _, err := w.dir.VerifySecret(t.Context(), a.AppID, a.Password, time.Now()); err != nil {
		t.Errorf("the password that was shown: %v", err)
	}
	sp, err := w.dir.Principal(t.Context(), a.TenantID, a.AppID)
	if err != nil || sp.ObjectID != a.ObjectID || !sp.Has(directory.GlobalAdministrator) {
		t.Errorf("%+v, %v", sp, err)
	}
	given := client.TenantRequest{Name: "Fabrikam", ID: "22222222-0000-4000-8000-000000000002", Subscription: "BBBBBBBB-0000-4000-8000-00000000000B"}
	b := do[client.Tenant](w, "/v1/tenants", given)
	if b.TenantID != given.ID || b.SubscriptionID != strings.ToLower(given.Subscription) {
		t.Errorf("%+v", b)
	}
	c := do[client.SubscriptionInfo](w, "/v1/subscriptions", client.SubscriptionRequest{Tenant: "contoso", Name: "second"})
	if c.TenantID != a.TenantID || c.Name != "second" {
		t.Errorf("%+v", c)
	}
	list := do[[]client.TenantInfo](w, "/v1/tenants", nil)
	subs := map[string]int{}
	for _, info := range list {
		subs[info.Name] = len(info.Subscriptions)
	}
	if len(list) != 2 || subs["Contoso"] != 2 || subs["Fabrikam"] != 1 {
		t.Errorf("%+v", list)
	}
	// Owner of both subscriptions, and nobody in the other tenant's.
	engine := rbac.New(control.TenantOf)
	for sub, want := range map[string]bool{a.SubscriptionID: true, c.SubscriptionID: true, b.SubscriptionID: false} {
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			return engine.Check(tx, principalOf(sp), "Microsoft.Authorization/roleAssignments/write", arm.ID{Subscription: sub})
		})
		if (err == nil) != want {
			t.Errorf("%s: %v", sub, err)
		}
	}
	w.refused(409, "AlreadyExists", "/v1/tenants", client.TenantRequest{Name: "CONTOSO"})
	w.refused(409, "AlreadyExists", "/v1/tenants", client.TenantRequest{Name: "x", ID: given.ID})
	w.refused(409, "AlreadyExists", "/v1/tenants", client.TenantRequest{Name: "y", Subscription: given.Subscription})
	w.refused(400, "InvalidSubscriptionId", "/v1/tenants", client.TenantRequest{Name: "z", Subscription: "no"})
	w.refused(400, "InvalidParameter", "/v1/tenants", client.TenantRequest{Name: ""})
	w.refused(400, "InvalidParameter", "/v1/tenants", client.TenantRequest{Name: "x", ID: "no"})
	w.refused(404, "TenantNotFound", "/v1/subscriptions", client.SubscriptionRequest{Tenant: "none", Name: "s"})
	w.refused(400, "InvalidParameter", "/v1/subscriptions", client.SubscriptionRequest{Tenant: "Contoso", Name: " "})
	if n := len(do[[]client.TenantInfo](w, "/v1/tenants", nil)); n != 2 {
		t.Errorf("half a tenant is left: %d", n)
	}
}

func TestApplicationsAndConsent(t *testing.T) {
	w := newWorld(t)
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "a"})
	b := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "b"})
	app := do[client.App](w, "/v1/applications", client.AppRequest{Name: "shared", Tenant: "a", MultiTenant: true, SecretEnd: time.Now().Add(time.Hour)})
	if app.TenantID != a.TenantID || app.Password == "" {
		t.Errorf("%+v", app)
	}
	abroad := do[client.App](w, "/v1/consents", client.ConsentRequest{AppID: app.AppID, Tenant: b.TenantID})
	if abroad.TenantID != b.TenantID || abroad.AppID != app.AppID || abroad.ObjectID == app.ObjectID || abroad.Password != "" {
		t.Errorf("%+v", abroad)
	}
	single := do[client.App](w, "/v1/applications", client.AppRequest{Name: "single", Tenant: "a"})
	w.refused(400, "ApplicationIsSingleTenant", "/v1/consents", client.ConsentRequest{AppID: single.AppID, Tenant: "b"})
	w.refused(404, "ApplicationNotFound", "/v1/consents", client.ConsentRequest{AppID: nobody, Tenant: "b"})
	w.refused(404, "TenantNotFound", "/v1/consents", client.ConsentRequest{AppID: app.AppID, Tenant: "none"})
	w.refused(404, "TenantNotFound", "/v1/applications", client.AppRequest{Name: "x", Tenant: "none"})
	w.refused(400, "InvalidParameter", "/v1/applications", client.AppRequest{Name: "", Tenant: "a"})
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "a"})
	app := do[client.App](w, "/v1/applications", client.AppRequest{Name: "guest", Tenant: "a"})
	scope := "/subscriptions/" + a.SubscriptionID
	assign := client.RoleRequest{Role: "reader", Scope: scope, Principal: app.ObjectID}
	first := do[client.Role](w, "/v1/roleassignments", assign)
	if first.Role != "Reader" || !strings.HasPrefix(first.ID, scope+"/providers/Microsoft.Authorization/roleAssignments/") {
		t.Errorf("%+v", first)
	}
	assign.Role, assign.Principal = "acdd72a7-3385-48ef-bd42-f606fba81ae7", strings.ToUpper(app.ObjectID)
	if again := do[client.Role](w, "/v1/roleassignments", assign); again.ID != first.ID {
		t.Errorf("assigned twice: %+v", again)
	}
	// The first principal holds Owner by an assignment of another name.
	do[client.Role](w, "/v1/roleassignments", client.RoleRequest{Role: "Owner", Scope: scope, Principal: a.ObjectID})
	w.refused(404, "RoleDefinitionDoesNotExist", "/v1/roleassignments", client.RoleRequest{Role: "Nobody", Scope: scope, Principal: app.ObjectID})
	for _, bad := range []string{"", "/", "x", "/providers/A.B/c/d", scope + "/resourceGroups"} {
		w.refused(400, "InvalidParameter", "/v1/roleassignments", client.RoleRequest{Role: "Reader", Scope: bad, Principal: app.ObjectID})
	}
	w.refused(404, "SubscriptionNotFound", "/v1/roleassignments", client.RoleRequest{Role: "Reader", Scope: "/subscriptions/" + nobody, Principal: app.ObjectID})
	w.refused(404, "ResourceGroupNotFound", "/v1/roleassignments", client.RoleRequest{Role: "Reader", Scope: scope + "/resourceGroups/none", Principal: app.ObjectID})
	w.refused(400, "PrincipalNotFound", "/v1/roleassignments", client.RoleRequest{Role: "Reader", Scope: scope, Principal: nobody})
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "a"})
	got := do[client.Token](w, "/v1/tokens", client.TokenRequest{Tenant: "a", Lifetime: 90})
	claims, err := w.tokens.Verify(t.Context(), got.AccessToken)
	if err != nil || got.TenantID != a.TenantID || got.AppID != a.AppID {
		t.Fatalf("%v, %+v", err, claims)
	}
	if left := time.Until(got.Expires); left < 30*time.Second || left > 2*time.Minute || !got.Expires.Equal(claims.Expires()) {
		t.Errorf("lives for %s", left)
	}
	app := do[client.App](w, "/v1/applications", client.AppRequest{Name: "x", Tenant: "a"})
	got = do[client.Token](w, "/v1/tokens", client.TokenRequest{Tenant: a.TenantID, AppID: app.AppID, Resource: "https://graph.microsoft.com"})
	if left := time.Until(got.Expires); got.AppID != app.AppID || left < 30*time.Minute {
		t.Errorf("%+v", got)
	}
	w.refused(404, "TenantNotFound", "/v1/tokens", client.TokenRequest{Tenant: "none"})
	w.refused(404, "PrincipalNotFound", "/v1/tokens", client.TokenRequest{Tenant: "a", AppID: nobody})
	for _, bad := range []client.TokenRequest{{Tenant: "a", Lifetime: -1}, {Tenant: "a", Lifetime: 24*60*60 + 1}, {Tenant: "a", Resource: "https://example.com"}} {
		w.refused(400, "InvalidParameter", "/v1/tokens", bad)
	}
	if err := w.dir.DeletePrincipal(t.Context(), a.TenantID, a.AppID); err == nil {
		t.Error("a tenant's last administrator could be deleted")
	}
}

func TestTheLogNamesActsAndNoSecrets(t *testing.T) {
	w := newWorld(t)
	a := do[client.Tenant](w, "/v1/tenants", client.TenantRequest{Name: "a"})
	app := do[client.App](w, "/v1/applications", client.AppRequest{Name: "x", Tenant: "a"})
	tok := do[client.Token](w, "/v1/tokens", client.TokenRequest{Tenant: "a"})
	w.refused(404, "TenantNotFound", "/v1/tokens", client.TokenRequest{Tenant: "none"})
	if _, err := w.client.Connect(t.Context(), "10.0.0.4", "22"); err == nil {
		t.Error("connected")
	}
	log := w.log.String()
	for _, secret := range []string{a.Password, app.Password, tok.AccessToken, tok.AccessToken[strings.LastIndexByte(tok.AccessToken, '.'):]} {
		if strings.Contains(log, secret) {
			t.Error("a secret is in the log")
		}
	}
	for _, want := range []string{`"act":"tenant create"`, `"act":"app create"`, `"act":"token issue"`, `"act":"vm connect"`, fmt.Sprintf(`"uid":"%d"`, os.Getuid()), "tenant not found"} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in the log:\n%s", want, log)
		}
	}
}

func TestTheSocket(t *testing.T) {
	w := newWorld(t)
	info, err := os.Stat(w.socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(w.socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	stale := filepath.Join(filepath.Dir(w.socket), "stale.sock")
	if err := os.WriteFile(stale, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := operator.Listen(stale)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := os.WriteFile(stale, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Listen(filepath.Join(stale, "x")); err == nil {
		t.Error("a socket below what is no folder")
	}
	if l, err := operator.Listen(filepath.Join(filepath.Dir(w.socket), strings.Repeat("x", 200))); err == nil {
		_ = l.Close()
		t.Error("a path that is too long")
	}
}

// raw sends bytes as they are.
func (w *world) raw(method, path, body string) (int, string) {
	w.t.Helper()
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://operator"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := h.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestWhatIsNoRequest(t *testing.T) {
	w := newWorld(t, func(c *operator.Config) { c.Renew = func() error { return errors.New("private cause") } })
	for _, body := range []string{"", "{", "[]", `{"name":7}`, `{"name":"` + strings.Repeat("x", 1<<20) + `"}`} {
		if status, text := w.raw("POST", "/v1/tenants", body); status != 400 || !strings.Contains(text, `"code":"InvalidRequestContent"`) {
			t.Errorf("%.20s: %d %s", body, status, text)
		}
	}
	if status, _ := w.raw("DELETE", "/v1/tenants", ""); status != 405 {
		t.Error(status)
	}
	if status, _ := w.raw("GET", "/v2", ""); status != 404 {
		t.Error(status)
	}
	if status, text := w.raw("POST", "/v1/ca/renew", "{}"); status != 500 || !strings.Contains(text, "InternalServerError") || strings.Contains(text, "private") {
		t.Errorf("%d %s", status, text)
	}
	if s := do[client.Server](w, "/v1/status", nil); s.Version != "test" || s.PID != 7 {
		t.Errorf("%+v", s)
	}
}

func TestMachinesAndImages(t *testing.T) {
	w := newWorld(t)
	w.refused(501, "NotImplemented", "/v1/collect", client.CollectRequest{})
	for _, path := range []string{"/v1/images/plan", "/v1/images/usage", "/v1/images/scrub", "/v1/keys", "/v1/keys/rotate", "/v1/keys/rewrap", "/v1/keys/shred"} {
		w.refused(501, "NotImplemented", path, map[string]string{})
	}
	w.refused(501, "NotImplemented", "/v1/serial?vm="+nobody, nil)
	w.refused(400, "InvalidParameter", "/v1/serial?vm=../x", nil)
	w = newWorld(t, func(c *operator.Config) {
		c.Collect = func(_ context.Context, grace time.Duration) (client.Collected, error) {
			return client.Collected{Bytes: int64(grace / time.Second)}, nil
		}
		c.Serial = func(_ context.Context, id string) ([]byte, error) {
			if id == nobody {
				return nil, fmt.Errorf("%s: %w", id, vm.ErrNotFound)
			}
			return []byte("login:\xff"), nil
		}
	})
	w.refused(400, "InvalidParameter", "/v1/collect", client.CollectRequest{Grace: -1})
	if c := do[client.Collected](w, "/v1/collect", client.CollectRequest{Grace: 5}); c.Bytes != 5 {
		t.Errorf("%+v", c)
	}
	w.refused(404, "NotFound", "/v1/serial?vm="+nobody, nil)
	if s := do[map[string]string](w, "/v1/serial?vm=11111111-0000-4000-8000-00000000000A", nil); s["text"] != "login:?" {
		t.Errorf("%q", s)
	}
	if err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return operation.Begin(tx, operation.Operation{ID: "1", Work: "w", Resource: "/r", Start: time.Now(), Input: []byte(`"private"`)})
	}); err != nil {
		t.Fatal(err)
	}
	if ops := do[[]client.Operation](w, "/v1/operations", nil); len(ops) != 1 || ops[0].ID != "1" || ops[0].Status != "Pending" {
		t.Errorf("%+v", ops)
	}
}

func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // the machine: answers with what it got once the other side is done
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		text, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(text))
	}()
	asked := make(chan string, 2)
	w := newWorld(t, func(c *operator.Config) {
		c.Dial = func(ctx context.Context, host, port string) (net.Conn, error) {
			asked <- host + " " + port
			if port != "22" {
				return nil, errors.New("refused by rule")
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		}
	})
	stream, err := w.client.Connect(t.Context(), "fd00::4", "22")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := stream.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	half, ok := stream.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		t.Fatal("the sending half cannot be ended")
	}
	if text, err := io.ReadAll(stream); err != nil || string(text) != "HELLO" {
		t.Errorf("%q, %v", text, err)
	}
	if got := <-asked; got != "fd00::4 22" {
		t.Error(got)
	}
	_, err = w.client.Connect(t.Context(), "10.0.0.4", "23")
	if e, ok := errors.AsType[*arm.Error](err); !ok || e.Status != 502 || e.Code != "ConnectionFailed" {
		t.Errorf("%v", err)
	}
	if status, text := w.raw("POST", client.ConnectPath+"?target=nonsense", ""); status != 400 || !strings.Contains(text, "HOST:PORT") {
		t.Errorf("%d %s", status, text)
	}
}

func principalOf(sp directory.ServicePrincipal) authn.Principal {
	return authn.Principal{TenantID: sp.TenantID, ObjectID: sp.ObjectID, AppID: sp.AppID, Kind: authn.ServicePrincipal}
}
