package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/directory"
	"vitrine/internal/directory/consent"
	"vitrine/internal/directory/guess"
	"vitrine/internal/graph/odata"
)

// Error is an error in Microsoft Graph's dialect.
type Error struct {
	status            int
	code, message     string
	header            map[string]string
	cause             error
	requestID, client string
	time              time.Time
}

// Fail makes an error.
func Fail(status int, code, format string, args ...any) *Error {
	return &Error{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// BadRequest is Graph's commonest refusal.
func BadRequest(format string, args ...any) *Error {
	return Fail(http.StatusBadRequest, "Request_BadRequest", format, args...)
}

// Denied is Entra's answer to whoever lacks a directory role. az recognises the words "Insufficient privileges".
func Denied() *Error {
	return Fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

// Missing is the answer for what is not there.
func Missing(id string) *Error {
	return Fail(http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '%.200s' does not exist or one of its queried reference-property objects are not present.", id)
}

// Unsupported names what this server has not.
func Unsupported(what string) *Error {
	return Fail(http.StatusNotImplemented, "NotImplemented", "%s is not supported by this server.", what)
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.cause.Error()
	}
	return e.code + ": " + e.message
}

// Unwrap gives the cause, for the log.
func (e *Error) Unwrap() error { return e.cause }

// Headers implements web.Headed.
func (e *Error) Headers() map[string]string { return e.header }

// Render implements web.Visible.
func (e *Error) Render() (int, string, []byte) {
	inner := map[string]string{"date": e.time.UTC().Format("2006-01-02T15:04:05"), "request-id": e.requestID, "client-request-id": e.client}
	body, err := json.Marshal(map[string]any{"error": map[string]any{"code": e.code, "message": e.message, "innerError": inner}})
	if err != nil {
		return http.StatusInternalServerError, "text/plain", nil
	}
	return e.status, ContentType, body
}

// Words gives what the engines answer Graph's code and sentence; nil: it is a fault of ours.
func Words(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*odata.Error](err); ok {
		return Fail(e.Status, e.Code, "%s", e.Message)
	}
	if e, ok := errors.AsType[*arm.Error](err); ok && e.Status == http.StatusUnauthorized {
		return unauthenticated(e)
	}
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, consent.ErrNotFound):
		e = Missing(strings.TrimSuffix(err.Error(), ": "+consent.ErrNotFound.Error()))
	case errors.Is(err, directory.ErrExists):
		e = Fail(http.StatusBadRequest, "Request_MultipleObjectsWithSameKeyValue", "%s", public(err, directory.ErrExists))
		if strings.Contains(e.message, "already exists on") || strings.Contains(e.message, "references already exist") {
			e.code = "Request_BadRequest"
		}
	case errors.Is(err, directory.ErrInvalid):
		e = BadRequest("%s", public(err, directory.ErrInvalid))
	case errors.Is(err, directory.ErrQuota):
		e = Fail(http.StatusForbidden, "Directory_QuotaExceeded", "%s", public(err, directory.ErrQuota))
	case errors.Is(err, directory.ErrSingleTenant):
		e = BadRequest("%s", public(err, directory.ErrSingleTenant))
	case errors.Is(err, directory.ErrLastAdministrator):
		e = BadRequest("The last %s of a tenant cannot be removed or disabled.", directory.GlobalAdministrator)
	case errors.Is(err, directory.ErrWrongPassword):
		e = BadRequest("The specified password does not match the current one.")
	case errors.Is(err, guess.ErrTooMany):
		e = Fail(http.StatusTooManyRequests, "TooManyRequests", "The account is locked: the current password was wrong too many times. Try again later.")
	case directory.IsMissing(err):
		e = Fail(http.StatusNotFound, "Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present: %s", err)
	default:
		return nil
	}
	e.cause = err
	return e
}

// public is a directory error's sentence without the sentinel at its end.
func public(err, sentinel error) string {
	text := strings.TrimSuffix(err.Error(), ": "+sentinel.Error())
	return strings.ToUpper(text[:1]) + text[1:]
}

// unauthenticated tells in Graph's words why there is no caller. Clients read the challenge of the header.
func unauthenticated(cause *arm.Error) *Error {
	e := Fail(http.StatusUnauthorized, "InvalidAuthenticationToken", "%s", cause.Message)
	switch cause.Code {
	case "AuthenticationFailed":
		e.message = "Access token is empty."
	case "InvalidAuthenticationTokenAudience":
		e.message = "Access token validation failure. Invalid audience."
	case "ExpiredAuthenticationToken":
		e.message = "Lifetime validation failed, the token is expired."
	}
	e.header, e.cause = cause.Header, cause
	return e
}

// For stamps the error with the request that it answers.
func (e *Error) For(requestID, clientID string, now time.Time) *Error {
	out := *e
	out.requestID, out.client, out.time = requestID, clientID, now
	return &out
}
