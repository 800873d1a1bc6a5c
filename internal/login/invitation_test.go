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

const thanks = "https://thanks.example/joined"

// invite makes carol of tenant 1 and has tenant 2 invite her.
func (p *people) invite() (carol, guest directory.User) {
	p.t.Helper()
	carol = p.addUser(tenant1, "carol@tenant1.onmicrosoft.com", "")
	p.update(func(tx store.Tx) (err error) {
		if guest, err = p.dir.InviteIn(tx, tenant2, carol.UserPrincipalName, "Carol"); err == nil {
			err = p.dir.LeadIn(tx, guest, thanks)
		}
		return err
	})
	return carol, guest
}

func (p *people) accepted(guest directory.User) bool {
	p.t.Helper()
	u, err := p.dir.User(p.t.Context(), tenant2, guest.ObjectID)
	if err != nil {
		p.t.Fatal(err)
	}
	return u.State == directory.Accepted && u.HomeObject != ""
}

// A guest is asked before the tenant learns of them, on every page that leads there.
func TestInvitationIsAskedFor(t *testing.T) {
	redeem := "/" + tenant2 + "/redeem?login_hint=carol@tenant1.onmicrosoft.com"
	for name, target := range map[string]string{"sign-in": authorizeURL(tenant2, 2, "client_id", azCLI, "redirect_uri", "http://localhost:8400", "scope", "openid",
		"code_challenge", strings.Repeat("a", 43), "code_challenge_method", "S256"), "inviteRedeemUrl": redeem} {
		p := newPeople(t)
		carol, guest := p.invite()
		b := p.browser()
		b.get(target)
		b.signIn(carol)
		for _, want := range []string{"tenant 2 invites you", tenant2, carol.UserPrincipalName, `value="join"`} {
			if !strings.Contains(b.page, want) {
				t.Fatalf("%s: the page lacks %q:\n%s", name, want, b.page)
			}
		}
		if p.accepted(guest) {
			t.Fatalf("%s: accepted unasked", name)
		}
		declined := b.fill("act", "stay")
		if to := declined.header.Get("Location"); p.accepted(guest) || name == "sign-in" && !strings.Contains(to, "error=access_denied") || name != "sign-in" && declined.status != http.StatusBadRequest {
			t.Errorf("%s: declined: %d %q", name, declined.status, to)
		}
		b.get(target)
		got := b.fill("act", "join")
		to := map[string]string{"sign-in": "http://localhost:8400?code=", "inviteRedeemUrl": thanks}[name]
		if !p.accepted(guest) || !strings.HasPrefix(got.header.Get("Location"), to) {
			t.Errorf("%s: accepted: %d %q\n%s", name, got.status, got.header.Get("Location"), b.page)
		}
		if got := b.get(redeem); got.status != http.StatusOK || !strings.Contains(b.page, "You belong to tenant 2") {
			t.Errorf("%s: once more: %d %s", name, got.status, b.page)
		}
	}
}

// Where nobody can be asked, a guest who has not accepted is refused; with a device they are asked on its page.
func TestInvitationWithoutAPage(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	carol, guest := p.invite()
	byPassword := url.Values{"grant_type": {"password"}, "client_id": {azCLI}, "username": {carol.UserPrincipalName}, "password": {password}, "scope": {"openid offline_access"}}
	checkError(t, "password", p.world, p.post("/"+tenant2+"/oauth2/v2.0/token", byPassword), 400, "interaction_required", 0, "az login --tenant "+tenant2)
	home := p.post("/organizations/oauth2/v2.0/token", byPassword)
	checkError(t, "refresh", p.world, p.post("/"+tenant2+"/oauth2/v2.0/token", refreshForm(home.text("refresh_token"))), 400, "interaction_required", 0, "has not accepted")
	b := p.browser()
	b.get("/" + tenant1 + "/redeem") // signs in
	b.signIn(carol)
	q := b.sent(b.get(authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid", "prompt", "none")), callback)
	if q.Get("error") != "interaction_required" || strings.Contains(q.Encode(), "carol") {
		t.Errorf("silent: %v", q)
	}
	if p.accepted(guest) {
		t.Fatal("accepted unasked")
	}
	begun := p.post("/"+tenant2+"/oauth2/v2.0/devicecode", url.Values{"client_id": {azCLI}, "scope": {"openid"}})
	code := begun.text("user_code")
	b.get("/common/oauth2/deviceauth?user_code=" + code)
	if b.fill("act", "accept", "code", code); !strings.Contains(b.page, "tenant 2 invites you") || p.accepted(guest) {
		t.Fatalf("device: %s", b.page)
	}
	if b.fill("act", "join", "code", code); !strings.Contains(b.page, "Are you signing in") || !p.accepted(guest) {
		t.Fatalf("device: %s", b.page)
	}
	b.fill("act", "accept", "code", code)
	p.at = p.at.Add(5 * time.Second)
	if got := p.post("/"+tenant2+"/oauth2/v2.0/token", url.Values{"grant_type": {"device_code"}, "client_id": {azCLI}, "device_code": {begun.text("device_code")}}); got.status != http.StatusOK ||
		payload(t, got.text("access_token"))["oid"] != guest.ObjectID {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// Somebody who is not invited learns nothing of the tenant, and a forged form accepts nothing.
func TestRedeemRefusals(t *testing.T) {
	p := newPeople(t)
	carol, guest := p.invite()
	dave := p.addUser(tenant1, "dave@tenant1.onmicrosoft.com", "")
	b := p.browser()
	b.get("/" + tenant2 + "/redeem")
	if b.signIn(dave); !strings.Contains(b.page, "AADSTS50020") || strings.Contains(b.page, "invites you") {
		t.Errorf("not invited: %s", b.page)
	}
	b = p.browser()
	b.get("/" + tenant2 + "/redeem")
	b.signIn(carol)
	if got := b.send(postRequest(b.at, "act=join&csrf=x")); got.status != http.StatusForbidden || p.accepted(guest) {
		t.Errorf("forged: %d", got.status)
	}
	if got := b.get("/" + nobody + "/redeem"); got.status != http.StatusBadRequest || !strings.Contains(b.page, "AADSTS90002") {
		t.Errorf("unknown tenant: %d %s", got.status, b.page)
	}
}
