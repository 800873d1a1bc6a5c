package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitrine/internal/proc"
)

// TestEnd: a server that ends the process leaves nothing that its successor takes for one that was killed.
func TestEnd(t *testing.T) {
	w := newWorld(t, -1)
	w.base()
	dir := filepath.Join(w.data, "nbd")
	must(t, w.bases.End(t.Context()))
	if proc.Held(lockFile(dir)) {
		t.Error("the process goes on")
	}
	if _, err := os.Stat(identityFile(dir)); !os.IsNotExist(err) {
		t.Errorf("%s: %v", identityFile(dir), err)
	}
	must(t, w.bases.End(t.Context())) // again
	w.open(-1)
	must(t, w.bases.look(t.Context()))
	r, err := w.bases.ask(t.Context(), request{Op: "status"})
	must(t, err)
	if len(r.Exports) != 1 || r.Heir || strings.Contains(w.log.String(), "killed") {
		t.Errorf("the next process: %+v, %s", r, w.log)
	}
}
