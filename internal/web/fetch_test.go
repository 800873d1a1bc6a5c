package web_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"vitrine/internal/web"
)

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "20.50.2.1": true, "2606:4700::1111": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "0.0.0.0": false, "::": false, "10.1.2.3": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false, "100.64.0.1": false,
		"168.63.129.16": false, "224.0.0.1": false, "255.255.255.255": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"::ffff:1.1.1.1": true, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false, "198.18.0.1": false, "fe80::1%eth0": false,
	} {
		if got := web.Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("Public(%s) = %v", address, got)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	for in, ok := range map[string]bool{
		"https://issuer.example": true, "https://issuer.example:8443/path": true, "https://issuer.example=10.0.0.5": true,
		"http://issuer.example": false, "https://": false, "https://u@issuer.example": false, "https://10.0.0.1": false,
		"https://[::1]": false, "https://issuer.example=nowhere": false, "issuer.example": false, "https://issuer.example?x": false,
	} {
		if _, err := web.ParseOrigin(in); (err == nil) != ok {
			t.Errorf("ParseOrigin(%q): %v", in, err)
		}
	}
}

// A server behind issuer.example, whatever the name resolves to: the dialer records what was judged and connects to it.
func fetchWorld(t *testing.T, handler http.HandlerFunc, lookup func() []string) (*web.Fetcher, *atomic.Int32) {
	t.Helper()
	server := httptest.NewTLSServer(handler) // its certificate is for example.com
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	origin, err := web.ParseOrigin("https://example.com")
	if err != nil {
		t.Fatal(err)
	}
	dials := &atomic.Int32{}
	return web.NewFetcher(web.FetchConfig{Origins: []web.Origin{origin}, Roots: roots, Max: 1000,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			var out []netip.Addr
			for _, a := range lookup() {
				out = append(out, netip.MustParseAddr(a))
			}
			return out, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			if host, _, _ := net.SplitHostPort(address); !web.Public(netip.MustParseAddr(host)) {
				return nil, errors.New("dialled an address of the inside")
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		}}), dials
}

func TestFetch(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, "{}")
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", 1001))
		case "/away":
			http.Redirect(w, r, "https://example.com/ok", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}
	f, dials := fetchWorld(t, handler, func() []string { return []string{"1.1.1.1"} })
	if body, err := f.Get(t.Context(), "https://example.com/ok"); err != nil || string(body) != "{}" {
		t.Fatalf("%s, %v", body, err)
	}
	for path, want := range map[string]string{"/long": "more than 1000 bytes", "/away": "status 302", "/none": "status 404"} {
		if _, err := f.Get(t.Context(), "https://example.com"+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	before := dials.Load()
	for _, address := range []string{"http://example.com/ok", "https://example.com:8443/ok", "https://other.example/ok", "https://u:p@example.com/ok",
		"https://127.0.0.1/ok", "https://0x7f000001/", "https://2130706433/", "https://[::ffff:7f00:1]/", "file:///etc/passwd",
		"https://example.com.evil.example/ok", "https://example.com@evil.example/", "gopher://example.com/", "//example.com/ok", ""} {
		if _, err := f.Get(t.Context(), address); !errors.Is(err, web.ErrFetchRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if dials.Load() != before {
		t.Error("a refused address was dialled")
	}
}

// A name whose first answer is good and whose second is of the inside: each connection goes to what was judged for it.
func TestFetchRebinding(t *testing.T) {
	answers := [][]string{{"1.1.1.1"}, {"127.0.0.1"}, {"1.1.1.1", "10.0.0.1"}, {}}
	n := 0
	f, dials := fetchWorld(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, func() []string { n++; return answers[n-1] })
	if _, err := f.Get(t.Context(), "https://example.com/"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Get(t.Context(), "https://example.com/"); !errors.Is(err, web.ErrFetchRefused) {
			t.Errorf("inside address: %v", err)
		}
	}
	if _, err := f.Get(t.Context(), "https://example.com/"); err == nil {
		t.Error("no address, no error")
	}
	if n != 4 || dials.Load() != 1 {
		t.Errorf("%d look-ups, %d connections", n, dials.Load())
	}
}
