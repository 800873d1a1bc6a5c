package managed

import (
	"fmt"
	"strings"

	"vitrine/internal/arm"
)

const (
	machineType  = "Microsoft.Compute/virtualMachines"
	diskType     = "Microsoft.Compute/disks"
	snapshotType = "Microsoft.Compute/snapshots"
	maxSizeGB    = 32767
	maxDataDisks = 64
	maxLUN       = 63
)

func invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

func unsupported(target, what string) *arm.Error {
	return arm.Errorf(400, "NotSupported", "%s is not supported by this installation yet.", what).At(target)
}

// validate finds every fault that needs no look at the sources.
func validate(r *resource) []*arm.Error {
	p := &r.Properties
	if p.SourceMachine != nil {
		return validateMachine(p)
	}
	if p.Storage == nil || p.Storage.OSDisk == nil {
		return []*arm.Error{invalid("image.storageProfile", "Required parameter 'image.storageProfile.osDisk' is missing (null): an image is made from 'sourceVirtualMachine' or from 'storageProfile.osDisk'.")}
	}
	os := p.Storage.OSDisk
	var faults []*arm.Error
	for _, m := range []struct{ name, value string }{{"osType", os.OSType}, {"osState", os.OSState}} {
		if m.value == "" {
			faults = append(faults, invalid("osDisk."+m.name, "Required parameter 'osDisk.%s' is missing (null).", m.name))
		}
	}
	if os.OSState == "Specialized" {
		faults = append(faults, unsupported("osDisk.osState", "A managed image of a specialized disk (make a gallery image version, or a disk and attach it)"))
	}
	faults = append(faults, validateDisk("osDisk", os)...)
	return append(faults, validateData(p.Storage.DataDisks, sourceKey(os))...)
}

// sourceKey is a disk's source to compare.
func sourceKey(d *Disk) string {
	id, _ := d.source()
	if d.BlobURI != "" {
		return d.BlobURI
	}
	return strings.ToLower(id)
}

// validateMachine: the image of a machine takes its disks; the request cannot say more of them, but it repeats what the image has
// when a client reads, changes tags and writes.
func validateMachine(p *Properties) []*arm.Error {
	id, err := arm.ParseID(p.SourceMachine.ID)
	if err != nil || !strings.EqualFold(id.Type(), machineType) || id.ResourceGroup == "" {
		return []*arm.Error{badID(p.SourceMachine.ID, "properties.sourceVirtualMachine.id")}
	}
	if s := p.Storage; s != nil && s.OSDisk != nil && !p.Made {
		return []*arm.Error{invalid("image.storageProfile", "Parameter 'storageProfile.osDisk' is not allowed with 'sourceVirtualMachine'.")}
	}
	return nil
}

func validateData(disks []Disk, os string) (faults []*arm.Error) {
	if len(disks) > maxDataDisks {
		return []*arm.Error{invalid("dataDisks", "The image has %d data disks; at most %d are allowed.", len(disks), maxDataDisks)}
	}
	luns, used := map[int32]bool{}, map[string]bool{os: true}
	for i := range disks {
		d, at := &disks[i], fmt.Sprintf("dataDisks[%d]", i)
		switch {
		case d.LUN == nil:
			faults = append(faults, invalid(at+".lun", "Required parameter 'dataDisk.lun' is missing (null)."))
		case *d.LUN < 0 || *d.LUN > maxLUN:
			faults = append(faults, invalid(at+".lun", "The value '%d' of parameter 'dataDisk.lun' is out of range. Value must be between '0' and '%d'.", *d.LUN, maxLUN))
		case luns[*d.LUN]:
			faults = append(faults, invalid(at+".lun", "Cannot use the lun '%d' for two data disks. Please use distinct luns.", *d.LUN))
		default:
			luns[*d.LUN] = true
		}
		faults = append(faults, validateDisk(at, d)...)
		key := sourceKey(d)
		if key != "" && used[key] {
			faults = append(faults, invalid(at, "The source '%s' is used for more than one disk of the image.", key))
		}
		used[key] = true
	}
	return faults
}

func validateDisk(at string, d *Disk) (faults []*arm.Error) {
	given := 0
	for _, r := range []struct {
		ref         *Ref
		member, typ string
	}{{d.Managed, "managedDisk", diskType}, {d.Snapshot, "snapshot", snapshotType}} {
		if r.ref == nil || r.ref.ID == "" {
			continue
		}
		given++
		if id, err := arm.ParseID(r.ref.ID); err != nil || !strings.EqualFold(id.Type(), r.typ) || id.ResourceGroup == "" {
			faults = append(faults, badID(r.ref.ID, "properties.storageProfile."+at+"."+r.member+".id"))
		}
	}
	if d.BlobURI != "" {
		given++
	}
	if given != 1 {
		faults = append(faults, invalid(at, "Exactly one of 'managedDisk', 'snapshot' and 'blobUri' must be specified for '%s'.", at))
	}
	if d.SizeGB < 0 || d.SizeGB > maxSizeGB {
		faults = append(faults, invalid(at+".diskSizeGB", "The value '%d' of parameter 'diskSizeGB' is out of range. Value must be between '1' and '%d'.", d.SizeGB, maxSizeGB))
	}
	if d.Encrypted != nil && d.Encrypted.ID != "" {
		faults = append(faults, unsupported(at+".diskEncryptionSet", "Encryption with a customer's key (disk encryption sets)"))
	}
	return faults
}

// badID words ARM's error for an ID that is none (errors.md 3).
func badID(id, path string) *arm.Error {
	return arm.Errorf(400, "LinkedInvalidPropertyId",
		"Property id '%.300s' at path '%s' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.", id, path).At(path)
}

// unchanged refuses another source or other disks for an image that exists, and keeps what the request left out.
func unchanged(old, next *Properties) error {
	if next.SourceMachine == nil {
		next.SourceMachine = old.SourceMachine
	} else if old.SourceMachine == nil {
		return notChangeable("sourceVirtualMachine")
	}
	if next.Generation != "" && next.Generation != old.Generation {
		return notChangeable("hyperVGeneration")
	}
	next.Generation = old.Generation
	if next.Storage != nil && next.Storage.OSDisk != nil {
		if len(next.Storage.DataDisks) != len(old.Storage.DataDisks) || !same(next.Storage.OSDisk, old.Storage.OSDisk) {
			return notChangeable("storageProfile")
		}
		for i := range next.Storage.DataDisks {
			if !same(&next.Storage.DataDisks[i], &old.Storage.DataDisks[i]) {
				return notChangeable("storageProfile.dataDisks")
			}
		}
	}
	next.Storage = old.Storage
	return nil
}

func same(a, b *Disk) bool {
	return sourceKey(a) == sourceKey(b) && (a.LUN == nil) == (b.LUN == nil) && (a.LUN == nil || *a.LUN == *b.LUN) &&
		(a.SizeGB == 0 || a.SizeGB == b.SizeGB) && (a.Caching == "" || a.Caching == b.Caching) && (a.OSType == "" || a.OSType == b.OSType)
}

func notChangeable(what string) *arm.Error {
	return arm.Errorf(409, "PropertyChangeNotAllowed", "Changing property 'image.%s' is not allowed.", what).At("image." + what)
}
