package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/web"
)

// Handler is the door management.azure.com: it proves the tokens and hands the request to the pipeline.
func (c *Control) Handler(a *authn.Authenticator) http.Handler {
	return web.Handler(Hide, func(w http.ResponseWriter, r *http.Request) error {
		standardHeaders(w.Header(), r, c.now())
		caller, err := a.Authenticate(r.Context(), r.Header)
		if err != nil {
			return err
		}
		web.Annotate(r.Context(), slog.Any("caller", caller.Primary), slog.Int("auxiliary", len(caller.Auxiliary)))
		request := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header,
			Caller: caller, Peer: r.RemoteAddr, Base: "https://" + strings.TrimSuffix(r.Host, ":443")}
		if err := c.meter(w.Header(), request); err != nil {
			return err
		}
		if request.Body, err = io.ReadAll(r.Body); err != nil {
			return err
		}
		if said := r.Header.Get("Content-Type"); len(request.Body) > 0 && !web.MayBeJSON(said) { // errors.md 7
			return arm.Errorf(415, "UnsupportedMediaType", "The content media type '%.80s' is not supported. Only 'application/json' is supported.", said)
		}
		answer, err := c.Do(r.Context(), request)
		if err != nil {
			return err
		}
		maps.Copy(w.Header(), answer.Header)
		raw := answer.Body
		if r.Method == http.MethodHead {
			raw = nil
		}
		web.Write(w, answer.Status, "application/json; charset=utf-8", raw)
		return nil
	})
}

// Hide words what is not made for callers in ARM's envelope.
func Hide(err error) web.Visible {
	if large, ok := errors.AsType[*web.TooLarge](err); ok {
		return arm.Errorf(413, "RequestEntityTooLarge", "The request content is larger than the limit of %d bytes.", large.Limit)
	}
	if fault, ok := errors.AsType[*web.Fault](err); ok {
		return arm.Internal(fault.RequestID, fault.Cause)
	}
	return arm.Internal("unknown", err)
}

// standardHeaders are on every answer of ARM (real-azure-behaviour 1).
func standardHeaders(h http.Header, r *http.Request, now time.Time) {
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("x-ms-routing-request-id", fmt.Sprintf("VITRINE:%s:%s", now.UTC().Format("20060102T150405Z"), web.RequestID(r.Context())))
}

// Values is the body of a list that has one page.
func Values[T any](items []T) any {
	if items == nil {
		items = []T{}
	}
	return struct {
		Value []T `json:"value"`
	}{items}
}

// Raw makes a route's answer of anything that encoding/json can write.
func Raw(v any) (json.RawMessage, error) { return json.Marshal(v) }
