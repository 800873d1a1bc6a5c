package gallery_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/operation"
	"vitrine/internal/store"
)

const gravesA = galleryA + "/softDeletedArtifactTypes/images/artifacts/tiny/versions?api-version=2026-03-03"

// tomorrow lets days pass.
func (w *world) tomorrow(days int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.later += time.Duration(days) * 24 * time.Hour
}

func (w *world) soft(extra string) {
	w.Helper()
	w.shop()
	w.done(inA, "PUT", galleryA+"?api-version=2026-03-03", `{"location":"eastus","properties":{"softDeletePolicy":{"isSoftDeleteEnabled":true`+extra+`}}}`)
	w.done(inA, "PUT", versionA, `{"location":"eastus","tags":{"a":"b"},"properties":{"storageProfile":{"osDiskImage":{"source":{"id":"`+diskA+`"}}},`+regions("eastus", "westus2")+`}}`)
}

func (w *world) resolves(want bool) {
	w.Helper()
	for _, reference := range []string{versionA, definitionA} {
		err := w.view(func(tx store.Tx) error {
			_, err := w.galleries.Resolve(tx, reference, "westus2")
			return err
		})
		if got := err == nil; got != (want && reference == versionA) {
			w.Errorf("%s: %v", reference, err)
		}
	}
}

// A soft-deleted version is out of sight and out of latest, keeps its bytes, can be used by its exact name until its retention
// ends and restored until its grace ends; then the sweeper takes it.
func TestSoftDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.soft(`,"gracePeriodInDays":2`)
	if got := fmt.Sprint(at(w.get(inA, galleryA+"?api-version=2026-03-03"), "properties.softDeletePolicy")); got != "map[gracePeriodInDays:2 isSoftDeleteEnabled:true retentionPeriodInDays:7]" {
		t.Error(got)
	}
	if got := fmt.Sprint(at(w.get(inA, galleryA), "properties.softDeletePolicy")); got != "map[isSoftDeleteEnabled:true]" {
		t.Errorf("an older client sees %s", got)
	}
	w.done(inA, "PUT", galleryA, `{"location":"eastus","properties":{"softDeletePolicy":{"isSoftDeleteEnabled":true}}}`) // which keeps the days
	w.done(inA, "DELETE", versionA, "")
	_, err := w.do(inA, "GET", versionA, "")
	w.refuse(err, 404, "ResourceNotFound", "1.0.0", "")
	if r, err := w.do(inA, "DELETE", versionA, ""); err != nil || r.Status != 204 {
		t.Errorf("deleted again: %v %v", r, err)
	}
	if got := fmt.Sprint(w.get(inA, definitionA+"/versions")["value"]); got != "[]" {
		t.Error(got)
	}
	list := w.get(inA, gravesA)["value"].([]any)
	grave := list[0].(map[string]any)
	if len(list) != 1 || grave["name"] != "1.0.0" || grave["type"] != "Microsoft.Compute/galleries/softDeletedArtifactTypes/artifacts/versions" || grave["location"] != "eastus" ||
		at(grave, "properties.resourceArmId") != versionA || at(grave, "properties.softDeletedArtifactType") != "Images" {
		t.Fatal(list)
	}
	for from, days := range map[string]int{"consumptionEndTime": 7, "hardDeletionTargetTime": 9} {
		const form = "2006-01-02T15:04:05.0000000-07:00"
		begin, err := time.Parse(form, at(grave, "properties.softDeletedTime").(string))
		w.must(err)
		end, err := time.Parse(form, at(grave, "properties."+from).(string))
		if err != nil || !end.Equal(begin.AddDate(0, 0, days)) {
			t.Errorf("%s: %v %v", from, end, err)
		}
	}
	w.resolves(true)
	_, err = w.do(inA, "DELETE", definitionA, "")
	w.refuse(err, 409, "CannotDeleteResource", "softDeletedArtifactTypes/Images/artifacts/tiny/versions/1.0.0", "")
	_, err = w.do(inA, "PUT", versionA, version(""))
	w.refuse(err, 409, "Conflict", "soft-deleted state", "")
	w.pinned("westus2", 1)

	w.tomorrow(8)
	w.must(w.galleries.Sweep(context.Background()))
	w.resolves(false) // in grace: only to be restored
	r, err := w.do(inA, "PATCH", versionA, `{"properties":{"restore":true}}`)
	w.must(err)
	if o := w.wait(r); o.Status != operation.Succeeded || r.Status != 200 || !strings.Contains(string(r.Body), `"provisioningState":"Updating"`) {
		t.Fatalf("%d %s %v", r.Status, r.Body, o.Error)
	}
	seen := w.get(inA, versionA)
	if fmt.Sprint(seen["tags"]) != "map[a:b]" || at(seen, "properties.restore") != nil || at(seen, "properties.provisioningState") != "Succeeded" {
		t.Error(seen)
	}
	if got := fmt.Sprint(w.get(inA, gravesA)["value"]); got != "[]" {
		t.Error(got)
	}

	w.done(inA, "DELETE", versionA, "")
	w.tomorrow(10)
	w.must(w.galleries.Sweep(context.Background()))
	w.pinned("westus2", 0)
	w.pinned("eastus", 1) // the disk
	_, err = w.do(inA, "PATCH", versionA, `{"properties":{"restore":true}}`)
	w.refuse(err, 404, "ResourceNotFound", "", "")
	w.done(inA, "DELETE", definitionA, "")
}

// Both forms of older and newer clients restore; bypassing leaves nothing to restore.
func TestRestoreForms(t *testing.T) {
	w := newWorld(t)
	w.soft("")
	for _, body := range []string{
		`{"location":"eastus","properties":{"restore":true,"storageProfile":{}}}`,
		`{"location":"East US","tags":{},"properties":{"publishingProfile":null,"storageProfile":null,"safetyProfile":{"allowDeletionOfReplicatedLocations":true}}}`,
		`{"location":"eastus","properties":{}}`,
	} {
		w.done(inA, "DELETE", versionA, "")
		r, err := w.do(inA, "PUT", versionA, body)
		w.must(err)
		if o := w.wait(r); r.Status != 200 || o.Status != operation.Succeeded {
			t.Fatalf("%s: %d %v", body, r.Status, o.Error)
		}
		if got := fmt.Sprint(w.get(inA, versionA)["tags"]); got != "map[a:b]" {
			t.Errorf("%s: tags %s", body, got)
		}
	}
	w.done(inA, "DELETE", versionA, "")
	_, err := w.do(inA, "PUT", versionA, `{"location":"westus2","properties":{"restore":true}}`)
	w.refuse(err, 409, "InvalidResourceLocation", "eastus", "")
	w.done(inA, "PUT", versionA, `{"location":"eastus","properties":{"restore":true}}`)
	w.done(inA, "DELETE", versionA+"?api-version=2026-03-03&bypassSoftDelete=true", "")
	if got := fmt.Sprint(w.get(inA, gravesA)["value"]); got != "[]" {
		t.Error(got)
	}
	w.pinned("westus2", 0)
}

// Whoever may not read the definition does not see what was deleted there; who deletes the grave frees the bytes.
func TestGraveRights(t *testing.T) {
	w := newWorld(t)
	w.soft("")
	w.done(inA, "DELETE", versionA, "")
	_, err := w.do(inB, "GET", gravesA, "")
	w.refuse(err, 401, "InvalidAuthenticationTokenTenant", "", "")
	w.update(func(tx store.Tx) error {
		return tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0)
	})
	_, err = w.do(inA, "GET", gravesA, "")
	w.refuse(err, 403, "AuthorizationFailed", "softDeletedArtifactTypes/artifacts/versions/read", "")
	_, err = w.do(inA, "PUT", versionA, `{"location":"eastus","properties":{"restore":true}}`)
	w.refuse(err, 403, "AuthorizationFailed", "versions/write", "")
	w.update(func(tx store.Tx) error { return assign(tx, inA.Primary, owner, "/subscriptions/"+subA) })
	_, err = w.do(inA, "GET", galleryA+"/softDeletedArtifactTypes/Images/artifacts/none/versions", "")
	w.refuse(err, 404, "ResourceNotFound", "galleries/shop/images/none", "")
	_, err = w.do(inA, "GET", galleryA+"/softDeletedArtifactTypes/Apps/artifacts/tiny/versions", "")
	w.refuse(err, 400, "InvalidParameter", "Images", "")
	r, err := w.do(inA, "DELETE", galleryA+"/softDeletedArtifactTypes/Images/artifacts/tiny/versions/1.0.0", "")
	if err != nil || r.Status != 200 {
		t.Fatal(r, err)
	}
	w.pinned("westus2", 0)
}

// A deletion that is repeated while the first is under way follows that one.
func TestDeleteTwice(t *testing.T) {
	w := newWorld(t)
	w.soft("")
	w.stop() // so that the first cannot have ended
	w.group.Wait()
	d, err := w.do(inA, "DELETE", versionA+"?bypassSoftDelete=true", "")
	w.must(err)
	again, err := w.do(inA, "DELETE", versionA, "")
	if err != nil || again.Header.Get("Azure-AsyncOperation") != d.Header.Get("Azure-AsyncOperation") {
		t.Errorf("a repeated deletion has another operation: %v", err)
	}
	w.start()
	if o := w.wait(again); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	w.pinned("westus2", 0)
}

// A deletion calls off a publication that is under way, and leaves nothing.
func TestDeleteWhilePublishing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.soft("")
	w.setDown("westeurope", errDown)
	path := definitionA + "/versions/2.0.0"
	r, err := w.do(inA, "PUT", path, version(","+regions("eastus", "westeurope")))
	w.must(err)
	_, err = w.do(inA, "PUT", path, version(","+regions("eastus")))
	w.refuse(err, 409, "Conflict", "Another operation is in progress", "")
	d, err := w.do(inA, "DELETE", path+"?bypassSoftDelete=true", "")
	w.must(err)
	if o := w.wait(r); o.Status == operation.Succeeded {
		t.Errorf("the publication ended %s", o.Status)
	}
	if o := w.wait(d); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	_, err = w.do(inA, "GET", path, "")
	w.refuse(err, 404, "ResourceNotFound", "", "")
	w.pinned("eastus", 2)
}
