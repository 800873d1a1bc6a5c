package storage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
)

type shownKey struct {
	Created     string `json:"creationTime"`
	Name        string `json:"keyName"`
	Value       string `json:"value"`
	Permissions string `json:"permissions"`
}

type shownKeys struct {
	Keys []shownKey `json:"keys"`
}

func (p *Provider) listKeys(_ context.Context, a *control.Act[Properties]) error {
	if expand := a.Query.Get("$expand"); expand != "" && !strings.EqualFold(expand, "kerb") {
		return invalid("$expand", "The value '%.80s' of $expand is not allowed. Allowed values are: kerb.", expand)
	}
	return p.show(a)
}

// show answers with both keys. Kerberos keys belong to file shares, which there are none of.
func (p *Provider) show(a *control.Act[Properties]) error {
	out := shownKeys{Keys: []shownKey{}}
	for _, k := range a.New.Properties.Keys {
		plain, err := p.Sealer.Open(k.Sealed, boundTo(a.New, k.Name))
		if err != nil {
			return err
		}
		out.Keys = append(out.Keys, shownKey{Created: k.Created, Name: k.Name, Value: string(plain), Permissions: "FULL"})
	}
	a.Output = out
	return nil
}

func (p *Provider) regenerate(_ context.Context, a *control.Act[Properties]) error {
	var body struct{ KeyName string }
	if err := json.Unmarshal(a.Body, &body); err != nil {
		return arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	name := strings.ToLower(body.KeyName)
	if name != "key1" && name != "key2" {
		return invalid("keyName", "The value '%.80s' of keyName is not allowed. Allowed values are: key1, key2.", body.KeyName)
	}
	if err := p.renew(a.New, name, a.Now); err != nil {
		return err
	}
	a.Changed = true
	return p.show(a)
}

// open gives a key's bytes.
func (p *Provider) open(r *resource, k Key) ([]byte, error) {
	text, err := p.Sealer.Open(k.Sealed, boundTo(r, k.Name))
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(string(text))
}
