package managed

import (
	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
)

// Type is the resource type that this package serves.
const Type = "Microsoft.Compute/images"

// Properties is what a managed image is, in the order in which Compute answers.
type Properties struct {
	SourceMachine *Ref     `json:"sourceVirtualMachine" arm:"immutable"`
	Storage       *Storage `json:"storageProfile"`
	arm.Provisioning
	Generation string          `json:"hyperVGeneration" arm:"enum=V1|V2"`
	Unknown    armjson.Unknown `json:"-"`

	Content      []Content `json:"content" arm:"private"`
	Architecture string    `json:"architecture" arm:"private"`
	Made         bool      `json:"made" arm:"private"` // every disk has its content
}

// Bytes implements quota.Holding: the sizes of the image's disks.
func (p *Properties) Bytes() (n int64) {
	for _, c := range p.Content {
		n += int64(c.SizeGB) << 30
	}
	return n
}

// Ref names another resource.
type Ref struct {
	ID      string          `json:"id"`
	Unknown armjson.Unknown `json:"-"`
}

// Storage is the disks of an image.
type Storage struct {
	OSDisk        *Disk           `json:"osDisk"`
	DataDisks     []Disk          `json:"dataDisks" arm:"always"`
	ZoneResilient *bool           `json:"zoneResilient"`
	Unknown       armjson.Unknown `json:"-"`
}

// Disk is one disk of an image; LUN is of a data disk, the system's members of the OS disk.
type Disk struct {
	LUN       *int32          `json:"lun"`
	OSType    string          `json:"osType" arm:"enum=Windows|Linux"`
	OSState   string          `json:"osState" arm:"enum=Generalized|Specialized"`
	Snapshot  *Ref            `json:"snapshot"`
	Managed   *Ref            `json:"managedDisk"`
	BlobURI   string          `json:"blobUri"`
	Caching   string          `json:"caching" arm:"enum=None|ReadOnly|ReadWrite"`
	SizeGB    int             `json:"diskSizeGB"`
	SKU       string          `json:"storageAccountType"`
	Encrypted *Ref            `json:"diskEncryptionSet"`
	Unknown   armjson.Unknown `json:"-"`
}

// Content is what one disk of an image holds; LUN -1 is the OS disk. Until Ref is known, the operation brings it.
type Content struct {
	LUN     int       `json:"lun"`
	Ref     image.Ref `json:"ref,omitzero"`
	SizeGB  int       `json:"sizeGB"`
	Source  string    `json:"source,omitempty"`  // ID of a disk or snapshot, or the URI of a VHD
	Unique  string    `json:"unique,omitempty"`  // of a disk or snapshot: another of the same name has another one
	Account string    `json:"account,omitempty"` // of a VHD: the storage account that it was found in
}

type resource = control.Resource[Properties]

// source is the ID of the disk or snapshot that a disk is made from, and where in the request it stands.
func (d *Disk) source() (id, member string) {
	switch {
	case d.Managed != nil && d.Managed.ID != "":
		return d.Managed.ID, "managedDisk.id"
	case d.Snapshot != nil && d.Snapshot.ID != "":
		return d.Snapshot.ID, "snapshot.id"
	}
	return "", ""
}

// content finds what a LUN holds.
func (p *Properties) content(lun int) *Content {
	for i := range p.Content {
		if c := &p.Content[i]; c.LUN == lun {
			return c
		}
	}
	return nil
}
