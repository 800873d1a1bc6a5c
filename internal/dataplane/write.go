package dataplane

import (
	"bytes"
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"vitrine/internal/image"
)

// write runs f if the grant allows writing.
func (x *exchange) write(f func(Pages) error) error {
	pages, ok := x.content.(Pages)
	if !x.grant.Write || !ok {
		return fail(http.StatusForbidden, "AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.")
	}
	for _, name := range []string{"x-ms-lease-id", "x-ms-encryption-key", "x-ms-copy-source", "x-ms-if-sequence-number-le",
		"x-ms-if-sequence-number-lt", "x-ms-if-sequence-number-eq", "x-ms-content-crc64", "x-ms-structured-body"} {
		if x.r.Header.Get(name) != "" {
			return fail(http.StatusBadRequest, "UnsupportedHeader", "One of the HTTP headers specified in the request is not supported: "+name+".")
		}
	}
	err := f(pages)
	if errors.Is(err, image.ErrUpload) { // it was ended meanwhile
		return noBlob().because(err)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return busy("The server's disk is full.").because(err)
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
		return missingHeader("x-ms-blob-type")
	case !strings.EqualFold(kind, "PageBlob"):
		return fail(http.StatusConflict, "InvalidBlobType", "The blob type is invalid for this operation: a disk is a PageBlob.")
	case h.Get("x-ms-blob-content-length") == "":
		return missingHeader("x-ms-blob-content-length")
	case x.r.ContentLength > 0:
		return badHeader("Content-Length")
	}
	size, err := strconv.ParseInt(h.Get("x-ms-blob-content-length"), 10, 64)
	if err != nil || size < 0 || size%512 != 0 {
		return badHeader("x-ms-blob-content-length")
	}
	if size != p.Size() {
		return fail(http.StatusBadRequest, "OutOfRangeInput", "One of the request inputs is out of range: x-ms-blob-content-length is "+
			strconv.FormatInt(size, 10)+", the disk was created for an upload of "+strconv.FormatInt(p.Size(), 10)+" bytes.")
	}
	if h.Get("If-None-Match") == "*" {
		return fail(http.StatusConflict, "BlobAlreadyExists", "The specified blob already exists.")
	}
	if err := x.conditions(); err != nil {
		return err
	}
	if err := p.ClearIf(x.still, 0, size); err != nil {
		return err
	}
	return x.created()
}

// pages reads the range of a Put Page.
func (x *exchange) pages(size int64) (off, n int64, err error) {
	h := x.r.Header
	text := h.Get("x-ms-range")
	if text == "" {
		text = h.Get("Range")
	}
	if text == "" {
		return 0, 0, missingHeader("x-ms-range")
	}
	if strings.HasSuffix(text, "-") {
		return 0, 0, badHeader("x-ms-range")
	}
	invalid := fail(http.StatusRequestedRangeNotSatisfiable, "InvalidPageRange", "The page range specified is invalid.")
	off, n, _, err = parseRange(http.Header{"X-Ms-Range": {text}}, 1<<62) // the size must not shorten what is asked
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.status == http.StatusRequestedRangeNotSatisfiable {
			return 0, 0, invalid
		}
		return 0, 0, err
	}
	if off%512 != 0 || n%512 != 0 || off >= size || n > size-off {
		return 0, 0, invalid
	}
	return off, n, nil
}

func (x *exchange) putPage(p Pages) error {
	off, n, err := x.pages(p.Size())
	if err != nil {
		return err
	}
	if err := x.conditions(); err != nil {
		return err
	}
	x.w.Header().Set("x-ms-blob-sequence-number", "0")
	switch how := x.r.Header.Get("x-ms-page-write"); {
	case how == "":
		return missingHeader("x-ms-page-write")
	case strings.EqualFold(how, "clear"):
		if x.r.ContentLength > 0 {
			return badHeader("Content-Length")
		}
		if err := p.ClearIf(x.still, off, n); err != nil {
			return err
		}
		return x.created()
	case !strings.EqualFold(how, "update"):
		return badHeader("x-ms-page-write")
	}
	switch {
	case n > maxPut:
		return fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit: one Put Page has 4 MiB at most.")
	case x.r.ContentLength < 0:
		return fail(http.StatusLengthRequired, "MissingContentLengthHeader", "The content length header was not specified.")
	case x.r.ContentLength != n:
		return badHeader("Content-Length")
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
	if err := x.writes.enter(x.grant.ID); err != nil {
		return err
	}
	defer x.writes.leave(x.grant.ID)
	buffer := x.writes.buffer(n)
	defer x.writes.free(buffer)
	body := buffer[:n]
	if _, err := io.ReadFull(x.r.Body, body); err != nil {
		return fail(http.StatusBadRequest, "IncompleteBody", "The request body ended before its Content-Length.").because(err)
	}
	if sent := x.r.Header.Get("Content-MD5"); sent != "" {
		sum := md5.Sum(body)
		want, err := base64.StdEncoding.DecodeString(sent)
		if err != nil || len(want) != len(sum) {
			return fail(http.StatusBadRequest, "InvalidMd5", "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded.")
		}
		if !bytes.Equal(want, sum[:]) {
			return fail(http.StatusBadRequest, "Md5Mismatch", "The MD5 value specified in the request did not match with the MD5 value calculated by the server.")
		}
		x.w.Header().Set("Content-MD5", sent)
	}
	if err := p.WriteIf(x.still, body, off); err != nil {
		return err
	}
	return x.created()
}
