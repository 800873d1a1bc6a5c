package catalog

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/pattern"
)

var (
	definitionNames = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$`)
	identifiers     = pattern.New(`^[A-Za-z0-9_.-]+$`)
)

// DefinitionName is the rule for names.
func DefinitionName(n string) *arm.Error {
	if definitionNames.MatchString(n) && !strings.HasSuffix(n, ".") && !strings.HasSuffix(n, "-") {
		return nil
	}
	return Invalid("galleryImageName", "The entity name 'galleryImageName' is invalid according to its validation rule: ^[^_\\W][\\w-._]{0,79}(?<![-.])$.")
}

// ValidateDefinition finds every fault of a definition.
func ValidateDefinition(r *DefinitionResource) []*arm.Error {
	p := &r.Properties
	var faults []*arm.Error
	for _, must := range []struct{ name, value string }{{"osType", p.OSType}, {"osState", p.OSState}} {
		if must.value == "" { // the decoder misses it when 'properties' is missing
			faults = append(faults, Invalid("galleryImage.properties."+must.name, "Required parameter '%s' is missing (null).", must.name))
		}
	}
	faults = append(faults, checkIdentifier(p.Identifier)...)
	if f := CheckDate("galleryImage.properties.endOfLifeDate", p.EndOfLifeDate); f != nil {
		faults = append(faults, f)
	}
	faults = append(faults, checkRecommended(p.Recommended)...)
	if n := len(p.Features); n > maxFeatures {
		return append(faults, Invalid("galleryImage.properties.features", "There are %d features; a definition may have at most %d.", n, maxFeatures))
	}
	seen := map[string]bool{}
	for i := range p.Features {
		f := &p.Features[i]
		if f.Name == "" || seen[strings.ToLower(f.Name)] {
			faults = append(faults, Invalid("galleryImage.properties.features", "The feature name '%.80s' is missing or given more than once.", f.Name))
		}
		seen[strings.ToLower(f.Name)] = true
		faults = append(faults, checkFeature(f)...)
	}
	if p.Disallowed != nil && len(p.Disallowed.DiskTypes) == 0 && len(p.Disallowed.Unknown) == 0 {
		p.Disallowed = nil // sent empty it is dropped (recorded)
	}
	return faults
}

func checkIdentifier(i *Identifier) []*arm.Error {
	var faults []*arm.Error
	if i == nil {
		return append(faults, Invalid("galleryImage.properties.identifier", "Required parameter 'identifier' is missing (null)."))
	}
	for _, part := range []struct {
		name, value string
		most        int
	}{{"publisher", i.Publisher, 128}, {"offer", i.Offer, 64}, {"sku", i.SKU, 64}} {
		if len(part.value) > part.most || !identifiers.MatchString(part.value) || strings.HasSuffix(part.value, ".") {
			target := "galleryImage.properties.identifier." + part.name
			faults = append(faults, Invalid(target, "The value of asset name '%s' is not valid: '%.140s'. It may have at most %d characters: alphanumerics, hyphens, periods and underscores; it must not end with a period.", target, part.value, part.most))
		}
	}
	return faults
}

// maxFeatures bounds the list; the bound is ours.
const maxFeatures = 100

// features are the documented names and their values.
var features = map[string][]string{
	"SecurityType": {"Standard", "TrustedLaunchSupported", "TrustedLaunch", "ConfidentialVMSupported", "ConfidentialVM",
		"TrustedLaunchAndConfidentialVmSupported"},
	"IsAcceleratedNetworkSupported": {"True", "False"},
	"IsHibernateSupported":          {"True", "False"},
	"DiskControllerTypes":           {"SCSI", "SCSI, NVMe", "SCSI,NVMe", "NVMe, SCSI", "NVMe,SCSI"},
}

// checkFeature wants a documented value of a documented feature, and gives both their canonical case.
func checkFeature(f *Feature) []*arm.Error {
	if f.StartsAt != "" {
		if fault := VersionName(f.StartsAt); fault != nil {
			return []*arm.Error{fault.At("galleryImage.properties.features.startsAtVersion")}
		}
	}
	for name, allowed := range features {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		f.Name = name
		for _, v := range allowed {
			if strings.EqualFold(v, f.Value) {
				f.Value = v
				return nil
			}
		}
		return []*arm.Error{Invalid("galleryImage.properties.features", "The value '%.80s' of feature '%s' is not allowed. Allowed values are: %s.", f.Value, f.Name, strings.Join(allowed, "; "))}
	}
	return nil
}

func checkRecommended(r *Recommended) []*arm.Error {
	if r == nil {
		return nil
	}
	var faults []*arm.Error
	for n, i := range []*Interval{r.VCPUs, r.Memory} {
		target := "galleryImage.properties.recommended." + []string{"vCPUs", "memory"}[n]
		switch {
		case i == nil:
		case i.Min != nil && *i.Min < 1 || i.Max != nil && *i.Max < 1:
			faults = append(faults, Invalid(target, "The values of %s must be at least 1.", target))
		case i.Min != nil && i.Max != nil && *i.Min > *i.Max:
			faults = append(faults, Invalid(target, "The minimum value of %s must not be larger than its maximum value.", target))
		}
	}
	return faults
}

// ParseDate reads the forms in which clients write dates.
func ParseDate(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// CheckDate wants a date, or nothing.
func CheckDate(target, text string) *arm.Error {
	if _, ok := ParseDate(text); text == "" || ok {
		return nil
	}
	return Invalid(target, "Could not convert the string '%.80s' to DateTimeOffset. The value of %s must be an ISO 8601 date.", text, target)
}

// Future wants a new end of life to lie ahead; one that was set stays valid when its day has come.
func Future(target, old, next string, now time.Time) *arm.Error {
	if t, _ := ParseDate(next); next != "" && next != old && !t.After(now) {
		return Invalid(target, "The value of %s must be later than the current time: '%s'.", target, next)
	}
	return nil
}

// Settle completes a definition: defaults, and what may not change from old, which is nil for a new one.
func (d *Definition) Settle(old *Definition, v arm.Version, now time.Time) error {
	if old == nil {
		old = &Definition{}
	} else {
		d.keep(old, v)
		if len(d.Features) == 0 {
			d.Features = old.Features
		}
		if err := sameFeatures(old, d); err != nil {
			return err
		}
	}
	complete(d, v)
	var faults []*arm.Error
	if f := Future("galleryImage.properties.endOfLifeDate", old.EndOfLifeDate, d.EndOfLifeDate, now); f != nil {
		faults = append(faults, f)
	}
	if d.Architecture == "Arm64" && d.HyperVGeneration != "V2" {
		faults = append(faults, Invalid("galleryImage.properties.hyperVGeneration", "The architecture 'Arm64' requires hyperVGeneration 'V2'."))
	}
	return arm.Join(append(faults, secure(d)...))
}

// complete fills in the defaults, which depend on the api-version (gallery.md 2 and 6).
func complete(p *Definition, v arm.Version) {
	if p.Architecture == "" {
		p.Architecture = "x64"
	}
	if p.HyperVGeneration != "" {
		return
	}
	p.HyperVGeneration = "V1"
	if v.Date() >= "2025-03-03" {
		p.HyperVGeneration = "V2"
	}
	if v.Date() >= "2025-03-03" && len(p.Features) == 0 {
		p.Features = []Feature{{Name: "SecurityType", Value: "TrustedLaunchSupported"}}
	}
}

// secure: security types beyond Standard are a matter of UEFI.
func secure(p *Definition) []*arm.Error {
	for _, f := range p.Features {
		if strings.EqualFold(f.Name, "SecurityType") && !strings.EqualFold(f.Value, "Standard") && p.HyperVGeneration != "V2" {
			return []*arm.Error{Invalid("galleryImage.properties.hyperVGeneration", "The security type '%s' requires hyperVGeneration 'V2'.", f.Value)}
		}
	}
	return nil
}

// sameFeatures: the list changes only with allowUpdateImage.
func sameFeatures(old, next *Definition) error {
	if next.AllowUpdateImage != nil && *next.AllowUpdateImage {
		return nil
	}
	a, errA := armjson.Store(old.Features)
	b, errB := armjson.Store(next.Features)
	if errA == nil && errB == nil && bytes.EqualFold(a, b) || len(old.Features) == 0 && len(next.Features) == 0 {
		return nil
	}
	return NotChangeable("galleryImage.properties.features")
}

// Key is equal for identifiers that must not stand in one gallery.
func (i *Identifier) Key() string {
	return strings.ToLower(fmt.Sprintf("%s\x00%s\x00%s", i.Publisher, i.Offer, i.SKU))
}

// SecurityType is the value of the feature of that name, in canonical case; empty when there is none.
func (d *Definition) SecurityType() string {
	for _, f := range d.Features {
		if strings.EqualFold(f.Name, "SecurityType") {
			return f.Value
		}
	}
	return ""
}
