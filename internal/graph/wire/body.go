package wire

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"reflect"
	"slices"
	"strings"
	"time"

	"vitrine/internal/directory"
)

// ContentType is that of all answers.
const ContentType = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

// Body is a request's JSON object, member by member.
type Body map[string]json.RawMessage

// Into decodes one member into the place that v points to; one that is not there leaves it as it was, and null empties it. The value is
// made anew, since decoding into a list would keep parts of what was in it.
func (b Body) Into(name string, v any) error {
	raw, ok := b[name]
	if !ok {
		return nil
	}
	place := reflect.ValueOf(v).Elem()
	fresh := reflect.New(place.Type())
	if err := json.Unmarshal(raw, fresh.Interface()); err != nil {
		return BadRequest("Invalid value specified for property '%s' of resource.", name)
	}
	place.Set(fresh.Elem())
	return nil
}

// Fields puts the members of a body into their places. Any other is refused by name:
// silently dropping what somebody asked for would be a lie.
func (b Body) Fields(places map[string]any) error {
	for name := range b {
		place, ok := places[name]
		if !ok && (strings.HasPrefix(name, "@odata.") || strings.Contains(name, "@odata.type")) {
			continue
		}
		if !ok {
			return BadRequest("Property '%.64s' is invalid, read-only or not supported by this server.", name)
		}
		if err := b.Into(name, place); err != nil {
			return err
		}
	}
	return nil
}

// PasswordCredential is a secret as a client asks for it. Its text is never the client's to choose.
type PasswordCredential struct {
	DisplayName string    `json:"displayName"`
	Start       time.Time `json:"startDateTime"`
	End         time.Time `json:"endDateTime"`
	Text        *string   `json:"secretText"`
}

// Spec is what the directory makes of it.
func (p PasswordCredential) Spec() (directory.SecretSpec, error) {
	var s directory.SecretSpec
	if p.Text != nil {
		return s, BadRequest("The server generates secrets; secretText cannot be set.")
	}
	s.DisplayName, s.Start, s.End = p.DisplayName, p.Start, p.End
	return s, nil
}

// KeyCredential is a certificate as a client sends it. One without bytes, but with the key ID of one that is there, is kept: that is how a
// client sends back what it read.
type KeyCredential struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName"`
	Key         *string   `json:"key"`
	Type        string    `json:"type"`
	Usage       string    `json:"usage"`
	Start       time.Time `json:"startDateTime"`
	End         time.Time `json:"endDateTime"`
}

// ReplaceKeys makes the certificates that a client wants of those that are there and those it sent.
func ReplaceKeys(have []directory.Certificate, wanted []KeyCredential) ([]directory.Certificate, error) {
	out := []directory.Certificate{}
	for _, k := range wanted {
		i := slices.IndexFunc(have, func(c directory.Certificate) bool { return strings.EqualFold(c.KeyID, k.KeyID) })
		if i >= 0 && k.Key == nil {
			out = append(out, have[i])
			continue
		}
		c, err := k.certificate()
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (k KeyCredential) certificate() (directory.Certificate, error) {
	switch {
	case k.Key == nil:
		return directory.Certificate{}, BadRequest("New key credential must have the 'key' property, or the 'keyId' of one that is there.")
	case k.Type != "AsymmetricX509Cert" || k.Usage != "Verify":
		return directory.Certificate{}, Unsupported("A key credential of type '" + Clip(k.Type) + "' and usage '" + Clip(k.Usage) + "' (AsymmetricX509Cert and Verify is)")
	}
	raw, err := base64.StdEncoding.DecodeString(*k.Key)
	if err != nil {
		return directory.Certificate{}, BadRequest("Key credential is invalid: 'key' is not base64.")
	}
	if block, _ := pem.Decode(raw); block != nil && block.Type == "CERTIFICATE" { // the file as it is, in base64 once more
		raw = block.Bytes
	}
	c, err := directory.NewCertificate(raw, k.DisplayName, k.Start, k.End)
	if err == nil && k.KeyID != "" {
		err = c.SetKeyID(k.KeyID)
	}
	return c, err
}

// Clip shortens what a client sent, for a message.
func Clip(s string) string { return s[:min(len(s), 40)] }

// Require refuses a body that leaves out what a new object must have, or says nothing in it: null and the empty text are no values.
func (b Body) Require(resource string, names ...string) error {
	for _, name := range names {
		if raw := string(b[name]); raw == "" || raw == "null" || raw == `""` {
			return BadRequest("A value is required for property '%s' of resource '%s'.", name, resource)
		}
	}
	return nil
}

// NotNull refuses null for members that are one thing or the other.
func (b Body) NotNull(names ...string) error {
	for _, name := range names {
		if string(b[name]) == "null" {
			return BadRequest("Invalid value specified for property '%s' of resource.", name)
		}
	}
	return nil
}

// OnlyEmpty lets members pass that say nothing, and refuses them by name when they do.
func (b Body) OnlyEmpty(names ...string) error {
	for _, name := range names {
		raw, ok := b[name]
		if ok && !slices.Contains([]string{"null", "{}", "[]", `""`}, string(raw)) {
			return Unsupported("Property '" + name + "'")
		}
	}
	return nil
}
