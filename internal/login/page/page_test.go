package page_test

import (
	"strings"
	"testing"

	"vitrine/internal/login/page"
)

// Where a form may lead is an origin and nothing else: somebody chose the address.
func TestPolicy(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.example/cb?x=y": "'self' https://app.example", "http://localhost:8400": "'self' http://localhost:8400", "https://[::1]:1/": "'self' https://[::1]:1", "msalapp://auth": "'self' msalapp:",
		"": "'self'", "https:path": "'self'", "https://*/": "'self'", "https://a;script-src": "'self'", "https://a,default-src": "'self'", "https://'unsafe-inline'": "'self'",
	} {
		drawn, err := page.Render(page.Message{}, address)
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(drawn.Policy, "form-action ")
		if got, _, _ = strings.Cut(got, "; base-uri"); got != want {
			t.Errorf("%q: form-action %s, want %s", address, got, want)
		}
	}
}
