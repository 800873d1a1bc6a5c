package account

import (
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/dataplane/wire"
	"vitrine/internal/provider/storage/content"
)

var (
	reads   = right{letter: 'r', typ: 'o', action: blobsAction + "/read", data: true}
	writes  = right{letter: 'w', typ: 'o', action: blobsAction + "/write", data: true}
	creates = right{letter: 'c', typ: 'o', action: blobsAction + "/write", data: true}
	deletes = right{letter: 'd', typ: 'o', action: blobsAction + "/delete", data: true}
)

// address names the blob of the request.
func (x *exchange) address() (content.Address, error) {
	box, err := x.box()
	return content.Address{Container: box.Container, Name: x.blob}, err
}

// found reads the blob of the request, and checks the conditions of a read.
func (x *exchange) found() (*content.Blob, error) {
	if err := x.may(reads); err != nil {
		return nil, err
	}
	at, err := x.address()
	if err != nil {
		return nil, err
	}
	b, err := x.Blobs.Head(x.r.Context(), at)
	if err != nil {
		return nil, err
	}
	if id := x.r.Header.Get("x-ms-lease-id"); id != "" {
		if err := b.Lease.Allows(id, x.now(), "Blob"); err != nil {
			return nil, err
		}
	}
	return b, wire.Conditions(x.r, b.Modified())
}

func (x *exchange) stamp(b *content.Blob) {
	x.w.Header().Set("ETag", wire.ETag(b.Modified()))
	x.w.Header().Set("Last-Modified", b.Modified().UTC().Format(http.TimeFormat))
}

// describe sets the headers of Get Blob and Get Blob Properties.
func (x *exchange) describe(b *content.Blob) {
	x.stamp(b)
	h := x.w.Header()
	x.tell(b.Metadata)
	for name, value := range map[string]string{"Content-Encoding": b.Headers.Encoding, "Content-Language": b.Headers.Language,
		"Content-Disposition": b.Headers.Disposition, "Cache-Control": b.Headers.CacheControl, "Content-MD5": b.Headers.MD5} {
		if value != "" {
			h.Set(name, value)
		}
	}
	h.Set("Content-Type", contentType(b))
	if _, signed := x.proof.(sas); signed { // a SAS may say what its reader is told; the headers are signed with it
		for name, param := range map[string]string{"Cache-Control": "rscc", "Content-Disposition": "rscd", "Content-Encoding": "rsce",
			"Content-Language": "rscl", "Content-Type": "rsct"} {
			if v := x.query.Get(param); v != "" {
				h.Set(name, v)
			}
		}
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Accept-Ranges", "bytes")
	h.Set("x-ms-blob-type", b.Kind)
	h.Set("x-ms-creation-time", b.Created.UTC().Format(http.TimeFormat))
	h.Set("x-ms-server-encrypted", "false") // promise 2: it is not, so we do not say so
	if b.Kind == content.Page {
		h.Set("x-ms-blob-sequence-number", strconv.FormatInt(b.Sequence, 10))
	}
	x.leaseHeaders(b.Lease.State(x.now()), b.Lease.Locked(x.now()), b.Lease.Duration)
	if c := b.Copy; c != nil {
		h.Set("x-ms-copy-id", c.ID)
		h.Set("x-ms-copy-status", c.Status)
		h.Set("x-ms-copy-source", c.Source)
		h.Set("x-ms-copy-progress", fmt.Sprintf("%d/%d", c.Done, c.Total))
		if c.Description != "" {
			h.Set("x-ms-copy-status-description", c.Description)
		}
		if !c.Ended.IsZero() {
			h.Set("x-ms-copy-completion-time", c.Ended.UTC().Format(http.TimeFormat))
		}
	}
}

func (x *exchange) getBlobMetadata() error {
	b, err := x.found()
	if err != nil {
		return err
	}
	x.stamp(b)
	x.tell(b.Metadata)
	return x.empty(http.StatusOK)
}

func (x *exchange) open(b *content.Blob) (io.ReaderAt, func(), error) {
	if b.Kind == content.Page {
		u, err := x.Blobs.Pages(b)
		if err != nil {
			return nil, nil, err
		}
		return u, func() { _ = u.Close() }, nil
	}
	r, err := x.Blobs.Open(x.r.Context(), b)
	return r, func() {}, err
}

// getBlob serves Get Blob and Get Blob Properties.
func (x *exchange) getBlob() error {
	b, err := x.found()
	if err != nil {
		return err
	}
	h := x.w.Header()
	if x.r.Method == http.MethodHead {
		x.describe(b)
		h.Set("Content-Length", strconv.FormatInt(b.Size, 10))
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	off, n, ranged, err := int64(0), b.Size, false, error(nil)
	if x.r.Header.Get("Range") != "" || x.r.Header.Get("x-ms-range") != "" {
		if b.Size == 0 {
			return wire.Fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.")
		}
		if off, n, ranged, err = wire.Range(x.r.Header, b.Size); err != nil {
			return err
		}
	}
	from, release, err := x.open(b)
	if err != nil {
		return err
	}
	defer release()
	return x.send(b, from, off, n, ranged)
}

const readBytes = 1 << 20 // of a blob in memory, per request that reads it

// send streams bytes; the first are read before the status is written, so that a failure found at once can be told.
func (x *exchange) send(b *content.Blob, from io.ReaderAt, off, n int64, ranged bool) error {
	const most = 4 << 20
	withMD5 := strings.EqualFold(x.r.Header.Get("x-ms-range-get-content-md5"), "true")
	if withMD5 && n > most {
		return worded("OutOfRangeInput")
	}
	size := int64(readBytes)
	if withMD5 {
		size = most
	}
	buffer := make([]byte, min(max(n, 1), size))
	first := buffer[:min(n, size)]
	if err := readFull(from, first, off); err != nil {
		return err
	}
	x.describe(b)
	h := x.w.Header()
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	status := http.StatusOK
	if ranged {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, b.Size))
		if b.Headers.MD5 != "" { // it is the whole blob's
			h.Del("Content-MD5")
			h.Set("x-ms-blob-content-md5", b.Headers.MD5)
		}
	}
	if withMD5 {
		sum := md5.Sum(first)
		h.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	x.w.WriteHeader(status)
	for {
		if _, err := x.w.Write(first); err != nil {
			return nil // the client has gone
		}
		off, n = off+int64(len(first)), n-int64(len(first))
		if n == 0 {
			return nil
		}
		if err := x.r.Context().Err(); err != nil {
			return err
		}
		first = buffer[:min(n, size)]
		if err := readFull(from, first, off); err != nil {
			return err
		}
	}
}

func readFull(from io.ReaderAt, p []byte, off int64) error {
	if n, err := from.ReadAt(p, off); n < len(p) {
		return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// still is the check of a write: conditions, and the lease.
func (x *exchange) still(b *content.Blob) error {
	if b == nil {
		if m := x.r.Header.Get("If-Match"); m != "" {
			return wire.Fail(http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
		}
		if x.r.Header.Get("x-ms-lease-id") != "" {
			return worded("LeaseNotPresentWithBlobOperation")
		}
		return nil
	}
	return x.held(b)
}

// held is still for a blob that exists.
func (x *exchange) held(b *content.Blob) error {
	if err := wire.Conditions(x.r, b.Modified()); err != nil {
		return err
	}
	return b.Lease.Allows(x.r.Header.Get("x-ms-lease-id"), x.now(), "Blob")
}

// create gives still for what must not be there when the client says so, and what a right to create alone may not replace.
// The right is looked up now: the check runs in a transaction, which must not begin another.
func (x *exchange) create() content.Check {
	replace := x.may(writes)
	return func(b *content.Blob) error {
		if b == nil {
			return x.still(nil)
		}
		if x.r.Header.Get("If-None-Match") == "*" {
			return worded("BlobAlreadyExists")
		}
		if replace != nil {
			return replace
		}
		return x.held(b)
	}
}

// headers reads what a client says of the content, with the prefix that the operation has.
func (x *exchange) headers() content.Headers {
	h := x.r.Header
	return content.Headers{ContentType: h.Get("x-ms-blob-content-type"), Encoding: h.Get("x-ms-blob-content-encoding"), Language: h.Get("x-ms-blob-content-language"),
		Disposition: h.Get("x-ms-blob-content-disposition"), CacheControl: h.Get("x-ms-blob-cache-control"), MD5: h.Get("x-ms-blob-content-md5")}
}

func (x *exchange) deleteBlob() error {
	if err := x.may(deletes); err != nil {
		return err
	}
	at, err := x.address()
	if err != nil {
		return err
	}
	if err := x.Blobs.Delete(x.r.Context(), at, x.still); err != nil {
		return err
	}
	x.w.Header().Set("x-ms-delete-type-permanent", "true")
	return x.empty(http.StatusAccepted)
}

func (x *exchange) setBlobMetadata() error {
	metadata, err := x.metadata()
	if err != nil {
		return err
	}
	return x.change(func(b *content.Blob) error { b.Metadata = metadata; return nil })
}

// setBlobProperties sets the content's headers; other than the service, it does not change a page blob's size.
func (x *exchange) setBlobProperties() error {
	for _, name := range []string{"x-ms-blob-content-length", "x-ms-sequence-number-action"} {
		if x.r.Header.Get(name) != "" {
			return unsupportedHeader(name)
		}
	}
	headers := x.headers()
	return x.change(func(b *content.Blob) error { b.Headers = headers; return nil })
}

func unsupportedHeader(name string) error {
	return wire.Fail(http.StatusBadRequest, "UnsupportedHeader", "One of the HTTP headers specified in the request is not supported: "+name+".")
}

func (x *exchange) change(f func(*content.Blob) error) error {
	if err := x.may(writes); err != nil {
		return err
	}
	at, err := x.address()
	if err != nil {
		return err
	}
	b, err := x.Blobs.Change(x.r.Context(), at, func(b *content.Blob) error {
		if err := x.held(b); err != nil {
			return err
		}
		return f(b)
	})
	if err != nil {
		return err
	}
	x.stamp(b)
	return x.empty(http.StatusOK)
}
