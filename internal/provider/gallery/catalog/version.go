package catalog

import (
	"regexp"
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/rbac"
)

var versionNames = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})$`)

// VersionName is the rule for names: three numbers.
func VersionName(n string) *arm.Error {
	if _, ok := ParseVersion(n); ok {
		return nil
	}
	return Invalid("galleryImageVersionName", "The gallery image version name '%.80s' is invalid. It must follow the Major.Minor.Patch pattern, where each part is an integer between 0 and 2147483647.", n)
}

// ParseVersion reads a name as numbers, by which versions are ordered.
func ParseVersion(n string) (v [3]int32, ok bool) {
	m := versionNames.FindStringSubmatch(n)
	if m == nil {
		return v, false
	}
	for i := range v {
		number, err := strconv.ParseInt(m[i+1], 10, 32)
		if err != nil {
			return v, false
		}
		v[i] = int32(number)
	}
	return v, true
}

// Path begins the target of a fault in a version.
const Path = "galleryImageVersion.properties."

// ValidateVersion finds every fault of a version; it also brings regions to their display names.
func ValidateVersion(r *VersionResource) []*arm.Error {
	p := &r.Properties
	var faults []*arm.Error
	if present(p.SecurityProfile) {
		faults = append(faults, Unsupported(Path+"securityProfile", "A version's securityProfile (UEFI keys)"))
	}
	if p.Restore != nil && *p.Restore {
		faults = append(faults, Unsupported(Path+"restore", "Restoring a soft-deleted version"))
	}
	if p.Publishing != nil {
		faults = append(faults, checkPublishing(p.Publishing)...)
		faults = append(faults, checkRegions(r.Location, p.Publishing)...)
	}
	return append(faults, checkStorage(&p.Storage)...)
}

func checkPublishing(p *Publishing) []*arm.Error {
	var faults []*arm.Error
	const at = Path + "publishingProfile."
	if f := checkDate(at+"endOfLifeDate", p.EndOfLifeDate); f != nil {
		faults = append(faults, f)
	}
	faults = append(faults, checkCount(at+"replicaCount", p.ReplicaCount)...)
	if present(p.Extended) {
		faults = append(faults, Unsupported(at+"targetExtendedLocations", "Publishing to an edge zone"))
	}
	if p.Strategy != "" && p.StorageAccount != "" {
		faults = append(faults, Invalid(at+"storageAccountStrategy", "The properties 'storageAccountStrategy' and 'storageAccountType' must not be given both."))
	}
	if p.ReplicationMode == "Shallow" && len(p.TargetRegions) > 1 {
		faults = append(faults, Invalid(at+"replicationMode", "A version of replicationMode 'Shallow' cannot be replicated to further regions."))
	}
	return faults
}

func checkCount(target string, n *int32) []*arm.Error {
	if n == nil || *n >= 1 && *n <= 100 {
		return nil
	}
	return []*arm.Error{Invalid(target, "The value of parameter '%s' is out of range: '%d'. The value must be between 1 and 100, inclusive.", target, *n)}
}

func checkRegions(location string, p *Publishing) []*arm.Error {
	var faults []*arm.Error
	const at = Path + "publishingProfile.targetRegions"
	seen := map[string]bool{}
	for i := range p.TargetRegions {
		t := &p.TargetRegions[i]
		l, ok := arm.LocationOf(t.Name)
		switch {
		case !ok:
			faults = append(faults, arm.Errorf(400, "LocationNotAvailableForResourceType", "The target region '%.80s' is not available for resource type '%s'.", t.Name, VersionType).At(at+".name"))
			continue
		case seen[l.Name]:
			faults = append(faults, Invalid(at, "The target regions contain duplicates: '%s' is given more than once. Regions are compared without spaces and case.", l.DisplayName))
		}
		seen[l.Name], t.Name = true, l.DisplayName
		faults = append(faults, checkCount(at+".regionalReplicaCount", t.RegionalReplicaCount)...)
		if present(t.Encryption) {
			faults = append(faults, Unsupported(at+".encryption", "Encryption of a version with a customer's key"))
		}
		if present(t.ReplicaSets) {
			faults = append(faults, Unsupported(at+".additionalReplicaSets", "Additional replica sets"))
		}
	}
	if l, ok := arm.LocationOf(location); ok && len(p.TargetRegions) > 0 && len(faults) == 0 && !seen[l.Name] {
		faults = append(faults, Invalid(at, "The target regions of the publishing profile must contain the location of the image version, '%s'.", l.DisplayName))
	}
	return faults
}

// checkStorage wants well-formed sources that this installation has; that they are there and fit is a matter of Put.
func checkStorage(s *Storage) []*arm.Error {
	const at = Path + "storageProfile."
	var faults []*arm.Error
	whole, disks := s.Source.Given(), s.OSDisk != nil && s.OSDisk.Source.Given()
	if whole && disks {
		faults = append(faults, Invalid(Path+"storageProfile", "Exactly one source must be specified: either 'storageProfile.source' or 'storageProfile.osDiskImage.source'."))
	}
	if whole {
		faults = append(faults, checkSource(at+"source", s.Source, VersionType)...)
	}
	used := map[string]bool{}
	if disks {
		faults = append(faults, checkSource(at+"osDiskImage.source", s.OSDisk.Source, DiskType)...)
		used[strings.ToLower(s.OSDisk.Source.ID)] = true
	}
	luns := map[int32]bool{}
	for _, d := range s.DataDisks {
		switch {
		case d.LUN == nil: // a PATCH; of a PUT the decoder said so
			faults = append(faults, Invalid(at+"dataDiskImages.lun", "Required parameter 'lun' is missing (null)."))
		case *d.LUN < 0 || *d.LUN > 63:
			faults = append(faults, Invalid(at+"dataDiskImages.lun", "The value of parameter 'lun' is out of range: '%d'. The value must be between 0 and 63, inclusive.", *d.LUN))
		case luns[*d.LUN]:
			faults = append(faults, Invalid(at+"dataDiskImages.lun", "The LUN '%d' is used more than once in dataDiskImages.", *d.LUN))
		default:
			luns[*d.LUN] = true
		}
		if !d.Source.Given() {
			continue
		}
		if whole {
			faults = append(faults, Invalid(Path+"storageProfile", "Exactly one source must be specified: 'storageProfile.source' brings its own data disks."))
		}
		faults = append(faults, checkSource(at+"dataDiskImages.source", d.Source, DiskType)...)
		if id := strings.ToLower(d.Source.ID); used[id] {
			faults = append(faults, Invalid(at+"dataDiskImages.source", "The source '%s' is used for more than one disk of the version.", d.Source.ID))
		} else {
			used[id] = true
		}
	}
	return faults
}

// DiskType is the type of managed disks.
const DiskType = "Microsoft.Compute/disks"

// Given tells whether it names anything.
func (s *Source) Given() bool {
	return s != nil && (s.ID != "" || s.VirtualMachine != "" || s.Community != "" || s.URI != "" || s.StorageAccount != "")
}

// later are sources that Azure knows and we do not have yet.
var later = map[string]string{
	"microsoft.compute/snapshots":       "A snapshot as the source of an image version",
	"microsoft.compute/images":          "A managed image as the source of an image version",
	"microsoft.compute/virtualmachines": "A virtual machine as the source of an image version",
	"microsoft.storage/storageaccounts": "A VHD in a storage account as the source of an image version",
}

func checkSource(at string, s *Source, want string) []*arm.Error {
	switch {
	case s.VirtualMachine != "":
		return []*arm.Error{Unsupported(at+".virtualMachineId", later["microsoft.compute/virtualmachines"])}
	case s.Community != "":
		return []*arm.Error{Unsupported(at+".communityGalleryImageId", "A community gallery image as the source of an image version")}
	case s.URI != "" || s.StorageAccount != "":
		return []*arm.Error{Unsupported(at+".uri", later["microsoft.storage/storageaccounts"])}
	}
	id, err := arm.ParseID(s.ID)
	if err != nil || id.Namespace == "" || id.Subscription == "" {
		return []*arm.Error{arm.Errorf(400, "LinkedInvalidPropertyId",
			"Property id '%.300s' at path '%s.id' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.",
			s.ID, strings.TrimPrefix(at, "galleryImageVersion.")).At(at + ".id")}
	}
	if strings.EqualFold(id.Type(), want) {
		return nil
	}
	if what := later[strings.ToLower(id.Type())]; what != "" {
		return []*arm.Error{Unsupported(at+".id", what)}
	}
	if want == DiskType {
		return []*arm.Error{Invalid(at+".id", "The source '%s' of a disk image must be a managed disk or a snapshot.", s.ID)}
	}
	return []*arm.Error{Invalid(at+".id", "The source '%s' must be a managed image, a virtual machine or a gallery image version.", s.ID)}
}

// Links are the sources of a new version; an old one holds their content already and cannot get others (the permissions are those of gallery.md 8).
func Links(old, next *VersionResource) []rbac.Link {
	if old != nil {
		return nil
	}
	s := &next.Properties.Storage
	var list []rbac.Link
	add := func(source *Source, action string) {
		if source == nil {
			return
		}
		if id, err := arm.ParseID(source.ID); err == nil {
			list = append(list, rbac.Link{ID: id, Action: action})
		}
	}
	add(s.Source, VersionType+"/read")
	if s.OSDisk != nil {
		add(s.OSDisk.Source, DiskType+"/write")
	}
	for _, d := range s.DataDisks {
		add(d.Source, DiskType+"/write")
	}
	return list
}
