package wire

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"vitrine/internal/image"
	"vitrine/internal/web"
)

const (
	pageBytes = 512
	window    = 256 << 20 // bytes whose ranges are looked up at once
	maxPages  = 50_000    // ranges in one page list; NextMarker leads on
)

// PageRange reads the range of a Put Page: whole pages inside size, both ends given.
func PageRange(h http.Header, size int64) (off, n int64, err error) {
	text := h.Get("x-ms-range")
	if text == "" {
		text = h.Get("Range")
	}
	if text == "" {
		return 0, 0, MissingHeader("x-ms-range")
	}
	if strings.HasSuffix(text, "-") {
		return 0, 0, BadHeader("x-ms-range")
	}
	invalid := Fail(http.StatusRequestedRangeNotSatisfiable, "InvalidPageRange", "The page range specified is invalid.")
	off, n, _, err = Range(http.Header{"X-Ms-Range": {text}}, 1<<62) // the size must not shorten what is asked
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.status == http.StatusRequestedRangeNotSatisfiable {
			return 0, 0, invalid
		}
		return 0, 0, err
	}
	if off%pageBytes != 0 || n%pageBytes != 0 || off >= size || n > size-off {
		return 0, 0, invalid
	}
	return off, n, nil
}

// Ranger lists the data inside [off, off+n).
type Ranger interface {
	Ranges(ctx context.Context, off, n int64) ([]image.Range, error)
}

type pageRange struct {
	Start, End int64
}

type pageListBody struct {
	XMLName    xml.Name    `xml:"PageList"`
	Ranges     []pageRange `xml:"PageRange"`
	NextMarker string      `xml:"NextMarker,omitempty"`
}

// PageList answers Get Page Ranges. A list that would be too long ends with a NextMarker, the offset to go on from
// (the service's own markers come with x-ms-version 2020-10-02; ours is given whenever it is needed).
func PageList(w http.ResponseWriter, r *http.Request, pages Ranger, size int64) error {
	off, n := int64(0), size
	if size > 0 {
		var err error
		if off, n, _, err = Range(r.Header, size); err != nil {
			return err
		}
	}
	end := off + n
	if marker := r.URL.Query().Get("marker"); marker != "" {
		at, err := strconv.ParseInt(marker, 10, 64)
		if err != nil || at < off || at > end {
			return Fail(http.StatusBadRequest, "OutOfRangeQueryParameterValue", "A query parameter specified in the request URI is outside the permissible range: marker.")
		}
		off = at
	}
	var body pageListBody
	for off < end && len(body.Ranges) < maxPages {
		next := min(end, off+window)
		list, err := pages.Ranges(r.Context(), off, next-off)
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
	w.Header().Set("x-ms-blob-content-length", strconv.FormatInt(size, 10))
	web.Write(w, http.StatusOK, "application/xml", Document(body))
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
