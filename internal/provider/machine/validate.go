package machine

import (
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/provider/machine/size"
	"vitrine/internal/provider/source"
)

// validate finds every fault that needs no look at other resources.
func validate(r *resource) (faults []*arm.Error) {
	p := &r.Properties
	if p.Hardware == nil || p.Hardware.Size == "" {
		faults = append(faults, required("hardwareProfile.vmSize"))
	} else if _, ok := size.Of(p.Hardware.Size); !ok {
		faults = append(faults, invalid("vmSize", "The value %.80s provided for the VM size is not valid. The valid sizes in the current region are: %s.", p.Hardware.Size, sizeNames()))
	}
	for name, ref := range map[string]*Ref{"availabilitySet": p.Set, "virtualMachineScaleSet": p.ScaleSet, "host": p.Host} {
		if ref != nil && ref.ID != "" {
			faults = append(faults, invalid(name, "'%s' is not supported by this server.", name))
		}
	}
	if p.Applications != nil && len(p.Applications.Gallery) > 0 {
		faults = append(faults, invalid("applicationProfile.galleryApplications", "'applicationProfile.galleryApplications' is not supported by this server: nothing installs VM applications in a machine."))
	}
	if kind := strings.ToLower(string(r.Identity)); kind != "" && kind != "null" && !strings.Contains(kind, `"none"`) {
		faults = append(faults, invalid("identity", "Managed identities are not supported by this server."))
	}
	faults = append(faults, validateSecurity(p.Security)...)
	faults = append(faults, validateNetwork(p.Network)...)
	return append(faults, validateStorage(p.Storage)...)
}

// validateSecurity refuses what would keep others, this host among them, from a machine's bytes. TrustedLaunch passes: clients ask for it
// by themselves where an image allows it.
func validateSecurity(raw json.RawMessage) (faults []*arm.Error) {
	var s struct {
		SecurityType       string
		EncryptionAtHost   bool
		ProxyAgentSettings struct{ Enabled bool }
	}
	if len(raw) > 0 && json.Unmarshal(raw, &s) != nil {
		return []*arm.Error{invalid("securityProfile", "The value of 'securityProfile' is not valid.")}
	}
	if t := s.SecurityType; t != "" && !strings.EqualFold(t, "Standard") && !strings.EqualFold(t, "TrustedLaunch") {
		faults = append(faults, invalid("securityProfile.securityType", "The security type '%.80s' is not supported by this server.", t))
	}
	if s.EncryptionAtHost {
		faults = append(faults, invalid("securityProfile.encryptionAtHost", "'securityProfile.encryptionAtHost' is not supported by this server."))
	}
	if s.ProxyAgentSettings.Enabled {
		faults = append(faults, invalid("securityProfile.proxyAgentSettings", "'securityProfile.proxyAgentSettings' is not supported by this server."))
	}
	return faults
}

func sizeNames() string {
	var names []string
	for _, s := range size.All() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ",")
}

const maxNICs = 8 // as many as the port takes

func validateNetwork(n *NetworkProfile) (faults []*arm.Error) {
	if n == nil {
		return []*arm.Error{required("networkProfile")}
	}
	if len(n.Inline) > 0 || n.APIVersion != "" {
		return []*arm.Error{invalid("networkProfile.networkInterfaceConfigurations", "'networkInterfaceConfigurations' is not supported by this server: create the network interface first and name it in 'networkInterfaces'.")}
	}
	if len(n.Interfaces) == 0 {
		return []*arm.Error{invalid("networkProfile", "Virtual machine must have at least one network interface.")}
	}
	if len(n.Interfaces) > maxNICs {
		faults = append(faults, invalid("networkProfile", "Virtual machine has %d network interfaces; at most %d are allowed.", len(n.Interfaces), maxNICs))
	}
	seen, primaries := map[string]bool{}, 0
	for i, nic := range n.Interfaces {
		at := fmt.Sprintf("properties.networkProfile.networkInterfaces[%d].id", i)
		id, fault := identified(nic.ID, nicType, at)
		if fault != nil {
			faults = append(faults, fault)
		}
		if seen[id.Key()] {
			faults = append(faults, invalid("networkProfile", "Network interface %s is referenced more than once.", id))
		}
		seen[id.Key()] = true
		if nic.Properties != nil && nic.Properties.Primary != nil && *nic.Properties.Primary {
			primaries++
		}
	}
	if len(n.Interfaces) > 1 && primaries != 1 {
		faults = append(faults, arm.Errorf(400, "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary", "Virtual machine with several network interfaces must have exactly one network interface set as the primary.").At("networkProfile"))
	}
	return faults
}

// checkDiskName: a machine writes disks under names of the client's choice.
func checkDiskName(target, name string) []*arm.Error {
	if name == "" || source.CheckName(name) == nil {
		return nil
	}
	return []*arm.Error{invalid(target, "The entity name '%s' is invalid according to its validation rule: %s.", target, `^[^_\W][\w-._]{0,79}(?<![-.])$`)}
}

func validateStorage(s *Storage) (faults []*arm.Error) {
	if s == nil {
		return []*arm.Error{required("storageProfile")}
	}
	if s.OSDisk == nil || s.OSDisk.CreateOption == "" {
		faults = append(faults, required("osDisk.createOption"))
	} else {
		faults = append(faults, validateOSDisk(s)...)
	}
	luns := map[int]bool{}
	for i, d := range s.Data {
		at := fmt.Sprintf("dataDisks[%d]", i)
		switch {
		case d.LUN == nil:
			faults = append(faults, required("dataDisk.lun"))
		case *d.LUN < 0 || *d.LUN > 30:
			faults = append(faults, invalid(at+".lun", "The value '%d' of parameter 'dataDisk.lun' is out of range. Value must be between '0' and '30'.", *d.LUN))
		case luns[*d.LUN]:
			faults = append(faults, invalid("dataDisk.lun", "Cannot use the lun '%d' for two data disks. Please use distinct luns.", *d.LUN))
		}
		if d.LUN != nil {
			luns[*d.LUN] = true
		}
		faults = append(faults, checkDiskName(at+".name", d.Name)...)
		switch d.CreateOption {
		case "":
			faults = append(faults, required("dataDisk.createOption"))
		case "Copy", "Restore":
			faults = append(faults, invalid(at+".createOption", "createOption '%s' of a data disk is not supported by this server.", d.CreateOption))
		case "Attach":
			if !d.Managed.existing() {
				faults = append(faults, required("dataDisk.managedDisk.id"))
			} else if _, fault := identified(d.Managed.ID, diskType, "properties.storageProfile."+at+".managedDisk.id"); fault != nil {
				faults = append(faults, fault)
			}
		case "Empty":
			if d.SizeGB <= 0 && !d.Managed.existing() {
				faults = append(faults, required("dataDisk.diskSizeGB"))
			}
		}
		if d.SizeGB < 0 || d.SizeGB > 32767 {
			faults = append(faults, invalid(at+".diskSizeGB", "The value '%d' of parameter 'diskSizeGB' is out of range. Value must be between '1' and '32767'.", d.SizeGB))
		}
	}
	return faults
}

func validateOSDisk(s *Storage) (faults []*arm.Error) {
	d := s.OSDisk
	faults = checkDiskName("osDisk.name", d.Name)
	if d.SizeGB < 0 || d.SizeGB > 4095 {
		faults = append(faults, invalid("osDisk.diskSizeGB", "The value '%d' of parameter 'osDisk.diskSizeGB' is out of range. Value must be between '1' and '4095'.", d.SizeGB))
	}
	switch d.CreateOption {
	case "FromImage":
		if s.Image == nil {
			return append(faults, required("imageReference"))
		}
		return append(faults, s.Image.Check()...)
	case "Attach":
		if s.Image != nil && s.Image.ID+s.Image.Foreign() != "" {
			faults = append(faults, invalid("imageReference", "Parameter 'imageReference' is not allowed with osDisk.createOption 'Attach'."))
		}
		if !d.Managed.existing() {
			return append(faults, required("osDisk.managedDisk.id"))
		}
		if _, fault := identified(d.Managed.ID, diskType, "properties.storageProfile.osDisk.managedDisk.id"); fault != nil {
			faults = append(faults, fault)
		}
		return faults
	}
	return append(faults, invalid("osDisk.createOption", "createOption '%s' of an OS disk is not allowed: use FromImage or Attach.", d.CreateOption))
}
