package arm

import (
	"maps"
	"slices"
	"unicode/utf8"
)

// CheckTags finds what is wrong with tags (ARM: 50 per resource, names of 512 characters, values of 256).
func CheckTags(tags map[string]string) []*Error {
	var faults []*Error
	if len(tags) > 50 {
		faults = append(faults, Errorf(400, "TooManyTags", "The tags property has %d tags; a resource may have at most 50.", len(tags)).At("tags"))
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if utf8.RuneCountInString(name) > 512 || utf8.RuneCountInString(tags[name]) > 256 {
			faults = append(faults, Errorf(400, "InvalidTagNameOrValue", "The tag '%.64s' is too long: a name may have 512 characters, a value 256.", name).At("tags"))
		}
	}
	return faults
}
