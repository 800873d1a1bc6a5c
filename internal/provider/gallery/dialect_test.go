package gallery_test

import (
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/authn"
	"vitrine/internal/store"
)

// What is computed and filled in stands in the first answer, in Compute's order.
func TestFirstAnswers(t *testing.T) {
	w := newWorld(t)
	put := func(path, body, want string) {
		t.Helper()
		r, err := w.do(inA, "PUT", path, body)
		w.must(err)
		if r.Status != 201 || string(r.Body) != want {
			t.Errorf("%d\n%s, want\n%s", r.Status, r.Body, want)
		}
		if r.Header.Get("Azure-AsyncOperation") == "" || r.Header.Get("Location") != "" || r.Header.Get("Retry-After") != "1" ||
			!strings.Contains(strings.Replace(r.Header.Get("Azure-AsyncOperation"), "East%20US", "eastus", 1), "/providers/Microsoft.Compute/locations/eastus/capsOperations/") {
			t.Errorf("%v", r.Header)
		}
		w.wait(r)
	}
	put(galleryA, `{"location":"East US","tags":{},"properties":{"provisioningState":"Failed","identifier":{"uniqueName":"x"}}}`,
		`{"name":"shop","id":"`+galleryA+`","type":"Microsoft.Compute/galleries","location":"East US","tags":{},"properties":{"identifier":{"uniqueName":"`+subA+`-SHOP"},"provisioningState":"Creating"}}`)
	put(definitionA, `{"location":"eastus","properties":{"osType":"linux","osState":"generalized","identifier":{"publisher":"p","offer":"o","sku":"s"},"disallowed":{},"recommended":{}}}`,
		`{"name":"tiny","id":"`+definitionA+`","type":"Microsoft.Compute/galleries/images","location":"eastus","properties":{"hyperVGeneration":"V1","architecture":"x64","osType":"Linux","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s"},"recommended":{},"provisioningState":"Creating"}}`)
	w.upload(inA, diskA, "eastus", noise(8192, "disk"), `,"osType":"Linux"`)
	r, err := w.do(inA, "PUT", versionA, `{"location":"eastus","properties":{"publishingProfile":{"replicaCount":2,"targetRegions":[{"name":"eastus"},{"name":"EAST us2","storageAccountType":"standard_zrs","regionalReplicaCount":3}]},"storageProfile":{"osDiskImage":{"source":{"id":"`+diskA+`"}}}}}`)
	w.must(err)
	w.wait(r)
	before, after, _ := strings.Cut(string(r.Body), `"publishedDate":"`)
	stamp, after, _ := strings.Cut(after, `"`)
	want := `{"name":"1.0.0","id":"` + versionA + `","type":"Microsoft.Compute/galleries/images/versions","location":"eastus","properties":{"publishingProfile":{"targetRegions":[{"name":"East US","regionalReplicaCount":2,"storageAccountType":"Standard_LRS"},` +
		`{"name":"East US 2","regionalReplicaCount":3,"storageAccountType":"Standard_ZRS"}],"replicaCount":2,"excludeFromLatest":false,,"storageAccountType":"Standard_LRS"},` +
		`"storageProfile":{"osDiskImage":{"hostCaching":"ReadWrite","source":{"id":"` + diskA + `"}}},"safetyProfile":{"reportedForPolicyViolation":false,"allowDeletionOfReplicatedLocations":false},"provisioningState":"Creating"}}`
	if before+after != want || len(stamp) != len("2026-11-22T13:00:00.0000000+00:00") {
		t.Errorf("\n%s, want\n%s (published %s)", before+after, want, stamp)
	}
	d, err := w.do(inA, "DELETE", versionA, "")
	w.must(err)
	if d.Status != 202 || len(d.Body) != 0 || !strings.Contains(d.Header.Get("Location"), "?monitor=true&api-version=2024-03-03") || d.Header.Get("Azure-AsyncOperation") == "" {
		t.Errorf("%d %s %v", d.Status, d.Body, d.Header)
	}
	w.wait(d)
}

// A request of an api-version sees what that version knew, and a PUT of it takes away nothing of what it did not.
func TestDialects(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", galleryA+"/images/new?api-version=2025-03-03", strings.Replace(definition, `"sku":"s"`, `"sku":"new"`, 1))
	for path, want := range map[string]string{
		galleryA + "/images/new?api-version=2025-03-03": "hyperVGeneration:V2",
		definitionA + "?api-version=2025-03-03":         "hyperVGeneration:V1",
	} {
		if got := fmt.Sprint(w.get(inA, path)); !strings.Contains(got, want) || strings.Contains(got, "features") != strings.Contains(want, "V2") {
			t.Errorf("%s: %s", path, got)
		}
	}
	w.stock()
	w.done(inA, "PUT", versionA, fmt.Sprintf(`{"location":"eastus","properties":{"storageProfile":{"source":{"id":%q}},"safetyProfile":{"blockDeletionBeforeEndOfLife":true},
		"publishingProfile":{"replicationMode":"full","targetRegions":[{"name":"eastus","excludeFromLatest":true,"additionalReplicaSets":[{"storageAccountType":"premium_lrs"}]}]},
		"securityProfile":{"uefiSettings":{"signatureTemplateNames":["microsoftWindowsTemplate"],"additionalSignatures":{"db":[{"type":"SHA256","value":["AAAA"]}]}}}}}`, imageA))
	for _, row := range []struct{ query, has, lacks string }{
		{"2024-03-03", "additionalReplicaSets:[map[regionalReplicaCount:1 storageAccountType:Premium_LRS]] excludeFromLatest:true|blockDeletionBeforeEndOfLife|replicationMode:Full|storageProfile:map[osDiskImage:map[hostCaching:ReadWrite sizeInGB:1 source:map[]] source:map[id:", "securityProfile|storageAccountStrategy|uefi"},
		{"2024-03-03&$expand=UefiSettings", "securityProfile:map[uefiSettings:map[additionalSignatures:map[db:[map[type:sha256 value:[AAAA]]]] signatureTemplateNames:[MicrosoftWindowsTemplate]]]", "replicationStatus"},
		{"2022-03-03", "excludeFromLatest:true|safetyProfile", "additionalReplicaSets|blockDeletion"},
		{"2021-10-01", "replicationMode", "safetyProfile|excludeFromLatest:true"},
		{"2019-03-01", "source:map[managedImage:map[id:" + imageA + "]]|storageProfile:map[osDiskImage", "replicationMode|source:map[id"},
	} {
		got := fmt.Sprint(w.get(inA, versionA+"?api-version="+row.query))
		for part := range strings.SplitSeq(row.has, "|") {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %s: %s", row.query, part, got)
			}
		}
		for part := range strings.SplitSeq(row.lacks, "|") {
			if strings.Contains(got, part) {
				t.Errorf("%s has %s: %s", row.query, part, got)
			}
		}
	}
	before := w.get(inA, versionA+"?$expand=UefiSettings")
	for _, v := range []string{"2018-06-01", "2021-10-01", "2022-03-03", "2026-03-03"} { // each client writes back what it read
		r, err := w.do(inA, "GET", versionA+"?api-version="+v, "")
		w.must(err)
		w.done(inA, "PUT", versionA+"?api-version="+v, string(r.Body))
		if after := w.get(inA, versionA+"?$expand=UefiSettings"); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("after a PUT of %s:\n%v\nbefore\n%v", v, after, before)
		}
	}
	w.done(inA, "PUT", definitionA+"/versions/2.0.0?api-version=2025-03-03", version(","+regions("eastus", "westus2")))
	if got := fmt.Sprint(at(w.get(inA, definitionA+"/versions/2.0.0?api-version=2025-03-03"), "properties.publishingProfile")); !strings.Contains(got, "storageAccountStrategy:PreferStandard_ZRS") ||
		strings.Count(got, "storageAccountType:Standard_ZRS") != 2 {
		t.Error(got)
	}
}

// The gallery's mode of sharing, the firmware keys and the replication status are told to who asks.
func TestViews(t *testing.T) {
	w := newWorld(t)
	w.done(inA, "PUT", galleryA, `{"location":"eastus","properties":{"description":"d","softDeletePolicy":{"isSoftDeleteEnabled":true}}}`)
	for query, shows := range map[string]bool{"": false, "?$select=permissions": true, "?$expand=sharingProfile/groups": true} {
		if got := at(w.get(inA, galleryA+query), "properties.sharingProfile.permissions") == "Private"; got != shows {
			t.Errorf("%q: %v", query, got)
		}
	}
	w.done(inA, "PUT", galleryA, `{"location":"eastus"}`)
	if got := fmt.Sprint(at(w.get(inA, galleryA), "properties.softDeletePolicy")); got != "map[isSoftDeleteEnabled:true]" {
		t.Errorf("a PUT that says nothing of it has switched soft delete off: %s", got)
	}
	w.done(inA, "PATCH", galleryA, `{"properties":{"softDeletePolicy":{"isSoftDeleteEnabled":false}}}`)
	if got := fmt.Sprint(at(w.get(inA, galleryA), "properties.softDeletePolicy")); got != "map[isSoftDeleteEnabled:false]" {
		t.Error(got)
	}
	for _, list := range []string{groupA + compute + "galleries", "/subscriptions/" + subA + compute + "galleries"} {
		if got := w.get(inA, list)["value"].([]any); len(got) != 1 {
			t.Errorf("%s: %v", list, got)
		}
	}
}

// A write that is conditional on what was read is refused when another came between; two writers at once never lose one.
func TestConditions(t *testing.T) {
	w := newWorld(t)
	w.done(inA, "PUT", galleryA, `{"location":"eastus"}`)
	r, err := w.do(inA, "GET", galleryA, "")
	w.must(err)
	etag := r.Header.Get("ETag")
	_, err = w.conditional("PUT", galleryA, `{"location":"eastus"}`, "If-None-Match", "*")
	w.refuse(err, 412, "PreconditionFailed", "If-None-Match", "")
	w.done(inA, "PATCH", galleryA, `{"tags":{"by":"another"}}`)
	_, err = w.conditional("PATCH", galleryA, `{"tags":{}}`, "If-Match", etag)
	w.refuse(err, 412, "PreconditionFailed", "If-Match", "")
	_, err = w.conditional("DELETE", galleryA, "", "If-Match", etag)
	w.refuse(err, 412, "PreconditionFailed", "If-Match", "")
	_, err = w.conditional("PUT", galleryA+"2", `{"location":"eastus"}`, "If-Match", "*")
	w.refuse(err, 412, "PreconditionFailed", "If-Match", "")
	r, err = w.do(inA, "GET", galleryA, "")
	w.must(err)
	r, err = w.conditional("PATCH", galleryA, `{"tags":{"mine":"1"}}`, "If-Match", r.Header.Get("ETag"))
	w.must(err)
	w.wait(r)

	w.pause()
	_, err = w.do(inA, "PATCH", galleryA, `{"tags":{"first":"1"}}`)
	w.must(err)
	_, err = w.do(inA, "PATCH", galleryA, `{"tags":{"second":"1"}}`)
	w.refuse(err, 409, "Conflict", "Another operation is in progress", "")
	w.start()
	w.must(w.view(func(store.Tx) error { return nil }))
}

// Who made it and who wrote it last is told from the api-version on whose models have it; what a client says of that counts for nothing.
func TestSystemData(t *testing.T) {
	w := newWorld(t)
	forged := `{"location":"eastus","systemData":{"createdBy":"somebody else","createdAt":"2001-01-01T00:00:00Z"}}`
	const newer = "?api-version=2025-03-03"
	w.done(inA, "PUT", galleryA+newer, forged)
	made := w.get(inA, galleryA+newer)
	for path, want := range map[string]any{"createdBy": inA.Primary.AppID, "createdByType": "Application", "lastModifiedBy": inA.Primary.AppID, "lastModifiedByType": "Application",
		"lastModifiedAt": at(made, "systemData.createdAt")} {
		if got := at(made, "systemData."+path); got != want || want == nil || want == "" {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	person := inA
	person.Primary.Kind, person.Primary.Name = authn.User, "ann@contoso.example"
	w.done(person, "PATCH", galleryA, `{"tags":{"a":"b"}}`)
	seen := w.get(inA, galleryA+newer)
	for path, want := range map[string]any{"createdBy": inA.Primary.AppID, "createdAt": at(made, "systemData.createdAt"), "lastModifiedBy": "ann@contoso.example", "lastModifiedByType": "User"} {
		if got := at(seen, "systemData."+path); got != want {
			t.Errorf("after a patch, %s: %v, want %v", path, got, want)
		}
	}
	if at(seen, "systemData.lastModifiedAt") == at(made, "systemData.createdAt") {
		t.Error("the patch is not told")
	}
	if old := at(w.get(inA, galleryA+"?api-version=2024-03-03"), "systemData"); old != nil {
		t.Errorf("an older api-version: %v", old)
	}
}
