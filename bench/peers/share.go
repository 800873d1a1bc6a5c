package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/client"
)

// rowShare shares a gallery and takes it back at one server, until a consumer's request at another one sees it.
func rowShare(ctx context.Context, b *bench) error {
	pg, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer pg.end()
	dir, err := b.scratch("share")
	if err != nil {
		return err
	}
	args := []string{"--database", pg.dsn(), "--key-file", filepath.Join(dir, "master.key")}
	s := sharing{}
	one, err := b.startOursIn(ctx, filepath.Join(dir, "a"), args...)
	if err != nil {
		return err
	}
	defer one.end()
	two, err := b.startOursIn(ctx, filepath.Join(dir, "b"), args...)
	if err != nil {
		return err
	}
	defer two.end()
	if err := s.prepare(ctx, one, two); err != nil {
		return err
	}
	cs, got, err := s.rounds(ctx, b.rounds)
	if err != nil {
		return err
	}
	for _, c := range cs {
		b.compare(line{What: c.name + ", until another tenant's request at another server sees it", Unit: "s", Target: 1, Alone: true, Data: "PostgreSQL, two servers"}, []contender{c}, got, wallOf)
	}
	g := b.growth("share and revoke, until seen", "s", "subscriptions that the gallery is shared with already")
	have := 0
	for _, n := range []int{60, 240, 960} {
		if err := s.fill(ctx, one, n-have); err != nil {
			return err
		}
		have = n
		cs, got, err := s.rounds(ctx, min(3, b.rounds))
		if err != nil {
			return err
		}
		g.add(float64(n), cs, got, wallOf)
	}
	return nil
}

// fill shares the gallery with subscriptions of nobody.
func (s *sharing) fill(ctx context.Context, o *ours, n int) error {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	body := map[string]any{"operationType": "Add", "groups": []any{map[string]any{"type": "Subscriptions", "ids": ids}}}
	if err := s.here.Do(ctx, http.MethodPost, s.gallery+"/share", s.versionSharing, body, nil); err != nil {
		return err
	}
	return o.succeeded(ctx, s.gallery, s.versionSharing)
}

// rounds share and revoke.
func (s *sharing) rounds(ctx context.Context, n int) ([]contender, map[string][]sample, error) {
	cs := []contender{
		{name: "share", run: func(int) (sample, error) { return s.until(ctx, "Add", true) }},
		{name: "revoke", run: func(int) (sample, error) { return s.until(ctx, "Remove", false) }},
	}
	got := map[string][]sample{}
	for range n { // in this order, not in turns
		for _, c := range cs {
			v, err := c.run(0)
			if err != nil {
				return nil, nil, err
			}
			got[c.name] = append(got[c.name], v)
		}
	}
	return cs, got, nil
}

// sharing is a gallery of one tenant and a consumer of another one.
type sharing struct {
	here, there    *client.ARM
	gallery, seen  string
	consumer       string // its subscription
	versionSharing string
}

func (s *sharing) prepare(ctx context.Context, one, two *ours) error {
	var consumer client.Tenant
	err := errors.Join(one.settle(ctx), one.operator.Do(ctx, "/v1/tenants", client.TenantRequest{Name: "fabrikam"}, &consumer))
	if err != nil {
		return err
	}
	s.here, s.gallery, s.consumer = one.arm, one.compute("galleries/shop"), consumer.SubscriptionID
	s.versionSharing = "2024-03-03"
	if s.there, err = client.NewARM(two.where, one.operator.TokensOf("fabrikam", "")); err != nil {
		return err
	}
	s.seen = "/subscriptions/" + s.consumer + "/providers/Microsoft.Compute/locations/" + home + "/sharedGalleries/" + one.tenant.SubscriptionID + "-SHOP"
	err = s.here.Do(ctx, http.MethodPut, s.gallery, s.versionSharing, map[string]any{"location": home}, nil)
	if err == nil {
		err = s.visible(ctx, false)
	}
	return err
}

// until changes the share at one server and asks at the other one until it sees that, from the sending of the change on.
func (s *sharing) until(ctx context.Context, operation string, visible bool) (sample, error) {
	body := map[string]any{"operationType": operation, "groups": []any{map[string]any{"type": "Subscriptions", "ids": []string{s.consumer}}}}
	begin, done := time.Now(), make(chan error, 1)
	go func() { done <- s.here.Do(ctx, http.MethodPost, s.gallery+"/share", s.versionSharing, body, nil) }() // its operation ends later
	err := s.visible(ctx, visible)
	out := sample{wall: since(begin)}
	return out, errors.Join(err, <-done)
}

func (s *sharing) visible(ctx context.Context, want bool) error {
	return polled(ctx, func() (bool, error) {
		err := s.there.Get(ctx, s.seen, s.versionSharing, nil)
		if e, ok := errors.AsType[*arm.Error](err); ok && e.Code == "ResourceNotFound" {
			return !want, nil
		}
		return want && err == nil, err
	})
}
