package cli

import (
	"strings"
	"testing"
)

// The whole ID is judged before a byte is read or sent.
func TestVersionID(t *testing.T) {
	const sub = "/subscriptions/00000000-0000-0000-0000-00000000000a"
	id := func(group, gallery, image, version string) string {
		return sub + "/resourceGroups/" + group + "/providers/Microsoft.Compute/galleries/" + gallery + "/images/" + image + "/versions/" + version
	}
	for id, want := range map[string]string{
		id("g", "gal", "i", "1.0.0"):                                            "",
		id("g", "gal", "i", "0.0.2147483647"):                                   "",
		id("g", "gal", "i", "0.0.2147483648"):                                   "image version",
		id("g", "gal", "i", "latest"):                                           "image version",
		id("g", "gal", "i", "1.0"):                                              "image version",
		id("g", "gal", "i", "1.0.0.0"):                                          "image version",
		id("g", "gal", "i", "01.0.0"):                                           "image version",
		id("g", "gal", "i", "1.0.-1"):                                           "image version",
		id("g", "gal", "-i", "1.0.0"):                                           "image definition",
		id("g", "a-b", "i", "1.0.0"):                                            "gallery",
		id("g.", "gal", "i", "1.0.0"):                                           "resource group",
		strings.Replace(id("g", "x", "i", "1.0.0"), sub, "/subscriptions/S", 1): "subscription",
		sub + "/resourceGroups/g/providers/Microsoft.Compute/galleries/x":       "must be the ID of an image version",
	} {
		s := importSpec{id: id, file: "x", osType: "Linux", osState: "Generalized", generation: "V1", cpu: "x64", replicas: 1}
		err := s.check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
}
