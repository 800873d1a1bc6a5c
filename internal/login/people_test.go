package login_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

const (
	password = "Correct-Horse-9"
	callback = "https://app.example/callback?keep=1"
	azCLI    = directory.AzureCLI
)

// people are those of the tests: alice of tenant 1, a guest of tenant 2 who has accepted; boss and bob of tenant 2.
type people struct {
	*world
	alice, boss, bob, guest directory.User
}

func newPeople(t *testing.T) *people {
	t.Helper()
	p := &people{world: newWorld(t)}
	p.alice = p.addUser(tenant1, "alice@tenant1.onmicrosoft.com", "")
	p.boss = p.addUser(tenant2, "boss@tenant2.onmicrosoft.com", directory.GlobalAdministrator)
	p.bob = p.addUser(tenant2, "bob@tenant2.onmicrosoft.com", "")
	p.update(func(tx store.Tx) (err error) {
		if _, err = p.dir.InviteIn(tx, tenant2, p.alice.UserPrincipalName, "Alice from outside"); err != nil {
			return err
		}
		p.guest, err = p.dir.RedeemIn(tx, tenant2, p.alice)
		return err
	})
	for _, app := range []directory.Application{p.app, p.single, p.absent} {
		p.change(app, func(a *directory.Application) { a.Web.RedirectURIs = []string{callback} })
	}
	p.change(p.public, func(a *directory.Application) {
		a.Native, a.SignInAudience = []string{"http://localhost", "myapp://auth"}, directory.MultiTenant
	})
	return p
}

func (p *people) update(f func(store.Tx) error) {
	p.t.Helper()
	if err := p.store.Update(p.t.Context(), f); err != nil {
		p.t.Fatal(err)
	}
}

func (p *people) change(a directory.Application, f func(*directory.Application)) {
	p.t.Helper()
	p.update(func(tx store.Tx) error {
		_, err := p.dir.ChangeApplicationIn(tx, a.AppID, func(a *directory.Application) error { f(a); return nil })
		return err
	})
}

func (p *people) addUser(tenant, name, role string) (u directory.User) {
	p.t.Helper()
	hash, err := p.dir.HashPassword(p.t.Context(), password, name)
	if err != nil {
		p.t.Fatal(err)
	}
	p.update(func(tx store.Tx) error {
		u, err = p.dir.CreateUserIn(tx, directory.User{TenantID: tenant, UserPrincipalName: name, AccountEnabled: true, Password: hash,
			Profile: directory.Profile{DisplayName: strings.Split(name, "@")[0]}})
		if err == nil && role != "" {
			err = p.dir.SetRoleIn(tx, tenant, u.ObjectID, role, true)
		}
		return err
	})
	return u
}

// browser keeps cookies and sends forms as a person's browser does.
type browser struct {
	w       *world
	cookies map[string]*http.Cookie
	at      string // the address of the page
	page    string
}

func (w *world) browser() *browser { return &browser{w: w, cookies: map[string]*http.Cookie{}} }

func (b *browser) send(r *http.Request) answer {
	b.w.t.Helper()
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	got := b.w.do(r)
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteLaxMode || c.Domain != "" {
			b.w.t.Errorf("cookie %v is not guarded", c)
		}
		if b.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	if strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
		b.page = string(got.raw)
		if p := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'; style-src 'sha256-") || !strings.Contains(p, "frame-ancestors 'none'") ||
			got.header.Get("Cache-Control") == "" || strings.Contains(b.page, "<script") {
			b.w.t.Errorf("page of %s is not guarded: %v", r.URL, got.header)
		}
	}
	return got
}

// get opens an address and follows redirects as long as they stay here; the last answer comes back.
func (b *browser) get(target string) answer {
	b.w.t.Helper()
	b.at = target
	return b.follow(b.send(httptest.NewRequest(http.MethodGet, "https://login.microsoftonline.com"+target, nil)))
}

func (b *browser) follow(got answer) answer {
	b.w.t.Helper()
	if to := got.header.Get("Location"); got.status == http.StatusSeeOther && strings.HasPrefix(to, "/") {
		return b.get(to)
	}
	return got
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

// fill posts the form of the page: name, value, name, value….
func (b *browser) fill(fields ...string) answer {
	b.w.t.Helper()
	f := url.Values{}
	if m := csrfField.FindStringSubmatch(b.page); m != nil {
		f.Set("csrf", html.UnescapeString(m[1]))
	}
	for i := 0; i < len(fields); i += 2 {
		f.Set(fields[i], fields[i+1])
	}
	r := postRequest(b.at, f.Encode())
	r.Header.Set("Origin", "https://login.microsoftonline.com")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.follow(b.send(r))
}

func (b *browser) signIn(u directory.User) answer {
	b.w.t.Helper()
	return b.fill("act", "signin", "username", u.UserPrincipalName, "password", password)
}

// sent reads what the browser carries to the application's redirect URI.
func (b *browser) sent(got answer, redirect string) url.Values {
	b.w.t.Helper()
	to := got.header.Get("Location")
	if got.status != http.StatusSeeOther || !strings.HasPrefix(to, redirect) {
		b.w.t.Fatalf("%d %q, want a redirect to %s\n%s", got.status, to, redirect, got.raw)
	}
	u, err := url.Parse(to)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return u.Query()
}

func authorizeURL(tenant string, version int, params ...string) string {
	q := url.Values{"response_type": {"code"}, "redirect_uri": {callback}, "state": {"s t&a<te"}}
	for i := 0; i < len(params); i += 2 {
		if q.Set(params[i], params[i+1]); params[i+1] == "-" {
			q.Del(params[i])
		}
	}
	path := map[int]string{1: "/oauth2/authorize?", 2: "/oauth2/v2.0/authorize?"}[version]
	return "/" + tenant + path + q.Encode()
}
