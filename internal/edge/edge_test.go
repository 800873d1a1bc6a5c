package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is an Edge on a loopback port, with doors that say what they got.
type running struct {
	*Edge
	addr  string
	roots *x509.CertPool
}

// echo answers with what a handler needs to build absolute URLs.
func echo(door string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %s host=%s body=%d err=%v aux=%d", door, r.Method, r.URL, r.Host, n, err, len(r.Header.Get("x-ms-authorization-auxiliary")))
	})
}

func start(t *testing.T, change func(*Config)) *running {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), Sealer: testSealer(t, 1)}
	for _, d := range azureDoors() {
		d.Handler = echo(d.Name)
		cfg.Doors = append(cfg.Doors, d)
	}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Serve(context.Background(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r := &running{Edge: e, addr: ln.Addr().String(), roots: x509.NewCertPool()}
	r.roots.AppendCertsFromPEM(e.CACertPEM())
	return r
}

// client goes through the proxy, as HTTPS_PROXY makes clients do.
func (r *running) client(t *testing.T) *http.Client {
	tr := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: r.addr}),
		TLSClientConfig:   &tls.Config{RootCAs: r.roots},
		ForceAttemptHTTP2: true, // to see that we stay with HTTP/1.1 all the same
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (r *running) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// exchange sends raw bytes and reads one answer.
func exchange(t *testing.T, c io.ReadWriter, raw string) (status int, body string) {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	if method == http.MethodConnect && res.StatusCode == 200 {
		return 200, ""
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || res.ProtoMajor != 1 {
		t.Fatalf("%s: %s %d %v", url, res.Proto, res.StatusCode, err)
	}
	return string(data)
}

func TestThroughProxy(t *testing.T) {
	r := start(t, nil)
	c := r.client(t)
	tests := []struct{ url, want string }{
		{"https://login.microsoftonline.com:443/t/v2.0", "login GET https://login.microsoftonline.com/t/v2.0 host=login.microsoftonline.com"},
		{"https://management.azure.com/subscriptions//x/?a=b%20c", "arm GET https://management.azure.com/subscriptions//x/?a=b%20c host=management.azure.com"},
		{"https://graph.microsoft.com/v1.0/me", "graph GET https://graph.microsoft.com/v1.0/me"},
		{"https://acc.blob.core.windows.net/c/b?comp=page", "blob GET https://acc.blob.core.windows.net/c/b?comp=page"},
		{"https://md-x.zone.blob.storage.azure.net/", "blob GET https://md-x.zone.blob.storage.azure.net/"},
	}
	for _, tt := range tests {
		if got := get(t, c, tt.url); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.url, got, tt.want)
		}
	}
}

func TestDirectTLS(t *testing.T) {
	r := start(t, nil)
	tr := &http.Transport{
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", r.addr) },
		TLSClientConfig: &tls.Config{RootCAs: r.roots},
	}
	defer tr.CloseIdleConnections()
	got := get(t, &http.Client{Transport: tr}, "https://Management.Azure.com:8443/x")
	if want := "arm GET https://management.azure.com:8443/x host=management.azure.com:8443"; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestUnknownServerNames(t *testing.T) {
	r := start(t, nil)
	for _, name := range []string{"", "example.org", "azure.com", "blob.core.windows.net", "127.0.0.1"} {
		c := tls.Client(r.dial(t), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		err := c.Handshake()
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("server name %q: %v", name, err)
		}
	}
}

// Four tokens of 3 KiB each must fit; something without end must not.
func TestHeaderSize(t *testing.T) {
	r := start(t, nil)
	send := func(size int) (int, string) {
		req, err := http.NewRequest("PUT", "https://management.azure.com/x", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.Repeat("a", 3<<10))
		req.Header.Set("x-ms-authorization-auxiliary", strings.Repeat("b", size))
		res, err := r.client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		data, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(data)
	}
	if status, body := send(60 << 10); status != 200 || !strings.Contains(body, "body=4 err=<nil> aux=61440") {
		t.Errorf("60 KiB of tokens: %d %s", status, body)
	}
	if status, _ := send(256 << 10); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("256 KiB of tokens: %d", status)
	}
}

func TestAdversarialConnect(t *testing.T) {
	r := start(t, func(c *Config) { c.AllowHosts = []string{"allowed.example:8443", "localhost:1"} })
	const host = "login.microsoftonline.com"
	tests := []struct {
		target string
		status int
		text   string
	}{
		{host + ":443", 200, ""},
		{"LOGIN.MicrosoftOnline.com:443", 200, ""},
		{host + ".:443", 200, ""},
		{host + ":0443", 200, ""},
		{"a.b.c.blob.core.windows.net:443", 200, ""},
		{host + "..:443", 400, "not a host name"},
		{host, 400, "host:port"},
		{host + ":", 400, ""},
		{host + ":https", 400, ""},
		{host + ":0", 400, ""},
		{host + ":65979", 400, ""}, // 443 modulo 65536
		{host + ":+443", 400, ""},
		{host + ":443:443", 400, ""},
		{host + ":80", 403, "port 443"},
		{"user@" + host + ":443", 400, ""},
		{"user:pw@" + host + ":443", 400, ""},
		{host + "@example.org:443", 400, ""},
		{host + "%2eexample.org:443", 400, ""},
		{host + "%00.example.org:443", 400, ""},
		{host + "\x00.example.org:443", 400, ""},
		{host + "/../x:443", 400, ""},
		{host + "#:443", 400, ""},
		{"http://" + host + ":443", 400, ""},
		{"/" + host + ":443", 400, ""},
		{"lo\u212ain.microsoftonline.com:443", 400, ""},
		{"*.blob.core.windows.net:443", 400, ""},
		{"blob.core.windows.net:443", 403, "--allow-host blob.core.windows.net"},
		{"evilblob.core.windows.net:443", 403, "--allow-host"},
		{host + ".example.org:443", 403, "--allow-host " + host + ".example.org"},
		{"example.org:443", 403, "example.org:443 is not served here and not allowed"},
		{"example.org:22", 403, "--allow-host example.org:22"},
		{"allowed.example:443", 403, "--allow-host"},
		{"[::1]:443", 403, ""},
		{"[fe80::1%25lo]:443", 400, ""},
		{"[::ffff:127.0.0.1]:443", 403, "127.0.0.1:443"},
		{"127.0.0.1:443", 403, ""},
		{"169.254.169.254:80", 403, ""},
		{"2130706433:443", 400, "not a host name"},
		{"0x7f000001:443", 403, ""},
		{"127.1:443", 400, ""},
		{"localhost:443", 403, ""},
		{":443", 400, ""},
		{"-:443", 400, ""},
		{strings.Repeat("a", 300) + ".blob.core.windows.net:443", 400, ""},
		{"localhost:1", 403, "not public"}, // a name that the operator allowed and that leads inside
	}
	for _, tt := range tests {
		status, body := exchange(t, r.dial(t), "CONNECT "+tt.target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if status != tt.status || !strings.Contains(body, tt.text) {
			t.Errorf("CONNECT %q: %d %q, want %d %q", tt.target, status, body, tt.status, tt.text)
		}
	}
}

func TestOtherPlainRequests(t *testing.T) {
	r := start(t, nil)
	tests := []struct {
		raw    string
		status int
		text   string
	}{
		{"GET http://management.azure.com/x HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 403, "plain HTTP is not forwarded"},
		{"POST http://169.254.169.254/ HTTP/1.1\r\nHost: y\r\nContent-Length: 0\r\n\r\n", 403, "plain HTTP is not forwarded"},
		{"GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 400, "HTTPS_PROXY"},
		{"OPTIONS * HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 400, "HTTPS_PROXY"},
		{"CONNECT management.azure.com:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 400, "body"},
		{"CONNECT management.azure.com:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "body"},
		{"SSH-2.0-x\r\n\r\n", 400, ""},
		{"\x00\x00\r\n\r\n", 400, ""},
	}
	for _, tt := range tests {
		status, body := exchange(t, r.dial(t), tt.raw)
		if status != tt.status || !strings.Contains(body, tt.text) {
			t.Errorf("%q: %d %q, want %d %q", tt.raw, status, body, tt.status, tt.text)
		}
	}
}

// inside opens a TLS connection for serverName after CONNECT to host, or directly when host is empty.
func (r *running) inside(t *testing.T, host, serverName string) (*tls.Conn, error) {
	t.Helper()
	c := r.dial(t)
	if host != "" {
		if status, body := exchange(t, c, "CONNECT "+host+":443 HTTP/1.1\r\n\r\n"); status != 200 {
			t.Fatalf("CONNECT %s: %d %s", host, status, body)
		}
	}
	tc := tls.Client(c, &tls.Config{ServerName: serverName, RootCAs: r.roots, InsecureSkipVerify: serverName == ""})
	err := tc.Handshake()
	return tc, err
}

func TestMisdirected(t *testing.T) {
	r := start(t, nil)
	const arm = "management.azure.com"
	tests := []struct {
		name, connect, raw string
		status             int
	}{
		{"same host", arm, "GET /x HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 200},
		{"same door", arm, "GET /x HTTP/1.1\r\nHost: management.core.windows.net\r\n\r\n", 200},
		{"port 443", arm, "GET /x HTTP/1.1\r\nHost: management.azure.com:443\r\n\r\n", 200},
		{"upper case, root", arm, "GET /x HTTP/1.1\r\nHost: MANAGEMENT.azure.com.\r\n\r\n", 200},
		{"absolute", arm, "GET https://management.azure.com/x HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 200},
		{"other door", arm, "GET /x HTTP/1.1\r\nHost: graph.microsoft.com\r\n\r\n", 421},
		{"other door, direct", "", "GET /x HTTP/1.1\r\nHost: graph.microsoft.com\r\n\r\n", 421},
		{"absolute for another door", arm, "GET https://graph.microsoft.com/x HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 421},
		{"no door", arm, "GET /x HTTP/1.1\r\nHost: example.org\r\n\r\n", 421},
		{"address", arm, "GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421},
		{"other port", arm, "GET /x HTTP/1.1\r\nHost: management.azure.com:8443\r\n\r\n", 421},
		{"bad port", arm, "GET /x HTTP/1.1\r\nHost: management.azure.com:x\r\n\r\n", 421},
		{"userinfo", arm, "GET /x HTTP/1.1\r\nHost: u@management.azure.com\r\n\r\n", 400},
		{"empty", arm, "GET /x HTTP/1.1\r\nHost:\r\n\r\n", 421},
		{"HTTP/1.0 without host", arm, "GET /x HTTP/1.0\r\n\r\n", 421},
		{"without host", arm, "GET /x HTTP/1.1\r\n\r\n", 400},
		{"two hosts", arm, "GET /x HTTP/1.1\r\nHost: management.azure.com\r\nHost: graph.microsoft.com\r\n\r\n", 400},
		{"proxy within", arm, "CONNECT example.org:443 HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 405},
		{"proxy within, ours", arm, "CONNECT management.azure.com:443 HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 405},
		{"length and chunked", arm, "POST /x HTTP/1.1\r\nHost: management.azure.com\r\nContent-Length: 4\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := r.inside(t, tt.connect, arm)
			if err != nil {
				t.Fatal(err)
			}
			status, body := exchange(t, c, tt.raw)
			if status != tt.status {
				t.Errorf("%d %q, want %d", status, body, tt.status)
			}
			if status == 200 && !strings.HasPrefix(body, "arm ") {
				t.Errorf("answered by %q", body)
			}
		})
	}
}

func TestServerNameAfterConnect(t *testing.T) {
	r := start(t, nil)
	if _, err := r.inside(t, "management.azure.com", "graph.microsoft.com"); err == nil {
		t.Error("TLS for another door than that of the CONNECT")
	}
	c, err := r.inside(t, "management.azure.com", "")
	if err != nil {
		t.Fatalf("without a server name the CONNECT names the host: %v", err)
	}
	if name := c.ConnectionState().PeerCertificates[0].DNSNames[0]; name != "management.azure.com" {
		t.Errorf("certificate for %q", name)
	}
	if status, body := exchange(t, c, "GET /x HTTP/1.1\r\nHost: management.azure.com\r\n\r\n"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// A client may send its hello without waiting for the answer to CONNECT.
func TestEarlyHello(t *testing.T) {
	r := start(t, nil)
	c := r.dial(t)
	early := &firstWrite{Conn: c, prefix: "CONNECT graph.microsoft.com:443 HTTP/1.1\r\n\r\n"}
	tc := tls.Client(early, &tls.Config{ServerName: "graph.microsoft.com", RootCAs: r.roots})
	if status, body := exchange(t, tc, "GET /x HTTP/1.1\r\nHost: graph.microsoft.com\r\n\r\n"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// firstWrite puts prefix in front of the first write and takes the proxy's answer off the first read.
type firstWrite struct {
	net.Conn
	prefix string
	read   bool
}

func (f *firstWrite) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(append([]byte(f.prefix), p...))
	n -= len(f.prefix)
	f.prefix = ""
	return n, err
}

func (f *firstWrite) Read(p []byte) (int, error) {
	for tail := ""; !f.read; {
		var b [1]byte
		if _, err := io.ReadFull(f.Conn, b[:]); err != nil {
			return 0, err
		}
		tail += string(b[:])
		f.read = strings.HasSuffix(tail, "\r\n\r\n")
	}
	return f.Conn.Read(p)
}

func TestKeepAlive(t *testing.T) {
	r := start(t, nil)
	c, err := r.inside(t, "management.azure.com", "management.azure.com")
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	for i := range 3 {
		fmt.Fprintf(c, "PUT /%d HTTP/1.1\r\nHost: management.azure.com\r\nContent-Length: 3\r\n\r\nabc", i)
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(res.Body)
		if want := fmt.Sprintf("arm PUT https://management.azure.com/%d host=management.azure.com body=3 err=<nil>", i); !strings.HasPrefix(string(data), want) {
			t.Errorf("%q, want %q", data, want)
		}
	}
}

func TestRenewWhileServing(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	if _, err := LoadOrCreateCA(dir, testSealer(t, 1), []string{"old.example"}, now); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *Config) { c.Dir = dir })
	var need *RenewalError
	if err := r.NeedsRenewal(); !errors.As(err, &need) || len(need.Missing) == 0 || len(need.Surplus) != 1 {
		t.Fatalf("NeedsRenewal = %v", err)
	}
	if _, err := r.inside(t, "graph.microsoft.com", "graph.microsoft.com"); err == nil {
		t.Error("a name was verified that the old authority does not permit")
	}
	if err := r.Renew(); err != nil {
		t.Fatal(err)
	}
	if err := r.NeedsRenewal(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "bundle.pem")
	if err := r.WriteBundle(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.roots = x509.NewCertPool()
	r.roots.AppendCertsFromPEM(data)
	if _, err := r.inside(t, "graph.microsoft.com", "graph.microsoft.com"); err != nil {
		t.Errorf("with the bundle of the new authority: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no doors", func(c *Config) { c.Doors = nil }, "required"},
		{"no sealer", func(c *Config) { c.Sealer = nil }, "required"},
		{"no handler", func(c *Config) { c.Doors[0].Handler = nil }, "no handler"},
		{"two doors for a host", func(c *Config) { c.Doors[1].Hosts = []string{"Login.microsoftonline.com"} }, "belongs to door login already"},
		{"address as host", func(c *Config) { c.Doors[0].Hosts = []string{"10.0.0.1"} }, "not a host name"},
		{"allowed host is ours", func(c *Config) { c.AllowHosts = []string{"x.blob.core.windows.net"} }, "served here"},
		{"allowed wildcard", func(c *Config) { c.AllowHosts = []string{"*"} }, "not a host name"},
		{"allowed URL", func(c *Config) { c.AllowHosts = []string{"https://pypi.org"} }, "https://pypi.org"},
		{"extra domain too wide", func(c *Config) { c.ExtraDomains = []string{"net"} }, "too wide"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), Sealer: testSealer(t, 1)}
			for _, d := range azureDoors() {
				d.Handler = echo(d.Name)
				cfg.Doors = append(cfg.Doors, d)
			}
			tt.change(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q in it", err, tt.want)
			}
		})
	}
}
