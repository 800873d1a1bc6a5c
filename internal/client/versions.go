package client

import (
	"errors"

	"vitrine/internal/arm"
)

// The api-versions that this client speaks.
const (
	VersionGroups    = "2024-11-01"
	VersionGalleries = "2024-03-03"
	VersionDisks     = "2024-03-02"
	VersionMachines  = "2024-11-01"
	VersionNetwork   = "2024-05-01"
)

// Missing says whether an error is ARM's word for a thing that is not there.
func Missing(err error) bool {
	refused, ok := errors.AsType[*arm.Error](err)
	return ok && refused.Status == 404
}
