package client

import (
	"strings"
	"testing"

	"vitrine/internal/arm"
)

func TestTargets(t *testing.T) {
	im := Import{Targets: []string{"West US", "eastus", "westus"}}
	if got := strings.Join(im.targets("eastus"), ","); got != "eastus,westus" {
		t.Errorf("got %s", got)
	}
}

// The disk's name must be the same for a second run, and another for other content or another version.
func TestDiskID(t *testing.T) {
	version := func(n string) arm.ID {
		id, err := arm.ParseID("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/x/images/d/versions/" + n)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	seen := map[string]bool{}
	for _, im := range []*Import{{Version: version("1.0.0"), identity: "a"}, {Version: version("1.0.0"), identity: "b"}, {Version: version("1.0.1"), identity: "a"}} {
		id := im.diskID()
		if id.Type() != "Microsoft.Compute/disks" || id.ResourceGroup != "g" || len(id.Name()) > 80 {
			t.Errorf("disk %s", id)
		}
		if again := im.diskID(); again.Key() != id.Key() {
			t.Errorf("the name of the disk changes: %s, %s", id, again)
		}
		seen[id.Key()] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d names for three uploads", len(seen))
	}
}
