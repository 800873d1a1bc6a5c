package directory

import (
	"errors"
	"fmt"
	"testing"

	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// Chains of groups end at a limit, from whichever end they are made longer, and a circle is no way around it.
func TestNestingLimits(t *testing.T) {
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	d := New(st)
	tenant, err := d.CreateTenant(t.Context(), Tenant{Name: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	update := func(f func(store.Tx) error) {
		t.Helper()
		if err := st.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx store.Tx) error {
		for i := range maxNesting + 3 {
			g, err := d.CreateGroupIn(tx, Group{TenantID: tenant.ID, DisplayName: fmt.Sprint("g", i), SecurityEnabled: true})
			if err != nil {
				return err
			}
			ids = append(ids, g.ObjectID)
		}
		for i := range maxNesting { // ids[0] holds ids[1] holds …
			if err := d.AddMemberIn(tx, tenant.ID, ids[i], ids[i+1]); err != nil {
				return fmt.Errorf("link %d: %w", i, err)
			}
		}
		return nil
	})
	last, spare := ids[maxNesting], ids[maxNesting+1:]
	for name, link := range map[string][2]string{"at the bottom": {last, spare[0]}, "at the top": {spare[0], ids[0]}} {
		if err := st.Update(t.Context(), func(tx store.Tx) error { return d.AddMemberIn(tx, tenant.ID, link[0], link[1]) }); !errors.Is(err, ErrQuota) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// In the middle: two halves that are short by themselves.
	update(func(tx store.Tx) error { return d.AddMemberIn(tx, tenant.ID, spare[0], spare[1]) })
	if err := st.Update(t.Context(), func(tx store.Tx) error { return d.AddMemberIn(tx, tenant.ID, last, spare[0]) }); !errors.Is(err, ErrQuota) {
		t.Errorf("two chains: %v", err)
	}
	update(func(tx store.Tx) error {
		groups, err := d.MemberOf(tx, tenant.ID, last)
		if len(groups) != maxNesting {
			t.Errorf("%d groups", len(groups))
		}
		return err
	})
}

// An object is a direct member of so many groups and of no more.
func TestMembershipLimit(t *testing.T) {
	st := store.New(memstore.Open())
	t.Cleanup(func() { _ = st.Close() })
	d := New(st)
	tenant, err := d.CreateTenant(t.Context(), Tenant{Name: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(tx store.Tx) error {
		u, err := d.CreateUserIn(tx, User{TenantID: tenant.ID, UserPrincipalName: "a@contoso.onmicrosoft.com", AccountEnabled: true, Profile: Profile{DisplayName: "a"}})
		if err != nil {
			return err
		}
		g, err := d.CreateGroupIn(tx, Group{TenantID: tenant.ID, DisplayName: "g", SecurityEnabled: true})
		if err != nil {
			return err
		}
		for i := range maxMemberOf { // as many memberships as there may be, without the cost of their groups
			id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
			if _, err := tx.Put(store.Document{Key: memberKey(tenant.ID, id, u.ObjectID), Kind: KindMember, Terms: []string{memberTerm(tenant.ID, u.ObjectID)},
				Body: []byte(`{"groupId":"` + id + `","memberId":"` + u.ObjectID + `"}`)}); err != nil {
				return err
			}
		}
		if err := d.AddMemberIn(tx, tenant.ID, g.ObjectID, u.ObjectID); !errors.Is(err, ErrQuota) {
			return fmt.Errorf("one too many: %w", err)
		}
		key := memberKey(tenant.ID, "00000000-0000-4000-8000-000000000000", u.ObjectID)
		if err := tx.Delete(key, 0); err != nil {
			return err
		}
		return d.AddMemberIn(tx, tenant.ID, g.ObjectID, u.ObjectID)
	})
	if err != nil {
		t.Fatal(err)
	}
}
