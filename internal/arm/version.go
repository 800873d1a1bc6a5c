package arm

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine/internal/pattern"
)

// Version is an api-version: "YYYY-MM-DD" with an optional "-preview".
type Version string

var versionForm = pattern.New(`^\d{4}-\d{2}-\d{2}(-[a-z]+)?$`)

// VersionOf takes the api-version from a query. Any well-formed one is accepted, since clients of every age are
// welcome; a type picks its dialect by date. The name is matched without case, as ARM does.
func VersionOf(q url.Values) (Version, error) {
	value := ""
	for _, name := range slices.Sorted(maps.Keys(q)) { // sorted: of several spellings the lower-case one decides, always
		if strings.EqualFold(name, "api-version") && len(q[name]) > 0 {
			value = strings.ToLower(strings.TrimSpace(q[name][0]))
		}
	}
	if value == "" {
		return "", Errorf(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if !versionForm.MatchString(value) {
		return "", invalidVersion(value)
	}
	if _, err := time.Parse(time.DateOnly, value[:10]); err != nil {
		return "", invalidVersion(value)
	}
	return Version(value), nil
}

func invalidVersion(v string) *Error {
	return Errorf(400, "InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions have the form 'YYYY-MM-DD' or 'YYYY-MM-DD-preview'.", printable(v))
}

// Date is the day of the version, for comparing: "2022-03-03".
func (v Version) Date() string { return string(v)[:10] }
