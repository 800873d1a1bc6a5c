package catalog

import (
	"encoding/json"
	"strings"

	"vitrine/internal/arm"
)

// Invalid is a fault of a request's member.
func Invalid(target, format string, args ...any) *arm.Error {
	return arm.Errorf(400, "InvalidParameter", format, args...).At(target)
}

// Unsupported refuses by name what Azure has and this installation has not.
func Unsupported(target, what string) *arm.Error {
	return arm.Errorf(400, "NotSupported", "%s is not supported by this installation yet.", what).At(target)
}

// NotChangeable refuses another value of a member that is fixed.
func NotChangeable(target string) *arm.Error {
	return arm.Errorf(409, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", target).At(target)
}

// Present tells whether a member that is not modelled says anything.
func Present(raw json.RawMessage) bool {
	switch strings.TrimSpace(string(raw)) {
	case "", "null", "[]", "{}":
		return false
	}
	return true
}
