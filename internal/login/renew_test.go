package login_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

const renewed = "Another-Horse-8"

func (p *people) expire(u directory.User) {
	p.t.Helper()
	p.update(func(tx store.Tx) error {
		_, err := p.dir.ChangeUserIn(tx, u.TenantID, u.ObjectID, func(u *directory.User) error { u.ForceChange = true; return nil })
		return err
	})
}

// Who has to change the password does so on a page, and goes on to where they were going.
func TestRenewPassword(t *testing.T) {
	p := newPeople(t)
	told := &signIns{}
	p.config.Audit = told
	p.serve()
	p.expire(p.alice)
	b := p.browser()
	b.get(authorizeURL(tenant1, 1, "client_id", p.app.AppID))
	b.signIn(p.alice)
	if !strings.Contains(b.page, "Update your password") || !strings.Contains(b.page, "AADSTS50055") || strings.Contains(b.page, password) || strings.Contains(b.page, "<script") {
		t.Fatal(b.page)
	}
	fill := func(current, next, again string) answer {
		return b.fill("act", "renew", "username", p.alice.UserPrincipalName, "password", current, "next", next, "again", again)
	}
	for name, tc := range map[string]struct{ current, next, again, want string }{
		"without the old password": {"", renewed, renewed, "AADSTS50126"},
		"wrong old password":       {"Wrong-Horse-9", renewed, renewed, "AADSTS50126"},
		"the same":                 {password, password, password, "not used before"},
		"weak":                     {password, "weak", "weak", "too weak"},
		"with the name":            {password, "Alice-Horse-8", "Alice-Horse-8", "too weak"},
		"two that differ":          {password, renewed, renewed + "x", "not the same"},
		"too long":                 {password, renewed + strings.Repeat("x", 300), renewed + strings.Repeat("x", 300), "too weak"},
	} {
		if got := fill(tc.current, tc.next, tc.again); got.status != http.StatusOK || !strings.Contains(b.page, tc.want) || !strings.Contains(b.page, "Update your password") {
			t.Errorf("%s: %d %s", name, got.status, b.page)
		}
	}
	old := b.page
	if q := b.sent(fill(password, renewed, renewed), callback); q.Get("code") == "" {
		t.Fatal(q)
	}
	if _, err := p.dir.VerifyPassword(t.Context(), p.alice.UserPrincipalName, renewed); err != nil {
		t.Error(err)
	}
	// The same form again: the old password is none any more.
	b.page = old
	if got := fill(password, renewed, renewed); got.header.Get("Location") != "" {
		t.Errorf("replayed: %d %v", got.status, got.header)
	}
	all := fmt.Sprintf("%+v", told.events)
	if !strings.Contains(all, "users/changePassword/action") || strings.Contains(all, renewed) || strings.Contains(all, password) {
		t.Error(all)
	}
}

// The form for a new password cannot be sent by another site, for another person's session, or where nothing has expired.
func TestRenewForgery(t *testing.T) {
	p := newPeople(t)
	p.expire(p.alice)
	b := p.browser()
	target := authorizeURL(tenant1, 1, "client_id", p.app.AppID)
	b.get(target)
	b.signIn(p.alice)
	good := csrfField.FindStringSubmatch(b.page)[1]
	for name, change := range map[string]func(*http.Request, url.Values){
		"no token":    func(_ *http.Request, f url.Values) { f.Del("csrf") },
		"wrong token": func(_ *http.Request, f url.Values) { f.Set("csrf", good+"A") },
		"cross-site":  func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"no page":     func(r *http.Request, f url.Values) { f.Del("csrf"); r.Header.Set("Accept", "*/*") },
	} {
		f := url.Values{"act": {"renew"}, "csrf": {good}, "username": {p.alice.UserPrincipalName}, "password": {password}, "next": {renewed}, "again": {renewed}}
		probe := httptest.NewRequest(http.MethodPost, "https://login.microsoftonline.com"+target, nil)
		change(probe, f)
		r := postRequest(target, f.Encode())
		for header, values := range probe.Header {
			r.Header[header] = values
		}
		if got := b.send(r); got.status != http.StatusForbidden || got.header.Get("Location") != "" {
			t.Errorf("%s: %d %v", name, got.status, got.header)
		}
	}
	if _, err := p.dir.VerifyPassword(t.Context(), p.alice.UserPrincipalName, password); err != nil {
		t.Error("the password was changed")
	}
	b = p.browser()
	b.get(authorizeURL(tenant2, 1, "client_id", p.app.AppID))
	if b.fill("act", "renew", "username", p.bob.UserPrincipalName, "password", password, "next", renewed, "again", renewed); !strings.Contains(b.page, "need not be changed") {
		t.Error(b.page)
	}
}

// Guesses at the old password count and lock like those of the sign-in.
func TestRenewGuesses(t *testing.T) {
	p := newPeople(t)
	p.expire(p.alice)
	b := p.browser()
	b.get(authorizeURL(tenant1, 1, "client_id", p.app.AppID))
	b.signIn(p.alice)
	for range 10 {
		b.fill("act", "renew", "username", p.alice.UserPrincipalName, "password", "Wrong-Horse-9", "next", renewed, "again", renewed)
	}
	if b.fill("act", "renew", "username", p.alice.UserPrincipalName, "password", password, "next", renewed, "again", renewed); !strings.Contains(b.page, "AADSTS50053") {
		t.Error(b.page)
	}
}

// A forged form never leads anywhere, also for a program that takes no pages and when the request is wrong in other ways.
func TestForgedFormDoesNotRedirect(t *testing.T) {
	p := newPeople(t)
	for _, target := range []string{authorizeURL(tenant2, 2, "client_id", p.app.AppID), authorizeURL(tenant2, 2, "client_id", p.app.AppID, "response_type", "token"),
		"/" + tenant2 + "/v2.0/adminconsent?" + url.Values{"client_id": {p.app.AppID}, "redirect_uri": {callback}}.Encode(), "/common/oauth2/deviceauth"} {
		got := p.do(postRequest(target, "act=accept"))
		if got.status != http.StatusForbidden || got.header.Get("Location") != "" || !strings.Contains(string(got.raw), "AADSTS90023") {
			t.Errorf("%s: %d %v %s", target, got.status, got.header, got.raw)
		}
	}
}
