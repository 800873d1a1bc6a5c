package login

import (
	"errors"
	"net/http"

	"vitrine/internal/login/aadsts"
	"vitrine/internal/web"
)

// stamp completes a failure with what identifies the request, and forbids to keep the answer.
func (d *door) stamp(r *http.Request, err error) error {
	if f, ok := errors.AsType[*aadsts.Failure](err); ok {
		f.Trace, f.Correlation, f.At = web.RequestID(r.Context()), web.CorrelationID(r.Context()), d.Now()
		_ = f.With("Cache-Control", "no-store, no-cache").With("Pragma", "no-cache")
	}
	return err
}

// hide gives what a client sees of failures that are not made for it.
func (d *door) hide(err error) web.Visible {
	f := aadsts.Fail(http.StatusInternalServerError, "server_error", 0, "The server met an internal error.")
	if large, ok := errors.AsType[*web.TooLarge](err); ok {
		f = aadsts.Malformed("%s", large.Error())
		f.Status = http.StatusRequestEntityTooLarge
	}
	if fault, ok := errors.AsType[*web.Fault](err); ok {
		f.Trace, f.Correlation = fault.RequestID, fault.RequestID
	}
	f.At = d.Now()
	return f
}

func notFound(r *http.Request) error {
	return aadsts.Fail(http.StatusNotFound, "invalid_request", 0, "There is nothing at the path '%s' of the token service.", aadsts.Clip(r.URL.Path))
}

// onlyMethods refuses methods that an endpoint does not have.
func onlyMethods(r *http.Request, status, code int, allow string) error {
	return aadsts.Fail(status, "invalid_request", code, "The endpoint only accepts %s requests. Received a %s request.", allow, aadsts.Clip(r.Method)).
		With("Allow", allow)
}
