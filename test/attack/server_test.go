package attack

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/internal/client"
)

// listener counts who calls: whatever an attacker's address in a token or form makes the server do.
func listener(t *testing.T, calls *atomic.Int64) *httptest.Server {
	l := httptest.NewUnstartedServer(http.NotFoundHandler())
	l.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			calls.Add(1)
		}
	}
	l.StartTLS()
	t.Cleanup(l.Close)
	return l
}

func roots(t *testing.T, s client.Server) *x509.CertPool {
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the server's file")
	}
	return pool
}

// from is a client whose connections come from an address of this host.
func (w *world) from(address string) *http.Client {
	proxy, err := url.Parse(w.at.Proxy)
	if err != nil {
		w.t.Fatal(err)
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: w.roots}}}
}

// send sends a request; header has name and value in turns.
func (w *world) send(method, target, body string, header ...string) (outcome, http.Header) {
	return w.sendBy(w.http, method, target, body, header...)
}

func (w *world) sendBy(c *http.Client, method, target, body string, header ...string) (outcome, http.Header) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return outcome{code: "no answer", body: err.Error()}, nil
	}
	return read(resp), resp.Header
}

func read(resp *http.Response) outcome {
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return outcome{resp.StatusCode, "cut", err.Error()}
	}
	return outcome{resp.StatusCode, codeOf(resp, raw), string(raw)}
}

var (
	aadsts   = regexp.MustCompile(`AADSTS[0-9]+`)
	xmlCode  = regexp.MustCompile(`<Code>([A-Za-z]+)</Code>`)
	pageCode = regexp.MustCompile(`role="alert"`)
)

// codeOf finds the error's code in any of the dialects: ARM's and Graph's envelope, the token service's, the Blob service's.
func codeOf(resp *http.Response, raw []byte) string {
	var envelope struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
		Value       []any           `json:"value"`
	}
	_ = json.Unmarshal(raw, &envelope) // other dialects are no JSON
	var inner struct{ Code string }
	switch {
	case json.Unmarshal(envelope.Error, &inner) == nil && inner.Code != "":
		return inner.Code
	case len(envelope.Error) > 0:
		if code := aadsts.FindString(envelope.Description); code != "" {
			return code
		}
		return strings.Trim(string(envelope.Error), `"`)
	case xmlCode.Match(raw):
		return string(xmlCode.FindSubmatch(raw)[1])
	case pageCode.Match(raw):
		return "page: " + aadsts.FindString(string(raw))
	case resp.StatusCode == 200 && envelope.Value != nil && len(envelope.Value) == 0:
		return "empty list"
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return "redirect"
	case resp.StatusCode < 300:
		return "SUCCESS"
	}
	return "refused"
}

const version = "2022-09-01"

// arm asks Resource Manager with exactly the tokens given.
func (w *world) arm(method, path, body, token string, auxiliary ...string) outcome {
	w.t.Helper()
	header := []string{"Content-Type", "application/json"}
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	if len(auxiliary) > 0 {
		header = append(header, "x-ms-authorization-auxiliary", "Bearer "+strings.Join(auxiliary, ", Bearer "))
	}
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	got, _ := w.send(method, "https://management.azure.com"+path+mark+"api-version="+version, body, header...)
	return got
}

// graph asks Microsoft Graph.
func (w *world) graph(method, path, body, token string) outcome {
	w.t.Helper()
	got, _ := w.send(method, "https://graph.microsoft.com/v1.0"+path, body, "Content-Type", "application/json", "Authorization", "Bearer "+token)
	return got
}

// tokenAt asks the token endpoint of a tenant.
func (w *world) tokenAt(tenant string, form url.Values) outcome {
	w.t.Helper()
	return w.tokenBy(w.http, tenant, form)
}

func (w *world) tokenBy(c *http.Client, tenant string, form url.Values) outcome {
	w.t.Helper()
	got, _ := w.sendBy(c, "POST", "https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	return got
}

// raw speaks to the proxy's port byte by byte and reads one answer.
func (w *world) raw(text string) outcome {
	w.t.Helper()
	return exchange(w.dial(), text)
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.at.Proxy, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func exchange(c net.Conn, text string) outcome {
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return outcome{code: "no answer", body: err.Error()}
	}
	if _, err := io.WriteString(c, text); err != nil && text == "" {
		return outcome{code: "no answer", body: err.Error()}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return outcome{code: "no answer", body: err.Error()}
	}
	return read(resp)
}

// inside makes TLS for a host, through CONNECT to one or directly, and speaks HTTP byte by byte in it.
func (w *world) inside(connect, serverName, text string) outcome {
	w.t.Helper()
	c := w.dial()
	if connect != "" {
		if _, err := io.WriteString(c, "CONNECT "+connect+" HTTP/1.1\r\nHost: "+connect+"\r\n\r\n"); err != nil {
			w.t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "CONNECT"})
		if err != nil || resp.StatusCode != 200 {
			w.t.Fatalf("CONNECT %s: %v %v", connect, resp, err)
		}
	}
	secure := tls.Client(c, &tls.Config{ServerName: serverName, RootCAs: w.roots})
	if err := secure.Handshake(); err != nil {
		return outcome{code: "TLS refused", body: err.Error()}
	}
	return exchange(secure, text)
}

const armHost = "management.azure.com"

// path sends a request line to Resource Manager that net/http would never send.
func (w *world) path(method, target, token string) outcome {
	w.t.Helper()
	return w.inside("", armHost, method+" "+target+" HTTP/1.1\r\nHost: "+armHost+"\r\nAuthorization: Bearer "+token+"\r\nContent-Length: 0\r\n\r\n")
}
