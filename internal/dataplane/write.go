package dataplane

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/image"
)

// write runs f if the grant allows writing.
func (x *exchange) write(f func(Pages) error) error {
	pages, ok := x.content.(Pages)
	if !x.grant.Write || !ok {
		return wire.Fail(http.StatusForbidden, "AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.")
	}
	for _, name := range []string{"x-ms-lease-id", "x-ms-encryption-key", "x-ms-copy-source", "x-ms-if-sequence-number-le",
		"x-ms-if-sequence-number-lt", "x-ms-if-sequence-number-eq", "x-ms-content-crc64", "x-ms-structured-body"} {
		if x.r.Header.Get(name) != "" {
			return wire.Fail(http.StatusBadRequest, "UnsupportedHeader", "One of the HTTP headers specified in the request is not supported: "+name+".")
		}
	}
	err := f(pages)
	if errors.Is(err, image.ErrUpload) { // it was ended meanwhile
		return wire.NoBlob().Because(err)
	}
	return err
}

// created answers a write that was done.
func (x *exchange) created() error {
	if err := x.stamp(); err != nil {
		return err
	}
	x.w.Header().Set("x-ms-request-server-encrypted", "false") // promise 2: it is not, so we do not say so
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusCreated)
	return nil
}

// putBlob serves Put Blob of a page blob: the disk becomes zeros. The blob exists from the grant on and keeps its size.
func (x *exchange) putBlob(p Pages) error {
	h := x.r.Header
	switch kind := h.Get("x-ms-blob-type"); {
	case kind == "":
		return wire.MissingHeader("x-ms-blob-type")
	case !strings.EqualFold(kind, "PageBlob"):
		return wire.Fail(http.StatusConflict, "InvalidBlobType", "The blob type is invalid for this operation: a disk is a PageBlob.")
	case h.Get("x-ms-blob-content-length") == "":
		return wire.MissingHeader("x-ms-blob-content-length")
	case x.r.ContentLength > 0:
		return wire.BadHeader("Content-Length")
	}
	size, err := strconv.ParseInt(h.Get("x-ms-blob-content-length"), 10, 64)
	if err != nil || size < 0 || size%512 != 0 {
		return wire.BadHeader("x-ms-blob-content-length")
	}
	if size != p.Size() {
		return wire.Fail(http.StatusBadRequest, "OutOfRangeInput", "One of the request inputs is out of range: x-ms-blob-content-length is "+
			strconv.FormatInt(size, 10)+", the disk was created for an upload of "+strconv.FormatInt(p.Size(), 10)+" bytes.")
	}
	if h.Get("If-None-Match") == "*" {
		return wire.Fail(http.StatusConflict, "BlobAlreadyExists", "The specified blob already exists.")
	}
	if err := x.conditions(); err != nil {
		return err
	}
	if err := p.ClearIf(x.still, 0, size); err != nil {
		return err
	}
	return x.created()
}

func (x *exchange) putPage(p Pages) error {
	off, n, err := wire.PageRange(x.r.Header, p.Size())
	if err != nil {
		return err
	}
	if err := x.conditions(); err != nil {
		return err
	}
	x.w.Header().Set("x-ms-blob-sequence-number", "0")
	switch how := x.r.Header.Get("x-ms-page-write"); {
	case how == "":
		return wire.MissingHeader("x-ms-page-write")
	case strings.EqualFold(how, "clear"):
		if x.r.ContentLength > 0 {
			return wire.BadHeader("Content-Length")
		}
		if err := p.ClearIf(x.still, off, n); err != nil {
			return err
		}
		return x.created()
	case !strings.EqualFold(how, "update"):
		return wire.BadHeader("x-ms-page-write")
	}
	if err := wire.PageLength(x.r, n); err != nil {
		return err
	}
	return x.update(p, off, n)
}

// still says whether the URL's right lasts: it may have been taken back while the body came.
func (x *exchange) still() error {
	_, err := x.authenticate(x.r, x.query)
	return err
}

// update takes the whole body before it writes any of it.
func (x *exchange) update(p Pages, off, n int64) error {
	release, err := x.writes.Take(x.grant.ID)
	if err != nil {
		return err
	}
	defer release()
	buffer := x.writes.buffer(n)
	defer x.writes.free(buffer)
	body := buffer[:n]
	if err := wire.ReadPages(x.w, x.r, body); err != nil {
		return err
	}
	if err := p.WriteIf(x.still, body, off); err != nil {
		return err
	}
	return x.created()
}
