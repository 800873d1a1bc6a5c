package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// record is what one request leaves for the log.
type record struct {
	requestID, correlationID string

	mu     sync.Mutex
	status int
	bytes  int64
	err    error
	attrs  []slog.Attr
}

type recordKey struct{}

func withRecord(ctx context.Context, rec *record) context.Context {
	return context.WithValue(ctx, recordKey{}, rec)
}

// recordOf returns the request's record, or an empty one when the handler runs without Serve.
func recordOf(ctx context.Context) *record {
	if rec, ok := ctx.Value(recordKey{}).(*record); ok {
		return rec
	}
	return &record{}
}

// RequestID is the ID that this server gave the request; the response carries it as x-ms-request-id.
func RequestID(ctx context.Context) string { return recordOf(ctx).requestID }

// CorrelationID is the ID that joins a client's requests: its own x-ms-correlation-request-id if that is a GUID, else
// the request ID.
func CorrelationID(ctx context.Context) string { return recordOf(ctx).correlationID }

// Annotate adds attributes to the request's line in the access log, such as who the caller is.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	rec := recordOf(ctx)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.attrs = append(rec.attrs, attrs...)
}

func newRecord(r *http.Request) *record {
	rec := &record{requestID: NewID()}
	rec.correlationID = rec.requestID
	for _, name := range []string{"x-ms-correlation-request-id", "client-request-id"} { // ARM's name, Entra's name
		if id := r.Header.Get(name); IsID(id) {
			rec.correlationID = strings.ToLower(id)
			break
		}
	}
	return rec
}

func (rec *record) setResponseHeaders(h, request http.Header) {
	h.Set("x-ms-request-id", rec.requestID)
	h.Set("x-ms-correlation-request-id", rec.correlationID)
	if id := request.Get("x-ms-client-request-id"); IsID(id) && strings.EqualFold(request.Get("x-ms-return-client-request-id"), "true") {
		h.Set("x-ms-client-request-id", id)
	}
	if id := request.Get("client-request-id"); IsID(id) {
		h.Set("client-request-id", id)
	}
}

func (rec *record) setErr(err error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.err = err
}

func (rec *record) answered() bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.status != 0
}

// log writes the access line. The query is left out, since signed URLs carry their right in it.
func (rec *record) log(log *slog.Logger, r *http.Request, took time.Duration, panicked any) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	remote, _, _ := net.SplitHostPort(r.RemoteAddr)
	if rec.status == 0 && panicked == nil {
		rec.status = http.StatusOK // what net/http sends for a handler that wrote nothing
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("host", r.Host), slog.String("path", r.URL.Path),
		slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes), slog.Duration("took", took),
		slog.String("request", rec.requestID), slog.String("correlation", rec.correlationID), slog.String("remote", remote),
	}
	if id := r.Header.Get("x-ms-client-request-id"); IsID(id) {
		attrs = append(attrs, slog.String("clientRequest", id))
	}
	attrs = append(attrs, rec.attrs...)
	level := slog.LevelInfo
	if rec.err != nil {
		attrs = append(attrs, slog.String("err", rec.err.Error()))
	}
	if panicked != nil {
		attrs = append(attrs, slog.String("panic", fmt.Sprint(panicked)))
	}
	if rec.status >= 500 && rec.status != http.StatusNotImplemented || panicked != nil && !hungUp(panicked) {
		level = slog.LevelError
	}
	log.LogAttrs(r.Context(), level, "request", attrs...)
}

// recorder notes what a handler answers.
type recorder struct {
	http.ResponseWriter
	rec *record
}

// WriteHeader notes the first final status.
func (w *recorder) WriteHeader(status int) {
	w.rec.mu.Lock()
	if w.rec.status == 0 && status >= 200 {
		w.rec.status = status
	}
	w.rec.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	w.rec.mu.Lock()
	if w.rec.status == 0 {
		w.rec.status = http.StatusOK
	}
	w.rec.mu.Unlock()
	n, err := w.ResponseWriter.Write(b)
	w.rec.mu.Lock()
	w.rec.bytes += int64(n)
	w.rec.mu.Unlock()
	return n, err
}

// Unwrap lets http.ResponseController reach the connection's own writer.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// NewID makes a random GUID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// IsID says whether s has the form of a GUID, and so is harmless in a log or a header.
func IsID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if hyphen := i == 8 || i == 13 || i == 18 || i == 23; hyphen != (c == '-') {
			return false
		} else if !hyphen && !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// hungUp tells the panic by which a handler ends the connection from one that is a fault.
func hungUp(panicked any) bool {
	err, ok := panicked.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}
