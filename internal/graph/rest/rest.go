package rest

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/graph/odata"
	"vitrine/internal/graph/wire"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

const (
	// Root is what all addresses of Graph begin with.
	Root    = "https://graph.microsoft.com/v1.0/"
	maxBody = 1 << 20 // a registration with all its roles and certificates has some 100 KB
)

// Config says what the door works with.
type Config struct {
	Store     *store.Store
	Directory *directory.Directory
	Authn     *authn.Authenticator // for the audience Graph
	Audit     wire.Recorder        // the activity log; nil: none is kept
	Log       *slog.Logger
	Now       func() time.Time // time.Now
}

type server struct {
	Config
	routes []Route
}

// New returns the door that answers by a table of routes. It expects to run within web.Serve, and Now and Log to be set.
func New(cfg Config, routes []Route) http.Handler {
	d := &server{Config: cfg, routes: routes}
	return web.Handler(d.hide, func(w http.ResponseWriter, r *http.Request) error {
		if err := d.serve(w, r); err != nil {
			return d.visible(r, err)
		}
		return nil
	})
}

func (d *server) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("request-id", web.RequestID(r.Context()))
	h.Set("client-request-id", web.CorrelationID(r.Context()))
	h.Set("OData-Version", "4.0")
	h.Set("Cache-Control", "no-cache")
	if err := checkVersion(r.URL.Path); err != nil {
		return err
	}
	who, err := d.Authn.Authenticate(r.Context(), r.Header)
	if err != nil {
		return err
	}
	web.Annotate(r.Context(), slog.Any("caller", who.Primary))
	found, args, err := d.find(r)
	if err != nil {
		return err
	}
	c := &Call{Ctx: r.Context(), Args: args, Who: Caller{Principal: who.Primary}, server: d}
	a, err := d.answer(c, r, found)
	if err != nil {
		d.diary().Refused(r, found.path, who.Primary, found.writes, err)
		return err
	}
	if found.writes {
		d.Log.Info("graph", "method", r.Method, "path", r.URL.Path, "caller", who.Primary)
	}
	return a.write(w, r, c.Query)
}

// answer reads what the request says and runs its handler, in one transaction with what the activity log has of it.
func (d *server) answer(c *Call, r *http.Request, found Route) (a Answer, err error) {
	if c.Query, err = odata.Parse(r.URL.Query()); err != nil {
		return a, err
	}
	if c.Body, err = readBody(r); err != nil {
		return a, err
	}
	if found.prepare != nil {
		if err := found.prepare(c); err != nil {
			return a, err
		}
	}
	run := d.Store.View
	if found.writes {
		run = d.Store.Update
	}
	err = run(r.Context(), func(tx store.Tx) (err error) {
		c.Tx = tx
		if err := d.identify(c); err != nil {
			return err
		}
		if a, err = found.handle(c); err != nil {
			return err
		}
		if err := a.check(c.Query); err != nil || !found.writes { // before a write is kept, not after it
			return err
		}
		return d.diary().Wrote(tx, r, found.path, c.Who.Principal, a.Status, a.Entity == nil && !a.IsList)
	})
	return a, err
}

func (d *server) diary() wire.Diary { return wire.Diary{Recorder: d.Audit, Log: d.Log, Now: d.Now} }

func checkVersion(path string) error {
	version, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	switch strings.ToLower(version) {
	case "v1.0":
		return nil
	case "beta":
		return wire.Unsupported("The beta version of Microsoft Graph")
	}
	return wire.BadRequest("Invalid version: %.40s", version)
}

func readBody(r *http.Request) (wire.Body, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodDelete {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBody {
		return nil, wire.Fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request has more than %d bytes.", maxBody)
	}
	b := wire.Body{}
	if len(raw) == 0 {
		return b, nil
	}
	if err := json.Unmarshal(raw, &b); err != nil || b == nil {
		return nil, wire.BadRequest("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	return b, nil
}
