package gallery_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/operation"
	"vitrine/internal/provider/gallery/application"
	"vitrine/internal/store"
)

func TestApplication(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	w.must(errOf(w.do(inA, "PUT", appA, `{"location":"eastus","tags":{"a":"b"},"properties":{"supportedOSType":"Linux","description":"d","eula":"e","privacyStatementUri":"p","releaseNoteUri":"n","endOfLifeDate":"2099-01-01T00:00:00Z",
		"customActions":[{"name":"act","script":"s","parameters":[{"name":"p","type":"string","required":true,"defaultValue":"v"}]}]}}`)))
	r, err := w.do(inA, "PATCH", appA, `{"properties":{"description":"changed"},"tags":{"c":"d"}}`)
	w.must(err)
	seen := decode(w, r.Body)
	if r.Status != 200 || at(seen, "properties.description") != "changed" || at(seen, "properties.eula") != "e" || fmt.Sprint(seen["tags"]) != "map[c:d]" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if got := fmt.Sprint(at(seen, "properties.customActions")); !strings.Contains(got, "type:String") {
		t.Error(got)
	}
	if got := w.get(inA, appA+"?api-version=2021-07-01"); at(got, "properties.customActions") != nil {
		t.Errorf("an api-version of before custom actions: %v", got)
	}
	w.must(errOf(w.do(inA, "PUT", appA+"?api-version=2021-07-01", app)))
	if at(w.get(inA, appA), "properties.customActions") == nil {
		t.Error("a client that cannot see the custom actions took them away")
	}
	if list := w.get(inA, galleryA+"/applications")["value"].([]any); len(list) != 1 {
		t.Error(list)
	}
	_, err = w.do(inA, "DELETE", galleryA, "")
	w.refuse(err, 409, "CannotDeleteResource", appA, "")
	r, err = w.do(inA, "DELETE", appA, "")
	if w.must(err); r.Status != 200 {
		t.Error(r.Status)
	}
	w.done(inA, "DELETE", galleryA, "")
}

// A version takes its bytes into the gallery, whatever becomes of the blobs, and every region gets them; with the version they go.
func TestApplicationVersion(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	body := `{"location":"eastus","properties":{"publishingProfile":{"source":{"mediaLink":"` + zipURI + signature + `","defaultConfigurationLink":"` + confURI + signature + `"},
		"manageActions":{"install":"i","remove":"r","update":"u"},"settings":{"packageFileName":"f.zip","configFileName":"c","scriptBehaviorAfterReboot":"rerun"},"advancedSettings":{"k":"v"},"enableHealthCheck":false,` +
		strings.TrimSuffix(strings.TrimPrefix(regions("eastus", "westus2"), `"publishingProfile":{`), "}") + `}}}`
	r, err := w.do(inA, "PUT", appVerA, body)
	w.must(err)
	first := decode(w, r.Body)
	if r.Status != 201 || r.Header.Get("Retry-After") != "1" || at(first, "properties.provisioningState") != "Creating" {
		t.Fatalf("%d %v %s", r.Status, r.Header, r.Body)
	}
	for path, want := range map[string]any{"source.mediaLink": zipURI, "source.defaultConfigurationLink": confURI, "replicaCount": 1.0, "excludeFromLatest": false,
		"storageAccountType": "Standard_LRS", "settings.scriptBehaviorAfterReboot": "Rerun", "advancedSettings.k": "v", "enableHealthCheck": false} {
		if got := at(first, "properties.publishingProfile."+path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	if o := w.wait(r); o.Status != operation.Succeeded || bytes.Contains(o.Input, []byte("sig")) {
		t.Fatalf("%s %v %s", o.Status, o.Error, o.Input)
	}
	w.view(func(tx store.Tx) error {
		d, err := tx.Get(strings.ToLower(appVerA))
		if bytes.Contains(d.Body, []byte("sig=")) {
			t.Errorf("a signature is kept: %s", d.Body)
		}
		return err
	})
	status := w.get(inA, appVerA+"?$expand=ReplicationStatus")
	if at(status, "properties.replicationStatus.aggregatedState") != "Completed" || !strings.Contains(fmt.Sprint(status), "progress:100 region:West US 2 state:Completed") {
		t.Errorf("%v", status)
	}
	delete(w.files, zipURI)
	delete(w.files, confURI)
	w.pinned("eastus", 2)
	w.pinned("westus2", 2)
	for _, region := range []string{"eastus", "westus2"} {
		files := w.packed(region)
		if want := noise(300<<10+17, "zip"); !bytes.Equal(files[0][:len(want)], want) || len(files[0])%512 != 0 || string(bytes.TrimRight(files[1], "\x00")) != "a=b" {
			t.Errorf("%s: other bytes", region)
		}
	}
	// Without the blobs everything but the bytes can change; a region that goes gives its bytes back.
	w.done(inA, "PATCH", appVerA, `{"properties":{"publishingProfile":{"excludeFromLatest":true,"targetRegions":[{"name":"eastus","regionalReplicaCount":3},{"name":"Japan East"}]}}}`)
	w.pinned("westus2", 0)
	w.pinned("japaneast", 2)
	w.done(inA, "PUT", appVerA, `{"location":"eastus","properties":{"publishingProfile":{"source":{"mediaLink":"`+zipURI+`"},"excludeFromLatest":true}}}`) // az 2.45
	if got := fmt.Sprint(at(w.get(inA, appVerA), "properties.publishingProfile")); !strings.Contains(got, "manageActions:map[install:i remove:r update:u]") || !strings.Contains(got, "packageFileName:f.zip") || !strings.Contains(got, confURI) || !strings.Contains(got, "Japan East") {
		t.Errorf("what was not said is lost: %s", got)
	}
	w.done(inA, "PUT", appVerA, appVersion(zipURI+"?sig=expired", `,"replicaCount":2`, `,"safetyProfile":{"allowDeletionOfReplicatedLocations":false}`))
	_, err = w.do(inA, "PATCH", appVerA, `{"properties":{"publishingProfile":{"targetRegions":[{"name":"eastus"}]}}}`)
	w.refuse(err, 409, "OperationNotAllowed", "'japaneast'", onApp+"targetRegions")
	_, err = w.do(inA, "DELETE", appA, "")
	w.refuse(err, 409, "CannotDeleteResource", appVerA, "")
	r, err = w.do(inA, "DELETE", appVerA, "")
	if w.must(err); r.Status != 202 || r.Header.Get("Location") == "" {
		t.Errorf("%d %v", r.Status, r.Header)
	}
	w.wait(r)
	for _, region := range []string{"eastus", "japaneast"} {
		w.pinned(region, 0)
		_, err := w.images.CollectOlder(context.Background(), region, -time.Hour)
		w.must(err)
		if n := w.objects(region); n != 0 {
			t.Errorf("%d objects are left in %s", n, region)
		}
	}
}

// Who may not read a blob does not get it into a gallery, and is not told what is there.
func TestApplicationSourceRights(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	put := func(caller authn.Caller, link string) error {
		_, err := w.do(caller, "PUT", appVerA, appVersion(link, "", ""))
		return err
	}
	w.refuse(put(inA, zipURI+"?sig=bad"), 400, "InvalidParameter", "The SAS is not valid for source uri '"+zipURI+"'", onApp+"source.mediaLink")
	w.refuse(put(inA, theirURI), 400, "InvalidParameter", "cannot be accessed", onApp+"source.mediaLink")
	w.refuse(put(inA, theirURI+"none"), 400, "InvalidParameter", "cannot be accessed", "")
	w.refuse(put(inBAux, zipURI), 401, "InvalidAuthenticationTokenTenant", "", "")
	w.done(inA, "PUT", appA+"/versions/1.0.1", appVersion(publicURI, "", ""))
	w.done(inA, "PUT", appA+"/versions/1.0.2", appVersion(theirURI+signature, "", ""))
	w.done(inA, "PUT", appA+"/versions/1.0.3", appVersion(zipURI, "", "")) // with the right on the account
	w.update(func(tx store.Tx) error {
		const contributor, roles = "85a2d0d9-2eba-4c9c-b355-11c2cc0788ab", "/subscriptions/" + subA
		if err := tx.Delete(roles+"/assignment/"+inA.Primary.ObjectID, 0); err != nil {
			return err
		}
		return assign(tx, inA.Primary, contributor, roles) // Compute Gallery Artifacts Publisher
	})
	err := put(inA, zipURI)
	w.refuse(err, 403, "AuthorizationFailed", "over the storage account of the blob '"+zipURI+"'", "")
	if strings.Contains(err.Error(), "storageAccounts/acct") {
		t.Errorf("the account's ID is told: %v", err)
	}
	w.refuse(put(inA, zipURI+"-none"), 403, "AuthorizationFailed", "", "") // whether it is there is not told
	w.done(inA, "PUT", appVerA, appVersion(zipURI+signature, "", ""))
	// A rehearsal asks nobody outside: a signature is taken for good there, and tells nothing of the blob.
	for link, want := range map[string]string{zipURI + "?sig=unknown": "", zipURI + "-none?sig=x": "", zipURI: "AuthorizationFailed"} {
		err := w.control.Rehearse(context.Background(), func(r *control.Rehearsal) error {
			_, err := r.Do(control.Request{Method: "PUT", Path: appA + "/versions/2.0.0", Query: url.Values{"api-version": {"2024-03-03"}}, Body: []byte(appVersion(link, "", "")), Caller: inA})
			return err
		})
		if got := codeOf(err); got != want {
			t.Errorf("rehearsed %s: %v", link, err)
		}
	}
	w.absentVersion(appA + "/versions/2.0.0")
}

// What goes wrong while bytes travel fails the version, not the server; another PUT takes up where it ended, and needs the
// right to the blob again.
func TestApplicationReadAgain(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	w.pause()
	r, err := w.do(inA, "PUT", appVerA, appVersion(zipURI+signature, `,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""))
	w.must(err)
	kept := w.files[zipURI]
	delete(w.files, zipURI)
	w.start()
	if o := w.wait(r); o.Status != operation.Failed || o.Error.Code != "InvalidParameter" || !strings.Contains(o.Error.Message, "does not exist") {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	if got := at(w.get(inA, appVerA), "properties.provisioningState"); got != "Failed" {
		t.Error(got)
	}
	w.files[zipURI] = kept
	w.update(func(tx store.Tx) error {
		return tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0)
	})
	w.update(func(tx store.Tx) error {
		return assign(tx, inA.Primary, "85a2d0d9-2eba-4c9c-b355-11c2cc0788ab", "/subscriptions/"+subA)
	})
	_, err = w.do(inA, "PUT", appVerA, appVersion(zipURI, "", ""))
	w.refuse(err, 403, "AuthorizationFailed", "", "")
	w.setDown("westus2", errDown)
	r, err = w.do(inA, "PUT", appVerA, appVersion(zipURI+signature, "", ""))
	w.must(err)
	if o := w.wait(r); o.Status != operation.Failed || o.Error.Code != "ReplicationJobsFailed" || !strings.Contains(o.Error.Message, "West US 2") {
		t.Fatalf("%s %v", o.Status, o.Error)
	}
	w.pinned("eastus", 1)
	w.setDown("westus2", nil)
	delete(w.files, zipURI)
	w.done(inA, "PATCH", appVerA, `{"tags":{"again":"1"}}`) // what is here is not read again
	w.pinned("westus2", 1)
}

// An engine that stops anywhere is followed by another one that ends the work, without a pin or an object too many.
func TestApplicationInterrupted(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	for n := 1; ; n++ {
		w.mu.Lock()
		w.looks, w.crashAt = 0, n
		w.mu.Unlock()
		r, err := w.do(inA, "PUT", appVerA, appVersion(zipURI+signature, `,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""))
		w.must(err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.wait(r)
		}()
		w.restartUntil(ended)
		if o := w.wait(r); o.Status != operation.Succeeded {
			t.Fatalf("crash at %d: %s %v", n, o.Status, o.Error)
		}
		w.pinned("eastus", 1)
		w.pinned("westus2", 1)
		w.mu.Lock()
		reached := w.looks >= n
		w.crashAt = 0
		w.mu.Unlock()
		w.done(inA, "DELETE", appVerA, "")
		w.pinned("eastus", 0)
		if !reached {
			return
		}
	}
}

// A deletion ends what is under way.
func TestApplicationDeletedWhileCopying(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	w.gates["westus2"] = gate
	w.shelf()
	r, err := w.do(inA, "PUT", appVerA, appVersion(zipURI+signature, `,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""))
	w.must(err)
	gate <- struct{}{}
	_, err = w.do(inA, "PUT", appVerA, appVersion(zipURI+signature, "", ""))
	w.refuse(err, 409, "Conflict", "in progress", "")
	d, err := w.do(inA, "DELETE", appVerA, "")
	w.must(err)
	close(gate)
	if o := w.wait(r); o.Status != operation.Canceled && o.Status != operation.Succeeded {
		t.Errorf("%s %v", o.Status, o.Error)
	}
	if o := w.wait(d); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	w.pinned("eastus", 0)
	w.pinned("westus2", 0)
}

// Every fault of a body is told in one answer; soft delete is for image versions; the limits hold.
func TestApplicationFaults(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	_, err := w.do(inA, "PUT", appVerA, `{"location":"eastus","properties":{"publishingProfile":{"source":{"mediaLink":"x","defaultConfigurationLink":"https://a/b?c=d"},"manageActions":{"install":"`+strings.Repeat("i", 4097)+`"},
		"replicaCount":11,"endOfLifeDate":"soon","targetRegions":[{"name":"atlantis"},{"name":"westus","regionalReplicaCount":0,"encryption":{"osDiskImage":{}}}],"customActions":[{"name":"a"}]}}}`)
	e, ok := err.(*arm.Error)
	if !ok {
		t.Fatal(err)
	}
	var got []string
	for _, d := range e.Details {
		got = append(got, strings.TrimPrefix(d.Target, onApp))
	}
	want := []string{"manageActions.remove", "customActions[0].script", "source.mediaLink", "source.defaultConfigurationLink", "manageActions.install", "endOfLifeDate", "replicaCount", "targetRegions[0].name", "targetRegions[1].regionalReplicaCount", "targetRegions[1].encryption"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.done(inA, "PUT", galleryA, `{"location":"eastus","properties":{"softDeletePolicy":{"isSoftDeleteEnabled":true}}}`)
	w.done(inA, "PUT", appVerA, appVersion(zipURI, "", ""))
	l := &w.galleries.Limits
	l.Apps, l.AppVersions = 1, 1
	_, err = w.do(inA, "PUT", appA+"2", app)
	w.refuse(err, 409, "QuotaExceeded", "galleries/applications'", "")
	_, err = w.do(inA, "PUT", appA+"/versions/2.0.0", appVersion(zipURI, "", ""))
	w.refuse(err, 409, "QuotaExceeded", "galleries/applications/versions'", "")
	r, err := w.do(inA, "GET", "/subscriptions/"+subA+"/providers/Microsoft.Compute/locations/eastus/usages", "")
	w.must(err)
	if !strings.Contains(string(r.Body), `"name":{"value":"GalleryApplicationVersions"`) {
		t.Errorf("%s", r.Body)
	}
	w.done(inA, "DELETE", appVerA, "")
	w.pinned("eastus", 0)
	w.absentVersion(appVerA)
	_, err = w.do(inA, "DELETE", "/subscriptions/"+subA+"/resourceGroups/rg"+compute+"galleries/shop/applications/app/versions/9.9.9", "")
	w.must(err) // 204
}

// The actions are those of Azure.
func TestApplicationActions(t *testing.T) {
	w := newWorld(t)
	w.shelf()
	w.done(inA, "PUT", appVerA, appVersion(zipURI, "", ""))
	w.update(func(tx store.Tx) error {
		if err := tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0); err != nil {
			return err
		}
		return assign(tx, inA.Primary, reader, "/subscriptions/"+subA)
	})
	for _, row := range []struct{ method, path, body, action string }{
		{"PUT", appA, app, "galleries/applications/write"}, {"PATCH", appA, `{}`, "galleries/applications/write"}, {"DELETE", appA, "", "galleries/applications/delete"},
		{"PUT", appVerA, appVersion(zipURI, "", ""), "galleries/applications/versions/write"}, {"PATCH", appVerA, `{}`, "galleries/applications/versions/write"}, {"DELETE", appVerA, "", "galleries/applications/versions/delete"},
	} {
		_, err := w.do(inA, row.method, row.path, row.body)
		w.refuse(err, 403, "AuthorizationFailed", "'Microsoft.Compute/"+row.action+"'", "")
	}
	w.get(inA, appVerA)
	if list := w.get(inA, appA+"/versions")["value"].([]any); len(list) != 1 {
		t.Error(list)
	}
	w.update(func(tx store.Tx) error {
		return tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0)
	})
	for path, action := range map[string]string{appA: "galleries/applications/read", appVerA: "galleries/applications/versions/read", appA + "/versions": "galleries/applications/versions/read"} {
		_, err := w.do(inA, "GET", path, "")
		w.refuse(err, 403, "AuthorizationFailed", "'Microsoft.Compute/"+action+"'", "")
	}
}

// Progress moves with the bytes; a package that is there already travels and is stored once; a tenant's gallery has it in its own
// domain, whosever the blob is.
func TestApplicationProgress(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	w.gates["westus2"] = gate
	w.shelf()
	r, err := w.do(inA, "PUT", appVerA, appVersion(zipURI+signature, `,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""))
	w.must(err)
	w.until("eastus", func() bool {
		return strings.Contains(fmt.Sprint(w.status(appVerA)), "progress:100 region:East US state:Completed")
	})
	if s := fmt.Sprint(w.status(appVerA)); !strings.Contains(s, "aggregatedState:InProgress") || !strings.Contains(s, "progress:0 region:West US 2 state:Replicating") {
		t.Error(s)
	}
	for range w.objects("eastus") - 3 { // less the manifest, and two in the workers' hands
		gate <- struct{}{}
	}
	w.until("progress", func() bool {
		s := fmt.Sprint(w.status(appVerA))
		return strings.Contains(s, "region:West US 2 state:Replicating") && !strings.Contains(s, "progress:0 ")
	})
	close(gate)
	if o := w.wait(r); o.Status != operation.Succeeded {
		t.Fatal(o.Error)
	}
	before := w.objects("eastus") + w.objects("westus2")
	w.done(inA, "PUT", appA+"/versions/1.0.1", appVersion(zipURI+signature, `,"targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""))
	if after := w.objects("eastus") + w.objects("westus2"); after != before {
		t.Errorf("%d objects before, %d after the same package again", before, after)
	}
	w.done(inB, "PUT", groupB+compute+"galleries/theirs", `{"location":"eastus"}`)
	w.must(errOf(w.do(inB, "PUT", groupB+compute+"galleries/theirs/applications/app", app)))
	theirs := groupB + compute + "galleries/theirs/applications/app/versions/1.0.0"
	w.done(inB, "PUT", theirs, appVersion(zipURI+signature, "", ""))
	w.must(w.view(func(tx store.Tx) error {
		for path, want := range map[string]string{appVerA: tenantA, theirs: tenantB} {
			v, err := control.Find[application.Version](tx, path)
			if err != nil {
				return err
			}
			if got := v.Properties.Content[0].Ref.Domain; got != want {
				t.Errorf("%s is in the domain %s", path, got)
			}
		}
		return nil
	}))
	if after := w.objects("eastus") + w.objects("westus2"); after <= before {
		t.Error("another tenant's bytes were used")
	}
}
