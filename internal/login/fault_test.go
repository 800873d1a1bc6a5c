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

// A sign-in that is refused after the password was right leaves nothing behind: who tries again and again would fill the store.
func TestRefusedSignInKeepsNothing(t *testing.T) {
	p := newPeople(t)
	p.passwords()
	kept := func() (n int) {
		p.update(func(tx store.Tx) error {
			docs, err := tx.List(store.Query{Kind: "token/kept"})
			n = len(docs)
			return err
		})
		return n
	}
	path := "/" + tenant1 + "/oauth2/v2.0/token"
	for _, tc := range []struct {
		scope, oauth string
		code         int
	}{{"https://graph.microsoft.com/Directory.Read.All", "invalid_grant", 65001}, {"api://" + nobody + "/.default", "invalid_client", 650052}} {
		f := p.form("grant_type", "password", "username", p.alice.UserPrincipalName, "password", password, "scope", tc.scope)
		before := kept()
		checkError(t, tc.scope, p.world, p.post(path, f), 400, tc.oauth, tc.code, "")
		if after := kept(); after != before {
			t.Errorf("%s: %d documents more", tc.scope, after-before)
		}
	}
}
