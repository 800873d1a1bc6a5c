package attack

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"vitrine/internal/client"
)

const (
	loopback = "http://localhost:8400"
	verifier = "0123456789-0123456789-0123456789-0123456789-abc"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// personal are the tokens of a person.
type personal struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	IDToken string `json:"id_token"`
}

// browser keeps cookies and follows nothing.
type browser struct {
	w    *world
	http *http.Client
}

func (w *world) browser() browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := w.from("127.0.0.1")
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: w.roots}
	c.Jar = jar
	return browser{w, c}
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// open loads a page and gives the token of its form.
func (b browser) open(address string) (outcome, string) {
	b.w.t.Helper()
	got, _ := b.w.sendBy(b.http, "GET", address, "", "Accept", "text/html")
	if m := csrfField.FindStringSubmatch(got.body); m != nil {
		return got, m[1]
	}
	return got, ""
}

// post sends a form as a browser would, with further headers.
func (b browser) post(address string, form url.Values, header ...string) (outcome, string) {
	b.w.t.Helper()
	got, h := b.w.sendBy(b.http, "POST", address, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}, header...)...)
	return got, h.Get("Location")
}

// enter signs in at a page that asks for it.
func (b browser) enter(address string, u client.User) {
	b.w.t.Helper()
	_, token := b.open(address)
	got, _ := b.post(address, url.Values{"csrf": {token}, "act": {"signin"}, "username": {u.Name}, "password": {string(u.Password)}})
	if got.status != 303 {
		b.w.t.Fatalf("sign in as %s: %d %s\n%.800s", u.Name, got.status, got.code, got.body)
	}
}

// authorize is the address that asks for a code; further parameters in turns.
func authorize(tenant, app, redirect string, more ...string) string {
	q := url.Values{"client_id": {app}, "response_type": {"code"}, "redirect_uri": {redirect}, "state": {"s"}, "scope": {"https://management.azure.com/.default openid profile offline_access"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/authorize?" + q.Encode()
}

// code signs a person in and gets a code of the CLI's.
func (w *world) code(u client.User, tenant string) string {
	w.t.Helper()
	b, address := w.browser(), authorize(tenant, azCLI, loopback)
	b.enter(address, u)
	got, h := w.sendBy(b.http, "GET", address, "")
	to, err := url.Parse(h.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		w.t.Fatalf("no code: %d %s\n%.600s", got.status, h.Get("Location"), got.body)
	}
	return to.Query().Get("code")
}

func redeem(code string, more ...string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {azCLI}, "code": {code}, "redirect_uri": {loopback}, "code_verifier": {verifier},
		"scope": {"https://management.azure.com/.default openid profile offline_access"}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// signIn gets all tokens of a person.
func (w *world) signIn(u client.User, tenant string) (p personal) {
	w.t.Helper()
	got := w.tokenAt(tenant, redeem(w.code(u, tenant)))
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || p.Access == "" || p.IDToken == "" || p.Refresh == "" {
		w.t.Fatalf("sign in as %s: %d %s %v", u.Name, got.status, got.code, err)
	}
	return p
}

func codeRows() []row {
	redeemed := func(name, sent string, status int, code string, tenant func(*world) string, more ...string) row {
		return row{name, sent, status, code, func(w *world) outcome {
			return w.tokenAt(tenant(w), redeem(w.code(w.alice, w.one.TenantID), more...))
		}}
	}
	one := func(w *world) string { return w.one.TenantID }
	return []row{
		{"replayed code", "a code for the second time", 400, "AADSTS54005", func(w *world) outcome {
			code := w.code(w.alice, w.one.TenantID)
			w.must(w.tokenAt(w.one.TenantID, redeem(code)))
			return w.tokenAt(w.one.TenantID, redeem(code))
		}},
		{"tokens of a replayed code", "the access token of a code that came twice", 401, invalid, func(w *world) outcome {
			code := w.code(w.alice, w.one.TenantID)
			first := w.tokenAt(w.one.TenantID, redeem(code))
			w.tokenAt(w.one.TenantID, redeem(code))
			var p personal
			if err := json.Unmarshal([]byte(first.body), &p); err != nil {
				w.t.Fatal(err)
			}
			return w.arm("GET", "/subscriptions", "", p.Access)
		}},
		redeemed("code with a wrong verifier", "code_verifier of another challenge", 400, "AADSTS501481", one, "code_verifier", strings.Repeat("x", 50)),
		redeemed("code without a verifier", "code_verifier empty", 400, "AADSTS50148", one, "code_verifier", ""),
		redeemed("code of another redirect URI", "redirect_uri differs from the request's", 400, "AADSTS500112", one, "redirect_uri", "http://localhost:9999/x"),
		redeemed("code at another tenant", "a code of contoso redeemed at fabrikam", 400, "AADSTS700005", func(w *world) string { return w.two.TenantID }),
		{"code of another client", "the CLI's code by an application with its own secret", 400, "AADSTS70000", func(w *world) outcome {
			return w.tokenAt(w.one.TenantID, redeem(w.code(w.alice, w.one.TenantID), "client_id", w.worker.AppID, "client_secret", w.worker.Password))
		}},
		redeemed("invented code", "a code that nobody gave", 400, "AADSTS70000", one, "code", strings.Repeat("A", 40)),
		{"refresh token of another client", "alice's refresh token by an application of contoso", 400, "AADSTS70000", func(w *world) outcome {
			return w.tokenAt(w.one.TenantID, url.Values{"grant_type": {"refresh_token"}, "client_id": {w.worker.AppID}, "client_secret": {w.worker.Password},
				"refresh_token": {w.user.Refresh}, "scope": {"https://management.azure.com/.default"}})
		}},
		{"refresh token at a foreign tenant", "alice's refresh token at fabrikam, where she is no guest", 400, "AADSTS50020", func(w *world) outcome {
			return w.tokenAt(w.two.TenantID, url.Values{"grant_type": {"refresh_token"}, "client_id": {azCLI}, "refresh_token": {w.user.Refresh},
				"scope": {"https://management.azure.com/.default"}})
		}},
		{"password grant", "grant_type=password, which the operator did not allow", 400, "AADSTS70003", func(w *world) outcome {
			return w.tokenAt(w.one.TenantID, url.Values{"grant_type": {"password"}, "client_id": {azCLI}, "username": {w.alice.Name}, "password": {string(w.alice.Password)}})
		}},
	}
}
