package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"vitrine/internal/web"
)

const jsonType = "application/json; charset=utf-8"

// failure is an OAuth error in Entra's dialect: code is the number of AADSTS, 0 for what Entra has no number for.
type failure struct {
	status int
	oauth  string // the member "error"
	code   int
	text   string
	header map[string]string

	trace, correlation string
	at                 time.Time
}

func fail(status int, oauth string, code int, format string, args ...any) *failure {
	return &failure{status: status, oauth: oauth, code: code, text: fmt.Sprintf(format, args...)}
}

func (f *failure) Error() string { return f.oauth + ": " + f.sentence() }

func (f *failure) sentence() string {
	if f.code == 0 {
		return f.text
	}
	return "AADSTS" + strconv.Itoa(f.code) + ": " + f.text
}

// Headers are further response headers.
func (f *failure) Headers() map[string]string { return f.header }

// Render writes the members in Entra's order.
func (f *failure) Render() (status int, contentType string, body []byte) {
	const layout = "2006-01-02 15:04:05Z"
	doc := struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes,omitempty"`
		Timestamp   string `json:"timestamp"`
		Trace       string `json:"trace_id"`
		Correlation string `json:"correlation_id"`
		URI         string `json:"error_uri,omitempty"`
	}{Error: f.oauth, Timestamp: f.at.UTC().Format(layout), Trace: f.trace, Correlation: f.correlation}
	doc.Description = fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", f.sentence(), f.trace, f.correlation, doc.Timestamp)
	if f.code != 0 {
		doc.Codes = []int{f.code}
		doc.URI = "https://" + Hosts()[0] + "/error?code=" + strconv.Itoa(f.code)
	}
	body, err := json.Marshal(doc)
	if err != nil { // strings and a number: cannot happen
		return http.StatusInternalServerError, jsonType, []byte(`{"error":"server_error"}`)
	}
	return f.status, jsonType, body
}

// stamp completes a failure with what identifies the request, and forbids to keep the answer.
func (d *door) stamp(r *http.Request, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		f.trace, f.correlation, f.at = web.RequestID(r.Context()), web.CorrelationID(r.Context()), d.Now()
		if f.header == nil {
			f.header = map[string]string{}
		}
		f.header["Cache-Control"] = "no-store, no-cache"
		f.header["Pragma"] = "no-cache"
	}
	return err
}

// hide gives what a client sees of failures that are not made for it.
func (d *door) hide(err error) web.Visible {
	f := fail(http.StatusInternalServerError, "server_error", 0, "The server met an internal error.")
	if large, ok := errors.AsType[*web.TooLarge](err); ok {
		f = fail(http.StatusRequestEntityTooLarge, "invalid_request", 9002313,
			"Invalid request. Request is malformed or invalid: %s.", large.Error())
	}
	if fault, ok := errors.AsType[*web.Fault](err); ok {
		f.trace, f.correlation = fault.RequestID, fault.RequestID
	}
	f.at = d.Now()
	return f
}

func notFound(r *http.Request) error {
	return fail(http.StatusNotFound, "invalid_request", 0, "There is nothing at the path '%s' of the token service.", clip(r.URL.Path))
}

func missingParameter(name string) *failure {
	return fail(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
}

func malformed(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, "invalid_request", 9002313,
		"Invalid request. Request is malformed or invalid: %s.", fmt.Sprintf(format, args...))
}

// clip bounds what a message repeats of a request.
func clip(s string) string {
	const limit = 200
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
