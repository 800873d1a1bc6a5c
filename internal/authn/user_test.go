package authn_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/directory"
	"vitrine/internal/store"
	"vitrine/internal/token"
)

// person makes a member of tenant 1 and its guest in tenant 2.
func (w *world) person(st *store.Store, name string) (home, guest directory.User) {
	w.t.Helper()
	err := st.Update(w.t.Context(), func(tx store.Tx) (err error) {
		home, err = w.dir.CreateUserIn(tx, directory.User{TenantID: tenant1, UserPrincipalName: name + "@tenant1.onmicrosoft.com", AccountEnabled: true,
			Profile: directory.Profile{DisplayName: name}})
		if err == nil {
			_, err = w.dir.InviteIn(tx, tenant2, home.UserPrincipalName, "")
		}
		if err == nil {
			guest, err = w.dir.RedeemIn(tx, tenant2, home)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return home, guest
}

// userToken makes an access token of a new sign-in.
func (w *world) userToken(st *store.Store, u, home directory.User) (raw, session string) {
	w.t.Helper()
	err := st.Update(w.t.Context(), func(tx store.Tx) (err error) {
		session, err = token.Begin(tx, token.Session{HomeTenant: home.TenantID, HomeObject: home.ObjectID}, w.now().Add(time.Hour))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	r, _ := token.ParseResource("https://management.azure.com/")
	raw, _, err = w.tokens.Issue(w.t.Context(), token.Request{TenantID: u.TenantID, Resource: r, AppID: directory.AzureCLI, AppIDACR: "0", ObjectID: u.ObjectID,
		User: &token.User{Name: "n", UPN: home.UserPrincipalName, HomeTenant: home.TenantID, Scope: "user_impersonation", Session: session}})
	if err != nil {
		w.t.Fatal(err)
	}
	return raw, session
}

func TestUsers(t *testing.T) {
	w := newWorld(t)
	st := w.store
	alice, guest := w.person(st, "alice")
	_, other := w.person(st, "mallory")
	home, session := w.userToken(st, alice, alice)
	abroad, _ := w.userToken(st, guest, alice)
	foreign, _ := w.userToken(st, other, directory.User{TenantID: tenant1, ObjectID: other.HomeObject, UserPrincipalName: "mallory@tenant1.onmicrosoft.com"})
	ask := func(primary string, auxiliary ...string) (authn.Caller, error) {
		h := http.Header{"Authorization": {"Bearer " + primary}}
		for _, a := range auxiliary {
			h.Add("X-Ms-Authorization-Auxiliary", "Bearer "+a)
		}
		return w.auth.Authenticate(t.Context(), h)
	}
	refused := func(name string, err error, words ...string) {
		t.Helper()
		e, ok := errors.AsType[*arm.Error](err)
		if !ok || e.Status != 401 {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, word := range words {
			if !strings.Contains(e.Message, word) {
				t.Errorf("%s: %q lacks %q", name, e.Message, word)
			}
		}
	}
	c, err := ask(home, abroad)
	if err != nil {
		t.Fatal(err)
	}
	in2, ok := c.In(tenant2)
	if c.Primary.Kind != authn.User || c.Primary.ObjectID != alice.ObjectID || c.Primary.Client() != alice.UserPrincipalName || !ok ||
		in2.ObjectID != guest.ObjectID || in2.HomeObject != alice.ObjectID || !in2.Same(c.Primary) {
		t.Errorf("%+v", c)
	}
	_, err = ask(home, foreign)
	refused("another person's auxiliary token", err, "alice@tenant1", "mallory@tenant1", "one identity")
	change := func(tenant, object string, enabled bool) {
		t.Helper()
		if err := st.Update(t.Context(), func(tx store.Tx) error {
			_, err := w.dir.ChangeUserIn(tx, tenant, object, func(u *directory.User) error { u.AccountEnabled = enabled; return nil })
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	change(tenant2, guest.ObjectID, false)
	_, err = ask(abroad)
	refused("disabled guest", err, "is disabled")
	change(tenant2, guest.ObjectID, true)
	change(tenant1, alice.ObjectID, false)
	_, err = ask(abroad)
	refused("disabled at home", err, "is disabled")
	change(tenant1, alice.ObjectID, true)
	if _, err := ask(home); err != nil {
		t.Fatal(err)
	}
	if err := st.Update(t.Context(), func(tx store.Tx) error { return token.End(tx, session) }); err != nil {
		t.Fatal(err)
	}
	_, err = ask(home)
	refused("revoked sign-in", err, "revoked")
}
