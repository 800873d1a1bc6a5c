// Package whatif says what would change between two states of resources, in the words of ARM's what-if operation. It is pure:
// who finds out the states is the deployments provider's business.
//
//	before, after ── Compare ──▶ Change{ChangeType, Delta}
package whatif

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/template"
	"vitrine/internal/template/tree"
)

// The change types of resources.
const (
	Create      = "Create"
	Delete      = "Delete"
	Deploy      = "Deploy" // would be written, but nobody knows what would change
	Ignore      = "Ignore"
	Modify      = "Modify"
	NoChange    = "NoChange"
	Unsupported = "Unsupported"
)

// Change is what would happen to one resource.
type Change struct {
	ResourceID        string          `json:"resourceId"`
	ChangeType        string          `json:"changeType"`
	UnsupportedReason string          `json:"unsupportedReason,omitempty"`
	Before            json.RawMessage `json:"before,omitempty"`
	After             json.RawMessage `json:"after,omitempty"`
	Delta             []Delta         `json:"delta,omitempty"`
}

// Delta is what would happen to one property. Array stands for changes among an array's elements, whose paths are indexes.
type Delta struct {
	Path     string  `json:"path"`
	Type     string  `json:"propertyChangeType"` // Create, Delete, Modify, Array
	Before   any     `json:"before"`
	After    any     `json:"after"`
	Children []Delta `json:"children"`
}

// Compare tells what a write would do to a resource that is before, nil if it does not exist, and would be after.
func Compare(id string, before, after *tree.Object) (Change, error) {
	c := Change{ResourceID: id, ChangeType: NoChange}
	var err error
	if c.After, err = tree.Encode(after); err != nil {
		return c, err
	}
	if before == nil {
		c.ChangeType = Create
		return c, nil
	}
	if c.Before, err = tree.Encode(before); err != nil {
		return c, err
	}
	if c.Delta = objects("", before, after); len(c.Delta) > 0 {
		c.ChangeType = Modify
	}
	return c, nil
}

// Same is a change of a resource that stays, or goes, as it is.
func Same(id, changeType string, state *tree.Object) (Change, error) {
	raw, err := tree.Encode(state)
	c := Change{ResourceID: id, ChangeType: changeType, Before: raw}
	if changeType != Delete {
		c.After = raw
	}
	return c, err
}

// Visible takes from a state what a write does not decide: entity tags and provisioning states, at whatever depth, would make
// every comparison noise. The object is not changed.
func Visible(o *tree.Object, apiVersion string) *tree.Object {
	out, _ := quiet(o).(*tree.Object)
	if apiVersion != "" {
		out.Set("apiVersion", apiVersion)
	}
	return out
}

func quiet(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = quiet(v[i])
		}
		return list
	case *tree.Object:
		out := tree.NewObject()
		for i, name := range v.Keys() {
			if !slices.Contains([]string{"etag", "systemdata", "provisioningstate"}, tree.Fold(name)) {
				out.Set(name, quiet(v.Values[i]))
			}
		}
		return out
	}
	return v
}

// Declared is a resource that would be made, as the template has it; draft is its body.
func Declared(r template.Resource, draft *tree.Object) *tree.Object {
	o := tree.ObjectOf("apiVersion", r.APIVersion, "id", r.ID)
	_ = draft.Each(func(name string, v any) error { o.Set(name, v); return nil })
	o.Set("name", r.Name[strings.LastIndexByte(r.Name, '/')+1:])
	if id, err := arm.ParseID(r.ID); err == nil && id.ResourceGroup != "" {
		o.Set("resourceGroup", id.ResourceGroup)
	}
	o.Set("type", r.Type)
	return o
}

// Brief is a change without payloads: whether what exists would change is not told then, as in Azure.
func Brief(c Change) Change {
	if c.ChangeType == Modify || c.ChangeType == NoChange {
		c.ChangeType = Deploy
	}
	return Change{ResourceID: c.ResourceID, ChangeType: c.ChangeType, UnsupportedReason: c.UnsupportedReason}
}

// values compares what stands at path.
func values(path string, before, after any) []Delta {
	if tree.Equal(before, after) || path == "location" && samePlace(before, after) {
		return nil
	}
	a, isA := before.(*tree.Object)
	b, isB := after.(*tree.Object)
	if isA && isB {
		return objects(path, a, b)
	}
	x, isX := before.([]any)
	y, isY := after.([]any)
	if isX && isY {
		if children := arrays(x, y); len(children) > 0 {
			return []Delta{{Path: path, Type: "Array", Before: before, After: after, Children: children}}
		}
		return nil // the same elements in another order: nobody reads these arrays by place
	}
	return []Delta{{Path: path, Type: Modify, Before: before, After: after}}
}

// samePlace: a region is the same however it is written.
func samePlace(before, after any) bool {
	a, _ := before.(string)
	b, _ := after.(string)
	was, known := arm.LocationOf(a)
	next, _ := arm.LocationOf(b)
	return known && was == next
}

func objects(path string, before, after *tree.Object) []Delta {
	var all []Delta
	for i, name := range before.Keys() {
		if v, ok := after.Get(name); ok {
			all = append(all, values(join(path, name), before.Values[i], v)...)
		} else if before.Values[i] != nil {
			all = append(all, Delta{Path: join(path, name), Type: Delete, Before: before.Values[i]})
		}
	}
	for i, name := range after.Keys() {
		if _, ok := before.Get(name); !ok && after.Values[i] != nil {
			all = append(all, Delta{Path: join(path, name), Type: Create, After: after.Values[i]})
		}
	}
	return all
}

// join writes a path; a name with a point is put in brackets, as ARM does.
func join(path, name string) string {
	switch {
	case strings.Contains(name, "."):
		return path + "['" + name + "']"
	case path == "":
		return name
	}
	return path + "." + name
}

// mostPairs bounds the comparing of two arrays' elements with one another; longer ones are compared place by place.
const mostPairs = 250_000

// arrays pairs equal elements, then those that have the same name or id, then what is left in order.
func arrays(before, after []any) []Delta {
	pair := make([]int, len(before)) // index in after, or -1
	for i := range pair {
		pair[i] = -1
	}
	taken := make([]bool, len(after))
	match := func(same func(a, b any) bool) {
		for i := range before {
			for j := 0; pair[i] < 0 && j < len(after); j++ {
				if !taken[j] && same(before[i], after[j]) {
					pair[i], taken[j] = j, true
				}
			}
		}
	}
	if len(before)*len(after) <= mostPairs {
		match(func(a, b any) bool { return tree.Equal(a, b) })
		match(named)
	}
	for i := range min(len(before), len(after)) {
		if pair[i] < 0 && !taken[i] {
			pair[i], taken[i] = i, true
		}
	}
	var all []Delta
	for i, j := range pair {
		path := strconv.Itoa(i)
		if j < 0 {
			all = append(all, Delta{Path: path, Type: Delete, Before: before[i]})
			continue
		}
		if tree.Equal(before[i], after[j]) {
			continue
		}
		inner := Delta{Path: path, Type: Modify, Before: before[i], After: after[j]}
		a, isA := before[i].(*tree.Object)
		b, isB := after[j].(*tree.Object)
		if isA && isB {
			inner.Children = objects("", a, b)
		}
		all = append(all, inner)
	}
	for j := range after {
		if !taken[j] {
			all = append(all, Delta{Path: strconv.Itoa(j), Type: Create, After: after[j]})
		}
	}
	return all
}

// named says whether two elements are of the same name or ID.
func named(a, b any) bool {
	x, isX := a.(*tree.Object)
	y, isY := b.(*tree.Object)
	if !isX || !isY {
		return false
	}
	for _, key := range []string{"id", "name", "key"} {
		v, _ := x.Get(key)
		w, _ := y.Get(key)
		if s, ok := v.(string); ok && s != "" {
			t, ok := w.(string)
			return ok && strings.EqualFold(s, t)
		}
	}
	return false
}
