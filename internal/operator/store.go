package operator

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/client"
	"vitrine/internal/control"
	"vitrine/internal/web"
)

// Images is what the operator may do to stored image bytes. Tenants are given by ID; empty: all.
type Images interface {
	Plan(ctx context.Context, grace time.Duration) (client.CollectPlan, error)
	Usage(ctx context.Context, tenant string) (client.ImageBytes, error)
	Scrub(ctx context.Context, in client.ScrubRequest) (client.Scrubbed, error)
	Metrics(ctx context.Context) ([]Metric, error)
	Keys(ctx context.Context, tenant string) ([]client.TenantKey, error)
	Rotate(ctx context.Context, tenant string) ([]client.TenantKey, error)
	Rewrap(ctx context.Context) (client.Rewrapped, error)
	Shred(ctx context.Context, tenant string, force bool) (client.ShreddedTenant, error)
}

// images routes the acts on stored bytes. Looks are not acts: they are not in the log.
func (d *door) images(mux *http.ServeMux) {
	mux.Handle("POST /v1/images/plan", look(d, func(ctx context.Context, in client.CollectRequest) (any, error) {
		if in.Grace < 0 {
			return nil, arm.Errorf(400, "InvalidParameter", "The grace is a number of seconds, 0 or more.").At("grace")
		}
		return d.Images.Plan(ctx, time.Duration(in.Grace)*time.Second)
	}))
	mux.Handle("POST /v1/images/usage", ofTenant(d, func(ctx context.Context, tenant string) (any, error) { return d.Images.Usage(ctx, tenant) }))
	mux.Handle("POST /v1/images/scrub", act(d, "image scrub", func(ctx context.Context, in client.ScrubRequest) (any, error) {
		return given(d, func() (any, error) { return d.Images.Scrub(ctx, in) })
	}))
	mux.Handle("GET /v1/metrics", web.Handler(control.Hide, d.metrics))
	mux.Handle("POST /v1/keys", ofTenant(d, func(ctx context.Context, tenant string) (any, error) { return d.Images.Keys(ctx, tenant) }))
	mux.Handle("POST /v1/keys/rotate", act(d, "key rotate", func(ctx context.Context, in client.TenantQuery) (any, error) {
		return given(d, func() (any, error) {
			t, err := d.Directory.FindTenant(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			return d.Images.Rotate(ctx, t.ID)
		})
	}))
	mux.Handle("POST /v1/keys/rewrap", act(d, "key rewrap", func(ctx context.Context, _ struct{}) (any, error) {
		return given(d, func() (any, error) { return d.Images.Rewrap(ctx) })
	}))
	mux.Handle("POST /v1/keys/shred", act(d, "key shred", func(ctx context.Context, in client.ShredRequest) (any, error) {
		return given(d, func() (any, error) {
			t, err := d.Directory.FindTenant(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			return d.Images.Shred(ctx, t.ID, in.Force)
		})
	}))
}

// given runs f where this server keeps image bytes.
func given(d *door, f func() (any, error)) (any, error) {
	if d.Images == nil {
		return nil, arm.Errorf(501, "NotImplemented", "This server keeps no image bytes.")
	}
	return f()
}

// look reads a request and answers what changes nothing.
func look[T any](d *door, f func(context.Context, T) (any, error)) http.Handler {
	return d.handle(func(r *http.Request) (any, error) {
		var in T
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
			return nil, arm.Errorf(400, "InvalidRequestContent", "The request cannot be read: %s.", err)
		}
		return given(d, func() (any, error) { return f(r.Context(), in) })
	})
}

// ofTenant is look for a question about one tenant, or about all.
func ofTenant(d *door, f func(ctx context.Context, tenant string) (any, error)) http.Handler {
	return look(d, func(ctx context.Context, in client.TenantQuery) (any, error) {
		if in.Tenant == "" {
			return f(ctx, "")
		}
		t, err := d.Directory.FindTenant(ctx, in.Tenant)
		if err != nil {
			return nil, err
		}
		return f(ctx, t.ID)
	})
}
