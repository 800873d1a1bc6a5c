package disk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/image"
	"vitrine/internal/image/format"
	"vitrine/internal/image/sas"
	"vitrine/internal/operation"
	"vitrine/internal/store"
)

func creation(c string) string {
	return `{"location":"eastus","properties":{"creationData":{` + c + `}}}`
}

const upload = `"createOption":"Upload","uploadSizeBytes":66048` // 64 KiB and a footer

func TestErrors(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"up", creation(upload))
	w.done("PUT", disks+"empty", `{"location":"eastus","properties":{"diskSizeGB":4,"creationData":{"createOption":"Empty"}}}`)
	w.done("PUT", disks+"closed", `{"location":"eastus","properties":{"diskSizeGB":4,"networkAccessPolicy":"DenyAll","creationData":{"createOption":"Empty"}}}`)
	image := group + "/providers/Microsoft.Compute/galleries/g/images/d/versions/1.0.0"
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		code, part               string
	}{
		{"name", "PUT", "a.", creation(upload), 400, "InvalidParameter", "validation rule"},
		{"no creationData", "PUT", "d", `{"location":"eastus"}`, 400, "InvalidParameter", "'creationData' is missing"},
		{"no option", "PUT", "d", creation(""), 400, "InvalidParameter", "'createOption' is missing"},
		{"import", "PUT", "d", creation(`"createOption":"import","sourceUri":"https://x"`), 400, "InvalidParameter", "no storage account"},
		{"restore of nothing", "PUT", "d", creation(`"createOption":"Restore"`), 400, "InvalidParameter", "sourceResourceId"},
		{"restore of a disk", "PUT", "d", creation(`"createOption":"Restore","sourceResourceId":"` + disks + `empty"`), 400, "InvalidParameter", "must be a disk restore point"},
		{"attach", "PUT", "d", creation(`"createOption":"Attach"`), 400, "NotSupported", "'Attach'"},
		{"unknown option", "PUT", "d", creation(`"createOption":"Dream"`), 400, "InvalidParameter", "Allowed values"},
		{"empty without size", "PUT", "d", creation(`"createOption":"Empty"`), 400, "InvalidParameter", "diskSizeGB"},
		{"upload without size", "PUT", "d", creation(`"createOption":"Upload"`), 400, "InvalidParameter", "multiple of 512"},
		{"upload of odd size", "PUT", "d", creation(`"createOption":"Upload","uploadSizeBytes":66049`), 400, "InvalidParameter", "multiple of 512"},
		{"image missing", "PUT", "d", creation(`"createOption":"FromImage"`), 400, "InvalidParameter", "galleryImageReference"},
		{"image of another type", "PUT", "d", creation(`"createOption":"FromImage","galleryImageReference":{"id":"/subscriptions/` + sub + `"}`), 400, "LinkedInvalidPropertyId", "fully qualified"},
		{"marketplace", "PUT", "d", creation(`"createOption":"FromImage","imageReference":{"id":"/x"}`), 400, "NotSupported", "marketplace"},
		{"image definition", "PUT", "d", creation(`"createOption":"FromImage","galleryImageReference":{"id":"` + strings.Split(image, "/versions/")[0] + `"}`), 400, "InvalidParameter", "must be the ID of a gallery image version"},
		{"image that is a disk", "PUT", "d", creation(`"createOption":"FromImage","galleryImageReference":{"id":"` + group + `/providers/Microsoft.Compute/disks/x"}`), 400, "InvalidParameter", "parameter 'galleryImageReference.id' is invalid"},
		{"community", "PUT", "d", creation(`"createOption":"FromImage","galleryImageReference":{"communityGalleryImageId":"/CommunityGalleries/x/Images/y"}`), 400, "NotSupported", "community"},
		{"image not there", "PUT", "d", creation(`"createOption":"FromImage","galleryImageReference":{"id":"` + image + `"}`), 404, "GalleryImageNotFound", ""},
		{"copy of a machine", "PUT", "d", creation(`"createOption":"Copy","sourceResourceId":"` + group + `/providers/Microsoft.Compute/virtualMachines/s"`), 400, "InvalidParameter", "must be a disk or a snapshot"},
		{"copy to a region", "PUT", "d", creation(`"createOption":"CopyStart","sourceResourceId":"` + disks + `empty"`), 400, "InvalidParameter", "not allowed for a disk"},
		{"secure upload", "PUT", "d", creation(`"createOption":"UploadPreparedSecure","uploadSizeBytes":66048`), 400, "NotSupported", "'UploadPreparedSecure'"},
		{"secure import", "PUT", "d", creation(`"createOption":"ImportSecure","sourceUri":"https://x"`), 400, "NotSupported", "'ImportSecure'"},
		{"import with security data", "PUT", "d", creation(`"createOption":"Import","sourceUri":"https://x","securityDataUri":"https://y"`), 400, "NotSupported", "'Import'"},
		{"import of nothing", "PUT", "d", creation(`"createOption":"Import"`), 400, "InvalidParameter", "sourceUri"},
		{"from a SAN", "PUT", "d", creation(`"createOption":"CopyFromSanSnapshot","elasticSanResourceId":"/x"`), 400, "NotSupported", "'CopyFromSanSnapshot'"},
		{"confidential", "PUT", "d", `{"location":"eastus","properties":{"diskSizeGB":1,"securityProfile":{"securityType":"ConfidentialVM_DiskEncryptedWithPlatformKey"},"creationData":{"createOption":"Empty"}}}`, 400, "NotSupported", "security type"},
		{"encryption in the guest", "PUT", "d", `{"location":"eastus","properties":{"diskSizeGB":1,"encryptionSettingsCollection":{"enabled":true},"creationData":{"createOption":"Empty"}}}`, 400, "NotSupported", "Azure Disk Encryption"},
		{"private access", "PUT", "d", `{"location":"eastus","properties":{"diskSizeGB":1,"diskAccessId":"/x","creationData":{"createOption":"Empty"}}}`, 400, "NotSupported", "disk access"},
		{"tokens for bytes", "PUT", "d", `{"location":"eastus","properties":{"diskSizeGB":1,"dataAccessAuthMode":"azureactivedirectory","creationData":{"createOption":"Empty"}}}`, 400, "NotSupported", "AzureActiveDirectory"},
		{"copy of nothing", "PUT", "d", creation(`"createOption":"Copy","sourceResourceId":"` + disks + `none"`), 404, "ResourceNotFound", "none"},
		{"copy of an upload", "PUT", "d", creation(`"createOption":"Copy","sourceResourceId":"` + disks + `up"`), 409, "OperationNotAllowed", "ReadyToUpload"},
		{"sku", "PUT", "d", `{"location":"eastus","sku":{"name":"Fast"},"properties":{"diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`, 400, "InvalidParameter", "Premium_LRS"},
		{"shared", "PUT", "d", `{"location":"eastus","properties":{"diskSizeGB":1,"maxShares":2,"creationData":{"createOption":"Empty"}}}`, 400, "NotSupported", "shared disk"},
		{"other key", "PUT", "d", `{"location":"eastus","properties":{"diskSizeGB":1,"encryption":{"type":"EncryptionAtRestWithCustomerKey"},"creationData":{"createOption":"Empty"}}}`, 400, "NotSupported", "customer's key"},
		{"source changed", "PUT", "empty", creation(upload), 409, "PropertyChangeNotAllowed", "creationData"},
		{"shrunk", "PATCH", "empty", `{"properties":{"diskSizeGB":2}}`, 409, "OperationNotAllowed", "shrunk"},
		{"write to an empty disk", "POST", "empty/beginGetAccess", `{"access":"Write","durationInSeconds":60}`, 409, "OperationNotAllowed", "createOption 'Upload'"},
		{"read of an upload", "POST", "up/beginGetAccess", `{"access":"Read","durationInSeconds":60}`, 409, "OperationNotAllowed", "endGetAccess"},
		{"no duration", "POST", "up/beginGetAccess", `{"access":"Write"}`, 400, "InvalidParameter", "durationInSeconds"},
		{"no access", "POST", "up/beginGetAccess", `{"access":"None","durationInSeconds":60}`, 400, "InvalidParameter", "Allowed values"},
		{"too long", "POST", "up/beginGetAccess", `{"access":"Write","durationInSeconds":5184001}`, 400, "InvalidParameter", "5184000"},
		{"denied", "POST", "closed/beginGetAccess", `{"access":"Read","durationInSeconds":60}`, 409, "OperationNotAllowed", "DenyAll"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := *w
			sub.T = t
			_, err := sub.do(row.method, disks+row.path, row.body)
			sub.refuse(err, row.status, row.code, row.part)
		})
	}
}

// grant asks for access and gives the URL with what the operation told.
func (w *world) grant(name, access string) *url.URL {
	w.Helper()
	o := w.done("POST", disks+name+"/beginGetAccess", fmt.Sprintf(`{"access":%q,"durationInSeconds":600}`, access))
	if bytes.Contains(o.Output, []byte("sig=")) || !o.Sealed {
		w.Fatalf("the signed URL lies in clear in the store: %s", o.Output)
	}
	var sealed string
	w.must(json.Unmarshal(o.Output, &sealed))
	plain, err := w.sealer.Open(sealed, o.Resource)
	w.must(err)
	var out struct{ AccessSAS string }
	w.must(json.Unmarshal(plain, &out))
	u, err := url.Parse(out.AccessSAS)
	w.must(err)
	return u
}

// write puts bytes where a writing URL leads.
func (w *world) write(u *url.URL, at int64, b []byte) {
	w.Helper()
	_, err := w.hold(u).WriteAt(b, at)
	w.must(err)
}

// hold opens what a writing URL leads to, as the door does before the body of a Put Page has come.
func (w *world) hold(u *url.URL) *image.Upload {
	w.Helper()
	g, err := w.disks.Grant(context.Background(), u.Host, u.Path)
	w.must(err)
	c, err := g.Open(context.Background())
	w.must(err)
	w.Cleanup(func() { c.Close() })
	return c.(*image.Upload)
}

func TestUpload(t *testing.T) {
	w := newWorld(t)
	r, err := w.do("PUT", disks+"up", creation(upload))
	w.must(err)
	if r.Status != 202 || r.Header.Get("Location") == "" || !strings.Contains(string(r.Body), `"provisioningState":"Updating"`) {
		t.Fatalf("%d %v %s", r.Status, r.Header, r.Body)
	}
	w.idle("up")
	first := w.grant("up", "Write")
	if !strings.HasPrefix(first.Host, "md-") || !strings.HasSuffix(first.Host, ".z1.blob.storage.azure.net") || !strings.HasSuffix(first.Path, "/abcd") {
		t.Errorf("URL %s", first)
	}
	w.signed(first)
	content := bytes.Repeat([]byte("vitrine "), 8192)
	w.write(first, 0, content)

	o := w.end("POST", disks+"up/endGetAccess", "")
	if o.Status != operation.Failed || o.Error.Code != "InvalidVhd" {
		t.Fatalf("without footer: %s %v", o.Status, o.Error)
	}
	if _, err := w.disks.Grant(context.Background(), first.Host, first.Path); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the first URL still counts: %v", err)
	}
	if s := w.info("up").State; s != "ReadyToUpload" {
		t.Errorf("state %s", s)
	}
	foot := format.VHDFooter(int64(len(content)))
	w.write(w.grant("up", "Write"), int64(len(content)), foot[:]) // what the first URL wrote is still there
	late := w.hold(w.grant("up", "Write"))
	w.done("POST", disks+"up/endGetAccess", "")
	if _, err := late.WriteAt(make([]byte, 512), 0); !errors.Is(err, image.ErrUpload) {
		t.Errorf("written after endGetAccess: %v", err)
	}
	if i := w.info("up"); i.State != "Unattached" || i.SizeGB != 1 {
		t.Errorf("%+v", i)
	}
	if left, err := w.images.Uploads(); err != nil || len(left) > 0 {
		t.Errorf("uploads left: %v %v", left, err)
	}
	w.done("PUT", disks+"copy", creation(fmt.Sprintf(`"createOption":"Copy","sourceResourceId":"%sup"`, disks)))
	w.done("DELETE", disks+"up", "")
	w.done("PATCH", disks+"copy", `{"tags":{"a":"b"},"sku":{"name":"premium_lrs"},"properties":{"diskSizeGB":33}}`)
	r, err = w.do("GET", disks+"copy", "")
	w.must(err)
	for _, part := range []string{`"tags":{"a":"b"}`, `"sku":{"name":"Premium_LRS","tier":"Premium"}`, `"tier":"P6"`, `"diskSizeBytes":35433480192`, `"sourceUniqueId"`, `"diskState":"Unattached"`} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("no %s in %s", part, r.Body)
		}
	}
	if strings.Contains(string(r.Body), "manifest") {
		t.Error("private members are shown")
	}
	w.reads("copy", content)
}

func (w *world) idle(name string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var open []*operation.Operation
		w.must(w.store.View(ctx, func(tx store.Tx) (err error) {
			open, err = operation.Open(tx, strings.ToLower(disks+name))
			return err
		}))
		if len(open) == 0 {
			return
		}
		<-tick.C
	}
}

// signed checks a URL the way the door does, and that the key lies sealed in the store.
func (w *world) signed(u *url.URL) {
	w.Helper()
	parsed, err := sas.Parse(u.Host, u.Path, u.Query())
	w.must(err)
	g, err := w.disks.Grant(context.Background(), u.Host, u.Path)
	w.must(err)
	w.must(parsed.Verify(g.Key))
	w.must(w.store.View(context.Background(), func(tx store.Tx) error {
		docs, err := tx.List(store.Query{Kind: "disk/grant"})
		for _, d := range docs {
			if bytes.Contains(d.Body, g.Key) || !strings.Contains(string(d.Body), `"key":"v1.`) {
				w.Errorf("the key is not sealed: %s", d.Body)
			}
		}
		return err
	}))
}

func (w *world) reads(name string, content []byte) {
	w.Helper()
	u := w.grant(name, "Read")
	g, err := w.disks.Grant(context.Background(), u.Host, u.Path)
	w.must(err)
	c, err := g.Open(context.Background())
	w.must(err)
	got := make([]byte, len(content)+format.FooterSize)
	if _, err := c.ReadAt(got, 0); err != nil || !bytes.Equal(got[:len(content)], content) || !bytes.HasPrefix(got[len(content):], []byte("conectix")) {
		w.Fatalf("read back: %v", err)
	}
}

// Sweep removes expired grants and files without disk, and nothing else.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	w.done("PUT", disks+"up", creation(upload))
	u := w.grant("up", "Write")
	w.must(w.images.CreateUpload("leftover", 1024))
	stray, kept := filepath.Join(w.dir, "disks", "stray"), ""
	w.must(os.MkdirAll(stray, 0o700))
	w.done("PUT", disks+"empty", `{"location":"eastus","properties":{"diskSizeGB":4,"creationData":{"createOption":"Empty"}}}`)
	id, err := arm.ParseID(disks + "empty")
	w.must(err)
	file, err := w.disks.Materialise(context.Background(), id)
	w.must(err)
	kept = file.Path
	check := func(grants bool, uploads int, folder bool) {
		t.Helper()
		w.must(w.disks.Sweep(context.Background()))
		_, err := w.disks.Grant(context.Background(), u.Host, u.Path)
		left, _ := w.images.Uploads()
		_, gone := os.Stat(stray)
		if (err == nil) != grants || len(left) != uploads || (gone == nil) != folder {
			t.Errorf("grant %v, uploads %v, folder %v", err, left, gone)
		}
		if _, err := os.Stat(kept); err != nil {
			t.Error(err)
		}
	}
	check(true, 2, true)
	w.clock(2 * time.Hour)
	check(false, 1, false)
	w.done("DELETE", disks+"empty", "")
	if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the overlay outlives its disk: %v", err)
	}
}
