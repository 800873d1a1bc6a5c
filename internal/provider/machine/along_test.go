package machine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/authn"
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
