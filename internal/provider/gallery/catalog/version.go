package catalog

import (
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/pattern"
)

var versionNames = pattern.New(`^(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})$`)

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
	p.modern()
	faults = append(faults, checkSecurity(p.SecurityProfile)...)
	if p.Publishing != nil {
		faults = append(faults, checkPublishing(p.Publishing)...)
		faults = append(faults, checkRegions(r.Location, p.Publishing)...)
	}
	return append(faults, checkStorage(&p.Storage)...)
}

func checkPublishing(p *Publishing) []*arm.Error {
	var faults []*arm.Error
	const at = Path + "publishingProfile."
	if f := CheckDate(at+"endOfLifeDate", p.EndOfLifeDate); f != nil {
		faults = append(faults, f)
	}
	faults = append(faults, checkCount(at+"replicaCount", p.ReplicaCount)...)
	if Present(p.Extended) {
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

// More than these cannot be valid, and need not be told one by one.
const maxRegions, maxDataDisks, maxReplicaSets = 100, 64, 10

func checkRegions(location string, p *Publishing) []*arm.Error {
	var faults []*arm.Error
	const at = Path + "publishingProfile.targetRegions"
	if n := len(p.TargetRegions); n > maxRegions {
		return []*arm.Error{Invalid(at, "There are %d target regions; a version may have at most %d.", n, maxRegions)}
	}
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
		if Present(t.Encryption) {
			faults = append(faults, Unsupported(at+".encryption", "Encryption of a version with a customer's key"))
		}
		if len(t.ReplicaSets) > maxReplicaSets {
			faults = append(faults, Invalid(at+".additionalReplicaSets", "There are %d additional replica sets; a region may have at most %d.", len(t.ReplicaSets), maxReplicaSets))
			continue
		}
		for _, set := range t.ReplicaSets {
			faults = append(faults, checkCount(at+".additionalReplicaSets.regionalReplicaCount", set.RegionalReplicaCount)...)
		}
	}
	if l, ok := arm.LocationOf(location); ok && len(p.TargetRegions) > 0 && len(faults) == 0 && !seen[l.Name] {
		faults = append(faults, Invalid(at, "The target regions of the publishing profile must contain the location of the image version, '%s'.", l.DisplayName))
	}
	return faults
}

// checkStorage wants well-formed sources; that they are there and fit is a matter of publish.Take.
func checkStorage(s *Storage) []*arm.Error {
	const at = Path + "storageProfile."
	var faults []*arm.Error
	whole, disks := s.Source.Given(), s.OSDisk != nil && s.OSDisk.Source.Given()
	if whole && disks {
		faults = append(faults, Invalid(Path+"storageProfile", "Exactly one source must be specified: either 'storageProfile.source' or 'storageProfile.osDiskImage.source'."))
	}
	if whole {
		faults = append(faults, checkWhole(at+"source", s.Source)...)
	}
	used := map[string]bool{}
	if disks {
		faults = append(faults, checkDisk(at+"osDiskImage.source", s.OSDisk.Source)...)
		used[s.OSDisk.Source.key()] = true
	}
	if n := len(s.DataDisks); n > maxDataDisks {
		return append(faults, Invalid(at+"dataDiskImages", "There are %d data disks; a version may have at most %d.", n, maxDataDisks))
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
		faults = append(faults, checkDisk(at+"dataDiskImages.source", d.Source)...)
		if used[d.Source.key()] {
			faults = append(faults, Invalid(at+"dataDiskImages.source", "The source '%.300s' is used for more than one disk of the version.", d.Source.name()))
		}
		used[d.Source.key()] = true
	}
	return faults
}

// key is equal for sources of the same bytes.
func (s *Source) key() string { return strings.ToLower(s.Account()) + "\x00" + s.URI }

// name is what a message calls it.
func (s *Source) name() string {
	if s.URI != "" {
		return s.URI
	}
	return s.ID
}
