package armjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"vitrine/internal/arm"
)

// Decode reads a request's JSON into the model that v points to. path is the prefix of targets in faults. Members that
// only the server sets are ignored. It returns every fault it finds; required members count only when the object that
// holds them is present.
func Decode(raw []byte, v any, path string) []*arm.Error {
	d := decoder{check: true}
	d.value(raw, reflect.ValueOf(v).Elem(), path, field{})
	return d.faults
}

// Merge reads a PATCH onto the model that v points to: present members replace, null removes, objects merge (RFC 7396),
// maps and arrays are replaced whole as Compute does.
func Merge(raw []byte, v any, path string) []*arm.Error {
	d := decoder{merge: true}
	d.value(raw, reflect.ValueOf(v).Elem(), path, field{})
	return d.faults
}

// Load reads back what Store wrote.
func Load(raw []byte, v any) error {
	d := decoder{all: true}
	d.value(raw, reflect.ValueOf(v).Elem(), "", field{})
	if len(d.faults) > 0 {
		return errors.New("stored model: " + d.faults[0].Error()) // not wrapped: the fault is ours, not the caller's
	}
	return nil
}

type decoder struct {
	all    bool // read-only and private members too
	merge  bool // keep what is absent
	check  bool // required members and defaults
	faults []*arm.Error
}

type member struct {
	name string
	raw  json.RawMessage
}

func (d *decoder) fault(path, format string, args ...any) {
	d.faults = append(d.faults, arm.Errorf(400, "InvalidParameter", format, args...).At(path))
}

// members splits an object, keeping the order; of members whose names differ in case only the last one counts.
func members(raw []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("not an object")
	}
	var list []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var m member
		m.name, _ = name.(string)
		if err := dec.Decode(&m.raw); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func isNull(raw []byte) bool { return len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null" }

func (d *decoder) value(raw []byte, v reflect.Value, path string, f field) {
	if isNull(raw) {
		v.SetZero()
		return
	}
	if v.Type() == rawType {
		v.SetBytes(bytes.Clone(raw))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || !d.merge {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(raw, v.Elem(), path, f)
	case reflect.Struct:
		d.object(raw, v, path)
	case reflect.Slice:
		d.array(raw, v, path, f)
	case reflect.Map:
		d.mapping(raw, v, path, f)
	default:
		d.scalar(raw, v, path, f)
	}
}

func (d *decoder) object(raw []byte, v reflect.Value, path string) {
	list, err := members(raw)
	if err != nil {
		d.fault(path, "The value of parameter %s is invalid: an object is expected.", path)
		return
	}
	fields := fieldsOf(v.Type())
	for _, m := range list {
		f, known := find(fields, m.name)
		switch {
		case !known:
			d.keep(fields, v, m)
		case d.all || !f.readonly && !f.private:
			d.value(m.raw, v.FieldByIndex(f.index), join(path, f.name), f)
		}
	}
	if !d.check {
		return
	}
	d.complete(fields, v, path)
	for _, f := range fields {
		if at := v.FieldByIndex(f.index); at.Kind() == reflect.Struct && !f.readonly && !f.private && !said(list, f.name) {
			d.object([]byte("{}"), at, join(path, f.name)) // an absent object lacks what it requires, too
		}
	}
}

func said(list []member, name string) bool {
	return slices.ContainsFunc(list, func(m member) bool { return strings.EqualFold(m.name, name) && !isNull(m.raw) })
}

func (d *decoder) keep(fields []field, v reflect.Value, m member) {
	for _, f := range fields {
		if !f.unknown {
			continue
		}
		store := v.FieldByIndex(f.index)
		if store.IsNil() {
			store.Set(reflect.MakeMap(unknownType))
		}
		value := reflect.ValueOf(m.raw)
		if isNull(m.raw) {
			value = reflect.Value{} // null is absent; in a merge it removes
		}
		store.SetMapIndex(reflect.ValueOf(m.name), value)
		return
	}
}

func (d *decoder) complete(fields []field, v reflect.Value, path string) {
	for _, f := range fields {
		if f.unknown || f.readonly || f.private {
			continue
		}
		at := v.FieldByIndex(f.index)
		if at.IsZero() && f.def != "" && at.Kind() == reflect.String {
			at.SetString(f.def)
		}
		if at.IsZero() && f.required {
			d.fault(join(path, f.name), "Required parameter '%s' is missing (null).", f.name)
		}
	}
}

func (d *decoder) array(raw []byte, v reflect.Value, path string, f field) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		d.fault(path, "The value of parameter %s is invalid: an array is expected.", path)
		return
	}
	inner := *d
	inner.merge, inner.faults = false, nil
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		inner.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
	}
	d.faults = append(d.faults, inner.faults...)
	v.Set(out)
}

func (d *decoder) mapping(raw []byte, v reflect.Value, path string, f field) {
	list, err := members(raw)
	if err != nil {
		d.fault(path, "The value of parameter %s is invalid: an object is expected.", path)
		return
	}
	inner := *d
	inner.merge, inner.faults = false, nil
	out := reflect.MakeMap(v.Type())
	for _, m := range list {
		item := reflect.New(v.Type().Elem()).Elem()
		inner.value(m.raw, item, join(path, m.name), f)
		out.SetMapIndex(reflect.ValueOf(m.name), item)
	}
	d.faults = append(d.faults, inner.faults...)
	v.Set(out)
}

// scalar accepts what ARM's own reader accepts: numbers and booleans also as strings.
func (d *decoder) scalar(raw []byte, v reflect.Value, path string, f field) {
	text := string(bytes.TrimSpace(raw))
	quoted := strings.HasPrefix(text, `"`)
	if quoted && json.Unmarshal(raw, &text) != nil {
		d.fault(path, "The value of parameter %s is invalid.", path)
		return
	}
	ok := false
	switch v.Kind() {
	case reflect.String:
		if ok = quoted; ok {
			d.text(text, v, path, f)
		}
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		ok = err == nil && strings.EqualFold(text, strconv.FormatBool(b))
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(strings.TrimSuffix(text, ".0"), 10, v.Type().Bits())
		ok = err == nil
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		ok = err == nil
		v.SetFloat(n)
	}
	if !ok {
		d.fault(path, "The value of parameter %s is invalid: '%.80s' cannot be converted to %s.", path, text, kindName(v.Kind()))
	}
}

func (d *decoder) text(text string, v reflect.Value, path string, f field) {
	if len(f.enum) > 0 && text != "" {
		for _, allowed := range f.enum {
			if strings.EqualFold(allowed, text) {
				v.SetString(allowed)
				return
			}
		}
		if !d.all {
			d.fault(path, "The value '%.80s' of parameter '%s' is not allowed. Allowed values are: %s.", text, f.name, strings.Join(f.enum, ","))
		}
	}
	v.SetString(text)
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "a boolean"
	case reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "an integer"
	}
	return "a string"
}
