// Package size knows the sizes of virtual machines: their names, what stands behind each, and the list of SKUs.
//
// It owns the tables and the form of Azure's names, nothing that changes. What a machine of a size gets on this host is
// the provider's to say:
//
//	name ── Of ──▶ Size      region filter ── SKUs ──▶ []SKU
package size

import (
	"regexp"
	"strconv"
	"strings"

	"vitrine/internal/arm"
)

// Size is a machine size as the size list shows it.
type Size struct {
	Name      string `json:"name"`
	Cores     int    `json:"numberOfCores"`
	OSDiskMiB int    `json:"osDiskSizeInMB"`
	TempMiB   int    `json:"resourceDiskSizeInMB"`
	MemoryMiB int    `json:"memoryInMB"`
	DataDisks int    `json:"maxDataDiskCount"`
}

// All lists the sizes that the server names.
func All() []Size {
	size := func(name string, cores, memory, disks int) Size {
		return Size{name, cores, 1047552, 2 * memory, memory, disks}
	}
	return []Size{
		size("Standard_B1ls", 1, 512, 2), size("Standard_B1s", 1, 1024, 2), size("Standard_B1ms", 1, 2048, 2),
		size("Standard_B2s", 2, 4096, 4), size("Standard_B2ms", 2, 8192, 4), size("Standard_A1_v2", 1, 2048, 2),
		size("Standard_DS1_v2", 1, 3584, 4), size("Standard_DS2_v2", 2, 7168, 8), size("Standard_DS3_v2", 4, 14336, 16),
		size("Standard_D1_v2", 1, 3584, 4), size("Standard_D2_v2", 2, 7168, 8), size("Standard_F1s", 1, 2048, 4),
		size("Standard_D2s_v3", 2, 8192, 4), size("Standard_D4s_v3", 4, 16384, 8), size("Standard_D2s_v4", 2, 8192, 4),
		size("Standard_D2s_v5", 2, 8192, 4), size("Standard_D4s_v5", 4, 16384, 8), size("Standard_D2as_v5", 2, 8192, 4),
		size("Standard_D2ads_v5", 2, 8192, 4), size("Standard_D2ds_v5", 2, 8192, 4), size("Standard_E2s_v5", 2, 16384, 4),
	}
}

// form is how Azure names sizes: a family letter or two, the number of processors, features, a version
// (learn.microsoft.com/azure/virtual-machines/vm-naming-conventions).
var form = regexp.MustCompile(`^(?i:Standard|Basic)_(A|B|D|DS|DC|E|EC|F|FX|G|GS|H|HB|HC|L|LS|M|NC|ND|NP|NV)([0-9]{1,3})[A-Za-z0-9_-]*$`)

// Of finds a size by name. One that is not in the table but has the form of Azure's names is taken too: its number
// of processors stands in its name.
func Of(name string) (Size, bool) {
	for _, s := range All() {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	m := form.FindStringSubmatch(name)
	if m == nil {
		return Size{}, false
	}
	n, err := strconv.Atoi(m[2])
	if err != nil || n < 1 {
		return Size{}, false
	}
	return Size{Name: name, Cores: n, MemoryMiB: n * 4096, DataDisks: 4}, true
}

// Premium tells whether a size takes premium disks: an s among the letters after its processors, or the DS family.
func Premium(name string) bool {
	_, rest, _ := strings.Cut(strings.ToLower(name), "_")
	features, _, _ := strings.Cut(rest, "_")
	return strings.Contains(features, "s")
}

// SKU is a size in a region as the list of SKUs shows it.
type SKU struct {
	Type         string   `json:"resourceType"`
	Name         string   `json:"name"`
	Tier         string   `json:"tier"`
	Size         string   `json:"size"`
	Locations    []string `json:"locations"`
	Info         []zoning `json:"locationInfo"`
	Capabilities []pair   `json:"capabilities"`
	Restrictions []string `json:"restrictions"`
}

type zoning struct {
	Location string   `json:"location"`
	Zones    []string `json:"zones"`
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SKUs lists sizes by region; the one filter that Azure knows is "location eq 'x'".
func SKUs(filter string) []SKU {
	out := []SKU{}
	for _, l := range arm.Locations() {
		if filter != "" && !strings.Contains(strings.ToLower(filter), "'"+l.Name+"'") {
			continue
		}
		for _, s := range All() {
			tier, size, _ := strings.Cut(s.Name, "_")
			out = append(out, SKU{Type: "virtualMachines", Name: s.Name, Tier: tier, Size: size, Locations: []string{l.Name},
				Info: []zoning{{l.Name, []string{"1", "2", "3"}}}, Restrictions: []string{},
				Capabilities: []pair{{"vCPUs", strconv.Itoa(s.Cores)}, {"MemoryGB", strconv.FormatFloat(float64(s.MemoryMiB)/1024, 'g', -1, 64)},
					{"MaxDataDiskCount", strconv.Itoa(s.DataDisks)}, {"HyperVGenerations", "V1,V2"}, {"CpuArchitectureType", "x64"},
					{"PremiumIO", strconv.FormatBool(Premium(s.Name))}}})
		}
	}
	return out
}
