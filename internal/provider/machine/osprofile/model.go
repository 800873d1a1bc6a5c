package osprofile

import (
	"encoding/json"

	"vitrine/internal/arm/armjson"
)

// Profile is what the guest is told at its first boot.
type Profile struct {
	ComputerName  string          `json:"computerName" arm:"immutable"`
	AdminUsername string          `json:"adminUsername" arm:"immutable"`
	AdminPassword string          `json:"adminPassword" arm:"secret"`
	CustomData    string          `json:"customData" arm:"secret"`
	Linux         *Linux          `json:"linuxConfiguration"`
	Windows       json.RawMessage `json:"windowsConfiguration"`
	Secrets       json.RawMessage `json:"secrets"`
	Extensions    *bool           `json:"allowExtensionOperations"`
	Signal        *bool           `json:"requireGuestProvisionSignal"`
	Unknown       armjson.Unknown `json:"-"`
}

// Linux is the part of the OS profile for Linux.
type Linux struct {
	NoPassword *bool           `json:"disablePasswordAuthentication" arm:"immutable"`
	SSH        *SSH            `json:"ssh" arm:"immutable"`
	Agent      *bool           `json:"provisionVMAgent" arm:"immutable"`
	Patch      *PatchSettings  `json:"patchSettings"`
	Unknown    armjson.Unknown `json:"-"`
}

// SSH is the keys of the administrator.
type SSH struct {
	Keys    []PublicKey     `json:"publicKeys"`
	Unknown armjson.Unknown `json:"-"`
}

// PublicKey is a line for authorized_keys.
type PublicKey struct {
	Path    string          `json:"path"`
	Data    string          `json:"keyData"`
	Unknown armjson.Unknown `json:"-"`
}

// PatchSettings is kept for clients; nothing here patches guests.
type PatchSettings struct {
	Mode       string          `json:"patchMode" arm:"default=ImageDefault"`
	Assessment string          `json:"assessmentMode" arm:"default=ImageDefault"`
	Unknown    armjson.Unknown `json:"-"`
}
