package guide

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGalleries(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root(t), "docs", "guide", "galleries.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	out := s.run(script(t, blocks(string(raw))))
	for _, part := range []string{"East US\tCompleted\t100", "West US\tCompleted\t100", "1.1.0\t20", "Succeeded", "GalleryImageVersions\t2\t10000"} {
		if !strings.Contains(out, part) {
			t.Errorf("the guide did not print %q:\n%s", part, out)
		}
	}
	if left := s.processes(); len(left) > 0 {
		t.Errorf("processes are left after the guide's last command: %v", left)
	}
}
