package login_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

// brittle is a store of which one read fails: after so many others; 0: none.
type brittle struct {
	store.Driver
	after atomic.Int64
}

type brittleTx struct {
	store.Tx
	d *brittle
}

var errBroken = errors.New("the disk is gone")

func (d *brittle) View(ctx context.Context, f func(store.Tx) error) error {
	return d.Driver.View(ctx, func(tx store.Tx) error { return f(brittleTx{tx, d}) })
}

func (tx brittleTx) Get(key string) (store.Document, error) {
	if tx.d.after.Load() > 0 && tx.d.after.Add(-1) == 0 {
		return store.Document{}, errBroken
	}
	return tx.Tx.Get(key)
}

// Who is not assigned to an application that demands it gets no code, whatever read fails on the way.
func TestNoCodeWhenAReadFails(t *testing.T) {
	p := newPeople(t)
	p.update(func(tx store.Tx) error {
		_, err := p.dir.ChangePrincipalIn(tx, tenant2, p.app.AppID, func(s *directory.ServicePrincipal) error { s.AssignmentRequired = true; return nil })
		return err
	})
	b := p.browser()
	target := authorizeURL(tenant2, 2, "client_id", p.app.AppID, "scope", "openid")
	b.get(target)
	if got := b.signIn(p.bob); got.status != http.StatusBadRequest {
		t.Fatalf("%d %s", got.status, b.page)
	}
	for n := int64(1); ; n++ {
		p.driver.after.Store(n)
		got := b.get(target)
		if p.driver.after.Swap(0) > 0 { // there are no more reads
			if got.status != http.StatusBadRequest || n < 5 {
				t.Errorf("after %d reads: %d", n-1, got.status)
			}
			return
		}
		if got.status != http.StatusInternalServerError || got.header.Get("Location") != "" {
			t.Errorf("read %d fails: %d %q", n, got.status, got.header.Get("Location"))
		}
	}
}
