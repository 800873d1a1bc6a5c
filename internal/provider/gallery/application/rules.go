package application

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/provider/gallery/catalog"
)

// The beginnings of the targets of faults.
const (
	ofApplication = "galleryApplication.properties."
	ofVersion     = "galleryApplicationVersion.properties."
	ofPublishing  = ofVersion + "publishingProfile."
)

// applicationName is the rule for names, which is that of image definitions (gallery.md 19).
func applicationName(n string) *arm.Error {
	if catalog.DefinitionName(n) == nil {
		return nil
	}
	return catalog.Invalid("galleryApplicationName", "The entity name 'galleryApplicationName' is invalid according to its validation rule: ^[^_\\W][\\w-._]{0,79}(?<![-.])$.")
}

func versionName(n string) *arm.Error {
	if _, ok := catalog.ParseVersion(n); ok {
		return nil
	}
	return catalog.Invalid("galleryApplicationVersionName", "The gallery application version name '%.80s' is invalid. The application version name should follow Major(int32).Minor(int32).Patch(int32) format, where int is between 0 and 2,147,483,647 (inclusive). e.g. 1.0.0, 2018.12.1 etc.", n)
}

// validateApplication finds every fault of an application.
func validateApplication(r *Resource) []*arm.Error {
	p := &r.Properties
	var faults []*arm.Error
	if p.SupportedOSType == "" { // the decoder misses it when 'properties' is missing
		faults = append(faults, missing(ofApplication+"supportedOSType"))
	}
	if f := catalog.CheckDate(ofApplication+"endOfLifeDate", p.EndOfLifeDate); f != nil {
		faults = append(faults, f)
	}
	return append(faults, checkCustom(ofApplication+"customActions", p.CustomActions)...)
}

func missing(target string) *arm.Error {
	return catalog.Invalid(target, "Required parameter '%s' is missing (null).", target[strings.LastIndexByte(target, '.')+1:])
}

// Azure tells how long a custom action's name may be; the other bounds are ours.
const maxActions, maxActionName, maxScript, maxParameters = 100, 117, 64 << 10, 100

var actionNames = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func checkCustom(at string, list []CustomAction) []*arm.Error {
	if n := len(list); n > maxActions {
		return []*arm.Error{catalog.Invalid(at, "There are %d custom actions; there may be at most %d.", n, maxActions)}
	}
	var faults []*arm.Error
	seen := map[string]bool{}
	for i, a := range list {
		at, low := fmt.Sprintf("%s[%d]", at, i), strings.ToLower(a.Name)
		switch {
		case a.Name == "":
			faults = append(faults, missing(at+".name"))
		case len(a.Name) > maxActionName || !actionNames.MatchString(a.Name) || strings.HasSuffix(a.Name, "."):
			faults = append(faults, catalog.Invalid(at+".name", "The custom action name '%.140s' is invalid. It may have at most %d characters: letters, digits, hyphens, periods and underscores; it must not end with a period.", a.Name, maxActionName))
		case seen[low]:
			faults = append(faults, catalog.Invalid(at+".name", "The custom action name '%s' is used more than once.", a.Name))
		}
		seen[low] = true
		switch {
		case a.Script == "":
			faults = append(faults, missing(at+".script"))
		case len(a.Script) > maxScript:
			faults = append(faults, catalog.Invalid(at+".script", "The script of the custom action '%.140s' is longer than %d characters.", a.Name, maxScript))
		}
		faults = append(faults, checkParameters(at+".parameters", a.Parameters)...)
	}
	return faults
}

func checkParameters(at string, list []Parameter) []*arm.Error {
	if n := len(list); n > maxParameters {
		return []*arm.Error{catalog.Invalid(at, "There are %d parameters; a custom action may have at most %d.", n, maxParameters)}
	}
	var faults []*arm.Error
	seen := map[string]bool{}
	for i, p := range list {
		at, low := fmt.Sprintf("%s[%d]", at, i), strings.ToLower(p.Name)
		switch {
		case p.Name == "":
			faults = append(faults, missing(at+".name"))
		case seen[low]:
			faults = append(faults, catalog.Invalid(at+".name", "The parameter name '%.140s' is used more than once.", p.Name))
		}
		seen[low] = true
		if p.Default != "" && p.Type != "" && p.Type != "String" {
			faults = append(faults, catalog.Invalid(at+".defaultValue", "The parameter '%.140s' is of type '%s': only one of type 'String' can have a default value.", p.Name, p.Type))
		}
	}
	return faults
}

// validateVersion finds every fault of a version; it also brings regions to their display names.
func validateVersion(r *VersionResource) []*arm.Error {
	p := r.Properties.Publishing
	if p == nil { // 'properties' is missing, or a PATCH removes it
		return []*arm.Error{missing(ofVersion + "publishingProfile")}
	}
	var faults []*arm.Error
	faults = append(faults, checkSource(p.Source)...)
	if p.Actions != nil || len(r.Properties.Content) == 0 { // a version that was taken has content
		faults = append(faults, checkActions(p.Actions)...)
	}
	faults = append(faults, checkSettings(p)...)
	faults = append(faults, checkCustom(ofPublishing+"customActions", p.CustomActions)...)
	if f := catalog.CheckDate(ofPublishing+"endOfLifeDate", p.EndOfLifeDate); f != nil {
		faults = append(faults, f)
	}
	faults = append(faults, checkCount(ofPublishing+"replicaCount", p.ReplicaCount)...)
	if catalog.Present(p.Extended) {
		faults = append(faults, catalog.Unsupported(ofPublishing+"targetExtendedLocations", "Publishing to an edge zone"))
	}
	if p.Strategy != "" && p.StorageAccount != "" {
		faults = append(faults, catalog.Invalid(ofPublishing+"storageAccountStrategy", "The properties 'storageAccountStrategy' and 'storageAccountType' must not be given both."))
	}
	if p.ReplicationMode == "Shallow" && len(p.TargetRegions) > 1 {
		faults = append(faults, catalog.Invalid(ofPublishing+"replicationMode", "A version of replicationMode 'Shallow' cannot be replicated to further regions."))
	}
	return append(faults, checkRegions(r.Location, p.TargetRegions)...)
}

func checkSource(s *Source) []*arm.Error {
	if s == nil {
		return []*arm.Error{missing(ofPublishing + "source")}
	}
	var faults []*arm.Error
	if s.MediaLink == "" {
		faults = append(faults, missing(ofPublishing+"source.mediaLink"))
	}
	for _, l := range s.links() {
		if f := checkLink(l.at, *l.text); *l.text != "" && f != nil {
			faults = append(faults, f)
		}
	}
	return faults
}

const maxLink = 4096

// checkLink wants the URL of a blob, with nothing beside it but a signature. That it is one of ours is a matter of take.
func checkLink(at, text string) *arm.Error {
	if len(text) > maxLink {
		return catalog.Invalid(at, "The source uri is longer than %d characters.", maxLink)
	}
	u, err := url.Parse(text)
	if err != nil || !u.IsAbs() || u.Host == "" {
		return catalog.Invalid(at, "Source uri: '%.300s' must be an absolute uri.", bare(text)) // recorded in an issue
	}
	query := u.Query()
	for name := range query {
		if low := strings.ToLower(name); low == "snapshot" || low == "versionid" {
			return catalog.Unsupported(at, "A snapshot or a version of a blob as the source of a gallery application version")
		}
	}
	if u.RawQuery != "" && !query.Has("sig") {
		return catalog.Invalid(at, "The source uri '%.300s' has a query that is not a SAS.", bare(text))
	}
	return nil
}

const maxCommand = 4096 // characters of a command or a name of a file, as Azure documents

func checkActions(a *Actions) []*arm.Error {
	const at = ofPublishing + "manageActions"
	if a == nil {
		return []*arm.Error{missing(at)}
	}
	var faults []*arm.Error
	for _, c := range a.commands() {
		switch {
		case *c.text == "" && c.name != "update":
			faults = append(faults, missing(at+"."+c.name))
		case len(*c.text) > maxCommand:
			faults = append(faults, tooLong(at+"."+c.name))
		}
	}
	return faults
}

func tooLong(at string) *arm.Error {
	return catalog.Invalid(at, "The value of '%s' is longer than %d characters.", at, maxCommand)
}

func checkSettings(p *Publishing) []*arm.Error {
	var faults []*arm.Error
	if s := p.Settings; s != nil {
		for _, c := range s.names() {
			if len(*c.text) > maxCommand {
				faults = append(faults, tooLong(ofPublishing+"settings."+c.name))
			}
		}
	}
	if n := len(p.Advanced); n > maxParameters {
		faults = append(faults, catalog.Invalid(ofPublishing+"advancedSettings", "There are %d advanced settings; there may be at most %d.", n, maxParameters))
	}
	return faults
}

// maxReplicas of a version in one region (vm-applications.md of August 2025; older documents say 3).
const maxReplicas = 10

func checkCount(target string, n *int32) []*arm.Error {
	if n == nil || *n >= 1 && *n <= maxReplicas {
		return nil
	}
	return []*arm.Error{catalog.Invalid(target, "The value '%d' of parameter '%s' is out of range. The value must be between 1 and %d, inclusive.", *n, target, maxReplicas)}
}

const maxRegions = 100 // more than these cannot be valid, and need not be told one by one

func checkRegions(location string, list []catalog.TargetRegion) []*arm.Error {
	const at = ofPublishing + "targetRegions"
	if n := len(list); n > maxRegions {
		return []*arm.Error{catalog.Invalid(at, "There are %d target regions; a version may have at most %d.", n, maxRegions)}
	}
	var faults []*arm.Error
	var names []string
	seen := map[string]bool{}
	for i := range list {
		t, at := &list[i], fmt.Sprintf("%s[%d]", at, i)
		l, ok := arm.LocationOf(t.Name)
		if !ok {
			faults = append(faults, arm.Errorf(400, "LocationNotAvailableForResourceType", "The target region '%.80s' is not available for resource type '%s'.", t.Name, VersionType).At(at+".name"))
			continue
		}
		if seen[l.Name] {
			faults = append(faults, catalog.Invalid(at+".name", "Duplicate regions are not allowed in target publishing regions: '%s'.", l.DisplayName))
		}
		seen[l.Name], t.Name = true, l.DisplayName
		names = append(names, l.DisplayName)
		faults = append(faults, checkCount(at+".regionalReplicaCount", t.RegionalReplicaCount)...)
		if catalog.Present(t.Encryption) {
			faults = append(faults, catalog.Invalid(at+".encryption", "Gallery application version resources currently do not support encryption."))
		}
		if len(t.ReplicaSets) > 0 {
			faults = append(faults, catalog.Unsupported(at+".additionalReplicaSets", "An additional replica set of a gallery application version"))
		}
	}
	if l, ok := arm.LocationOf(location); ok && len(list) > 0 && len(faults) == 0 && !seen[l.Name] {
		faults = append(faults, catalog.Invalid(at, "Gallery image version publishing profile regions '%s' must contain the location of image version '%s'.", strings.Join(names, ","), l.DisplayName))
	}
	return faults
}
