// Package page draws the pages of the token service: signing in, consent, device codes, refusals.
//
// It owns the templates, their style and the policy under which a browser shows them. It decides nothing and reads no
// request: login hands it values and writes out what it returns. A page passes like this:
//
//	login ── SignIn, Consent, Device, Failure, … ──▶ Render ──▶ bytes, and the Content-Security-Policy that goes with them
//
// The pages need no script and load nothing: the policy allows one style sheet by its digest, and forms to ourselves and to
// the redirect URI of the application. They work by keyboard and with a screen reader: every field has a label, errors are
// announced, the order of the page is the order of the keys.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strings"
)

//go:embed templates
var files embed.FS

// Drawn is a page ready to be sent.
type Drawn struct {
	Body   []byte
	Policy string // Content-Security-Policy
}

// SignIn asks for a name and a password.
type SignIn struct {
	App   string // to which application the person signs in
	Name  string // to begin with
	Fault string
	Token string // against forged requests
}

// Renew asks for a new password in place of an expired one, which it asks for once more.
type Renew struct{ App, Name, Fault, Token string }

// Consent asks an administrator for what an application wants.
type Consent struct {
	App, AppID             string
	Publisher, PublisherID string
	Tenant, TenantID       string
	Person                 string
	New                    bool // the application is not in the tenant yet
	Rights                 []Right
	Token                  string
}

// Right is one thing that an application asks for: a permission of a resource, to act for people or as itself.
type Right struct {
	Resource, Name, Text string
	Itself, Unknown      bool
}

// Device asks for the code that a device shows.
type Device struct{ Code, Fault, Token string }

// Confirm asks whether a device may sign in as the person. It says who published the application, whose name anybody may choose, and from
// which address the code was asked for.
type Confirm struct {
	App, Publisher, PublisherID string
	Source                      string
	Person, Code, Token         string
}

// Invitation asks a guest who comes to an organization for the first time.
type Invitation struct {
	Tenant, TenantID, Person string
	To                       string // where accepting leads, if elsewhere
	Code                     string // of a device, if one asks
	Token                    string
}

// Failure shows why there is nothing else to see.
type Failure struct{ Title, Sentence, Correlation, Trace, Time string }

// Message says that something is done.
type Message struct{ Title, Text string }

// Post sends an answer to the application by a form, since it asked for response_mode=form_post.
type Post struct {
	Action string
	Fields []Field
}

// Field is one hidden field.
type Field struct{ Name, Value string }

// Render draws a page. Forms may also lead to where the addresses in to are, for the redirect after them.
func Render(v any, to ...string) (Drawn, error) {
	name := ""
	switch v.(type) {
	case SignIn:
		name = "signin"
	case Renew:
		name = "renew"
	case Consent:
		name = "consent"
	case Device:
		name = "device"
	case Confirm:
		name = "confirm"
	case Invitation:
		name = "invitation"
	case Failure:
		name = "failure"
	case Message:
		name = "message"
	case Post:
		name = "post"
	default:
		return Drawn{}, fmt.Errorf("page: there is no page of %T", v)
	}
	css, err := files.ReadFile("templates/style.css")
	if err != nil {
		return Drawn{}, fmt.Errorf("page: %w", err)
	}
	t, err := template.New("").Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(css) }}).
		ParseFS(files, "templates/frame.html", "templates/"+name+".html")
	if err != nil {
		return Drawn{}, fmt.Errorf("page: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "frame", v); err != nil {
		return Drawn{}, fmt.Errorf("page: draw %s: %w", name, err)
	}
	sum := sha256.Sum256(css)
	return Drawn{Body: b.Bytes(), Policy: policy(base64.StdEncoding.EncodeToString(sum[:]), to)}, nil
}

// policy lets the page do what it needs and nothing else. Browsers check form-action on redirects too, so that the redirect
// URI's origin has to be in it; an address that is not plainly an origin is left out, and the browser stops there.
func policy(style string, to []string) string {
	forms := "'self'"
	for _, address := range to {
		u, err := url.Parse(address)
		if err != nil || u.Scheme == "" {
			continue
		}
		switch u.Scheme {
		case "http", "https":
			if u.Host == "" || strings.ContainsAny(u.Host, `;,*'"`) { // "https:" alone would be every host, ";" another directive
				continue
			}
			forms += " " + (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
		default:
			forms += " " + u.Scheme + ":"
		}
	}
	return "default-src 'none'; style-src 'sha256-" + style + "'; form-action " + forms + "; base-uri 'none'; frame-ancestors 'none'"
}
