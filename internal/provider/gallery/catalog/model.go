package catalog

import (
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
)

// Authored is the api-version from which on systemData is told: the models of Azure's clients have it with this one, recordings of
// older ones have none.
const Authored = "2025-03-03"

// The types that this package serves.
const (
	GalleryType    = "Microsoft.Compute/galleries"
	DefinitionType = GalleryType + "/images"
	VersionType    = DefinitionType + "/versions"
)

// Gallery is the properties of a gallery (gallery.md 5).
type Gallery struct {
	Description      string            `json:"description"`
	Identifier       *UniqueName       `json:"identifier" arm:"readonly"`
	SharingProfile   *SharingProfile   `json:"sharingProfile"`
	SoftDeletePolicy *SoftDeletePolicy `json:"softDeletePolicy"`
	SharingStatus    *SharingStatus    `json:"sharingStatus" arm:"readonly"` // only with $select or $expand
	arm.Provisioning
	Unknown armjson.Unknown `json:"-"`

	Groups []SharingGroup `json:"sharedWith" arm:"private"`
}

// UniqueName is what names a gallery to those it is shared with: subscription and upper-case name.
type UniqueName struct {
	UniqueName string `json:"uniqueName"`
}

// SoftDeletePolicy says whether deleted versions can be restored.
type SoftDeletePolicy struct {
	Enabled   bool            `json:"isSoftDeleteEnabled" arm:"always"`
	Retention *int32          `json:"retentionPeriodInDays"` // usable by its exact version, and to be restored
	Grace     *int32          `json:"gracePeriodInDays"`     // then: only to be restored
	Unknown   armjson.Unknown `json:"-"`
}

// Definition is the properties of an image definition (gallery.md 6), in the order in which Compute answers.
type Definition struct {
	HyperVGeneration    string        `json:"hyperVGeneration" arm:"immutable,enum=V1|V2"`
	Architecture        string        `json:"architecture" arm:"immutable,enum=x64|Arm64"`
	Features            []Feature     `json:"features"`
	OSType              string        `json:"osType" arm:"required,immutable,enum=Windows|Linux"`
	OSState             string        `json:"osState" arm:"required,immutable,enum=Generalized|Specialized"`
	Description         string        `json:"description"`
	Eula                string        `json:"eula" arm:"immutable"`
	PrivacyStatementURI string        `json:"privacyStatementUri" arm:"immutable"`
	ReleaseNoteURI      string        `json:"releaseNoteUri"`
	EndOfLifeDate       string        `json:"endOfLifeDate"`
	Identifier          *Identifier   `json:"identifier" arm:"required"`
	Recommended         *Recommended  `json:"recommended"`
	Disallowed          *Disallowed   `json:"disallowed"`
	PurchasePlan        *PurchasePlan `json:"purchasePlan" arm:"immutable"`
	AllowUpdateImage    *bool         `json:"allowUpdateImage"`
	arm.Provisioning
	Unknown armjson.Unknown `json:"-"`
}

// Identifier is the triplet that is unique in a gallery.
type Identifier struct {
	Publisher string          `json:"publisher" arm:"required,immutable"`
	Offer     string          `json:"offer" arm:"required,immutable"`
	SKU       string          `json:"sku" arm:"required,immutable"`
	Unknown   armjson.Unknown `json:"-"`
}

// Feature is a named ability of an image.
type Feature struct {
	Name     string          `json:"name"`
	Value    string          `json:"value"`
	StartsAt string          `json:"startsAtVersion"`
	Unknown  armjson.Unknown `json:"-"`
}

// Recommended is what machines made from the image should have.
type Recommended struct {
	VCPUs   *Interval       `json:"vCPUs"`
	Memory  *Interval       `json:"memory"`
	Unknown armjson.Unknown `json:"-"`
}

// Interval has bounds that may be absent.
type Interval struct {
	Min *int32 `json:"min"`
	Max *int32 `json:"max"`
}

// Disallowed is what machines made from the image must not have.
type Disallowed struct {
	DiskTypes []string        `json:"diskTypes"`
	Unknown   armjson.Unknown `json:"-"`
}

// PurchasePlan is that of the marketplace image that this one derives from.
type PurchasePlan struct {
	Name      string          `json:"name"`
	Publisher string          `json:"publisher"`
	Product   string          `json:"product"`
	Unknown   armjson.Unknown `json:"-"`
}

// Version is the properties of an image version (gallery.md 7).
type Version struct {
	Publishing        *Publishing  `json:"publishingProfile"`
	Storage           Storage      `json:"storageProfile"` // always an object
	Safety            *Safety      `json:"safetyProfile"`
	SecurityProfile   *Security    `json:"securityProfile"`                  // only with $expand
	ReplicationStatus *Replication `json:"replicationStatus" arm:"readonly"` // only with $expand
	Restore           *bool        `json:"restore"`
	arm.Provisioning
	Unknown armjson.Unknown `json:"-"`

	Content []Content          `json:"content" arm:"private"`
	Regions map[string]*Region `json:"regions" arm:"private"` // by location name
	UEFI    *UEFI              `json:"uefi" arm:"private"`
	Deleted string             `json:"deleted" arm:"private"` // when it was soft-deleted; empty: it lives
}

// Bytes implements quota.Holding: the sizes of the version's disks, once in each region. Replicas in one region are one copy.
func (v *Version) Bytes() (n int64) {
	for _, c := range v.Content {
		n += int64(c.SizeGB) << 30
	}
	return n * int64(max(1, len(v.Regions)))
}

// Security is what a version says of its machines' firmware.
type Security struct {
	UEFI    *UEFI           `json:"uefiSettings"`
	Unknown armjson.Unknown `json:"-"`
}

// UEFI are the keys of secure boot.
type UEFI struct {
	Templates  []string        `json:"signatureTemplateNames"`
	Additional *Signatures     `json:"additionalSignatures"`
	Unknown    armjson.Unknown `json:"-"`
}

// Signatures are keys beyond those of the templates.
type Signatures struct {
	PK  *UEFIKey  `json:"pk"`
	KEK []UEFIKey `json:"kek"`
	DB  []UEFIKey `json:"db"`
	DBX []UEFIKey `json:"dbx"`
}

// UEFIKey is a key, or hashes.
type UEFIKey struct {
	Type  string   `json:"type" arm:"required,enum=sha256|x509"`
	Value []string `json:"value"` // base64
}

// Content is one disk of a version.
type Content struct {
	LUN     int        `json:"lun" arm:"always"` // -1: the OS disk
	SizeGB  int        `json:"sizeGB"`
	Caching string     `json:"caching"` // as at the source; empty: it does not say
	Source  *image.Ref `json:"source"`  // as it was at the source, pinned; nil: not known yet, or an empty disk
	Frozen  *Frozen    `json:"frozen"`  // what is to be read when the work begins; nil: nothing
	Ref     *image.Ref `json:"ref"`     // in the domain of the gallery's tenant; nil: not there yet
}

// Frozen names a disk, or a VHD in a storage account, whose bytes do not lie still when the version is asked for.
type Frozen struct {
	ID       string `json:"id"`       // of the disk or of the account
	URI      string `json:"uri"`      // of the VHD
	UniqueID string `json:"uniqueId"` // of the disk; another of the same name has another one
}

// Region is how far a version is in one region.
type Region struct {
	State    string `json:"state"` // Replicating, Completed, Failed
	Progress int    `json:"progress"`
	Details  string `json:"details"`
}

// The states of a region.
const (
	Replicating = "Replicating"
	Completed   = "Completed"
	Failed      = "Failed"
)

// Publishing says where a version can be used, and how.
type Publishing struct {
	TargetRegions     []TargetRegion  `json:"targetRegions"`
	ReplicaCount      *int32          `json:"replicaCount"`
	ExcludeFromLatest bool            `json:"excludeFromLatest" arm:"always"`
	PublishedDate     string          `json:"publishedDate" arm:"readonly"`
	EndOfLifeDate     string          `json:"endOfLifeDate"`
	StorageAccount    string          `json:"storageAccountType" arm:"immutable,enum=Standard_LRS|Standard_ZRS|Premium_LRS|PremiumV2_LRS"`
	Source            *OldSource      `json:"source"` // until 2019-07-01
	Strategy          string          `json:"storageAccountStrategy" arm:"immutable,enum=PreferStandard_ZRS|DefaultStandard_LRS"`
	ReplicationMode   string          `json:"replicationMode" arm:"immutable,enum=Full|Shallow"`
	Extended          json.RawMessage `json:"targetExtendedLocations"`
	Unknown           armjson.Unknown `json:"-"`
}

// OldSource is how versions named their managed image before 2019-07-01.
type OldSource struct {
	ManagedImage *Source `json:"managedImage"`
}

// TargetRegion is one region of a version. Its name is answered as the display name (recorded).
type TargetRegion struct {
	Name                 string          `json:"name" arm:"required"`
	RegionalReplicaCount *int32          `json:"regionalReplicaCount"`
	StorageAccount       string          `json:"storageAccountType" arm:"enum=Standard_LRS|Standard_ZRS|Premium_LRS|PremiumV2_LRS"`
	ExcludeFromLatest    *bool           `json:"excludeFromLatest"`
	Encryption           json.RawMessage `json:"encryption"`
	ReplicaSets          []ReplicaSet    `json:"additionalReplicaSets"`
	Unknown              armjson.Unknown `json:"-"`
}

// ReplicaSet is further replicas of a region, on another kind of storage.
type ReplicaSet struct {
	RegionalReplicaCount *int32          `json:"regionalReplicaCount"`
	StorageAccount       string          `json:"storageAccountType" arm:"enum=Standard_LRS|Standard_ZRS|Premium_LRS|PremiumV2_LRS"`
	Unknown              armjson.Unknown `json:"-"`
}

// Storage says where a version's disks came from.
type Storage struct {
	Source    *Source         `json:"source"`
	OSDisk    *DiskImage      `json:"osDiskImage"`
	DataDisks []DataDiskImage `json:"dataDiskImages"`
	Unknown   armjson.Unknown `json:"-"`
}

// Source names what a version or a disk of it is made from. What of it may change is compared by Settle.
type Source struct {
	ID             string          `json:"id"`
	StorageAccount string          `json:"storageAccountId"`
	URI            string          `json:"uri"`
	VirtualMachine string          `json:"virtualMachineId"`
	Community      string          `json:"communityGalleryImageId"`
	Unknown        armjson.Unknown `json:"-"`
}

// DiskImage is the OS disk of a version.
type DiskImage struct {
	SizeInGB    int             `json:"sizeInGB" arm:"readonly"`
	HostCaching string          `json:"hostCaching" arm:"enum=None|ReadOnly|ReadWrite"`
	Source      *Source         `json:"source"`
	Unknown     armjson.Unknown `json:"-"`
}

// DataDiskImage is a data disk of a version.
type DataDiskImage struct {
	LUN         *int32          `json:"lun" arm:"required"`
	SizeInGB    int             `json:"sizeInGB" arm:"readonly"`
	HostCaching string          `json:"hostCaching" arm:"enum=None|ReadOnly|ReadWrite"`
	Source      *Source         `json:"source"`
	Unknown     armjson.Unknown `json:"-"`
}

// Safety guards against accidents.
type Safety struct {
	Reported       bool            `json:"reportedForPolicyViolation" arm:"readonly,always"`
	Violations     json.RawMessage `json:"policyViolations" arm:"readonly"`
	AllowDeletion  bool            `json:"allowDeletionOfReplicatedLocations" arm:"always"`
	BlockUntilLife *bool           `json:"blockDeletionBeforeEndOfLife"`
	Unknown        armjson.Unknown `json:"-"`
}

// Replication is what $expand=ReplicationStatus shows.
type Replication struct {
	Aggregated string         `json:"aggregatedState"`
	Summary    []RegionStatus `json:"summary"`
}

// RegionStatus is one region's line.
type RegionStatus struct {
	Region   string `json:"region"`
	State    string `json:"state"`
	Details  string `json:"details" arm:"always"`
	Progress int    `json:"progress" arm:"always"`
}

// Terms lets a manifest's users be found, and those of a shared or community gallery.
func (v *Version) Terms() []string {
	var terms []string
	if v.Storage.Source != nil {
		terms = append(terms, UseTerms(v.Storage.Source.Any())...)
	}
	for name, r := range v.Regions {
		if r.State == Completed {
			terms = append(terms, RegionTerm(name))
		}
	}
	for _, c := range v.Content {
		if c.Ref != nil {
			terms = append(terms, "manifest:"+c.Ref.String())
		}
	}
	return terms
}

type (
	// GalleryResource is a gallery.
	GalleryResource = control.Resource[Gallery]
	// DefinitionResource is an image definition.
	DefinitionResource = control.Resource[Definition]
	// VersionResource is an image version.
	VersionResource = control.Resource[Version]
)
