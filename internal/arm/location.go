package arm

import "strings"

// Location is one region.
type Location struct {
	Name        string // "eastus2", as it is written in resources
	DisplayName string // "East US 2", as Compute writes target regions
	Group       string // geography group
	Zone        string // the label of the region's blob hosts: md-x.<zone>.blob.storage.azure.net
}

var locations = []Location{
	{"eastus", "East US", "US", "z1"},
	{"eastus2", "East US 2", "US", "z2"},
	{"westus", "West US", "US", "z3"},
	{"westus2", "West US 2", "US", "z4"},
	{"westus3", "West US 3", "US", "z5"},
	{"centralus", "Central US", "US", "z6"},
	{"southcentralus", "South Central US", "US", "z7"},
	{"northcentralus", "North Central US", "US", "z8"},
	{"canadacentral", "Canada Central", "Canada", "z9"},
	{"brazilsouth", "Brazil South", "South America", "z10"},
	{"northeurope", "North Europe", "Europe", "z11"},
	{"westeurope", "West Europe", "Europe", "z12"},
	{"uksouth", "UK South", "Europe", "z13"},
	{"francecentral", "France Central", "Europe", "z14"},
	{"germanywestcentral", "Germany West Central", "Europe", "z15"},
	{"swedencentral", "Sweden Central", "Europe", "z16"},
	{"switzerlandnorth", "Switzerland North", "Europe", "z17"},
	{"norwayeast", "Norway East", "Europe", "z18"},
	{"southeastasia", "Southeast Asia", "Asia Pacific", "z19"},
	{"eastasia", "East Asia", "Asia Pacific", "z20"},
	{"japaneast", "Japan East", "Asia Pacific", "z21"},
	{"koreacentral", "Korea Central", "Asia Pacific", "z22"},
	{"centralindia", "Central India", "Asia Pacific", "z23"},
	{"australiaeast", "Australia East", "Asia Pacific", "z24"},
}

// Locations lists every region, in a fixed order. The names are Azure's public ones.
func Locations() []Location { return append([]Location(nil), locations...) }

// LocationOf finds a region by its name or display name, without regard to case and blanks, as ARM compares them.
func LocationOf(name string) (Location, bool) {
	name = strings.ToLower(strings.ReplaceAll(name, " ", ""))
	for _, l := range locations {
		if l.Name == name {
			return l, true
		}
	}
	return Location{}, false
}

// The provisioning states in use. A resource without one is done.
const (
	Creating  = "Creating"
	Updating  = "Updating"
	Deleting  = "Deleting"
	Succeeded = "Succeeded"
	Failed    = "Failed"
	Canceled  = "Canceled"
)

// Provisioning is embedded first or last in a type's properties to carry the state of its long-running work.
type Provisioning struct {
	ProvisioningState string `json:"provisioningState" arm:"readonly"`
}

// State returns the provisioning state.
func (p *Provisioning) State() string { return p.ProvisioningState }

// SetState sets it.
func (p *Provisioning) SetState(s string) { p.ProvisioningState = s }

// Provisioned is what properties with a provisioning state offer.
type Provisioned interface {
	State() string
	SetState(string)
}
