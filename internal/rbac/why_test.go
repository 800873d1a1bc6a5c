package rbac

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/store"
)

// TestWhyAndWhoCanTellTheTruth compares the operator's answers with Check, in random worlds: why says allowed if and only if Check
// allows, and who-can names exactly the principals for whom it does.
func TestWhyAndWhoCanTellTheTruth(t *testing.T) {
	asked, allowed := 0, 0
	for seed := uint64(1); seed <= 120; seed++ {
		d := dice{rand.New(rand.NewPCG(seed, 1122))}
		w := d.world(t)
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			for range 25 {
				q := d.question()
				at := scopeOf(t, q.scope)
				list, err := w.engine.WhoCan(tx, "t", d.mixed(q.action), at)
				if err != nil {
					return err
				}
				var can []string
				for _, h := range list {
					if h.Allowed {
						can = append(can, h.Principal)
					}
				}
				for _, p := range slices.Concat(modelPeople, modelCrews, []string{"stranger"}) {
					want := w.engine.Check(tx, principal("t", p), q.action, at) == nil
					x, err := w.engine.Why(tx, principal("t", p), q.action, at)
					if err != nil {
						return err
					}
					if x.Allowed != want || want && x.Decided.Result != "Grants" {
						t.Fatalf("seed %d: why may %s %s at %s: %+v, Check says %v\n%s", seed, p, q.action, q.scope, x, want, w)
					}
					if slices.Contains(modelPeople, p) && slices.Contains(can, p) != want {
						t.Fatalf("seed %d: who can %s at %s: %+v; for %s Check says %v\n%s", seed, q.action, q.scope, list, p, want, w)
					}
					if asked++; want {
						allowed++
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if allowed < asked/100 {
		t.Errorf("%d of %d are allowed", allowed, asked)
	}
}

// lock puts a lock as provider/authorization does.
func (w *world) lock(level, scope string) {
	w.t.Helper()
	key := id(scope).Key()
	w.put(store.Document{Key: key + lockPath + "l", Kind: LockKind, Terms: []string{LockTerm(key)}, Body: []byte(`{"id":"` + scope + `/providers/Microsoft.Authorization/locks/l","properties":{"level":"` + level + `"}}`)})
}

// role writes a role of a tenant's own.
func (w *world) role(guid string, permissions ...Permission) {
	w.t.Helper()
	raw, err := json.Marshal(map[string]any{"properties": map[string]any{"roleName": guid, "permissions": permissions}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(store.Document{Key: CustomRoleKey(tenantA, guid), Kind: DefinitionKind, Body: raw})
}

func TestWhyTellsOfLocksAndDataActions(t *testing.T) {
	const everything, upload = "c0000000-0000-4000-8000-0000000000c1", "Microsoft.Compute/disks/upload/action"
	w := newWorld(t)
	w.role(everything, Permission{DataActions: []string{"*"}})
	w.grant(everything, boss, "/subscriptions/"+subA)
	w.grant(contributor, alice, group)
	w.lock("ReadOnly", group)
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		for _, c := range []struct {
			who, action string
			allowed     bool
			locks       int
		}{
			{alice, "Microsoft.Compute/galleries/write", false, 1},
			{alice, "Microsoft.Compute/galleries/read", true, 0},
			{boss, "Microsoft.Compute/galleries/read", false, 0}, // its role gives data actions only
			{boss, upload, true, 0},
			{alice, upload, false, 0},
		} {
			x, err := w.engine.Why(tx, principal(tenantA, c.who), c.action, id(gallery))
			if err != nil || x.Allowed != c.allowed || len(x.Locks) != c.locks {
				t.Errorf("%s %s: %+v, %v", c.who, c.action, x, err)
			}
			list, err := w.engine.WhoCan(tx, tenantA, c.action, id(gallery))
			can := slices.ContainsFunc(list, func(h Holder) bool { return h.Principal == c.who && h.Allowed })
			if err != nil || can != c.allowed || c.locks > 0 && (len(list) != 1 || list[0].Locked != group) {
				t.Errorf("who can %s: %+v, %v", c.action, list, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who may assign some roles only, or do everything with data, is no administrator who could let anybody in again.
func TestLastAdministrator(t *testing.T) {
	const data, half = "c0000000-0000-4000-8000-0000000000c1", "66f75aeb-eabe-4b70-9f1e-c350c4c9ad04"
	w := newWorld(t)
	scope := "/subscriptions/" + subA
	w.grant(owner, boss, scope)
	last := func() (is bool) {
		t.Helper()
		err := w.store.View(t.Context(), func(tx store.Tx) (err error) {
			is, err = w.engine.LastAdministrator(tx, tenantA, arm.ID{Subscription: subA}, scope+"/a/1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	w.role(data, Permission{DataActions: []string{"*"}})
	w.grant(data, alice, scope)
	w.grant(half, alice, scope)
	w.grant(contributor, alice, scope)
	if !last() {
		t.Error("a data action or a constrained role counts as an administrator")
	}
	w.grant(administrator, alice, scope)
	if last() {
		t.Error("with a User Access Administrator the Owner is not the last")
	}
}
