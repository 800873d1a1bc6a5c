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
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.later)
}

// Source implements source.Sources: disks are real, the rest is what the test says.
func (w *world) Source(tx store.Tx, id arm.ID) (source.Source, error) {
	if !strings.HasSuffix(strings.ToLower(id.Type()), "/disks") {
		w.mu.Lock()
		defer w.mu.Unlock()
		s, ok := w.others[id.Key()]
		if !ok {
			return s, store.ErrNotFound
		}
		return s, nil
	}
	return w.disks.Offer(tx, id)
}

// Freeze implements source.Sources; what has no bytes in the test is an empty disk.
func (w *world) Freeze(ctx context.Context, id arm.ID, uniqueID string) (image.Ref, error) {
	w.mu.Lock()
	content, ok := w.frozen[id.Key()]
	now := w.unique[id.Key()]
	w.mu.Unlock()
	if !ok && strings.HasSuffix(strings.ToLower(id.Type()), "/disks") {
		return w.disks.Freeze(ctx, id, uniqueID)
	}
	if uniqueID != "" && uniqueID != now {
		return image.Ref{}, store.ErrNotFound
	}
	if !ok {
		return image.Ref{}, nil
	}
	if content == nil {
		return image.Ref{}, arm.Errorf(409, "OperationNotAllowed", "The disk '%s' cannot be read now.", id)
	}
	tenant := tenantA
	if strings.EqualFold(id.Subscription, subB) {
		tenant = tenantB
	}
	return w.images.Pack(ctx, "eastus", tenant, bytes.NewReader(content), int64(len(content)), nil)
}

// vhds are the VHDs of the test.
type vhds struct{ *world }

// Blob implements gallery.Blobs.
func (w vhds) Blob(_ store.Tx, account arm.ID, uri string) (gallery.Blob, error) {
	if _, ok := w.blobs[uri]; !ok || !strings.EqualFold(account.Name(), "acct") {
		return gallery.Blob{}, store.ErrNotFound
	}
	return gallery.Blob{Location: "eastus", SizeGB: 1}, nil
}

// Freeze implements gallery.Blobs.
func (w vhds) Freeze(ctx context.Context, _ arm.ID, uri string) (image.Ref, error) {
	return w.images.Pack(ctx, "eastus", tenantA, bytes.NewReader(w.blobs[uri]), int64(len(w.blobs[uri])), nil)
}

const community = "/CommunityGalleries/pub-1/Images/tiny/Versions/1.0.0"

func (w *world) foreign(_ store.Tx, _ authn.Caller, _, id, _ string) (string, error) {
	if id != community {
		return "", arm.Errorf(404, "GalleryImageNotFound", "The gallery image %s is not available.", id)
	}
	return versionA, nil
}

// bytesOf reads a version's disk back.
func (w *world) bytesOf(version string, lun int, region string) []byte {
	w.Helper()
	var ref image.Ref
	w.must(w.view(func(tx store.Tx) (err error) {
		ref, _, err = w.galleries.Manifest(tx, version, lun, region)
		return err
	}))
	r, err := w.images.Open(context.Background(), region, ref)
	w.must(err)
	all, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	w.must(err)
	return all
}

const (
	vmA    = groupA + compute + "virtualMachines/vm"
	imageA = groupA + compute + "images/managed"
	snapA  = groupA + compute + "snapshots/snap"
	acctA  = groupA + "/providers/Microsoft.Storage/storageAccounts/acct"
	vhdURI = "https://acct.blob.core.windows.net/vhds/os.vhd"
)

func diskID(t *testing.T, text string) arm.ID {
	t.Helper()
	id, err := arm.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// stock gives the world a machine, a managed image, snapshots and a VHD, whose bytes do not lie still.
func (w *world) stock() {
	disk := func(name string, lun int, caching string) source.Disk {
		id := diskID(w.T, groupA+compute+"disks/"+name)
		w.frozen[id.Key()] = noise(8192, name)
		return source.Disk{LUN: lun, ID: id, SizeGB: 1, Caching: caching}
	}
	of := func(state string, disks ...source.Disk) source.Source {
		return source.Source{Location: "eastus", OSType: "Linux", OSState: state, Generation: "V1", Architecture: "x64", Disks: disks}
	}
	w.others[strings.ToLower(vmA)] = of("Generalized", disk("vm-data", 2, "ReadOnly"), disk("vm-os", -1, "ReadOnly"))
	w.others[strings.ToLower(vmA)+"special"] = of("Specialized", disk("sp-os", -1, ""))
	w.others[strings.ToLower(imageA)] = of("Generalized", disk("img-os", -1, ""))
	w.others[strings.ToLower(snapA)] = of("", disk("snap-os", -1, ""))
	w.others[strings.ToLower(snapA)+"2"] = source.Source{Location: "eastus", Disks: []source.Disk{disk("snap-data", -1, "")}}
	w.others[strings.ToLower(snapA)+"far"] = source.Source{Location: "westus", Disks: []source.Disk{disk("snap-far", -1, "")}}
	w.blobs[vhdURI], w.blobs[vhdURI+"2"] = noise(8192, "vhd"), noise(8192, "vhd2")
}

func storage(profile string) string {
	return `{"location":"eastus","properties":{"storageProfile":` + profile + `}}`
}

// Each source brings its own bytes; both forms of a VHD and of a managed image are taken.
func TestSources(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(""))
	w.stock()
	for i, row := range []struct {
		name, query, body string
		disks             map[int]string // LUN: seed of the bytes
		shown             string         // of storageProfile afterwards
	}{
		{"virtual machine", "", storage(fmt.Sprintf(`{"source":{"virtualMachineId":%q}}`, vmA)), map[int]string{-1: "vm-os", 2: "vm-data"},
			"map[dataDiskImages:[map[hostCaching:ReadOnly lun:2 sizeInGB:1]] osDiskImage:map[hostCaching:ReadOnly sizeInGB:1 source:map[]] source:map[virtualMachineId:" + vmA + "]]"},
		{"virtual machine, old form", "", storage(fmt.Sprintf(`{"source":{"id":%q},"dataDiskImages":[{"lun":2,"hostCaching":"none"}]}`, vmA)), map[int]string{-1: "vm-os", 2: "vm-data"}, "dataDiskImages:[map[hostCaching:None lun:2 sizeInGB:1]]"},
		{"managed image", "", storage(fmt.Sprintf(`{"source":{"id":%q}}`, imageA)), map[int]string{-1: "img-os"}, "osDiskImage:map[hostCaching:ReadWrite sizeInGB:1 source:map[]]"},
		{"managed image of 2018", "?api-version=2018-06-01", fmt.Sprintf(`{"location":"eastus","properties":{"publishingProfile":{"source":{"managedImage":{"id":%q}}}}}`, imageA), map[int]string{-1: "img-os"}, "source:map[id:" + imageA + "]"},
		{"snapshot and VHD", "", storage(fmt.Sprintf(`{"osDiskImage":{"source":{"id":%q}},"dataDiskImages":[{"lun":5,"source":{"id":%q,"uri":%q}},{"lun":1,"source":{"id":%q}}]}`, snapA, acctA, vhdURI, snapA+"2")),
			map[int]string{-1: "snap-os", 5: "vhd", 1: "snap-data"}, "lun:5"},
		{"VHD", "", storage(fmt.Sprintf(`{"osDiskImage":{"source":{"storageAccountId":%q,"uri":%q}},"dataDiskImages":[{"lun":0,"source":{"storageAccountId":%q,"uri":%q}}]}`, acctA, vhdURI, acctA, vhdURI+"2")),
			map[int]string{-1: "vhd", 0: "vhd2"}, "uri:" + vhdURI},
		{"community", "", storage(fmt.Sprintf(`{"source":{"communityGalleryImageId":%q}}`, community)), map[int]string{-1: "disk"}, "communityGalleryImageId"},
		{"shallow", "", fmt.Sprintf(`{"location":"eastus","properties":{"publishingProfile":{"replicationMode":"shallow"},"storageProfile":{"source":{"id":%q}}}}`, versionA), map[int]string{-1: "disk"}, "source"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := *w
			sub.T = t
			path := fmt.Sprintf("%s/versions/2.0.%d", definitionA, i)
			sub.done(inA, "PUT", path+row.query, row.body)
			for lun, seed := range row.disks {
				size := 8192
				if seed == "disk" {
					size = 1 << 20
				}
				if got := sub.bytesOf(path, lun, "eastus"); !bytes.Equal(got, noise(size, seed)) {
					t.Errorf("LUN %d has other bytes than %s", lun, seed)
				}
			}
			if got := fmt.Sprint(at(sub.get(inA, path), "properties.storageProfile")); !strings.Contains(got, row.shown) {
				t.Errorf("shown %s, want %s", got, row.shown)
			}
			sub.done(inA, "PUT", path, `{"location":"eastus","properties":{"storageProfile":{"source":null,"osDiskImage":{"source":null}},"publishingProfile":{"replicaCount":2}}}`)
			sub.done(inA, "DELETE", path, "")
			sub.pinned("eastus", 2) // the disk and the first version
		})
	}
}

// A caller of another tenant needs its token and the documented permission on each source; what was pinned is of the own domain.
func TestSourcesAcrossTenants(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(""))
	w.stock()
	w.done(inB, "PUT", groupB+compute+"galleries/g", `{"location":"eastus"}`)
	w.done(inB, "PUT", groupB+compute+"galleries/g/images/d", definition)
	rows := []struct{ profile, action, linked string }{
		{fmt.Sprintf(`{"source":{"virtualMachineId":%q}}`, vmA), "Microsoft.Compute/virtualMachines/write", vmA},
		{fmt.Sprintf(`{"source":{"id":%q}}`, vmA), "Microsoft.Compute/virtualMachines/write", vmA},
		{fmt.Sprintf(`{"source":{"id":%q}}`, imageA), "Microsoft.Compute/images/read", imageA},
		{fmt.Sprintf(`{"source":{"id":%q}}`, versionA), "Microsoft.Compute/galleries/images/versions/read", versionA},
		{fmt.Sprintf(`{"osDiskImage":{"source":{"id":%q}}}`, diskA), "Microsoft.Compute/disks/write", diskA},
		{fmt.Sprintf(`{"osDiskImage":{"source":{"id":%q}}}`, snapA), "Microsoft.Compute/snapshots/write", snapA},
		{fmt.Sprintf(`{"osDiskImage":{"source":{"storageAccountId":%q,"uri":%q}}}`, acctA, vhdURI), "Microsoft.Storage/storageAccounts/listKeys/action", acctA},
		{fmt.Sprintf(`{"osDiskImage":{"source":{"id":%q,"uri":%q}}}`, acctA, vhdURI), "Microsoft.Storage/storageAccounts/listKeys/action", acctA},
	}
	for i, row := range rows {
		path := fmt.Sprintf("%s%sgalleries/g/images/d/versions/1.0.%d", groupB, compute, i)
		_, err := w.do(inB, "PUT", path, storage(row.profile))
		w.refuse(err, 403, "LinkedAuthorizationFailed", "action '"+row.action+"' on scope '"+path+"', however the current tenant '"+tenantB+"' is not authorized to access linked subscription '"+subA, "")
		w.done(inBAux, "PUT", path, storage(row.profile))
		w.must(w.view(func(tx store.Tx) error {
			ref, _, err := w.galleries.Manifest(tx, path, -1, "eastus")
			if ref.Domain != tenantB {
				t.Errorf("%s: bytes in domain %s", row.profile, ref.Domain)
			}
			return err
		}))
	}
	w.update(func(tx store.Tx) error {
		return tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0)
	})
	for _, row := range rows {
		_, err := w.do(inBAux, "PUT", groupB+compute+"galleries/g/images/d/versions/2.0.0", storage(row.profile))
		w.refuse(err, 403, "LinkedAuthorizationFailed", "action(s) '"+row.action+"' on the linked scope(s) '"+row.linked+"'", "")
	}
	w.done(inB, "PUT", groupB+compute+"galleries/g/images/d/versions/2.0.0", storage(fmt.Sprintf(`{"source":{"communityGalleryImageId":%q}}`, community)))
}

// The right to write a machine is not the right to read its disks: each is asked for what it asks as a source by itself.
func TestMachineAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.stock()
	w.done(inB, "PUT", groupB+compute+"galleries/g", `{"location":"eastus"}`)
	w.done(inB, "PUT", groupB+compute+"galleries/g/images/d", definition)
	path, body := groupB+compute+"galleries/g/images/d/versions/1.0.0", storage(fmt.Sprintf(`{"source":{"virtualMachineId":%q}}`, vmA))
	w.update(func(tx store.Tx) error {
		if err := tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0); err != nil {
			return err
		}
		return assign(tx, principal(tenantA), owner, vmA)
	})
	os, data := groupA+compute+"disks/vm-os", groupA+compute+"disks/vm-data"
	_, err := w.do(inBAux, "PUT", path, body)
	w.refuse(err, 403, "LinkedAuthorizationFailed", "Microsoft.Compute/disks/write", "")
	w.update(func(tx store.Tx) error { return assign(tx, principal(tenantA), owner, os) })
	_, err = w.do(inBAux, "PUT", path, body)
	w.refuse(err, 403, "LinkedAuthorizationFailed", "action(s) 'Microsoft.Compute/disks/write' on the linked scope(s) '"+data+"'", "")
	w.update(func(tx store.Tx) error { return assign(tx, principal(tenantA), owner, data) })
	key := strings.ToLower(data)
	w.mu.Lock()
	bytesOf := w.frozen[key]
	w.frozen[key] = nil
	w.mu.Unlock()
	r, err := w.do(inBAux, "PUT", path, body)
	w.must(err)
	if o := w.wait(r); o.Status != operation.Failed {
		t.Fatal(o.Status, o.Error)
	}
	w.mu.Lock()
	w.frozen[key] = bytesOf
	w.mu.Unlock()
	w.update(func(tx store.Tx) error { return tx.Delete(key+"/assignment/"+inA.Primary.ObjectID, 0) })
	_, err = w.do(inBAux, "PUT", path, `{"location":"eastus","properties":{}}`) // what was not read asks for the right anew
	w.refuse(err, 403, "LinkedAuthorizationFailed", "'"+data+"'", "")
}

// A disk that was made anew under the source's name is not the one whose reading was allowed, also when it was read at once.
func TestSourceRecreated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.stock()
	key := strings.ToLower(groupA + compute + "disks/vm-os")
	w.mu.Lock()
	for i, d := range w.others[strings.ToLower(vmA)].Disks {
		if d.ID.Key() == key {
			w.others[strings.ToLower(vmA)].Disks[i].UniqueID = "first"
		}
	}
	w.unique[key] = "second"
	w.mu.Unlock()
	r, err := w.do(inA, "PUT", versionA, storage(fmt.Sprintf(`{"source":{"virtualMachineId":%q}}`, vmA)))
	w.must(err)
	if o := w.wait(r); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Fatal(o.Status, o.Error)
	}
}

// What could not be read is read by the next PUT, if the caller may still read it then.
func TestSourceReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.stock()
	w.done(inB, "PUT", groupB+compute+"galleries/g", `{"location":"eastus"}`)
	w.done(inB, "PUT", groupB+compute+"galleries/g/images/d", definition)
	path := groupB + compute + "galleries/g/images/d/versions/1.0.0"
	disk := strings.ToLower(groupA + compute + "disks/snap-os")
	readable := w.frozen[disk]
	w.frozen[disk] = nil
	r, err := w.do(inBAux, "PUT", path, storage(fmt.Sprintf(`{"osDiskImage":{"source":{"id":%q}}}`, snapA)))
	w.must(err)
	if o := w.wait(r); o.Status != operation.Failed || o.Error.Code != "OperationNotAllowed" {
		t.Fatal(o.Status, o.Error)
	}
	w.mu.Lock()
	w.frozen[disk] = readable
	w.mu.Unlock()
	_, err = w.do(inB, "PUT", path, `{"location":"eastus","properties":{}}`)
	w.refuse(err, 403, "LinkedAuthorizationFailed", "snapshots/write", "")
	w.done(inBAux, "PUT", path, `{"location":"eastus","properties":{}}`)
	if !bytes.Equal(w.bytesOf(path, -1, "eastus"), noise(8192, "snap-os")) {
		t.Error("other bytes")
	}
	w.done(inB, "PUT", path, `{"location":"eastus","properties":{}}`)
}
