package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

const (
	contributor = "44444444-4444-4444-4444-444444444444" // of the group rg and nothing else
	foreignDisk = "/subscriptions/" + sub + "/resourceGroups/secret/providers/Microsoft.Compute/disks/crown"
)

// free writes a disk that nobody has.
func (w *world) free(disk string) arm.ID {
	w.t.Helper()
	id, err := arm.ParseID(disk)
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		return w.disks.save(tx, id, diskDoc{New: NewDisk{ID: id, SizeGB: 4, OSType: "Linux", Generation: "V1", Location: "eastus"}}, 0)
	})
	return id
}

func (w *world) load(id arm.ID) (doc diskDoc) {
	w.t.Helper()
	w.update(func(tx store.Tx) (err error) { doc, _, err = w.disks.load(tx, id); return err })
	return doc
}

// TestForeignDisk: whoever has rights on one group only gets no disk of another one, whatever createOption names it.
func TestForeignDisk(t *testing.T) {
	w := newWorld(t)
	crown := w.free(foreignDisk)
	w.update(func(tx store.Tx) error {
		a := rbac.Assignment{Principal: contributor, Scope: strings.ToLower(groupID)}
		_, err := tx.Put(store.Document{Key: "/a3", Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: fmt.Appendf(nil,
			`{"properties":{"roleDefinitionId":"/x/b24988ac-6180-42a0-ab88-20f7382dd24c","principalId":%q,"scope":%q}}`, contributor, groupID)})
		return err
	})
	owner := w.caller
	w.caller.Primary = authn.Principal{TenantID: tenant, ObjectID: contributor, AppID: "app"}
	managed := `"managedDisk":{"id":"` + foreignDisk + `"}`
	data := func(option string) string {
		return `storageProfile.dataDisks=[{"lun":0,"diskSizeGB":4,"deleteOption":"Delete",` + option + managed + `}]`
	}
	rows := map[string][]string{
		"attach":              {data(`"createOption":"Attach",`)},
		"empty":               {data(`"createOption":"Empty",`)},
		"empty, lower case":   {data(`"createOption":"empty",`)},
		"from image":          {image("data"), data(`"createOption":"FromImage",`)},
		"OS disk attached":    {`storageProfile.osDisk={"createOption":"Attach","osType":"Linux",` + managed + `}`, "storageProfile.imageReference=null", "osProfile=null"},
		"OS disk from image":  {`storageProfile.osDisk={"createOption":"FromImage",` + managed + `}`},
		"OS disk with a name": {`storageProfile.osDisk={"createOption":"FromImage","name":"crown",` + managed + `}`},
	}
	for name, edits := range rows {
		t.Run("create/"+name, func(t *testing.T) {
			w.t = t
			w.fails("PUT", machines+"m", body(t, edits...), "LinkedAuthorizationFailed", foreignDisk, "disks/write")
		})
	}
	w.t = t
	w.must("PUT", machines+"m", body(t))
	w.must("POST", machines+"m/deallocate", "")
	for _, name := range []string{"attach", "empty", "empty, lower case"} {
		t.Run("update/"+name, func(t *testing.T) {
			w.t = t
			w.fails("PUT", machines+"m", body(t, rows[name]...), "LinkedAuthorizationFailed", foreignDisk, "disks/write")
			w.fails("PATCH", machines+"m", `{"properties":{"storageProfile":{"dataDisks":[{"lun":0,"createOption":"Empty",`+managed+`}]}}}`, "LinkedAuthorizationFailed", foreignDisk)
		})
	}
	w.t = t
	if doc := w.load(crown); doc.Owner != "" {
		t.Errorf("the disk went to %s", doc.Owner)
	}
	// With the right, Empty with an ID is an attachment; FromImage makes a disk and must not name one.
	w.caller = owner
	w.fails("PUT", machines+"m2", body(t, rows["OS disk with a name"]...), "InvalidParameter", "managedDisk.id")
	w.must("PUT", machines+"m", body(t, rows["empty"]...))
	if doc := w.load(crown); doc.Owner != machines+"m" || !doc.Reserved {
		t.Errorf("attached to a deallocated machine: %+v", doc)
	}
}

// TestDeleteOptionNeedsDelete: a disk that goes with the machine is one that the caller may delete.
func TestDeleteOptionNeedsDelete(t *testing.T) {
	lun := 0
	vm := func(built bool, create, option string) *resource {
		r := &resource{}
		r.Properties.Own.Built = built
		r.Properties.Storage = &Storage{OSDisk: &OSDisk{CreateOption: "FromImage"},
			Data: []DataDisk{{LUN: &lun, CreateOption: create, DeleteOption: option, Managed: &ManagedDisk{ID: foreignDisk}}}}
		return r
	}
	for _, c := range []struct {
		name      string
		old, next *resource
		want      []string
	}{
		{"attach", nil, vm(false, "Attach", "Detach"), []string{"write"}},
		{"attach to delete", nil, vm(false, "Attach", "Delete"), []string{"write", "delete"}},
		{"empty to delete", nil, vm(false, "Empty", "Delete"), []string{"write", "delete"}},
		{"later to delete", vm(true, "Attach", "Detach"), vm(true, "Attach", "Delete"), []string{"delete"}},
		{"unchanged", vm(true, "Attach", "Delete"), vm(true, "Attach", "Delete"), nil},
		{"after a failed creation", vm(false, "Attach", "Delete"), vm(false, "Attach", "Delete"), []string{"write", "delete"}},
	} {
		var got []string
		for _, l := range links(c.old, c.next) {
			got = append(got, strings.TrimPrefix(l.Action, diskType+"/"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDiskNames: a disk's document never lies at a key that the client made up.
func TestDiskNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"..", ".", "foo/bar", "d/providers/Microsoft.Authorization/roleAssignments/" + owner1,
		"a b?c#d", "d%2fe", "-d", "d-", "d\n", strings.Repeat("x", 81), strings.Repeat("x", 300)} {
		w.fails("PUT", machines+"m", body(t, fmt.Sprintf("storageProfile.osDisk.name=%q", name)), "InvalidParameter", "validation rule", " osDisk.name")
		data := fmt.Sprintf(`storageProfile.dataDisks=[{"lun":0,"createOption":"Empty","diskSizeGB":1,"name":%q}]`, name)
		w.fails("PUT", machines+"m", body(t, data), "InvalidParameter", "validation rule", " dataDisks[0].name")
	}
	if left := w.traces(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	w.must("PUT", machines+"m", body(t, `storageProfile.osDisk.name="My_os.disk-1"`))
}

// TestCreateAgain: a failed creation is repeated by the same request, or by the model that the failed machine answers.
func TestCreateAgain(t *testing.T) {
	w := newWorld(t)
	full := body(t, image("data"), `storageProfile.dataDisks=[{"lun":1,"createOption":"Empty","diskSizeGB":1}]`)
	w.runtime.Fail("Start", arm.Errorf(500, "X", "no"))
	w.fails("PUT", machines+"m", full, "X")
	w.must("PUT", machines+"m", full)
	w.runtime.Fail("Start", arm.Errorf(500, "X", "no"))
	w.must("DELETE", machines+"m", "")
	w.fails("PUT", machines+"m", body(t, image("data")), "X")
	m := w.must("GET", machines+"m", "")
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	w.must("PUT", machines+"m", string(raw))
}

// TestSeedHasNoName: custom data lies in no file while a machine runs, is stopped, or after a crash of the server.
func TestSeedHasNoName(t *testing.T) {
	w := newWorld(t)
	empty := func(when string) {
		t.Helper()
		if entries, err := os.ReadDir(w.provider.Seeds); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v %v", when, entries, err)
		}
	}
	w.runtime.Fail("Start", arm.Errorf(500, "X", "no"))
	w.fails("PUT", machines+"m", body(t), "X")
	empty("failed start")
	w.must("PUT", machines+"m", body(t))
	empty("running")
	id := fmt.Sprint(at(w.must("GET", machines+"m", ""), "properties", "vmId"))
	for _, action := range []string{"restart", "powerOff", "start", "deallocate", "start"} {
		w.must("POST", machines+"m/"+action, "")
		empty(action)
	}
	starts := func() int { _, n, _, _ := w.runtime.Machine(id); return n }
	before := starts()
	w.runtime.Crash(id)
	for _, name := range []string{id + ".iso", id + ".iso.part"} { // the server died between seed and start
		if err := os.WriteFile(w.provider.Seeds+"/"+name, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.provider.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	if empty("crash"); starts() != before+1 || len(w.seed(id)) < 1000 {
		t.Errorf("after a crash: %d starts of %d, seed of %d bytes", starts(), before, len(w.seed(id)))
	}
	w.must("POST", machines+"m/powerOff", "") // whose start the server did not survive
	if err := os.WriteFile(w.provider.seeds.Path(id), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.provider.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	empty("a stopped machine")
	// A start that is under way keeps its seed.
	var m *resource
	machine, _ := arm.ParseID(machines + "m")
	w.update(func(tx store.Tx) (err error) { m, err = control.Get[Properties](tx, machine); return err })
	err := w.provider.withSeed(m, func() error {
		_, err := os.Stat(w.provider.seeds.Path(id))
		if err == nil {
			err = w.provider.Reconcile(context.Background())
		}
		if err == nil {
			_, err = os.Stat(w.provider.seeds.Path(id))
		}
		return err
	})
	if err != nil {
		t.Errorf("the seed of a machine that starts: %v", err)
	}
	empty("after it")
}

// TestFailedStartReserves: the disks of a machine that could not leave its deallocated state are reserved again.
func TestFailedStartReserves(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t))
	disk, err := arm.ParseID(fmt.Sprint(at(w.must("GET", machines+"m", ""), "properties", "storageProfile", "osDisk", "managedDisk", "id")))
	if err != nil {
		t.Fatal(err)
	}
	w.must("POST", machines+"m/deallocate", "")
	w.runtime.Fail("Start", arm.Errorf(500, "X", "no"))
	w.fails("POST", machines+"m/start", "", "X")
	deadline := time.Now().Add(time.Minute) // the work is undone after its failure is told
	for !w.load(disk).Reserved && time.Now().Before(deadline) {
		<-time.After(10 * time.Millisecond)
	}
	if doc := w.load(disk); !doc.Reserved {
		t.Errorf("%+v", doc)
	}
}
