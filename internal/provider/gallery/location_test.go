package gallery_test

import (
	"strings"
	"testing"

	"vitrine/internal/store"
)

// A location is told as it was written (recorded of galleries; Swagger of disks), in the URL of an operation too, and means its region
// wherever one is compared with another.
func TestLocationAsWritten(t *testing.T) {
	w := newWorld(t)
	r, err := w.do(inA, "PUT", galleryA, `{"location":"East US"}`)
	w.must(err)
	w.wait(r)
	if follow := r.Header.Get("Azure-AsyncOperation"); !strings.Contains(follow, "/locations/East%20US/capsOperations/") || at(decode(w, r.Body), "location") != "East US" {
		t.Errorf("first answer: %s %s", follow, r.Body)
	}
	w.done(inA, "PUT", definitionA, strings.Replace(definition, "eastus", "EASTUS", 1))
	w.upload(inA, diskA, "eastUS", noise(1<<20, "disk"), `,"osType":"Linux"`)
	w.done(inA, "PUT", versionA, version(","+regions("eastus", "West US 2")))
	far := definitionA + "/versions/2.0.0"
	_, err = w.do(inA, "PUT", far, strings.Replace(version(""), "East US", "West US 2", 1))
	w.refuse(err, 404, "ResourceNotFound", "was not found in location 'westus2'", "")
	for path, want := range map[string]string{galleryA: "East US", definitionA: "EASTUS", diskA: "eastUS", versionA: "East US"} {
		if got := at(w.get(inA, path), "location"); got != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	list := w.get(inA, definitionA+"/versions")["value"].([]any)
	if got := at(list[0].(map[string]any), "location"); got != "East US" {
		t.Errorf("list: %v", got)
	}
	w.done(inA, "PATCH", galleryA, `{"tags":{"a":"b"}}`)
	w.done(inA, "PUT", galleryA, `{"tags":{"a":"c"}}`)
	if got := at(w.get(inA, galleryA), "location"); got != "East US" {
		t.Errorf("a write that does not speak of it: %v", got)
	}
	for _, moved := range []string{"West US", "westus"} {
		_, err = w.do(inA, "PUT", galleryA, `{"location":"`+moved+`"}`)
		w.refuse(err, 409, "InvalidResourceLocation", "already exists in location 'eastus'", "")
	}
	for _, again := range []string{"eastus", "east us", "EastUS"} {
		w.done(inA, "PUT", galleryA, `{"location":"`+again+`"}`)
		if got := at(w.get(inA, galleryA), "location"); got != again {
			t.Errorf("%v, want %s", got, again)
		}
	}
	wide := "east" + strings.Repeat(" ", 4000) + "us"
	w.done(inA, "PUT", galleryA, `{"location":"`+wide+`"}`)
	if got := at(w.get(inA, galleryA), "location"); got != "eastus" {
		t.Errorf("a wide one: %v", got)
	}
	w.update(func(tx store.Tx) error {
		for _, place := range []string{"eastus", "EAST US"} {
			if v, err := w.galleries.Resolve(tx, definitionA, place); err != nil || v.VersionID != versionA {
				t.Errorf("latest in %s: %v %v", place, v, err)
			}
		}
		return nil
	})
	w.galleries.Limits.Galleries = 1
	_, err = w.do(inA, "PUT", groupA+compute+"galleries/other", `{"location":"East Us"}`)
	w.refuse(err, 409, "QuotaExceeded", "region 'eastus'", "")
	r, err = w.do(inA, "DELETE", versionA, "")
	w.must(err)
	w.wait(r)
	if !strings.Contains(r.Header.Get("Location"), "/locations/East%20US/") {
		t.Error(r.Header)
	}
}
