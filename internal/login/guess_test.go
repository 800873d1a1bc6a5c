package login_test

import (
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
