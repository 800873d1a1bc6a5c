package disk_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/operation"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

// TestCreateNames: a machine's client chooses the name of its disks; it must not choose the key of the document.
func TestCreateNames(t *testing.T) {
	w := newWorld(t)
	g := arm.ID{Subscription: sub, ResourceGroup: "rg"}
	machine := g.Child("Microsoft.Compute/virtualMachines", "m")
	create := func(name string) error {
		return w.store.Update(context.Background(), func(tx store.Tx) error {
			return w.disks.Create(tx, disk.NewDisk{ID: g.Child(disk.Type, name), Location: "eastus", SizeGB: 1, Owner: machine, Now: time.Now()})
		})
	}
	for _, name := range []string{"", "..", "foo/bar", "a b?c#d", "-d", strings.Repeat("x", 300),
		"d/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001"} {
		w.refuse(create(name), 400, "InvalidParameter", "validation rule")
	}
	w.must(create("d"))
}

// TestUploadTooLarge: a disk that no file of this host can hold is refused by name and at once, not tried again.
func TestUploadTooLarge(t *testing.T) {
	w := newWorld(t)
	const size = 32<<40 + 512
	f, err := os.Create(filepath.Join(w.dir, "probe"))
	w.must(err)
	err = f.Truncate(size)
	w.must(f.Close())
	if err == nil {
		t.Skip("this file system holds files of 32 TiB: no upload is too large for it")
	}
	w.Logf("the file system says %v (EFBIG is %v)", err, syscall.EFBIG)
	w.done("PUT", disks+"d", fmt.Sprintf(`{"location":"eastus","properties":{"creationData":{"createOption":"Upload","uploadSizeBytes":%d}}}`, int64(size)))
	o := w.end("POST", disks+"d/beginGetAccess", `{"access":"Write","durationInSeconds":3600}`)
	if o.Status != operation.Failed || o.Error == nil || o.Error.Code != "OperationNotAllowed" || !strings.Contains(o.Error.Message, "bytes at most") {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	if o.Tries != 0 {
		t.Errorf("tried %d times more", o.Tries)
	}
	if i := w.info("d"); i.State != disk.ReadyToUpload {
		t.Errorf("state %s", i.State)
	}
	if list, err := w.images.Uploads(); err != nil || len(list) > 0 {
		t.Errorf("left: %v %v", list, err)
	}
	w.done("DELETE", disks+"d", "")
}
