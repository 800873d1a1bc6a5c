// Package odata understands the query options that Microsoft Graph's clients send: $filter, $select, $orderby, $top, $count and
// $skiptoken.
//
// It owns their grammar, their limits and their meaning for an object that has been made ready to be shown (a JSON object as Go
// maps). It knows neither the directory nor HTTP. What is not supported is an *Error that says so by name. Data passes like this:
//
//	query ── Parse ──▶ Query ── Check(a sample) ── Page(objects) ──▶ those that match, in order, one page, the rest's token
//
// Text is compared without regard to case, as the directory of Entra does.
package odata

import "fmt"

// Error is a fault in a query, worded for the client. Status is 400, or 501 for what is known but not supported.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func bad(format string, args ...any) *Error {
	return &Error{400, "Request_BadRequest", fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) *Error {
	return &Error{501, "Request_UnsupportedQuery", fmt.Sprintf(format, args...)}
}

func invalidFilter(format string, args ...any) *Error {
	return bad("Invalid filter clause: "+format, args...)
}
