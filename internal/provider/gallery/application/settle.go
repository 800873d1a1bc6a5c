package application

import (
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/provider/gallery/catalog"
)

// The api-versions from which members are known (gallery.md 2). A request of an earlier one does not see them, and, since its
// client cannot have read them, a PUT of it does not take them away.
const (
	sinceReplicationMode = "2021-10-01"
	sinceSettings        = "2022-01-03"
	sinceCustomActions   = "2022-03-03" // and safetyProfile, and excludeFromLatest of a region
	sinceStrategy        = "2025-03-03"
)

// applicationDialect hides what an api-version does not know.
func applicationDialect(r *Resource, v arm.Version) {
	if v.Date() < sinceCustomActions {
		r.Properties.CustomActions = nil
	}
}

// versionDialect hides what an api-version does not know.
func versionDialect(r *VersionResource, v arm.Version) {
	props, date := &r.Properties, v.Date()
	if date < sinceCustomActions {
		props.Safety = nil
	}
	if props.Publishing == nil {
		return
	}
	shown := *props.Publishing
	if date < sinceReplicationMode {
		shown.ReplicationMode = ""
	}
	if date < sinceSettings {
		shown.Settings, shown.Advanced = nil, nil
	}
	if date < sinceStrategy {
		shown.Strategy = ""
	}
	if date < sinceCustomActions {
		shown.CustomActions, shown.TargetRegions = nil, nil
		for _, t := range props.Publishing.TargetRegions {
			t.ExcludeFromLatest = nil
			shown.TargetRegions = append(shown.TargetRegions, t)
		}
	}
	props.Publishing = &shown
}

// text is a member that holds text.
type text struct {
	name string
	text *string
}

func (a *Actions) commands() []text {
	return []text{{"install", &a.Install}, {"remove", &a.Remove}, {"update", &a.Update}}
}

func (s *Settings) names() []text {
	return []text{{"packageFileName", &s.Package}, {"configFileName", &s.Config}, {"scriptBehaviorAfterReboot", &s.AfterReboot}}
}

// link is one of a version's sources.
type link struct {
	at   string // target of its faults
	text *string
	most int64
}

// What the files may have (vm-applications.md, August 2025; older documents say 1 GB for both).
const maxPackage, maxConfiguration = 2 << 30, 1 << 30

func (s *Source) links() []link {
	return []link{{ofPublishing + "source.mediaLink", &s.MediaLink, maxPackage}, {ofPublishing + "source.defaultConfigurationLink", &s.Configuration, maxConfiguration}}
}

// bare is a link without its query: signatures are not kept.
func bare(link string) string {
	link, _, _ = strings.Cut(link, "?")
	return link
}

// settle completes a version: what the client left out comes from the version as it was (nil for a new one), else it has its
// default; what may not change is compared. The links keep their signatures.
func settle(next *VersionResource, old *Version, v arm.Version, now time.Time) error {
	props := &next.Properties
	p, was := props.Publishing, &Publishing{PublishedDate: now.UTC().Format(catalog.Stamp)}
	if old != nil {
		was = old.Publishing
		if props.Safety == nil {
			props.Safety = old.Safety
		}
		if err := unchanged(p, was); err != nil {
			return err
		}
		p.keep(was, v)
	}
	p.PublishedDate = was.PublishedDate
	if err := catalog.Future(ofPublishing+"endOfLifeDate", was.EndOfLifeDate, p.EndOfLifeDate, now); err != nil {
		return err
	}
	if p.ReplicaCount == nil {
		if p.ReplicaCount = was.ReplicaCount; p.ReplicaCount == nil {
			p.ReplicaCount = new(int32(1))
		}
	}
	if p.StorageAccount == "" && p.Strategy == "" {
		if v.Date() >= sinceStrategy {
			p.Strategy = catalog.PreferZRS
		} else {
			p.StorageAccount = "Standard_LRS"
		}
	}
	if len(p.TargetRegions) == 0 {
		p.TargetRegions = was.TargetRegions
	}
	if len(p.TargetRegions) == 0 {
		l, _ := arm.LocationOf(next.Location)
		p.TargetRegions = []catalog.TargetRegion{{Name: l.DisplayName}}
	}
	all := catalog.TargetRegion{RegionalReplicaCount: p.ReplicaCount, StorageAccount: catalog.StorageOf(p.StorageAccount, p.Strategy)}
	return catalog.Complete(p.TargetRegions, was.TargetRegions, all, ofPublishing)
}

// keep takes over from was what the client cannot know, or did not say.
func (p *Publishing) keep(was *Publishing, v arm.Version) {
	if v.Date() < sinceSettings {
		p.Advanced = was.Advanced
	}
	if v.Date() >= sinceCustomActions {
		return
	}
	p.CustomActions = was.CustomActions
	before := map[string]*bool{}
	for _, t := range was.TargetRegions {
		before[t.Name] = t.ExcludeFromLatest
	}
	for i := range p.TargetRegions {
		p.TargetRegions[i].ExcludeFromLatest = before[p.TargetRegions[i].Name]
	}
}

// unchanged compares what may not change: of the links all but the signatures, the commands, the names of files. What is not
// said is as before.
func unchanged(p, was *Publishing) error {
	if p.Actions == nil {
		p.Actions = was.Actions
	}
	if p.Settings == nil {
		p.Settings = was.Settings
	}
	settings := was.Settings
	if settings == nil {
		settings = &Settings{}
	}
	if p.Source.Configuration == "" {
		p.Source.Configuration = was.Source.Configuration
	}
	for i, l := range p.Source.links() {
		if !sameLink(*l.text, *was.Source.links()[i].text) {
			return catalog.NotChangeable(l.at)
		}
	}
	for i, c := range p.Actions.commands() {
		had := *was.Actions.commands()[i].text
		if *c.text == "" {
			*c.text = had
		}
		if *c.text != had {
			return catalog.NotChangeable(ofPublishing + "manageActions." + c.name)
		}
	}
	if p.Settings == nil {
		return nil
	}
	for i, c := range p.Settings.names() {
		had := *settings.names()[i].text
		if *c.text == "" {
			*c.text = had
		}
		if *c.text != had {
			return catalog.NotChangeable(ofPublishing + "settings." + c.name)
		}
	}
	return nil
}

// sameLink compares links without their signatures; hosts have no case.
func sameLink(a, b string) bool {
	hostOf := func(link string) (host, path string) {
		rest, ok := strings.CutPrefix(bare(link), "https://")
		if !ok {
			return "", link
		}
		host, path, _ = strings.Cut(rest, "/")
		return strings.ToLower(host), path
	}
	hostA, pathA := hostOf(a)
	hostB, pathB := hostOf(b)
	return hostA == hostB && pathA == pathB
}
