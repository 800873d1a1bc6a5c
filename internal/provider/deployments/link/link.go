// Package link replaces the links of a deployment's body by what they lead to: templateLink and parametersLink. It owns the
// rules of links; what may be fetched at all is the Fetcher's business, and who may ask that of whoever calls Inline.
//
//	{"templateLink": {"uri": …}} ── Inline ──▶ {"templateLink": {"uri": …}, "template": …, Mark: true}
package link

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/template"
	"vitrine/internal/web"
)

// Fetcher reads documents from origins that the operator allows.
type Fetcher interface {
	Get(ctx context.Context, address string) ([]byte, error)
}

// Mark is a member of properties that Inline alone sets: template and parameters came from the links.
const Mark = "vitrineFetched"

// Link names a document elsewhere.
type Link struct {
	URI            string `json:"uri,omitempty"`
	RelativePath   string `json:"relativePath,omitempty"`
	ContentVersion string `json:"contentVersion,omitempty"`
	QueryString    string `json:"queryString,omitempty"`
	ID             string `json:"id,omitempty"`
}

// Linker fetches. Without a Fetcher every link is refused by name.
type Linker struct{ Fetcher Fetcher }

// Inline returns a request's body, which must be strict JSON, with what its links lead to. around is where the template of the
// deployment around came from, for relative paths; a body without links comes back as it is.
func (p Linker) Inline(ctx context.Context, raw json.RawMessage, around string) (json.RawMessage, error) {
	var whole, properties map[string]json.RawMessage
	if json.Unmarshal(raw, &whole) != nil {
		return raw, nil // whoever reads it next says what is wrong with it
	}
	at := member(whole, "properties")
	if json.Unmarshal(whole[at], &properties) != nil {
		return raw, nil
	}
	marker, changed := member(properties, Mark), false
	if _, forged := properties[marker]; forged {
		delete(properties, marker)
		changed = true
	}
	for _, name := range []string{"template", "parameters"} {
		fetched, err := p.follow(ctx, properties, name, around)
		if err != nil {
			return nil, err
		}
		changed = changed || fetched
	}
	if !changed {
		return raw, nil
	}
	whole[at] = encoded(properties)
	return json.Marshal(whole)
}

// member is the name under which an object has a member, whatever its case.
func member(o map[string]json.RawMessage, name string) string {
	for known := range o {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return name
}

// follow fetches what the link of a template or of parameters leads to, if there is one.
func (p Linker) follow(ctx context.Context, properties map[string]json.RawMessage, name, around string) (bool, error) {
	at := member(properties, name+"Link")
	raw := properties[at]
	if !given(raw) {
		return false, nil
	}
	inline := properties[member(properties, name)]
	if given(inline) && !(name == "parameters" && string(inline) == "{}") {
		return false, nil // readRequest refuses that
	}
	var l Link
	if err := json.Unmarshal(raw, &l); err != nil {
		return false, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: '%sLink' must be an object with a 'uri'.", name).At(name + "Link")
	}
	address, shown, err := l.resolve(around)
	if err != nil {
		return false, err.At(name + "Link")
	}
	text, failure := p.download(ctx, address, shown)
	if failure != nil {
		return false, failure
	}
	var head struct {
		ContentVersion string
		Parameters     json.RawMessage
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return false, arm.Errorf(400, "InvalidContentLink", "The content of '%s' is no template or parameters file.", shown).At(name + "Link")
	}
	if l.ContentVersion != "" && l.ContentVersion != head.ContentVersion {
		return false, arm.Errorf(400, "InvalidContentLink", "The content version '%.40s' of '%s' does not match the version '%.40s' that the deployment asks for.", head.ContentVersion, shown, l.ContentVersion).At(name + "Link")
	}
	if name == "parameters" {
		if text = head.Parameters; !given(text) {
			text = json.RawMessage("{}")
		}
	}
	delete(properties, member(properties, name))
	properties[name] = text
	properties[at] = encoded(Link{URI: shown, ContentVersion: l.ContentVersion})
	properties[Mark] = json.RawMessage("true")
	return true, nil
}

// resolve returns the address to fetch, and the one to show: without the query, which may be a signature.
func (l Link) resolve(around string) (address, shown string, fault *arm.Error) {
	switch {
	case l.ID != "":
		return "", "", arm.Errorf(400, "NotSupported", "Template specs (templateLink.id) are not supported by this installation; send the template itself or the address of a file.")
	case l.URI != "" && l.RelativePath != "":
		return "", "", arm.Errorf(400, "InvalidContentLink", "A link has either a 'uri' or a 'relativePath'.")
	case l.URI == "" && l.RelativePath == "":
		return "", "", arm.Errorf(400, "InvalidContentLink", "The link has no 'uri'.")
	case l.RelativePath != "" && around == "":
		return "", "", arm.Errorf(400, "InvalidContentLink", "The relative path '%.200s' needs a deployment around it whose template came from an address.", l.RelativePath)
	}
	u, err := url.Parse(l.URI)
	if l.RelativePath != "" {
		if u, err = url.Parse(around); err == nil {
			u.RawQuery = ""
			u, err = u.Parse(l.RelativePath)
		}
	}
	if err != nil || !u.IsAbs() || u.User != nil {
		return "", "", arm.Errorf(400, "InvalidContentLink", "The address '%.200s' of the link is not a valid one.", l.URI+l.RelativePath)
	}
	if l.QueryString != "" {
		u.RawQuery = strings.TrimPrefix(l.QueryString, "?")
	}
	u.Fragment = ""
	plain := *u
	plain.RawQuery = ""
	return u.String(), plain.String(), nil
}

// download fetches and mends a file. Why it could not be had is for the log, lest anybody try addresses with our eyes.
func (p Linker) download(ctx context.Context, address, shown string) (json.RawMessage, error) {
	const how = "The operator of this installation allows it with 'serve --allow-template-source https://HOST'."
	if p.Fetcher == nil {
		return nil, arm.Errorf(400, "InvalidContentLink", "Unable to download deployment content from '%s'. %s", shown, how)
	}
	text, err := p.Fetcher.Get(ctx, address)
	if errors.Is(err, web.ErrFetchRefused) {
		return nil, arm.Errorf(400, "InvalidContentLink", "Unable to download deployment content from '%s': templates may not be fetched from there. %s", shown, how).Because(err)
	}
	if err != nil {
		return nil, arm.Errorf(400, "InvalidContentLink", "Unable to download deployment content from '%s'.", shown).Because(err)
	}
	out, err := template.Lenient(text)
	if err != nil {
		fault := arm.Errorf(400, "InvalidContentLink", "The content of '%s' is no valid JSON.", shown)
		if e, ok := errors.AsType[*template.Error](err); ok {
			fault.Details = []*arm.Error{arm.Errorf(400, e.Code, "%s", e.Message)}
		}
		return nil, fault
	}
	return out, nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// encoded is for values that always are JSON.
func encoded(v any) json.RawMessage {
	raw, _ := json.Marshal(v)
	return raw
}
