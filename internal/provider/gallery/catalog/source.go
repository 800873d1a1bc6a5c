package catalog

import (
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/rbac"
)

// The types that versions are made from.
const (
	DiskType     = "Microsoft.Compute/disks"
	SnapshotType = "Microsoft.Compute/snapshots"
	ImageType    = "Microsoft.Compute/images"
	MachineType  = "Microsoft.Compute/virtualMachines"
	AccountType  = "Microsoft.Storage/storageAccounts"
)

// needs are the permissions on sources (gallery.md 8).
var needs = map[string]string{
	strings.ToLower(DiskType):     DiskType + "/write",
	strings.ToLower(SnapshotType): SnapshotType + "/write",
	strings.ToLower(ImageType):    ImageType + "/read",
	strings.ToLower(MachineType):  MachineType + "/write",
	strings.ToLower(VersionType):  VersionType + "/read",
	strings.ToLower(AccountType):  AccountType + "/listKeys/action",
}

// Given tells whether it names anything.
func (s *Source) Given() bool {
	return s != nil && (s.ID != "" || s.VirtualMachine != "" || s.Community != "" || s.URI != "" || s.StorageAccount != "")
}

// IsBlob tells whether it names a VHD in a storage account.
func (s *Source) IsBlob() bool { return s.URI != "" || s.StorageAccount != "" }

// Account is the storage account of a VHD, in the form since 2022-03-03 or in the one before, where it stood in id.
func (s *Source) Account() string {
	if s.StorageAccount == "" {
		return s.ID
	}
	return s.StorageAccount
}

// Any is the ID that the source of a whole version gives, in whichever member.
func (s *Source) Any() string {
	switch {
	case s.VirtualMachine != "":
		return s.VirtualMachine
	case s.Community != "":
		return s.Community
	}
	return s.ID
}

// Member is the name of the member that Any gives.
func (s *Source) Member() string {
	switch {
	case s.VirtualMachine != "":
		return "virtualMachineId"
	case s.Community != "":
		return "communityGalleryImageId"
	}
	return "id"
}

// same compares what two sources name: the old and the new form of a VHD are the same.
func (s *Source) same(o *Source) bool {
	if s.IsBlob() || o.IsBlob() {
		return strings.EqualFold(s.Account(), o.Account()) && s.URI == o.URI
	}
	return strings.EqualFold(s.Any(), o.Any())
}

// IsForeign tells whether an ID is one of a shared or community gallery.
func IsForeign(id string) bool {
	low := strings.ToLower(id)
	return strings.HasPrefix(low, "/communitygalleries/") || strings.HasPrefix(low, "/sharedgalleries/")
}

// checkWhole wants the source of a whole version to be of a type that has one: exactly one member, well-formed.
func checkWhole(at string, s *Source) []*arm.Error {
	given := 0
	for _, id := range []string{s.ID, s.VirtualMachine, s.Community} {
		if id != "" {
			given++
		}
	}
	switch {
	case s.IsBlob():
		return []*arm.Error{Invalid(at+".uri", "A VHD is the source of a disk: give it as 'storageProfile.osDiskImage.source'.")}
	case given > 1:
		return []*arm.Error{Invalid(at, "Exactly one source must be specified: 'id', 'virtualMachineId' or 'communityGalleryImageId'.")}
	case s.Community != "" && !IsForeign(s.Community):
		return []*arm.Error{malformed(at+".communityGalleryImageId", s.Community)}
	case IsForeign(s.Any()):
		return nil
	case s.VirtualMachine != "":
		return checkID(at+".virtualMachineId", s.VirtualMachine, "a virtual machine", MachineType)
	}
	return checkID(at+".id", s.ID, "a managed image, a virtual machine or a gallery image version", ImageType, MachineType, VersionType)
}

const maxURI = 2048

// checkDisk wants the source of one disk to be a disk, a snapshot or a VHD.
func checkDisk(at string, s *Source) []*arm.Error {
	switch {
	case s.VirtualMachine != "" || s.Community != "":
		return []*arm.Error{Invalid(at, "The source of a disk image must be a managed disk, a snapshot or a VHD in a storage account.")}
	case s.StorageAccount != "" && s.ID != "":
		return []*arm.Error{Invalid(at, "Exactly one source must be specified: 'id', or 'storageAccountId' with 'uri'.")}
	case len(s.URI) > maxURI:
		return []*arm.Error{Invalid(at+".uri", "The value of 'uri' is longer than %d characters.", maxURI)}
	case s.IsBlob() && s.URI == "":
		return []*arm.Error{Invalid(at+".uri", "Required parameter 'uri' is missing (null).")}
	case s.IsBlob() && s.Account() == "":
		return []*arm.Error{Invalid(at+".storageAccountId", "Required parameter 'storageAccountId' is missing (null).")}
	case s.StorageAccount != "":
		return checkID(at+".storageAccountId", s.StorageAccount, "a storage account", AccountType)
	case s.IsBlob():
		return checkID(at+".id", s.ID, "a storage account, since 'uri' is given", AccountType)
	}
	return checkID(at+".id", s.ID, "a managed disk or a snapshot", DiskType, SnapshotType)
}

func checkID(at, text, what string, types ...string) []*arm.Error {
	id, err := arm.ParseID(text)
	if err != nil || id.Namespace == "" || id.Subscription == "" {
		return []*arm.Error{malformed(at, text)}
	}
	for _, t := range types {
		if strings.EqualFold(id.Type(), t) {
			return nil
		}
	}
	return []*arm.Error{Invalid(at, "The source '%.300s' must be %s.", text, what)}
}

func malformed(at, text string) *arm.Error {
	return arm.Errorf(400, "LinkedInvalidPropertyId",
		"Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.",
		text, strings.TrimPrefix(at, "galleryImageVersion.")).At(at)
}

// Links are the sources of a version, each with the permission that its maker needs there, in whichever tenant it lies. An
// old version holds their content already and cannot get others, except where its bytes never came: then they are read again.
func Links(old, next *VersionResource) []rbac.Link {
	s := &next.Properties.Storage
	if old != nil {
		if !old.Properties.unread() {
			return nil
		}
		s = &old.Properties.Storage
	}
	var list []rbac.Link
	for _, source := range s.sources() {
		for _, text := range []string{source.ID, source.VirtualMachine, source.StorageAccount} {
			if id, err := arm.ParseID(text); err == nil {
				list = append(list, Link(id)...)
			}
		}
	}
	if old != nil && s.Source != nil {
		list = append(list, old.Properties.unreadDisks()...)
	}
	return list
}

// Link is what a source asks of who makes a version of it; nothing for what is no source.
func Link(id arm.ID) []rbac.Link {
	action := needs[strings.ToLower(id.Type())]
	if action == "" {
		return nil
	}
	return []rbac.Link{{ID: id, Action: action}}
}

// unreadDisks are the disks of a machine that are still to be read.
func (v *Version) unreadDisks() (list []rbac.Link) {
	for _, c := range v.Content {
		if c.Ref != nil || c.Source != nil || c.Frozen == nil {
			continue
		}
		if id, err := arm.ParseID(c.Frozen.ID); err == nil {
			list = append(list, Link(id)...)
		}
	}
	return list
}

// unread tells that a source is still to be read.
func (v *Version) unread() bool {
	for _, c := range v.Content {
		if c.Ref == nil && c.Source == nil && c.Frozen != nil {
			return true
		}
	}
	return false
}

// sources are all that a version is made from.
func (s *Storage) sources() []*Source {
	var list []*Source
	if s.Source != nil {
		list = append(list, s.Source)
	}
	if s.OSDisk != nil && s.OSDisk.Source != nil {
		list = append(list, s.OSDisk.Source)
	}
	for _, d := range s.DataDisks {
		if d.Source != nil {
			list = append(list, d.Source)
		}
	}
	return list
}

// Caching is how a disk of the version is to be cached, as far as it says; LUN -1 is the OS disk.
func (s *Storage) Caching(lun int) string {
	if lun < 0 {
		if s.OSDisk == nil {
			return ""
		}
		return s.OSDisk.HostCaching
	}
	for _, d := range s.DataDisks {
		if d.LUN != nil && int(*d.LUN) == lun {
			return d.HostCaching
		}
	}
	return ""
}
