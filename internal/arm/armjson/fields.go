package armjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Unknown keeps the members of an object that its model does not name, as they came.
type Unknown map[string]json.RawMessage

type field struct {
	index                                                           []int
	name                                                            string
	readonly, private, secret, required, immutable, always, unknown bool
	enum                                                            []string
	def                                                             string
}

var (
	unknownType = reflect.TypeFor[Unknown]()
	rawType     = reflect.TypeFor[json.RawMessage]()
)

// cache holds the fields of a struct type; a pure function of the type, hence safe to share.
var cache sync.Map

func fieldsOf(t reflect.Type) []field {
	if f, ok := cache.Load(t); ok {
		return f.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Type == unknownType {
			fields = append(fields, field{index: []int{i}, unknown: true})
			continue
		}
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && sf.Tag.Get("json") == "" {
			for _, inner := range fieldsOf(sf.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
			continue
		}
		if name, _, _ := strings.Cut(sf.Tag.Get("json"), ","); name != "" && name != "-" {
			fields = append(fields, rules(field{index: []int{i}, name: name}, sf.Tag.Get("arm")))
		}
	}
	cache.Store(t, fields)
	return fields
}

func rules(f field, tag string) field {
	for _, rule := range strings.Split(tag, ",") {
		key, value, _ := strings.Cut(rule, "=")
		switch key {
		case "readonly":
			f.readonly = true
		case "private":
			f.private = true
		case "secret":
			f.secret = true
		case "required":
			f.required = true
		case "immutable":
			f.immutable = true
		case "always":
			f.always = true
		case "enum":
			f.enum = strings.Split(value, "|")
		case "default":
			f.def = value
		}
	}
	return f
}

func find(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if !f.unknown && strings.EqualFold(f.name, name) {
			return f, true
		}
	}
	return field{}, false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
