package access

import (
	"bufio"
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"vitrine/internal/client"
	"vitrine/test/harness"
)

const secret = "Correct-Horse7!"

// byName are of a person who is at home in one tenant and a guest of another.
var byName = []step{
	{Args: "login -u carol@home.onmicrosoft.com -p Wrong-Horse7!", Exit: 1, Says: "AADSTS50126"},
	{Args: "login -u nobody@home.onmicrosoft.com -p Wrong-Horse7!", Exit: 1, Says: "AADSTS50034"},
	{Args: "login -u carol@home.onmicrosoft.com -p " + secret, Want: want{"": "len:2"}},
	{Args: "account show --query user", Want: want{"name": "carol@home.onmicrosoft.com", "type": "user"}},
	{Args: "account list --query [?tenantId=='{tenant}']", Want: want{"": "len:1", "0.id": "{subscription}", "0.tenantDefaultDomain": "home.onmicrosoft.com", "0.tenantDisplayName": "home", "0.state": "Enabled"}},
	{Args: "account list --query [?tenantId=='{host}']", Want: want{"": "len:1", "0.id": "{hostSubscription}", "0.tenantDefaultDomain": "host.onmicrosoft.com"}},
	{Args: "rest --url {arm}/tenants?api-version=2022-12-01", Want: want{"value": "len:2", "value.0.tenantId": "{tenant}", "value.1.defaultDomain": "host.onmicrosoft.com"}},
	{Args: "account get-access-token --tenant {host}", Want: want{"tenant": "{host}", "tokenType": "Bearer", "accessToken": "*"}},
	{Args: "account get-access-token --subscription {subscription}", Want: want{"tenant": "{tenant}", "subscription": "{subscription}"}},
	{Args: "account get-access-token --resource-type ms-graph --tenant {tenant}", Want: want{"tenant": "{tenant}"}},
	{Args: "account get-access-token --scope https://storage.azure.com/.default --query expires_on", Want: want{"": "*"}},
	{Args: "account set -s {hostSubscription}"},
	{Args: "group list", Want: want{"": "len:0"}},
	{Args: "group create -n g -l eastus", Exit: 1, Says: "'Microsoft.Resources/subscriptions/resourceGroups/write' over scope '/subscriptions/{hostSubscription}/resourceGroups/g'" + unauthorized},
	{Args: "ad signed-in-user show", Want: want{"displayName": "carol", "userPrincipalName": "~carol_home\\.onmicrosoft\\.com#EXT#@host\\.onmicrosoft\\.com"}},
	{Args: "account set -s {subscription}"},
	{Args: "ad signed-in-user show", Want: want{"displayName": "carol", "userPrincipalName": "carol@home.onmicrosoft.com", "id": "{carol}"}},
	{Args: "ad signed-in-user list-owned-objects", Want: want{"": "len:0"}},
	{Args: "ad app create --display-name carols", Save: save{"carols": "id"}},
	{Args: "ad signed-in-user list-owned-objects", Want: want{"": "len:1", "0.id": "{carols}"}},
	{Args: "ad signed-in-user list-owned-objects --type application", Want: want{"": "len:1"}},
	{Args: "account list --refresh --query length(@)", Want: want{"": "2"}},
	{Args: "logout"},
	{Args: "account show", Exit: 1, Says: "Please run 'az login' to setup account."},
	{Args: "login -u carol@home.onmicrosoft.com -p " + secret + " --tenant {host}", Want: want{"": "len:1", "0.tenantId": "{host}"}},
	{Args: "logout --username carol@home.onmicrosoft.com"},
	{Args: "account list", Want: want{"": "len:0"}},
	{Args: "login -u carol@home.onmicrosoft.com -p " + secret + " --tenant {tenant}", Want: want{"": "len:1"}},
	{Args: "account clear"},
	{Args: "account get-access-token", Exit: 1, Says: "Please run 'az login' to setup account."},
}

func people(t *testing.T, s *harness.Server) {
	var host client.Tenant
	s.Vitrine(t, &host, "tenant", "create", "host")
	p := newPlace(t, s, "home")
	var carol client.User
	s.Vitrine(t, &carol, "user", "create", "carol@home.onmicrosoft.com", "--tenant", "home", "--password", secret, "--display-name", "carol", "--admin")
	p.names["host"], p.names["hostSubscription"], p.names["carol"] = host.TenantID, host.SubscriptionID, carol.ObjectID
	invitation := p.File(t, "invitation.json", `{"invitedUserEmailAddress":"carol@home.onmicrosoft.com","inviteRedirectUrl":"https://portal.azure.com","sendInvitationMessage":false}`)
	p.walk(t, []step{{Args: "role assignment create --assignee carol@home.onmicrosoft.com --role Owner --scope {sub}"}})
	inviter := s.Shell(t, "host")
	inviter.Login(t, host.AppID, host.Password, host.TenantID)
	names := map[string]string{"invitation": invitation, "sub": "/subscriptions/" + host.SubscriptionID}
	inviter.Walk(t, "host", []step{
		{Args: "rest --method post --url https://graph.microsoft.com/v1.0/invitations --body @{invitation}", Save: save{"guest": "invitedUser.id", "redeem": "inviteRedeemUrl"}},
		{Args: "role assignment create --assignee {guest} --role Reader --scope {sub}", Want: want{"principalType": "User"}},
	}, names)
	early := &place{Shell: s.Shell(t, "early"), names: p.names} // az keeps a refusal of a password for two minutes, and gives it again unasked
	early.walk(t, []step{                                       // not asked yet, she is nobody's guest
		{Args: "login -u carol@home.onmicrosoft.com -p " + secret, Want: want{"": "len:1"}},
		{Args: "login -u carol@home.onmicrosoft.com -p " + secret + " --tenant {host}", Exit: 1, Says: "has not accepted the invitation yet"},
	})
	b := s.Browser(t)
	page := b.Follow(t, b.Submit(t, b.Open(t, names["redeem"]), "act", "signin", "username", "carol@home.onmicrosoft.com", "password", secret))
	if page = b.Submit(t, page, "act", "join"); page.Location != "https://portal.azure.com" {
		t.Fatalf("the invitation: %d, to %q\n%s", page.Status, page.Location, page.Body)
	}
	as := &place{Shell: s.Shell(t, "carol"), names: p.names}
	as.walk(t, byName)

	// A deleted person's tokens stop working at once.
	as.walk(t, []step{{Args: "login -u carol@home.onmicrosoft.com -p " + secret + " --tenant {tenant}"}, {Args: "group list", Want: want{"": "len:0"}}})
	p.walk(t, []step{{Args: "ad user delete --id {carol}"}})
	as.walk(t, []step{{Args: "group list", Exit: 1, Says: "InvalidAuthenticationToken"}})
}

// inBrowser signs a person in where az needs a browser: by a device code, and by its own listener.
func inBrowser(t *testing.T, s *harness.Server) {
	p := newPlace(t, s, "web")
	var dora client.User
	s.Vitrine(t, &dora, "user", "create", "dora@web.onmicrosoft.com", "--tenant", "web", "--password", secret)
	p.walk(t, []step{{Args: "role assignment create --assignee dora@web.onmicrosoft.com --role Reader --scope {sub}"}})
	as := &place{Shell: s.Shell(t, "dora"), names: p.names}

	deviceCode(t, s, as.Shell, "deny")
	deviceCode(t, s, as.Shell, "accept")
	as.walk(t, []step{
		{Args: "account show", Want: want{"id": "{subscription}", "user.name": "dora@web.onmicrosoft.com", "tenantDefaultDomain": "web.onmicrosoft.com"}},
		{Args: "ad signed-in-user show", Want: want{"displayName": "dora"}},
		{Args: "account clear"},
	})
	ownListener(t, s, as.Shell)
	as.walk(t, []step{
		{Args: "account show", Want: want{"id": "{subscription}", "user.name": "dora@web.onmicrosoft.com"}},
		{Args: "group list", Want: want{"": "len:0"}},
		{Args: "logout"},
	})
}

// running is an az that waits for a person.
type running struct {
	said  *bufio.Reader
	ended chan error
	rest  *strings.Builder
	read  chan struct{}
}

func begin(t *testing.T, sh *harness.Shell, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	c := sh.Command(ctx, args...)
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r := &running{said: bufio.NewReader(pipe), ended: make(chan error, 1), rest: &strings.Builder{}, read: make(chan struct{})}
	t.Cleanup(func() { cancel(); _ = c.Process.Kill() })
	go func() { <-r.read; r.ended <- c.Wait() }()
	return r
}

// until reads what az says up to a match.
func (r *running) until(t *testing.T, pattern *regexp.Regexp) string {
	t.Helper()
	for {
		line, err := r.said.ReadString('\n')
		r.rest.WriteString(line)
		if m := pattern.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if err != nil {
			t.Fatalf("az says nothing of %s: %v\n%s", pattern, err, r.rest)
		}
	}
}

// end waits for the end and gives what was said.
func (r *running) end() (string, error) {
	_, _ = io.Copy(r.rest, r.said) // until az closes it
	close(r.read)
	return r.rest.String(), <-r.ended
}

var userCode = regexp.MustCompile(`enter the code ([A-Z0-9-]+) to authenticate`)

func deviceCode(t *testing.T, s *harness.Server, sh *harness.Shell, answer string) {
	t.Helper()
	az := begin(t, sh, "login", "--use-device-code", "-o", "none")
	code := az.until(t, userCode)
	b := s.Browser(t)
	page := b.Open(t, "https://login.microsoftonline.com/common/oauth2/deviceauth")
	page = b.Follow(t, b.Submit(t, page, "act", "code", "code", code))
	page = b.Follow(t, b.Submit(t, page, "act", "signin", "username", "dora@web.onmicrosoft.com", "password", secret))
	if !strings.Contains(page.Body, code) || !strings.Contains(page.Body, "Microsoft Azure CLI") {
		t.Fatalf("the page does not ask to confirm: %d\n%s", page.Status, page.Body)
	}
	page = b.Submit(t, page, "act", answer, "code", code)
	said, err := az.end()
	if answer == "accept" && err != nil || answer == "deny" && (err == nil || !strings.Contains(said, "The end user denied the authorization request")) {
		t.Fatalf("%s: %v\n%s\n%d %s", answer, err, said, page.Status, page.URL)
	}
}

// ownListener drives the address that az hands to a browser.
func ownListener(t *testing.T, s *harness.Server, sh *harness.Shell) {
	t.Helper()
	told := sh.File(t, "address", "")
	script := sh.File(t, "browser", "#!/bin/sh\nprintf '%s\\n' \"$1\" >'"+told+"'\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	sh.Setenv("BROWSER", script)
	az := begin(t, sh, "login", "-o", "none")
	address := awaitLine(t, told)
	if !strings.HasPrefix(address, "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize?") || !strings.Contains(address, "code_challenge_method=S256") {
		t.Fatalf("az opens %s", address)
	}
	b := s.Browser(t)
	page := b.Follow(t, b.Open(t, address))
	page = b.Follow(t, b.Submit(t, page, "act", "signin", "username", "dora@web.onmicrosoft.com", "password", secret))
	if page.URL.Hostname() != "localhost" || page.URL.Query().Get("code") == "" {
		t.Fatalf("the browser is led to %s: %d\n%s", page.URL, page.Status, page.Body)
	}
	if said, err := az.end(); err != nil {
		t.Fatalf("az login: %v\n%s", err, said)
	}
}

func awaitLine(t *testing.T, path string) string {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(5 * time.Minute); ; {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if line, ok := strings.CutSuffix(string(raw), "\n"); ok {
			return line
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("az opens no browser: %s is empty", path)
		}
	}
}
