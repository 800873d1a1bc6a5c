package application

import (
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/image"
	"vitrine/internal/provider/gallery/catalog"
)

// The types that this package serves.
const (
	Type        = catalog.GalleryType + "/applications"
	VersionType = Type + "/versions"
)

// Application is the properties of an application (gallery.md 16). It has no provisioningState (recorded).
type Application struct {
	SupportedOSType     string          `json:"supportedOSType" arm:"required,immutable,enum=Windows|Linux"`
	Description         string          `json:"description"`
	Eula                string          `json:"eula"`
	PrivacyStatementURI string          `json:"privacyStatementUri"`
	ReleaseNoteURI      string          `json:"releaseNoteUri"`
	EndOfLifeDate       string          `json:"endOfLifeDate"`
	CustomActions       []CustomAction  `json:"customActions"`
	Unknown             armjson.Unknown `json:"-"`
}

// CustomAction is a script that can be run with a version.
type CustomAction struct {
	Name        string          `json:"name" arm:"required"`
	Script      string          `json:"script" arm:"required"`
	Description string          `json:"description"`
	Parameters  []Parameter     `json:"parameters"`
	Unknown     armjson.Unknown `json:"-"`
}

// Parameter is what a custom action is told.
type Parameter struct {
	Name        string          `json:"name" arm:"required"`
	Required    *bool           `json:"required"`
	Type        string          `json:"type" arm:"enum=String|ConfigurationDataBlob|LogOutputBlob"`
	Default     string          `json:"defaultValue"`
	Description string          `json:"description"`
	Unknown     armjson.Unknown `json:"-"`
}

// Version is the properties of an application's version.
type Version struct {
	Publishing        *Publishing          `json:"publishingProfile" arm:"required"`
	Safety            *Safety              `json:"safetyProfile"`
	ReplicationStatus *catalog.Replication `json:"replicationStatus" arm:"readonly"` // only with $expand
	arm.Provisioning
	Unknown armjson.Unknown `json:"-"`

	Content []Content                  `json:"content" arm:"private"`
	Regions map[string]*catalog.Region `json:"regions" arm:"private"` // by location name
}

// Bytes implements control.Holding: the files, once in each region. Replicas in one region are one copy.
func (v *Version) Bytes() (n int64) {
	for _, c := range v.Content {
		n += c.Size
	}
	return n * int64(max(1, len(v.Regions)))
}

// Publishing says what a version is, and where it can be used.
type Publishing struct {
	Source            *Source                `json:"source" arm:"required"`
	Actions           *Actions               `json:"manageActions"` // required of a new version; az 2.45 leaves it out of an update
	Settings          *Settings              `json:"settings"`
	Advanced          map[string]string      `json:"advancedSettings"`
	EnableHealthCheck *bool                  `json:"enableHealthCheck"`
	CustomActions     []CustomAction         `json:"customActions"`
	TargetRegions     []catalog.TargetRegion `json:"targetRegions"`
	ReplicaCount      *int32                 `json:"replicaCount"`
	ExcludeFromLatest bool                   `json:"excludeFromLatest" arm:"always"`
	PublishedDate     string                 `json:"publishedDate" arm:"readonly"`
	EndOfLifeDate     string                 `json:"endOfLifeDate"`
	StorageAccount    string                 `json:"storageAccountType" arm:"immutable,enum=Standard_LRS|Standard_ZRS|Premium_LRS|PremiumV2_LRS"`
	Strategy          string                 `json:"storageAccountStrategy" arm:"immutable,enum=PreferStandard_ZRS|DefaultStandard_LRS"`
	ReplicationMode   string                 `json:"replicationMode" arm:"immutable,enum=Full|Shallow"`
	Extended          json.RawMessage        `json:"targetExtendedLocations"`
	Unknown           armjson.Unknown        `json:"-"`
}

// Source names the blobs of a version, without their signatures: those are never kept, and Azure does not tell them either.
type Source struct {
	MediaLink     string          `json:"mediaLink" arm:"required"`
	Configuration string          `json:"defaultConfigurationLink"`
	Unknown       armjson.Unknown `json:"-"`
}

// Actions are the commands by which a machine's agent manages the application; they never change.
type Actions struct {
	Install string          `json:"install" arm:"required"`
	Remove  string          `json:"remove" arm:"required"`
	Update  string          `json:"update"`
	Unknown armjson.Unknown `json:"-"`
}

// Settings are the names that the files get in a machine; they never change.
type Settings struct {
	Package     string          `json:"packageFileName"`
	Config      string          `json:"configFileName"`
	AfterReboot string          `json:"scriptBehaviorAfterReboot" arm:"enum=None|Rerun"`
	Unknown     armjson.Unknown `json:"-"`
}

// Safety guards against accidents.
type Safety struct {
	AllowDeletion *bool           `json:"allowDeletionOfReplicatedLocations"`
	Unknown       armjson.Unknown `json:"-"`
}

// Content is one file of a version.
type Content struct {
	URI     string     `json:"uri"`     // of the blob, without its signature
	Account string     `json:"account"` // whose it was when the caller was seen to have the right: a name can become another's
	Most    int64      `json:"most"`    // bytes that it may have
	Size    int64      `json:"size"`    // bytes
	Ref     *image.Ref `json:"ref"`     // in the domain of the gallery's tenant, filled up to whole sectors; nil: not there yet
}

type (
	// Resource is an application.
	Resource = control.Resource[Application]
	// VersionResource is a version of one.
	VersionResource = control.Resource[Version]
)
