package restore_test

import (
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/operation"
	"vitrine/internal/quota"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// disksOf lists the disk restore points of p, and looks at their form.
func disksOf(w *world) (ids []string) {
	w.Helper()
	for _, d := range w.get(point + "/diskRestorePoints")["value"].([]any) {
		d := d.(map[string]any)
		id, props := d["id"].(string), d["properties"].(map[string]any)
		name := props["sourceResourceId"].(string)[strings.LastIndexByte(props["sourceResourceId"].(string), '/')+1:]
		if !strings.HasPrefix(id, point+"/diskRestorePoints/"+name+"_") || props["sourceUniqueId"] != "u-"+name || props["completionPercent"] != 100.0 {
			w.Errorf("disk restore point %v", d)
		}
		if one := w.get(id); one["id"] != id || fmt.Sprint(one["properties"]) != fmt.Sprint(props) {
			w.Errorf("GET answers %v", one)
		}
		ids = append(ids, id)
	}
	return ids
}

// A point holds what the disks held, whatever becomes of them; it goes with its collection.
func TestPoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("vm")
	c := w.get(rpc)["properties"].(map[string]any)
	if c["provisioningState"] != "Succeeded" || c["restorePointCollectionId"] == nil || c["source"].(map[string]any)["location"] != "eastus" || c["restorePoints"] != nil {
		t.Errorf("collection %v", c)
	}
	w.done("PUT", point, `{"properties":{"consistencyMode":"crashconsistent"}}`, 201)
	ids := disksOf(w)
	if len(ids) != 2 || w.reads != 4 {
		t.Fatalf("%d disks, read %d times", len(ids), w.reads)
	}
	w.content[w.id("disks/os").Key()] = "later"
	delete(w.content, w.id("disks/data").Key())
	os, data := w.holds(ids[0], "content of os"), w.holds(ids[1], "content of data")
	if p := w.pins(os); len(p) != 1 || !strings.EqualFold(p[0], ids[0]) {
		t.Errorf("pinned by %v", p)
	}
	props := w.get(point + "?$expand=instanceView")["properties"].(map[string]any)
	meta := props["sourceMetadata"].(map[string]any)
	disk := meta["storageProfile"].(map[string]any)["osDisk"].(map[string]any)
	if props["consistencyMode"] != "CrashConsistent" || meta["vmId"] != "the-vm" || disk["diskRestorePoint"].(map[string]any)["id"] != ids[0] ||
		len(props["instanceView"].(map[string]any)["diskRestorePoints"].([]any)) != 2 {
		t.Errorf("point %v", props)
	}
	if all := w.get(rpc + "?$expand=restorePoints")["properties"].(map[string]any)["restorePoints"].([]any); len(all) != 1 {
		t.Errorf("expanded: %v", all)
	}
	r, err := w.do(caller, "PUT", point, `{"properties":{}}`) // the same again changes nothing
	if err != nil || r.Status != 201 || w.reads != 4 {
		t.Errorf("again: %v %v, %d readings", r, err, w.reads)
	}
	_, err = w.do(caller, "PUT", point, `{"properties":{"excludeDisks":[{"id":"`+w.id("disks/os").String()+`"}]}}`)
	w.refuse(err, 409, "OperationNotAllowed", "Updating properties of an existing restore point is not allowed")
	w.done("DELETE", rpc, "", 202)
	if len(w.pins(os))+len(w.pins(data)) != 0 {
		t.Error("the bytes are still held")
	}
	_, err = w.do(caller, "GET", point, "")
	w.refuse(err, 404, "ResourceNotFound", "restorePointCollections")
}

// A disk that is excluded is neither read nor asked for, and one by itself is read once.
func TestExclude(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("vm")
	w.done("PUT", point, `{"properties":{"excludeDisks":[{"id":"`+strings.ToUpper(w.id("disks/data").String())+`"}]}}`, 201)
	if ids := disksOf(w); len(ids) != 1 || w.reads != 1 {
		t.Fatalf("%v, read %d times", ids, w.reads)
	}
	data := w.get(point)["properties"].(map[string]any)["sourceMetadata"].(map[string]any)["storageProfile"].(map[string]any)["dataDisks"].([]any)
	if d := data[0].(map[string]any); d["lun"] != 0.0 || d["diskRestorePoint"] != nil {
		t.Errorf("excluded disk %v", d)
	}
	ref := w.holds(disksOf(w)[0], "content of os")
	w.done("DELETE", point, "", 202)
	if len(w.pins(ref)) != 0 {
		t.Error("the bytes are still held")
	}
}

// Several disks are of one moment or of none.
func TestMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("vm")
	w.read = func(n int) { w.content[w.id("disks/os").Key()] = fmt.Sprint("busy ", n) }
	o := w.end("PUT", point, `{"properties":{}}`, 201)
	if o.Status != operation.Failed || o.Error.Code != "OperationNotAllowed" || !strings.Contains(o.Error.Message, "no common moment") {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	id := w.get(point + "/diskRestorePoints")["value"].([]any)[0].(map[string]any)["id"].(string)
	_, err := w.offered(id)
	w.refuse(err, 409, "OperationNotAllowed", "'Failed'")
	w.reads = 0
	w.read = func(n int) { // quiet after the third reading
		if n <= 3 {
			w.content[w.id("disks/os").Key()] = fmt.Sprint("busy ", n)
		}
	}
	w.done("PUT", point, `{"properties":{}}`, 201)
	w.holds(disksOf(w)[0], "busy 3")
}

// A disk of the same name that came later is not the one of which the point was asked.
func TestReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("one")
	w.read = func(int) { w.unique[w.id("disks/single").Key()] = "another" }
	if o := w.end("PUT", point, `{"properties":{}}`, 201); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	w.done("DELETE", point, "", 202)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vm := w.id("virtualMachines/vm").String()
	from := func(id string) string { return `{"location":"eastus","properties":{"source":{"id":"` + id + `"}}}` }
	for _, c := range []struct {
		path, body, code, part string
		status                 int
	}{
		{rpc, `{"location":"eastus","properties":{}}`, "InvalidParameter", "source", 400},
		{rpc, from("nonsense"), "LinkedInvalidPropertyId", "properties.source.id", 400},
		{rpc, from(w.id("disks/os").String()), "InvalidParameter", "must be a virtual machine", 400},
		{rpc, from(rpc), "NotSupported", "copies another one", 400},
		{rpc, from(w.id("virtualMachines/none").String()), "ResourceNotFound", "was not found", 404},
		{rpc, from(w.id("virtualMachines/west").String()), "NotSupported", "of a virtual machine in 'westus'", 400},
		{rpc, from(otherVM), "LinkedAuthorizationFailed", "not authorized to access linked subscription", 403},
		{rpc, `{"location":"eastus","properties":{"instantAccess":true,"source":{"id":"` + vm + `"}}}`, "NotSupported", "Instant access", 400},
		{rpc + "-", from(vm), "InvalidParameter", "validation rule", 400},
		{point, `{"properties":{}}`, "ParentResourceNotFound", "", 404},
	} {
		_, err := w.do(caller, "PUT", c.path, c.body)
		w.refuse(err, c.status, c.code, c.part)
	}
	w.collect("vm")
	for body, want := range map[string]string{
		`{"consistencyMode":"ApplicationConsistent"}`:                       "NotSupported: The consistency mode 'ApplicationConsistent'",
		`{"consistencyMode":"FileSystemConsistent"}`:                        "NotSupported: The consistency mode 'FileSystemConsistent'",
		`{"consistencyMode":"None"}`:                                        "InvalidParameter",
		`{"sourceRestorePoint":{"id":"` + point + `"}}`:                     "NotSupported: A copy of a restore point",
		`{"instantAccessDurationMinutes":60}`:                               "NotSupported: Instant access",
		`{"excludeDisks":[{"id":"` + w.id("disks/single").String() + `"}]}`: "InvalidParameter: The disk",
		`{"excludeDisks":[{"id":"` + w.id("disks/os").String() + `"},{"id":"` + w.id("disks/data").String() + `"}]}`:                      "InvalidParameter: A restore point cannot exclude all disks",
		`{"sourceMetadata":{"storageProfile":{"osDisk":{"diskRestorePoint":{"encryption":{"type":"EncryptionAtRestWithCustomerKey"}}}}}}`: "NotSupported: Encryption with a customer's key",
	} {
		_, err := w.do(caller, "PUT", point, `{"properties":`+body+`}`)
		code, part, _ := strings.Cut(want, ": ")
		w.refuse(err, map[string]int{"NotSupported": 400, "InvalidParameter": 400}[code], code, part)
	}
	if _, err := w.do(caller, "PATCH", rpc, `{"tags":{"a":"b"},"properties":{"source":{"id":"`+w.id("virtualMachines/one").String()+`"}}}`); err == nil {
		t.Error("a collection changed its machine")
	}
	if _, err := w.do(caller, "PUT", rpc+"/restorePoints/p/diskRestorePoints/d", `{}`); err == nil {
		t.Error("a disk restore point was written")
	}
}

// Who may write points needs the right to read the machine, and on each disk the right to its bytes.
func TestRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("vm")
	_, err := w.do(writer, "PUT", point, `{"properties":{}}`)
	w.refuse(err, 403, "LinkedAuthorizationFailed", "Microsoft.Compute/virtualMachines/read")
	_, err = w.do(reader, "PUT", point, `{"properties":{}}`)
	w.refuse(err, 403, "LinkedAuthorizationFailed", "Microsoft.Compute/disks/beginGetAccess/action,Microsoft.Compute/disks/beginGetAccess/action")
	if w.reads != 0 {
		t.Error("disks were read")
	}
	_, err = w.do(writer, "PUT", rpc+"2", `{"location":"eastus","properties":{"source":{"id":"`+w.id("virtualMachines/vm").String()+`"}}}`)
	w.refuse(err, 403, "AuthorizationFailed", "restorePointCollections/write")
	w.done("PUT", point, `{"properties":{}}`, 201)
	_, err = w.do(as(9), "GET", disksOf(w)[0], "")
	w.refuse(err, 403, "AuthorizationFailed", "diskRestorePoints/read")
	_, err = w.do(as(9), "GET", point+"/diskRestorePoints", "")
	w.refuse(err, 403, "AuthorizationFailed", "diskRestorePoints/read")
}

// The lock of a point holds its collection.
func TestLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("one")
	w.done("PUT", point, `{"properties":{}}`, 201)
	w.must(w.store.Update(t.Context(), func(tx store.Tx) error {
		scope := w.parse(point).Key()
		_, err := tx.Put(store.Document{Key: scope + "/providers/microsoft.authorization/locks/l", Kind: rbac.LockKind, Body: []byte(`{"properties":{"level":"CanNotDelete"}}`)})
		return err
	}))
	_, err := w.do(caller, "DELETE", rpc, "")
	w.refuse(err, 409, "ScopeLocked", "")
}

// Points count with the sizes of their disks.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.collect("vm")
	limit := int64(2<<30 - 1)
	set := func() {
		w.must(w.store.Update(t.Context(), func(tx store.Tx) error { return quota.Set(tx, tenant, quota.Limits{Own: &limit}) }))
	}
	set()
	_, err := w.do(caller, "PUT", point, `{"properties":{}}`)
	w.refuse(err, 409, "QuotaExceeded", "")
	limit++
	set()
	w.done("PUT", point, `{"properties":{}}`, 201)
	w.done("DELETE", rpc, "", 202)
	var a quota.Account
	w.must(w.store.View(t.Context(), func(tx store.Tx) (err error) { a, err = quota.Of(tx, tenant); return err }))
	if a.Used != 0 {
		t.Errorf("%d bytes are held", a.Used)
	}
}
