package directory

import (
	"errors"
	"sync"
	"testing"
	"time"

	"vitrine/internal/directory/guess"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// TestReprove: whoever holds a person's token gets ten guesses at the password, then a lock that doubles.
func TestReprove(t *testing.T) {
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	d, now := New(st), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	d.now = func() time.Time { return now }
	home, err := d.CreateTenant(t.Context(), Tenant{Name: "home"})
	if err != nil {
		t.Fatal(err)
	}
	const good, bad = "Correct-Horse7!", "Wrong-Horse7!"
	var u User
	err = st.Update(t.Context(), func(tx store.Tx) (err error) {
		u, err = d.CreateUserIn(tx, User{TenantID: home.ID, UserPrincipalName: "alice@home.onmicrosoft.com", AccountEnabled: true, Profile: Profile{DisplayName: "alice"}})
		return err
	})
	if err == nil {
		err = d.SetPassword(t.Context(), home.ID, u.ObjectID, good, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	prove := func(text string, want error) {
		t.Helper()
		if err := d.Reprove(t.Context(), home.ID, u.ObjectID, text); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for range guess.Allowed - 1 {
		prove(bad, ErrWrongPassword)
	}
	prove(good, nil) // begins anew
	var wait sync.WaitGroup
	for range 2 * guess.Allowed { // at the same time
		wait.Go(func() { _ = d.Reprove(t.Context(), home.ID, u.ObjectID, bad) })
	}
	wait.Wait()
	prove(good, guess.ErrTooMany)
	now = now.Add(time.Minute)
	prove(bad, ErrWrongPassword)
	now = now.Add(time.Minute)
	prove(good, guess.ErrTooMany) // twice as long
	now = now.Add(time.Minute)
	prove(good, nil)
	prove(bad, ErrWrongPassword)
	now = now.Add(guess.Kept + time.Second)
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = st.View(t.Context(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: guess.Kind})
		if len(docs) != 0 {
			t.Errorf("%d counts are kept", len(docs))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
