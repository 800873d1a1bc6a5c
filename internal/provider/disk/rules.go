package disk

import (
	"regexp"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
)

const (
	gib       = 1 << 30
	footer    = 512   // bytes of a fixed VHD after the disk's own
	maxSizeGB = 65536 // the largest managed disk, an Ultra Disk
)

var (
	names = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)
	skus  = []string{"Standard_LRS", "Premium_LRS", "StandardSSD_LRS", "UltraSSD_LRS", "Premium_ZRS", "StandardSSD_ZRS", "PremiumV2_LRS"}
)

func name(n string) *arm.Error {
	if names.MatchString(n) {
		return nil
	}
	return arm.Errorf(400, "InvalidParameter",
		"The entity name 'name' is invalid according to its validation rule: %s.", "^[^_\\W][\\w-._]{0,79}(?<![-.])$").At("name")
}

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
	add(checkSKU(r.SKU))
	if p.DiskSizeGB < 0 || p.DiskSizeGB > maxSizeGB {
		add(invalid("diskSizeGB", "The value of parameter diskSizeGB is out of range: '%d'. The value must be between 1 and %d, inclusive.", p.DiskSizeGB, maxSizeGB))
	}
	if p.MaxShares > 1 {
		add(unsupported("maxShares", "A shared disk (maxShares greater than 1)"))
	}
	if e := p.Encryption; e != nil && (e.SetID != "" || e.Type != "" && e.Type != "EncryptionAtRestWithPlatformKey") {
		add(unsupported("encryption", "Encryption with a customer's key (disk encryption sets)"))
	}
	if p.NetworkAccessPolicy == "AllowPrivate" {
		add(unsupported("networkAccessPolicy", "The network access policy 'AllowPrivate' (disk access resources)"))
	}
	if p.CreationData == nil || p.CreationData.CreateOption == "" { // the decoder misses it when 'properties' is missing
		return append(faults, invalid("creationData.createOption", "Required parameter 'creationData' is missing (null)."))
	}
	return append(faults, checkCreation(p)...)
}

func checkSKU(s *control.SKU) *arm.Error {
	if s == nil || s.Name == "" {
		return nil
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
func checkCreation(p *Properties) []*arm.Error {
	c := p.CreationData
	var faults []*arm.Error
	need := func(present bool, what string) {
		if !present {
			faults = append(faults, invalid("creationData."+what, "Required parameter 'creationData.%s' is missing (null) for createOption '%s'.", what, c.CreateOption))
		}
	}
	switch c.CreateOption {
	case "Empty":
		if p.DiskSizeGB == 0 {
			faults = append(faults, invalid("diskSizeGB", "Required parameter 'diskSizeGB' is missing (null)."))
		}
	case "Upload":
		faults = append(faults, checkUpload(p)...)
	case "FromImage":
		if c.ImageReference != nil {
			return append(faults, unsupported("creationData.imageReference", "A marketplace image as the source of a disk"))
		}
		if need(c.GalleryImageReference != nil, "galleryImageReference"); c.GalleryImageReference != nil {
			faults = append(faults, checkReference(c.GalleryImageReference)...)
		}
	case "Copy":
		if need(c.SourceResourceID != "", "sourceResourceId"); c.SourceResourceID != "" {
			faults = append(faults, checkSource(c.SourceResourceID)...)
		}
	default:
		faults = append(faults, unsupported("creationData.createOption", "The createOption '"+c.CreateOption+"' of a disk"))
	}
	return faults
}

// checkUpload: Azure wants at least 20 MiB; a smaller disk does no harm here. Its upper limit is 32 TiB and the footer.
func checkUpload(p *Properties) []*arm.Error {
	const least, most = 512 + footer, 32<<40 + footer
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
	if err != nil || !strings.EqualFold(id.Type(), want) {
		return []*arm.Error{badID(r.ID, "properties.creationData.galleryImageReference.id")}
	}
	return nil
}

func checkSource(text string) []*arm.Error {
	const path = "properties.creationData.sourceResourceId"
	id, err := arm.ParseID(text)
	switch {
	case err != nil || id.Namespace == "":
		return []*arm.Error{badID(text, path)}
	case strings.EqualFold(id.Type(), "Microsoft.Compute/snapshots"):
		return []*arm.Error{unsupported("creationData.sourceResourceId", "A snapshot as the source of a disk")}
	case !strings.EqualFold(id.Type(), Type):
		return []*arm.Error{invalid("creationData.sourceResourceId", "The source '%s' of createOption 'Copy' must be a disk.", text)}
	}
	return nil
}

// badID words ARM's error for an ID that is none (errors.md 3).
func badID(id, path string) *arm.Error {
	return arm.Errorf(400, "LinkedInvalidPropertyId",
		"Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", id, path).At(path)
}

// links are what a new disk leans on: the image version or the disk that it copies.
func links(old, next *resource) []rbac.Link {
	c := next.Properties.CreationData
	if old != nil || c == nil {
		return nil
	}
	text, action := c.SourceResourceID, "Microsoft.Compute/disks/beginGetAccess/action"
	if c.CreateOption == "FromImage" {
		text, action = c.GalleryImageReference.ID, "Microsoft.Compute/galleries/images/versions/read"
	}
	id, err := arm.ParseID(text)
	if err != nil || c.CreateOption != "FromImage" && c.CreateOption != "Copy" {
		return nil
	}
	return []rbac.Link{{ID: id, Action: action}}
}
