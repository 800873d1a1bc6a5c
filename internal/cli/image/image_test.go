package image

import (
	"strings"
	"testing"
	"time"

	"vitrine/internal/image/format/convert"
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
		s := importSpec{id: id, file: "x", osType: "Linux", osState: "Generalized", generation: "V1", cpu: "x64", replicas: 1, limits: convert.Limits{Size: 1 << 30, Time: time.Hour}}
		err := s.check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
}

func TestImportSpec(t *testing.T) {
	good := func() importSpec {
		return importSpec{id: "/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/g/providers/microsoft.compute/Galleries/gal/images/def/versions/1.0.0",
			osType: "linux", osState: "generalized", generation: "v2", cpu: "X64", replicas: 1, limits: convert.Limits{Size: 1 << 30, Time: time.Hour}}
	}
	s := good()
	if err := s.check(); err != nil || s.osType != "Linux" || s.generation != "V2" || s.publisher != "gal" || s.offer != "def" {
		t.Errorf("%+v, %v", s, err)
	}
	for name, spoil := range map[string]func(*importSpec){
		"definition's ID": func(s *importSpec) { s.id = strings.TrimSuffix(s.id, "/versions/1.0.0") },
		"no ID":           func(s *importSpec) { s.id = "1.0.0" },
		"extension":       func(s *importSpec) { s.id += "/providers/Microsoft.Authorization/locks/l" },
		"os type":         func(s *importSpec) { s.osType = "BeOS" },
		"generation":      func(s *importSpec) { s.generation = "V3" },
		"replicas":        func(s *importSpec) { s.replicas = 0 },
		"digest":          func(s *importSpec) { s.sha256 = "abc" },
		"size":            func(s *importSpec) { s.limits.Size = 1 },
		"time":            func(s *importSpec) { s.limits.Time = -1 },
		"region":          func(s *importSpec) { s.regions = []string{"atlantis"} },
	} {
		s := good()
		spoil(&s)
		if err := s.check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestExportSpec(t *testing.T) {
	const id = "/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/g/providers/Microsoft.Compute/galleries/gal/images/def/versions/1.0.0"
	for _, test := range []struct {
		s    exportSpec
		want string // the format; empty: refused
	}{
		{exportSpec{id: id, file: "x"}, "raw"},
		{exportSpec{id: id, file: "x.VHD"}, "vhd"},
		{exportSpec{id: id, file: "a.qcow2"}, "qcow2"},
		{exportSpec{id: id, file: "a.qcow2", form: "RAW"}, "raw"},
		{exportSpec{id: id, file: "-"}, "raw"},
		{exportSpec{id: id, file: "x", form: "vmdk"}, ""},
		{exportSpec{id: id + "x/y", file: "x"}, ""},
		{exportSpec{id: id, file: "x", group: "/subscriptions/00000000-0000-0000-0000-00000000000a"}, ""},
		{exportSpec{id: id, file: "x", group: id}, ""},
		{exportSpec{id: id, file: "x", group: "/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/mine"}, "raw"},
	} {
		err := test.s.check()
		if got := test.s.form; test.want == "" && err == nil || test.want != "" && (err != nil || got != test.want) {
			t.Errorf("%+v: %s, %v", test.s, got, err)
		}
	}
}
