package machine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
	"vitrine/internal/vm"
)

func attachBody(attach, detach string) string {
	return `{"dataDisksToAttach":[` + attach + `],"dataDisksToDetach":[` + detach + `]}`
}

// TestExchangeDisks: data disks come and go by the action that az vm disk attach sends.
func TestExchangeDisks(t *testing.T) {
	w := newWorld(t)
	a, b := w.free(disksAt+"a"), w.free(disksAt+"b")
	const act = machines + "m/attachDetachDataDisks"
	id := func(x arm.ID, more string) string { return fmt.Sprintf(`{"diskId":%q%s}`, x, more) }
	w.must("PUT", machines+"m", body(t))
	w.fails("POST", act, attachBody(id(a, ""), ""), "OperationNotAllowed", "running virtual machine")
	w.must("POST", machines+"m/deallocate", "")
	for name, row := range map[string]struct{ body, code, part string }{
		"nothing":       {`{}`, "InvalidParameter", "At least one"},
		"too many":      {attachBody(strings.Repeat(id(a, "")+",", 64)+id(a, ""), ""), "InvalidParameter", "at most 64"},
		"no ID":         {attachBody(`{"lun":1}`, ""), "InvalidParameter", "diskId"},
		"not a disk":    {attachBody(`{"diskId":"`+nicID+`"}`, ""), "LinkedInvalidPropertyId", "fully qualified"},
		"not there":     {attachBody(`{"diskId":"`+disksAt+`none"}`, ""), "ResourceNotFound", "none"},
		"lun range":     {attachBody(id(a, `,"lun":31`), ""), "InvalidParameter", "out of range"},
		"one lun twice": {attachBody(id(a, `,"lun":1`)+","+id(b, `,"lun":1`), ""), "InvalidParameter", "distinct luns"},
		"caching":       {attachBody(id(a, `,"caching":"Fast"`), ""), "InvalidParameter", "caching"},
		"not its disk":  {attachBody("", id(b, "")), "InvalidParameter", "not a data disk"},
	} {
		t.Run(name, func(t *testing.T) {
			inner := *w
			inner.t = t
			inner.fails("POST", act, row.body, row.code, row.part)
		})
	}
	if doc := w.load(a); doc.Owner != "" {
		t.Errorf("a refused request left the disk with %s", doc.Owner)
	}
	got := w.must("POST", act, attachBody(id(b, `,"lun":0,"caching":"ReadOnly","deleteOption":"Delete"`)+","+id(a, ""), ""))
	if at(got, "dataDisks", 1, "lun") != 1.0 || at(got, "dataDisks", 1, "name") != "a" || at(got, "dataDisks", 0, "deleteOption") != "Delete" || at(got, "dataDisks", 0, "caching") != "ReadOnly" || at(got, "osDisk", "name") == nil {
		t.Errorf("answer: %v", got)
	}
	for _, x := range []arm.ID{a, b} {
		if doc := w.load(x); doc.Owner != machines+"m" || !doc.Reserved {
			t.Errorf("%s: %+v", x.Name(), doc)
		}
	}
	m := w.must("GET", machines+"m", "")
	if at(m, "properties", "storageProfile", "dataDisks", 1, "diskSizeGB") != 4.0 || at(m, "properties", "provisioningState") != "Succeeded" {
		t.Errorf("machine: %v", m)
	}
	w.must("POST", act, attachBody("", id(b, `,"detachOption":"ForceDetach"`)))
	if doc := w.load(b); doc.Owner != "" {
		t.Errorf("detached: %+v", doc)
	}
	w.must("POST", machines+"m/start", "")
	spec, _, _, _ := w.runtime.Machine(fmt.Sprint(at(m, "properties", "vmId")))
	if len(spec.Disks) != 2 || spec.Disks[1].Serial != "lun1" {
		t.Errorf("started with %+v", spec.Disks)
	}
}

// TestExchangeRights: the action takes the right to each disk.
func TestExchangeRights(t *testing.T) {
	w := newWorld(t)
	crown := w.free(foreignDisk)
	w.must("PUT", machines+"m", body(t))
	w.must("POST", machines+"m/deallocate", "")
	w.update(func(tx store.Tx) error {
		a := rbac.Assignment{Principal: contributor, Scope: strings.ToLower(groupID)}
		_, err := tx.Put(store.Document{Key: "/a3", Kind: rbac.AssignmentKind, Terms: a.Terms(), Body: fmt.Appendf(nil,
			`{"properties":{"roleDefinitionId":"/x/b24988ac-6180-42a0-ab88-20f7382dd24c","principalId":%q,"scope":%q}}`, contributor, groupID)})
		return err
	})
	w.caller.Primary = authn.Principal{TenantID: tenant, ObjectID: contributor, AppID: "app"}
	w.fails("POST", machines+"m/attachDetachDataDisks", attachBody(`{"diskId":"`+foreignDisk+`"}`, ""), "LinkedAuthorizationFailed", "disks/write")
	if doc := w.load(crown); doc.Owner != "" {
		t.Errorf("the disk went to %s", doc.Owner)
	}
}

// TestDiskCount: a size takes so many data disks and no more.
func TestDiskCount(t *testing.T) {
	w := newWorld(t)
	list := func(n int) string {
		var disks []string
		for lun := range n {
			disks = append(disks, fmt.Sprintf(`{"lun":%d,"createOption":"Empty","diskSizeGB":1}`, lun))
		}
		return "storageProfile.dataDisks=[" + strings.Join(disks, ",") + "]"
	}
	w.fails("PUT", machines+"m", body(t, list(5)), "OperationNotAllowed", "allowed to be attached to a VM of this size is 4")
	w.must("PUT", machines+"m", body(t, list(4)))
	w.must("POST", machines+"m/deallocate", "")
	extra := w.free(disksAt + "extra")
	w.fails("POST", machines+"m/attachDetachDataDisks", attachBody(`{"diskId":"`+extra.String()+`"}`, ""), "OperationNotAllowed", "is 4")
	w.fails("PATCH", machines+"m", `{"properties":{"hardwareProfile":{"vmSize":"Standard_B1s"}}}`, "OperationNotAllowed", "is 2")
}

// TestGeneralize: a generalized machine is a model for images and nothing else; a disk that grew is told.
func TestGeneralize(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t))
	w.fails("POST", machines+"m/generalize", "", "OperationNotAllowed", "since the VM is running")
	w.fails("POST", machines+"m/capture", "{}", "OperationNotAllowed", "not generalized")
	offer := func() (state string, disks int) {
		id, err := arm.ParseID(machines + "m")
		if err != nil {
			t.Fatal(err)
		}
		w.update(func(tx store.Tx) error {
			s, err := w.provider.Offer(tx, id)
			state, disks = s.OSState, len(s.Disks)
			if err == nil && (s.Location != "eastus" || s.OSType != "Linux" || s.Generation != "V1" || s.Disks[0].LUN != -1 || s.Disks[0].Caching != "ReadWrite") {
				t.Errorf("offers %+v", s)
			}
			return err
		})
		return state, disks
	}
	if state, disks := offer(); state != "Specialized" || disks != 1 {
		t.Errorf("a running machine offers %s, %d disks", state, disks)
	}
	w.must("POST", machines+"m/powerOff?skipShutdown=true", "")
	w.must("POST", machines+"m/generalize", "")
	if state, _ := offer(); state != "Generalized" {
		t.Errorf("offers %s", state)
	}
	for _, action := range []string{"start", "restart"} {
		w.fails("POST", machines+"m/"+action, "", "OperationNotAllowed", "since the VM is generalized")
	}
	w.fails("POST", machines+"m/capture", `{"vhdPrefix":"x","destinationContainerName":"c","overwriteVhds":true}`, "OperationNotAllowed", "blob based disks")
	w.must("DELETE", machines+"m", "")
}

// TestCopyDisk: a machine that an earlier server started is told how to get there.
func TestCopyDisk(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", machines+"m", body(t))
	id, err := arm.ParseID(machines + "m")
	if err != nil {
		t.Fatal(err)
	}
	w.runtime.Fail("CopyDisk", fmt.Errorf("machine: %w", vm.ErrTooOld))
	var e *arm.Error
	if err := w.provider.CopyDisk(t.Context(), id, "/d", "/t"); !errors.As(err, &e) || !strings.Contains(e.Message, "Deallocate and start it") {
		t.Errorf("%v", err)
	}
	w.must("POST", machines+"m/deallocate", "")
	if err := w.provider.CopyDisk(t.Context(), id, "/d", "/t"); !errors.Is(err, vm.ErrNotFound) {
		t.Errorf("deallocated: %v", err)
	}
}

// TestResizedDisk: the machine tells the size that its disk has now, and takes it back.
func TestResizedDisk(t *testing.T) {
	w := newWorld(t)
	m := w.must("PUT", machines+"m", body(t))
	disk, err := arm.ParseID(fmt.Sprint(at(m, "properties", "storageProfile", "osDisk", "managedDisk", "id")))
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		doc, d, err := w.disks.load(tx, disk)
		if err != nil {
			return err
		}
		doc.New.SizeGB = 9
		return w.disks.save(tx, disk, doc, d.ETag)
	})
	if m := w.must("GET", machines+"m", ""); at(m, "properties", "storageProfile", "osDisk", "diskSizeGB") != 9.0 {
		t.Errorf("told: %v", m)
	}
	w.must("PUT", machines+"m", body(t, fmt.Sprintf(`storageProfile.osDisk={"createOption":"FromImage","diskSizeGB":9,"managedDisk":{"id":%q}}`, disk)))
	w.fails("PUT", machines+"m", body(t, fmt.Sprintf(`storageProfile.osDisk={"createOption":"FromImage","diskSizeGB":2,"managedDisk":{"id":%q}}`, disk)), "InvalidParameter", "Resizing the OS disk")
}
