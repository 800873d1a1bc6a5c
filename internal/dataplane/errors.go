package dataplane

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"time"

	"vitrine/internal/web"
)

// Error is an error in the Blob service's dialect.
type Error struct {
	status    int
	code      string
	message   string
	detail    string // AuthenticationErrorDetail
	cause     error
	requestID string
	time      time.Time
}

func fail(status int, code, message string) *Error {
	return &Error{status: status, code: code, message: message}
}

func denied(detail string) *Error {
	e := fail(http.StatusForbidden, "AuthenticationFailed",
		"Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.")
	e.detail = detail
	return e
}

func noBlob() *Error {
	return fail(http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.")
}

func busy(message string) *Error { return fail(http.StatusServiceUnavailable, "ServerBusy", message) }

func badHeader(name string) *Error {
	return fail(http.StatusBadRequest, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format: "+name+".")
}

func missingHeader(name string) *Error {
	return fail(http.StatusBadRequest, "MissingRequiredHeader", "An HTTP header that's mandatory for this request is not specified: "+name+".")
}

func (e *Error) because(err error) *Error { e.cause = err; return e }

func (e *Error) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.cause.Error()
	}
	return e.code + ": " + e.message
}

// Unwrap gives the cause, for the log.
func (e *Error) Unwrap() error { return e.cause }

// Headers implements web.Headed: the code is a header too, so that an answer to HEAD has it.
func (e *Error) Headers() map[string]string { return map[string]string{"x-ms-error-code": e.code} }

const bom = "\ufeff" // the Blob service begins its XML with it

// Render implements web.Visible.
func (e *Error) Render() (int, string, []byte) {
	if e.status == http.StatusNotModified {
		return e.status, "", nil
	}
	body := struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
		Detail  string `xml:"AuthenticationErrorDetail,omitempty"`
	}{Code: e.code, Detail: e.detail,
		Message: fmt.Sprintf("%s\nRequestId:%s\nTime:%s", e.message, e.requestID, e.time.UTC().Format("2006-01-02T15:04:05.0000000Z"))}
	return e.status, "application/xml", document(body)
}

func document(v any) []byte {
	var b bytes.Buffer
	b.WriteString(bom + `<?xml version="1.0" encoding="utf-8"?>`)
	if err := xml.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // our own structs always encode
	}
	return b.Bytes()
}

// hide makes what is not ours to show visible.
func hide(err error) web.Visible {
	var large *web.TooLarge
	if errors.As(err, &large) {
		return fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit.")
	}
	e := fail(http.StatusInternalServerError, "InternalError", "Server encountered an internal error. Please try again after some time.")
	var fault *web.Fault
	if errors.As(err, &fault) {
		e.requestID = fault.RequestID
	}
	e.time = time.Now()
	return e
}
