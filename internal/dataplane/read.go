package dataplane

import (
	"crypto/md5" // the protocol's checksum, not a protection
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/image"
	"vitrine/internal/web"
)

const (
	maxPut   = 4 << 20   // bytes of one Put Page, and of a ranged read with a checksum
	window   = 256 << 20 // bytes whose ranges are looked up at once
	maxPages = 50_000    // ranges in one page list; NextMarker leads on
)

// parseRange reads "bytes=a-b" or "bytes=a-", both inclusive, into offset and length within size. x-ms-range comes
// before Range. ok is false when there is none.
func parseRange(h http.Header, size int64) (off, n int64, ok bool, err error) {
	text, name := h.Get("x-ms-range"), "x-ms-range"
	if text == "" {
		text, name = h.Get("Range"), "Range"
	}
	if text == "" {
		return 0, size, false, nil
	}
	spec, isBytes := strings.CutPrefix(text, "bytes=")
	first, last, isPair := strings.Cut(spec, "-")
	start, err1 := strconv.ParseUint(first, 10, 63)
	end := uint64(size) - 1
	var err2 error
	if last != "" {
		end, err2 = strconv.ParseUint(last, 10, 63)
	}
	switch {
	case !isBytes || !isPair || err1 != nil || err2 != nil:
		return 0, 0, true, badHeader(name)
	case last != "" && end < start:
		return 0, 0, true, badHeader(name)
	case start >= uint64(size):
		return 0, 0, true, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.")
	}
	end = min(end, uint64(size)-1)
	return int64(start), int64(end-start) + 1, true, nil
}

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
		if off, n, ranged, err = parseRange(x.r.Header, size); err != nil {
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

// send streams bytes; the first are read before the status is written, so that damage found at once is an error that
// can be read. Damage found later cuts the connection.
func (x *exchange) send(status int, off, n int64) error {
	buffer := make([]byte, min(n, maxPut))
	withMD5 := strings.EqualFold(x.r.Header.Get("x-ms-range-get-content-md5"), "true")
	if withMD5 && n > maxPut {
		return fail(http.StatusBadRequest, "OutOfRangeInput", "One of the request inputs is out of range: a checksum is made of 4 MiB at most.")
	}
	for started := false; n > 0; started = true {
		b := buffer[:min(n, int64(len(buffer)))]
		if got, err := x.content.ReadAt(b, off); got < len(b) {
			x.unstamp(started)
			return fmt.Errorf("read %d bytes at %d: %w", len(b), off, err)
		}
		if !started {
			if withMD5 {
				sum := md5.Sum(b)
				x.w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
			}
			x.w.WriteHeader(status)
		}
		if _, err := x.w.Write(b); err != nil {
			return nil // the client has gone
		}
		off, n = off+int64(len(b)), n-int64(len(b))
		if err := x.r.Context().Err(); err != nil {
			return err
		}
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

type pageRange struct {
	Start, End int64
}

type pageListBody struct {
	XMLName    xml.Name    `xml:"PageList"`
	Ranges     []pageRange `xml:"PageRange"`
	NextMarker string      `xml:"NextMarker,omitempty"`
}

// pageList serves Get Page Ranges. A list that would be too long ends with a NextMarker, the offset to go on from
// (the service's own markers come with x-ms-version 2020-10-02; ours is given whenever it is needed).
func (x *exchange) pageList() error {
	if err := x.conditions(); err != nil {
		return err
	}
	off, n, _, err := parseRange(x.r.Header, x.content.Size())
	if err != nil {
		return err
	}
	end := off + n
	if marker := x.query.Get("marker"); marker != "" {
		at, err := strconv.ParseInt(marker, 10, 64)
		if err != nil || at < off || at > end {
			return fail(http.StatusBadRequest, "OutOfRangeQueryParameterValue", "A query parameter specified in the request URI is outside the permissible range: marker.")
		}
		off = at
	}
	var body pageListBody
	for off < end && len(body.Ranges) < maxPages {
		next := min(end, off+window)
		list, err := x.content.Ranges(x.r.Context(), off, next-off)
		if err != nil {
			return err
		}
		body.add(list)
		off = next
	}
	if len(body.Ranges) > maxPages {
		off = body.Ranges[maxPages].Start
		body.Ranges = body.Ranges[:maxPages]
	}
	if off < end {
		body.NextMarker = strconv.FormatInt(off, 10)
	}
	if err := x.stamp(); err != nil {
		return err
	}
	x.w.Header().Set("x-ms-blob-content-length", strconv.FormatInt(x.content.Size(), 10))
	web.Write(x.w, http.StatusOK, "application/xml", document(body))
	return nil
}

// add appends ranges, in the wire's inclusive form.
func (b *pageListBody) add(list []image.Range) {
	for _, r := range list {
		if k := len(b.Ranges); k > 0 && b.Ranges[k-1].End+1 == r.Start {
			b.Ranges[k-1].End = r.End - 1
			continue
		}
		b.Ranges = append(b.Ranges, pageRange{r.Start, r.End - 1})
	}
}
