package template

import (
	"encoding/json"

	"vitrine/internal/template/tree"
)

// Secrets lists the texts in the values of t's secure parameters, given or by default, so that a caller can keep them out
// of what it answers and logs. It works for parameters that Expand refuses, too.
func Secrets(t *Template, env Env, parameters json.RawMessage) []string {
	ev := t.evaluator(env, parameters)
	given := t.given(&faults{}, parameters)
	var all []string
	for _, p := range t.parameters {
		if v, ok := given[tree.Fold(p.name)]; ok {
			ev.Parameters.Define(p.name, func() (any, error) { return v, nil })
		} else if p.hasDefault {
			ev.Parameters.Define(p.name, func() (any, error) { return ev.Value(p.fallback) })
		}
	}
	for _, p := range t.parameters {
		if !t.types.secret(p.schema) {
			continue
		}
		if v, ok, err := ev.Parameters.Get(p.name); ok && err == nil {
			all = append(all, texts(v)...)
		}
	}
	return all
}

// texts lists the strings within a value of package tree.
func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	case *tree.Object:
		_ = v.Each(func(_ string, e any) error { all = append(all, texts(e)...); return nil })
	}
	return all
}

// Texts lists the strings within JSON; what is no JSON has none.
func Texts(raw json.RawMessage) []string {
	v, err := tree.Decode(raw)
	if err != nil {
		return nil
	}
	return texts(v)
}
