package restore

import (
	"encoding/json"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/source"
)

// The resource types that this package serves.
const (
	Type      = "Microsoft.Compute/restorePointCollections"
	PointType = Type + "/restorePoints"
	DiskType  = PointType + "/diskRestorePoints"
)

const (
	machineType = "Microsoft.Compute/virtualMachines"
	disksType   = "Microsoft.Compute/disks"
	crash       = "CrashConsistent"
	stamp       = "2006-01-02T15:04:05.0000000-07:00"
)

// Collection holds the points of one machine.
type Collection struct {
	Source       *Origin `json:"source" arm:"required"`
	CollectionID string  `json:"restorePointCollectionId" arm:"readonly"`
	arm.Provisioning
	InstantAccess *bool             `json:"instantAccess"`
	Points        []json.RawMessage `json:"restorePoints" arm:"readonly"` // only with $expand
	Unknown       armjson.Unknown   `json:"-"`
}

// Origin is the machine whose points a collection holds.
type Origin struct {
	ID       string          `json:"id" arm:"required,immutable"`
	Location string          `json:"location" arm:"readonly"`
	Unknown  armjson.Unknown `json:"-"`
}

// Point is what a machine was and what its disks held at one moment.
type Point struct {
	Exclude  []Ref     `json:"excludeDisks"`
	Metadata *Metadata `json:"sourceMetadata" arm:"readonly"`
	arm.Provisioning
	Consistency   string          `json:"consistencyMode" arm:"enum=CrashConsistent|FileSystemConsistent|ApplicationConsistent"`
	TimeCreated   string          `json:"timeCreated" arm:"readonly"`
	SourcePoint   *Ref            `json:"sourceRestorePoint"`
	InstantAccess int             `json:"instantAccessDurationMinutes"`
	View          *View           `json:"instanceView" arm:"readonly"` // only with $expand
	Unknown       armjson.Unknown `json:"-"`

	Region  string    `json:"region" arm:"private"` // of the machine, and of the bytes
	Content []Content `json:"content" arm:"private"`
	Made    bool      `json:"made" arm:"private"` // every disk has its content
}

// Bytes implements quota.Holding: the sizes of the disks.
func (p *Point) Bytes() (n int64) {
	for _, c := range p.Content {
		n += int64(c.SizeGB) << 30
	}
	return n
}

// Content is what one disk held. Until Ref is known, the operation brings it.
type Content struct {
	Name         string    `json:"name"` // of the disk restore point
	Ref          image.Ref `json:"ref,omitzero"`
	SizeGB       int       `json:"sizeGB"`
	Source       string    `json:"source"` // ID of the disk
	Unique       string    `json:"unique"` // another disk of the same name has another one
	OSType       string    `json:"osType,omitempty"`
	Generation   string    `json:"generation,omitempty"`
	Architecture string    `json:"architecture,omitempty"`
}

// Ref names another resource.
type Ref struct {
	ID      string          `json:"id"`
	Unknown armjson.Unknown `json:"-"`
}

// Metadata is what the machine was, without its secrets.
type Metadata struct {
	Diagnostics json.RawMessage `json:"diagnosticsProfile"`
	Hardware    *Hardware       `json:"hardwareProfile"`
	Location    string          `json:"location"`
	OS          json.RawMessage `json:"osProfile"`
	Security    json.RawMessage `json:"securityProfile"`
	Storage     *Storage        `json:"storageProfile"`
	VMID        string          `json:"vmId"`
	Generation  string          `json:"hyperVGeneration"`
}

// Hardware is the machine's size.
type Hardware struct {
	Size string `json:"vmSize"`
}

// Storage is the machine's disks.
type Storage struct {
	OSDisk *Disk  `json:"osDisk"`
	Data   []Disk `json:"dataDisks" arm:"always"`
}

// Disk is one disk of the machine; LUN is of a data disk, OSType of the OS disk. Without Point it was excluded.
type Disk struct {
	LUN     *int     `json:"lun"`
	OSType  string   `json:"osType"`
	Name    string   `json:"name"`
	Caching string   `json:"caching"`
	SizeGB  int      `json:"diskSizeGB"`
	Managed *Managed `json:"managedDisk"`
	Point   *Ref     `json:"diskRestorePoint"`
}

// Managed names a disk resource.
type Managed struct {
	SKU string `json:"storageAccountType"`
	ID  string `json:"id"`
}

// View tells how far the bytes are.
type View struct {
	Disks    []DiskView `json:"diskRestorePoints"`
	Statuses []Status   `json:"statuses"`
}

// DiskView is how far one disk's are.
type DiskView struct {
	ID          string      `json:"id"`
	Replication Replication `json:"replicationStatus"`
}

// Replication is the state of one disk's bytes.
type Replication struct {
	Status  Status `json:"status"`
	Percent int    `json:"completionPercent" arm:"always"`
}

// Status is one line of an instance view.
type Status struct {
	Code    string `json:"code"`
	Level   string `json:"level"`
	Display string `json:"displayStatus"`
}

// DiskPoint is what is shown of one disk of a point, as Azure's disk provider shows it.
type DiskPoint struct {
	TimeCreated  string        `json:"timeCreated" arm:"readonly"`
	Source       string        `json:"sourceResourceId" arm:"readonly"`
	OSType       string        `json:"osType" arm:"readonly"`
	Generation   string        `json:"hyperVGeneration" arm:"readonly"`
	Capabilities *Capabilities `json:"supportedCapabilities" arm:"readonly"`
	FamilyID     string        `json:"familyId" arm:"readonly"`
	Unique       string        `json:"sourceUniqueId" arm:"readonly"`
	Encryption   *Encryption   `json:"encryption" arm:"readonly"`
	Network      string        `json:"networkAccessPolicy" arm:"readonly"`
	Public       string        `json:"publicNetworkAccess" arm:"readonly"`
	Percent      float64       `json:"completionPercent" arm:"readonly"`
	Location     string        `json:"sourceResourceLocation" arm:"readonly"`
}

// Capabilities says on what machines a disk can be used.
type Capabilities struct {
	Architecture string `json:"architecture"`
}

// Encryption says who holds the key of the bytes at rest.
type Encryption struct {
	Type string `json:"type"`
}

type (
	collection = control.Resource[Collection]
	point      = control.Resource[Point]
	diskPoint  = control.Resource[DiskPoint]
)

// content finds a disk restore point by name.
func (p *Point) content(name string) *Content {
	for i := range p.Content {
		if strings.EqualFold(p.Content[i].Name, name) {
			return &p.Content[i]
		}
	}
	return nil
}

// describe puts together what a point tells of its machine; Content is set.
func describe(id arm.ID, s source.Source, m Machine, content []Content) *Metadata {
	points := map[string]*Ref{}
	for _, c := range content {
		points[strings.ToLower(c.Source)] = &Ref{ID: id.Child("diskRestorePoints", c.Name).String()}
	}
	out := &Metadata{Diagnostics: m.Diagnostics, Hardware: &Hardware{Size: m.Size}, Location: s.Location, OS: m.OS, Security: m.Security,
		Storage: &Storage{Data: []Disk{}}, VMID: m.VMID, Generation: s.Generation}
	for _, d := range s.Disks {
		one := Disk{Name: d.ID.Name(), Caching: d.Caching, SizeGB: d.SizeGB, Managed: &Managed{SKU: d.SKU, ID: d.ID.String()}, Point: points[strings.ToLower(d.ID.String())]}
		if d.LUN == source.OSDisk {
			one.OSType = s.OSType
			out.Storage.OSDisk = &one
			continue
		}
		one.LUN = new(d.LUN)
		out.Storage.Data = append(out.Storage.Data, one)
	}
	return out
}
