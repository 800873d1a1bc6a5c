package disk

import (
	"encoding/json"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
)

// The resource types that this package serves. A snapshot is a disk that no machine ever runs on: one model serves both.
const (
	Type         = "Microsoft.Compute/disks"
	SnapshotType = "Microsoft.Compute/snapshots"
)

// The states of a disk (the values of Azure's diskState that occur here).
const (
	Unattached    = "Unattached"
	Attached      = "Attached"
	Reserved      = "Reserved" // attached to a deallocated machine
	ActiveSAS     = "ActiveSAS"
	ReadyToUpload = "ReadyToUpload"
	ActiveUpload  = "ActiveUpload"
)

// Properties is what a disk is, in the order in which Compute answers.
type Properties struct {
	OSType              string          `json:"osType" arm:"enum=Windows|Linux"`
	HyperVGeneration    string          `json:"hyperVGeneration" arm:"enum=V1|V2"`
	PurchasePlan        json.RawMessage `json:"purchasePlan"`
	Capabilities        *Capabilities   `json:"supportedCapabilities"`
	CreationData        *CreationData   `json:"creationData" arm:"required,immutable"`
	DiskSizeGB          int             `json:"diskSizeGB"`
	DiskIOPSReadWrite   int             `json:"diskIOPSReadWrite" arm:"readonly"`
	DiskMBpsReadWrite   int             `json:"diskMBpsReadWrite" arm:"readonly"`
	Encryption          *Encryption     `json:"encryption"`
	MaxShares           int             `json:"maxShares"`
	NetworkAccessPolicy string          `json:"networkAccessPolicy" arm:"enum=AllowAll|AllowPrivate|DenyAll,default=AllowAll"`
	PublicNetworkAccess string          `json:"publicNetworkAccess" arm:"enum=Enabled|Disabled,default=Enabled"`
	TimeCreated         string          `json:"timeCreated" arm:"readonly"`
	arm.Provisioning
	Incremental   *bool           `json:"incremental" arm:"immutable"` // of a snapshot
	FamilyID      string          `json:"incrementalSnapshotFamilyId" arm:"readonly"`
	Completion    *float64        `json:"completionPercent" arm:"readonly"` // of a snapshot that is copied in the background
	AccessID      string          `json:"diskAccessId"`
	AuthMode      string          `json:"dataAccessAuthMode" arm:"enum=AzureActiveDirectory|None"`
	Security      *Security       `json:"securityProfile"`
	DiskState     string          `json:"diskState" arm:"readonly"`
	DiskSizeBytes int64           `json:"diskSizeBytes" arm:"readonly"`
	UniqueID      string          `json:"uniqueId" arm:"readonly"`
	Tier          string          `json:"tier"`
	Unknown       armjson.Unknown `json:"-"`

	Manifest *image.Ref `json:"manifest" arm:"private"` // what the disk held when it was made; nil: zeros
	Overlay  bool       `json:"overlay" arm:"private"`  // a machine has written: Manifest is no longer the whole truth
	Pending  bool       `json:"pending" arm:"private"`  // the content is still on its way, or never came
	Grown    bool       `json:"grown" arm:"private"`    // the overlay is not as large yet as DiskSizeBytes
}

// Bytes implements quota.Holding: the size of the disk, up to which machines and uploads may fill it.
func (p *Properties) Bytes() int64 { return p.DiskSizeBytes }

// CreationData says where a disk's content comes from.
type CreationData struct {
	CreateOption          string          `json:"createOption" arm:"required,enum=Empty|Upload|FromImage|Copy|Import|Restore|Attach|CopyStart|ImportSecure|UploadPreparedSecure|CopyFromSanSnapshot"`
	SourceResourceID      string          `json:"sourceResourceId"`
	SourceUniqueID        string          `json:"sourceUniqueId" arm:"readonly"`
	GalleryImageReference *ImageReference `json:"galleryImageReference"`
	ImageReference        *ImageReference `json:"imageReference"`
	SourceURI             string          `json:"sourceUri"`
	StorageAccountID      string          `json:"storageAccountId"`
	SecurityDataURI       string          `json:"securityDataUri"`
	ElasticSAN            string          `json:"elasticSanResourceId"`
	UploadSizeBytes       int64           `json:"uploadSizeBytes"`
	Unknown               armjson.Unknown `json:"-"`
}

// ImageReference names an image; LUN chooses a data disk of it.
type ImageReference struct {
	ID        string          `json:"id"`
	Shared    string          `json:"sharedGalleryImageId"`
	Community string          `json:"communityGalleryImageId"`
	LUN       *int            `json:"lun"`
	Unknown   armjson.Unknown `json:"-"`
}

// Security says what protects the machines that start from a disk.
type Security struct {
	Type    string          `json:"securityType"`
	SetID   string          `json:"secureVMDiskEncryptionSetId"`
	Unknown armjson.Unknown `json:"-"`
}

// Encryption says who holds the key of the bytes at rest.
type Encryption struct {
	Type    string          `json:"type" arm:"enum=EncryptionAtRestWithPlatformKey|EncryptionAtRestWithCustomerKey|EncryptionAtRestWithPlatformAndCustomerKeys"`
	SetID   string          `json:"diskEncryptionSetId"`
	Unknown armjson.Unknown `json:"-"`
}

// Capabilities says on what machines the disk can be used.
type Capabilities struct {
	Architecture string          `json:"architecture" arm:"enum=x64|Arm64"`
	Unknown      armjson.Unknown `json:"-"`
}

// Terms lets a manifest's users be found.
func (p *Properties) Terms() []string {
	terms := p.useTerms()
	if p.Manifest == nil {
		return terms
	}
	return append(terms, "manifest:"+p.Manifest.String())
}

// lun is the LUN that a reference means; -1 is the OS disk.
func (r *ImageReference) lun() int {
	if r.LUN == nil {
		return -1
	}
	return *r.LUN
}

type resource = control.Resource[Properties]

// noun is what a resource is called in messages.
func noun(r *resource) string {
	if strings.EqualFold(r.Type, SnapshotType) {
		return "snapshot"
	}
	return "disk"
}

// title is noun at the beginning of a sentence.
func title(r *resource) string {
	if noun(r) == "snapshot" {
		return "Snapshot"
	}
	return "Disk"
}
