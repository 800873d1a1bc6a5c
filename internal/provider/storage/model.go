package storage

import (
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/provider/storage/content"
)

// The types that this package serves.
const (
	AccountType   = "Microsoft.Storage/storageAccounts"
	ServiceType   = AccountType + "/blobServices"
	ContainerType = ServiceType + "/containers"
)

// Properties is what an account is, in the order in which Storage answers.
type Properties struct {
	KeyCreationTime     *KeyTimes       `json:"keyCreationTime" arm:"readonly"`
	AllowBlobPublic     *bool           `json:"allowBlobPublicAccess"`
	AllowSharedKey      *bool           `json:"allowSharedKeyAccess"`
	AllowCrossTenant    *bool           `json:"allowCrossTenantReplication"`
	DefaultToOAuth      *bool           `json:"defaultToOAuthAuthentication"`
	MinimumTLS          string          `json:"minimumTlsVersion" arm:"enum=TLS1_0|TLS1_1|TLS1_2|TLS1_3"`
	PublicNetworkAccess string          `json:"publicNetworkAccess" arm:"enum=Enabled|Disabled|SecuredByPerimeter"`
	NetworkACLs         *NetworkACLs    `json:"networkAcls"`
	HTTPSOnly           *bool           `json:"supportsHttpsTrafficOnly"`
	Encryption          *Encryption     `json:"encryption"`
	Hierarchical        *bool           `json:"isHnsEnabled" arm:"immutable"`
	SFTP                *bool           `json:"isSftpEnabled"`
	NFS                 *bool           `json:"isNfsV3Enabled"`
	CustomDomain        json.RawMessage `json:"customDomain"`
	SASPolicy           *SASPolicy      `json:"sasPolicy"`
	CopyScope           string          `json:"allowedCopyScope" arm:"enum=AAD|PrivateLink"`
	Immutable           *Switch         `json:"immutableStorageWithVersioning"`
	AccessTier          string          `json:"accessTier" arm:"enum=Hot|Cool|Premium|Cold"`
	arm.Provisioning
	CreationTime     string          `json:"creationTime" arm:"readonly"`
	PrimaryEndpoints *Endpoints      `json:"primaryEndpoints" arm:"readonly"`
	PrimaryLocation  string          `json:"primaryLocation" arm:"readonly"`
	StatusOfPrimary  string          `json:"statusOfPrimary" arm:"readonly"`
	Unknown          armjson.Unknown `json:"-"`

	UniqueID string `json:"uniqueId" arm:"private"` // what the keys are sealed for: a later account of its name has others
	Keys     []Key  `json:"keys" arm:"private"`
}

// KeyTimes says when each key was made.
type KeyTimes struct {
	Key1 string `json:"key1"`
	Key2 string `json:"key2"`
}

// NetworkACLs are the account's firewall; only the one that lets everybody in is served.
type NetworkACLs struct {
	Bypass        string            `json:"bypass"`
	VirtualRules  []json.RawMessage `json:"virtualNetworkRules" arm:"always"`
	IPRules       []json.RawMessage `json:"ipRules" arm:"always"`
	DefaultAction string            `json:"defaultAction" arm:"enum=Allow|Deny"`
	Unknown       armjson.Unknown   `json:"-"`
}

// Encryption says who holds the key of the bytes at rest.
type Encryption struct {
	Services  json.RawMessage `json:"services"`
	Twice     *bool           `json:"requireInfrastructureEncryption"`
	KeySource string          `json:"keySource" arm:"enum=Microsoft.Storage|Microsoft.Keyvault"`
	Unknown   armjson.Unknown `json:"-"`
}

// SASPolicy says for how long signatures should be valid; only the one that is advice is served.
type SASPolicy struct {
	Period  string          `json:"sasExpirationPeriod"`
	Action  string          `json:"expirationAction" arm:"enum=Log|Block"`
	Unknown armjson.Unknown `json:"-"`
}

// Switch is a feature with settings of its own, which must be off.
type Switch struct {
	Enabled *bool           `json:"enabled"`
	Enable  *bool           `json:"enable"` // as one of them spells it
	Unknown armjson.Unknown `json:"-"`
}

func (s *Switch) on() bool { return s != nil && (isTrue(s.Enabled) || isTrue(s.Enable)) }

func isTrue(b *bool) bool { return b != nil && *b }

// Endpoints are the account's URLs; of its services there is the one for blobs.
type Endpoints struct {
	Blob string `json:"blob"`
}

// Key is one of the two access keys, sealed.
type Key struct {
	Name    string `json:"name"`
	Created string `json:"created"`
	Sealed  string `json:"sealed"` // base64 text, as listKeys shows it
}

type resource = control.Resource[Properties]

// Service is the properties of an account's blob service, of which there is one, named default.
type Service struct {
	CORS       json.RawMessage `json:"cors"`
	Retention  json.RawMessage `json:"deleteRetentionPolicy"`
	Version    string          `json:"defaultServiceVersion"`
	Versioning *bool           `json:"isVersioningEnabled"`
	Snapshots  *bool           `json:"automaticSnapshotPolicyEnabled"`
	Containers *Switch         `json:"containerDeleteRetentionPolicy"`
	Restore    *Switch         `json:"restorePolicy"`
	Feed       *Switch         `json:"changeFeed"`
	Access     *Switch         `json:"lastAccessTimeTrackingPolicy"`
	Unknown    armjson.Unknown `json:"-"`
}

// Container is the properties of a blob container.
type Container struct {
	DefaultScope string            `json:"defaultEncryptionScope" arm:"default=$account-encryption-key"`
	DenyOverride bool              `json:"denyEncryptionScopeOverride" arm:"always"`
	Versions     *Switch           `json:"immutableStorageWithVersioning"`
	PublicAccess string            `json:"publicAccess" arm:"enum=None|Blob|Container,default=None"`
	LeaseStatus  string            `json:"leaseStatus" arm:"readonly"`
	LeaseState   string            `json:"leaseState" arm:"readonly"`
	Modified     string            `json:"lastModifiedTime" arm:"readonly"`
	Metadata     map[string]string `json:"metadata"`
	Immutable    bool              `json:"hasImmutabilityPolicy" arm:"readonly,always"`
	LegalHold    bool              `json:"hasLegalHold" arm:"readonly,always"`
	Deleted      bool              `json:"deleted" arm:"readonly,always"`
	Unknown      armjson.Unknown   `json:"-"`

	UniqueID string        `json:"uniqueId" arm:"private"` // names the container's bytes: a later one of its name has none of them
	Lease    content.Lease `json:"lease" arm:"private"`
}
