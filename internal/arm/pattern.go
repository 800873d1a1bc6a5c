package arm

import "strings"

// Match compares the segments of a path with a pattern, such as "/subscriptions/{subscription}/locations", without regard to case.
// Segments in braces match any one name, and are given by it; "{scope...}" at the beginning matches any scope.
func Match(pattern string, segments []string) (map[string]string, bool) {
	want := strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	if len(want) > 0 && want[0] == "{scope...}" { // any scope before the rest
		before := len(segments) - len(want) + 1
		if before < 0 {
			return nil, false
		}
		names, ok := Match(strings.Join(want[1:], "/"), segments[before:])
		if ok {
			names["scope"] = "/" + strings.Join(segments[:before], "/")
		}
		return names, ok
	}
	if len(want) != len(segments) {
		return nil, false
	}
	names := map[string]string{}
	for i, w := range want {
		if strings.HasPrefix(w, "{") {
			names[strings.Trim(w, "{}")] = segments[i]
		} else if !strings.EqualFold(w, segments[i]) {
			return nil, false
		}
	}
	return names, true
}
