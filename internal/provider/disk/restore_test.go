package disk_test

import (
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

// fakePoints are disk restore points by key.
type fakePoints map[string]source.Source

func (f *fakePoints) Offer(_ store.Tx, id arm.ID) (source.Source, error) {
	s, ok := (*f)[id.Key()]
	if !ok {
		return s, store.ErrNotFound
	}
	return s, nil
}

const pointsPath = "/providers/Microsoft.Compute/restorePointCollections/c/restorePoints/p/diskRestorePoints/"

// point makes up a disk restore point of 1 GiB.
func (w *world) point(group, name, location string, ref image.Ref) string {
	w.Helper()
	id := group + pointsPath + name
	if w.points == nil {
		w.points = fakePoints{}
	}
	w.points[strings.ToLower(id)] = source.Source{Location: location, OSType: "Linux", Generation: "V2", Architecture: "Arm64",
		Disks: []source.Disk{{LUN: source.OSDisk, UniqueID: "the-disk", Ref: ref, SizeGB: 1}}}
	return id
}

// TestRestore: a disk has the bytes of its restore point, and keeps them when the point is gone.
func TestRestore(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	w.writes(w.id("d"), 1, map[int64][]byte{2: []byte("a")})
	w.done("PUT", snaps+"s", from("Copy", disks+"d", ""))
	want := append(make([]byte, 2*cluster), fit("a")...)
	ref := w.holds(w.at(snaps+"s"), 1, want)
	here, far := w.point(group, "os", "eastus", ref), w.point(group, "far", "westus", ref)
	w.done("PUT", disks+"back", from("Restore", here, `"diskSizeGB":3,`))
	w.holds(w.id("back"), 1, want)
	p := w.show(disks + "back").Properties
	if p.CreationData.SourceUniqueID != "the-disk" || p.OSType != "Linux" || p.HyperVGeneration != "V2" || p.DiskSizeGB != 3 {
		t.Errorf("%+v", p)
	}
	w.done("DELETE", snaps+"s", "")
	if pins := w.pins(ref, "eastus"); len(pins) != 1 || !strings.EqualFold(pins[0], disks+"back") {
		t.Errorf("pinned by %v", pins)
	}
	for _, c := range []struct {
		path, body, code, part string
		status                 int
	}{
		{disks + "x", from("Restore", far, ""), "InvalidParameter", "in location 'westus'", 400},
		{disks + "x", from("Restore", group+pointsPath+"none", ""), "ResourceNotFound", "was not found", 404},
		{snaps + "x", from("Restore", here, ""), "NotSupported", "'Restore' of a snapshot", 400},
	} {
		_, err := w.do("PUT", c.path, c.body)
		w.refuse(err, c.status, c.code, c.part)
	}
}

// TestRestoreLinks: the right on the point's bytes is asked for, in the tenant that owns it.
func TestRestoreLinks(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	w.done("PUT", snaps+"s", from("Copy", disks+"d", ""))
	ref := w.holds(w.at(snaps+"s"), 1, nil)
	here, foreign := w.point(group, "os", "eastus", ref), w.point("/subscriptions/"+otherSub+"/resourceGroups/rg", "theirs", "eastus", ref)
	_, err := w.as(limited, "PUT", group+"2/providers/Microsoft.Compute/disks/x", from("Restore", strings.ToUpper(here), ""))
	w.refuse(err, 403, "LinkedAuthorizationFailed", "diskRestorePoints/beginGetAccess/action")
	_, err = w.do("PUT", disks+"x", from("Restore", foreign, ""))
	w.refuse(err, 403, "LinkedAuthorizationFailed", "not authorized to access linked subscription")
	_, err = w.as(authn.Caller{Primary: caller.Primary, Auxiliary: []authn.Principal{foreigner}}, "PUT", disks+"x", from("Restore", foreign, ""))
	w.must(err)
	w.awaits(disks + "x")
	if s := w.show(disks + "x"); s.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("%+v", s)
	}
}
