package machine

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
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

func sizes() []Size {
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

// sizeForm is how Azure names sizes: a family letter or two, the number of processors, features, a version
// (learn.microsoft.com/azure/virtual-machines/vm-naming-conventions).
var sizeForm = regexp.MustCompile(`^(?i:Standard|Basic)_(A|B|D|DS|DC|E|EC|F|FX|G|GS|H|HB|HC|L|LS|M|NC|ND|NP|NV)([0-9]{1,3})[A-Za-z0-9_-]*$`)

// sizeOf finds a size by name. One that is not in the table but has the form of Azure's names is taken too: its number
// of processors stands in its name.
func sizeOf(name string) (Size, bool) {
	for _, s := range sizes() {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	m := sizeForm.FindStringSubmatch(name)
	if m == nil {
		return Size{}, false
	}
	n, err := strconv.Atoi(m[2])
	if err != nil || n < 1 {
		return Size{}, false
	}
	return Size{Name: name, Cores: n, MemoryMiB: n * 4096, DataDisks: 4}, true
}

// fit is what a machine of a size gets on this host: never more than the server's caps.
func (p *Provider) fit(name string) (cpus, memoryMiB int) {
	s, _ := sizeOf(name)
	return min(max(s.Cores, 1), p.MaxCPUs), min(max(s.MemoryMiB, 512), p.MaxMemoryMiB)
}

// premium tells whether a size takes premium disks: an s among the letters after its processors, or the DS family.
func premium(name string) bool {
	_, rest, _ := strings.Cut(strings.ToLower(name), "_")
	features, _, _ := strings.Cut(rest, "_")
	return strings.Contains(features, "s")
}

type list[T any] struct {
	Value []T `json:"value"`
}

type skuItem struct {
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

func routes(c *control.Control) {
	c.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/vmSizes",
		Do: func(context.Context, *control.Call) (any, error) { return list[Size]{sizes()}, nil }})
	c.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}/providers/Microsoft.Compute/skus",
		Do: func(_ context.Context, call *control.Call) (any, error) { return skus(call.Query.Get("$filter")), nil }})
}

// skus lists sizes by region; the one filter that Azure knows is "location eq 'x'".
func skus(filter string) list[skuItem] {
	out := list[skuItem]{Value: []skuItem{}}
	for _, l := range arm.Locations() {
		if filter != "" && !strings.Contains(strings.ToLower(filter), "'"+l.Name+"'") {
			continue
		}
		for _, s := range sizes() {
			tier, size, _ := strings.Cut(s.Name, "_")
			out.Value = append(out.Value, skuItem{Type: "virtualMachines", Name: s.Name, Tier: tier, Size: size, Locations: []string{l.Name},
				Info: []zoning{{l.Name, []string{"1", "2", "3"}}}, Restrictions: []string{},
				Capabilities: []pair{{"vCPUs", strconv.Itoa(s.Cores)}, {"MemoryGB", strconv.FormatFloat(float64(s.MemoryMiB)/1024, 'g', -1, 64)},
					{"MaxDataDiskCount", strconv.Itoa(s.DataDisks)}, {"HyperVGenerations", "V1,V2"}, {"CpuArchitectureType", "x64"},
					{"PremiumIO", strconv.FormatBool(premium(s.Name))}}})
		}
	}
	return out
}
