package app_test

import (
	"log/slog"
	"strings"
	"testing"

	"vitrine/internal/app"
)

// TestNoServerInHelper: what netstack and qemu start must not become a server, whatever program it is.
func TestNoServerInHelper(t *testing.T) {
	t.Setenv("VITRINE_HELPER", "1")
	a, err := app.New(t.Context(), app.Config{Data: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		a.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "helper") {
		t.Fatalf("a helper became a server: %v", err)
	}
}
