package image

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/pattern"
)

const versionType = "Microsoft.Compute/galleries/images/versions"

// parseVersion reads the ID of an image version.
func parseVersion(text string) (arm.ID, error) {
	id, err := arm.ParseID(text)
	if err != nil || !strings.EqualFold(id.Type(), versionType) || id.ResourceGroup == "" || id.Scope != "" {
		return arm.ID{}, errors.New("this must be the ID of an image version: /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/galleries/G/images/D/versions/1.0.0")
	}
	return id, checkNames(id)
}

// The names of the server, which would refuse others only after the upload.
var (
	groupNames      = pattern.New(`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`)
	galleryNames    = pattern.New(`^[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$`)
	definitionNames = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$`)
	hexSum          = pattern.New(`^[0-9A-Fa-f]{64}$`)
	versionNames    = pattern.New(`^(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})$`)
)

// checkNames refuses an ID with a name that the server would not take.
func checkNames(id arm.ID) error {
	_, err := uuid.Parse(id.Subscription)
	switch {
	case err != nil || len(id.Subscription) != 36:
		return fmt.Errorf("%q is not the ID of a subscription, such as 00000000-0000-0000-0000-000000000000", id.Subscription)
	case !groupNames.MatchString(id.ResourceGroup):
		return fmt.Errorf("%q is not the name of a resource group: up to 90 letters, digits, '_', '-', '.', '(' and ')', the last one not a period", id.ResourceGroup)
	case !galleryNames.MatchString(id.Names[0]):
		return fmt.Errorf("%q is not the name of a gallery: up to 80 letters, digits, '_' and '.', the first and the last one a letter or digit", id.Names[0])
	case !definitionNames.MatchString(id.Names[1]):
		return fmt.Errorf("%q is not the name of an image definition: up to 80 letters, digits, '_', '-' and '.', the first one a letter or digit", id.Names[1])
	case !versionName(id.Names[2]):
		return fmt.Errorf("%q is not the name of an image version: three numbers up to 2147483647, such as 1.0.0", id.Names[2])
	}
	return nil
}

func versionName(name string) bool {
	parts := versionNames.FindStringSubmatch(name)
	for _, p := range parts {
		if p == name {
			continue
		}
		if _, err := strconv.ParseInt(p, 10, 32); err != nil {
			return false
		}
	}
	return parts != nil
}
