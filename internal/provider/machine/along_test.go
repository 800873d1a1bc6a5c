package machine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

func (w *world) write(key, kind, body string, terms ...string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: strings.ToLower(key), Kind: kind, Terms: terms, Body: []byte(body)})
		return err
	})
}

func (w *world) erase(key string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error { return tx.Delete(strings.ToLower(key), 0) })
}

// TestDeleteTakesAlong: a machine's deletion deletes no disk and no interface that a lock keeps or that the caller, at that
// time, may not delete.
func TestDeleteTakesAlong(t *testing.T) {
	w := newWorld(t)
	crown := w.free(foreignDisk)
	const foreignNIC = "/subscriptions/" + sub + "/resourceGroups/secret/providers/Microsoft.Network/networkInterfaces/n"
	w.write(foreignNIC, "microsoft.network/networkinterfaces", `{}`)
	nics := func(id, option string) string {
		return fmt.Sprintf(`networkProfile.networkInterfaces=[{"id":%q,"properties":{"deleteOption":%q}}]`, id, option)
	}
	disk := func(option string) string {
		return fmt.Sprintf(`storageProfile.dataDisks=[{"lun":0,"createOption":"Attach","deleteOption":%q,"managedDisk":{"id":%q}}]`, option, foreignDisk)
	}
	w.must("PUT", machines+"m", body(t, nics(foreignNIC, "Delete"), disk("Delete")))
	for _, kept := range []string{foreignDisk, foreignNIC} {
		lock := kept + "/providers/Microsoft.Authorization/locks/l"
		w.write(lock, rbac.LockKind, fmt.Sprintf(`{"id":%q,"properties":{"level":"CanNotDelete"}}`, lock), rbac.LockTerm(strings.ToLower(kept)))
		w.fails("DELETE", machines+"m", "", "ScopeLocked", kept)
		w.erase(lock)
	}
	deny := foreignDisk + "/providers/Microsoft.Authorization/denyAssignments/d"
	w.write(deny, rbac.DenyKind, fmt.Sprintf(`{"id":%q,"properties":{"denyAssignmentName":"d","scope":%q,"permissions":[{"actions":["*/delete"]}],"principals":[{"id":%q,"type":"ServicePrincipal"}]}}`,
		deny, foreignDisk, owner1), rbac.ScopeTerm(strings.ToLower(foreignDisk)), rbac.PrincipalTerm(owner1))
	w.fails("DELETE", machines+"m", "", "LinkedAuthorizationFailed", foreignDisk, "disks/delete")
	w.erase(deny)

	a := rbac.Assignment{Principal: contributor, Scope: strings.ToLower(groupID)}
	w.write("/a3", rbac.AssignmentKind, fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/b24988ac-6180-42a0-ab88-20f7382dd24c","principalId":%q,"scope":%q}}`,
		contributor, groupID), a.Terms()...)
	owner := w.caller
	w.caller.Primary = authn.Principal{TenantID: tenant, ObjectID: contributor, AppID: "app"}
	w.fails("DELETE", machines+"m", "", "LinkedAuthorizationFailed", foreignDisk, foreignNIC, "disks/delete", "networkInterfaces/delete")
	if doc := w.load(crown); doc.Owner != machines+"m" {
		t.Errorf("after refusals: %+v", doc)
	}
	w.caller = owner
	w.must("PUT", machines+"m", body(t, nics(foreignNIC, "Detach"), disk("Detach")))
	w.caller.Primary.ObjectID = contributor
	w.fails("PUT", machines+"m", body(t, nics(foreignNIC, "Delete"), disk("Detach")), "LinkedAuthorizationFailed", foreignNIC, "networkInterfaces/delete")
	w.fails("PATCH", machines+"m", `{"properties":{"networkProfile":{"networkInterfaces":[{"id":"`+foreignNIC+`","properties":{"deleteOption":"delete"}}]}}}`,
		"LinkedAuthorizationFailed", foreignNIC, "networkInterfaces/delete")
	w.must("DELETE", machines+"m", "") // nothing goes with it
	if doc := w.load(crown); doc.Owner != "" {
		t.Errorf("after the deletion: %+v", doc)
	}
	w.caller = owner
	w.must("PUT", machines+"m", body(t, nics(foreignNIC, "Delete"), disk("Delete")))
	w.must("DELETE", machines+"m", "")
	w.update(func(tx store.Tx) error {
		for _, key := range []string{foreignDisk, foreignNIC} {
			if _, err := tx.Get(strings.ToLower(key)); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s is still there: %v", key, err)
			}
		}
		return nil
	})
}

// TestALockThatComesLate keeps a disk and an interface that would go with their machine, when they were locked after its deletion began.
func TestALockThatComesLate(t *testing.T) {
	for _, locked := range []bool{false, true} {
		w := newWorld(t)
		w.must("PUT", machines+"m", body(t, `networkProfile.networkInterfaces=[{"id":"`+nicID+`","properties":{"deleteOption":"Delete"}}]`,
			`storageProfile.dataDisks=[{"lun":3,"name":"d3","createOption":"empty","diskSizeGB":10,"deleteOption":"Delete"}]`))
		m := w.must("GET", machines+"m", "")
		disk := fmt.Sprint(at(m, "properties", "storageProfile", "dataDisks", 0, "managedDisk", "id"))
		both := []string{strings.ToLower(disk), strings.ToLower(nicID)}
		w.update(func(tx store.Tx) error {
			for _, key := range both {
				if locked {
					lock := key + "/providers/" + rbac.LockKind + "/l"
					if _, err := tx.Put(store.Document{Key: lock, Kind: rbac.LockKind, Terms: []string{rbac.LockTerm(key)}, Body: []byte(`{"id":"` + lock + `","properties":{"level":"CanNotDelete"}}`)}); err != nil {
						return err
					}
				}
			}
			r, err := control.Find[Properties](tx, machines+"m")
			if err != nil {
				return err
			}
			if err := w.provider.release(tx, r, false); err != nil {
				return err
			}
			for _, key := range both {
				if _, err := tx.Get(key); errors.Is(err, store.ErrNotFound) == locked {
					t.Errorf("locked %v: %s: %v", locked, key, err)
				}
			}
			return nil
		})
	}
}
