package wire

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

// Fail makes an error of its status, code and message.
func Fail(status int, code, message string) *Error {
	return &Error{status: status, code: code, message: message}
}

// Denied is AuthenticationFailed, with the reason where the service tells one.
func Denied(detail string) *Error {
	e := Fail(http.StatusForbidden, "AuthenticationFailed",
		"Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.")
	e.detail = detail
	return e
}

// NoBlob is BlobNotFound.
func NoBlob() *Error {
	return Fail(http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.")
}

// Busy is ServerBusy, after which clients come back.
func Busy(message string) *Error { return Fail(http.StatusServiceUnavailable, "ServerBusy", message) }

// TooLarge is RequestBodyTooLarge, with what else there is to say.
func TooLarge(more string) *Error {
	return Fail(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large and exceeds the maximum permissible limit"+more+".")
}

// MissingLength is MissingContentLengthHeader.
func MissingLength() *Error {
	return Fail(http.StatusLengthRequired, "MissingContentLengthHeader", "The content length header was not specified.")
}

// BadHeader is InvalidHeaderValue.
func BadHeader(name string) *Error {
	return Fail(http.StatusBadRequest, "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format: "+name+".")
}

// MissingHeader is MissingRequiredHeader.
func MissingHeader(name string) *Error {
	return Fail(http.StatusBadRequest, "MissingRequiredHeader", "An HTTP header that's mandatory for this request is not specified: "+name+".")
}

// Because notes the cause, for the log.
func (e *Error) Because(err error) *Error { e.cause = err; return e }

func (e *Error) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.cause.Error()
	}
	return e.code + ": " + e.message
}

// Unwrap gives the cause, for the log.
func (e *Error) Unwrap() error { return e.cause }

// Status is the HTTP status.
func (e *Error) Status() int { return e.status }

// Code is the service's code.
func (e *Error) Code() string { return e.code }

// With gives the error another status; a condition that is not met is 304 for who only reads.
func (e *Error) With(status int) *Error { e.status = status; return e }

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
	return e.status, "application/xml", Document(body)
}

// Document encodes an answer, as the service does: a byte order mark, the declaration, no blanks.
func Document(v any) []byte {
	var b bytes.Buffer
	b.WriteString(bom + `<?xml version="1.0" encoding="utf-8"?>`)
	if err := xml.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // our own structs always encode
	}
	return b.Bytes()
}

// Hide makes what is not ours to show visible.
func Hide(err error) web.Visible {
	var large *web.TooLarge
	if errors.As(err, &large) {
		return TooLarge("")
	}
	e := Fail(http.StatusInternalServerError, "InternalError", "Server encountered an internal error. Please try again after some time.")
	var fault *web.Fault
	if errors.As(err, &fault) {
		e.requestID = fault.RequestID
	}
	e.time = time.Now()
	return e
}
