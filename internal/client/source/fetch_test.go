package source

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"vitrine/internal/image/format/convert"
)

// site is an https server under the name example.com that can cut its answers short.
type site struct {
	t       *testing.T
	srv     *httptest.Server
	content []byte
	tag     string
	cut     int // bytes after which an answer is cut; 0: never
	handler http.HandlerFunc

	mu     sync.Mutex
	ranges []string
}

func newSite(t *testing.T, content []byte) *site {
	t.Helper()
	s := &site{t: t, content: content, tag: `"one"`}
	s.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		cut, handler := s.cut, s.handler
		s.mu.Unlock()
		if handler != nil {
			handler(w, r)
			return
		}
		if s.tag != "" {
			w.Header().Set("ETag", s.tag)
		}
		if cut > 0 {
			w = &short{w, cut}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
	}))
	t.Cleanup(s.srv.Close)
	return s
}

// short ends the connection after some bytes.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left < 0 {
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return s.ResponseWriter.Write(p)
}

// config downloads from the site under a name; every name is at the public address, but for those in at.
func (s *site) config(address string, at map[string]string) Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.srv.Certificate())
	return Config{Name: address, Cache: s.t.TempDir(), Fetch: Fetch{Roots: roots, Pause: time.Millisecond, Stall: 5 * time.Second,
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			a := "8.8.8.8"
			if to, ok := at[host]; ok {
				a = to
			}
			return []netip.Addr{netip.MustParseAddr(a)}, nil
		},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.srv.Listener.Addr().String())
		}}}
}

func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ranges
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}

// A connection that breaks again and again does not end a download, as long as each brings something.
func TestDownloadGoesOn(t *testing.T) {
	s := newSite(t, noise(5<<20))
	s.cut = 600 << 10
	cfg := s.config("https://example.com/disk.raw", nil)
	got, _, err := disk(t.Context(), cfg)
	if err != nil || !bytes.Equal(got, s.content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if asked := s.asked(); len(asked) < 8 || asked[0] != "" || !strings.HasPrefix(asked[1], "bytes=") {
		t.Errorf("asked for %q", asked)
	}
}

// What an earlier run fetched is not fetched again, unless the content changed meanwhile.
func TestDownloadResumes(t *testing.T) {
	for name, test := range map[string]struct {
		tag   string
		want  string // range of the second run
		other bool
	}{"the same": {`"one"`, "bytes=", false}, "changed": {`"one"`, "bytes=", true}, "weak": {`W/"one"`, "", false}, "no tag": {"", "", false}} {
		s := newSite(t, noise(4<<20))
		s.tag = test.tag
		cfg := s.config("https://example.com/disk.raw", nil)
		cfg.Report = &quiet{}
		ctx, cancel := context.WithCancel(t.Context())
		s.handler = func(w http.ResponseWriter, r *http.Request) {
			if len(s.asked()) > 1 { // the run ends as soon as it was cut once
				cancel()
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("ETag", s.tag)
			http.ServeContent(&short{w, 3 << 20}, r, "", time.Time{}, bytes.NewReader(s.content))
		}
		if _, err := Open(ctx, cfg); err == nil {
			t.Errorf("%s: the first run was not cut", name)
		}
		cancel()
		s.mu.Lock()
		s.handler, s.ranges = nil, nil
		if test.other {
			s.content, s.tag = append(noise(1<<20), noise(1<<20)...), `"two"`
		}
		s.mu.Unlock()
		got, _, err := disk(t.Context(), cfg)
		if err != nil || !bytes.Equal(got, s.content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if asked := s.asked(); !strings.HasPrefix(asked[0], test.want) || test.want == "" && asked[0] != "" {
			t.Errorf("%s: asked for %q", name, asked)
		}
	}
}

// A whole download is not asked for again, and Done and every refusal remove it.
func TestDownloadKept(t *testing.T) {
	s := newSite(t, noise(1<<20))
	cfg := s.config("https://example.com/disk.raw?secret=x", nil)
	cfg.Report = &quiet{}
	for range 2 {
		src, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if src.Title() != "https://example.com/disk.raw" {
			t.Errorf("title %q", src.Title())
		}
		src.Close()
	}
	if n := len(s.asked()); n != 1 {
		t.Errorf("%d requests", n)
	}
	src, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	src.Done()
	src.Close()
	empty(t, cfg.Cache)
	cfg.SHA256 = strings.Repeat("0", 64)
	if _, err := Open(t.Context(), cfg); err == nil {
		t.Error("another digest was taken")
	}
	empty(t, cfg.Cache)
	s.content, cfg.SHA256 = append([]byte("LUKS\xba\xbe"), make([]byte, 1<<20)...), ""
	if _, _, err := disk(t.Context(), cfg); err == nil {
		t.Error("what is no disk was taken")
	}
	empty(t, cfg.Cache)
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// Where a download must not come from, or lead to; nothing is kept of it.
func TestDownloadRefused(t *testing.T) {
	s := newSite(t, noise(1<<20))
	lead := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "example.com" && r.URL.Path == "/disk" {
				http.Redirect(w, r, to, http.StatusFound)
				return
			}
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		}
	}
	answers := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	at := map[string]string{"inside.example.com": "10.0.0.1", "meta.example.com": "169.254.169.254", "wire.example.com": "168.63.129.16", "other.example.com": "1.1.1.1"}
	for name, test := range map[string]struct {
		address string
		handler http.HandlerFunc
		want    string
	}{
		"http":                  {"http://example.com/disk", nil, "only https is taken"},
		"file":                  {"file:///etc/passwd", nil, "only https is taken"},
		"user":                  {"https://u:geheim@example.com/disk", nil, "it holds a user name"},
		"no host":               {"https:///disk", nil, "it names no host"},
		"unreadable":            {"https://exa mple.com/%zz", nil, "it cannot be read"},
		"metadata":              {"https://meta.example.com/disk", nil, "an address of a link or of a metadata service"},
		"wire server":           {"https://wire.example.com/disk", nil, "an address of a link or of a metadata service"},
		"metadata, an address":  {"https://169.254.169.254/disk", nil, "an address of a link or of a metadata service"},
		"mapped":                {"https://[::ffff:169.254.169.254]/disk", nil, "an address of a link or of a metadata service"},
		"nowhere":               {"https://0.0.0.0/disk", nil, "an address of a link or of a metadata service"},
		"leads to http":         {"https://example.com/disk", lead("http://example.com/other"), "only https is taken"},
		"leads to a file":       {"https://example.com/disk", lead("file:///etc/passwd"), "only https is taken"},
		"leads inside":          {"https://example.com/disk", lead("https://inside.example.com/other"), "it leads to inside.example.com at 10.0.0.1, which is not a public address"},
		"leads to loopback":     {"https://example.com/disk", lead("https://127.0.0.1/other"), "which is not a public address"},
		"leads to metadata":     {"https://example.com/disk", lead("https://meta.example.com/x"), "an address of a link or of a metadata service"},
		"leads in a circle":     {"https://example.com/disk", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/disk", http.StatusFound) }, "leads on more than 5 times"},
		"leads to a login":      {"https://example.com/disk", lead("https://u:p@example.com/other"), "it holds a user name"},
		"not there":             {"https://example.com/disk", answers(404), "the server answers 404 Not Found"},
		"forbidden":             {"https://example.com/disk", answers(403), "the server answers 403 Forbidden"},
		"down":                  {"https://example.com/disk", answers(503), "503 Service Unavailable; what came is kept"},
		"packed on the way":     {"https://example.com/disk", answers(200, "Content-Encoding", "gzip"), "the server packs what it sends"},
		"says that it is large": {"https://example.com/disk", answers(200, "Content-Length", "99999999999"), "it has 99999999999 bytes; at most"},
		"is large": {"https://example.com/disk", func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, "more than 8388608 bytes come"},
		"another range": {"https://example.com/disk", answers(206, "Content-Range", "bytes 5-9/10"), "another range"},
	} {
		s.mu.Lock()
		s.handler = test.handler
		s.mu.Unlock()
		cfg := s.config(test.address, at)
		cfg.Limits = convert.Limits{Size: 8 << 20}
		_, _, err := disk(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if name != "down" && name != "another range" {
			empty(t, cfg.Cache)
		}
	}
}

// To the own network the user may go by name, and to another public host be led.
func TestDownloadAllowed(t *testing.T) {
	s := newSite(t, noise(1<<20))
	for name, test := range map[string]struct{ address, to string }{
		"inside, named":       {"https://inside.example.com/disk", ""},
		"inside, led on":      {"https://inside.example.com/disk", "https://inside.example.com/other"},
		"loopback":            {"https://127.0.0.1/disk", ""},
		"another public host": {"https://example.com/disk", "https://other.example.com/other"},
	} {
		s.mu.Lock()
		s.handler = func(w http.ResponseWriter, r *http.Request) {
			if test.to != "" && r.URL.Path == "/disk" {
				http.Redirect(w, r, test.to, http.StatusFound)
				return
			}
			_, _ = w.Write(s.content)
		}
		s.mu.Unlock()
		got, _, err := disk(t.Context(), s.config(test.address, map[string]string{"inside.example.com": "192.168.1.1"}))
		if err != nil || !bytes.Equal(got, s.content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	cfg := s.config("https://example.com/disk", nil)
	cfg.Fetch.Roots = x509.NewCertPool()
	if _, _, err := disk(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

// A connection on which nothing comes any more is given up, and gone on with.
func TestDownloadStalls(t *testing.T) {
	s := newSite(t, noise(1<<20))
	first := true
	s.handler = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		if first {
			first = false
			w.Header().Set("Content-Length", "1048576")
			_, _ = w.Write(s.content[:500_000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
	}
	cfg := s.config("https://example.com/disk", nil)
	cfg.Fetch.Stall = 300 * time.Millisecond
	got, _, err := disk(t.Context(), cfg)
	if err != nil || !bytes.Equal(got, s.content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Two at once do not write one file.
func TestDownloadAlone(t *testing.T) {
	s := newSite(t, noise(1<<20))
	cfg := s.config("https://example.com/disk", nil)
	cfg.Report = &quiet{}
	src, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another import") {
		t.Errorf("the second: %v", err)
	}
	if errors.Is(err, ErrAddress) {
		t.Error("for another reason")
	}
}
