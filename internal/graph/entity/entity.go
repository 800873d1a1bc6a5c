// Package entity shows the directory's objects as Microsoft Graph does: every property by its name, nulls included.
//
// It owns names, defaults and forms of properties, and keeps secrets out of them. It does not decide who sees what, and reads nothing:
//
//	directory.Application, User, … ── Application, User, … ──▶ Entity ── Shown($select) ──▶ a JSON object
package entity

import (
	"slices"
	"time"
)

// Kind is a type of entity: its name in Graph, what it shows when nothing is selected (nil: everything), and an example that has every
// property.
type Kind struct {
	Name     string
	Defaults []string
	Sample   map[string]any
}

// Entity is an object made ready to be shown. Graph sends nulls, so every property is there.
type Entity struct {
	Kind  Kind
	Typed bool // shown with @odata.type, as where objects of several types meet
	Props map[string]any
}

// New makes an object of a kind ready.
func New(k Kind, props map[string]any) *Entity { return &Entity{Kind: k, Props: props} }

// Shown is what a client sees of it.
func (s *Entity) Shown(names []string, typed bool) map[string]any {
	out := map[string]any{}
	if len(names) == 0 {
		names = s.Kind.Defaults
	}
	if len(names) == 0 || slices.Contains(names, "*") {
		for name, v := range s.Props {
			out[name] = v
		}
	}
	for _, name := range names {
		if v, ok := s.Props[name]; ok {
			out[name] = v
		}
	}
	if typed {
		out["@odata.type"] = "#microsoft.graph." + s.Kind.Name
		out["id"] = s.Props["id"]
	}
	return out
}

// Stamp is how Graph writes a time; the zero time is null.
func Stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// Text is a string, or null where there is none.
func Text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Some is a list that is never null.
func Some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
