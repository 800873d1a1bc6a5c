package insights

import (
	"testing"

	"vitrine/internal/audit"
)

// FuzzFilter wants every text to be read or refused, and what was read to compare without a panic.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"", "eventTimestamp ge '2026-01-01T00:00:00Z'", "eventTimestamp ge '2026-01-01' and caller eq 'it''s' and status eq Failed",
		"eventTimestamp ge 2026-01-01T00:00:00Z and resourceUri eq '/subscriptions/s/'", "a eq b and ", "' and '"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text)
		if err != nil {
			return
		}
		if got.from.IsZero() {
			t.Errorf("%q has no beginning", text)
		}
		got.matches(&audit.Event{})
	})
}
