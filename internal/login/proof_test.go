package login_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

const (
	spaPage = "https://spa.example/page"
	rights  = "openid offline_access"
)

// codeFor signs alice in at the application, once per browser, and gives the code; parameters of the authorization in turns.
func (p *people) codeFor(b *browser, redirect string, params ...string) string {
	p.t.Helper()
	got := b.get(authorizeURL(tenant1, 2, append([]string{"client_id", p.app.AppID, "scope", rights}, params...)...))
	if got.status == http.StatusOK {
		got = b.signIn(p.alice)
	}
	return b.sent(got, redirect).Get("code")
}

// redeem asks with the application's ID and no more than what it is given.
func (p *people) redeem(code string, params ...string) answer {
	p.t.Helper()
	return p.asks(append([]string{"grant_type", "authorization_code", "code", code}, params...)...)
}

func (p *people) renew(secret string, params ...string) answer {
	p.t.Helper()
	return p.asks(append([]string{"grant_type", "refresh_token", "refresh_token", secret}, params...)...)
}

func (p *people) asks(params ...string) answer {
	p.t.Helper()
	f := url.Values{"client_id": {p.app.AppID}, "scope": {rights}}
	for i := 0; i < len(params); i += 2 {
		f.Set(params[i], params[i+1])
	}
	return p.post("/"+tenant1+"/oauth2/v2.0/token", f)
}

// begun checks an answer that has to be good, and gives its refresh token.
func (p *people) begun(name string, got answer, acr string) string {
	p.t.Helper()
	c, err := p.tokens.Verify(p.t.Context(), got.text("access_token"))
	if got.status != http.StatusOK || err != nil || c.AppIDACR != acr || got.text("refresh_token") == "" {
		p.t.Fatalf("%s: %d %s, appidacr %q: %v", name, got.status, got.raw, c.AppIDACR, err)
	}
	return got.text("refresh_token")
}

var (
	asked = []string{"code_challenge", challenge(), "code_challenge_method", "S256"}
	pkce  = []string{"code_verifier", verifier}
)

func with(lists ...[]string) (all []string) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// A code that went to a web address is worth nothing without the secret: not with PKCE of the thief's own, not where the
// application names no address, and not where it is a public client besides.
func TestWebCodeNeedsTheSecret(t *testing.T) {
	for name, also := range map[string]func(*directory.Application){
		"web only":    func(*directory.Application) {},
		"native too":  func(a *directory.Application) { a.Native = []string{"http://localhost"} },
		"single-page": func(a *directory.Application) { a.SPA = []string{spaPage} },
		"also public": func(a *directory.Application) { a.PublicClient = true },
		"all of them": func(a *directory.Application) {
			a.PublicClient, a.Native, a.SPA = true, []string{"http://localhost"}, []string{spaPage}
		},
		"web is a local": func(a *directory.Application) { a.Native = []string{callback} },
	} {
		p := newPeople(t)
		p.change(p.app, also)
		b := p.browser()
		here, secret := []string{"redirect_uri", callback}, []string{"client_secret", p.secret}
		for _, tc := range []struct {
			name              string
			authorize, redeem []string
		}{
			{"named", here, here},
			{"named, PKCE", with(here, asked), with(here, pkce)},
			{"unnamed", []string{"redirect_uri", "-"}, nil},
			{"unnamed, PKCE", with([]string{"redirect_uri", "-"}, asked), pkce},
			{"unnamed, then named, PKCE", with([]string{"redirect_uri", "-"}, asked), with(here, pkce)},
		} {
			code := p.codeFor(b, callback, tc.authorize...)
			checkError(t, name+": "+tc.name, p.world, p.redeem(code, tc.redeem...), 401, "invalid_client", 7000218, "")
			p.begun(name+": "+tc.name+", with the secret", p.redeem(code, with(tc.redeem, secret)...), "1") // the refusal did not spend it
		}
		code := p.codeFor(b, callback, with(here, asked)...)
		checkError(t, name+": the address is left out", p.world, p.redeem(code, with(pkce, secret)...), 400, "invalid_client", 500112, "")
		checkError(t, name+": another address", p.world, p.redeem(code, with(pkce, secret, []string{"redirect_uri", spaPage})...), 400, "invalid_client", 500112, "")
	}
}

// A refresh token of a proved client needs the proof each time, whatever else the application is registered as.
func TestProvedRefreshNeedsTheSecret(t *testing.T) {
	for name, also := range map[string]func(*directory.Application){
		"web only":    func(*directory.Application) {},
		"native too":  func(a *directory.Application) { a.Native = []string{"http://localhost"} },
		"single-page": func(a *directory.Application) { a.SPA = []string{spaPage} },
		"also public": func(a *directory.Application) { a.PublicClient = true },
	} {
		p := newPeople(t)
		p.change(p.app, also)
		b := p.browser()
		secret := []string{"client_secret", p.secret}
		first := p.begun(name, p.redeem(p.codeFor(b, callback), with(secret, []string{"redirect_uri", callback})...), "1")
		checkError(t, name, p.world, p.renew(first), 401, "invalid_client", 7000218, "")
		checkError(t, name+": wrong secret", p.world, p.renew(first, "client_secret", "wrong"), 401, "invalid_client", 7000215, "")
		second := p.begun(name+": renewed", p.renew(first, secret...), "1")
		checkError(t, name+": the second", p.world, p.renew(second), 401, "invalid_client", 7000218, "")
		p.begun(name+": renewed again", p.renew(second, secret...), "1")
	}
}

// The public faces of the same application work without a secret, and so does what they renew.
func TestPublicCodeNeedsNoSecret(t *testing.T) {
	p := newPeople(t)
	p.change(p.app, func(a *directory.Application) { a.SPA, a.Native = []string{spaPage}, []string{"http://localhost"} })
	b := p.browser()
	for _, redirect := range []string{spaPage, loopback} {
		here := []string{"redirect_uri", redirect}
		secret := p.begun(redirect, p.redeem(p.codeFor(b, redirect, with(here, asked)...), with(here, pkce)...), "0")
		secret = p.begun(redirect+": renewed", p.renew(secret), "0")
		p.begun(redirect+": renewed again", p.renew(secret), "0")
		code := p.codeFor(b, redirect, with(here, asked)...)
		checkError(t, redirect+": no verifier", p.world, p.redeem(code, here...), 400, "invalid_grant", 50148, "")
		checkError(t, redirect+": a wrong secret", p.world, p.redeem(code, with(here, pkce, []string{"client_secret", "wrong"})...), 401, "invalid_client", 7000215, "")
	}
	// Once it has no public face any more, what began without a proof ends.
	here := []string{"redirect_uri", spaPage}
	secret := p.begun("before", p.redeem(p.codeFor(b, spaPage, with(here, asked)...), with(here, pkce)...), "0")
	p.change(p.app, func(a *directory.Application) { a.SPA, a.Native = nil, nil })
	checkError(t, "no longer public", p.world, p.renew(secret), 401, "invalid_client", 7000218, "")
}

// Anybody may begin a sign-in of a device, so that one address may only begin so many, and what it began does not stay.
func TestDeviceCodesAreHeldUp(t *testing.T) {
	p := newPeople(t)
	kept := func() (n int) {
		p.update(func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: "token/kept"})
			for _, d := range docs {
				if strings.HasPrefix(d.Key, "token/device/") || strings.HasPrefix(d.Key, "token/usercode/") {
					n++
				}
			}
			return err
		})
		return n
	}
	path, form := "/common/oauth2/v2.0/devicecode", url.Values{"client_id": {azCLI}, "scope": {"openid"}}
	for i := range 30 {
		if got := p.post(path, form); got.status != http.StatusOK {
			t.Fatalf("%d: %d %s", i, got.status, got.raw)
		}
	}
	got := p.post(path, form)
	checkError(t, "the next", p.world, got, 429, "temporarily_unavailable", 90055, "")
	if got.header.Get("Retry-After") == "" || kept() != 60 {
		t.Errorf("Retry-After %q, %d documents", got.header.Get("Retry-After"), kept())
	}
	elsewhere := postRequest(path, form.Encode())
	elsewhere.RemoteAddr = "198.51.100.7:1"
	if got := p.do(elsewhere); got.status != http.StatusOK {
		t.Errorf("from elsewhere: %d %s", got.status, got.raw)
	}
	p.at = p.at.Add(2 * time.Second)
	if got = p.post(path, form); got.status != http.StatusOK {
		t.Errorf("after the pause: %d %s", got.status, got.raw)
	}
	polled := url.Values{"grant_type": {"device_code"}, "client_id": {azCLI}, "device_code": {got.text("device_code")}}
	checkError(t, "poll", p.world, p.post("/common/oauth2/v2.0/token", polled), 400, "authorization_pending", 70016, "") // which writes it anew
	for _, tc := range []struct {
		after time.Duration
		want  int
	}{{16 * time.Minute, 64}, {5 * time.Minute, 0}} {
		p.at = p.at.Add(tc.after)
		if err := p.tokens.Tend(t.Context()); err != nil || kept() != tc.want {
			t.Errorf("%v later: %d documents, want %d: %v", tc.after, kept(), tc.want, err)
		}
	}
}
