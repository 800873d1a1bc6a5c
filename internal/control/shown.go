package control

import (
	"encoding/json"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
	"vitrine/internal/store"
)

// Shown is a stored resource as its readers see it, without what other documents know of it.
type Shown struct {
	ID   arm.ID
	Read string          // the action that it takes to see it
	Body json.RawMessage // without what is private or secret
}

// Show gives the resource of a document for queries over many types. It is false for a kind that is in no table.
func (c *Control) Show(d store.Document, v arm.Version) (Shown, bool, error) {
	k, ok := c.types[d.Kind]
	if !ok {
		return Shown{}, false, nil
	}
	s, err := k.shown(d, v)
	return s, true, err
}

func (k *kind[T]) shown(d store.Document, v arm.Version) (Shown, error) {
	r, err := parse[T](d)
	if err != nil {
		return Shown{}, err
	}
	if k.Dialect != nil {
		k.Dialect(r, v)
	}
	s := Shown{ID: r.ParsedID(), Read: k.Action + "/read"}
	s.Body, err = armjson.Wire(r)
	return s, err
}

// TrackedKinds lists the kinds of documents whose resources have a location and tags.
func (c *Control) TrackedKinds() []string {
	var list []string
	for name, k := range c.types {
		if a := k.about(); a.Tracked && Kind(a.Type) == name {
			list = append(list, name)
		}
	}
	return list
}
