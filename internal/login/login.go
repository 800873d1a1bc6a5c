package login

import (
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"vitrine/internal/directory"
	"vitrine/internal/token"
	"vitrine/internal/web"
)

// Hosts are the names under which this door answers, the preferred one first.
func Hosts() []string {
	return []string{"login.microsoftonline.com", "login.windows.net", "sts.windows.net"}
}

// Config says what the door works with.
type Config struct {
	Directory *directory.Directory
	Tokens    *token.Service
	Log       *slog.Logger
	Now       func() time.Time // time.Now
}

type door struct {
	Config
	hashing chan struct{} // one place per core: hashing a secret is the costly part of a request from anybody
}

// New returns the door. It expects to run within web.Serve, which limits bodies and gives the IDs that errors quote.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &door{Config: cfg, hashing: make(chan struct{}, runtime.GOMAXPROCS(0))}
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
	}
	if what := unsupported(rest); what != "" {
		return refuseUnsupported(c, what)
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
		return notFound(c.r)
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		f := fail(http.StatusMethodNotAllowed, "invalid_request", 0, "The endpoint only accepts GET requests. Received a %s request.", clip(c.r.Method))
		f.header = map[string]string{"Allow": "GET, HEAD"}
		return f
	}
	c.w.Header().Set("Access-Control-Allow-Origin", "*") // public documents; MSAL.js reads them in a browser
	return answer(c)
}
