package login_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/audit"
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
