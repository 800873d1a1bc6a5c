// Package dataplane is the door for a disk's bytes: page blobs behind signed URLs.
//
// It owns the part of Azure's Blob service that uploads and downloads of managed disks use: Put Blob (page), Put Page,
// Get Blob with ranges, Get Blob Properties, Get Page Ranges, and that service's errors. It does not know disks; what a
// URL grants comes from Grants, which the assembly plugs in:
//
//	request ── sas.Parse ─▶ Grants.Grant(host, path) ─▶ signature, expiry, permission ─▶ Content ─▶ bytes, XML
//
// A URL that is wrong in any way is answered AuthenticationFailed, whatever exists. Writes are acknowledged when they
// are in the upload's file; whoever ends the grant syncs it (image.Store.FinishUpload does).
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/image"
	"vitrine/internal/image/sas"
	"vitrine/internal/web"
)

// ErrNoGrant is what Grants answers for a URL that grants nothing.
var ErrNoGrant = errors.New("dataplane: no such grant")

// Grants knows what signed URLs grant.
type Grants interface {
	// Grant finds the live grant of a signed URL's host (without port, lower case) and path. ErrNoGrant.
	Grant(ctx context.Context, host, path string) (Grant, error)
}

// Grant is what one signed URL gives until it expires or is revoked.
type Grant struct {
	ID           string // what the URL's si must be
	Key          []byte // signs the URL
	Write        bool   // may write; reading is always included
	Expires      time.Time
	LastModified time.Time                              // of what is only read
	Open         func(context.Context) (Content, error) // closed after each request
}

// Content is what a URL leads to; *image.Export and *image.Upload are.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
	Ranges(ctx context.Context, off, n int64) ([]image.Range, error)
}

// Pages is a Content that can be written; that of a grant with Write must be one. *image.Upload is.
type Pages interface {
	Content
	// WriteIf and ClearIf change bytes if may, asked while the upload cannot end, gives no error. image.ErrUpload once
	// it has ended.
	WriteIf(may func() error, p []byte, off int64) error
	ClearIf(may func() error, off, n int64) error
	Modified() (time.Time, error)
}

type door struct {
	grants Grants
	now    func() time.Time
	writes writes
}

// New gives the door's handler. now may be nil for time.Now. The server before it must bound how long a body may take.
func New(grants Grants, now func() time.Time) http.Handler {
	if now == nil {
		now = time.Now
	}
	d := &door{grants: grants, now: now, writes: writes{byGrant: map[string]int{}}}
	return web.Handler(hide, func(w http.ResponseWriter, r *http.Request) error {
		err := d.serve(w, r)
		var e *Error
		if errors.As(err, &e) {
			e.requestID, e.time = web.RequestID(r.Context()), now()
		}
		return err
	})
}

// exchange is one request that has proved its right.
type exchange struct {
	*door
	w       http.ResponseWriter
	r       *http.Request
	query   url.Values
	grant   Grant
	content Content
}

func (d *door) serve(w http.ResponseWriter, r *http.Request) error {
	setHeaders(w.Header(), r, d.now())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fail(http.StatusBadRequest, "InvalidQueryParameterValue", "Value for one of the query parameters specified in the request URI is invalid.")
	}
	grant, err := d.authenticate(r, query)
	if err != nil {
		return err
	}
	content, err := grant.Open(r.Context())
	if errors.Is(err, image.ErrUpload) || errors.Is(err, image.ErrNotFound) {
		return noBlob()
	}
	if err != nil {
		return fmt.Errorf("open the content of grant %s: %w", grant.ID, err)
	}
	defer content.Close()
	x := &exchange{d, w, r, query, grant, content}
	return x.dispatch()
}

// setHeaders: as recorded from the Blob service.
func setHeaders(h http.Header, r *http.Request, now time.Time) {
	h.Set("Server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	version := r.Header.Get("x-ms-version")
	if _, err := time.Parse(time.DateOnly, version); err != nil {
		version = sas.Version
	}
	h.Set("x-ms-version", version)
	if id := r.Header.Get("x-ms-client-request-id"); id != "" && len(id) <= 1024 {
		h.Set("x-ms-client-request-id", id)
	}
}

// authenticate finds the grant. All ways to be wrong look the same, and an unknown URL costs what a known one does.
func (d *door) authenticate(r *http.Request, query url.Values) (Grant, error) {
	u, err := sas.Parse(r.Host, r.URL.EscapedPath(), query)
	if err != nil {
		return Grant{}, denied("").because(err)
	}
	grant, err := d.grants.Grant(r.Context(), u.Host, u.Path)
	if errors.Is(err, ErrNoGrant) {
		grant, err = Grant{Key: make([]byte, 32)}, nil
	}
	if err != nil {
		return Grant{}, fmt.Errorf("look up grant: %w", err)
	}
	if err := u.Verify(grant.Key); err != nil || grant.ID == "" || grant.ID != u.ID {
		return Grant{}, denied("Signature did not match.").because(err)
	}
	if !d.now().Before(grant.Expires) {
		return Grant{}, denied("Signed expiry time has passed.")
	}
	return grant, nil
}

func (x *exchange) dispatch() error {
	comp := x.query.Get("comp")
	for _, name := range []string{"snapshot", "versionid", "prevsnapshot", "restype"} {
		if x.query.Has(name) {
			return fail(http.StatusBadRequest, "UnsupportedQueryParameter", "One of the query parameters specified in the request URI is not supported: "+name+".")
		}
	}
	switch method := x.r.Method; {
	case method == http.MethodGet && comp == "", method == http.MethodHead && comp == "":
		return x.get()
	case method == http.MethodGet && comp == "pagelist":
		return x.pageList()
	case method == http.MethodPut && comp == "":
		return x.write(x.putBlob)
	case method == http.MethodPut && comp == "page":
		return x.write(x.putPage)
	case comp != "" && comp != "page" && comp != "pagelist":
		return fail(http.StatusBadRequest, "UnsupportedQueryParameter", "One of the query parameters specified in the request URI is not supported: comp.")
	}
	return fail(http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
}

// modified is the content's last change.
func (x *exchange) modified() (time.Time, error) {
	if p, ok := x.content.(Pages); ok {
		return p.Modified()
	}
	return x.grant.LastModified, nil
}

// etag is the time in .NET ticks, as the Blob service's looks ("0x8DC…").
func etag(t time.Time) string {
	const unixEpoch = 621355968000000000
	return fmt.Sprintf(`"0x%X"`, t.UnixNano()/100+unixEpoch)
}

// conditions checks the request's conditional headers.
func (x *exchange) conditions() error {
	at, err := x.modified()
	if err != nil {
		return err
	}
	tag, h := etag(at), x.r.Header
	notMet := fail(http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
	if m := h.Get("If-Match"); m != "" && m != "*" && !strings.Contains(m, tag) {
		return notMet
	}
	if t, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil && at.Truncate(time.Second).After(t) {
		return notMet
	}
	unchanged := false
	if m := h.Get("If-None-Match"); m != "" {
		unchanged = m == "*" || strings.Contains(m, tag)
	} else if t, err := http.ParseTime(h.Get("If-Modified-Since")); err == nil {
		unchanged = !at.Truncate(time.Second).After(t)
	}
	if unchanged && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead) {
		notMet.status = http.StatusNotModified
	}
	if unchanged {
		return notMet
	}
	return nil
}

// stamp sets ETag and Last-Modified.
func (x *exchange) stamp() error {
	at, err := x.modified()
	if err != nil {
		return err
	}
	x.w.Header().Set("ETag", etag(at))
	x.w.Header().Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	return nil
}
