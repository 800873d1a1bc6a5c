package share

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
)

// DefaultLimit is with how many subscriptions and tenants together a gallery may be shared. Azure's numbers are 30 and 5.
const DefaultLimit = 1000

// The operations of the action (gallery.md 5).
const (
	add             = "Add"
	remove          = "Remove"
	reset           = "Reset"
	enableCommunity = "EnableCommunity"
)

// update is the body of the action.
type update struct {
	Operation string                 `json:"operationType" arm:"required,enum=Add|Remove|Reset|EnableCommunity"`
	Groups    []catalog.SharingGroup `json:"groups"`
	Unknown   armjson.Unknown        `json:"-"`
}

// read makes the update of a body, with every fault told. IDs come out in lower case.
func read(body []byte) (*update, error) {
	var u update
	faults := armjson.Decode(body, &u, "sharingUpdate")
	for i := range u.Groups {
		g := &u.Groups[i]
		if g.Type == "" {
			faults = append(faults, catalog.Invalid("sharingUpdate.groups.type", "Required parameter 'type' is missing (null)."))
		}
		for n, id := range g.IDs {
			if !arm.IsGUID(id) { // the first of a list is told: there may be many
				faults = append(faults, catalog.Invalid("sharingUpdate.groups.ids", "The value '%.80s' of parameter 'ids' is not the ID of a subscription or tenant: it must be a GUID.", id))
				break
			}
			g.IDs[n] = strings.ToLower(id)
		}
	}
	if (u.Operation == add || u.Operation == remove) && count(u.Groups) == 0 && len(faults) == 0 {
		faults = append(faults, catalog.Invalid("sharingUpdate.groups", "At least one subscription or tenant must be given in 'groups' for the operationType '%s'.", u.Operation))
	}
	return &u, arm.Join(faults)
}

func count(groups []catalog.SharingGroup) (n int) {
	for _, g := range groups {
		n += len(g.IDs)
	}
	return n
}

// shared tells whether anybody sees the gallery beyond role assignments.
func shared(g *catalog.Gallery) bool {
	return g.Mode() == catalog.InGroups && count(g.Groups) > 0 || g.PublicName() != ""
}

// changed gives the gallery as it would be after an update. Modes change both ways, but never directly from groups to the
// community or back: what one of them grants must be taken away first.
func (s *Sharing) changed(g *catalog.Gallery, u *update) (*catalog.Gallery, error) {
	next := *g
	profile := catalog.SharingProfile{}
	if g.SharingProfile != nil {
		profile = *g.SharingProfile
	}
	next.SharingProfile = &profile
	if profile.Community != nil {
		info := *profile.Community
		profile.Community = &info
	}
	switch u.Operation {
	case add:
		return &next, s.add(&next, u)
	case remove:
		next.Groups = without(g.Groups, u.Groups)
	case reset:
		profile.Permissions, next.Groups = catalog.Private, nil
		if profile.Community != nil {
			profile.Community.Enabled = false
		}
	case enableCommunity:
		return &next, publish(&next)
	}
	return &next, nil
}

func (s *Sharing) add(g *catalog.Gallery, u *update) error {
	if g.PublicName() != "" {
		return refused("The gallery is shared with the community. Reset its sharing before sharing it with subscriptions or tenants.")
	}
	g.SharingProfile.Permissions = catalog.InGroups
	g.Groups = with(g.Groups, u.Groups)
	if n := count(g.Groups); n > s.Limit {
		return catalog.Invalid("sharingUpdate.groups", "The gallery would be shared with %d subscriptions and tenants. The maximum number is %d: remove some first.", n, s.Limit)
	}
	return nil
}

// publish makes the gallery public.
func publish(g *catalog.Gallery) error {
	const at = "gallery.properties.sharingProfile.communityGalleryInfo"
	profile := g.SharingProfile
	switch {
	case g.Mode() == catalog.InGroups && count(g.Groups) > 0:
		return refused("The gallery is shared with subscriptions or tenants. Reset its sharing before sharing it with the community.")
	case profile.Community == nil || len(profile.Community.PublicNames) == 0:
		return catalog.Invalid(at, "Required parameter 'communityGalleryInfo' is missing (null): a gallery without 'publicNamePrefix' cannot be shared with the community.")
	}
	profile.Permissions, g.Groups = catalog.Community, nil
	profile.Community.Enabled = true
	return nil
}

// with joins two lists of groups: one entry for each type, each ID once, in order.
func with(have, more []catalog.SharingGroup) []catalog.SharingGroup {
	var out []catalog.SharingGroup
	for _, typ := range []string{catalog.Subscriptions, catalog.Tenants} {
		var ids []string
		for _, g := range slices.Concat(have, more) {
			if g.Type == typ {
				ids = append(ids, g.IDs...)
			}
		}
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) > 0 {
			out = append(out, catalog.SharingGroup{Type: typ, IDs: ids})
		}
	}
	return out
}

// without takes IDs away; one that is not there is no error.
func without(have, less []catalog.SharingGroup) []catalog.SharingGroup {
	var out []catalog.SharingGroup
	for _, g := range have {
		var ids []string
		for _, id := range g.IDs {
			gone := slices.ContainsFunc(less, func(l catalog.SharingGroup) bool { return l.Type == g.Type && slices.Contains(l.IDs, id) })
			if !gone {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			out = append(out, catalog.SharingGroup{Type: g.Type, IDs: ids})
		}
	}
	return out
}

func refused(format string, args ...any) *arm.Error {
	return arm.Errorf(409, "OperationNotAllowed", format, args...)
}

// Settle completes the sharing profile of a PUT. A PUT needs no right to share, so it neither gives nor takes away anybody's sight
// of the gallery: it chooses a mode while nobody has any.
func Settle(w *control.Write[catalog.Gallery]) error {
	next := &w.New.Properties
	if w.Old != nil {
		if err := keep(&w.Old.Properties, next); err != nil {
			return err
		}
		if w.Old.Properties.Mode() == catalog.Private && next.Mode() != catalog.Private {
			if err := shareable(w.Tx, w.Old, next); err != nil {
				return err
			}
		}
	}
	profile := next.SharingProfile
	if profile == nil {
		return nil
	}
	info := profile.Community
	if next.Mode() == catalog.Community && (info == nil || info.Prefix == "") {
		return catalog.Invalid("gallery.properties.sharingProfile.communityGalleryInfo.publicNamePrefix", "Required parameter 'publicNamePrefix' is missing (null) for the sharing permission 'Community'.")
	}
	if info != nil && info.Prefix != "" && len(info.PublicNames) == 0 {
		info.PublicNames = []string{info.Prefix + "-" + uuid.NewString()}
	}
	return nil
}

// keep takes over what the client left out, and refuses what only the action may change.
func keep(old, next *catalog.Gallery) error {
	was := old.SharingProfile
	if was == nil {
		return nil
	}
	if next.SharingProfile == nil {
		next.SharingProfile = was
		return nil
	}
	profile := next.SharingProfile
	if profile.Permissions == "" {
		profile.Permissions = was.Permissions
	}
	if profile.WhileUsed == "" {
		profile.WhileUsed = was.WhileUsed
	}
	if profile.Community == nil {
		profile.Community = was.Community
	}
	if info, had := profile.Community, was.Community; had != nil && had.Prefix != "" {
		if info.Prefix == "" {
			info.Prefix = had.Prefix
		}
		if info.Prefix != had.Prefix {
			return catalog.NotChangeable("gallery.properties.sharingProfile.communityGalleryInfo.publicNamePrefix")
		}
	}
	if old.Mode() != next.Mode() && shared(old) {
		return refused("The sharing permission of the gallery cannot be changed from '%s' to '%s' while it is shared. Reset its sharing first.", old.Mode(), next.Mode()).At("gallery.properties.sharingProfile.permissions")
	}
	return nil
}
