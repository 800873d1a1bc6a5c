package dataplane

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/blob/memblob"
	"vitrine/internal/client/pages"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/image/sas"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
	"vitrine/internal/web"
)

const size = 6 << 20

// world is a door over an image store, with one grant for writing and one for reading.
type world struct {
	images *image.Store
	srv    *httptest.Server
	http   *http.Client
	write  string // signed URLs
	read   string
	mu     sync.Mutex
	grants map[string]Grant
	now    atomic.Pointer[time.Time]
	cut    atomic.Int64 // after so many requests the network fails; negative: never
}

func (w *world) Grant(_ context.Context, host, path string) (Grant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g, ok := w.grants[host+path]
	if !ok {
		return Grant{}, ErrNoGrant
	}
	return g, nil
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if left := w.cut.Add(-1); left < 0 && left > -1000 {
		return nil, errors.New("the network is cut")
	}
	return w.srv.Client().Transport.RoundTrip(r)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b := memblob.New()
	images, err := image.New(image.Config{Dir: t.TempDir(), Store: store.New(memstore.Open()),
		Buckets: func(string) (*blob.Bucket, error) { return b, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { images.Close() })
	w := &world{images: images, grants: map[string]Grant{}}
	w.cut.Store(-1 << 40)
	start := time.Now()
	w.now.Store(&start)
	if err := images.CreateUpload("up", size+format.FooterSize); err != nil {
		t.Fatal(err)
	}
	w.write = w.grant(Grant{ID: "g-1", Write: true, Open: func(context.Context) (Content, error) { return images.OpenUpload("up") }})
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	w.srv = httptest.NewTLSServer(web.Serve(web.Config{Log: log}, New(w, func() time.Time { return *w.now.Load() })))
	t.Cleanup(w.srv.Close)
	tr := w.srv.Client().Transport.(*http.Transport)
	tr.TLSClientConfig.InsecureSkipVerify = true // the test server's certificate is for example.com
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.srv.Listener.Addr().String())
	}
	w.http = &http.Client{Transport: w}
	return w
}

func (w *world) grant(g Grant) string {
	u := sas.New("z1.blob.storage.azure.net", g.ID)
	g.Key, g.Expires = sas.NewKey(), time.Now().Add(time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.grants[u.Host+u.Path] = g
	return u.Sign(g.Key)
}

type call struct {
	method, url string
	body        []byte
	header      []string // name, value, …
}

func (w *world) do(t *testing.T, c call) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, bytes.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(c.header); i += 2 {
		req.Header.Set(c.header[i], c.header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	page := w.write + "&comp=page"
	kb := make([]byte, 1024)
	readOnly := w.grant(Grant{ID: "g-2", Open: func(context.Context) (Content, error) { return w.images.OpenUpload("up") }})
	gone := w.grant(Grant{ID: "g-3", Open: func(context.Context) (Content, error) { return w.images.OpenUpload("none") }})
	update := func(rng string, more ...string) []string {
		return append([]string{"x-ms-page-write", "update", "x-ms-range", rng}, more...)
	}
	for name, c := range map[string]struct {
		call
		status int
		code   string
	}{
		"no signature":     {call{"GET", strings.Split(w.write, "?")[0], nil, nil}, 403, "AuthenticationFailed"},
		"signature":        {call{"GET", w.write[:len(w.write)-8] + "AAAAA%3D", nil, nil}, 403, "AuthenticationFailed"},
		"another path":     {call{"GET", strings.Replace(w.write, "/abcd", "/abce", 1), nil, nil}, 403, "AuthenticationFailed"},
		"read only":        {call{"PUT", readOnly + "&comp=page", kb, update("bytes=0-1023")}, 403, "AuthorizationPermissionMismatch"},
		"gone":             {call{"GET", gone, nil, nil}, 404, "BlobNotFound"},
		"verb":             {call{"DELETE", w.write, nil, nil}, 405, "UnsupportedHttpVerb"},
		"comp":             {call{"PUT", w.write + "&comp=block", nil, nil}, 400, "UnsupportedQueryParameter"},
		"snapshot":         {call{"GET", w.write + "&snapshot=x", nil, nil}, 400, "UnsupportedQueryParameter"},
		"no page-write":    {call{"PUT", page, kb, []string{"x-ms-range", "bytes=0-1023"}}, 400, "MissingRequiredHeader"},
		"no range":         {call{"PUT", page, kb, []string{"x-ms-page-write", "update"}}, 400, "MissingRequiredHeader"},
		"page-write":       {call{"PUT", page, kb, []string{"x-ms-page-write", "x", "x-ms-range", "bytes=0-1023"}}, 400, "InvalidHeaderValue"},
		"unaligned":        {call{"PUT", page, kb, update("bytes=1-1024")}, 416, "InvalidPageRange"},
		"beyond":           {call{"PUT", page, kb, update(fmt.Sprintf("bytes=%d-%d", size, size+1023))}, 416, "InvalidPageRange"},
		"far beyond":       {call{"PUT", page, kb, update("bytes=9223372036854774784-9223372036854775807")}, 416, "InvalidPageRange"},
		"backwards":        {call{"PUT", page, kb, update("bytes=1024-511")}, 400, "InvalidHeaderValue"},
		"open range":       {call{"PUT", page, kb, update("bytes=0-")}, 400, "InvalidHeaderValue"},
		"length":           {call{"PUT", page, kb, update("bytes=0-511")}, 400, "InvalidHeaderValue"},
		"too much":         {call{"PUT", page, kb, update("bytes=0-4194815")}, 413, "RequestBodyTooLarge"},
		"md5":              {call{"PUT", page, kb, update("bytes=0-1023", "Content-MD5", base64.StdEncoding.EncodeToString(make([]byte, 16)))}, 400, "Md5Mismatch"},
		"no md5":           {call{"PUT", page, kb, update("bytes=0-1023", "Content-MD5", "x")}, 400, "InvalidMd5"},
		"crc64":            {call{"PUT", page, kb, update("bytes=0-1023", "x-ms-content-crc64", "AAAA")}, 400, "UnsupportedHeader"},
		"if-match":         {call{"PUT", page, kb, update("bytes=0-1023", "If-Match", `"0x1"`)}, 412, "ConditionNotMet"},
		"clear with body":  {call{"PUT", page, kb, []string{"x-ms-page-write", "clear", "x-ms-range", "bytes=0-1023"}}, 400, "InvalidHeaderValue"},
		"blob, no type":    {call{"PUT", w.write, nil, nil}, 400, "MissingRequiredHeader"},
		"blob, block":      {call{"PUT", w.write, nil, []string{"x-ms-blob-type", "BlockBlob"}}, 409, "InvalidBlobType"},
		"blob, no length":  {call{"PUT", w.write, nil, []string{"x-ms-blob-type", "PageBlob"}}, 400, "MissingRequiredHeader"},
		"blob, length":     {call{"PUT", w.write, nil, []string{"x-ms-blob-type", "PageBlob", "x-ms-blob-content-length", "1024"}}, 400, "OutOfRangeInput"},
		"blob, odd length": {call{"PUT", w.write, nil, []string{"x-ms-blob-type", "PageBlob", "x-ms-blob-content-length", "5"}}, 400, "InvalidHeaderValue"},
		"blob, exists": {call{"PUT", w.write, nil, []string{"x-ms-blob-type", "PageBlob", "x-ms-blob-content-length", fmt.Sprint(size + 512),
			"If-None-Match", "*"}}, 409, "BlobAlreadyExists"},
		"range":      {call{"GET", w.write, nil, []string{"x-ms-range", fmt.Sprintf("bytes=%d-", size+512)}}, 416, "InvalidRange"},
		"bad range":  {call{"GET", w.write, nil, []string{"Range", "lines=1-2"}}, 400, "InvalidHeaderValue"},
		"bad marker": {call{"GET", w.write + "&comp=pagelist&marker=x", nil, nil}, 400, "OutOfRangeQueryParameterValue"},
		"head":       {call{"HEAD", strings.Replace(w.write, "si=", "si=x", 1), nil, nil}, 403, "AuthenticationFailed"},
	} {
		res, body := w.do(t, c.call)
		if res.StatusCode != c.status || res.Header.Get("x-ms-error-code") != c.code {
			t.Errorf("%s: %d %s %s, want %d %s", name, res.StatusCode, res.Header.Get("x-ms-error-code"), body, c.status, c.code)
		}
		start := "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><Error><Code>` + c.code + `</Code><Message>`
		if c.method != "HEAD" && (!strings.HasPrefix(body, start) || !strings.Contains(body, "RequestId:"+res.Header.Get("x-ms-request-id"))) {
			t.Errorf("%s: body %q", name, body)
		}
	}
	later := time.Now().Add(2 * time.Hour)
	w.now.Store(&later)
	if res, body := w.do(t, call{"GET", w.write, nil, nil}); res.StatusCode != 403 || !strings.Contains(body, "Signed expiry") {
		t.Errorf("expired: %d %s", res.StatusCode, body)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("vitrine!"), 128)
	sum := md5.Sum(data)
	sent := base64.StdEncoding.EncodeToString(sum[:])
	res, body := w.do(t, call{"PUT", w.write + "&comp=page", data, []string{"x-ms-page-write", "update", "x-ms-range", "bytes=512-1535", "Content-MD5", sent}})
	if res.StatusCode != 201 || res.Header.Get("Content-MD5") != sent || !strings.HasPrefix(res.Header.Get("ETag"), `"0x8D`) {
		t.Fatalf("Put Page: %d %v %s", res.StatusCode, res.Header, body)
	}
	tag := res.Header.Get("ETag")
	res, body = w.do(t, call{"GET", w.write, nil, []string{"Range", "bytes=0-99", "x-ms-range", "bytes=510-515", "x-ms-range-get-content-md5", "true", "If-Match", tag}})
	if res.StatusCode != 206 || body != "\x00\x00vitr" || res.Header.Get("Content-Range") != fmt.Sprintf("bytes 510-515/%d", size+512) || res.Header.Get("Content-MD5") == "" {
		t.Errorf("ranged Get: %d %q %v", res.StatusCode, body, res.Header)
	}
	res, body = w.do(t, call{"GET", w.write + "&comp=pagelist", nil, nil})
	want := "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><PageList><PageRange><Start>512</Start><End>1535</End></PageRange></PageList>`
	if res.StatusCode != 200 || body != want || res.Header.Get("x-ms-blob-content-length") != fmt.Sprint(size+512) {
		t.Errorf("page list: %d %s", res.StatusCode, body)
	}
	res, _ = w.do(t, call{"HEAD", w.write, nil, nil})
	if res.StatusCode != 200 || res.ContentLength != size+512 || res.Header.Get("x-ms-blob-type") != "PageBlob" {
		t.Errorf("Head: %d %v", res.StatusCode, res.Header)
	}
	if res, _ = w.do(t, call{"GET", w.write, nil, []string{"If-None-Match", tag}}); res.StatusCode != 304 {
		t.Errorf("If-None-Match: %d", res.StatusCode)
	}
	if res, body = w.do(t, call{"GET", w.write, nil, nil}); res.StatusCode != 200 || len(body) != size+512 {
		t.Errorf("whole Get: %d, %d bytes", res.StatusCode, len(body))
	}
	res, _ = w.do(t, call{"PUT", w.write + "&comp=page", nil, []string{"x-ms-page-write", "clear", "x-ms-range", "bytes=512-1023"}})
	if _, body = w.do(t, call{"GET", w.write + "&comp=pagelist", nil, nil}); res.StatusCode != 201 || !strings.Contains(body, "<Start>1024</Start>") {
		t.Errorf("clear: %d %s", res.StatusCode, body)
	}
	res, _ = w.do(t, call{"PUT", w.write, nil, []string{"x-ms-blob-type", "PageBlob", "x-ms-blob-content-length", fmt.Sprint(size + 512)}})
	if _, body = w.do(t, call{"GET", w.write + "&comp=pagelist", nil, nil}); res.StatusCode != 201 || strings.Contains(body, "<Start>") {
		t.Errorf("Put Blob: %d %s", res.StatusCode, body)
	}
}

func testDisk() []byte {
	d := make([]byte, size)
	for i := range d {
		if i/300_000%2 == 0 {
			d[i] = byte(i*i>>9 + i)
		}
	}
	return d
}

func TestUploadAndDownload(t *testing.T) {
	w := newWorld(t)
	d := testDisk()
	up := pages.Blob{URL: w.write, HTTP: w.http, Source: "file-1"}
	w.cut.Store(3) // page list, mark, one window: then the network is gone
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	err := up.UploadVHD(ctx, bytes.NewReader(d), size)
	cancel()
	if err == nil {
		t.Fatal("the upload survived the cut")
	}
	if strings.Contains(err.Error(), "sig=") {
		t.Errorf("the error shows the signature: %v", err)
	}
	if _, err := w.images.FinishUpload(t.Context(), "up", "eastus", "dom"); err == nil {
		t.Fatal("half an upload was taken for a disk")
	}
	w.cut.Store(-1 << 40)
	var last int64
	up.Progress = func(done, total int64) { last = total - done }
	if err := up.UploadVHD(t.Context(), bytes.NewReader(d), size); err != nil || last != 0 {
		t.Fatalf("resumed: %v, %d left", err, last)
	}
	ref, err := w.images.FinishUpload(t.Context(), "up", "eastus", "dom")
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.images.Open(t.Context(), "eastus", ref)
	if err != nil {
		t.Fatal(err)
	}
	w.read = w.grant(Grant{ID: "g-9", LastModified: time.Now(), Open: func(context.Context) (Content, error) { return r.VHD(), nil }})
	res, body := w.do(t, call{"GET", w.read, nil, nil})
	footer := format.VHDFooter(size)
	if res.StatusCode != 200 || body != string(d)+string(footer[:]) {
		t.Errorf("download: %d, %d bytes", res.StatusCode, len(body))
	}
	// Another source over what is there: nothing of the old one may stay.
	if err := w.images.CreateUpload("up", size+format.FooterSize); err != nil { // opens it for writing again
		t.Fatal(err)
	}
	other := make([]byte, size)
	other[0] = 7
	up.Source = "file-2"
	if err := up.UploadVHD(t.Context(), bytes.NewReader(other), size); err != nil {
		t.Fatal(err)
	}
	if _, body = w.do(t, call{"GET", w.write, nil, nil}); body[:size] != string(other) {
		t.Error("bytes of the earlier source are left")
	}
	if err := up.UploadVHD(t.Context(), bytes.NewReader(other), size-512); err == nil {
		t.Error("a disk of another size was sent")
	}
}
