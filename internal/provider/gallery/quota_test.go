package gallery_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/operation"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

func (w *world) limit(tenant string, gib int64) {
	w.Helper()
	n := gib << 30
	w.update(func(tx store.Tx) error { return quota.Set(tx, tenant, quota.Limits{Own: &n}) })
}

func (w *world) holds(tenant string, gib int64) {
	w.Helper()
	var a quota.Account
	w.must(w.view(func(tx store.Tx) (err error) { a, err = quota.Of(tx, tenant); return err }))
	if a.Used != gib<<30 {
		w.Errorf("%s holds %d bytes, want %d GiB", tenant, a.Used, gib)
	}
}

// Every disk of a version counts once in each of its regions, from the request on, until the version is gone for good.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop() // a disk of 1 GiB
	w.limit(tenantA, 3)
	_, err := w.do(inA, "PUT", versionA, version(","+regions("eastus", "westus2", "westeurope")))
	w.refuse(err, 409, "QuotaExceeded", "Current Limit: 3221225472, Current Usage: 1073741824, Additional Required: 3221225472, (Minimum) New Limit Required: 4294967296.", "")
	_, err = w.do(inA, "GET", versionA, "")
	w.refuse(err, 404, "ResourceNotFound", "", "")
	w.holds(tenantA, 1)
	w.done(inA, "PUT", versionA, version(","+regions("eastus", "westus2")))
	w.holds(tenantA, 3)
	w.done(inA, "PUT", versionA, version(","+regions("eastus", "westus2"))) // again is no more
	more := strings.Replace(version(","+regions("eastus", "westus2", "westeurope")), `"properties":{`, `"properties":{"safetyProfile":{"allowDeletionOfReplicatedLocations":true},`, 1)
	_, err = w.do(inA, "PUT", versionA, more)
	w.refuse(err, 409, "QuotaExceeded", "Additional Required: 1073741824", "")
	w.pinned("westeurope", 0)
	_, err = w.do(inA, "PUT", groupA+compute+"disks/two", `{"location":"eastus","properties":{"creationData":{"createOption":"Upload","uploadSizeBytes":1049088}}}`)
	w.refuse(err, 409, "QuotaExceeded", "", "")
	r, err := w.do(inA, "GET", "/subscriptions/"+subA+"/providers/Microsoft.Compute/locations/eastus/usages", "")
	w.must(err)
	if want := `{"unit":"Count","currentValue":3,"limit":3,"name":{"value":"TenantStoredGigabytes","localizedValue":"Stored Gigabytes of the Tenant"}}`; !strings.Contains(string(r.Body), want) {
		t.Errorf("no %s in %s", want, r.Body)
	}
	fewer := strings.Replace(version(","+regions("eastus")), `"properties":{`, `"properties":{"safetyProfile":{"allowDeletionOfReplicatedLocations":true},`, 1)
	w.done(inA, "PUT", versionA, fewer)
	w.holds(tenantA, 2)
	w.done(inA, "DELETE", versionA, "")
	w.done(inA, "DELETE", diskA, "")
	w.holds(tenantA, 0)
}

// A version that is soft-deleted still has its bytes, and they are free when it is purged.
func TestQuotaOfTheBuried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.soft("")
	w.holds(tenantA, 3)
	w.done(inA, "DELETE", versionA, "")
	w.holds(tenantA, 3)
	w.limit(tenantA, 3)
	r, err := w.do(inA, "PATCH", versionA+"?api-version=2026-03-03", `{"properties":{"restore":true}}`)
	w.must(err)
	if o := w.wait(r); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	w.holds(tenantA, 3)
	w.done(inA, "DELETE", versionA, "")
	w.tomorrow(30)
	w.must(w.galleries.Sweep(context.Background()))
	w.holds(tenantA, 1)
}

// Publications that are asked for together do not pass the quota together.
func TestQuotaRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.limit(tenantA, 4)
	results := make(chan error)
	const n = 6
	for i := range n {
		go func() {
			_, err := w.do(inA, "PUT", fmt.Sprintf("%s/versions/%d.0.0", definitionA, i), version(""))
			results <- err
		}()
	}
	won := 0
	for range n {
		if err := <-results; err == nil {
			won++
		} else {
			w.refuse(err, 409, "QuotaExceeded", "", "")
		}
	}
	if won != 3 {
		t.Errorf("%d versions of 1 GiB found room in 3", won)
	}
	w.holds(tenantA, 4)
}

// The files of an application's version count once in each of its regions, by their bytes.
func TestQuotaOfApplications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shelf()
	used := func(want int64) {
		t.Helper()
		var a quota.Account
		w.must(w.view(func(tx store.Tx) (err error) { a, err = quota.Of(tx, tenantA); return err }))
		if a.Used != want {
			t.Errorf("%d bytes, want %d", a.Used, want)
		}
	}
	w.files[bigURI] = file{content: []byte("x"), size: 1 << 30}
	w.limit(tenantA, 1)
	size := int64(len(w.files[zipURI].content))
	w.done(inA, "PUT", appVerA, appVersion(zipURI, `,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""))
	used(2 * size)
	_, err := w.do(inA, "PUT", appA+"/versions/2.0.0", appVersion(bigURI, "", ""))
	w.refuse(err, 409, "QuotaExceeded", "stored bytes of the tenant", "")
	w.absentVersion(appA + "/versions/2.0.0")
	w.done(inA, "PATCH", appVerA, `{"properties":{"publishingProfile":{"targetRegions":[{"name":"eastus"}]}}}`)
	used(size)
	w.done(inA, "DELETE", appVerA, "")
	used(0)
}
