package harness

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Browser plays a person at the sign-in pages: it keeps cookies, sends forms as they came, and follows no redirect by itself.
type Browser struct {
	client *http.Client
}

// Browser makes one that reaches the server as its clients do.
func (s *Server) Browser(t *testing.T) *Browser {
	t.Helper()
	pem, err := os.ReadFile(s.where.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the server's file")
	}
	proxy, err := url.Parse(s.where.Proxy)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Proxy: func(r *http.Request) (*url.URL, error) {
		if name := r.URL.Hostname(); name == "localhost" || name == "127.0.0.1" { // az's own listener
			return nil, nil
		}
		return proxy, nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{&http.Client{Timeout: 3 * time.Minute, Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Page is what a browser got.
type Page struct {
	URL      *url.URL
	Status   int
	Location string
	Body     string
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// Open loads a page.
func (b *Browser) Open(t *testing.T, address string) Page {
	t.Helper()
	return b.send(t, http.MethodGet, address, "")
}

// Submit sends the form of a page: its hidden token and the fields given by name and value in turns.
func (b *Browser) Submit(t *testing.T, p Page, fields ...string) Page {
	t.Helper()
	form := url.Values{}
	if m := csrfField.FindStringSubmatch(p.Body); m != nil {
		form.Set("csrf", m[1])
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.send(t, http.MethodPost, p.URL.String(), form.Encode())
}

// Follow goes where a page leads, until one stays.
func (b *Browser) Follow(t *testing.T, p Page) Page {
	t.Helper()
	for range 5 {
		if p.Location == "" {
			return p
		}
		to, err := p.URL.Parse(p.Location)
		if err != nil {
			t.Fatal(err)
		}
		p = b.Open(t, to.String())
	}
	t.Fatalf("too many redirects, the last to %s", p.Location)
	return p
}

func (b *Browser) send(t *testing.T, method, address, body string) Page {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return Page{URL: req.URL, Status: resp.StatusCode, Location: resp.Header.Get("Location"), Body: string(raw)}
}
