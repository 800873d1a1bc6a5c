package client

import "time"

// What the operator asks about stored image bytes, and the answers. Sizes are bytes.
type (
	// TenantQuery names a tenant by name or ID; empty: all.
	TenantQuery struct {
		Tenant string `json:"tenant"`
	}
	// ImageBytes is what is used.
	ImageBytes struct {
		Versions []VersionBytes `json:"versions"`
		Tenants  []TenantBytes  `json:"tenants"`
	}
	// QuotaRequest changes how many bytes a tenant may hold. With neither Limit nor Unlimited it is what all tenants may.
	QuotaRequest struct {
		Tenant    string `json:"tenant"`
		Limit     *int64 `json:"limit,omitempty"`
		Unlimited bool   `json:"unlimited,omitempty"`
	}
	// TenantQuota is how many bytes a tenant holds and may hold, in all regions together, as its quota counts them.
	TenantQuota struct {
		TenantID string `json:"tenantId"`
		Name     string `json:"displayName"`
		Held     int64  `json:"heldBytes"`
		Limit    int64  `json:"limitBytes"` // -1: none
		Of       string `json:"limitOf"`    // "tenant": its own, "server": that of all
	}
	// VersionBytes is what an image version or a disk uses in one region.
	VersionBytes struct {
		ID          string `json:"id"`
		Region      string `json:"region"`
		TenantID    string `json:"tenantId"` // whose bytes they are
		Logical     int64  `json:"logicalBytes"`
		Allocated   int64  `json:"allocatedBytes"`
		Stored      int64  `json:"storedBytes"`
		Unique      int64  `json:"uniqueBytes"`
		Shared      int64  `json:"sharedBytes"`
		Reclaimable int64  `json:"reclaimableBytes"` // what its deletion frees
		Manifest    string `json:"manifest"`
	}
	// TenantBytes is what a tenant's images use in one region, all together.
	TenantBytes struct {
		TenantID    string `json:"tenantId"`
		Region      string `json:"region"`
		Manifests   int    `json:"manifests"`
		Objects     int    `json:"objects"`
		Logical     int64  `json:"logicalBytes"`
		Allocated   int64  `json:"allocatedBytes"`
		Stored      int64  `json:"storedBytes"`
		Unique      int64  `json:"uniqueBytes"`
		Shared      int64  `json:"sharedBytes"`
		Reclaimable int64  `json:"reclaimableBytes"` // what the next collection frees
		Held        int64  `json:"heldBytes"`        // what the tenant's quota counts, in all regions together
		Limit       int64  `json:"limitBytes"`       // of that; -1: none
	}
	// CollectPlan is what a collection would free.
	CollectPlan struct {
		Collected
		Bases int         `json:"bases"`
		Freed []FreedItem `json:"freed"`
	}
	// FreedItem is one thing of it; some 10,000 a region are listed.
	FreedItem struct {
		What   string `json:"what"`
		Region string `json:"region"`
		Bytes  int64  `json:"bytes"`
		Why    string `json:"why"`
	}
	// ScrubRequest asks for a scrub, or with Status how far the present one is, or how the last one ended.
	ScrubRequest struct {
		Status bool `json:"status"`
		Reseal bool `json:"reseal"` // encrypt with the tenants' present keys what is not
	}
	// Scrubbed is a scrub.
	Scrubbed struct {
		Started   time.Time   `json:"started"`
		Ended     time.Time   `json:"ended"` // zero: it is under way
		Manifests int         `json:"manifests"`
		Chunks    int         `json:"chunks"`
		Bytes     int64       `json:"bytes"`
		Mended    int         `json:"mended"`
		Resealed  int         `json:"resealed"`
		Damaged   int         `json:"damaged"`
		Damage    []LostBytes `json:"damage"`
	}
	// LostBytes is damage that no region can mend.
	LostBytes struct {
		Object  string   `json:"object"`
		Region  string   `json:"region"`
		Offset  int64    `json:"offset"` // in the disk; -1: the manifest
		Holders []string `json:"holders"`
		Fault   string   `json:"fault"`
	}
	// TenantKey is a key that image bytes of a tenant are encrypted with.
	TenantKey struct {
		TenantID string    `json:"tenantId"`
		Key      string    `json:"keyId"`
		State    string    `json:"state"` // current, former, shredded
		Time     time.Time `json:"time"`  // when it was made, or shredded
		Master   string    `json:"masterKeyId"`
	}
	// Rewrapped counts the keys that are under the present master key now and were not before.
	Rewrapped struct {
		Keys int `json:"keys"`
	}
	// ShredRequest asks to destroy the keys of a tenant's images, and the images.
	ShredRequest struct {
		Tenant string `json:"tenant"`
		Force  bool   `json:"force"` // though something needs them
	}
	// ShreddedTenant is what came of it.
	ShreddedTenant struct {
		TenantID string   `json:"tenantId"`
		Objects  int      `json:"objects"` // deleted
		Bytes    int64    `json:"bytes"`
		Lost     []string `json:"lost"` // resources that needed them
	}
)
