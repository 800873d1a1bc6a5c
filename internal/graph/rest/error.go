package rest

import (
	"errors"
	"net/http"

	"vitrine/internal/graph/wire"
	"vitrine/internal/web"
)

// visible words what the engines answer, and stamps it. Anything else stays a fault of ours.
func (d *server) visible(r *http.Request, err error) error {
	e := wire.Words(err)
	if e == nil {
		return err
	}
	return e.For(web.RequestID(r.Context()), web.CorrelationID(r.Context()), d.Now())
}

// hide shows a fault of ours, and nothing of it.
func (d *server) hide(err error) web.Visible {
	e := wire.Fail(http.StatusInternalServerError, "InternalServerError", "The server encountered an error. The log has it under the request ID.")
	if tooLarge, ok := errors.AsType[*web.TooLarge](err); ok {
		e = wire.Fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request has more than %d bytes.", tooLarge.Limit)
	}
	id := ""
	if fault, ok := errors.AsType[*web.Fault](err); ok {
		id = fault.RequestID
	}
	return e.For(id, id, d.Now())
}
