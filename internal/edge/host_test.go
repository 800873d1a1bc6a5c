package edge

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func TestDoorOfHost(t *testing.T) {
	rt, err := newRoutes([]Door{
		{Name: "all", Hosts: []string{".example.org"}},
		{Name: "deep", Hosts: []string{".blob.example.org"}},
		{Name: "one", Hosts: []string{"one.blob.example.org"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"example.org": "", "a.example.org": "all", "blob.example.org": "all", "x.blob.example.org": "deep", "x.y.blob.example.org": "deep",
		"one.blob.example.org": "one", "x.one.blob.example.org": "deep", "notexample.org": "", "org": "", "": "",
	}
	for host, want := range tests {
		got := ""
		if d := rt.door(host); d != nil {
			got = d.Name
		}
		if got != want {
			t.Errorf("%q leads to %q, want %q", host, got, want)
		}
	}
}

// FuzzConnect compares our reading of a CONNECT with net/http's: where we let one pass, both must mean the same host.
func FuzzConnect(f *testing.F) {
	rt, err := newRoutes(azureDoors())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"login.microsoftonline.com:443", "user@graph.microsoft.com:443", "[::1]:443", "a.blob.core.windows.net.:443", "graph.microsoft.com%2e:443",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("CONNECT " + authority + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			return
		}
		target, err := connectTarget(r)
		if err != nil || rt.door(target.host) == nil {
			return
		}
		if theirs := strings.ToLower(strings.TrimSuffix(r.URL.Hostname(), ".")); theirs != target.host || r.URL.User != nil || r.URL.Path != "" {
			t.Errorf("%q: we read %q, net/http reads %q", authority, target.host, r.URL)
		}
	})
}

func FuzzCanonicalHost(f *testing.F) {
	for _, seed := range []string{"Login.Microsoftonline.com.", "a..b", "\u212a.com", "1.2.3.4", "-a.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, err := canonicalHost(host)
		if err != nil {
			return
		}
		if again, err := canonicalHost(name); err != nil || again != name {
			t.Errorf("%q becomes %q, then %q (%v)", host, name, again, err)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || !strings.EqualFold(name, strings.TrimSuffix(host, ".")) {
			t.Errorf("%q becomes %q", host, name)
		}
	})
}
