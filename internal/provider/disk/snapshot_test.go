package disk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/operation"
	"vitrine/internal/provider/disk"
	"vitrine/internal/store"
)

const snaps = group + "/providers/Microsoft.Compute/snapshots/"

func from(option, source, more string) string {
	return fmt.Sprintf(`{"location":"eastus","properties":{%s"creationData":{"createOption":%q,"sourceResourceId":%q}}}`, more, option, source)
}

// shown is what a client reads of a disk or snapshot.
type shown struct {
	Location   string
	ManagedBy  string
	Properties struct {
		CreationData                 struct{ SourceUniqueID string }
		UniqueID                     string
		Incremental                  *bool
		IncrementalSnapshotFamilyID  string
		CompletionPercent            *float64
		DiskSizeGB                   int
		DiskState, ProvisioningState string
		OSType, HyperVGeneration     string
		DiskIOPSReadWrite            int
	}
}

func (w *world) show(path string) (s shown) {
	w.Helper()
	r, err := w.do("GET", path, "")
	w.must(err)
	w.must(json.Unmarshal(r.Body, &s))
	return s
}

func (w *world) at(path string) arm.ID {
	w.Helper()
	id, err := arm.ParseID(path)
	w.must(err)
	return id
}

func (w *world) pins(ref image.Ref, region string) (holders []string) {
	w.Helper()
	w.must(w.store.View(context.Background(), func(tx store.Tx) (err error) {
		holders, err = w.images.Pins(tx, ref, region)
		return err
	}))
	return holders
}

// TestSnapshot: what a machine wrote goes into a snapshot, from there to disks, snapshots, a client and another region, and
// stays when the disk goes.
func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"osType":"Linux","diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	w.writes(w.id("d"), 1, map[int64][]byte{2: []byte("a")})
	source := w.show(disks + "d")
	r, err := w.do("PUT", snaps+"one", from("Copy", disks+"d", `"incremental":true,`))
	w.must(err)
	if r.Status != 202 || r.Header.Get("Location") == "" || !strings.Contains(string(r.Body), `"provisioningState":"Updating"`) {
		t.Errorf("first answer %d %v %s", r.Status, r.Header, r.Body)
	}
	w.done("PUT", snaps+"two", from("Copy", disks+"d", ""))
	w.awaits(snaps + "one")
	one, two := w.show(snaps+"one"), w.show(snaps+"two")
	for _, s := range []shown{one, two} {
		p := s.Properties
		if p.CreationData.SourceUniqueID != source.Properties.UniqueID || p.UniqueID == "" || p.DiskSizeGB != 1 || p.DiskState != "Unattached" || p.ProvisioningState != "Succeeded" || p.DiskIOPSReadWrite != 0 {
			t.Errorf("%+v", p)
		}
	}
	if !*one.Properties.Incremental || one.Properties.IncrementalSnapshotFamilyID == "" || *one.Properties.CompletionPercent != 100 {
		t.Errorf("incremental: %+v", one.Properties)
	}
	if *two.Properties.Incremental || two.Properties.IncrementalSnapshotFamilyID != "" || two.Properties.CompletionPercent != nil {
		t.Errorf("full: %+v", two.Properties)
	}
	want := append(make([]byte, 2*cluster), fit("a")...)
	ref := w.holds(w.at(snaps+"one"), 1, want)
	if again := w.holds(w.at(snaps+"two"), 1, want); again != ref {
		t.Error("equal snapshots have other manifests")
	}
	w.done("DELETE", disks+"d", "")
	w.done("PUT", snaps+"far", strings.Replace(from("CopyStart", snaps+"one", `"incremental":true,`), "eastus", "westus", 1))
	if far := w.show(snaps + "far"); far.Location != "westus" || *far.Properties.CompletionPercent != 100 || far.Properties.IncrementalSnapshotFamilyID != one.Properties.IncrementalSnapshotFamilyID {
		t.Errorf("elsewhere: %+v", far)
	}
	if p := w.pins(ref, "westus"); len(p) != 1 || !strings.EqualFold(p[0], snaps+"far") {
		t.Errorf("pins in the other region: %v", p)
	}
	w.done("PUT", disks+"back", from("Copy", snaps+"two", `"diskSizeGB":3,`))
	w.holds(w.id("back"), 1, want)
	if back := w.show(disks + "back"); back.Properties.DiskSizeGB != 3 || back.Properties.Incremental != nil || back.Properties.IncrementalSnapshotFamilyID != "" {
		t.Errorf("%+v", back.Properties)
	}
	for _, path := range []string{snaps + "one", snaps + "two", snaps + "far", disks + "back"} {
		w.done("DELETE", path, "")
	}
	for _, region := range []string{"eastus", "westus"} {
		if p := w.pins(ref, region); len(p) != 0 {
			t.Errorf("pins left in %s: %v", region, p)
		}
	}
}

// awaits waits for the end of the operation on a resource.
func (w *world) awaits(path string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		var open []*operation.Operation
		w.must(w.store.View(ctx, func(tx store.Tx) (err error) {
			open, err = operation.Open(tx, strings.ToLower(path))
			return err
		}))
		if len(open) == 0 {
			tick.Stop()
			return
		}
		<-tick.C
	}
}

func TestSnapshotErrors(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"diskSizeGB":2,"creationData":{"createOption":"Empty"}}}`)
	w.done("PUT", snaps+"s", from("Copy", disks+"d", ""))
	w.done("PUT", snaps+"i", from("Copy", disks+"d", `"incremental":true,`))
	w.done("PUT", disks+"up", creation(upload))
	west := func(body string) string { return strings.Replace(body, "eastus", "westus", 1) }
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		code, part               string
	}{
		{"from an image", "PUT", "x", creation(`"createOption":"FromImage"`), 400, "InvalidParameter", "not allowed for a snapshot"},
		{"restore", "PUT", "x", creation(`"createOption":"Restore"`), 400, "NotSupported", "'Restore' of a snapshot"},
		{"source in another region", "PUT", "x", west(from("Copy", disks+"d", "")), 400, "InvalidParameter", "same location"},
		{"full snapshot to a region", "PUT", "x", west(from("CopyStart", snaps+"s", `"incremental":true,`)), 400, "InvalidParameter", "incremental snapshot"},
		{"to a full snapshot in a region", "PUT", "x", west(from("CopyStart", snaps+"i", "")), 400, "InvalidParameter", "incremental snapshot"},
		{"disk to a region", "PUT", "x", west(from("CopyStart", disks+"d", `"incremental":true,`)), 400, "InvalidParameter", "incremental snapshot"},
		{"smaller than its source", "PUT", "x", from("Copy", disks+"d", `"diskSizeGB":1,`), 400, "InvalidParameter", "smaller"},
		{"an upload as source", "PUT", "x", from("Copy", disks+"up", ""), 409, "OperationNotAllowed", "upload"},
		{"no source", "PUT", "x", creation(`"createOption":"Copy"`), 400, "InvalidParameter", "sourceResourceId"},
		{"another kind of source", "PUT", "x", from("Copy", group, ""), 400, "LinkedInvalidPropertyId", ""},
		{"incremental later", "PATCH", "s", `{"properties":{"incremental":true}}`, 409, "PropertyChangeNotAllowed", "incremental"},
		{"shrunk", "PATCH", "s", `{"properties":{"diskSizeGB":1}}`, 409, "OperationNotAllowed", "Snapshot 's'"},
		{"write access", "POST", "s/beginGetAccess", `{"access":"Write","durationInSeconds":60}`, 409, "OperationNotAllowed", "to the snapshot 's'"},
		{"attached", "POST", "s/attach", `{}`, 404, "NotFound", "attach"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := *w
			sub.T = t
			_, err := sub.do(row.method, snaps+row.path, row.body)
			sub.refuse(err, row.status, row.code, row.part)
		})
	}
}

// TestContentFails: a disk whose content never came can be used for nothing, and is made anew by the same request.
func TestContentFails(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	g := arm.ID{Subscription: sub, ResourceGroup: "rg"}
	w.must(w.store.Update(ctx, func(tx store.Tx) error {
		return w.disks.Create(tx, disk.NewDisk{ID: w.id("m"), Location: "eastus", SizeGB: 1, Owner: g.Child("Microsoft.Compute/virtualMachines", "m"), Now: time.Now()})
	}))
	w.writes(w.id("m"), 1, map[int64][]byte{0: []byte("x")})
	w.live = func(context.Context, arm.ID, string, string) error {
		return arm.Errorf(409, "Test", "the machine cannot be copied")
	}
	body := from("Copy", disks+"m", "")
	if o := w.end("PUT", disks+"d", body); o.Status != operation.Failed || o.Error.Code != "Test" {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	if s := w.show(disks + "d"); s.Properties.ProvisioningState != "Failed" {
		t.Errorf("%+v", s.Properties)
	}
	_, err := w.do("PUT", snaps+"s", from("Copy", disks+"d", ""))
	w.refuse(err, 409, "OperationNotAllowed", "has no content yet")
	_, err = w.do("POST", disks+"d/beginGetAccess", `{"access":"Read","durationInSeconds":60}`)
	w.refuse(err, 409, "OperationNotAllowed", "has no content yet")
	w.refuse(w.store.Update(ctx, func(tx store.Tx) error {
		return w.disks.Attach(tx, w.id("d"), g.Child("Microsoft.Compute/virtualMachines", "other"))
	}), 409, "OperationNotAllowed", "has no content yet")
	w.live = nil
	w.done("PUT", disks+"d", body)
	w.holds(w.id("d"), 1, fit("x"))
	w.done("DELETE", disks+"d", "")
}

// TestReplaced: the disk that was copied from is not the one of the same name that came after it.
func TestReplaced(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	owner := arm.ID{Subscription: sub, ResourceGroup: "rg"}.Child("Microsoft.Compute/virtualMachines", "m")
	make := func() {
		w.must(w.store.Update(ctx, func(tx store.Tx) error {
			return w.disks.Create(tx, disk.NewDisk{ID: w.id("m"), Location: "eastus", SizeGB: 1, Owner: owner, Now: time.Now()})
		}))
		w.writes(w.id("m"), 1, map[int64][]byte{0: []byte("somebody else's")})
	}
	make()
	w.live = func(context.Context, arm.ID, string, string) error { // the step has read the disk and is about to copy it
		w.live = nil
		w.must(w.store.Update(ctx, func(tx store.Tx) error { return w.disks.Delete(tx, w.id("m")) }))
		w.must(w.disks.Discard(ctx, w.id("m")))
		make()
		return disk.ErrNotRunning
	}
	if o := w.end("PUT", disks+"d", from("Copy", disks+"m", "")); o.Status != operation.Failed || o.Error.Code != "ResourceNotFound" {
		t.Errorf("%s %v", o.Status, o.Error)
	}
}

// TestExportPins: what a signed URL shows lives as long as the URL, whatever a machine writes.
func TestExportPins(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	w.writes(w.id("d"), 1, map[int64][]byte{0: []byte("exported")})
	ref := w.holds(w.id("d"), 1, fit("exported"))
	u := w.grant("d", "Read")
	if p := w.pins(ref, "eastus"); len(p) != 1 {
		t.Fatalf("pins: %v", p)
	}
	w.writes(w.id("d"), 1, map[int64][]byte{0: []byte("written later")})
	g, err := w.disks.Grant(context.Background(), u.Host, u.Path)
	w.must(err)
	c, err := g.Open(context.Background())
	w.must(err)
	got := make([]byte, cluster)
	if _, err := c.ReadAt(got, 0); err != nil || !bytes.Equal(got, fit("exported")) {
		t.Errorf("%v: %.20q", err, got)
	}
	if s := w.show(disks + "d"); s.Properties.DiskState != "ActiveSAS" {
		t.Errorf("state %s", s.Properties.DiskState)
	}
	w.clock(time.Hour)
	w.must(w.disks.Sweep(context.Background()))
	if p := w.pins(ref, "eastus"); len(p) != 0 {
		t.Errorf("pins after the URL's end: %v", p)
	}
}

// TestResize: a disk grows while no machine holds it; its file follows at the next start.
func TestResize(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	owner := arm.ID{Subscription: sub, ResourceGroup: "rg"}.Child("Microsoft.Compute/virtualMachines", "m")
	w.must(w.store.Update(ctx, func(tx store.Tx) error {
		return w.disks.Create(tx, disk.NewDisk{ID: w.id("m"), Location: "eastus", SizeGB: 1, Owner: owner, Now: time.Now()})
	}))
	path := w.writes(w.id("m"), 1, nil)
	_, err := w.do("PATCH", disks+"m", `{"properties":{"diskSizeGB":2}}`)
	w.refuse(err, 409, "OperationNotAllowed", "requires the virtual machine to be deallocated")
	_, err = w.do("PATCH", disks+"m", `{"sku":{"name":"Premium_LRS"}}`)
	w.refuse(err, 409, "OperationNotAllowed", "Cannot change the SKU")
	w.must(w.store.Update(ctx, func(tx store.Tx) error { return w.disks.SetRunning(tx, w.id("m"), false) }))
	w.done("PATCH", disks+"m", `{"sku":{"name":"Premium_LRS"}}`)
	w.done("PUT", disks+"m", `{"location":"eastus","sku":{},"properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	if r, err := w.do("GET", disks+"m", ""); err != nil || !strings.Contains(string(r.Body), `"name":"Premium_LRS"`) {
		t.Errorf("a PUT without a class changed it: %v", err)
	}
	w.done("PATCH", disks+"m", `{"properties":{"diskSizeGB":2}}`)
	for range 2 {
		_, err := w.disks.Materialise(ctx, w.id("m"))
		w.must(err)
	}
	if len(w.grown) != 1 || w.grown[0] != fmt.Sprint(path, " ", 2<<30) {
		t.Errorf("grown: %v", w.grown)
	}
	w.done("PUT", disks+"up", creation(upload))
	_, err = w.do("PATCH", disks+"up", `{"properties":{"diskSizeGB":2}}`)
	w.refuse(err, 409, "OperationNotAllowed", "before its upload has ended")
}

func TestImport(t *testing.T) {
	w := newWorld(t)
	content := bytes.Repeat([]byte("imported"), 8192)
	foot := format.VHDFooter(int64(len(content)))
	w.blobs["https://acc.blob.core.windows.net/c/good.vhd"] = append(bytes.Clone(content), foot[:]...)
	w.blobs["https://acc.blob.core.windows.net/c/bad.vhd"] = content
	body := func(name, more string) string {
		return `{"location":"eastus","properties":{"creationData":{"createOption":"Import","sourceUri":"` + name + `"` + more + `}}}`
	}
	const at = "https://acc.blob.core.windows.net/c/"
	theirs := `,"storageAccountId":"` + account.String() + `"`
	both := authn.Caller{Primary: caller.Primary, Auxiliary: []authn.Principal{foreigner}}
	for _, row := range []struct {
		name, body string
		caller     authn.Caller
		status     int
		code, part string
	}{
		{"without the account's tenant", body(at+"good.vhd", theirs), caller, 403, "LinkedAuthorizationFailed", "not authorized to access linked subscription"},
		{"elsewhere", body("https://example.org/x.vhd", ""), both, 400, "InvalidParameter", "no storage account"},
		{"of another account", body(at+"good.vhd", `,"storageAccountId":"`+group+`/providers/Microsoft.Storage/storageAccounts/mine"`), both, 400, "InvalidParameter", "mine"},
		{"no storage account", body(at+"good.vhd", `,"storageAccountId":"`+disks+`d"`), both, 400, "LinkedInvalidPropertyId", "storageAccountId"},
		{"other region", strings.Replace(body(at+"good.vhd", theirs), "eastus", "westus", 1), both, 400, "InvalidParameter", "same location"},
	} {
		_, err := w.as(row.caller, "PUT", disks+"d", row.body)
		if err == nil {
			t.Errorf("%s: taken", row.name)
			continue
		}
		w.refuse(err, row.status, row.code, row.part)
	}
	for name, code := range map[string]string{"good.vhd": "", "bad.vhd": "InvalidVhd", "none.vhd": "BlobNotFound"} {
		_, err := w.as(both, "PUT", disks+name, body(at+name, theirs))
		w.must(err)
		w.awaits(disks + name)
		if s := w.show(disks + name); (s.Properties.ProvisioningState == "Succeeded") != (code == "") {
			t.Errorf("%s: %+v", name, s.Properties)
		}
	}
	w.reads("good.vhd", content)
	if s := w.show(disks + "good.vhd"); s.Properties.DiskSizeGB != 1 {
		t.Errorf("%+v", s.Properties)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "uploads", "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestImportTellsNothing: the name of a storage account gives nobody the IDs of its owner, whatever tokens he sends.
func TestImportTellsNothing(t *testing.T) {
	w := newWorld(t)
	both := authn.Caller{Primary: caller.Primary, Auxiliary: []authn.Principal{foreigner}}
	refused := func(c authn.Caller, path, account, more string) *arm.Error {
		t.Helper()
		body := `{"location":"eastus","properties":{"creationData":{"createOption":"Import","sourceUri":"https://` + account + `.blob.core.windows.net/c/x"` + more + `}}}`
		_, err := w.as(c, "PUT", path, body)
		var e *arm.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s %s: %v", path, account, err)
		}
		return e
	}
	shown := func(e *arm.Error) string {
		b, err := json.Marshal(e)
		w.must(err)
		return strings.ToLower(fmt.Sprint(string(b), e.Status, e.Code, e.Message, e.Target, e.Details, e.AdditionalInfo))
	}
	mine := `,"storageAccountId":"` + group + `/providers/Microsoft.Storage/storageAccounts/acc"`
	for _, prefix := range []string{disks, snaps} {
		for _, c := range []authn.Caller{caller, both} {
			for _, more := range []string{"", mine} {
				there, none := shown(refused(c, prefix+"x", "acc", more)), shown(refused(c, prefix+"x", "non", more))
				if there != strings.ReplaceAll(none, "https://non.", "https://acc.") {
					t.Errorf("an account that is there is told from one that is not:\n%s\n%s", there, none)
				}
			}
		}
		path := strings.Replace(prefix, group, group+"2", 1) + "x"
		e := refused(limited, path, "own", "")
		if e.Status != 403 || e.Code != "AuthorizationFailed" || strings.Contains(shown(e), "secretgroup") {
			t.Errorf("%s", shown(e))
		}
		e = refused(limited, path, "own", mine) // the right is asked on what the client names, before names are compared
		if e.Status != 403 || e.Code != "LinkedAuthorizationFailed" || strings.Contains(shown(e), "secretgroup") {
			t.Errorf("%s", shown(e))
		}
	}
	_, err := w.do("PUT", disks+"mine", `{"location":"eastus","properties":{"creationData":{"createOption":"Import","sourceUri":"https://own.blob.core.windows.net/c/x"}}}`)
	w.must(err)
	w.awaits(disks + "mine")
}

// TestLinks: whoever copies gets the bytes, so the right on the source is asked for, in the tenant that owns it.
func TestLinks(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"d", `{"location":"eastus","properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	w.done("PUT", snaps+"s", from("Copy", disks+"d", ""))
	for _, source := range []string{disks + "d", snaps + "s", strings.ToUpper(snaps) + "s"} {
		for _, target := range []string{"disks", "snapshots"} {
			path := group + "2/providers/Microsoft.Compute/" + target + "/x"
			_, err := w.as(limited, "PUT", path, from("Copy", source, ""))
			w.refuse(err, 403, "LinkedAuthorizationFailed", "beginGetAccess/action")
		}
	}
	foreign := "/subscriptions/" + otherSub + "/resourceGroups/rg/providers/Microsoft.Compute/disks/theirs"
	_, err := w.as(authn.Caller{Primary: foreigner}, "PUT", foreign, `{"location":"eastus","properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	w.must(err)
	w.awaits(foreign)
	_, err = w.do("PUT", snaps+"x", from("Copy", foreign, ""))
	w.refuse(err, 403, "LinkedAuthorizationFailed", "not authorized to access linked subscription")
	_, err = w.as(authn.Caller{Primary: caller.Primary, Auxiliary: []authn.Principal{foreigner}}, "PUT", snaps+"x", from("Copy", foreign, ""))
	w.must(err)
	w.awaits(snaps + "x")
	if s := w.show(snaps + "x"); s.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("%+v", s)
	}
}
