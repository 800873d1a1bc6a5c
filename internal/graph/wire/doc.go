// Package wire is what goes over Microsoft Graph's wire but is no entity: the members of a request's body, the forms of credentials in it, and
// errors in Graph's envelope.
//
// It knows no path and no caller:
//
//	bytes ── Body.Fields(places) ──▶ values     an engine's error ── Words ──▶ *Error ── Render ──▶ bytes
package wire
