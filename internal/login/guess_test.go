package login_test

import (
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

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
