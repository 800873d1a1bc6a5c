package gallery_test

import (
	"fmt"
	"testing"
	"time"

	"vitrine/internal/store"
)

// TestErrors has one row per error (errors.md 1 to 4), against one world.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(","+regions("eastus", "westus2")))
	w.upload(inA, groupA+compute+"disks/windows", "eastus", noise(8192, "w"), `,"osType":"Windows","hyperVGeneration":"V2"`)
	w.upload(inA, groupA+compute+"disks/data", "eastus", noise(8192, "d"), "")
	w.upload(inA, groupA+compute+"disks/far", "westus2", noise(8192, "f"), "")
	w.done(inA, "PUT", groupA+compute+"disks/half", `{"location":"eastus","properties":{"creationData":{"createOption":"Upload","uploadSizeBytes":8704}}}`)
	w.done(inA, "PUT", groupA+compute+"disks/huge", `{"location":"eastus","properties":{"diskSizeGB":4096,"creationData":{"createOption":"Empty"}}}`)
	past, future := time.Now().Add(-time.Hour).Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339)
	w.done(inA, "PUT", definitionA+"/versions/5.0.0", version(fmt.Sprintf(`,"publishingProfile":{"endOfLifeDate":%q},"safetyProfile":{"blockDeletionBeforeEndOfLife":true}`, future)))

	g := func(props string) string { return `{"location":"eastus","properties":{` + props + `}}` }
	id := `"identifier":{"publisher":"p2","offer":"o","sku":"s"}`
	def := func(more string) string { return g(`"osType":"Linux","osState":"Generalized",` + id + more) }
	from := func(resource string) string {
		return g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"id":"%s/providers/Microsoft.Compute/%s"}}}`, groupA, resource))
	}
	data := func(rows string) string {
		return g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"id":%q}},"dataDiskImages":[%s]}`, diskA, rows))
	}
	other, fresh := groupA+compute+"galleries/other", definitionA+"/versions/3.0.0"
	const ver = "galleryImageVersion.properties."
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		code, part, target       string
	}{
		{"gallery name", "PUT", groupA + compute + "galleries/a-b", g(""), 400, "InvalidParameter", "alphanumeric", "galleryName"},
		{"gallery name end", "PUT", groupA + compute + "galleries/ab_", g(""), 400, "InvalidParameter", "alphanumeric", "galleryName"},
		{"gallery location", "PUT", other, `{"location":"atlantis"}`, 400, "LocationNotAvailableForResourceType", "atlantis", ""},
		{"gallery moved", "PUT", galleryA, `{"location":"westus"}`, 409, "InvalidResourceLocation", "already exists in location", ""},
		{"gallery not empty", "DELETE", galleryA, "", 409, "CannotDeleteResource", definitionA, ""},
		{"gallery shared", "PUT", other, g(`"sharingProfile":{"permissions":"groups"}`), 400, "NotSupported", "'Groups'", "gallery.properties.sharingProfile.permissions"},
		{"gallery retention", "PUT", other, g(`"softDeletePolicy":{"isSoftDeleteEnabled":true,"retentionPeriodInDays":0}`), 400, "InvalidParameter", "between 1 and 365", "gallery.properties.softDeletePolicy.retentionPeriodInDays"},
		{"share", "POST", galleryA + "/share", `{}`, 400, "NotSupported", "share", ""},
		{"definition without gallery", "PUT", other + "/images/d", def(""), 404, "ParentResourceNotFound", "other", ""},
		{"definition name", "PUT", galleryA + "/images/x.", def(""), 400, "InvalidParameter", "validation rule", ""},
		{"definition incomplete", "PUT", galleryA + "/images/x", g(`"osState":"Generalized"`), 400, "InvalidParameter", "Required parameter 'osType' is missing", "galleryImage.properties.osType"},
		{"definition without properties", "PUT", galleryA + "/images/x", `{"location":"eastus"}`, 400, "InvalidParameter", "'identifier' is missing", ""},
		{"definition patched empty", "PATCH", definitionA, `{"properties":{"identifier":null}}`, 400, "InvalidParameter", "'identifier' is missing", ""},
		{"version without properties", "PUT", fresh, `{"location":"eastus"}`, 400, "InvalidParameter", "Exactly one source", ""},
		{"version patched without LUN", "PATCH", versionA, `{"properties":{"storageProfile":{"dataDiskImages":[{}]}}}`, 400, "InvalidParameter", "'lun'", ""},
		{"definition osType", "PUT", galleryA + "/images/x", g(`"osType":"BeOS","osState":"Generalized",` + id), 400, "InvalidParameter", "Linux", "galleryImage.properties.osType"},
		{"definition publisher", "PUT", galleryA + "/images/x", g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p.","offer":"o","sku":"s"}`), 400, "InvalidParameter", "asset name", "galleryImage.properties.identifier.publisher"},
		{"definition triplet", "PUT", galleryA + "/images/x", g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"P","offer":"o","sku":"s"}`), 409, "Conflict", "already used", "galleryImage.properties.identifier"},
		{"definition date", "PUT", galleryA + "/images/x", def(`,"endOfLifeDate":"soon"`), 400, "InvalidParameter", "DateTimeOffset", "galleryImage.properties.endOfLifeDate"},
		{"definition past", "PUT", galleryA + "/images/x", def(fmt.Sprintf(`,"endOfLifeDate":%q`, past)), 400, "InvalidParameter", "later than", ""},
		{"definition range", "PUT", galleryA + "/images/x", def(`,"recommended":{"vCPUs":{"min":4,"max":2}}`), 400, "InvalidParameter", "larger than its maximum", "galleryImage.properties.recommended.vCPUs"},
		{"definition number", "PUT", galleryA + "/images/x", def(`,"recommended":{"memory":{"min":"much"}}`), 400, "InvalidParameter", "an integer", ""},
		{"definition arm", "PUT", galleryA + "/images/x", def(`,"architecture":"arm64"`), 400, "InvalidParameter", "requires hyperVGeneration 'V2'", ""},
		{"definition feature", "PUT", galleryA + "/images/x", def(`,"hyperVGeneration":"V2","features":[{"name":"SecurityType","value":"Much"}]`), 400, "InvalidParameter", "Allowed values", ""},
		{"definition osType changed", "PUT", definitionA, g(`"osType":"Windows","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s"}`), 409, "PropertyChangeNotAllowed", "Changing property 'galleryImage.properties.osType' is not allowed.", "galleryImage.properties.osType"},
		{"definition sku changed", "PUT", definitionA, g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s2"}`), 409, "PropertyChangeNotAllowed", "identifier.sku", "galleryImage.properties.identifier.sku"},
		{"definition not empty", "DELETE", definitionA, "", 409, "CannotDeleteResource", versionA, ""},
		{"version name", "PUT", definitionA + "/versions/1.0", version(""), 400, "InvalidParameter", "Major.Minor.Patch", ""},
		{"version number", "PUT", definitionA + "/versions/1.0.2147483648", version(""), 400, "InvalidParameter", "2147483647", ""},
		{"version own location", "PUT", fresh, version("," + regions("westus2")), 400, "InvalidParameter", "must contain the location", ver + "publishingProfile.targetRegions"},
		{"version twice in a region", "PUT", fresh, version("," + regions("eastus", "East US")), 400, "InvalidParameter", "duplicates", ""},
		{"version unknown region", "PUT", fresh, version("," + regions("eastus", "atlantis")), 400, "LocationNotAvailableForResourceType", "atlantis", ""},
		{"version replicas", "PUT", fresh, version(`,"publishingProfile":{"replicaCount":101}`), 400, "InvalidParameter", "between 1 and 100", ver + "publishingProfile.replicaCount"},
		{"version regional replicas", "PUT", fresh, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","regionalReplicaCount":0}]}`), 400, "InvalidParameter", "between 1 and 100", ""},
		{"version encryption", "PUT", fresh, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","encryption":{"osDiskImage":{"diskEncryptionSetId":"/x"}}}]}`), 400, "NotSupported", "customer's key", ""},
		{"version no source", "PUT", fresh, g(""), 400, "InvalidParameter", "Exactly one source", ""},
		{"version two sources", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q},"osDiskImage":{"source":{"id":%q}}}`, versionA, diskA)), 400, "InvalidParameter", "Exactly one source", ""},
		{"version bad ID", "PUT", fresh, g(`"storageProfile":{"osDiskImage":{"source":{"id":"disk1"}}}`), 400, "LinkedInvalidPropertyId", "disk1", ""},
		{"version of a snapshot", "PUT", fresh, from("snapshots/s"), 404, "ResourceNotFound", "was not found in location", ""},
		{"version of a VNet", "PUT", fresh, from("availabilitySets/s"), 400, "InvalidParameter", "managed disk or a snapshot", ""},
		{"version of an image", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":"%s/providers/Microsoft.Compute/images/i"}}`, groupA)), 404, "ResourceNotFound", "was not found in location", ""},
		{"version of a VM", "PUT", fresh, g(`"storageProfile":{"source":{"virtualMachineId":"/x"}}`), 400, "LinkedInvalidPropertyId", "/x", ver + "storageProfile.source.virtualMachineId"},
		{"version of a VHD", "PUT", fresh, g(`"storageProfile":{"osDiskImage":{"source":{"uri":"https://x"}}}`), 400, "InvalidParameter", "'storageAccountId' is missing", ""},
		{"version source missing", "PUT", fresh, from("disks/none"), 404, "ResourceNotFound", "was not found in location 'eastus'", ver + "storageProfile.osDiskImage.source.id"},
		{"version source elsewhere", "PUT", fresh, from("disks/far"), 404, "ResourceNotFound", "same location", ""},
		{"version source not uploaded", "PUT", fresh, from("disks/half"), 409, "OperationNotAllowed", "ReadyToUpload", ""},
		{"version OS type", "PUT", fresh, from("disks/windows"), 400, "InvalidParameter", "OS type 'Windows'", ""},
		{"version size", "PUT", fresh, from("disks/huge"), 400, "GallerySourceResourceExceedsMaxSize", "2048 GB", ""},
		{"version LUN twice", "PUT", fresh, data(fmt.Sprintf(`{"lun":1,"source":{"id":"%[1]s/a"}},{"lun":1,"source":{"id":"%[1]s/b"}}`, groupA+"/providers/Microsoft.Compute/disks")), 400, "InvalidParameter", "more than once", ""},
		{"version source twice", "PUT", fresh, data(fmt.Sprintf(`{"lun":1,"source":{"id":%q}}`, diskA)), 400, "InvalidParameter", "more than one disk", ""},
		{"version source changed", "PUT", versionA, from("disks/data"), 409, "PropertyChangeNotAllowed", "galleryImageVersion.properties.storageProfile.osDiskImage.source.id", ver + "storageProfile.osDiskImage.source.id"},
		{"version data disk added", "PUT", versionA, data(fmt.Sprintf(`{"lun":1,"source":{"id":"%s/providers/Microsoft.Compute/disks/data"}}`, groupA)), 409, "PropertyChangeNotAllowed", "dataDiskImages", ""},
		{"version storage type changed", "PUT", versionA, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","storageAccountType":"premium_lrs"},{"name":"westus2"}]}`), 409, "PropertyChangeNotAllowed", "storageAccountType", ""},
		{"version guarded", "DELETE", definitionA + "/versions/5.0.0", "", 409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", "end of life", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := *w
			sub.T = t
			_, err := sub.do(inA, row.method, row.path, row.body)
			sub.refuse(err, row.status, row.code, row.part, row.target)
		})
	}
	w.pinned("westus2", 2) // the disk there and the version: what was refused has left nothing
}

// A name is unique in the subscription, not only in the group.
func TestUniqueName(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: "/subscriptions/" + subA + "/resourcegroups/rg2", Kind: "x", Body: []byte(`{"properties":{}}`)})
		return err
	})
	w.done(inA, "PUT", galleryA, `{"location":"eastus","tags":{"a":"b"}}`)
	_, err := w.do(inA, "PUT", "/subscriptions/"+subA+"/resourceGroups/rg2"+compute+"galleries/SHOP", `{"location":"eastus"}`)
	w.refuse(err, 409, "Conflict", "unique within the subscription", "")
	seen := w.get(inA, galleryA+"?$select=Permissions")
	if at(seen, "properties.identifier.uniqueName") != subA+"-SHOP" || at(seen, "properties.sharingProfile.permissions") != "Private" {
		t.Errorf("%v", seen)
	}
	w.done(inA, "PATCH", galleryA, `{"tags":{"c":"d"}}`)
	if tags := fmt.Sprint(w.get(inA, galleryA)["tags"]); tags != "map[c:d]" {
		t.Error(tags)
	}
}

// The source of a version must be one that the caller may write (a disk) or read (a version).
func TestSourceRights(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inB, "PUT", groupB+compute+"galleries/g", `{"location":"eastus"}`)
	w.done(inB, "PUT", groupB+compute+"galleries/g/images/d", definition)
	path := groupB + compute + "galleries/g/images/d/versions/1.0.0"
	_, err := w.do(inB, "PUT", path, version(""))
	w.refuse(err, 403, "LinkedAuthorizationFailed", "current tenant '"+tenantB+"' is not authorized", "")
	w.update(func(tx store.Tx) error {
		if err := tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0); err != nil {
			return err
		}
		return assign(tx, inA.Primary, reader, "/subscriptions/"+subA)
	})
	_, err = w.do(inBAux, "PUT", path, version(""))
	w.refuse(err, 403, "LinkedAuthorizationFailed", "'Microsoft.Compute/disks/write' on the linked scope(s) '"+diskA+"'", "")
}
