package gallery_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/blob"
	"vitrine/internal/operation"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

const (
	galleryA    = groupA + compute + "galleries/shop"
	definitionA = galleryA + "/images/tiny"
	versionA    = definitionA + "/versions/1.0.0"
	diskA       = groupA + compute + "disks/source"
	diskB       = groupB + compute + "disks/theirs"
	definition  = `{"location":"eastus","properties":{"osType":"linux","osState":"generalized","identifier":{"publisher":"p","offer":"o","sku":"s"}}}`
)

// shop makes gallery, definition and a source disk in tenant A.
func (w *world) shop() []byte {
	w.Helper()
	w.done(inA, "PUT", galleryA, `{"location":"eastus"}`)
	w.done(inA, "PUT", definitionA, definition)
	content := noise(1<<20, "disk")
	w.upload(inA, diskA, "eastus", content, `,"osType":"Linux"`)
	return content
}

func version(extra string) string {
	return fmt.Sprintf(`{"location":"East US","properties":{"storageProfile":{"osDiskImage":{"source":{"id":%q}}}%s}}`, diskA, extra)
}

func regions(names ...string) string {
	var list []string
	for _, n := range names {
		list = append(list, fmt.Sprintf(`{"name":%q}`, n))
	}
	return `"publishingProfile":{"targetRegions":[` + strings.Join(list, ",") + `]}`
}

// at digs into decoded JSON: "properties.publishingProfile".
func at(v map[string]any, path string) any {
	var cur any = v
	for name := range strings.SplitSeq(path, ".") {
		m, ok := cur.(map[string]any)
		if !ok {
			return nil
		}
		cur = m[name]
	}
	return cur
}

func TestLife(t *testing.T) {
	w := newWorld(t)
	content := w.shop()

	r, err := w.do(inA, "PUT", versionA, version(","+regions("eastus", "West US 2")))
	w.must(err)
	first := decode(w, r.Body)
	if r.Status != 201 || at(first, "properties.provisioningState") != "Creating" {
		t.Fatalf("first answer: %d %s", r.Status, r.Body)
	}
	for path, want := range map[string]any{"location": "East US", "properties.publishingProfile.replicaCount": 1.0,
		"properties.publishingProfile.excludeFromLatest": false, "properties.publishingProfile.storageAccountType": "Standard_LRS",
		"properties.safetyProfile.reportedForPolicyViolation": false, "properties.safetyProfile.allowDeletionOfReplicatedLocations": false} {
		if got := at(first, path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	if got := fmt.Sprint(at(first, "properties.publishingProfile.targetRegions")); !strings.Contains(got, "East US") || !strings.Contains(got, "West US 2") {
		t.Errorf("target regions: %s", got)
	}
	if o := w.wait(r); o.Status != operation.Succeeded {
		t.Fatalf("%s: %v", o.Status, o.Error)
	}
	seen := w.get(inA, versionA+"?$expand=replicationStatus")
	if at(seen, "properties.replicationStatus.aggregatedState") != "Completed" || at(seen, "properties.storageProfile.osDiskImage.sizeInGB") != 1.0 {
		t.Fatalf("after publishing: %v", seen)
	}
	if at(w.get(inA, versionA), "properties.replicationStatus") != nil {
		t.Error("replication status without $expand")
	}
	w.done(inA, "DELETE", diskA, "") // the version holds its own pin
	w.consume(content)
}

// consume makes a disk in tenant B, in the second region, and reads it back by a signed URL.
func (w *world) consume(content []byte) {
	w.Helper()
	body := fmt.Sprintf(`{"location":"westus2","properties":{"creationData":{"createOption":"FromImage","galleryImageReference":{"id":%q}}}}`, versionA)
	_, err := w.do(inB, "PUT", diskB, body)
	w.refuse(err, 403, "LinkedAuthorizationFailed", "is not authorized to access linked subscription '"+subA+"'", "")
	before := w.objects("westus2")
	r, err := w.do(inBAux, "PUT", diskB, body)
	w.must(err)
	if r.Status != 202 || r.Header.Get("Location") == "" {
		w.Fatalf("disk: %d %v", r.Status, r.Header)
	}
	o := w.wait(r)
	out := decode(w, o.Output)
	if at(out, "properties.diskState") != "Unattached" || at(out, "properties.osType") != "Linux" || at(out, "properties.supportedCapabilities.architecture") != "x64" {
		w.Fatalf("output: %s", o.Output)
	}
	if after := w.objects("westus2"); after != before {
		w.Errorf("%d objects before, %d after: bytes were copied", before, after)
	}
	w.pinned("westus2", 2)
	o = w.done(inB, "POST", diskB+"/beginGetAccess", `{"access":"Read","durationInSeconds":60}`)
	c := w.open(sasOf(w, o))
	got := make([]byte, len(content))
	if _, err := c.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, content) {
		w.Fatalf("read back: %v", err)
	}
	if c.Size() != int64(len(content))+512 {
		w.Errorf("size %d", c.Size())
	}
	if at(w.get(inB, diskB), "properties.diskState") != "ActiveSAS" {
		w.Error("state is not ActiveSAS")
	}
	_, err = w.do(inB, "DELETE", diskB, "")
	w.refuse(err, 409, "OperationNotAllowed", "active shared access signature", "")
	w.done(inB, "POST", diskB+"/endGetAccess", "")
	w.done(inA, "DELETE", versionA, "")
	w.pinned("westus2", 1) // tenant B's disk lives on
	w.done(inB, "DELETE", diskB, "")
	w.pinned("westus2", 0)
	w.done(inA, "DELETE", definitionA, "")
	w.done(inA, "DELETE", galleryA, "")
}

func (w *world) objects(region string) int {
	w.Helper()
	b, err := w.bucket(region)
	w.must(err)
	list, err := b.List(context.Background(), "", "", 10000)
	w.must(err)
	return len(list)
}

// pinned counts the pins of a region.
func (w *world) pinned(region string, want int) {
	w.Helper()
	w.must(w.view(func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Prefix: "image/pin/" + region + "/"})
		if len(docs) != want {
			w.Errorf("%d pins in %s, want %d: %v", len(docs), region, want, docs)
		}
		return err
	}))
}

func TestResolve(t *testing.T) {
	w := newWorld(t)
	w.shop()
	for name, extra := range map[string]string{
		"1.9.0": regions("eastus", "westus2"), "1.10.0": regions("eastus"),
		"2.0.0": `"publishingProfile":{"excludeFromLatest":true,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]}`,
		"1.8.0": `"publishingProfile":{"excludeFromLatest":true,"targetRegions":[{"name":"eastus"},{"name":"westeurope","excludeFromLatest":false}]}`} {
		w.done(inA, "PUT", definitionA+"/versions/"+name, version(","+extra))
	}
	for _, row := range []struct{ reference, location, want string }{
		{definitionA, "eastus", "1.10.0"}, // by number, not by text
		{definitionA, "West US 2", "1.9.0"},
		{definitionA + "/versions/latest", "westeurope", "1.8.0"}, // the region's own word counts
		{definitionA + "/versions/2.0.0", "westus2", "2.0.0"},
		{strings.ToUpper(definitionA) + "/VERSIONS/1.9.0", "eastus", "1.9.0"},
	} {
		err := w.view(func(tx store.Tx) error {
			r, err := w.galleries.Resolve(tx, row.reference, row.location)
			if r.ExactVersion != row.want || err == nil && (r.OSType != "Linux" || r.OSState != "Generalized" || len(r.Disks) != 1 || r.Disks[0].LUN != -1) {
				t.Errorf("%s in %s: %+v, want %s", row.reference, row.location, r, row.want)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s in %s: %v", row.reference, row.location, err)
		}
	}
	for _, row := range []struct{ reference, location, part string }{
		{definitionA + "/versions/1.10.0", "westus2", "The gallery image " + definitionA + "/versions/1.10.0 is not available in westus2 region. Please contact image owner to replicate to this region, or change your requested region."},
		{definitionA + "/versions/9.9.9", "eastus", "is not available in eastus region"},
		{galleryA + "/images/none", "eastus", "is not available"},
		{definitionA, "japaneast", "No latest image version exists"},
	} {
		w.refuse(w.view(func(tx store.Tx) error {
			_, err := w.galleries.Resolve(tx, row.reference, row.location)
			return err
		}), 404, "GalleryImageNotFound", row.part, "imageReference")
	}
}

// A region that is out of order fails alone, and another PUT without sources tries it again.
func TestRegionFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.setDown("westus2", errDown)
	w.setDown("westus3", blob.ErrFull)
	r, err := w.do(inA, "PUT", versionA, version(","+regions("eastus", "westeurope", "westus2", "westus3")))
	w.must(err)
	o := w.wait(r)
	if o.Status != operation.Failed || o.Error.Code != "ReplicationJobsFailed" || !strings.Contains(o.Error.Message, "West US 2: The region's storage did not take the image.") || !strings.Contains(o.Error.Message, "West US 3: The region's storage is full.") {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	seen := w.get(inA, versionA+"?$expand=ReplicationStatus")
	if at(seen, "properties.provisioningState") != "Failed" || at(seen, "properties.replicationStatus.aggregatedState") != "Failed" {
		t.Fatalf("%v", seen)
	}
	w.must(w.view(func(tx store.Tx) error {
		_, _, err := w.galleries.Manifest(tx, versionA, -1, "westeurope")
		return err
	}))
	w.setDown("westus2", nil)
	w.done(inA, "PUT", versionA, `{"location":"eastus","properties":{"storageProfile":{"osDiskImage":{"source":null}},`+regions("eastus", "westeurope", "westus2")+`}}`)
	w.pinned("westus2", 1)

	_, err = w.do(inA, "PUT", versionA, version(","+regions("eastus")))
	w.refuse(err, 409, "OperationNotAllowed", "allowDeletionOfReplicatedLocations", "galleryImageVersion.properties.publishingProfile.targetRegions")
	w.done(inA, "PUT", versionA, version(`,"safetyProfile":{"allowDeletionOfReplicatedLocations":true},`+regions("eastus")))
	w.pinned("westus2", 0)
	w.pinned("westeurope", 0)
}

// A version made by tenant B from tenant A's is repacked into B's domain and keeps no hold on A's.
func TestAcrossTenants(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(""))
	galleryB := groupB + compute + "galleries/copy"
	w.done(inB, "PUT", galleryB, `{"location":"eastus"}`)
	w.done(inB, "PUT", galleryB+"/images/tiny", definition)
	w.done(inBAux, "PUT", galleryB+"/images/tiny/versions/1.0.0", fmt.Sprintf(`{"location":"eastus","properties":{"storageProfile":{"source":{"id":%q}}}}`, versionA))
	w.must(w.view(func(tx store.Tx) error {
		ref, size, err := w.galleries.Manifest(tx, galleryB+"/images/tiny/versions/1.0.0", -1, "eastus")
		if ref.Domain != tenantB || size != 1 {
			t.Errorf("%v, %d GB", ref, size)
		}
		return err
	}))
	w.pinned("eastus", 3) // disk and version of A, version of B
	w.done(inA, "DELETE", versionA, "")
	w.done(inA, "DELETE", diskA, "")
	w.pinned("eastus", 1)
}

// What machines do with disks, each twice.
func TestMachineDisks(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(""))
	vm, _ := arm.ParseID(groupA + compute + "virtualMachines/m")
	id, _ := arm.ParseID(groupA + compute + "disks/os")
	n := disk.NewDisk{ID: id, Location: "eastus", OSType: "Linux", Generation: "V1", ImageVersionID: versionA, LUN: -1, SizeGB: 4, Owner: vm, Now: time.Now()}
	for range 2 {
		w.update(func(tx store.Tx) error { return w.disks.Create(tx, n) })
	}
	w.pinned("eastus", 3)
	_, err := w.do(inA, "DELETE", id.String(), "")
	w.refuse(err, 409, "OperationNotAllowed", vm.String(), "")
	var paths []string
	for range 2 {
		file, err := w.disks.Materialise(context.Background(), id)
		w.must(err)
		if file.Format != "qcow2" {
			t.Error(file.Format)
		}
		paths = append(paths, file.Path)
	}
	if paths[0] != paths[1] {
		t.Error(paths)
	}
	_, err = w.do(inA, "POST", id.String()+"/beginGetAccess", `{"access":"Read","durationInSeconds":60}`)
	w.refuse(err, 409, "OperationNotAllowed", "running virtual machine", "")
	for range 2 {
		w.update(func(tx store.Tx) error { return w.disks.Detach(tx, id) })
	}
	for range 2 {
		w.update(func(tx store.Tx) error { return w.disks.Attach(tx, id, vm) })
	}
	for range 2 {
		w.update(func(tx store.Tx) error { return w.disks.Delete(tx, id) })
	}
	for range 2 {
		w.must(w.disks.Discard(context.Background(), id))
	}
	w.absent(paths[0])
	w.pinned("eastus", 2)
}

// A version keeps data disks by LUN, an empty one included, and a disk is made from each.
func TestDataDisks(t *testing.T) {
	w := newWorld(t)
	w.shop()
	empty, data := groupA+compute+"disks/empty", groupA+compute+"disks/data"
	w.done(inA, "PUT", empty, `{"location":"eastus","properties":{"diskSizeGB":4,"creationData":{"createOption":"Empty"}}}`)
	w.upload(inA, data, "eastus", noise(8192, "data"), "")
	w.done(inA, "PUT", versionA, fmt.Sprintf(`{"location":"eastus","properties":{"storageProfile":{"osDiskImage":{"source":{"id":%q}},
		"dataDiskImages":[{"lun":3,"source":{"id":%q}},{"lun":0,"source":{"id":%q},"hostCaching":"readonly"}]},%s}}`, diskA, empty, data, regions("eastus", "westus2")))
	seen := fmt.Sprint(at(w.get(inA, versionA), "properties.storageProfile.dataDiskImages"))
	for _, part := range []string{"lun:3", "sizeInGB:4", "hostCaching:None", "lun:0", "hostCaching:ReadOnly"} {
		if !strings.Contains(seen, part) {
			t.Errorf("no %s in %s", part, seen)
		}
	}
	from := func(lun int) string {
		return fmt.Sprintf(`{"location":"westus2","properties":{"creationData":{"createOption":"FromImage","galleryImageReference":{"id":%q,"lun":%d}}}}`, versionA, lun)
	}
	for lun, size := range map[int]float64{3: 4, 0: 1} {
		o := w.done(inA, "PUT", fmt.Sprintf("%s%d", groupA+compute+"disks/d", lun), from(lun))
		if got := at(decode(w, o.Output), "properties.diskSizeGB"); got != size {
			t.Errorf("LUN %d: %v GB, want %v", lun, got, size)
		}
	}
	_, err := w.do(inA, "PUT", groupA+compute+"disks/d7", from(7))
	w.refuse(err, 400, "InvalidParameter", "no data disk at LUN '7'", "galleryImageReference.lun")
}
