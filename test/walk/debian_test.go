package walk

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vitrine/test/harness"
)

// cloudInitLimit is how long Debian with cloud-init may take to boot under emulation, while other tests run.
const cloudInitLimit = 15 * time.Minute

// TestDebianGuest boots what people really run: Debian 12 with cloud-init, and a script as customData.
func TestDebianGuest(t *testing.T) {
	if !full() {
		t.Skip("not tested: Debian with cloud-init takes minutes to boot under emulation (VITRINE_FULL=1)")
	}
	t.Parallel()
	image, err := filepath.Abs(filepath.Join("..", "..", "build", "guest", "debian.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(image)
	harness.Need(t, err == nil, "the Debian guest image is missing (make guest-debian)")
	w := prepareBy(t, true, (*world).groupByARM)
	version := w.gallery + "/images/debian/versions/12.0.0"
	w.vitrine(nil, "image", "import", image, "--version-id", version, "--create", "--location", "eastus", "--publisher", "debian", "--offer", "debian",
		"--sku", "12", "--os-type", "Linux", "--os-state", "Generalized", "--generation", "V1", "--target-region", "eastus")
	body := w.vmTemplate(w.groupID(), "deb", version)
	resources := body["properties"].(object)["template"].(object)["resources"].([]object)
	profile := resources[len(resources)-1]["properties"].(object)["osProfile"].(object)
	profile["customData"] = base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho \"$(id -u) on $(hostname)\" >/var/tmp/custom-data-ran\n"))
	a := w.arm(http.MethodPut, deploymentID(w.groupID(), "debian"), "2024-11-01", w.text(body), w.token("fabrikam", w.app.AppID, ""), w.token("contoso", w.app.AppID, ""))
	if a.status != http.StatusCreated {
		t.Fatalf("deployment: %d %s", a.status, a.body)
	}
	w.quiet()
	began := time.Now()
	w.boot = cloudInitLimit
	guest := w.access("fabrikam", vmID(w, "deb"), w.publicIP(w.groupID(), "deb"), "azureuser")
	said := guest.answers("cloud-init status --wait >/dev/null; . /etc/os-release; echo $ID $VERSION_ID; hostname; whoami; cat /var/tmp/custom-data-ran; sudo -n id -u")
	t.Logf("Debian answered after %.0f s", time.Since(began).Seconds())
	if want := "debian 12\ndeb\nazureuser\n0 on deb\n0\n"; said != want {
		t.Errorf("Debian answered\n%s\nnot\n%s", said, strings.TrimSpace(want))
	}
}
