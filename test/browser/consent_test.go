package browser

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"vitrine/internal/directory"
	"vitrine/internal/store"
	"vitrine/internal/store/sqlstore"
)

const (
	password = "Correct-Horse-9"
	callback = "https://login.microsoftonline.com/callback-of-the-application" // a host that the proxy serves; the path is nobody's
)

// installation is a server with a publisher, a consumer with its administrator, and a multi-tenant application.
type installation struct {
	t                *testing.T
	data             string
	app              directory.Application
	tenant1, tenant2 directory.Tenant
	proxy            string
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func install(t *testing.T) *installation {
	t.Helper()
	i := &installation{t: t, data: t.TempDir()}
	i.seed()
	ready := filepath.Join(t.TempDir(), "ready.json")
	log := must(os.Create(filepath.Join(t.TempDir(), "log")))
	server := exec.Command(program(t), "serve", "--data", i.data, "--listen", "127.0.0.1:0", "--ready-file", ready, "--accel", "tcg")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := <-done; err != nil {
			t.Errorf("the server: %v\n%s", err, must(os.ReadFile(log.Name())))
		}
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(3 * time.Minute); i.proxy == ""; {
		select {
		case <-late:
			t.Fatalf("the server is not ready\n%s", must(os.ReadFile(log.Name())))
		case <-tick.C:
		}
		var s struct{ Proxy string }
		if text, err := os.ReadFile(ready); err == nil && json.Unmarshal(text, &s) == nil {
			i.proxy = s.Proxy
		}
	}
	return i
}

// program is the vitrine that VITRINE names, or one built for the test.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("VITRINE"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "vitrine")
	build := exec.Command("go", "build", "-o", path, "./cmd/vitrine")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func (i *installation) seed() {
	st := store.New(must(sqlstore.OpenSQLite(filepath.Join(i.data, "vitrine.db"))))
	defer st.Close()
	d, ctx := directory.New(st), i.t.Context()
	i.tenant1 = must(d.CreateTenant(ctx, directory.Tenant{Name: "Contoso Images"}))
	i.tenant2 = must(d.CreateTenant(ctx, directory.Tenant{Name: "Fabrikam"}))
	i.app, _, _ = d.CreateApplication(ctx, directory.Application{TenantID: i.tenant1.ID, DisplayName: "Golden images", SignInAudience: directory.MultiTenant})
	for _, u := range []struct{ name, role string }{{"admin", directory.GlobalAdministrator}, {"bob", ""}} {
		upn := u.name + "@fabrikam.onmicrosoft.com"
		hash := must(d.HashPassword(ctx, password, upn))
		if err := st.Update(ctx, func(tx store.Tx) error {
			made, err := d.CreateUserIn(tx, directory.User{TenantID: i.tenant2.ID, UserPrincipalName: upn, AccountEnabled: true, Password: hash, Profile: directory.Profile{DisplayName: u.name}})
			if err == nil && u.role != "" {
				err = d.SetRoleIn(tx, i.tenant2.ID, made.ObjectID, u.role, true)
			}
			if err == nil {
				_, err = d.ChangeApplicationIn(tx, i.app.AppID, func(a *directory.Application) error { a.Web.RedirectURIs = []string{callback}; return nil })
			}
			return err
		}); err != nil {
			i.t.Fatal(err)
		}
	}
}

// certificate is the token service's, proved by the installation's authority.
func (i *installation) certificate() *x509.Certificate {
	i.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(i.data, "ca", "ca.pem"))))
	conn, err := tls.Dial("tcp", strings.TrimPrefix(i.proxy, "http://"), &tls.Config{ServerName: "login.microsoftonline.com", RootCAs: roots})
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// chromium starts a browser that takes the token service's certificate, by its key, and goes through the proxy. Chromium has no
// switch to trust an authority, and its store belongs to whoever runs the test.
func (i *installation) chromium() tab {
	i.t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("VITRINE_FULL") == "1" {
			i.t.Fatal("VITRINE_FULL=1, but there is no chromium")
		}
		i.t.Skip("not tested: there is no chromium")
	}
	sum := sha256.Sum256(i.certificate().RawSubjectPublicKeyInfo)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(900, 800), chromedp.WSURLReadTimeout(patience),
		chromedp.ProxyServer(i.proxy), chromedp.UserDataDir(i.t.TempDir()),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(sum[:])))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	i.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	i.t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the first one must be without a time limit
		i.t.Fatal(err)
	}
	return tab{i.t, ctx}
}

func (i *installation) authorize() string {
	return "https://login.microsoftonline.com/" + i.tenant2.ID + "/oauth2/authorize?" +
		url.Values{"client_id": {i.app.AppID}, "response_type": {"code"}, "redirect_uri": {callback}, "state": {"s1"}}.Encode()
}

// arrived waits until the browser is at the application's address.
func (b tab) arrived() url.Values {
	b.t.Helper()
	return must(url.Parse(b.arrive(callback))).Query()
}

func TestConsent(t *testing.T) {
	i := install(t)
	b := i.chromium()
	b.open(i.authorize())
	b.await(focused("username"))
	b.shoot("1-sign-in")
	b.into(`//*[@id="username"]`, "admin@fabrikam.onmicrosoft.com")
	b.into(`//*[@id="password"]`, "wrong"+kb.Enter)
	b.await(visible(`//*[contains(@class, "fault")]`))
	b.shoot("2-wrong-password")
	b.into(`//*[@id="password"]`, password+kb.Enter)
	b.await(visible(`//button[@value="accept"]`))
	b.shoot("3-consent")
	text := b.text()
	for _, want := range []string{"Golden images", "Contoso Images", i.tenant1.ID, i.app.AppID, "Fabrikam", "admin@fabrikam.onmicrosoft.com"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	b.into(`//button[@value="deny"]`, kb.Enter)
	if q := b.arrived(); q.Get("error") != "access_denied" || q.Get("state") != "s1" {
		t.Errorf("denied: %v", q)
	}
	b.open(i.authorize())
	b.into(`//button[@value="accept"]`, kb.Enter)
	if q := b.arrived(); q.Get("code") == "" || q.Get("state") != "s1" {
		t.Errorf("accepted: %v", q)
	}
	b.open(i.authorize()) // no page in between any more
	if q := b.arrived(); q.Get("code") == "" {
		t.Errorf("again: %v", q)
	}
}

func TestConsentNeedsAdministrator(t *testing.T) {
	i := install(t)
	b := i.chromium()
	b.open(i.authorize())
	b.await(focused("username")) // nothing but the keyboard: the first field has the focus
	b.keys("bob@fabrikam.onmicrosoft.com" + kb.Tab + password + kb.Enter)
	b.await(visible("//dl"))
	b.shoot("4-need-admin-approval")
	if text := b.text(); !strings.Contains(text, "AADSTS90094") {
		t.Error(text)
	}
}
