package template_test

import (
	"encoding/json"
	"slices"
	"testing"

	"vitrine/internal/template"
)

// Given values and defaults count, also beside a parameter that is refused; other parameters do not.
func TestSecrets(t *testing.T) {
	parsed, faults := template.Parse(json.RawMessage(`{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",
		"parameters":{"plain":{"type":"string","defaultValue":"open"},"given":{"type":"SecureString","maxLength":2},"missing":{"type":"securestring"},
		"made":{"type":"securestring","defaultValue":"[concat('made-', parameters('given'))]"},"o":{"type":"secureObject"}},"resources":[]}`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	got := template.Secrets(parsed, template.Env{}, json.RawMessage(`{"GIVEN":{"value":"abc"},"o":{"value":{"a":["x",{"b":"y"}],"n":3}},"unknown":{"value":"z"}}`))
	slices.Sort(got)
	if want := []string{"abc", "made-abc", "x", "y"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := template.Texts(json.RawMessage(`{"keys":[{"value":"k"}]}`)); !slices.Equal(got, []string{"k"}) {
		t.Errorf("texts %q", got)
	}
}
