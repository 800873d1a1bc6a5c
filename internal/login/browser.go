package login

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"vitrine/internal/audit"
	"vitrine/internal/login/aadsts"
	"vitrine/internal/login/grant"
	"vitrine/internal/login/page"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// The cookies. The prefix makes a browser insist on Secure, on the path "/" and on no domain, so that no other host can set
// them (RFC 6265bis, 4.1.3.2).
const (
	sessionCookie = "__Host-session"
	csrfCookie    = "__Host-csrf"
)

// browse is the table of what a person's browser opens.
func (d *door) browse(rest string) func(call) error {
	switch rest {
	case "oauth2/authorize":
		return func(c call) error { return d.authorize(c, 1) }
	case "oauth2/v2.0/authorize":
		return func(c call) error { return d.authorize(c, 2) }
	case "adminconsent", "v2.0/adminconsent":
		return d.adminConsent
	case "redeem":
		return d.redeem
	case "oauth2/deviceauth":
		return d.deviceAuth
	case "oauth2/logout", "oauth2/v2.0/logout":
		return d.logout
	}
	return nil
}

// paged answers a browser: a failure becomes a page, unless a program asks.
func (d *door) paged(c call, answer func(call) error) error {
	switch c.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return onlyMethods(c.r, http.StatusMethodNotAllowed, 0, "GET, HEAD, POST")
	}
	err := answer(c)
	f, ok := errors.AsType[*aadsts.Failure](err)
	if !ok || !strings.Contains(c.r.Header.Get("Accept"), "text/html") {
		return err
	}
	_ = d.stamp(c.r, err)
	for name, value := range f.Header {
		c.w.Header().Set(name, value)
	}
	title := "Sorry, but we cannot sign you in"
	if f.Code == 90094 || f.Code == 65001 {
		title = "Need admin approval"
	}
	return d.show(c, f.Status, page.Failure{Title: title, Sentence: f.Sentence(), Trace: f.Trace, Correlation: f.Correlation, Time: f.Timestamp()})
}

// show sends a page. Its forms may lead on to the addresses in to.
func (d *door) show(c call, status int, v any, to ...string) error {
	drawn, err := page.Render(v, to...)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Security-Policy", drawn.Policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin") // addresses hold codes; other sites never see them
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	web.Write(c.w, status, "text/html; charset=utf-8", drawn.Body)
	return nil
}

// goTo leads the browser on. 303 makes a GET of it, also after a form.
func goTo(c call, address string) error {
	h := c.w.Header()
	h.Set("Location", address)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	c.w.WriteHeader(http.StatusSeeOther)
	return nil
}

func setCookie(c call, name, value string, seconds int) {
	http.SetCookie(c.w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > 128 { // two of a name: somebody tampers
		return ""
	}
	return found[0].Value
}

// csrfToken is what a form of this very address must send back: bound to a random cookie, so that no other site knows it, and to the
// address, so that a form for one application is none for another. It sets the cookie when the browser has none.
func csrfToken(c call) string {
	secret := cookie(c.r, csrfCookie)
	if secret == "" {
		secret = token.NewSecret()
		setCookie(c, csrfCookie, secret, 0)
	}
	return csrfOf(c.r, secret)
}

func csrfOf(r *http.Request, secret string) string {
	sum := sha256.Sum256([]byte("csrf|" + secret + "|" + cookie(r, sessionCookie) + "|" + r.URL.RequestURI()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// posted reads a form that our own page sent: right token, and not from another site by the browser's own word.
func posted(r *http.Request) (form, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	refused := aadsts.Fail(http.StatusForbidden, "invalid_request", 90023, "The form did not come from this page, or it is too old. Go back, load the page again and repeat.")
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return nil, refused
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" || bareHost(u.Host) != bareHost(r.Host) {
			return nil, refused
		}
	}
	if i := strings.LastIndexByte(f["csrf"], '.'); i >= 0 { // a consent page says in front of it to what it is the answer
		f["asked"], f["csrf"] = f["csrf"][:i], f["csrf"][i+1:]
	}
	secret := cookie(r, csrfCookie)
	if secret == "" || subtle.ConstantTimeCompare([]byte(csrfOf(r, secret)), []byte(f["csrf"])) != 1 {
		return nil, refused
	}
	return f, nil
}

// signIn handles a posted name and password: with the right ones the browser gets a session and comes back to the same address, without
// what asked for a new sign-in; with wrong ones, the form again. An expired password leads to the form for a new one, which proves the old one
// once more, so that nothing need be remembered between the two.
func (d *door) signIn(c call, f form, v page.SignIn, to ...string) error {
	ctx, renews := c.r.Context(), f["act"] == "renew"
	e := d.event(c, "", "Microsoft.Entra/signIns/browser/action")
	d.knockedAt(ctx, &e, f["username"])
	var account grant.Account
	var err error
	if renews {
		e.Action = "Microsoft.Entra/users/changePassword/action"
		e.Caller = audit.Caller{Tenant: e.Tenant, ObjectID: strings.TrimPrefix(e.Resource, "/users/"), Kind: "User"} // told only when it was proved
		account, err = d.grants.Renew(ctx, grant.Renewal{Name: f["username"], Current: f["password"], Next: f["next"], Again: f["again"], Source: source(c.r)}, d.telling(e))
	} else {
		account, err = d.grants.Prove(ctx, f["username"], f["password"], source(c.r))
	}
	if fault, ok := errors.AsType[*aadsts.Failure](err); ok {
		e.Caller = audit.Caller{}
		d.failed(c, e, err)
		status := http.StatusOK
		if fault.Status == http.StatusTooManyRequests {
			status = fault.Status
			c.w.Header().Set("Retry-After", fault.Header["Retry-After"])
		}
		if renews || fault.Code == 50055 {
			return d.show(c, status, page.Renew{App: v.App, Name: f["username"], Fault: fault.Sentence(), Token: csrfToken(c)}, to...)
		}
		v.Name, v.Fault, v.Token = f["username"], fault.Sentence(), csrfToken(c)
		return d.show(c, status, v, to...)
	}
	if err != nil {
		return err
	}
	e.Action, e.Caller = "Microsoft.Entra/signIns/browser/action", audit.Caller{Tenant: account.Tenant, ObjectID: account.Object, Kind: "User"}
	if err := d.done(c, e); err != nil {
		return err
	}
	if err := d.grants.Close(c.r.Context(), cookie(c.r, sessionCookie)); err != nil {
		return err
	}
	secret, err := d.grants.Open(c.r.Context(), account)
	if err != nil {
		return err
	}
	setCookie(c, sessionCookie, secret, int(grant.SessionLife.Seconds()))
	query := c.r.URL.Query()
	if p := strings.Fields(query.Get("prompt")); len(p) > 0 {
		query.Del("prompt")
		for _, one := range p {
			if one == "consent" || one == "admin_consent" {
				query.Set("prompt", one)
			}
		}
	}
	return comeBack(c, query)
}

// comeBack leads the browser to the same address with another query. Two slashes at the beginning would name another host.
func comeBack(c call, query url.Values) error {
	back := url.URL{Path: c.r.URL.Path, RawQuery: query.Encode()}
	return goTo(c, "/"+strings.TrimLeft(back.String(), "/"))
}

// logout ends the browser's session. It leads nowhere by itself.
func (d *door) logout(c call) error {
	if err := d.grants.Close(c.r.Context(), cookie(c.r, sessionCookie)); err != nil {
		return err
	}
	setCookie(c, sessionCookie, "", -1)
	return d.show(c, http.StatusOK, page.Message{Title: "You signed out of your account", Text: "It is a good idea to close all browser windows."})
}
