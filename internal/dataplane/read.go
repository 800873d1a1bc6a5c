package dataplane

import (
	"context"
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/dataplane/wire"
)

// get serves Get Blob and Get Blob Properties.
func (x *exchange) get() error {
	if err := x.conditions(); err != nil {
		return err
	}
	size := x.content.Size()
	h := x.w.Header()
	off, n, ranged := int64(0), size, false
	if x.r.Method == http.MethodGet {
		var err error
		if off, n, ranged, err = wire.Range(x.r.Header, size); err != nil {
			return err
		}
	}
	if err := x.stamp(); err != nil {
		return err
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	h.Set("x-ms-blob-type", "PageBlob")
	h.Set("x-ms-lease-status", "unlocked")
	h.Set("x-ms-lease-state", "available")
	h.Set("x-ms-server-encrypted", "false")
	h.Set("x-ms-blob-sequence-number", "0")
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	if !ranged {
		return x.send(http.StatusOK, off, n)
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, size))
	return x.send(http.StatusPartialContent, off, n)
}

// streamer is a Content that gives its bytes piece by piece, with the next ones fetched meanwhile; *image.Export is.
type streamer interface {
	Stream(ctx context.Context, off, n int64, yield func([]byte) error) error
}

// errLeft says that the client has gone.
var errLeft = errors.New("dataplane: the client has gone")

// send streams bytes; the first are read before the status is written, so that damage found at once is an error that
// can be read. Damage found later cuts the connection.
func (x *exchange) send(status int, off, n int64) error {
	withMD5 := strings.EqualFold(x.r.Header.Get("x-ms-range-get-content-md5"), "true")
	if withMD5 && n > wire.MaxPages {
		return wire.Fail(http.StatusBadRequest, "OutOfRangeInput", "One of the request inputs is out of range: a checksum is made of 4 MiB at most.")
	}
	started := false
	yield := func(b []byte) error {
		if !started {
			if withMD5 {
				sum := md5.Sum(b)
				x.w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
			}
			x.w.WriteHeader(status)
			started = true
		}
		if _, err := x.w.Write(b); err != nil {
			return errLeft
		}
		return x.r.Context().Err()
	}
	var err error
	if s, ok := x.content.(streamer); ok && !withMD5 {
		err = s.Stream(x.r.Context(), off, n, yield)
	} else {
		err = x.copy(off, n, yield)
	}
	switch {
	case errors.Is(err, errLeft):
		return nil
	case err != nil:
		x.unstamp(started)
		return fmt.Errorf("read %d bytes at %d: %w", n, off, err)
	case !started: // there are none
		x.w.WriteHeader(status)
	}
	return nil
}

// copy gives yield the bytes in pieces of wire.MaxPages.
func (x *exchange) copy(off, n int64, yield func([]byte) error) error {
	buffer := make([]byte, min(n, wire.MaxPages))
	for n > 0 {
		b := buffer[:min(n, int64(len(buffer)))]
		if got, err := x.content.ReadAt(b, off); got < len(b) {
			return err
		}
		if err := yield(b); err != nil {
			return err
		}
		off, n = off+int64(len(b)), n-int64(len(b))
	}
	return nil
}

// unstamp takes back the headers of a success that did not come.
func (x *exchange) unstamp(started bool) {
	if started {
		return
	}
	for _, name := range []string{"ETag", "Last-Modified", "Content-Range", "Accept-Ranges", "x-ms-blob-type"} {
		x.w.Header().Del(name)
	}
}

// pageList serves Get Page Ranges.
func (x *exchange) pageList() error {
	if err := x.conditions(); err != nil {
		return err
	}
	if err := x.stamp(); err != nil {
		return err
	}
	return wire.PageList(x.w, x.r, x.content, x.content.Size())
}
