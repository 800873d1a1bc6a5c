package source

import (
	"vitrine/internal/arm"
	"vitrine/internal/pattern"
)

var names = pattern.New(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)

// CheckName is Compute's rule for the names of disks, snapshots, managed images and restore points: up to 80 letters, digits, '_', '.'
// and '-', with neither of the last two at an end. nil: it is kept.
func CheckName(n string) *arm.Error {
	if names.MatchString(n) {
		return nil
	}
	return arm.Errorf(400, "InvalidParameter", "The entity name 'name' is invalid according to its validation rule: %s.", `^[^_\W][\w-._]{0,79}(?<![-.])$`).At("name")
}
