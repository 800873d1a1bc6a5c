package catalog

import (
	"net/url"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/pattern"
)

// With whom a gallery is shared beyond role assignments.
const (
	Private   = "Private"
	InGroups  = "Groups"    // with whole subscriptions and tenants
	Community = "Community" // with everybody, once it is enabled
)

// The types of groups.
const (
	Subscriptions = "Subscriptions"
	Tenants       = "AADTenants"
)

// SharingProfile says with whom a gallery is shared beyond role assignments (gallery.md 5 and 13).
type SharingProfile struct {
	Permissions string          `json:"permissions" arm:"enum=Private|Groups|Community"`
	Groups      []SharingGroup  `json:"groups" arm:"readonly"` // only with $select or $expand
	Community   *CommunityInfo  `json:"communityGalleryInfo"`
	WhileUsed   string          `json:"unshareWhileUsed" arm:"enum=Allow|Refuse"` // our own; empty: Allow, as Azure
	Unknown     armjson.Unknown `json:"-"`
}

// SharingGroup is subscriptions or tenants.
type SharingGroup struct {
	Type string   `json:"type" arm:"enum=Subscriptions|AADTenants"`
	IDs  []string `json:"ids"` // GUIDs, lower case
}

// CommunityInfo is what everybody sees of a gallery's publisher.
type CommunityInfo struct {
	PublisherURI string          `json:"publisherUri"`
	Contact      string          `json:"publisherContact"`
	Eula         string          `json:"eula"`
	Prefix       string          `json:"publicNamePrefix"`
	Enabled      bool            `json:"communityGalleryEnabled" arm:"readonly,always"`
	PublicNames  []string        `json:"publicNames" arm:"readonly"` // prefix and a GUID: cannot be guessed
	Unknown      armjson.Unknown `json:"-"`
}

// SharingStatus tells how far a change of the sharing is.
type SharingStatus struct {
	Aggregated string          `json:"aggregatedState"`
	Summary    []SharingRegion `json:"summary"`
}

// SharingRegion is one region's line.
type SharingRegion struct {
	Region  string `json:"region"`
	State   string `json:"state"`
	Details string `json:"details"`
}

// Mode is with whom the gallery is shared.
func (g *Gallery) Mode() string {
	if g.SharingProfile == nil || g.SharingProfile.Permissions == "" {
		return Private
	}
	return g.SharingProfile.Permissions
}

// PublicName is the community gallery's name while it is public, else empty.
func (g *Gallery) PublicName() string {
	if c := g.communityInfo(); g.Mode() == Community && c != nil && c.Enabled && len(c.PublicNames) > 0 {
		return c.PublicNames[0]
	}
	return ""
}

func (g *Gallery) communityInfo() *CommunityInfo {
	if g.SharingProfile == nil {
		return nil
	}
	return g.SharingProfile.Community
}

// SharedWith tells whether the gallery is shared with a group.
func (g *Gallery) SharedWith(typ, id string) bool {
	for _, group := range g.Groups {
		for _, member := range group.IDs {
			if g.Mode() == InGroups && group.Type == typ && strings.EqualFold(member, id) {
				return true
			}
		}
	}
	return false
}

// Terms lets a gallery be found by its unique name, by those it is shared with, and by its public name.
func (g *Gallery) Terms() []string {
	var terms []string
	if g.Identifier != nil {
		terms = append(terms, UniqueTerm(g.Identifier.UniqueName))
	}
	if g.Mode() == InGroups {
		for _, group := range g.Groups {
			for _, id := range group.IDs {
				terms = append(terms, GroupTerm(group.Type, id))
			}
		}
	}
	if name := g.PublicName(); name != "" {
		terms = append(terms, PublicTerm(name), PublicTerm(""))
	}
	return terms
}

// UniqueTerm is the index term of a gallery's unique name.
func UniqueTerm(name string) string { return "unique:" + strings.ToLower(name) }

// GroupTerm is the index term of galleries that are shared with a group.
func GroupTerm(typ, id string) string {
	return "shared:" + strings.ToLower(typ) + ":" + strings.ToLower(id)
}

// PublicTerm is the index term of a public gallery; of all of them when the name is empty.
func PublicTerm(name string) string { return "community:" + strings.ToLower(name) }

// UseTerms are the index terms of what was made from an ID of a shared or community gallery.
func UseTerms(id string) []string {
	if parts := strings.Split(id, "/"); IsForeign(id) && len(parts) > 2 {
		return []string{UseTerm(parts[2])}
	}
	return nil
}

// UseTerm is the index term of what was made from a gallery, by its unique or its public name.
func UseTerm(name string) string { return "uses:" + strings.ToLower(name) }

var prefixes = pattern.New(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?$`)

// maxPublisher bounds what a gallery says of its publisher; the bound is ours.
const maxPublisher = 2048

// checkSharing wants what is shown to everybody to be well-formed. Who may see the gallery is not decided by a PUT.
func checkSharing(s *SharingProfile) []*arm.Error {
	const at = "gallery.properties.sharingProfile.communityGalleryInfo"
	if s == nil {
		return nil
	}
	c := s.Community
	if c == nil {
		return nil
	}
	var faults []*arm.Error
	if c.Prefix != "" && !prefixes.MatchString(c.Prefix) {
		faults = append(faults, Invalid(at+".publicNamePrefix", "The value '%.80s' of parameter 'publicNamePrefix' is not valid. It may have at most 64 characters: alphanumerics, hyphens, periods and underscores; it must start and end with an alphanumeric character.", c.Prefix))
	}
	if u, err := url.Parse(c.PublisherURI); c.PublisherURI != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		faults = append(faults, Invalid(at+".publisherUri", "The value '%.80s' of parameter 'publisherUri' is not an absolute URI.", c.PublisherURI))
	}
	for _, text := range []struct{ name, value string }{{"publisherUri", c.PublisherURI}, {"publisherContact", c.Contact}, {"eula", c.Eula}} {
		if len(text.value) > maxPublisher {
			faults = append(faults, Invalid(at+"."+text.name, "The value of parameter '%s' is longer than %d characters.", text.name, maxPublisher))
		}
	}
	return faults
}

// AtHome wants what is in a shared gallery to be in the gallery's own region, from where it may be replicated (gallery.md 1).
func AtHome(g *GalleryResource, location string) error {
	l, ok := arm.LocationOf(location)
	if mode := g.Properties.Mode(); mode != Private && ok && l.Name != g.Location {
		return Invalid("location", "The location '%s' is not that of the gallery '%s', which is '%s': in a gallery whose sharing permission is '%s', image definitions and image versions must be in the gallery's region. Versions may be replicated from there.", l.Name, g.Name, g.Location, mode)
	}
	return nil
}

// RegionTerm is the index term of versions that can be used in a region.
func RegionTerm(location string) string { return "in:" + location }

// Usable tells whether a version can be used in a region: it can as soon as that region is done, whatever the others do.
func Usable(v *VersionResource, location string) bool {
	r := v.Properties.Regions[location]
	return r != nil && r.State == Completed && v.State() != arm.Deleting
}

// ExcludedIn tells whether a version is left out of latest in a region; the region's own word overrides the version's.
func (v *Version) ExcludedIn(location string) bool {
	if v.Publishing == nil {
		return false
	}
	for _, t := range v.Publishing.TargetRegions {
		if l, _ := arm.LocationOf(t.Name); l.Name == location && t.ExcludeFromLatest != nil {
			return *t.ExcludeFromLatest
		}
	}
	return v.Publishing.ExcludeFromLatest
}
