package login_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/audit"
	"vitrine/internal/store"
)

// signIns remembers what it is told, or fails.
type signIns struct {
	events []audit.Event
	fail   error
}

func (s *signIns) Note(_ context.Context, e audit.Event) error {
	s.events = append(s.events, e)
	return s.fail
}

func (s *signIns) Record(_ store.Tx, e audit.Event) error { return s.Note(context.Background(), e) }

func TestSignInsAreInTheActivityLog(t *testing.T) {
	w := newWorld(t)
	told := &signIns{}
	w.config.Audit = told
	w.serve()
	path := "/" + tenant2 + "/oauth2/v2.0/token"
	if a := w.post(path, w.form()); a.text("access_token") == "" {
		t.Fatalf("%+v", a)
	}
	w.post(path, w.form("client_secret", "wrong-and-hidden"))
	w.post(path, w.form("client_id", w.absent.AppID))
	w.post("/nowhere.example/oauth2/v2.0/token", w.form()) // of no tenant: nobody's log
	var lines []string
	for _, e := range told.events {
		lines = append(lines, fmt.Sprint(e.Tenant == tenant2, " ", e.Status, " ", e.Code, " ", e.Caller.AppID == w.app.AppID, " ", e.Caller.TokenID != ""))
	}
	want := "true Succeeded  true true\ntrue Failed AADSTS7000215 false false\ntrue Failed AADSTS7000229 false false"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if all := fmt.Sprintf("%+v", told.events); strings.Contains(all, "wrong-and-hidden") || strings.Contains(all, w.secret) {
		t.Error("a secret is told")
	}
	told.fail = errors.New("no log")
	if a := w.post(path, w.form()); a.text("access_token") != "" {
		t.Error("a token was issued that nobody was told of")
	}
}

// What people do in a browser is told: who, where, with which result, and nothing that they typed.
func TestPeopleAreInTheActivityLog(t *testing.T) {
	p := newPeople(t)
	told := &signIns{}
	p.config.Audit = told
	p.serve()
	b := p.browser()
	b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID))
	b.fill("act", "signin", "username", p.boss.UserPrincipalName, "password", "Typed-Wrong-1")
	b.fill("act", "signin", "username", "My-Secret-Word@tenant2.onmicrosoft.com", "password", "x")
	b.fill("act", "signin", "username", "somebody@nowhere.example", "password", "x")
	b.signIn(p.boss)
	b.fill("act", "deny")
	b.get(authorizeURL(tenant2, 1, "client_id", p.absent.AppID))
	b.fill("act", "accept")
	other := p.browser()
	other.get(authorizeURL(tenant2, 1, "client_id", p.single.AppID)) // not known here: nobody's log
	var lines []string
	for _, e := range told.events {
		if e.Tenant != tenant2 || e.Request.Source == "" || e.Request.CorrelationID == "" || e.Request.ID == "" {
			t.Errorf("%+v", e)
		}
		lines = append(lines, fmt.Sprint(strings.TrimPrefix(e.Action, "Microsoft.Entra/"), " ", e.Status, " ", e.Code, " ", strings.ReplaceAll(strings.ReplaceAll(e.Resource, p.boss.ObjectID, "boss"), p.absent.AppID, "app"), " ", e.Caller.ObjectID == p.boss.ObjectID))
	}
	want := `signIns/browser/action Failed AADSTS50126 /users/boss false
signIns/browser/action Failed AADSTS50034 /users false
signIns/browser/action Succeeded  /users/boss true
consents/write Failed AADSTS65004 /applications/app true
consents/write Succeeded  /applications/app true`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if all := fmt.Sprintf("%+v", told.events); strings.Contains(all, "Typed-Wrong") || strings.Contains(strings.ToLower(all), "my-secret") || strings.Contains(all, password) || strings.Contains(all, "state") {
		t.Error("what was typed is told")
	}
	told.fail = errors.New("no log")
	c := p.browser()
	c.get(authorizeURL(tenant2, 1, "client_id", p.app.AppID))
	if got := c.signIn(p.boss); got.header.Get("Location") != "" {
		t.Error("a sign-in that nobody was told of")
	}
}
