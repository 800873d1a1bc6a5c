package disk_test

import (
	"bytes"
	"context"
	"testing"

	"vitrine/internal/image/format"
	"vitrine/internal/operation"
	"vitrine/internal/quota"
	"vitrine/internal/store"
)

// A disk counts with its size from the request on, whatever it is made of and however little is written to it.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limit := func(gib int64) {
		n := gib << 30
		w.must(w.store.Update(context.Background(), func(tx store.Tx) error { return quota.Set(tx, tenant, quota.Limits{Own: &n}) }))
	}
	holds := func(gib int64) {
		t.Helper()
		var a quota.Account
		w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) { a, err = quota.Of(tx, tenant); return err }))
		if a.Used != gib<<30 {
			t.Errorf("%d bytes are held, want %d GiB", a.Used, gib)
		}
	}
	empty := func(gb string) string {
		return `{"location":"eastus","properties":{"creationData":{"createOption":"Empty"},"diskSizeGB":` + gb + `}}`
	}
	limit(10)
	w.done("PUT", disks+"one", empty("8"))
	_, err := w.do("PUT", disks+"two", `{"location":"eastus","properties":{"creationData":{"createOption":"Upload","uploadSizeBytes":3221225984}}}`)
	w.refuse(err, 409, "QuotaExceeded", "Additional Required: 3221225472")
	if files, err := w.images.Uploads(); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	_, err = w.do("PUT", disks+"one", empty("11"))
	w.refuse(err, 409, "QuotaExceeded", "Additional Required: 3221225472")
	_, err = w.do("PUT", group+"/providers/Microsoft.Compute/snapshots/s", `{"location":"eastus","properties":{"creationData":{"createOption":"Copy","sourceResourceId":"`+disks+`one"}}}`)
	w.refuse(err, 409, "QuotaExceeded", "Additional Required: 8589934592")
	w.done("PUT", disks+"one", empty("10"))
	holds(10)

	// Of a VHD in a storage account the size is known when it is read: before its bytes are.
	content := bytes.Repeat([]byte("imported"), 8192)
	foot := format.VHDFooter(int64(len(content)))
	const uri = "https://own.blob.core.windows.net/c/x.vhd"
	w.blobs[uri] = append(bytes.Clone(content), foot[:]...)
	bring := `{"location":"eastus","properties":{"creationData":{"createOption":"Import","sourceUri":"` + uri + `"}}}`
	if o := w.end("PUT", disks+"vhd", bring); o.Status != operation.Failed || o.Error.Code != "QuotaExceeded" {
		t.Fatal(o.Status, o.Error)
	}
	if packed, err := w.images.Registered(t.Context(), ""); err != nil || len(packed) != 0 {
		t.Errorf("bytes were taken first: %v, %v", packed, err)
	}
	w.done("DELETE", disks+"vhd", "")
	limit(11)
	w.done("PUT", disks+"vhd", bring)
	holds(11)
	w.done("DELETE", disks+"vhd", "")
	limit(5) // what is there stays, and can be changed where it becomes no more
	w.done("PATCH", disks+"one", `{"tags":{"a":"b"}}`)
	w.done("DELETE", disks+"one", "")
	holds(0)
}
