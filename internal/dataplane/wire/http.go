package wire

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vitrine/internal/blob"
	"vitrine/internal/image/sas"
	"vitrine/internal/web"
)

// Handler serves f, whose failures it answers in the service's dialect.
func Handler(now func() time.Time, f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return web.Handler(Hide, func(w http.ResponseWriter, r *http.Request) error {
		err := f(w, r)
		var e *Error
		if !errors.As(err, &e) && (blob.IsFull(err) || errors.Is(err, syscall.EFBIG)) {
			err = Busy("The server's disk is full.").Because(err)
		}
		if errors.As(err, &e) {
			e.requestID, e.time = web.RequestID(r.Context()), now()
		}
		return err
	})
}

// SetHeaders sets what is on every answer, as recorded from the Blob service.
func SetHeaders(h http.Header, r *http.Request, now time.Time) {
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

// Range reads "bytes=a-b" or "bytes=a-", both inclusive, into offset and length within size. x-ms-range comes
// before Range. ok is false when there is none.
func Range(h http.Header, size int64) (off, n int64, ok bool, err error) {
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
		return 0, 0, true, BadHeader(name)
	case last != "" && end < start:
		return 0, 0, true, BadHeader(name)
	case start >= uint64(size):
		return 0, 0, true, Fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.")
	}
	end = min(end, uint64(size)-1)
	return int64(start), int64(end-start) + 1, true, nil
}

// ETag is a time in .NET ticks, as the Blob service's looks ("0x8DC…").
func ETag(t time.Time) string {
	const unixEpoch = 621355968000000000
	return fmt.Sprintf(`"0x%X"`, t.UnixNano()/100+unixEpoch)
}

// Conditions checks a request's conditional headers against when the resource was last changed.
func Conditions(r *http.Request, at time.Time) error {
	tag, h := ETag(at), r.Header
	notMet := Fail(http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
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
	if unchanged && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		notMet.status = http.StatusNotModified
	}
	if unchanged {
		return notMet
	}
	return nil
}
