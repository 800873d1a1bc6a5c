package managed_test

import (
	"testing"

	"vitrine/internal/operation"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// An image counts with the sizes of its disks; that of a VHD is known before its bytes are read.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limit := func(n int64) {
		w.must(w.store.Update(t.Context(), func(tx store.Tx) error { return quota.Set(tx, tenant, quota.Limits{Own: &n}) }))
	}
	body := storage(`{"osType":"Linux","osState":"Generalized","blobUri":"https://acc/c/good.vhd"}`, "")
	before, err := w.images.Registered(t.Context(), "")
	w.must(err)
	limit(1<<30 - 1)
	if o := w.end("PUT", "i", body, 201); o.Status != operation.Failed || o.Error.Code != "QuotaExceeded" {
		t.Fatal(o.Status, o.Error)
	}
	if after, err := w.images.Registered(t.Context(), ""); err != nil || len(after) != len(before) {
		t.Errorf("bytes were taken first: %v, %v", after, err)
	}
	_, err = w.as(caller, "PUT", compute+"images/large", storage(`{"osType":"Linux","osState":"Generalized","diskSizeGB":2,"blobUri":"https://acc/c/good.vhd"}`, ""))
	w.refuse(err, 409, "QuotaExceeded", "Additional Required: 2147483648")
	limit(1 << 30)
	w.done("PUT", "i", body, 200)
	var a quota.Account
	w.must(w.store.View(t.Context(), func(tx store.Tx) (err error) { a, err = quota.Of(tx, tenant); return err }))
	if a.Used != 1<<30 {
		t.Errorf("%d bytes are held", a.Used)
	}
}
