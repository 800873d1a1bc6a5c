package catalog

import (
	"encoding/base64"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
)

// templates are the names of known sets of keys (gallery.md 7).
var templates = []string{"NoSignatureTemplate", "MicrosoftUefiCertificateAuthorityTemplate", "MicrosoftWindowsTemplate"}

// maxKeys bounds what a version may keep of firmware keys; the bound is ours.
const maxKeys = 64

// checkSecurity wants known templates, and keys that are base64; it also gives names their canonical case.
func checkSecurity(s *Security) []*arm.Error {
	const at = Path + "securityProfile"
	if s == nil {
		return nil
	}
	var faults []*arm.Error
	for name := range s.Unknown {
		faults = append(faults, Unsupported(at+"."+name, "The member '"+name+"' of a version's securityProfile"))
	}
	u := s.UEFI
	if u == nil {
		return faults
	}
	for i, name := range u.Templates {
		known := false
		for _, t := range templates {
			if strings.EqualFold(name, t) {
				u.Templates[i], known = t, true
			}
		}
		if !known {
			faults = append(faults, Invalid(at+".uefiSettings.signatureTemplateNames", "The value '%.80s' of signatureTemplateNames is not allowed. Allowed values are: %s.", name, strings.Join(templates, ", ")))
		}
	}
	if a := u.Additional; a != nil {
		keys := append(append(append([]UEFIKey{}, a.KEK...), a.DB...), a.DBX...)
		if a.PK != nil {
			keys = append(keys, *a.PK)
		}
		faults = append(faults, checkKeys(keys)...)
	}
	return faults
}

func checkKeys(keys []UEFIKey) []*arm.Error {
	const at = Path + "securityProfile.uefiSettings.additionalSignatures"
	if len(keys) > maxKeys {
		return []*arm.Error{Invalid(at, "There are %d keys; a version may have at most %d.", len(keys), maxKeys)}
	}
	for _, k := range keys {
		if len(k.Value) == 0 || len(k.Value) > maxKeys {
			return []*arm.Error{Invalid(at, "A key must have between 1 and %d values.", maxKeys)}
		}
		for _, v := range k.Value {
			if _, err := base64.StdEncoding.DecodeString(v); err != nil || v == "" {
				return []*arm.Error{Invalid(at, "The value of a key must be base64: '%.40s'.", v)}
			}
		}
	}
	return nil
}

// settleUEFI puts the keys where only $expand=UefiSettings shows them. They are fixed once the version is there.
func (next *Version) settleUEFI(old *Version) error {
	given := next.SecurityProfile
	next.SecurityProfile = nil
	if given == nil || given.UEFI == nil {
		return nil
	}
	if old == nil {
		next.UEFI = given.UEFI
		return nil
	}
	a, errA := armjson.Store(&Security{UEFI: old.UEFI})
	b, errB := armjson.Store(&Security{UEFI: given.UEFI})
	if errA != nil || errB != nil || string(a) != string(b) {
		return NotChangeable(Path + "securityProfile.uefiSettings")
	}
	return nil
}
