package edge

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runTool runs a client as a user of `vitrine env` would: proxy and roots by environment variables alone.
func runTool(t *testing.T, r *running, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.pem")
	if err := r.WriteBundle(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	proxy := "http://" + r.addr
	cmd.Env = append(os.Environ(), "HTTPS_PROXY="+proxy, "https_proxy="+proxy, "NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost",
		"SSL_CERT_FILE="+path, "CURL_CA_BUNDLE="+path, "NODE_EXTRA_CA_CERTS="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

const (
	toolURL  = "https://md-x.zone.blob.storage.azure.net/c/b?x=1"
	toolWant = "blob GET https://md-x.zone.blob.storage.azure.net/c/b?x=1"
)

func TestCurl(t *testing.T) {
	r := start(t, nil)
	out := runTool(t, r, tool(t, "curl"), "-sS", "-w", " proto=%{http_version}", toolURL)
	if !strings.HasPrefix(out, toolWant) || !strings.HasSuffix(out, "proto=1.1") {
		t.Errorf("%q", out)
	}
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	out = runTool(t, r, tool(t, "curl"), "-sS", "--noproxy", "*", "--resolve", "graph.microsoft.com:"+port+":"+host, "https://graph.microsoft.com:"+port+"/v1.0/me")
	if want := "graph GET https://graph.microsoft.com:" + port + "/v1.0/me"; !strings.HasPrefix(out, want) {
		t.Errorf("directly: %q, want %q", out, want)
	}
}

// az is Python; since 3.13 Python verifies with VERIFY_X509_STRICT unless told otherwise.
func TestPython(t *testing.T) {
	r := start(t, nil)
	out := runTool(t, r, tool(t, "python3"), "-c", `
import ssl, sys, urllib.request
c = ssl.create_default_context()
c.verify_flags |= ssl.VERIFY_X509_STRICT
o = urllib.request.build_opener(urllib.request.HTTPSHandler(context=c), urllib.request.ProxyHandler())
print(o.open(sys.argv[1]).read().decode())
`, toolURL)
	if !strings.HasPrefix(out, toolWant) {
		t.Errorf("%q", out)
	}
}

func TestNode(t *testing.T) {
	r := start(t, nil)
	out := runTool(t, r, tool(t, "node"), "-e", `
const http = require('http'), tls = require('tls');
const url = new URL(process.argv[1]), proxy = new URL(process.env.HTTPS_PROXY);
http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.hostname + ':443'})
  .on('connect', (res, socket) => {
    if (res.statusCode !== 200) { console.error(res.statusCode); process.exit(1); }
    const secure = tls.connect({socket, servername: url.hostname}, () => {
      secure.write('GET ' + url.pathname + url.search + ' HTTP/1.1\r\nHost: ' + url.host + '\r\nConnection: close\r\n\r\n');
      secure.pipe(process.stdout);
    });
    secure.on('error', (e) => { console.error(e); process.exit(1); });
  }).end();
`, toolURL)
	if !strings.Contains(out, "\r\n\r\n"+toolWant) {
		t.Errorf("%q", out)
	}
}
