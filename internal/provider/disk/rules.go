package disk

import (
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/provider/source"
	"vitrine/internal/rbac"
)

const (
	gib         = 1 << 30
	footer      = 512 // bytes of a fixed VHD after the disk's own
	accountType = "Microsoft.Storage/storageAccounts"
	pointType   = "Microsoft.Compute/restorePointCollections/restorePoints/diskRestorePoints"
	maxSizeGB   = 65536 // the largest managed disk, an Ultra Disk
)

var (
	skus = []string{"Standard_LRS", "Premium_LRS", "StandardSSD_LRS", "UltraSSD_LRS", "Premium_ZRS", "StandardSSD_ZRS", "PremiumV2_LRS"}

	snapshotSKUs = []string{"Standard_LRS", "Premium_LRS", "Standard_ZRS"}
)

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

func unsupported(target, what string) *arm.Error {
	return arm.Errorf(400, "NotSupported", "%s is not supported by this installation yet.", what).At(target)
}

func validate(r *resource) []*arm.Error {
	var faults []*arm.Error
	add := func(f *arm.Error) {
		if f != nil {
			faults = append(faults, f)
		}
	}
	p := &r.Properties
	add(checkSKU(r))
	if p.DiskSizeGB < 0 || p.DiskSizeGB > maxSizeGB {
		add(invalid("diskSizeGB", "The value of parameter diskSizeGB is out of range: '%d'. The value must be between 1 and %d, inclusive.", p.DiskSizeGB, maxSizeGB))
	}
	if p.MaxShares > 1 {
		add(unsupported("maxShares", "A shared disk (maxShares greater than 1)"))
	}
	faults = append(faults, checkSecurity(r)...)
	if e := p.Encryption; e != nil && (e.SetID != "" || e.Type != "" && e.Type != "EncryptionAtRestWithPlatformKey") {
		add(unsupported("encryption", "Encryption with a customer's key (disk encryption sets)"))
	}
	if p.NetworkAccessPolicy == "AllowPrivate" {
		add(unsupported("networkAccessPolicy", "The network access policy 'AllowPrivate' (disk access resources)"))
	}
	if p.CreationData == nil || p.CreationData.CreateOption == "" { // the decoder misses it when 'properties' is missing
		return append(faults, invalid("creationData.createOption", "Required parameter 'creationData' is missing (null)."))
	}
	return append(faults, checkCreation(r)...)
}

// checkSecurity refuses by name what would promise more than there is. A disk for trusted launch is an ordinary one: the machine's
// firmware makes the difference.
func checkSecurity(r *resource) (faults []*arm.Error) {
	p := &r.Properties
	if s := p.Security; s != nil && (s.SetID != "" || s.Type != "" && !strings.EqualFold(s.Type, "TrustedLaunch") && !strings.EqualFold(s.Type, "Standard")) {
		faults = append(faults, unsupported("securityProfile", fmt.Sprintf("The security type '%.80s' of a %s", s.Type, noun(r))))
	}
	if p.AuthMode == "AzureActiveDirectory" {
		faults = append(faults, unsupported("dataAccessAuthMode", "The data access mode 'AzureActiveDirectory'"))
	}
	if p.AccessID != "" {
		faults = append(faults, unsupported("diskAccessId", "A disk access resource"))
	}
	for name, raw := range p.Unknown {
		var e struct{ Enabled bool }
		if strings.EqualFold(name, "encryptionSettingsCollection") && (json.Unmarshal(raw, &e) != nil || e.Enabled) {
			faults = append(faults, unsupported("encryptionSettingsCollection", "Encryption within the guest (Azure Disk Encryption)"))
		}
	}
	return faults
}

func checkSKU(r *resource) *arm.Error {
	s, skus := r.SKU, skus
	if s == nil || s.Name == "" {
		return nil
	}
	if noun(r) == "snapshot" {
		skus = snapshotSKUs
	}
	for _, known := range skus {
		if strings.EqualFold(known, s.Name) {
			s.Name = known
			return nil
		}
	}
	return invalid("sku.name", "The value '%.80s' of parameter 'sku.name' is not allowed. Allowed values are: %s.", s.Name, strings.Join(skus, ","))
}

// checkCreation holds the rules of each createOption; each wants its own source and refuses the others'.
func checkCreation(r *resource) []*arm.Error {
	p, c, snapshot := &r.Properties, r.Properties.CreationData, noun(r) == "snapshot"
	var faults []*arm.Error
	need := func(present bool, what string) {
		if !present {
			faults = append(faults, invalid("creationData."+what, "Required parameter 'creationData.%s' is missing (null) for createOption '%s'.", what, c.CreateOption))
		}
	}
	switch option := c.CreateOption; {
	case option == "FromImage" && snapshot, option == "CopyStart" && !snapshot:
		faults = append(faults, invalid("creationData.createOption", "The createOption '%s' is not allowed for a %s.", option, noun(r)))
	case option == "Empty":
		if p.DiskSizeGB == 0 {
			faults = append(faults, invalid("diskSizeGB", "Required parameter 'diskSizeGB' is missing (null)."))
		}
	case option == "Upload":
		faults = append(faults, checkUpload(p, snapshot)...)
	case option == "FromImage":
		if c.ImageReference != nil && p.UniqueID != "" {
			return nil // a machine's disk, from a managed image
		}
		if c.ImageReference != nil {
			return append(faults, unsupported("creationData.imageReference", "A marketplace image as the source of a disk"))
		}
		if need(c.GalleryImageReference != nil, "galleryImageReference"); c.GalleryImageReference != nil {
			faults = append(faults, checkReference(c.GalleryImageReference)...)
		}
	case option == "Import" && c.SecurityDataURI == "":
		need(c.SourceURI != "", "sourceUri")
		faults = append(faults, checkAccount(c.StorageAccountID)...)
	case option == "Copy" || option == "CopyStart" || option == "Restore" && !snapshot:
		if need(c.SourceResourceID != "", "sourceResourceId"); c.SourceResourceID != "" {
			faults = append(faults, checkSource(option, c.SourceResourceID)...)
		}
	default:
		faults = append(faults, unsupported("creationData.createOption", "The createOption '"+option+"' of a "+noun(r)))
	}
	return faults
}

// checkUpload: Azure wants at least 20 MiB; a smaller disk does no harm here. Its upper limit is 32 TiB and the footer.
func checkUpload(p *Properties, snapshot bool) []*arm.Error {
	const least, most = 512 + footer, 32<<40 + footer
	if c := p.CreationData; c.UploadSizeBytes == 0 && snapshot && p.DiskSizeGB > 0 && p.DiskSizeGB <= maxSizeGB/2 {
		c.UploadSizeBytes = int64(p.DiskSizeGB)*gib + footer // az snapshot create --for-upload has no option for it
	}
	size := p.CreationData.UploadSizeBytes
	if size < least || size > most || size%512 != 0 {
		return []*arm.Error{invalid("creationData.uploadSizeBytes",
			"The value of parameter creationData.uploadSizeBytes is invalid: '%d'. It must be a multiple of 512 between %d and %d, the VHD footer of 512 bytes included.", size, least, int64(most))}
	}
	if p.DiskSizeGB != 0 && int64(p.DiskSizeGB)*gib < size-footer {
		return []*arm.Error{invalid("diskSizeGB", "The disk size of %d GB is smaller than the upload of %d bytes.", p.DiskSizeGB, size)}
	}
	return nil
}

func checkReference(r *ImageReference) []*arm.Error {
	if r.foreign() != "" {
		return checkForeign(r)
	}
	id, err := arm.ParseID(r.ID)
	const want = "Microsoft.Compute/galleries/images/versions"
	switch {
	case err != nil || id.Namespace == "":
		return []*arm.Error{badID(r.ID, "properties.creationData.galleryImageReference.id")}
	case !strings.EqualFold(id.Type(), want): // a definition does not say which version, and a disk has no latest one
		return []*arm.Error{invalid("creationData.galleryImageReference.id",
			"The value '%.300s' of parameter 'galleryImageReference.id' is invalid. It must be the ID of a gallery image version.", r.ID)}
	}
	return nil
}

func checkSource(option, text string) []*arm.Error {
	const path = "properties.creationData.sourceResourceId"
	id, err := arm.ParseID(text)
	switch {
	case err != nil || id.Namespace == "":
		return []*arm.Error{badID(text, path)}
	case option == "Restore" && !strings.EqualFold(id.Type(), pointType):
		return []*arm.Error{invalid("creationData.sourceResourceId", "The source '%.300s' of a disk with createOption 'Restore' must be a disk restore point.", text)}
	case option == "Restore":
	case !strings.EqualFold(id.Type(), Type) && !strings.EqualFold(id.Type(), SnapshotType):
		return []*arm.Error{invalid("creationData.sourceResourceId", "The source '%s' of a copy must be a disk or a snapshot.", text)}
	}
	return nil
}

func checkAccount(text string) []*arm.Error {
	id, err := arm.ParseID(text)
	if text == "" || err == nil && strings.EqualFold(id.Type(), accountType) && id.Subscription != "" && id.ResourceGroup != "" {
		return nil
	}
	return []*arm.Error{badID(text, "properties.creationData.storageAccountId")}
}

// badID words ARM's error for an ID that is none (errors.md 3).
func badID(id, path string) *arm.Error {
	return arm.Errorf(400, "LinkedInvalidPropertyId",
		"Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", id, path).At(path)
}

// links are what a new disk leans on: the image version, what it copies, or the storage account that it says it imports from. Who
// copies gets to read the bytes.
func links(old, next *resource) []rbac.Link {
	c := next.Properties.CreationData
	if old != nil && !old.Properties.Pending || c == nil {
		return nil
	}
	text := c.SourceResourceID
	switch c.CreateOption {
	case "FromImage":
		text = c.GalleryImageReference.ID
	case "Copy", "CopyStart", "Restore":
	case "Import":
		text = c.StorageAccountID
	default:
		return nil
	}
	id, err := arm.ParseID(text)
	if err != nil {
		return nil
	}
	switch c.CreateOption {
	case "FromImage":
		return []rbac.Link{{ID: id, Action: "Microsoft.Compute/galleries/images/versions/read"}}
	case "Import":
		return []rbac.Link{{ID: id, Action: source.AccountRight}}
	}
	typ := Type
	for _, other := range []string{SnapshotType, pointType} {
		if strings.EqualFold(id.Type(), other) {
			typ = other
		}
	}
	return []rbac.Link{{ID: id, Action: typ + "/beginGetAccess/action"}}
}
