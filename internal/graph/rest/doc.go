// Package rest is one request of Microsoft Graph on its way: caller, route, transaction, answer.
//
// It owns the forms of paths, lists and bodies, the activity log's view of a request, and the rules by which directory roles allow things.
// It knows no object of the directory by itself: the handlers of graph do.
//
//	request ─▶ authn ─▶ Route ─▶ tx: Caller's directory roles ─▶ Handler(Call) ─▶ Answer ─▶ JSON
package rest
