package app_test

import (
	"errors"
	"strings"
	"testing"

	"vitrine/internal/arm"
)

// TestSources: disks, snapshots and images find one another as sources, each by its provider.
func TestSources(t *testing.T) {
	l := newLocked(t)
	compute := l.group + "/providers/Microsoft.Compute/"
	l.must("PUT", l.group, `{"location":"eastus"}`)
	l.must("PUT", compute+"disks/d", `{"location":"eastus","properties":{"osType":"Linux","diskSizeGB":1,"creationData":{"createOption":"Empty"}}}`)
	l.must("PUT", compute+"snapshots/s", `{"location":"eastus","properties":{"creationData":{"createOption":"Copy","sourceResourceId":"`+compute+`disks/d"}}}`)
	image := func(osDisk string) string {
		return `{"location":"eastus","properties":{"storageProfile":{"osDisk":{"osType":"Linux","osState":"Generalized",` + osDisk + `}}}}`
	}
	l.must("PUT", compute+"images/i", image(`"snapshot":{"id":"`+compute+`snapshots/s"}`))
	l.must("PUT", compute+"images/j", image(`"managedDisk":{"id":"`+compute+`disks/d"}`))
	for body, want := range map[string]string{
		image(`"managedDisk":{"id":"` + compute + `disks/none"}`):                                                  "ResourceNotFound",
		`{"location":"eastus","properties":{"sourceVirtualMachine":{"id":"` + compute + `virtualMachines/none"}}}`: "ResourceNotFound",
		image(`"managedDisk":{"id":"` + compute + `snapshots/s"}`):                                                 "LinkedInvalidPropertyId",
		image(`"snapshot":{"id":"` + strings.Replace(compute, "/g/", "/other/", 1) + `snapshots/s"}`):              "ResourceNotFound",
	} {
		var e *arm.Error
		if err := l.do("PUT", compute+"images/bad", body); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	machine := `{"location":"eastus","properties":{"hardwareProfile":{"vmSize":"Standard_B1s"},"networkProfile":{"networkInterfaces":[{"id":"` + l.group +
		`/providers/Microsoft.Network/networkInterfaces/none"}]},"osProfile":{"computerName":"m","adminUsername":"azureuser","adminPassword":"Geheim12345678"},
		"storageProfile":{"osDisk":{"createOption":"FromImage"},"imageReference":{"id":"` + compute + `images/%"}}}}`
	for name, want := range map[string]string{"i": "InvalidResourceReference", "none": "ImageNotFound"} { // an image that is there gets as far as the interface
		var e *arm.Error
		if err := l.do("PUT", compute+"virtualMachines/m", strings.Replace(machine, "%", name, 1)); !errors.As(err, &e) || e.Code != want {
			t.Errorf("a machine of image %s: %v, want %s", name, err, want)
		}
	}
	for _, path := range []string{"disks/d", "snapshots/s", "images/i", "images/j"} {
		l.must("DELETE", compute+path, "")
	}
}
