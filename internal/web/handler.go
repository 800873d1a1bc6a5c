package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
)

// Visible is an error made for a caller to read. Each door has its dialect.
type Visible interface {
	error
	Render() (status int, contentType string, body []byte)
}

// Headed is a Visible error that brings further response headers, such as WWW-Authenticate.
type Headed interface {
	Headers() map[string]string
}

// Fault is a failure of ours on its way to hide: what happened, and the request ID under which the log has it.
type Fault struct {
	RequestID string
	Cause     error
}

func (f *Fault) Error() string { return f.Cause.Error() }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// Handler serves f, which returns its failure instead of writing it. A failure that is not Visible is a fault of ours:
// it is logged, and the caller sees only what hide makes of it. hide gets a *Fault, or a *TooLarge when reading the body
// met the limit. A panic of f is a fault too.
func Handler(hide func(error) Visible, f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := call(f, w, r)
		if err == nil {
			return
		}
		rec := recordOf(r.Context())
		rec.setErr(err)
		if rec.answered() {
			// Too late for an error document; cutting the connection is the only honest end of a half-written answer.
			panic(http.ErrAbortHandler)
		}
		WriteError(w, visible(hide, rec.requestID, err))
	})
}

func visible(hide func(error) Visible, requestID string, err error) Visible {
	if v, ok := errors.AsType[Visible](err); ok {
		return v
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return hide(&TooLarge{Limit: tooLarge.Limit})
	}
	if broken, ok := errors.AsType[*brokenBody](err); ok {
		return broken
	}
	return hide(&Fault{RequestID: requestID, Cause: err})
}

// brokenBody is a request's body that ended early or stalled: the client's doing, in no door's dialect, since a client that
// does not finish its request hardly reads the answer.
type brokenBody struct{ cause error }

func (b *brokenBody) Error() string { return "the request body did not arrive: " + b.cause.Error() }

func (b *brokenBody) Unwrap() error { return b.cause }

// Render gives 408.
func (b *brokenBody) Render() (status int, contentType string, body []byte) {
	return http.StatusRequestTimeout, "text/plain; charset=utf-8", []byte("The request body did not arrive.\n")
}

// bodyReader tells a client's failure to send its body from failures of ours.
type bodyReader struct{ io.ReadCloser }

func (r bodyReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if _, large := errors.AsType[*http.MaxBytesError](err); err != nil && err != io.EOF && !large {
		err = &brokenBody{err}
	}
	return n, err
}

// TooLarge is what hide gets when a request's body passed the limit; a door answers 413 in its dialect.
type TooLarge struct{ Limit int64 }

func (t *TooLarge) Error() string {
	return "the request body has more than " + strconv.FormatInt(t.Limit, 10) + " bytes"
}

// call runs f and turns its panic into an error, except the one by which a handler hangs up.
func call(f func(http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(w, r)
}

// WriteError writes a Visible error as the whole answer.
func WriteError(w http.ResponseWriter, v Visible) {
	status, contentType, body := v.Render()
	h := w.Header()
	if headed, ok := v.(Headed); ok {
		for name, value := range headed.Headers() {
			h.Set(name, value)
		}
	}
	Write(w, status, contentType, body)
}

// Write answers with a body that is at hand, and with its length.
func Write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	if len(body) > 0 {
		h.Set("Content-Type", contentType)
		h.Set("X-Content-Type-Options", "nosniff")
	}
	if status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone; the access log shows how many bytes it got
}

// MayBeJSON tells whether a Content-Type admits JSON: one that is JSON's, or none at all.
func MayBeJSON(contentType string) bool {
	form, _, err := mime.ParseMediaType(contentType)
	return contentType == "" || err == nil && (strings.HasSuffix(form, "/json") || strings.HasSuffix(form, "+json"))
}
