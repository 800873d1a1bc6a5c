package s3blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"vitrine/internal/blob"
)

var (
	errExists        = errors.New("the object exists")
	errUnconditional = errors.New("the server does not know conditional puts")
	errBroken        = fmt.Errorf("%w: the answer broke off", blob.ErrAway)
)

// meaning says what an error of the client is to the callers of blob. Codes are S3's (API reference, "Error responses") where they are
// not told otherwise.
func meaning(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // however the client words it
		return ctx.Err()
	}
	r := minio.ToErrorResponse(err)
	switch {
	case r.Code == "NoSuchBucket":
		return fmt.Errorf("%w: %w", blob.ErrAway, err) // no object: everything is missing, and that must not look like one
	case r.Code == "NoSuchKey" || r.StatusCode == http.StatusNotFound:
		return blob.ErrNotFound
	case r.Code == "InvalidRange" || r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %s", blob.ErrRange, r.Message)
	case r.Code == "PreconditionFailed" || r.StatusCode == http.StatusPreconditionFailed:
		return errExists
	case strings.Contains(strings.ToLower(r.Message), "already exists"): // gofakes3, with a code of its own
		return errExists
	case r.Code == "NotImplemented" || r.StatusCode == http.StatusNotImplemented:
		return errUnconditional
	case r.StatusCode == http.StatusInsufficientStorage || fullCode(r.Code) || strings.Contains(r.Message, "no space left on device"):
		return fmt.Errorf("%w: %s", blob.ErrFull, r.Message)
	}
	return fmt.Errorf("%w: %w", blob.ErrAway, err)
}

// fullCode is what servers call a lack of room: Ceph and others, MinIO, versitygw.
func fullCode(code string) bool {
	switch code {
	case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
		return true
	}
	return false
}

// worded says what was tried. An object's key is no secret; the client's errors have no credentials.
func worded(what, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, key, err)
}
