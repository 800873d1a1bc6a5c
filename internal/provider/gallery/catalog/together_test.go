package catalog

import (
	"errors"
	"testing"
	"time"

	"vitrine/internal/arm"
)

// What only the completed definition shows is told in one answer, too.
func TestFaultsTogether(t *testing.T) {
	d := Definition{Architecture: "Arm64", EndOfLifeDate: "2001-01-01", Features: []Feature{{Name: "SecurityType", Value: "TrustedLaunch"}}}
	err := d.Settle(nil, "2024-03-03", time.Now())
	var e *arm.Error
	if !errors.As(err, &e) || e.Status != 400 || len(e.Details) != 3 {
		t.Fatalf("got %v, want three faults", err)
	}
	d = Definition{}
	if err := d.Settle(nil, "2024-03-03", time.Now()); err != nil {
		t.Errorf("a definition without fault: %v", err)
	}
}
