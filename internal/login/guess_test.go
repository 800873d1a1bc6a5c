package login_test

import (
	"fmt"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/internal/directory"
)

// Guesses that come all at once are judged no more often than ten in a row, but for those that are being judged at that moment.
func TestGuessesAtTheSameTime(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	var judged, locked atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for range 40 {
		all.Go(func() {
			<-start
			got := p.post("/organizations/oauth2/v2.0/token", url.Values{"grant_type": {"password"}, "client_id": {directory.AzureCLI},
				"username": {p.alice.UserPrincipalName}, "password": {"wrong"}, "scope": {armHost + "/.default"}})
			codes, _ := got.json["error_codes"].([]any)
			switch {
			case len(codes) == 1 && codes[0] == 50126.0:
				judged.Add(1)
			case len(codes) == 1 && codes[0] == 50053.0:
				locked.Add(1)
			default:
				t.Errorf("%d %s", got.status, got.raw)
			}
		})
	}
	close(start)
	all.Wait()
	if most := int64(10 + runtime.GOMAXPROCS(0) - 1); judged.Load() > most || locked.Load() == 0 {
		t.Errorf("%d guesses were judged, %d refused; at most %d should be judged", judged.Load(), locked.Load(), most)
	}
}

// Nobody counts against somebody else's address by a name that is made to look like it.
func TestGuessesAtAnothersAddress(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	guess := func(from, name, text string) answer {
		r := postRequest("/organizations/oauth2/v2.0/token", url.Values{"grant_type": {"password"}, "client_id": {azCLI}, "username": {name}, "password": {text}, "scope": {"openid"}}.Encode())
		r.RemoteAddr = from + ":1"
		return p.do(r)
	}
	for range 10 {
		checkError(t, "a stranger", p.world, guess("198.51.100.7", p.alice.UserPrincipalName+"|192.0.2.1", "wrong"), 400, "invalid_grant", 50034, "")
		p.at = p.at.Add(2 * time.Second)
	}
	checkError(t, "her slip", p.world, guess("192.0.2.1", p.alice.UserPrincipalName, "wrong"), 400, "invalid_grant", 50126, "")
	if got := guess("192.0.2.1", p.alice.UserPrincipalName, password); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// A host with IPv6 has 2^64 addresses of its own: they count as one.
func TestGuessesFromOneNetwork(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	send := func(from, path string, f url.Values) answer {
		r := postRequest(path, f.Encode())
		r.RemoteAddr = from + ":1"
		return p.do(r)
	}
	within := func(i int) string { return fmt.Sprintf("[2001:db8:0:1::%x]", i+1) }
	token := "/organizations/oauth2/v2.0/token"
	secret := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.app.AppID}, "client_secret": {"wrong"}, "scope": {armHost + "/.default"}}
	for name, tc := range map[string]struct {
		burst, status, code int
		path                string
		f                   url.Values
	}{
		"passwords for a name": {10, 400, 50053, token, url.Values{"grant_type": {"password"}, "client_id": {azCLI}, "username": {p.alice.UserPrincipalName}, "password": {"wrong"}, "scope": {"openid"}}},
		"devices":              {30, 429, 90055, "/common/oauth2/v2.0/devicecode", url.Values{"client_id": {azCLI}, "scope": {"openid"}}},
		"device codes":         {10, 429, 90055, token, url.Values{"grant_type": {"device_code"}, "client_id": {azCLI}, "device_code": {"x"}}},
		"secrets":              {30, 429, 90055, "/" + tenant1 + "/oauth2/v2.0/token", secret},
	} {
		refused := func(got answer) bool {
			codes, _ := got.json["error_codes"].([]any)
			return got.status == tc.status && len(codes) == 1 && codes[0] == float64(tc.code)
		}
		for i := range tc.burst {
			if got := send(within(i), tc.path, tc.f); refused(got) {
				t.Fatalf("%s, %d: %s", name, i, got.raw)
			}
		}
		if got := send(within(tc.burst), tc.path, tc.f); !refused(got) {
			t.Errorf("%s, the next: %d %s", name, got.status, got.raw)
		}
		if got := send("[2001:db8:0:2::1]", tc.path, tc.f); refused(got) {
			t.Errorf("%s, from another network: %d %s", name, got.status, got.raw)
		}
	}
	b := p.browser()
	b.get("/common/oauth2/deviceauth")
	typed := func(from string) answer {
		r := postRequest("/common/oauth2/deviceauth", url.Values{"act": {"code"}, "code": {"BBBBBBBBB"}, "csrf": {csrfField.FindStringSubmatch(b.page)[1]}}.Encode())
		r.RemoteAddr = from + ":1"
		return b.send(r)
	}
	for i := range 10 {
		if got := typed(within(i)); got.status != 200 {
			t.Fatalf("user codes, %d: %s", i, got.raw)
		}
	}
	if got := typed("[2001:db8:0:2::1]"); got.status != 200 {
		t.Errorf("user codes, from another network: %d", got.status)
	}
	if got := typed(within(10)); got.status != 429 {
		t.Errorf("user codes, the next: %d", got.status)
	}
}
