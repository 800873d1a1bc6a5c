package managed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

const fromModel = `{"location":"eastus","properties":{"sourceVirtualMachine":{"id":"` + compute + `virtualMachines/model"}}}`

// TestFromMachine: an image has all disks of a generalized machine, and what the machine says of its system.
func TestFromMachine(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", "i", fromModel, 201)
	os, data := w.holds("i", -1, "what a machine wrote"), w.holds("i", 3, "its data")
	r, err := w.as(caller, "GET", compute+"images/i", "")
	w.must(err)
	for _, part := range []string{`"provisioningState":"Succeeded"`, `"hyperVGeneration":"V2"`, `"osState":"Generalized"`, `"osType":"Linux"`, `"diskSizeGB":2`,
		`"storageAccountType":"Premium_LRS"`, `"lun":3`, `"caching":"ReadOnly"`, compute + `disks/frozen`} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("no %s in %s", part, r.Body)
		}
	}
	if strings.Contains(string(r.Body), "content") || strings.Contains(string(r.Body), os.ID) {
		t.Errorf("private members are shown: %s", r.Body)
	}
	w.done("PUT", "i", string(r.Body), 200) // what was read can be written
	w.done("PATCH", "i", `{"tags":{"a":"b"}}`, 200)
	if w.frozen != 2 {
		t.Errorf("disks were read %d times, want 2", w.frozen)
	}
	var offered source.Source
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		offered, err = w.managed.Offer(tx, w.id("images/i"))
		return err
	}))
	if offered.OSState != "Generalized" || offered.Architecture != "x64" || len(offered.Disks) != 2 || offered.Disks[1].Ref != data || offered.Disks[1].LUN != 3 || offered.Disks[1].Caching != "ReadOnly" {
		t.Errorf("offered %+v", offered)
	}
	w.done("DELETE", "i", "", 202)
	for _, ref := range []image.Ref{os, data} {
		if p := w.pins(ref); len(p) != 0 {
			t.Errorf("pins left: %v", p)
		}
	}
}

func TestFromDisks(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", "i", storage(`{"osType":"linux","osState":"generalized","snapshot":{"id":"`+compute+`snapshots/known"}}`, `{"lun":7,"managedDisk":{"id":"`+compute+`disks/data"},"diskSizeGB":5}`), 201)
	w.holds("i", -1, "known")
	w.holds("i", 7, "its data")
	r, err := w.as(caller, "GET", compute+"images/i", "")
	w.must(err)
	for _, part := range []string{`"hyperVGeneration":"V2"`, `"diskSizeGB":5`, `"caching":"None"`, `"osState":"Generalized"`} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("no %s in %s", part, r.Body)
		}
	}
	var s shown
	w.must(json.Unmarshal(r.Body, &s))
	if len(s.Properties.StorageProfile.DataDisks) != 1 {
		t.Errorf("%s", r.Body)
	}
	err = w.store.View(context.Background(), func(tx store.Tx) error {
		_, _, err := w.managed.Manifest(tx, w.id("images/i"), 8, "eastus")
		w.refuse(err, 400, "InvalidParameter", "no data disk at LUN '8'")
		_, err = w.managed.Resolve(tx, w.id("images/i"), "westus")
		w.refuse(err, 404, "ImageNotFound", "westus")
		_, err = w.managed.Resolve(tx, w.id("images/none"), "eastus")
		w.refuse(err, 404, "ImageNotFound", "none")
		return nil
	})
	w.must(err)
}

type shown struct {
	Properties struct {
		StorageProfile struct{ DataDisks []json.RawMessage }
	}
}

func storage(os, data string) string {
	return `{"location":"eastus","properties":{"storageProfile":{"osDisk":` + os + `,"dataDisks":[` + data + `]}}}`
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", "there", fromModel, 201)
	disk := func(name string) string {
		return `{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"` + compute + `disks/` + name + `"}}`
	}
	data := func(lun, name string) string {
		return `{"lun":` + lun + `,"managedDisk":{"id":"` + compute + `disks/` + name + `"}}`
	}
	for _, row := range []struct {
		name, image, body string
		status            int
		code, part        string
	}{
		{"name", "a.", fromModel, 400, "InvalidParameter", "validation rule"},
		{"nothing", "i", `{"location":"eastus"}`, 400, "InvalidParameter", "osDisk"},
		{"no system", "i", storage(`{"managedDisk":{"id":"`+compute+`disks/frozen"}}`, ""), 400, "InvalidParameter", "osType"},
		{"specialized", "i", storage(strings.Replace(disk("frozen"), "Generalized", "Specialized", 1), ""), 400, "NotSupported", "specialized"},
		{"two sources", "i", storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"},"snapshot":{"id":"`+compute+`snapshots/known"}}`, ""), 400, "InvalidParameter", "Exactly one"},
		{"no source", "i", storage(`{"osType":"Linux","osState":"Generalized"}`, ""), 400, "InvalidParameter", "Exactly one"},
		{"blob elsewhere", "i", storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://x"}`, ""), 400, "InvalidParameter", "no storage account"},
		{"blob in another region", "i", storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://west/x"}`, ""), 400, "InvalidParameter", "same location"},
		{"blob and disk", "i", storage(strings.Replace(disk("frozen"), `{"osType`, `{"blobUri":"https://acc/x","osType`, 1), ""), 400, "InvalidParameter", "Exactly one"},
		{"blob twice", "i", storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://acc/x"}`, `{"lun":0,"blobUri":"https://acc/x"}`), 400, "InvalidParameter", "more than one disk"},
		{"another type", "i", storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`snapshots/known"}}`, ""), 400, "LinkedInvalidPropertyId", "managedDisk"},
		{"not there", "i", storage(disk("none"), ""), 404, "ResourceNotFound", "none"},
		{"elsewhere", "i", storage(disk("west"), ""), 404, "ResourceNotFound", "west"},
		{"other system", "i", storage(disk("win"), ""), 400, "InvalidParameter", "Windows"},
		{"too small", "i", storage(strings.Replace(disk("frozen"), `{"osType`, `{"diskSizeGB":1,"osType`, 1), ""), 400, "InvalidParameter", "smaller"},
		{"no lun", "i", storage(disk("frozen"), `{"managedDisk":{"id":"`+compute+`disks/data"}}`), 400, "InvalidParameter", "lun"},
		{"lun range", "i", storage(disk("frozen"), data("64", "data")), 400, "InvalidParameter", "out of range"},
		{"lun twice", "i", storage(disk("frozen"), data("1", "data")+","+data("1", "win")), 400, "InvalidParameter", "distinct luns"},
		{"source twice", "i", storage(disk("frozen"), data("1", "frozen")), 400, "InvalidParameter", "more than one disk"},
		{"key", "i", storage(strings.Replace(disk("frozen"), `{"osType`, `{"diskEncryptionSet":{"id":"/x"},"osType`, 1), ""), 400, "NotSupported", "customer's key"},
		{"not generalized", "i", strings.Replace(fromModel, "model", "running", 1), 409, "OperationNotAllowed", "since the VM is not generalized"},
		{"no machine", "i", strings.Replace(fromModel, "model", "none", 1), 404, "ResourceNotFound", "none"},
		{"not a machine", "i", strings.Replace(fromModel, "virtualMachines/model", "disks/frozen", 1), 400, "LinkedInvalidPropertyId", "sourceVirtualMachine"},
		{"machine and disks", "i", strings.Replace(fromModel, `"sourceV`, `"storageProfile":{"osDisk":`+disk("frozen")+`},"sourceV`, 1), 400, "InvalidParameter", "not allowed with"},
		{"other generation", "i", strings.Replace(fromModel, `"sourceV`, `"hyperVGeneration":"V1","sourceV`, 1), 400, "InvalidParameter", "generation"},
		{"other source later", "there", strings.Replace(fromModel, "model", "running", 1), 409, "PropertyChangeNotAllowed", "sourceVirtualMachine"},
		{"disks later", "there", storage(disk("data"), ""), 409, "PropertyChangeNotAllowed", "storageProfile"},
		{"generation later", "there", strings.Replace(fromModel, `"sourceV`, `"hyperVGeneration":"V1","sourceV`, 1), 409, "PropertyChangeNotAllowed", "hyperVGeneration"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inner := &world{T: t}
			_, err := w.as(caller, "PUT", compute+"images/"+row.image, row.body)
			inner.refuse(err, row.status, row.code, row.part)
		})
	}
}

func TestFromBlob(t *testing.T) {
	w := newWorld(t)
	body := storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://acc/c/good.vhd"}`, "")
	_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/images/i", body)
	w.refuse(err, 403, "AuthorizationFailed", "storageAccounts/listKeys/action")
	if text := shownError(err); strings.Contains(text, "secretgroup") {
		t.Errorf("the account's name tells its ID: %s", text)
	}
	for _, c := range []authn.Caller{caller, {Primary: caller.Primary, Auxiliary: []authn.Principal{foreigner}}} { // nor another tenant's
		_, there := w.as(c, "PUT", compute+"images/i", strings.Replace(body, "https://acc", "https://victim", 1))
		_, none := w.as(c, "PUT", compute+"images/i", strings.Replace(body, "https://acc", "https://nobody", 1))
		w.refuse(there, 400, "InvalidParameter", "no storage account of subscription")
		if a, b := shownError(there), strings.ReplaceAll(shownError(none), "nobody", "victim"); a != b {
			t.Errorf("an account that is there is told from one that is not:\n%s\n%s", a, b)
		}
	}
	w.done("PUT", "i", body, 201)
	w.holds("i", -1, "a VHD")
	r, err := w.as(caller, "GET", compute+"images/i", "")
	w.must(err)
	if !strings.Contains(string(r.Body), `"diskSizeGB":1`) || !strings.Contains(string(r.Body), `"blobUri":"https://acc/c/good.vhd"`) {
		t.Errorf("%s", r.Body)
	}
	w.done("PUT", "i", string(r.Body), 200)
	if o := w.end("PUT", "j", strings.Replace(body, "good", "none", 1), 201); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Errorf("%s %v", o.Status, o.Error)
	}
}

// TestFails: an image that failed is of no use, is made by the same request again, and leaves nothing pinned.
func TestFails(t *testing.T) {
	w := newWorld(t)
	w.fail = arm.Errorf(409, "Test", "cannot be read")
	if o := w.end("PUT", "i", fromModel, 201); o.Status != operation.Failed || o.Error.Code != "Test" {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	w.must(w.store.View(context.Background(), func(tx store.Tx) error {
		_, err := w.managed.Resolve(tx, w.id("images/i"), "eastus")
		w.refuse(err, 409, "OperationNotAllowed", "provisioning state is 'Failed'")
		return nil
	}))
	delete(w.content, w.id("disks/data").Key())
	if o := w.end("PUT", "i", fromModel, 200); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	w.content[w.id("disks/data").Key()] = "again"
	w.content[w.id("disks/frozen").Key()] = "changed"
	first, err := w.pack(context.Background(), "what a machine wrote")
	w.must(err)
	w.done("PUT", "i", fromModel, 200)
	w.holds("i", -1, "changed")
	w.holds("i", 3, "again")
	if p := w.pins(first); len(p) != 0 {
		t.Errorf("what the failed try had read is still pinned: %v", p)
	}
}

func shownError(err error) string {
	var e *arm.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	b, _ := json.Marshal(e)
	return fmt.Sprint(string(b), e.Status, e.Code, e.Message, e.Target, e.Details, e.AdditionalInfo)
}

// TestRecreated: a disk that was made anew under the source's name is not the one whose reading was allowed.
func TestRecreated(t *testing.T) {
	for name, body := range map[string]string{
		"machine": fromModel,
		"disk":    storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"}}`, ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, path := range []string{"disks/frozen", "virtualMachines/model"} {
				w.sources[w.id(path).Key()].Disks[0].UniqueID = "first"
			}
			w.unique[w.id("disks/frozen").Key()] = "second"
			if o := w.end("PUT", "i", body, 201); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
				t.Errorf("%s %v", o.Status, o.Error)
			}
			w.mu.Lock()
			w.unique[w.id("disks/frozen").Key()] = "first"
			w.mu.Unlock()
			w.done("PUT", "i", body, 200)
		})
	}
}

// TestMachineAlone: the right to write a machine is not the right to read its disks.
func TestMachineAlone(t *testing.T) {
	w := newWorld(t)
	grant := func(scope string) {
		w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return allow(tx, limited.Primary.ObjectID, strings.ToLower(scope)) }))
	}
	try := func() error {
		_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/images/i", fromModel)
		return err
	}
	grant(compute + "virtualMachines/model")
	err := try()
	w.refuse(err, 403, "LinkedAuthorizationFailed", "disks/beginGetAccess/action,Microsoft.Compute/disks/beginGetAccess/action'")
	grant(compute + "disks/frozen")
	w.refuse(try(), 403, "LinkedAuthorizationFailed", "disks/data'")
	grant(compute + "disks/data")
	w.must(try())
}

// TestLinks: who makes an image gets the bytes of its source.
func TestLinks(t *testing.T) {
	w := newWorld(t)
	for body, action := range map[string]string{
		fromModel: "virtualMachines/write",
		storage(`{"osType":"Linux","osState":"Generalized","snapshot":{"id":"`+compute+`snapshots/known"}}`, ""):                                                                          "snapshots/beginGetAccess/action",
		storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"}}`, ""):                                                                          "disks/beginGetAccess/action",
		storage(`{"osType":"Linux","osState":"Generalized","managedDisk":{"id":"`+compute+`disks/frozen"}}`, `{"lun":0,"snapshot":{"id":"`+strings.ToUpper(compute)+`SNAPSHOTS/known"}}`): "snapshots/beginGetAccess/action",
	} {
		_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/images/i", body)
		w.refuse(err, 403, "LinkedAuthorizationFailed", action)
	}
}
