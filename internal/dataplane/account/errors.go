package account

import (
	"net/http"

	"vitrine/internal/dataplane/wire"
)

type wording struct {
	status  int
	message string
}

// worded gives a code of the service its status and message (learn.microsoft.com, Blob service error codes).
func worded(code string) *wire.Error {
	w, ok := wordings()[code]
	if !ok {
		w = wording{http.StatusBadRequest, "The request is not valid: " + code + "."}
	}
	return wire.Fail(w.status, code, w.message)
}

func wordings() map[string]wording {
	const conflict, absent, bad, unmet = http.StatusConflict, http.StatusNotFound, http.StatusBadRequest, http.StatusPreconditionFailed
	return map[string]wording{
		"BlobNotFound":                                {absent, "The specified blob does not exist."},
		"ContainerNotFound":                           {absent, "The specified container does not exist."},
		"ContainerAlreadyExists":                      {conflict, "The specified container already exists."},
		"BlobAlreadyExists":                           {conflict, "The specified blob already exists."},
		"InvalidResourceName":                         {bad, "The specified resource name contains invalid characters."},
		"InvalidBlobType":                             {conflict, "The blob type is invalid for this operation."},
		"InvalidBlobOrBlock":                          {bad, "The specified blob or block content is invalid."},
		"InvalidBlockList":                            {bad, "The specified block list is invalid."},
		"BlockListTooLong":                            {bad, "The block list may not contain more than 50,000 blocks."},
		"InvalidMetadata":                             {bad, "The specified metadata is invalid. It has characters that are not permitted."},
		"InvalidHeaderValue":                          {bad, "The value for one of the HTTP headers is not in the correct format."},
		"OutOfRangeInput":                             {bad, "One of the request inputs is out of range."},
		"IncompleteBody":                              {bad, "The request body is incomplete."},
		"PublicAccessNotPermitted":                    {conflict, "Public access is not permitted on this storage account."},
		"PendingCopyOperation":                        {conflict, "There is currently a pending copy operation."},
		"NoPendingCopyOperation":                      {conflict, "There is currently no pending copy operation."},
		"CopyIdMismatch":                              {conflict, "The specified copy ID did not match the copy ID for the pending copy operation."},
		"LeaseIdMissing":                              {unmet, "There is currently a lease on the resource and no lease ID was specified in the request."},
		"LeaseLost":                                   {unmet, "A lease ID was specified, but the lease for the resource has expired."},
		"LeaseAlreadyPresent":                         {conflict, "There is already a lease present."},
		"LeaseIdMismatchWithBlobOperation":            {unmet, "The lease ID specified did not match the lease ID for the blob."},
		"LeaseIdMismatchWithContainerOperation":       {unmet, "The lease ID specified did not match the lease ID for the container."},
		"LeaseIdMismatchWithLeaseOperation":           {conflict, "The lease ID specified did not match the lease ID for the resource."},
		"LeaseNotPresentWithBlobOperation":            {unmet, "There is currently no lease on the blob."},
		"LeaseNotPresentWithContainerOperation":       {unmet, "There is currently no lease on the container."},
		"LeaseNotPresentWithLeaseOperation":           {conflict, "There is currently no lease on the resource."},
		"LeaseIsBrokenAndCannotBeRenewed":             {conflict, "The lease ID matched, but the lease has been broken explicitly and cannot be renewed."},
		"LeaseIsBreakingAndCannotBeChanged":           {conflict, "The lease ID matched, but the lease is currently in breaking state and cannot be changed."},
		"QuotaExceeded":                               {conflict, "The write would exceed the quota of stored bytes of the storage account's tenant."}, // ours: the service has no code for it
		"OutOfRangeQueryParameterValue":               {bad, "A query parameter specified in the request URI is outside the permissible range."},
		"RequestEntityTooLargeBlockCountExceedsLimit": {conflict, "The uncommitted block count cannot exceed the maximum limit of 100,000 blocks."},
	}
}
