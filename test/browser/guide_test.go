package browser

import (
	"os/exec"
	"testing"

	"vitrine/test/playbook"
)

// TestShareAcrossTenants executes the whole guide, az, machine and browser; see test/playbook for what a fence means.
func TestShareAcrossTenants(t *testing.T) {
	s := playbook.NewStage(t, "chromium", "curl", "openssl")
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	window(t, s, chromium, "share-across-tenants")
	page := playbook.Read(t, "docs/guide/share-across-tenants.md")
	for _, b := range page.Unexecuted() {
		t.Errorf("%s: a %s fence; every command of this guide is executed", b.At(), b.Kind)
	}
	s.Run(page)
	if left := s.Left(); len(left) > 0 {
		t.Errorf("processes are left after the guide's last command: %v", left)
	}
}
