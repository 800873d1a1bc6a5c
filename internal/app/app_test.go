package app

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/client"
	"vitrine/internal/proc"
)

// A second server on a data folder is told who has it and what to do.
func TestLock(t *testing.T) {
	data := t.TempDir()
	unlock, err := lock(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.WriteState(filepath.Join(data, client.ServerFile), client.Server{PID: 4711}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the wait is proc's to test
	_, err = lock(ctx, data)
	if !errors.Is(err, proc.ErrHeld) {
		t.Fatalf("a second lock: %v", err)
	}
	for _, part := range []string{data, "4711", "--data"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %q", part, err)
		}
	}
	unlock()
	again, err := lock(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
