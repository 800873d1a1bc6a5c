package directory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vitrine/internal/directory"
	"vitrine/internal/store"
)

func in(t *testing.T, st *store.Store, f func(tx store.Tx) error) error {
	t.Helper()
	return st.Update(t.Context(), f)
}

func mustUser(t *testing.T, d *directory.Directory, st *store.Store, tenant directory.Tenant, name, password string) directory.User {
	t.Helper()
	var u directory.User
	var p directory.Password
	var err error
	if password != "" {
		if p, err = d.HashPassword(t.Context(), password, name); err != nil {
			t.Fatal(err)
		}
	}
	err = in(t, st, func(tx store.Tx) error {
		u, err = d.CreateUserIn(tx, directory.User{TenantID: tenant.ID, UserPrincipalName: name + "@" + tenant.Name + ".onmicrosoft.com",
			AccountEnabled: true, Password: p, Profile: directory.Profile{DisplayName: name}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Nobody is without a name to sign in by, and no two have the same.
func TestUserNeedsName(t *testing.T) {
	d, st := newDirectory(t)
	home := mustTenant(t, d, "home")
	for _, upn := range []string{"", " ", "@home.onmicrosoft.com", "alice", "alice@", "alice@elsewhere.example"} {
		err := in(t, st, func(tx store.Tx) error {
			_, err := d.CreateUserIn(tx, directory.User{TenantID: home.ID, UserPrincipalName: upn, Profile: directory.Profile{DisplayName: "x"}})
			return err
		})
		if !errors.Is(err, directory.ErrInvalid) {
			t.Errorf("%q: %v", upn, err)
		}
	}
}

func TestPasswords(t *testing.T) {
	d, st := newDirectory(t)
	home := mustTenant(t, d, "home")
	const good = "Correct-Horse7!"
	u := mustUser(t, d, st, home, "alice", good)
	mustUser(t, d, st, home, "nopassword", "")
	if printed := fmt.Sprintf("%v %+v %#v", u, u, u.Password); strings.Contains(printed, fmt.Sprintf("%v", u.Password.Sum)) {
		t.Errorf("printed: %s", printed)
	}
	for _, tc := range []struct {
		upn, text string
		want      error
	}{
		{"alice@home.onmicrosoft.com", good, nil},
		{"ALICE@Home.onmicrosoft.com", good, nil},
		{"alice@home.onmicrosoft.com", good + "x", directory.ErrWrongPassword},
		{"alice@home.onmicrosoft.com", "", directory.ErrWrongPassword},
		{"alice@home.onmicrosoft.com", strings.Repeat("x", 100_000), directory.ErrWrongPassword},
		{"nopassword@home.onmicrosoft.com", "", directory.ErrWrongPassword},
		{"nobody@home.onmicrosoft.com", good, directory.ErrUserNotFound},
		{"\xff", good, directory.ErrUserNotFound},
	} {
		if _, err := d.VerifyPassword(t.Context(), tc.upn, tc.text); !errors.Is(err, tc.want) {
			t.Errorf("%q %.20q: %v, want %v", tc.upn, tc.text, err, tc.want)
		}
	}
	for _, weak := range []string{"", "short1A", "alllowercaseletters", "12345678", "Alice-12345", strings.Repeat("aA1!", 65), "Has\x00Control1"} {
		if _, err := d.HashPassword(t.Context(), weak, "alice@home.onmicrosoft.com"); !errors.Is(err, directory.ErrInvalid) {
			t.Errorf("%.20q was accepted: %v", weak, err)
		}
	}
	err := in(t, st, func(tx store.Tx) error {
		_, err := d.ChangeUserIn(tx, home.ID, u.ObjectID, func(u *directory.User) error { u.AccountEnabled = false; return nil })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.VerifyPassword(t.Context(), u.UserPrincipalName, good); !errors.Is(err, directory.ErrDisabled) {
		t.Errorf("disabled: %v", err)
	}
	if _, err := d.VerifyPassword(t.Context(), u.UserPrincipalName, "Wrong-Horse7!"); !errors.Is(err, directory.ErrWrongPassword) {
		t.Errorf("disabled, wrong password: %v", err)
	}
}

// Nested groups with a circle: everything once, and it ends.
func TestGroups(t *testing.T) {
	d, st := newDirectory(t)
	home, abroad := mustTenant(t, d, "home"), mustTenant(t, d, "abroad")
	alice, stranger := mustUser(t, d, st, home, "alice", ""), mustUser(t, d, st, abroad, "bob", "")
	_, sp := mustApp(t, d, home, "")
	var g [3]directory.Group
	err := in(t, st, func(tx store.Tx) (err error) {
		for i := range g {
			if g[i], err = d.CreateGroupIn(tx, directory.Group{TenantID: home.ID, DisplayName: fmt.Sprint("g", i), SecurityEnabled: true}); err != nil {
				return err
			}
		}
		for _, m := range [][2]string{{g[0].ObjectID, alice.ObjectID}, {g[1].ObjectID, g[0].ObjectID}, {g[2].ObjectID, g[1].ObjectID}, {g[0].ObjectID, g[2].ObjectID}, {g[2].ObjectID, sp.ObjectID}} {
			if err := d.AddMemberIn(tx, home.ID, m[0], m[1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := []string{g[0].ObjectID, g[1].ObjectID, g[2].ObjectID}
	slices.Sort(all)
	check := func(what string, tenant, id string, want []string) {
		t.Helper()
		err := st.View(t.Context(), func(tx store.Tx) error {
			got, err := d.MemberOf(tx, tenant, id)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	check("alice", home.ID, alice.ObjectID, all)
	check("alice, asked in another tenant", abroad.ID, alice.ObjectID, nil)
	check("nobody", home.ID, "x", nil)
	for what, tc := range map[string]struct {
		group, member string
		want          error
	}{
		"twice":             {g[0].ObjectID, alice.ObjectID, directory.ErrExists},
		"itself":            {g[0].ObjectID, g[0].ObjectID, directory.ErrInvalid},
		"of another tenant": {g[0].ObjectID, stranger.ObjectID, directory.ErrObjectNotFound},
		"no group":          {alice.ObjectID, sp.ObjectID, directory.ErrGroupNotFound},
	} {
		if err := in(t, st, func(tx store.Tx) error { return d.AddMemberIn(tx, home.ID, tc.group, tc.member) }); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", what, err, tc.want)
		}
	}
	if err := in(t, st, func(tx store.Tx) error { return d.DeleteGroupIn(tx, home.ID, g[0].ObjectID) }); err != nil {
		t.Fatal(err)
	}
	check("alice, after her group went", home.ID, alice.ObjectID, nil)
	check("the application", home.ID, sp.ObjectID, []string{g[2].ObjectID})
}

// A guest acts as long as the person at home may, and only for that person.
func TestGuests(t *testing.T) {
	d, st := newDirectory(t)
	home, abroad := mustTenant(t, d, "home"), mustTenant(t, d, "abroad")
	alice, eve := mustUser(t, d, st, home, "alice", ""), mustUser(t, d, st, home, "eve", "")
	var guest directory.User
	active := func() error {
		return st.View(t.Context(), func(tx store.Tx) error { _, err := d.ActiveUserIn(tx, abroad.ID, guest.ObjectID); return err })
	}
	err := in(t, st, func(tx store.Tx) (err error) {
		guest, err = d.InviteIn(tx, abroad.ID, alice.UserPrincipalName, "")
		return err
	})
	if err != nil || guest.UserPrincipalName != "alice_home.onmicrosoft.com#EXT#@abroad.onmicrosoft.com" || guest.State != directory.PendingAcceptance {
		t.Fatalf("guest %+v, %v", guest, err)
	}
	if err := active(); !errors.Is(err, directory.ErrUserNotFound) {
		t.Errorf("before it was accepted: %v", err)
	}
	hash, err := d.HashPassword(t.Context(), "Correct-Horse7!", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := in(t, st, func(tx store.Tx) error {
		_, err := d.ChangeUserIn(tx, abroad.ID, guest.ObjectID, func(u *directory.User) error { u.Password = hash; return nil })
		return err
	}); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("a password before it was accepted: %v", err)
	}
	redeem := func(u directory.User) error {
		return in(t, st, func(tx store.Tx) error { _, err := d.RedeemIn(tx, abroad.ID, u); return err })
	}
	if err := redeem(eve); !errors.Is(err, directory.ErrUserNotFound) {
		t.Errorf("somebody else accepted: %v", err)
	}
	if err := redeem(alice); err != nil {
		t.Fatal(err)
	}
	if err := active(); err != nil {
		t.Errorf("after: %v", err)
	}
	if all, err := d.Presences(t.Context(), alice); err != nil || len(all) != 2 {
		t.Errorf("presences: %v %v", all, err)
	}
	if err := in(t, st, func(tx store.Tx) error { return d.DeleteUserIn(tx, home.ID, alice.ObjectID) }); err != nil {
		t.Fatal(err)
	}
	if err := active(); !errors.Is(err, directory.ErrUserNotFound) {
		t.Errorf("after the person was deleted at home: %v", err)
	}
	again := mustUser(t, d, st, home, "alice", "") // of the same name, another person
	if err := redeem(again); !errors.Is(err, directory.ErrUserNotFound) {
		t.Errorf("a person of the same name took the guest over: %v", err)
	}
	for _, name := range []string{"x@nowhere.example", "x@abroad.onmicrosoft.com", "x", "@home.onmicrosoft.com"} {
		if err := in(t, st, func(tx store.Tx) error { _, err := d.InviteIn(tx, abroad.ID, name, ""); return err }); !errors.Is(err, directory.ErrInvalid) {
			t.Errorf("invite %q: %v", name, err)
		}
	}
}

func TestNamesAreOnesOwn(t *testing.T) {
	d, st := newDirectory(t)
	home, abroad := mustTenant(t, d, "home"), mustTenant(t, d, "abroad")
	app, _ := mustApp(t, d, home, "")
	add := func(uri string) error {
		return in(t, st, func(tx store.Tx) error {
			if err := d.AddDomainIn(tx, home.ID, "images.example"); err != nil {
				return err
			}
			_, err := d.ChangeApplicationIn(tx, app.AppID, func(a *directory.Application) error { a.IdentifierURIs = []string{uri}; return nil })
			return err
		})
	}
	for uri, ok := range map[string]bool{"api://" + app.AppID: true, "api://" + home.ID + "/x": true, "https://images.example/api": true, "https://api.images.example": true,
		"https://home.onmicrosoft.com/x": true, "https://abroad.onmicrosoft.com/x": false, "https://management.azure.com": false, "api://x": false, "api://" + abroad.ID: false,
		"https://evilimages.example": false, "x": false, "https://images.example.evil.org/": false} {
		if err := add(uri); (err == nil) != ok {
			t.Errorf("%s: %v, want %v", uri, err, ok)
		}
	}
	if err := in(t, st, func(tx store.Tx) error { return d.AddDomainIn(tx, abroad.ID, "images.example") }); !errors.Is(err, directory.ErrExists) {
		t.Errorf("a domain of another tenant: %v", err)
	}
}

// However the last Global Administrator would go, it stays.
func TestLastAdministrator(t *testing.T) {
	d, st := newDirectory(t)
	home := mustTenant(t, d, "home")
	app, sp := mustApp(t, d, home, "")
	alice := mustUser(t, d, st, home, "alice", "")
	give := func(id string) {
		t.Helper()
		if err := in(t, st, func(tx store.Tx) error { return d.SetRoleIn(tx, home.ID, id, directory.GlobalAdministrator, true) }); err != nil {
			t.Fatal(err)
		}
	}
	disable := func(tx store.Tx) error {
		_, err := d.ChangePrincipalIn(tx, home.ID, app.AppID, func(p *directory.ServicePrincipal) error { p.AccountEnabled = false; return nil })
		return err
	}
	give(sp.ObjectID)
	for what, f := range map[string]func(store.Tx) error{"disable": disable,
		"take the role": func(tx store.Tx) error {
			return d.SetRoleIn(tx, home.ID, sp.ObjectID, directory.GlobalAdministrator, false)
		},
		"delete":                 func(tx store.Tx) error { return d.DeletePrincipalIn(tx, home.ID, app.AppID) },
		"delete the application": func(tx store.Tx) error { return d.DeleteApplicationIn(tx, app.AppID) }} {
		if err := in(t, st, f); !errors.Is(err, directory.ErrLastAdministrator) {
			t.Errorf("%s: %v", what, err)
		}
	}
	give(alice.ObjectID)
	if err := in(t, st, disable); err != nil {
		t.Errorf("with another administrator: %v", err)
	}
	if err := in(t, st, func(tx store.Tx) error { return d.DeleteUserIn(tx, home.ID, alice.ObjectID) }); !errors.Is(err, directory.ErrLastAdministrator) {
		t.Errorf("the other one is disabled: %v", err)
	}
}
