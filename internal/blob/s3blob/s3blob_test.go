package s3blob

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"vitrine/internal/blob"
	"vitrine/internal/blob/blobtest"
)

// credentialsFile writes a pair as its owner keeps it.
func credentialsFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	text := "# ours\n[other]\naws_access_key_id = no\n[default]\naws_access_key_id = id\naws_secret_access_key = hush=hush\nregion = x\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve dials a server that handler is.
func serve(t *testing.T, handler http.Handler) *Server {
	t.Helper()
	h := httptest.NewServer(handler)
	t.Cleanup(h.Close)
	s, err := Dial(t.Context(), Config{Endpoint: strings.TrimPrefix(h.URL, "http://"), Bucket: "bucket", Prefix: "some/where", Region: DefaultRegion,
		Plain: true, Credentials: credentialsFile(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fake(t *testing.T) http.Handler {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	return gofakes3.New(backend).Server()
}

func TestContract(t *testing.T) {
	server, n := serve(t, fake(t)), 0
	blobtest.Run(t, func(*testing.T) *blob.Bucket {
		n++
		return server.Bucket(fmt.Sprintf("b%d", n))
	})
}

// Buckets below different names, and what others put beside them, do not show in each other.
func TestPrefixes(t *testing.T) {
	server := serve(t, fake(t))
	a, b := server.Bucket("a"), server.Bucket("ab")
	for _, bucket := range []*blob.Bucket{a, b} {
		if _, err := bucket.Put(t.Context(), "k", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if list, err := b.List(t.Context(), "", "", 10); err != nil || len(list) != 1 || list[0].Key != "k" {
		t.Errorf("b has %v, %v", list, err)
	}
	if list, err := server.Bucket("").List(t.Context(), "", "", 10); err != nil || len(list) != 1 || list[0].Key != "ab/k" {
		t.Errorf("the root has %v, %v", list, err)
	}
	if list, err := a.List(t.Context(), "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("a has %v, %v", list, err)
	}
}

// More than one page of S3's, and a batch that is flushed on its way.
func TestManyObjects(t *testing.T) {
	b := serve(t, fake(t)).Bucket("many")
	batch, err := b.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	big := make([]byte, gathered/4)
	for i := range 1100 {
		data := []byte{byte(i)}
		if i%200 == 0 {
			data = big
		}
		if err := batch.Put(t.Context(), fmt.Sprintf("k/%04d", i), data); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := b.List(t.Context(), "k/", "", 1); err != nil || len(list) != 1 {
		t.Errorf("nothing was put before Commit: %v, %v", list, err)
	}
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ after, limit, want int }{{-1, 10_000, 1100}, {-1, 1050, 1050}, {999, 10_000, 100}, {1099, 5, 0}} {
		after := ""
		if c.after >= 0 {
			after = fmt.Sprintf("k/%04d", c.after)
		}
		list, err := b.List(t.Context(), "k/", after, c.limit)
		if err != nil || len(list) != c.want {
			t.Errorf("after %q: %d objects, %v, want %d", after, len(list), err, c.want)
		}
	}
}

// answer is what a faulty server says to a request for an object.
func answer(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}

// faulty serves as the fake does except where f has answered.
func faulty(t *testing.T, f func(http.ResponseWriter, *http.Request) bool) *blob.Bucket {
	t.Helper()
	sound := fake(t)
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path+r.URL.Query().Get("prefix"), "some/where/") || !f(w, r) {
			sound.ServeHTTP(w, r)
		}
	})).Bucket("x")
}

func TestMeaning(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		code    string
		want    error
		created bool
	}{
		"exists":        {412, "PreconditionFailed", nil, false},
		"exists, words": {400, "Odd", nil, false},
		"quota":         {403, "QuotaExceeded", blob.ErrFull, false},
		"507":           {507, "Whatever", blob.ErrFull, false},
		"minio":         {507, "XMinioStorageFull", blob.ErrFull, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := faulty(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					answer(w, c.status, c.code, "The object already exists"[:len("The object already exists")*boolInt(c.code == "Odd")])
				}
				return r.Method == http.MethodPut
			})
			if created, err := b.Put(t.Context(), "k", []byte("1")); created != c.created || !errors.Is(err, c.want) {
				t.Errorf("Put = %v, %v, want %v", created, err, c.want)
			}
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A server without conditional puts is asked before, and works.
func TestUnconditional(t *testing.T) {
	b := faulty(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") == "" {
			return false
		}
		answer(w, http.StatusNotImplemented, "NotImplemented", "no")
		return true
	})
	for i, want := range []bool{true, false} {
		if created, err := b.Put(t.Context(), "k", []byte{byte(i)}); err != nil || created != want {
			t.Fatalf("put %d = %v, %v", i, created, err)
		}
	}
	if got, err := b.Get(t.Context(), "k"); err != nil || got[0] != 0 {
		t.Errorf("Get = %v, %v", got, err)
	}
}

// A missing bucket must not look like missing objects: a collection would believe it.
func TestBucketGone(t *testing.T) {
	b := faulty(t, func(w http.ResponseWriter, r *http.Request) bool {
		answer(w, http.StatusNotFound, "NoSuchBucket", "gone")
		return true
	})
	if _, err := b.Get(t.Context(), "k"); err == nil || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	if _, err := b.List(t.Context(), "", "", 1); err == nil || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("List = %v", err)
	}
	if err := b.Delete(t.Context(), "k"); err == nil {
		t.Error("Delete succeeded")
	}
}

// A server that falters is asked again, so often and no more.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		failures int32
		ok       bool
	}{"twice": {2, true}, "always": {1000, false}} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			b := faulty(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut && asked.Add(1) <= c.failures {
					answer(w, http.StatusServiceUnavailable, "SlowDown", "later")
					return true
				}
				return false
			})
			_, err := b.Put(t.Context(), "k", []byte("1"))
			if (err == nil) != c.ok {
				t.Errorf("Put = %v", err)
			}
			if n := asked.Load(); n != min(c.failures+1, tries) {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// An answer that breaks off in its middle is asked for again; a short one is never taken for the object.
func TestBrokenAnswers(t *testing.T) {
	var breaks atomic.Int32
	b := faulty(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || breaks.Add(-1) < 0 {
			return false
		}
		w.Header().Set("Content-Length", "10")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		fmt.Fprint(w, "0123")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})
	if _, err := b.Put(t.Context(), "k", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	breaks.Store(bodyTries - 1)
	if got, err := b.Get(t.Context(), "k"); err != nil || string(got) != "0123456789" {
		t.Errorf("Get = %q, %v", got, err)
	}
	breaks.Store(bodyTries)
	if got, err := b.Get(t.Context(), "k"); err == nil {
		t.Errorf("Get = %q", got)
	}
}

// A server that lists in another order would make a walk miss objects.
func TestUnordered(t *testing.T) {
	b := faulty(t, func(http.ResponseWriter, *http.Request) bool { return false })
	odd := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") == "" {
			return
		}
		fmt.Fprint(w, `<ListBucketResult><Name>bucket</Name>`)
		for _, k := range []string{"b", "a"} {
			fmt.Fprintf(w, `<Contents><Key>some/where/x/%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>`, k)
		}
		fmt.Fprint(w, `</ListBucketResult>`)
	})).Bucket("x")
	if _, err := odd.List(t.Context(), "", "", 10); err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("List = %v", err)
	}
	if _, err := b.List(t.Context(), "", "", 10); err != nil {
		t.Errorf("List = %v", err)
	}
}

func TestGivesUpWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := faulty(t, func(w http.ResponseWriter, r *http.Request) bool {
		cancel()
		answer(w, http.StatusServiceUnavailable, "SlowDown", "later")
		return true
	})
	if _, err := b.Put(ctx, "k", []byte("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v", err)
	}
}

func TestDial(t *testing.T) {
	h := httptest.NewServer(fake(t))
	defer h.Close()
	good := Config{Endpoint: strings.TrimPrefix(h.URL, "http://"), Bucket: "bucket", Region: DefaultRegion, Plain: true, Credentials: credentialsFile(t)}
	open := credentialsFile(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no bucket":      {func(c *Config) { c.Bucket = "other" }, "no bucket other"},
		"no credentials": {func(c *Config) { c.Credentials = "" }, "no credentials"},
		"no profile":     {func(c *Config) { c.Profile = "nobody" }, "[nobody]"},
		"half a pair":    {func(c *Config) { c.Profile = "other" }, "[other]"},
		"others read":    {func(c *Config) { c.Credentials = open }, "others may read"},
		"no file":        {func(c *Config) { c.Credentials += "x" }, "no such file"},
		"no authorities": {func(c *Config) { c.Plain, c.CAFile = false, c.Credentials }, "no certificate"},
		"not TLS":        {func(c *Config) { c.Plain = false }, "HTTPS client"},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			c.change(&config)
			_, err := Dial(t.Context(), config)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("Dial = %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Dial(t.Context(), good); err != nil {
		t.Error(err)
	}
}

// TLS with an authority of the operator's own, and no other.
func TestAuthority(t *testing.T) {
	h := httptest.NewTLSServer(fake(t))
	defer h.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "s3://bucket/tls?endpoint=" + strings.TrimPrefix(h.URL, "https://") + "&credentials=" + credentialsFile(t)
	strange, err := Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), strange); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	known, err := Parse(address + "&ca=" + ca)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Dial(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "x", strings.Repeat("y", 1<<20)} {
		key := fmt.Sprintf("k%d", len(data))
		if _, err := s.Bucket("").Put(t.Context(), key, []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Bucket("").Get(t.Context(), key); err != nil || string(got) != data {
			t.Errorf("Get(%s) = %d bytes, %v", key, len(got), err)
		}
	}
}

func TestParse(t *testing.T) {
	for address, want := range map[string]Config{
		"s3://images":                       {Endpoint: "s3.us-east-1.amazonaws.com", Bucket: "images", Region: "us-east-1", Virtual: true},
		"s3://images/a/b/?region=eu-west-1": {Endpoint: "s3.eu-west-1.amazonaws.com", Bucket: "images", Prefix: "a/b", Region: "eu-west-1", Virtual: true},
		"s3://images?endpoint=store.lan:9000&ca=/ca.pem&credentials=/c&profile=p": {Endpoint: "store.lan:9000", Bucket: "images", Region: "us-east-1", CAFile: "/ca.pem", Credentials: "/c", Profile: "p"},
		"s3://images?endpoint=http://127.0.0.1:9000":                              {Endpoint: "127.0.0.1:9000", Bucket: "images", Region: "us-east-1", Plain: true},
		"s3://images?endpoint=http://store.lan&insecure=true&lookup=virtual":      {Endpoint: "store.lan", Bucket: "images", Region: "us-east-1", Plain: true, Virtual: true},
	} {
		if got, err := Parse(address); err != nil || got != want {
			t.Errorf("Parse(%s) = %+v, %v, want %+v", address, got, err, want)
		}
	}
	for address, want := range map[string]string{
		"":                                          "s3://",
		"file:///x":                                 "s3://",
		"s3:images":                                 "s3://",
		"s3://":                                     "bucket",
		"s3://UPPER":                                "bucket",
		"s3://id:hush@images":                       "credentials",
		"s3://images/../x":                          "prefix",
		"s3://images/A":                             "prefix",
		"s3://images?endpoint=http://store":         "TLS",
		"s3://images?endpoint=ftp://store":          "scheme",
		"s3://images?endpoint=https://a/b":          "HOST",
		"s3://images?endpoint=https://u:p@a":        "HOST",
		"s3://images?secret=hush":                   "not known",
		"s3://images?region=a&region=b":             "2 times",
		"s3://images?lookup=x":                      "lookup",
		"s3://images?insecure=yes":                  "insecure",
		"s3://images?endpoint=http://[::1]:9&ca=/x": "ca=",
		"s3://images?a=%zz":                         "key=value",
	} {
		if _, err := Parse(address); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("Parse(%s) = %v, want %q", address, err, want)
		}
	}
}
