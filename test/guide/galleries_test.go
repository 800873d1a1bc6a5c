package guide

import (
	"strings"
	"testing"

	"vitrine/test/playbook"
)

func TestGalleries(t *testing.T) {
	s := playbook.NewStage(t)
	out := s.Run(playbook.Read(t, "docs/guide/galleries.md"))
	for _, part := range []string{"East US\tCompleted\t100", "West US\tCompleted\t100", "1.1.0\t20", "Succeeded", "GalleryImageVersions\t2\t10000"} {
		if !strings.Contains(out, part) {
			t.Errorf("the guide did not print %q:\n%s", part, out)
		}
	}
	if left := s.Left(); len(left) > 0 {
		t.Errorf("processes are left after the guide's last command: %v", left)
	}
}
