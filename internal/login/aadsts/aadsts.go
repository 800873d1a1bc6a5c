// Package aadsts is the dialect of the token service's errors: OAuth's error strings with Entra's numbers.
//
// It owns the form of a Failure and its rendering as JSON; which number means what is said where it is raised, each after
// Microsoft's list of AADSTS codes. The pages of login show the same Failure to people. A failure passes like this:
//
//	grant, login ── Fail(status, oauth, code, …) ──▶ login stamps it with the request's IDs ──▶ Render, or a page
package aadsts

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// JSON is the content type of answers.
const JSON = "application/json; charset=utf-8"

// Failure is an OAuth error in Entra's dialect.
type Failure struct {
	Status int
	OAuth  string // the member "error"
	Code   int    // the number of AADSTS, 0 for what Entra has no number for
	Text   string
	Header map[string]string

	// What identifies the request; login fills it in.
	Trace, Correlation string
	At                 time.Time
}

// Fail makes a Failure.
func Fail(status int, oauth string, code int, format string, args ...any) *Failure {
	return &Failure{Status: status, OAuth: oauth, Code: code, Text: fmt.Sprintf(format, args...)}
}

func (f *Failure) Error() string { return f.OAuth + ": " + f.Sentence() }

// Sentence is the text with its number in front.
func (f *Failure) Sentence() string {
	if f.Code == 0 {
		return f.Text
	}
	return "AADSTS" + strconv.Itoa(f.Code) + ": " + f.Text
}

// Description is error_description: the sentence and what identifies the request.
func (f *Failure) Description() string {
	return fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", f.Sentence(), f.Trace, f.Correlation, f.Timestamp())
}

// Timestamp is the time as Entra writes it.
func (f *Failure) Timestamp() string { return f.At.UTC().Format("2006-01-02 15:04:05Z") }

// Headers are further response headers.
func (f *Failure) Headers() map[string]string { return f.Header }

// With adds a response header.
func (f *Failure) With(name, value string) *Failure {
	if f.Header == nil {
		f.Header = map[string]string{}
	}
	f.Header[name] = value
	return f
}

// Render writes the members in Entra's order.
func (f *Failure) Render() (status int, contentType string, body []byte) {
	doc := struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes,omitempty"`
		Timestamp   string `json:"timestamp"`
		Trace       string `json:"trace_id"`
		Correlation string `json:"correlation_id"`
		URI         string `json:"error_uri,omitempty"`
	}{Error: f.OAuth, Description: f.Description(), Timestamp: f.Timestamp(), Trace: f.Trace, Correlation: f.Correlation}
	if f.Code != 0 {
		doc.Codes = []int{f.Code}
		doc.URI = "https://login.microsoftonline.com/error?code=" + strconv.Itoa(f.Code)
	}
	body, err := json.Marshal(doc)
	if err != nil { // strings and a number: cannot happen
		return 500, JSON, []byte(`{"error":"server_error"}`)
	}
	return f.Status, JSON, body
}

// MissingParameter refuses a request that lacks a parameter.
func MissingParameter(name string) *Failure {
	return Fail(400, "invalid_request", 900144, "The request body must contain the following parameter: '%s'.", name)
}

// Malformed refuses a request that cannot be understood.
func Malformed(format string, args ...any) *Failure {
	return Fail(400, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid: %s.", fmt.Sprintf(format, args...))
}

// Clip bounds what a message repeats of a request.
func Clip(s string) string {
	const limit = 200
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
