// Package redirect says where an application has registered that its codes go.
//
// It owns the comparison of redirect URIs and nothing else; which forms may be registered is said in package directory:
//
//	authorize ── application, redirect_uri ──▶ Of, Default ──▶ Kind, which the code keeps until it is redeemed
package redirect

import (
	"net/url"
	"slices"
	"strings"

	"vitrine/internal/directory"
)

// Kind is where an application has registered a redirect URI.
type Kind int

// The kinds of redirect URIs.
const (
	None Kind = iota
	Web
	SPA
	Native
)

// Of finds a redirect URI among the registered ones. They are compared letter by letter (RFC 9700, 4.1.3), except that a
// loopback address of http may have any port, as Entra allows since RFC 8252, 7.3.
func Of(app directory.Application, uri string) Kind {
	native := app.Native
	if app.AppID == directory.AzureCLI {
		native = []string{"http://localhost", "https://login.microsoftonline.com/common/oauth2/nativeclient"}
	}
	for _, platform := range []struct {
		kind Kind
		uris []string
	}{{Web, app.Web.RedirectURIs}, {SPA, app.SPA}, {Native, native}} {
		if slices.ContainsFunc(platform.uris, func(r string) bool { return r == uri || sameLoopback(r, uri) }) {
			return platform.kind
		}
	}
	return None
}

// Default is what an application gets that names no redirect URI: the first one.
func Default(app directory.Application) string {
	all := slices.Concat(app.Web.RedirectURIs, app.SPA, app.Native)
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// sameLoopback compares two addresses of this host without their ports. "http://localhost" and "http://localhost/" are the same.
func sameLoopback(registered, uri string) bool {
	a, errA := url.Parse(registered)
	b, errB := url.Parse(uri)
	if errA != nil || errB != nil || a.Scheme != "http" || b.Scheme != "http" || b.User != nil || b.Fragment != "" || strings.ContainsAny(uri, "\\#") {
		return false
	}
	host := a.Hostname()
	if host != b.Hostname() || host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return false
	}
	return strings.TrimSuffix(a.EscapedPath(), "/") == strings.TrimSuffix(b.EscapedPath(), "/") && a.RawQuery == b.RawQuery
}
