// Package web holds the mechanics of serving HTTP that every door shares.
//
// It owns handlers that return their failure, the request and correlation IDs, the access log, the limits on what a
// client may send, and the recovery from a panic. It knows no path, no host, no dialect of errors: a door brings those.
// A request passes like this:
//
//	Serve ── IDs, record for the log, body limit ──▶ Handler ── f(w, r) error ──▶ nil: f has answered
//	  │                                               ├─ Visible: rendered as the door's error
//	  │                                               └─ else: *Fault, logged, hide makes something Visible of it
//	  └◀─ one line of access log, with what Annotate added; never a query, a token or a body
package web
