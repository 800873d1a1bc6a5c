package wire

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/image/format"
)

var update = flag.Bool("update", false, "write the bodies that the files leave open as …; what is written stays")

const (
	least = 150 // exchanges
	armAt = "https://management.azure.com"
)

// TestWire sends every request of testdata, file by file to one server, and compares the answers with what is written there.
func TestWire(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.http")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files: %v", err)
	}
	w, seen, count, differ := newWorld(t), coverage{}, 0, 0
	for _, path := range paths {
		list, lines, err := readFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(lines, "\n")
		bodies := map[*exchange]string{}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".http"), func(t *testing.T) {
			for _, x := range list {
				count++
				differ += btoi(x.differ != "")
				seen.add(x)
				if !t.Run(x.title, func(t *testing.T) { w.check(t, x, path, text, bodies) }) && x.want.status < 300 && x.method != "GET" {
					t.Logf("%s:%d: what follows may stand on this", path, x.line)
				}
			}
		})
		if *update && len(bodies) > 0 {
			if err := write(path, lines, list, bodies); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d exchanges differ from Azure and say how", differ)
	t.Logf("%d exchanges in %d files", count, len(paths))
	if count < least {
		t.Errorf("%d exchanges, want %d", count, least)
	}
	seen.report(t)
	seen.registered(t, w.asked(t))
}

// check sends a request and compares the answer.
func (w *world) check(t *testing.T, x *exchange, path, file string, bodies map[*exchange]string) {
	got, body := w.send(t, x)
	for deadline := time.Now().Add(3 * time.Minute); x.until && going(got.StatusCode, body); got, body = w.send(t, x) {
		if time.Now().After(deadline) {
			t.Fatalf("%s:%d: the work does not end: %s", path, x.line, body)
		}
		<-time.After(20 * time.Millisecond)
	}
	for name, header := range map[string]string{"async": "Azure-AsyncOperation", "location": "Location", "etag": "ETag", "leaseId": "x-ms-lease-id"} {
		if v := got.Header.Get(header); v != "" && !x.until {
			w.vars[name] = v
		}
	}
	for name, at := range x.keep {
		v := find(body, at)
		if v == "" {
			t.Errorf("%s:%d: the answer has no %s", path, x.line, at)
		}
		w.vars[name] = v
	}
	if got.StatusCode != x.want.status {
		t.Errorf("%s:%d: status %d, want %d", path, x.line, got.StatusCode, x.want.status)
	}
	w.headers(t, x, got, body, file)
	laid := w.plain(pretty(body), file)
	if part, ok := strings.CutPrefix(x.want.body, "~"); ok {
		if miss := lacks(part, laid); miss != "" {
			t.Errorf("%s:%d: %s\n%s", path, x.line, miss, laid)
		}
		return
	}
	want, have := pretty(x.want.body), laid
	if !strings.Contains(x.target, "Microsoft.Compute") { // the reference states the order of members for Compute alone
		want, have = ordered(want), ordered(have)
	}
	switch {
	case x.want.body == unwritten:
		bodies[x] = laid
		t.Errorf("%s:%d: no body is written; the server sends\n%s", path, x.line, laid)
	case want != have:
		t.Errorf("%s:%d: body (- want, + got)\n%s", path, x.line, cmp.Diff(strings.Split(want, "\n"), strings.Split(have, "\n")))
	}
}

// going tells from an answer that the work has not ended: a status body, a resource, or 202 at a place of results.
func going(status int, body string) bool {
	if status == http.StatusAccepted {
		return true
	}
	var v struct {
		Status     string
		Properties struct{ ProvisioningState string }
	}
	_ = json.Unmarshal([]byte(body), &v) // no JSON says nothing
	return slices.Contains([]string{"InProgress", "Accepted", "Running"}, v.Status) ||
		slices.Contains([]string{"Creating", "Updating", "Deleting", "Accepted", "Running"}, v.Properties.ProvisioningState)
}

// send sends the request as it is written, variables replaced.
func (w *world) send(t *testing.T, x *exchange) (*http.Response, string) {
	t.Helper()
	target := w.fill(x.target)
	if strings.HasPrefix(target, "/") {
		target = armAt + target
	}
	req, err := http.NewRequestWithContext(t.Context(), x.method, target, strings.NewReader(w.fill(x.body)))
	if err != nil {
		t.Fatal(err)
	}
	token, ok := w.tokens[x.as]
	if !ok {
		t.Fatalf("line %d: nobody is called %s", x.line, x.as)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if x.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range x.header {
		req.Header.Set(h.name, w.fill(h.value))
	}
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

// fill puts the values of variables into a text; {zeros} is a sector of them, {footer} that of a VHD of 1 MiB.
func (w *world) fill(text string) string {
	for name, value := range w.vars {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	footer := format.VHDFooter(1 << 20)
	return strings.NewReplacer("{zeros}", strings.Repeat("\x00", 512), "{footer}", string(footer[:])).Replace(text)
}

// strict headers are there if and only if a file says so.
var strict = []string{"Azure-AsyncOperation", "Location", "Retry-After", "WWW-Authenticate", "x-ms-error-code"}

// always is on every answer of Resource Manager (real-azure-behaviour.md 1).
var always = []pair{{"Cache-Control", "no-cache"}, {"Pragma", "no-cache"}, {"Expires", "-1"}, {"X-Content-Type-Options", "nosniff"},
	{"Strict-Transport-Security", "max-age=31536000; includeSubDomains"}, {"x-ms-request-id", "{guid}"}, {"x-ms-correlation-request-id", "{guid}"}}

// headers compares those that matter.
func (w *world) headers(t *testing.T, x *exchange, got *http.Response, body, file string) {
	t.Helper()
	want := map[string]string{}
	for _, name := range strict {
		want[name] = ""
	}
	if strings.HasPrefix(got.Request.URL.Host, "management.") {
		for _, h := range always {
			want[h.name] = h.value
		}
		want["Content-Type"] = ""
		if body != "" {
			want["Content-Type"] = "application/json; charset=utf-8"
		}
	}
	if strings.HasPrefix(got.Header.Get("Content-Type"), "application/xml") && body != "" && !strings.HasPrefix(body, "\ufeff") { // section 4, Blob service
		t.Errorf("line %d: an XML body without a byte order mark", x.line)
	}
	for _, h := range x.want.header {
		for name := range want {
			if strings.EqualFold(name, h.name) {
				delete(want, name)
			}
		}
		want[h.name] = h.value
	}
	for name, value := range want {
		have := got.Header.Get(name)
		if value == "present" && have != "" {
			continue
		}
		if have = w.plain(have, file); have != value {
			t.Errorf("line %d: header %s is %q, want %q", x.line, name, have, value)
		}
	}
}

// find answers the text at a path of a JSON body, "properties.id" or "keys.0.value".
func find(body, path string) string {
	var v any
	if json.Unmarshal([]byte(body), &v) != nil {
		return ""
	}
	for _, name := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				return ""
			}
			v = in[i]
		}
	}
	s, _ := v.(string)
	return s
}

// left writes a report for whoever looks after the test.
func left(t *testing.T, name, text string) {
	t.Helper()
	dir := filepath.Join("..", "..", "build")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
