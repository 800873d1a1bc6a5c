package network

import (
	"encoding/json"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
)

// promised refuses members by name that would protect or route and do neither here: the paths of those that are not null, empty or
// off. A member is named with a dot before what switches it on: "encryption.enabled".
func promised(given armjson.Unknown, paths ...string) (faults []*arm.Error) {
	for _, path := range paths {
		name, inner, _ := strings.Cut(path, ".")
		for key, raw := range given {
			if strings.EqualFold(key, name) && asks(raw, inner) {
				faults = append(faults, arm.Errorf(400, "InvalidParameter", "'%s' is not supported by this server.", path).At(path))
			}
		}
	}
	return faults
}

func asks(raw json.RawMessage, inner string) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return true
	}
	if o, ok := v.(map[string]any); ok && inner != "" {
		v = nil
		for key, member := range o {
			if strings.EqualFold(key, inner) {
				v = member
			}
		}
	}
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}
