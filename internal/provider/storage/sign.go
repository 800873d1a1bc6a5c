package storage

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
)

// signVersion is the sv of the signatures made here; the blob door takes 2018-11-09 and later.
const signVersion = "2022-11-02"

// signing is the body of listAccountSas and of listServiceSas (learn.microsoft.com: Storage Accounts - List Account SAS, List Service SAS).
type signing struct {
	Services, Types, Permission, IP, Protocol, Start, Expiry, Resource, Path, Policy, Key string
	CacheControl, Disposition, Encoding, Language, ContentType                            string
}

// signingOf reads a body. A control character is refused wherever it stands: a line feed would let one member pose as several
// in the text that is signed, and who may make a signature of one kind would make any.
func signingOf(body []byte) (*signing, error) {
	var in map[string]string
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	s := &signing{}
	members := map[string]*string{"signedservices": &s.Services, "signedresourcetypes": &s.Types, "signedpermission": &s.Permission, "signedip": &s.IP,
		"signedprotocol": &s.Protocol, "signedstart": &s.Start, "signedexpiry": &s.Expiry, "signedresource": &s.Resource, "canonicalizedresource": &s.Path,
		"signedidentifier": &s.Policy, "keytosign": &s.Key, "rscc": &s.CacheControl, "rscd": &s.Disposition, "rsce": &s.Encoding, "rscl": &s.Language, "rsct": &s.ContentType}
	var faults []*arm.Error
	for _, name := range slices.Sorted(maps.Keys(in)) {
		value := in[name]
		into := members[strings.ToLower(name)]
		switch {
		case into == nil:
			faults = append(faults, arm.Errorf(400, "NotSupported", "The property '%.80s' of a shared access signature is not supported by this installation.", name).At(name))
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			faults = append(faults, invalid(name, "The value of parameter '%.80s' must not contain control characters.", name))
		default:
			*into = value
		}
	}
	return s, arm.Join(append(faults, s.faults()...))
}

// faults are those of the members that both kinds have; times come to the form in which they are signed.
func (s *signing) faults() []*arm.Error {
	var faults []*arm.Error
	for _, t := range []struct {
		name string
		text *string
	}{{"signedStart", &s.Start}, {"signedExpiry", &s.Expiry}} {
		at, err := time.Parse(time.RFC3339, *t.text)
		if err == nil {
			*t.text = at.UTC().Format("2006-01-02T15:04:05Z")
		} else if *t.text != "" || t.name == "signedExpiry" {
			faults = append(faults, invalid(t.name, "The value '%.80s' of parameter '%s' is not a date and time.", *t.text, t.name))
		}
	}
	if s.Start != "" && s.Start >= s.Expiry {
		faults = append(faults, invalid("signedExpiry", "The value of parameter 'signedExpiry' must be later than 'signedStart'."))
	}
	if s.Protocol != "" && s.Protocol != "https" && s.Protocol != "https,http" {
		faults = append(faults, invalid("signedProtocol", "The value '%.80s' of parameter 'signedProtocol' is not allowed. Allowed values are: https, https,http.", s.Protocol))
	}
	if s.Key == "" {
		s.Key = "key1"
	}
	if k := strings.ToLower(s.Key); k != "key1" && k != "key2" {
		faults = append(faults, invalid("keyToSign", "The value '%.80s' of parameter 'keyToSign' is not allowed. Allowed values are: key1, key2.", s.Key))
	}
	return append(faults, letters("signedPermission", s.Permission, "racwdxyltmeopufi")...)
}

// letters wants one or more of those that a member may have.
func letters(name, value, allowed string) []*arm.Error {
	if value != "" && strings.Trim(value, allowed) == "" {
		return nil
	}
	return []*arm.Error{invalid(name, "The value '%.80s' of parameter '%s' is not allowed. It consists of the letters: %s.", value, name, allowed)}
}

func (p *Provider) listAccountSAS(_ context.Context, a *control.Act[Properties]) error {
	s, err := signingOf(a.Body)
	if err != nil {
		return err
	}
	if err := arm.Join(append(letters("signedServices", s.Services, "bqtf"), letters("signedResourceTypes", s.Types, "sco")...)); err != nil {
		return err
	}
	sig, err := p.sign(a.New, s.Key, strings.ToLower(a.ID.Name()), s.Permission, s.Services, s.Types, s.Start, s.Expiry, s.IP, s.Protocol, signVersion, "", "")
	if err != nil {
		return err
	}
	a.Output = map[string]string{"accountSasToken": query("sv", signVersion, "ss", s.Services, "srt", s.Types, "sp", s.Permission,
		"st", s.Start, "se", s.Expiry, "sip", s.IP, "spr", s.Protocol, "sig", sig)}
	return nil
}

func (p *Provider) listServiceSAS(_ context.Context, a *control.Act[Properties]) error {
	s, err := signingOf(a.Body)
	if err != nil {
		return err
	}
	prefix := "/blob/" + strings.ToLower(a.ID.Name()) + "/"
	container, blob, isBlob := strings.Cut(strings.TrimPrefix(s.Path, prefix), "/")
	switch {
	case s.Policy != "":
		return arm.Errorf(400, "NotSupported", "A stored access policy (signedIdentifier) is not supported by this installation.").At("signedIdentifier")
	case s.Resource != "b" && s.Resource != "c":
		return invalid("signedResource", "The value '%.80s' of parameter 'signedResource' is not allowed. Allowed values are: b, c.", s.Resource)
	case !strings.HasPrefix(s.Path, prefix) || container == "" || isBlob != (s.Resource == "b") || isBlob && blob == "":
		return invalid("canonicalizedResource", "The value '%.200s' of parameter 'canonicalizedResource' is not valid. It has the form '%s{container}' for a container (c), and '/{blob}' behind that for a blob (b).", s.Path, prefix)
	}
	sig, err := p.sign(a.New, s.Key, s.Permission, s.Start, s.Expiry, s.Path, "", s.IP, s.Protocol, signVersion, s.Resource, "", "",
		s.CacheControl, s.Disposition, s.Encoding, s.Language, s.ContentType)
	if err != nil {
		return err
	}
	a.Output = map[string]string{"serviceSasToken": query("sv", signVersion, "sr", s.Resource, "sp", s.Permission, "st", s.Start, "se", s.Expiry,
		"sip", s.IP, "spr", s.Protocol, "rscc", s.CacheControl, "rscd", s.Disposition, "rsce", s.Encoding, "rscl", s.Language, "rsct", s.ContentType, "sig", sig)}
	return nil
}

// sign makes the signature of lines with one of the account's keys.
func (p *Provider) sign(r *resource, key string, lines ...string) (string, error) {
	for _, k := range r.Properties.Keys {
		if !strings.EqualFold(k.Name, key) {
			continue
		}
		secret, err := p.open(r, k)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(strings.Join(lines, "\n")))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
	}
	return "", arm.Errorf(404, "NotFound", "The key '%.80s' of the storage account was not found.", key)
}

// query joins names and values, in their order, and leaves out what has no value.
func query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pairs[i] + "=" + url.QueryEscape(pairs[i+1]))
	}
	return b.String()
}
