package gallery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/provider/source"
	"vitrine/internal/store"
)

// TestErrors has one row per error, grouped like the reference (errors.md 1 to 3), against one world.
func TestErrors(t *testing.T) {
	seen := map[string]bool{}
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
	w.stock()
	w.others[strings.ToLower(snapA)+"arm"] = source.Source{Location: "eastus", Architecture: "Arm64", Disks: []source.Disk{{LUN: -1}}}
	w.upload(inA, groupA+compute+"disks/generation2", "eastus", noise(8192, "g2"), `,"osType":"Linux","hyperVGeneration":"V2"`)
	for _, name := range []string{"trusted", "confidential"} {
		value := map[string]string{"trusted": "trustedlaunchsupported", "confidential": "ConfidentialVMSupported"}[name]
		w.done(inA, "PUT", galleryA+"/images/"+name, g(fmt.Sprintf(`"osType":"Linux","osState":"Generalized","hyperVGeneration":"V2","features":[{"name":"securityType","value":%q}],"identifier":{"publisher":"p","offer":"o","sku":%q}`, value, name)))
	}
	w.shelf()
	w.done(inA, "PUT", appVerA, appVersion(zipURI, "", ""))
	freshApp := appA + "/versions/2.0.0"
	shallowA := definitionA + "/versions/6.0.0"
	w.done(inA, "PUT", shallowA, version(`,"publishingProfile":{"replicationMode":"shallow"}`))
	w.update(func(tx store.Tx) error {
		_, err := tx.Put(store.Document{Key: "/subscriptions/" + subA + "/resourcegroups/rg2", Kind: "x", Body: []byte(`{"properties":{}}`)})
		return err
	})
	for _, row := range []struct {
		documented, name, method, path, body string
		status                               int
		code, part, target                   string
	}{
		{"1 name, symbols", "gallery name", "PUT", groupA + compute + "galleries/a-b", g(""), 400, "InvalidParameter", "alphanumeric", "galleryName"},
		{"1 name, ends", "gallery name end", "PUT", groupA + compute + "galleries/ab_", g(""), 400, "InvalidParameter", "alphanumeric", "galleryName"},
		{"1 LocationNotAvailableForResourceType", "gallery location", "PUT", other, `{"location":"atlantis"}`, 400, "LocationNotAvailableForResourceType", "atlantis", ""},
		{"1 InvalidResourceLocation", "gallery moved", "PUT", galleryA, `{"location":"westus"}`, 409, "InvalidResourceLocation", "already exists in location", ""},
		{"1 CannotDeleteResource", "gallery not empty", "DELETE", galleryA, "", 409, "CannotDeleteResource", definitionA, ""},
		{"", "gallery retention", "PUT", other, g(`"softDeletePolicy":{"isSoftDeleteEnabled":true,"retentionPeriodInDays":0}`), 400, "InvalidParameter", "between 1 and 365", "gallery.properties.softDeletePolicy.retentionPeriodInDays"},
		{"", "profiles", "PUT", galleryA + "/inVMAccessControlProfiles/p", "{}", 400, "NotSupported", "galleries/inVMAccessControlProfiles", ""},
		{"", "scripts", "DELETE", galleryA + "/scripts/s", "", 400, "NotSupported", "galleries/scripts", ""},
		{"", "share", "POST", galleryA + "/share", `{}`, 400, "InvalidParameter", "'operationType' is missing", "sharingUpdate.operationType"},
		{"1 ParentResourceNotFound", "definition without gallery", "PUT", groupA + compute + "galleries/none/images/d", def(""), 404, "ParentResourceNotFound", "none", ""},
		{"2 entity name", "definition name", "PUT", galleryA + "/images/x.", def(""), 400, "InvalidParameter", "validation rule", ""},
		{"2 required", "definition incomplete", "PUT", galleryA + "/images/x", g(`"osState":"Generalized"`), 400, "InvalidParameter", "Required parameter 'osType' is missing", "galleryImage.properties.osType"},
		{"2 required", "definition without properties", "PUT", galleryA + "/images/x", `{"location":"eastus"}`, 400, "InvalidParameter", "'identifier' is missing", ""},
		{"2 required", "definition patched empty", "PATCH", definitionA, `{"properties":{"identifier":null}}`, 400, "InvalidParameter", "'identifier' is missing", ""},
		{"", "version without properties", "PUT", fresh, `{"location":"eastus"}`, 400, "InvalidParameter", "Exactly one source", ""},
		{"", "version patched without LUN", "PATCH", versionA, `{"properties":{"storageProfile":{"dataDiskImages":[{}]}}}`, 400, "InvalidParameter", "'lun'", ""},
		{"", "definition osType", "PUT", galleryA + "/images/x", g(`"osType":"BeOS","osState":"Generalized",` + id), 400, "InvalidParameter", "Linux", "galleryImage.properties.osType"},
		{"2 asset name", "definition publisher", "PUT", galleryA + "/images/x", g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p.","offer":"o","sku":"s"}`), 400, "InvalidParameter", "asset name", "galleryImage.properties.identifier.publisher"},
		{"2 triplet", "definition triplet", "PUT", galleryA + "/images/x", g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"P","offer":"o","sku":"s"}`), 409, "Conflict", "already used", "galleryImage.properties.identifier"},
		{"2 date", "definition date", "PUT", galleryA + "/images/x", def(`,"endOfLifeDate":"soon"`), 400, "InvalidParameter", "DateTimeOffset", "galleryImage.properties.endOfLifeDate"},
		{"2 end of life", "definition past", "PUT", galleryA + "/images/x", def(fmt.Sprintf(`,"endOfLifeDate":%q`, past)), 400, "InvalidParameter", "later than", ""},
		{"2 range", "definition range", "PUT", galleryA + "/images/x", def(`,"recommended":{"vCPUs":{"min":4,"max":2}}`), 400, "InvalidParameter", "larger than its maximum", "galleryImage.properties.recommended.vCPUs"},
		{"2 number", "definition number", "PUT", galleryA + "/images/x", def(`,"recommended":{"memory":{"min":"much"}}`), 400, "InvalidParameter", "an integer", ""},
		{"", "definition arm", "PUT", galleryA + "/images/x", def(`,"architecture":"arm64"`), 400, "InvalidParameter", "requires hyperVGeneration 'V2'", ""},
		{"", "definition feature", "PUT", galleryA + "/images/x", def(`,"hyperVGeneration":"V2","features":[{"name":"SecurityType","value":"Much"}]`), 400, "InvalidParameter", "Allowed values", ""},
		{"2 PropertyChangeNotAllowed", "definition osType changed", "PUT", definitionA, g(`"osType":"Windows","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s"}`), 409, "PropertyChangeNotAllowed", "Changing property 'galleryImage.properties.osType' is not allowed.", "galleryImage.properties.osType"},
		{"2 PropertyChangeNotAllowed", "definition sku changed", "PUT", definitionA, g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s2"}`), 409, "PropertyChangeNotAllowed", "identifier.sku", "galleryImage.properties.identifier.sku"},
		{"1 CannotDeleteResource", "definition not empty", "DELETE", definitionA, "", 409, "CannotDeleteResource", versionA, ""},
		{"3 name format", "version name", "PUT", definitionA + "/versions/1.0", version(""), 400, "InvalidParameter", "Major.Minor.Patch", ""},
		{"3 name format", "version number", "PUT", definitionA + "/versions/1.0.2147483648", version(""), 400, "InvalidParameter", "2147483647", ""},
		{"3 own location", "version own location", "PUT", fresh, version("," + regions("westus2")), 400, "InvalidParameter", "must contain the location", ver + "publishingProfile.targetRegions"},
		{"3 duplicate regions", "version twice in a region", "PUT", fresh, version("," + regions("eastus", "East US")), 400, "InvalidParameter", "duplicates", ""},
		{"", "version unknown region", "PUT", fresh, version("," + regions("eastus", "atlantis")), 400, "LocationNotAvailableForResourceType", "atlantis", ""},
		{"3 out of range", "version replicas", "PUT", fresh, version(`,"publishingProfile":{"replicaCount":101}`), 400, "InvalidParameter", "between 1 and 100", ver + "publishingProfile.replicaCount"},
		{"3 out of range", "version regional replicas", "PUT", fresh, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","regionalReplicaCount":0}]}`), 400, "InvalidParameter", "between 1 and 100", ""},
		{"3 encryption unsupported", "version encryption", "PUT", fresh, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","encryption":{"osDiskImage":{"diskEncryptionSetId":"/x"}}}]}`), 400, "NotSupported", "customer's key", ""},
		{"3 exactly one", "version no source", "PUT", fresh, g(""), 400, "InvalidParameter", "Exactly one source", ""},
		{"3 exactly one", "version two sources", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q},"osDiskImage":{"source":{"id":%q}}}`, versionA, diskA)), 400, "InvalidParameter", "Exactly one source", ""},
		{"3 LinkedInvalidPropertyId", "version bad ID", "PUT", fresh, g(`"storageProfile":{"osDiskImage":{"source":{"id":"disk1"}}}`), 400, "LinkedInvalidPropertyId", "disk1", ""},
		{"", "version of a snapshot", "PUT", fresh, from("snapshots/s"), 404, "ResourceNotFound", "was not found in location", ""},
		{"3 source type", "version of a VNet", "PUT", fresh, from("availabilitySets/s"), 400, "InvalidParameter", "managed disk or a snapshot", ""},
		{"", "version of an image", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":"%s/providers/Microsoft.Compute/images/i"}}`, groupA)), 404, "ResourceNotFound", "was not found in location", ""},
		{"", "version of a VM", "PUT", fresh, g(`"storageProfile":{"source":{"virtualMachineId":"/x"}}`), 400, "LinkedInvalidPropertyId", "/x", ver + "storageProfile.source.virtualMachineId"},
		{"", "version of a VHD", "PUT", fresh, g(`"storageProfile":{"osDiskImage":{"source":{"uri":"https://x"}}}`), 400, "InvalidParameter", "'storageAccountId' is missing", ""},
		{"3 source not found", "version source missing", "PUT", fresh, from("disks/none"), 404, "ResourceNotFound", "was not found in location 'eastus'", ver + "storageProfile.osDiskImage.source.id"},
		{"3 source not found", "version source elsewhere", "PUT", fresh, from("disks/far"), 404, "ResourceNotFound", "same location", ""},
		{"", "version source not uploaded", "PUT", fresh, from("disks/half"), 409, "OperationNotAllowed", "ReadyToUpload", ""},
		{"3 OS type mismatch", "version OS type", "PUT", fresh, from("disks/windows"), 400, "InvalidParameter", "OS type 'Windows'", ""},
		{"3 GallerySourceResourceExceedsMaxSize", "version size", "PUT", fresh, from("disks/huge"), 400, "GallerySourceResourceExceedsMaxSize", "2048 GB", ""},
		{"3 duplicate LUN", "version LUN twice", "PUT", fresh, data(fmt.Sprintf(`{"lun":1,"source":{"id":"%[1]s/a"}},{"lun":1,"source":{"id":"%[1]s/b"}}`, groupA+"/providers/Microsoft.Compute/disks")), 400, "InvalidParameter", "more than once", ""},
		{"3 duplicate source", "version source twice", "PUT", fresh, data(fmt.Sprintf(`{"lun":1,"source":{"id":%q}}`, diskA)), 400, "InvalidParameter", "more than one disk", ""},
		{"3 PropertyChangeNotAllowed", "version source changed", "PUT", versionA, from("disks/data"), 409, "PropertyChangeNotAllowed", "galleryImageVersion.properties.storageProfile.osDiskImage.source.id", ver + "storageProfile.osDiskImage.source.id"},
		{"3 data disk change", "version data disk added", "PUT", versionA, data(fmt.Sprintf(`{"lun":1,"source":{"id":"%s/providers/Microsoft.Compute/disks/data"}}`, groupA)), 409, "PropertyChangeNotAllowed", "dataDiskImages", ""},
		{"", "version storage type changed", "PUT", versionA, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","storageAccountType":"premium_lrs"},{"name":"westus2"}]}`), 409, "PropertyChangeNotAllowed", "storageAccountType", ""},
		{"3 DeleteGalleryImageVersionBlockedBeforeEndOfLife", "version guarded", "DELETE", definitionA + "/versions/5.0.0", "", 409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", "end of life", ""},
		{"1 ParentResourceNotFound", "version without definition", "PUT", galleryA + "/images/none/versions/1.0.0", version(""), 404, "ParentResourceNotFound", "shop/none", ""},
		{"1 name conflict", "gallery elsewhere", "PUT", "/subscriptions/" + subA + "/resourceGroups/rg2" + compute + "galleries/Shop", g(""), 409, "Conflict", "must be unique within the subscription: it is taken by '" + galleryA + "'.", "galleryName"},
		{"", "gallery identity", "PUT", other, `{"location":"eastus","identity":{"type":"SystemAssigned"}}`, 400, "NotSupported", "managed identity", "identity"},
		{"", "gallery deleted twice", "DELETE", groupA + compute + "galleries/none2", "", 204, "", "", ""},
		{"", "gallery absent", "GET", groupA + compute + "galleries/none2", "", 404, "ResourceNotFound", "The Resource 'Microsoft.Compute/galleries/none2' under resource group 'rg' was not found.", ""},
		{"", "gallery PATCH absent", "PATCH", groupA + compute + "galleries/none2", `{"tags":{}}`, 404, "ResourceNotFound", "none2", ""},
		{"", "gallery without location", "PUT", groupA + compute + "galleries/none2", `{}`, 400, "LocationRequired", "location", ""},
		{"", "gallery not JSON", "PUT", groupA + compute + "galleries/none2", `{`, 400, "InvalidRequestContent", "position", ""},
		{"", "gallery grace", "PUT", other, g(`"softDeletePolicy":{"isSoftDeleteEnabled":true,"gracePeriodInDays":-1}`), 400, "InvalidParameter", "between 0 and 365", "gallery.properties.softDeletePolicy.gracePeriodInDays"},
		{"2 PropertyChangeNotAllowed", "definition eula changed", "PUT", definitionA, g(`"osType":"Linux","osState":"Generalized","identifier":{"publisher":"p","offer":"o","sku":"s"},"eula":"other"`), 409, "PropertyChangeNotAllowed", "eula", "galleryImage.properties.eula"},
		{"2 PropertyChangeNotAllowed", "definition state changed", "PATCH", definitionA, `{"properties":{"osState":"specialized"}}`, 409, "PropertyChangeNotAllowed", "Changing property 'galleryImage.properties.osState' is not allowed.", "galleryImage.properties.osState"},
		{"2 PropertyChangeNotAllowed", "definition generation changed", "PATCH", definitionA, `{"properties":{"hyperVGeneration":"V2"}}`, 409, "PropertyChangeNotAllowed", "hyperVGeneration", "galleryImage.properties.hyperVGeneration"},
		{"2 PropertyChangeNotAllowed", "definition features changed", "PATCH", definitionA, `{"properties":{"features":[{"name":"IsHibernateSupported","value":"True"}]}}`, 409, "PropertyChangeNotAllowed", "features", "galleryImage.properties.features"},
		{"", "definition secure V1", "PUT", galleryA + "/images/x", def(`,"features":[{"name":"SecurityType","value":"TrustedLaunch"}]`), 400, "InvalidParameter", "requires hyperVGeneration 'V2'", ""},
		{"", "definition feature twice", "PUT", galleryA + "/images/x", def(`,"features":[{"name":"A","value":"1"},{"name":"a","value":"2"}]`), 400, "InvalidParameter", "more than once", ""},
		{"", "definition feature from", "PUT", galleryA + "/images/x", def(`,"features":[{"name":"A","value":"1","startsAtVersion":"x"}]`), 400, "InvalidParameter", "Major.Minor.Patch", "galleryImage.properties.features.startsAtVersion"},
		{"3 out of range", "version LUN", "PUT", fresh, data(fmt.Sprintf(`{"lun":64,"source":{"id":%q}}`, snapA)), 400, "InvalidParameter", "between 0 and 63, inclusive", ver + "storageProfile.dataDiskImages.lun"},
		{"3 out of range", "version replicas together", "PUT", fresh, version(`,"publishingProfile":{"targetRegions":[{"name":"eastus","regionalReplicaCount":60},{"name":"westus2","regionalReplicaCount":30,"additionalReplicaSets":[{"regionalReplicaCount":11}]}]}`), 400, "InvalidParameter", "101 replicas", ""},
		{"3 source not found", "version of a version not replicated", "PUT", fresh, fmt.Sprintf(`{"location":"westeurope","properties":{"storageProfile":{"source":{"id":%q}}}}`, versionA), 404, "ResourceNotFound", "must be replicated to the location", ver + "storageProfile.source.id"},
		{"3 source not found", "version of a blob missing", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"storageAccountId":%q,"uri":"https://acct.blob.core.windows.net/c/none"}}}`, acctA)), 404, "ResourceNotFound", "c/none", ver + "storageProfile.osDiskImage.source.uri"},
		{"3 source not found", "version of a community image missing", "PUT", fresh, g(`"storageProfile":{"source":{"communityGalleryImageId":"/CommunityGalleries/x/Images/y/Versions/1.0.0"}}`), 404, "GalleryImageNotFound", "/CommunityGalleries/x", ""},
		{"3 PropertyChangeNotAllowed", "version source changed to a VM", "PUT", versionA, g(fmt.Sprintf(`"storageProfile":{"source":{"virtualMachineId":%q}}`, vmA)), 409, "PropertyChangeNotAllowed", "storageProfile.source.virtualMachineId", ver + "storageProfile.source.virtualMachineId"},
		{"3 PropertyChangeNotAllowed", "version mode changed", "PATCH", shallowA, `{"properties":{"publishingProfile":{"replicationMode":"Full"}}}`, 409, "PropertyChangeNotAllowed", "replicationMode", ver + "publishingProfile.replicationMode"},
		{"3 PropertyChangeNotAllowed", "version keys changed", "PATCH", versionA, `{"properties":{"securityProfile":{"uefiSettings":{"signatureTemplateNames":["NoSignatureTemplate"]}}}}`, 409, "PropertyChangeNotAllowed", "uefiSettings", ver + "securityProfile.uefiSettings"},
		{"3 duplicate source", "version blob twice", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"storageAccountId":%[1]q,"uri":%[2]q}},"dataDiskImages":[{"lun":0,"source":{"id":%[1]q,"uri":%[2]q}}]}`, acctA, vhdURI)), 400, "InvalidParameter", "more than one disk", ""},
		{"3 LinkedInvalidPropertyId", "version community ID", "PUT", fresh, g(`"storageProfile":{"source":{"communityGalleryImageId":"x"}}`), 400, "LinkedInvalidPropertyId", "storageProfile.source.communityGalleryImageId", ""},
		{"3 source type", "version of a gallery", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q}}`, galleryA)), 400, "InvalidParameter", "a managed image, a virtual machine or a gallery image version", ver + "storageProfile.source.id"},
		{"3 source type", "version of a disk as a whole", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q}}`, diskA)), 400, "InvalidParameter", "a managed image, a virtual machine or a gallery image version", ""},
		{"3 source type", "version of a VM's ID that is none", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"virtualMachineId":%q}}`, diskA)), 400, "InvalidParameter", "must be a virtual machine", ver + "storageProfile.source.virtualMachineId"},
		{"3 source type", "version of an account without blob", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"id":%q}}}`, acctA)), 400, "InvalidParameter", "must be a managed disk or a snapshot", ""},
		{"3 source type", "version of a disk with a blob", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"id":%q,"uri":%q}}}`, diskA, vhdURI)), 400, "InvalidParameter", "must be a storage account", ""},
		{"3 exactly one", "version of a VM and an image", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q,"virtualMachineId":%q}}`, imageA, vmA)), 400, "InvalidParameter", "Exactly one source", ""},
		{"3 exactly one", "version of an image and data disks", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q},"dataDiskImages":[{"lun":0,"source":{"id":%q}}]}`, imageA, snapA)), 400, "InvalidParameter", "brings its own data disks", ""},
		{"", "version LUN that the source lacks", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"virtualMachineId":%q},"dataDiskImages":[{"lun":9,"hostCaching":"None"}]}`, vmA)), 400, "InvalidParameter", "no data disk at LUN '9'", ver + "storageProfile.dataDiskImages.lun"},
		{"3 OS state mismatch", "version of a specialized VM", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"source":{"virtualMachineId":%q}}`, vmA+"special")), 400, "InvalidParameter", "The OS state 'Specialized' of the source", ver + "storageProfile.source.virtualMachineId"},
		{"3 generation mismatch", "version of V2", "PUT", fresh, from("disks/generation2"), 400, "InvalidParameter", "hypervisor generation 'V2'", ver + "storageProfile.osDiskImage.source.id"},
		{"", "version of Arm64", "PUT", fresh, g(fmt.Sprintf(`"storageProfile":{"osDiskImage":{"source":{"id":%q}}}`, snapA+"arm")), 400, "InvalidParameter", "architecture 'Arm64'", ""},
		{"3 TrustedLaunchSupported", "version of a VM for trusted launch", "PUT", galleryA + "/images/trusted/versions/1.0.0", g(fmt.Sprintf(`"storageProfile":{"source":{"virtualMachineId":%q}}`, vmA)), 400, "InvalidParameter", "Only a VHD blob, a managed image and a gallery image version", ver + "storageProfile.source.virtualMachineId"},
		{"3 Confidential VM", "version of an image for confidential machines", "PUT", galleryA + "/images/confidential/versions/1.0.0", g(fmt.Sprintf(`"storageProfile":{"source":{"id":%q}}`, imageA)), 400, "InvalidParameter", "Confidential VM is not supported for the source id", ver + "storageProfile.source.id"},
		{"3 region removal", "version region dropped", "PUT", versionA, version("," + regions("eastus")), 409, "OperationNotAllowed", "allowDeletionOfReplicatedLocations", ver + "publishingProfile.targetRegions"},
		{"3 own location", "version own region dropped", "PATCH", versionA, `{"properties":{"publishingProfile":{"targetRegions":[{"name":"westus2"}]}}}`, 400, "InvalidParameter", "must contain the location", ""},
		{"", "version shallow in two regions", "PUT", fresh, version(`,"publishingProfile":{"replicationMode":"Shallow","targetRegions":[{"name":"eastus"},{"name":"westus2"}]}`), 400, "InvalidParameter", "'Shallow'", ver + "publishingProfile.replicationMode"},
		{"", "version strategy and type", "PUT", fresh, version(`,"publishingProfile":{"storageAccountType":"Standard_LRS","storageAccountStrategy":"PreferStandard_ZRS"}`), 400, "InvalidParameter", "must not be given both", ""},
		{"", "version edge zone", "PUT", fresh, version(`,"publishingProfile":{"targetExtendedLocations":[{"name":"x"}]}`), 400, "NotSupported", "edge zone", ""},
		{"", "version keys", "PUT", fresh, version(`,"securityProfile":{"uefiSettings":{"signatureTemplateNames":["Mine"]}}`), 400, "InvalidParameter", "MicrosoftWindowsTemplate", ver + "securityProfile.uefiSettings.signatureTemplateNames"},
		{"", "version key not base64", "PUT", fresh, version(`,"securityProfile":{"uefiSettings":{"additionalSignatures":{"pk":{"type":"x509","value":["%%"]}}}}`), 400, "InvalidParameter", "base64", ""},
		{"", "version end of life past", "PUT", fresh, version(fmt.Sprintf(`,"publishingProfile":{"endOfLifeDate":%q}`, past)), 400, "InvalidParameter", "later than", ver + "publishingProfile.endOfLifeDate"},
		{"1 ParentResourceNotFound", "application without gallery", "PUT", groupA + compute + "galleries/none/applications/a", app, 404, "ParentResourceNotFound", "none", ""},
		{"1 ParentResourceNotFound", "application version without application", "PUT", galleryA + "/applications/none/versions/1.0.0", appVersion(zipURI, "", ""), 404, "ParentResourceNotFound", "shop/none", ""},
		{"2 entity name", "application name", "PUT", galleryA + "/applications/x-", app, 400, "InvalidParameter", "validation rule", "galleryApplicationName"},
		{"2 required", "application incomplete", "PUT", appA + "2", `{"location":"eastus"}`, 400, "InvalidParameter", "Required parameter 'supportedOSType' is missing", "galleryApplication.properties.supportedOSType"},
		{"", "application OS", "PUT", appA + "2", g(`"supportedOSType":"BeOS"`), 400, "InvalidParameter", "Linux", "galleryApplication.properties.supportedOSType"},
		{"2 PropertyChangeNotAllowed", "application OS changed", "PUT", appA, g(`"supportedOSType":"Windows"`), 409, "PropertyChangeNotAllowed", "Changing property 'galleryApplication.properties.supportedOSType' is not allowed.", "galleryApplication.properties.supportedOSType"},
		{"2 date", "application date", "PUT", appA, g(`"supportedOSType":"Linux","endOfLifeDate":"soon"`), 400, "InvalidParameter", "DateTimeOffset", "galleryApplication.properties.endOfLifeDate"},
		{"2 end of life", "application past", "PUT", appA, g(fmt.Sprintf(`"supportedOSType":"Linux","endOfLifeDate":%q`, past)), 400, "InvalidParameter", "later than", "galleryApplication.properties.endOfLifeDate"},
		{"", "application actions twice", "PUT", appA, g(`"supportedOSType":"Linux","customActions":[{"name":"a","script":"s"},{"name":"A","script":"s"}]`), 400, "InvalidParameter", "more than once", "galleryApplication.properties.customActions[1].name"},
		{"", "application action parameter", "PUT", appA, g(`"supportedOSType":"Linux","customActions":[{"name":"a","script":"s","parameters":[{"name":"p","type":"LogOutputBlob","defaultValue":"x"}]}]`), 400, "InvalidParameter", "type 'String'", "galleryApplication.properties.customActions[0].parameters[0].defaultValue"},
		{"1 InvalidResourceLocation", "application moved", "PUT", appA, `{"location":"westus","properties":{"supportedOSType":"Linux"}}`, 409, "InvalidResourceLocation", "already exists in location", ""},
		{"1 CannotDeleteResource", "application not empty", "DELETE", appA, "", 409, "CannotDeleteResource", appVerA, ""},
		{"4 app version format", "application version name", "PUT", appA + "/versions/1.0", appVersion(zipURI, "", ""), 400, "InvalidParameter", "Major(int32).Minor(int32).Patch(int32)", "galleryApplicationVersionName"},
		{"2 required", "application version empty", "PUT", freshApp, `{"location":"eastus"}`, 400, "InvalidParameter", "'publishingProfile' is missing", "galleryApplicationVersion.properties.publishingProfile"},
		{"2 required", "application version patched empty", "PATCH", appVerA, `{"properties":{"publishingProfile":null}}`, 400, "InvalidParameter", "'publishingProfile' is missing", ""},
		{"2 required", "application version patched without source", "PATCH", appVerA, `{"properties":{"publishingProfile":{"source":null}}}`, 400, "InvalidParameter", "'source' is missing", onApp + "source"},
		{"2 required", "application version without commands", "PUT", freshApp, g(`"publishingProfile":{"source":{"mediaLink":"` + zipURI + `"}}`), 400, "InvalidParameter", "'manageActions' is missing", onApp + "manageActions"},
		{"2 required", "application version without a command", "PUT", appVerA, g(`"publishingProfile":{"source":{"mediaLink":"` + zipURI + `"},"manageActions":{"install":"i"}}`), 400, "InvalidParameter", "'remove' is missing", onApp + "manageActions.remove"},
		{"4 app entity name", "application version named otherwise", "PUT", freshApp, strings.Replace(appVersion(zipURI, "", ""), "{", `{"name":"1.2.3",`, 1), 400, "InvalidParameter", "doesn't match the name in the request URL", "name"},
		{"4 app SAS", "application version SAS", "PUT", freshApp, appVersion(zipURI+"?sig=bad", "", ""), 400, "InvalidParameter", "The SAS is not valid for source uri", onApp + "source.mediaLink"},
		{"4 app SAS", "application version configuration SAS", "PUT", freshApp, strings.Replace(appVersion(zipURI, "", ""), `"mediaLink"`, `"defaultConfigurationLink":"`+confURI+`?sig=bad","mediaLink"`, 1), 400, "InvalidParameter", "The SAS is not valid", onApp + "source.defaultConfigurationLink"},
		{"4 app blob missing", "application version blob missing", "PUT", freshApp, appVersion(zipURI+"-none", "", ""), 400, "InvalidParameter", "does not exist", onApp + "source.mediaLink"},
		{"4 app blob empty", "application version blob empty", "PUT", freshApp, appVersion(emptyURI, "", ""), 400, "InvalidParameter", "is empty", onApp + "source.mediaLink"},
		{"4 app blob too large", "application version blob too large", "PUT", freshApp, appVersion(bigURI, "", ""), 400, "InvalidParameter", "size = '2147483649'. The maximum blob size allowed is '2 GB'", onApp + "source.mediaLink"},
		{"4 app blob too large", "application version configuration too large", "PUT", freshApp, strings.Replace(appVersion(zipURI, "", ""), `"mediaLink"`, `"defaultConfigurationLink":"`+bigURI+`","mediaLink"`, 1), 400, "InvalidParameter", "'1 GB'", onApp + "source.defaultConfigurationLink"},
		{"", "application version from elsewhere", "PUT", freshApp, appVersion("https://169.254.169.254/metadata", "", ""), 400, "InvalidParameter", "no storage account of this installation", onApp + "source.mediaLink"},
		{"", "application version from nowhere", "PUT", freshApp, appVersion("package.zip", "", ""), 400, "InvalidParameter", "must be an absolute uri", onApp + "source.mediaLink"},
		{"", "application version of an unknown account", "PUT", freshApp, appVersion("https://none.blob.core.windows.net/c/b", "", ""), 400, "InvalidParameter", "remote name not found", onApp + "source.mediaLink"},
		{"", "application version of a snapshot", "PUT", freshApp, appVersion(zipURI+"?snapshot=2020-01-01T00:00:00Z&sig=good", "", ""), 400, "NotSupported", "A snapshot", onApp + "source.mediaLink"},
		{"4 app replicas", "application version replicas", "PUT", freshApp, appVersion(zipURI, `,"replicaCount":11`, ""), 400, "InvalidParameter", "The value '11' of parameter 'galleryApplicationVersion.properties.publishingProfile.replicaCount' is out of range. The value must be between 1 and 10, inclusive.", onApp + "replicaCount"},
		{"4 app encryption", "application version encryption", "PUT", freshApp, appVersion(zipURI, `,"targetRegions":[{"name":"eastus","encryption":{"osDiskImage":{"diskEncryptionSetId":"/x"}}}]`, ""), 400, "InvalidParameter", "currently do not support encryption", onApp + "targetRegions[0].encryption"},
		{"4 app PropertyChangeNotAllowed", "application version install changed", "PATCH", appVerA, `{"properties":{"publishingProfile":{"manageActions":{"install":"I"}}}}`, 409, "PropertyChangeNotAllowed", "Changing property 'galleryApplicationVersion.properties.publishingProfile.manageActions.install' is not allowed.", onApp + "manageActions.install"},
		{"4 app PropertyChangeNotAllowed", "application version settings changed", "PATCH", appVerA, `{"properties":{"publishingProfile":{"settings":{"packageFileName":"x"}}}}`, 409, "PropertyChangeNotAllowed", "settings.packageFileName", onApp + "settings.packageFileName"},
		{"4 app PropertyChangeNotAllowed", "application version source changed", "PATCH", appVerA, `{"properties":{"publishingProfile":{"source":{"mediaLink":"` + confURI + `"}}}}`, 409, "PropertyChangeNotAllowed", "source.mediaLink", onApp + "source.mediaLink"},
		{"4 app PropertyChangeNotAllowed", "application version configuration added", "PATCH", appVerA, `{"properties":{"publishingProfile":{"source":{"defaultConfigurationLink":"` + confURI + `"}}}}`, 409, "PropertyChangeNotAllowed", "source.defaultConfigurationLink", onApp + "source.defaultConfigurationLink"},
		{"", "application version storage type changed", "PATCH", appVerA, `{"properties":{"publishingProfile":{"storageAccountType":"Premium_LRS"}}}`, 409, "PropertyChangeNotAllowed", "storageAccountType", onApp + "storageAccountType"},
		{"", "application version regional storage type changed", "PATCH", appVerA, `{"properties":{"publishingProfile":{"targetRegions":[{"name":"eastus","storageAccountType":"Premium_LRS"}]}}}`, 409, "PropertyChangeNotAllowed", "targetRegions.storageAccountType", ""},
		{"3 own location", "application version own location", "PUT", freshApp, appVersion(zipURI, `,"targetRegions":[{"name":"westus2"}]`, ""), 400, "InvalidParameter", "must contain the location of image version 'East US'", onApp + "targetRegions"},
		{"3 duplicate regions", "application version twice in a region", "PUT", freshApp, appVersion(zipURI, `,"targetRegions":[{"name":"eastus"},{"name":"East US"}]`, ""), 400, "InvalidParameter", "Duplicate regions are not allowed", ""},
		{"", "application version edge zone", "PUT", freshApp, appVersion(zipURI, `,"targetExtendedLocations":[{"name":"x"}]`, ""), 400, "NotSupported", "edge zone", ""},
		{"", "application version replica sets", "PUT", freshApp, appVersion(zipURI, `,"targetRegions":[{"name":"eastus","additionalReplicaSets":[{"regionalReplicaCount":1}]}]`, ""), 400, "NotSupported", "additional replica set", ""},
		{"", "application version shallow in two regions", "PUT", freshApp, appVersion(zipURI, `,"replicationMode":"Shallow","targetRegions":[{"name":"eastus"},{"name":"westus2"}]`, ""), 400, "InvalidParameter", "'Shallow'", onApp + "replicationMode"},
		{"", "application version strategy and type", "PUT", freshApp, appVersion(zipURI, `,"storageAccountType":"Standard_LRS","storageAccountStrategy":"PreferStandard_ZRS"`, ""), 400, "InvalidParameter", "must not be given both", ""},
		{"", "application version end of life past", "PUT", freshApp, appVersion(zipURI, fmt.Sprintf(`,"endOfLifeDate":%q`, past), ""), 400, "InvalidParameter", "later than", onApp + "endOfLifeDate"},
		{"", "usages nowhere", "GET", "/subscriptions/" + subA + "/providers/Microsoft.Compute/locations/atlantis/usages", "", 400, "InvalidParameter", "atlantis", "location"},
	} {
		t.Run(row.name, func(t *testing.T) {
			sub := *w
			sub.T = t
			r, err := sub.do(inA, row.method, row.path, row.body)
			if row.status < 300 {
				if err != nil || r.Status != row.status {
					t.Fatal(r, err)
				}
				return
			}
			sub.refuse(err, row.status, row.code, row.part, row.target)
			seen[row.documented] = true
		})
	}
	w.pinned("westus2", 2) // the disk there and the version: what was refused has left nothing
	tell(t, seen)
}

// tell prints how many of the errors that apply have a row here or a test of their own.
func tell(t *testing.T, seen map[string]bool) {
	covered, apply := 0, 0
	for _, e := range documented {
		switch {
		case e.omitted != "":
			t.Logf("not applicable: %s: %s", e.name, e.omitted)
			continue
		case !seen[e.name] && e.test == "":
			t.Errorf("no row for %s", e.name)
		default:
			covered++
		}
		apply++
	}
	t.Logf("errors of galleries, definitions, versions and applications: %d of %d that apply are covered; %d of the reference do not apply", covered, apply, len(documented)-apply)
}

// documented are the rows of the reference's sections 1 to 5 that speak of galleries. A row is covered by TestErrors, or by the
// test that is named, or does not apply.
var documented = []struct{ name, test, omitted string }{
	{"1 name, symbols", "", ""}, {"1 name, ends", "", ""}, {"1 LocationNotAvailableForResourceType", "", ""}, {"1 CannotDeleteResource", "", ""},
	{"1 name conflict", "", ""}, {"1 InvalidResourceLocation", "", ""}, {"1 ParentResourceNotFound", "", ""},
	{"1 sharing caps", "TestSharingErrors", ""}, {"1 sharing not permitted", "TestSharingRights", ""},
	{"1 delete of a public gallery", "TestSharingErrors", ""}, {"1 feature not registered", "", "there are no preview gates"},
	{"2 PropertyChangeNotAllowed", "", ""}, {"2 entity name", "", ""}, {"2 asset name", "", ""}, {"2 required", "", ""}, {"2 date", "", ""},
	{"2 end of life", "", ""}, {"2 number", "", ""}, {"2 range", "", ""}, {"2 triplet", "", ""},
	{"2 storage type unsupported", "", "every region has every kind of storage"}, {"2 cannot bind", "", "PowerShell's own"},
	{"3 own location", "", ""}, {"3 out of range", "", ""}, {"3 name format", "", ""}, {"3 duplicate regions", "", ""}, {"3 source not found", "", ""},
	{"3 PropertyChangeNotAllowed", "", ""}, {"3 data disk change", "", ""}, {"3 duplicate LUN", "", ""}, {"3 duplicate source", "", ""},
	{"3 LinkedInvalidPropertyId", "", ""}, {"3 source type", "", ""}, {"3 exactly one", "", ""}, {"3 OS state mismatch", "", ""},
	{"3 generation mismatch", "", ""}, {"3 OS type mismatch", "", ""},
	{"3 ephemeral OS disk", "", "machines have no ephemeral disks"}, {"3 UltraSSD", "", "what a disk is refused for is the disk's provider's"},
	{"3 too many requests on source", "", "captures of one source do not disturb one another"}, {"3 GallerySourceResourceExceedsMaxSize", "", ""},
	{"3 encrypted source elsewhere", "", "no encryption with a customer's key"}, {"3 DES elsewhere", "", "no encryption with a customer's key"},
	{"3 DES not found", "", "no encryption with a customer's key"}, {"3 DES ID", "", "no encryption with a customer's key"},
	{"3 DES in some regions", "", "no encryption with a customer's key"}, {"3 encryption change", "", "no encryption with a customer's key"},
	{"3 LUN in encryption", "", "no encryption with a customer's key"}, {"3 encryption unsupported", "", ""},
	{"3 TrustedLaunchSupported", "", ""}, {"3 Confidential VM", "", ""}, {"3 marked for deletion", "TestMarkedForDeletion", ""},
	{"3 DeleteGalleryImageVersionBlockedBeforeEndOfLife", "", ""}, {"3 region removal", "", ""}, {"3 replication failed", "TestRegionFails", ""},
	{"3 replication internal", "TestSourceReadAgain", ""}, {"3 QuotaExceeded", "TestLimits", ""}, {"3 soft-deleted name", "TestSoftDelete", ""},
	{"4 GalleryImageNotFound", "TestResolve", ""}, {"4 no latest version", "TestResolve", ""}, {"4 disk: LUN", "TestDataDisks", ""},
	{"4 app deprecated or missing", "", "machines run no applications: applicationProfile is refused by name"}, {"4 app OS differs", "", "machines run no applications"},
	{"4 app count", "", "machines run no applications"}, {"4 app twice", "", "machines run no applications"}, {"4 app not authorized", "", "machines run no applications"},
	{"4 app SAS", "", ""}, {"4 app blob missing", "", ""}, {"4 app blob empty", "", ""}, {"4 app blob too large", "", ""}, {"4 app replicas", "", ""},
	{"4 app PropertyChangeNotAllowed", "", ""}, {"4 app region feature", "", "there are no preview gates"}, {"4 app encryption", "", ""},
	{"4 app entity name", "", ""}, {"4 app version format", "", ""},
	{"5 LinkedAuthorizationFailed A", "TestSourcesAcrossTenants", ""}, {"5 LinkedAuthorizationFailed B", "TestSourcesAcrossTenants", ""},
}

// Every fault of a body is told in one answer.
func TestEveryFault(t *testing.T) {
	w := newWorld(t)
	w.shop()
	_, err := w.do(inA, "PUT", versionA, version(`,"publishingProfile":{"replicaCount":0,"endOfLifeDate":"soon","targetRegions":[{"name":"atlantis"},{"name":"eastus","regionalReplicaCount":101}]}`))
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || len(e.Details) != 4 {
		t.Fatalf("%+v", err)
	}
	for i, at := range []string{"endOfLifeDate", "replicaCount", "targetRegions.name", "targetRegions.regionalReplicaCount"} {
		if e.Details[i].Target != "galleryImageVersion.properties.publishingProfile."+at {
			t.Errorf("%d: %s", i, e.Details[i].Target)
		}
	}
}

// So is everything that is wrong with a version's sources: what is missing, elsewhere, too large or does not fit.
func TestEverySourceFault(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.upload(inA, groupA+compute+"disks/odd", "eastus", noise(8192, "o"), `,"osType":"Windows","hyperVGeneration":"V2"`)
	w.upload(inA, groupA+compute+"disks/far", "westus2", noise(8192, "f"), "")
	w.done(inA, "PUT", groupA+compute+"disks/huge", `{"location":"eastus","properties":{"diskSizeGB":4096,"creationData":{"createOption":"Empty"}}}`)
	disk := func(name string) string {
		return fmt.Sprintf(`{"id":"%s/providers/Microsoft.Compute/disks/%s"}`, groupA, name)
	}
	body := fmt.Sprintf(`{"location":"eastus","properties":{"storageProfile":{"osDiskImage":{"source":%s},"dataDiskImages":[{"lun":0,"source":%s},{"lun":1,"source":%s},{"lun":2,"source":%s}]}}}`,
		disk("odd"), disk("none"), disk("far"), disk("huge"))
	_, err := w.do(inA, "PUT", versionA, body)
	e, ok := errors.AsType[*arm.Error](err)
	if !ok || e.Status != 400 || len(e.Details) != 5 {
		t.Fatalf("%+v", err)
	}
	for i, part := range []string{"OS type 'Windows'", "hypervisor generation 'V2'", "disks/none' was not found", "disks/far' was not found", "4096 GB"} {
		if !strings.Contains(e.Details[i].Message, part) {
			t.Errorf("%d: %s, want %s", i, e.Details[i].Message, part)
		}
	}
	w.absentVersion(versionA)
}

// What is being deleted takes no update.
func TestMarkedForDeletion(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.done(inA, "PUT", versionA, version(""))
	w.pause()
	d, err := w.do(inA, "DELETE", versionA, "")
	w.must(err)
	_, err = w.do(inA, "PUT", versionA, version(`,"publishingProfile":{"replicaCount":2}`))
	w.refuse(err, 409, "Conflict", "marked for deletion", "")
	if got := at(w.get(inA, versionA), "properties.provisioningState"); got != "Deleting" {
		t.Error(got)
	}
	w.start()
	w.wait(d)
}

// pause ends the engine: operations wait.
func (w *world) pause() {
	w.stop()
	w.group.Wait()
}

// The limits hold per subscription and region, and usages tells how near they are.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.shop()
	l := &w.galleries.Limits
	l.Galleries, l.Definitions, l.Versions = 1, 1, 1
	other := groupA + compute + "galleries/other"
	_, err := w.do(inA, "PUT", other, `{"location":"eastus"}`)
	w.refuse(err, 409, "QuotaExceeded", "'Microsoft.Compute/galleries' in the subscription '"+subA+"' and the region 'eastus' has reached the limit: 1 of 1", "")
	w.done(inA, "PUT", other, `{"location":"westus2"}`)
	w.done(inB, "PUT", groupB+compute+"galleries/theirs", `{"location":"eastus"}`)
	two := strings.Replace(definition, `"sku":"s"`, `"sku":"t"`, 1)
	_, err = w.do(inA, "PUT", galleryA+"/images/two", two)
	w.refuse(err, 409, "QuotaExceeded", "galleries/images'", "")
	w.done(inA, "PUT", definitionA, definition) // an update needs no room
	w.done(inA, "PUT", versionA, version(""))
	_, err = w.do(inA, "PUT", definitionA+"/versions/2.0.0", version(""))
	w.refuse(err, 409, "QuotaExceeded", "galleries/images/versions'", "")
	usages := "/subscriptions/" + subA + "/providers/Microsoft.Compute/locations/East US/usages"
	r, err := w.do(inA, "GET", usages, "")
	w.must(err)
	for _, part := range []string{`{"unit":"Count","currentValue":1,"limit":1,"name":{"value":"Galleries","localizedValue":"Galleries"}}`, `"currentValue":1,"limit":1,"name":{"value":"GalleryImageVersions"`} {
		if !strings.Contains(string(r.Body), part) {
			t.Errorf("no %s in %s", part, r.Body)
		}
	}
	_, err = w.do(inB, "GET", usages, "")
	w.refuse(err, 401, "InvalidAuthenticationTokenTenant", "", "")
	w.update(func(tx store.Tx) error {
		return tx.Delete("/subscriptions/"+subA+"/assignment/"+inA.Primary.ObjectID, 0)
	})
	_, err = w.do(inA, "GET", usages, "")
	w.refuse(err, 403, "AuthorizationFailed", "Microsoft.Compute/locations/usages/read", "")
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
