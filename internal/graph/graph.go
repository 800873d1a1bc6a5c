package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/graph/entity"
	"vitrine/internal/graph/odata"
	"vitrine/internal/graph/wire"
	"vitrine/internal/store"
	"vitrine/internal/web"
)

// Hosts are the names under which this door answers.
func Hosts() []string { return []string{"graph.microsoft.com"} }

const (
	root    = "https://graph.microsoft.com/v1.0/"
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

type door struct {
	Config
	routes []route
}

// New returns the door. It expects to run within web.Serve.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &door{Config: cfg}
	d.routes = d.table()
	return web.Handler(d.hide, func(w http.ResponseWriter, r *http.Request) error {
		if err := d.serve(w, r); err != nil {
			return d.visible(r, err)
		}
		return nil
	})
}

// call is one request within its transaction.
type call struct {
	ctx   context.Context
	tx    store.Tx
	args  []string // what stood in the path's variable places
	query *odata.Query
	body  wire.Body
	who   caller
	prep  any // what was made ready before the transaction
}

// answer is what a handler gives back: one entity, a list, a bare value, or nothing (204).
type answer struct {
	status   int
	entity   *entity.Entity
	list     []*entity.Entity
	isList   bool
	context  string // behind "$metadata#"
	location string
	count    bool // the answer to …/$count: a number alone
}

func (d *door) serve(w http.ResponseWriter, r *http.Request) error {
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
	c := &call{ctx: r.Context(), args: args, who: caller{Principal: who.Primary}}
	if c.query, err = odata.Parse(r.URL.Query()); err != nil {
		return err
	}
	if c.body, err = readBody(r); err != nil {
		return err
	}
	if found.prepare != nil {
		if err := found.prepare(c); err != nil {
			return err
		}
	}
	var a answer
	run := d.Store.View
	if found.writes {
		run = d.Store.Update
	}
	err = run(r.Context(), func(tx store.Tx) (err error) {
		c.tx = tx
		if err := d.identify(c); err != nil {
			return err
		}
		if a, err = found.handle(c); err == nil && found.writes {
			err = d.diary().Wrote(tx, r, who.Primary, a.status, a.entity == nil && !a.isList)
		}
		return err
	})
	if err != nil {
		d.diary().Refused(r, who.Primary, found.writes, err)
		return err
	}
	if found.writes {
		d.Log.Info("graph", "method", r.Method, "path", r.URL.Path, "caller", who.Primary)
	}
	return a.write(w, r, c.query)
}

func (d *door) diary() wire.Diary { return wire.Diary{Recorder: d.Audit, Log: d.Log, Now: d.Now} }

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

// write sends the answer.
func (a answer) write(w http.ResponseWriter, r *http.Request, q *odata.Query) error {
	if a.location != "" {
		w.Header().Set("Location", root+a.location)
	}
	switch {
	case a.isList:
		return a.writeList(w, r, q)
	case a.entity == nil:
		web.Write(w, http.StatusNoContent, "", nil)
		return nil
	}
	sample := a.entity.Kind.Sample
	if len(sample) > 0 {
		if err := (&odata.Query{Select: q.Select}).Check(sample); err != nil {
			return err
		}
	}
	out := a.entity.Shown(q.Select, a.entity.Typed)
	if a.context != "" {
		out["@odata.context"] = root + "$metadata#" + a.context + selected(q) + "/$entity"
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return writeJSON(w, a.status, out)
}

func selected(q *odata.Query) string {
	if len(q.Select) == 0 {
		return ""
	}
	return "(" + strings.Join(q.Select, ",") + ")"
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("graph: encode an answer: %w", err)
	}
	web.Write(w, status, wire.ContentType, raw)
	return nil
}

// look runs a check in a reading transaction of its own, before costly work.
func (d *door) look(c *call, check func(*call) error) error {
	return d.Store.View(c.ctx, func(tx store.Tx) error {
		first := *c
		first.tx = tx
		if err := d.identify(&first); err != nil {
			return err
		}
		return check(&first)
	})
}
