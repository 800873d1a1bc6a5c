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
	"time"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/image"
	"vitrine/internal/image/sas"
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
	writes *writes
}

// New gives the door's handler. now may be nil for time.Now. The server before it must bound how long a body may take.
func New(grants Grants, now func() time.Time) http.Handler {
	if now == nil {
		now = time.Now
	}
	d := &door{grants: grants, now: now, writes: newWrites()}
	return wire.Handler(now, d.serve)
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
	wire.SetHeaders(w.Header(), r, d.now())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return wire.Fail(http.StatusBadRequest, "InvalidQueryParameterValue", "Value for one of the query parameters specified in the request URI is invalid.")
	}
	grant, err := d.authenticate(r, query)
	if err != nil {
		return err
	}
	content, err := grant.Open(r.Context())
	if errors.Is(err, image.ErrUpload) || errors.Is(err, image.ErrNotFound) {
		return wire.NoBlob()
	}
	if err != nil {
		return fmt.Errorf("open the content of grant %s: %w", grant.ID, err)
	}
	defer content.Close()
	x := &exchange{d, w, r, query, grant, content}
	return x.dispatch()
}

// authenticate finds the grant. All ways to be wrong look the same, and an unknown URL costs what a known one does.
func (d *door) authenticate(r *http.Request, query url.Values) (Grant, error) {
	u, err := sas.Parse(r.Host, r.URL.EscapedPath(), query)
	if err != nil {
		return Grant{}, wire.Denied("").Because(err)
	}
	grant, err := d.grants.Grant(r.Context(), u.Host, u.Path)
	if errors.Is(err, ErrNoGrant) {
		grant, err = Grant{Key: make([]byte, 32)}, nil
	}
	if err != nil {
		return Grant{}, fmt.Errorf("look up grant: %w", err)
	}
	if err := u.Verify(grant.Key); err != nil || grant.ID == "" || grant.ID != u.ID {
		return Grant{}, wire.Denied("Signature did not match.").Because(err)
	}
	if !d.now().Before(grant.Expires) {
		return Grant{}, wire.Denied("Signed expiry time has passed.")
	}
	return grant, nil
}

func (x *exchange) dispatch() error {
	comp := x.query.Get("comp")
	for _, name := range []string{"snapshot", "versionid", "prevsnapshot", "restype"} {
		if x.query.Has(name) {
			return wire.Fail(http.StatusBadRequest, "UnsupportedQueryParameter", "One of the query parameters specified in the request URI is not supported: "+name+".")
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
		return wire.Fail(http.StatusBadRequest, "UnsupportedQueryParameter", "One of the query parameters specified in the request URI is not supported: comp.")
	}
	return wire.Fail(http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
}

// modified is the content's last change.
func (x *exchange) modified() (time.Time, error) {
	if p, ok := x.content.(Pages); ok {
		return p.Modified()
	}
	return x.grant.LastModified, nil
}

// conditions checks the request's conditional headers.
func (x *exchange) conditions() error {
	at, err := x.modified()
	if err != nil {
		return err
	}
	return wire.Conditions(x.r, at)
}

// stamp sets ETag and Last-Modified.
func (x *exchange) stamp() error {
	at, err := x.modified()
	if err != nil {
		return err
	}
	x.w.Header().Set("ETag", wire.ETag(at))
	x.w.Header().Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	return nil
}
