package login

import (
	"fmt"
	"net/http"
	"strings"

	"vitrine/internal/web"
)

// unsupported names the way to sign in that a path belongs to, when it is one that this server does not have.
func unsupported(rest string) string {
	switch rest {
	case "oauth2/authorize", "oauth2/v2.0/authorize":
		return "Signing in with a browser"
	case "adminconsent", "v2.0/adminconsent":
		return "Consent with a browser"
	case "oauth2/devicecode", "oauth2/v2.0/devicecode":
		return "Signing in with a device code"
	case "oauth2/logout", "oauth2/v2.0/logout":
		return "Signing out with a browser"
	}
	if strings.HasPrefix(rest, "userrealm/") || rest == "userrealm" {
		return "Signing in with a user name and password"
	}
	return ""
}

// refuseUnsupported says so as JSON, or as a page to a browser. Nothing of the request is repeated in the page.
func refuseUnsupported(c call, what string) error {
	text := what + " is not supported by this server yet. An application signs in with a client secret: " +
		"az login --service-principal -u <app ID> -p <secret> --tenant <tenant ID>. " +
		"The operator makes applications and their service principals: vitrine app create, vitrine app consent."
	if !strings.Contains(c.r.Header.Get("Accept"), "text/html") {
		return fail(http.StatusNotImplemented, "not_supported", 0, "%s", text)
	}
	h := c.w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	escaped := strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(text)
	page := fmt.Sprintf("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Not supported</title></head>"+
		"<body><h1>Not supported yet</h1><p>%s</p></body></html>\n", escaped)
	web.Write(c.w, http.StatusNotImplemented, "text/html; charset=utf-8", []byte(page))
	return nil
}
