package machine

import (
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/provider/machine/imageref"
	"vitrine/internal/provider/machine/osprofile"
)

// Type is the resource type.
const Type = "Microsoft.Compute/virtualMachines"

// Properties is what a client sees of a machine, and the server's own state.
type Properties struct {
	Hardware *Hardware `json:"hardwareProfile"`
	arm.Provisioning
	VMID         string              `json:"vmId" arm:"readonly"`
	Storage      *Storage            `json:"storageProfile"`
	OS           *osprofile.Profile  `json:"osProfile"`
	Security     json.RawMessage     `json:"securityProfile"`
	Network      *NetworkProfile     `json:"networkProfile"`
	Diagnostics  json.RawMessage     `json:"diagnosticsProfile"`
	Applications *ApplicationProfile `json:"applicationProfile"`
	Set          *Ref                `json:"availabilitySet"`
	ScaleSet     *Ref                `json:"virtualMachineScaleSet"`
	Host         *Ref                `json:"host"`
	UserData     string              `json:"userData" arm:"secret"`
	Created      string              `json:"timeCreated" arm:"readonly"`
	View         *InstanceView       `json:"instanceView" arm:"readonly"`
	Own          State               `json:"own" arm:"private"`
	Unknown      armjson.Unknown     `json:"-"`
}

// ApplicationProfile names what is to be installed in the machine; it must be empty.
type ApplicationProfile struct {
	Gallery []json.RawMessage `json:"galleryApplications"`
	Unknown armjson.Unknown   `json:"-"`
}

// State is the server's own knowledge of a machine.
type State struct {
	Desired     string `json:"desired" arm:"private"` // Running, Stopped or Deallocated
	Built       bool   `json:"built" arm:"private"`   // the creation has succeeded once
	Generalized bool   `json:"generalized" arm:"private"`
	Generation  string `json:"generation" arm:"private"` // V1, V2
	OSState     string `json:"osState" arm:"private"`
}

// The power states that a document may want.
const (
	Running     = "running"
	Stopped     = "stopped"
	Deallocated = "deallocated"
)

// Ref names another resource.
type Ref struct {
	ID      string          `json:"id"`
	Unknown armjson.Unknown `json:"-"`
}

// Hardware is the size.
type Hardware struct {
	Size    string          `json:"vmSize"`
	Unknown armjson.Unknown `json:"-"`
}

// Storage is the image and the disks.
type Storage struct {
	Image   *imageref.Reference `json:"imageReference" arm:"immutable"`
	OSDisk  *OSDisk             `json:"osDisk"`
	Data    []DataDisk          `json:"dataDisks" arm:"always"`
	Unknown armjson.Unknown     `json:"-"`
}

// OSDisk is the disk that boots.
type OSDisk struct {
	OSType       string          `json:"osType" arm:"enum=Linux|Windows,immutable"`
	Name         string          `json:"name" arm:"immutable"`
	CreateOption string          `json:"createOption" arm:"enum=FromImage|Attach|Empty|Copy|Restore,immutable"`
	Caching      string          `json:"caching" arm:"enum=None|ReadOnly|ReadWrite"`
	Managed      *ManagedDisk    `json:"managedDisk"`
	DeleteOption string          `json:"deleteOption" arm:"enum=Detach|Delete,default=Detach"`
	SizeGB       int             `json:"diskSizeGB"`
	Unknown      armjson.Unknown `json:"-"`
}

// ManagedDisk names a disk resource.
type ManagedDisk struct {
	SKU     string          `json:"storageAccountType"`
	ID      string          `json:"id" arm:"immutable"`
	Unknown armjson.Unknown `json:"-"`
}

// DataDisk is a further disk.
type DataDisk struct {
	LUN          *int            `json:"lun"`
	Name         string          `json:"name"`
	CreateOption string          `json:"createOption" arm:"enum=FromImage|Attach|Empty|Copy|Restore"`
	Caching      string          `json:"caching" arm:"enum=None|ReadOnly|ReadWrite,default=None"`
	Managed      *ManagedDisk    `json:"managedDisk"`
	DeleteOption string          `json:"deleteOption" arm:"enum=Detach|Delete,default=Detach"`
	SizeGB       int             `json:"diskSizeGB"`
	ToBeDetached bool            `json:"toBeDetached" arm:"always"`
	Unknown      armjson.Unknown `json:"-"`
}

// NetworkProfile is the interfaces.
type NetworkProfile struct {
	Interfaces []Interface     `json:"networkInterfaces"`
	APIVersion string          `json:"networkApiVersion"`
	Inline     json.RawMessage `json:"networkInterfaceConfigurations"`
	Unknown    armjson.Unknown `json:"-"`
}

// Interface names an interface.
type Interface struct {
	ID         string               `json:"id"`
	Properties *InterfaceProperties `json:"properties"`
	Unknown    armjson.Unknown      `json:"-"`
}

// InterfaceProperties says how a machine uses an interface.
type InterfaceProperties struct {
	Primary      *bool           `json:"primary"`
	DeleteOption string          `json:"deleteOption" arm:"enum=Detach|Delete"`
	Unknown      armjson.Unknown `json:"-"`
}

// InstanceView is how a machine is doing.
type InstanceView struct {
	ComputerName string     `json:"computerName"`
	OSName       string     `json:"osName"`
	Disks        []DiskView `json:"disks"`
	Generation   string     `json:"hyperVGeneration"`
	Statuses     []Status   `json:"statuses"`
}

// DiskView is how a disk is doing.
type DiskView struct {
	Name     string   `json:"name"`
	Statuses []Status `json:"statuses"`
}

// Status is one line of an instance view.
type Status struct {
	Code    string `json:"code"`
	Level   string `json:"level"`
	Display string `json:"displayStatus"`
	Message string `json:"message"`
	Time    string `json:"time"`
}

// host is the guest's host name: what the client chose, or the machine's name.
func (p *Properties) host(name string) string {
	if p.OS != nil && p.OS.ComputerName != "" {
		return p.OS.ComputerName
	}
	return name
}

// nics lists the interfaces, the primary one first.
func (p *Properties) nics() (list []arm.ID) {
	if p.Network == nil {
		return nil
	}
	for _, n := range p.Network.Interfaces {
		id, err := arm.ParseID(n.ID)
		if err != nil {
			continue
		}
		if n.Properties != nil && n.Properties.Primary != nil && *n.Properties.Primary {
			list = append([]arm.ID{id}, list...)
		} else {
			list = append(list, id)
		}
	}
	return list
}

// existing tells whether a disk is brought along rather than made: whoever names a disk means that disk, whatever the
// createOption, and needs the rights on it that attaching it takes.
func (m *ManagedDisk) existing() bool { return m != nil && m.ID != "" }

// disk is one disk of a machine.
type disk struct {
	id     arm.ID
	lun    int
	delete bool // with the machine
	made   bool // by the machine's creation, not brought along
}

// disks lists the disks that have a resource, the OS disk first.
func (p *Properties) disks() (list []disk) {
	if p.Storage == nil {
		return nil
	}
	add := func(m *ManagedDisk, lun int, option, create string) {
		if !m.existing() {
			return
		}
		if id, err := arm.ParseID(m.ID); err == nil {
			list = append(list, disk{id, lun, option == "Delete", create != "Attach"})
		}
	}
	if d := p.Storage.OSDisk; d != nil {
		add(d.Managed, osDisk, d.DeleteOption, d.CreateOption)
	}
	for _, d := range p.Storage.Data {
		if d.LUN != nil {
			add(d.Managed, *d.LUN, d.DeleteOption, d.CreateOption)
		}
	}
	return list
}
