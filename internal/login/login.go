package login

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/login/grant"
	"vitrine/internal/store"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// Hosts are the names under which this door answers, the preferred one first.
func Hosts() []string {
	return []string{"login.microsoftonline.com", "login.windows.net", "sts.windows.net"}
}

// Config says what the door works with.
type Config struct {
	Store     *store.Store
	Directory *directory.Directory
	Tokens    *token.Service
	Log       *slog.Logger
	Now       func() time.Time // time.Now
	Fetcher   *web.Fetcher     // reads other issuers' keys, from those that the operator allows; nil: none
	Passwords bool             // the password grant is on
	Audit     SignIns          // nil: no log of sign-ins is kept
}

type door struct {
	Config
	grants *grant.Grants
}

// New returns the door. It expects to run within web.Serve, which limits bodies and gives the IDs that errors quote.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := grant.Config{Store: cfg.Store, Directory: cfg.Directory, Tokens: cfg.Tokens, Log: cfg.Log, Now: cfg.Now, Passwords: cfg.Passwords}
	if cfg.Fetcher != nil {
		g.Fetch, g.Allowed = cfg.Fetcher.Get, cfg.Fetcher.Allowed
	}
	d := &door{Config: cfg, grants: grant.New(g)}
	return web.Handler(d.hide, func(w http.ResponseWriter, r *http.Request) error {
		return d.stamp(r, d.serve(w, r))
	})
}

// call is one request on its way: the tenant as the path names it.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	tenant string
}

// serve finds the answer to a path. Entra's paths have no case, and a doubled slash counts once.
func (d *door) serve(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	segments := strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' })
	if len(segments) < 2 || len(r.URL.Path) > 1024 {
		return notFound(r)
	}
	c := call{w, r, segments[0]}
	rest := strings.ToLower(strings.Join(segments[1:], "/"))
	switch rest {
	case "oauth2/token":
		return d.token(c, 1)
	case "oauth2/v2.0/token":
		return d.token(c, 2)
	case "oauth2/devicecode":
		return d.deviceCode(c, 1)
	case "oauth2/v2.0/devicecode":
		return d.deviceCode(c, 2)
	}
	if answer := d.browse(rest); answer != nil {
		return d.paged(c, answer)
	}
	return d.discover(c, rest)
}

// discover answers what can only be read.
func (d *door) discover(c call, rest string) error {
	var answer func(call) error
	switch rest {
	case ".well-known/openid-configuration":
		answer = func(c call) error { return d.configuration(c, 1) }
	case "v2.0/.well-known/openid-configuration":
		answer = func(c call) error { return d.configuration(c, 2) }
	case "discovery/instance":
		answer = d.instance
	case "discovery/keys", "discovery/v2.0/keys":
		answer = d.keys
	default:
		if !strings.HasPrefix(rest, "userrealm/") {
			return notFound(c.r)
		}
		answer = d.realm
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return onlyMethods(c.r, http.StatusMethodNotAllowed, 0, "GET, HEAD")
	}
	c.w.Header().Set("Access-Control-Allow-Origin", "*") // public documents; MSAL.js reads them in a browser
	return answer(c)
}
