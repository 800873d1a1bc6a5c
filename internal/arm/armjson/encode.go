package armjson

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"vitrine/internal/arm"
)

// Wire writes a model as a client sees it: in the order of the struct, then the unknown members by name; what is zero is
// left out (Compute never sends null), private and secret members too.
func Wire(v any) ([]byte, error) { return encode(v, false) }

// Store writes a model whole, for Load.
func Store(v any) ([]byte, error) { return encode(v, true) }

func encode(v any, all bool) ([]byte, error) {
	var b bytes.Buffer
	e := encoder{out: &b, all: all}
	if err := e.value(reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type encoder struct {
	out *bytes.Buffer
	all bool
}

func (e encoder) value(v reflect.Value) error {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			e.out.WriteString("null")
			return nil
		}
		v = v.Elem()
	}
	switch {
	case v.Type() == rawType:
		return e.plain(v)
	case v.Kind() == reflect.Struct:
		return e.object(v)
	case v.Kind() == reflect.Slice:
		return e.list(v)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return e.mapping(v)
	}
	return e.plain(v)
}

func (e encoder) plain(v reflect.Value) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Interface()); err != nil {
		return err
	}
	e.out.Write(bytes.TrimRight(b.Bytes(), "\n"))
	return nil
}

func (e encoder) object(v reflect.Value) error {
	fields := fieldsOf(v.Type())
	e.out.WriteByte('{')
	first := true
	name := func(n string) error {
		if !first {
			e.out.WriteByte(',')
		}
		first = false
		if err := e.plain(reflect.ValueOf(n)); err != nil {
			return err
		}
		e.out.WriteByte(':')
		return nil
	}
	for _, f := range fields {
		at := v.FieldByIndex(f.index)
		if f.unknown || !e.all && (f.private || f.secret) || absent(at) && !f.always {
			continue
		}
		if err := name(f.name); err != nil {
			return err
		}
		if err := e.value(at); err != nil {
			return err
		}
	}
	for _, f := range fields {
		if !f.unknown {
			continue
		}
		extra := v.FieldByIndex(f.index).Interface().(Unknown)
		for _, key := range slices.Sorted(maps.Keys(extra)) {
			if err := name(key); err != nil {
				return err
			}
			e.out.Write(extra[key])
		}
	}
	e.out.WriteByte('}')
	return nil
}

// absent: nil and zero scalars; an empty array or map that is not nil was said and is shown.
func absent(v reflect.Value) bool {
	if v.Kind() == reflect.Struct {
		return false
	}
	return v.IsZero()
}

func (e encoder) list(v reflect.Value) error {
	e.out.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			e.out.WriteByte(',')
		}
		if err := e.value(v.Index(i)); err != nil {
			return err
		}
	}
	e.out.WriteByte(']')
	return nil
}

func (e encoder) mapping(v reflect.Value) error {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	e.out.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			e.out.WriteByte(',')
		}
		if err := e.plain(reflect.ValueOf(k.String())); err != nil {
			return err
		}
		e.out.WriteByte(':')
		if err := e.value(v.MapIndex(k)); err != nil {
			return err
		}
	}
	e.out.WriteByte('}')
	return nil
}

// Carry copies into next what only the server sets (read-only and private members) from prev, so that a PUT, which
// never carries them, does not lose them. Both point to the same struct type.
func Carry(prev, next any) { carry(reflect.ValueOf(prev).Elem(), reflect.ValueOf(next).Elem()) }

func carry(prev, next reflect.Value) {
	for _, f := range fieldsOf(prev.Type()) {
		if f.unknown {
			continue
		}
		p, n := prev.FieldByIndex(f.index), next.FieldByIndex(f.index)
		switch {
		case f.readonly || f.private:
			n.Set(p)
		case p.Kind() == reflect.Struct:
			carry(p, n)
		case p.Kind() == reflect.Pointer && p.Type().Elem().Kind() == reflect.Struct && !p.IsNil() && !n.IsNil():
			carry(p.Elem(), n.Elem())
		}
	}
}

// Changed finds the immutable members that differ; absent in next means unchanged, and is filled in from prev.
// Compute's answer is 409 PropertyChangeNotAllowed naming the path.
func Changed(prev, next any, path string) []*arm.Error {
	var faults []*arm.Error
	changed(reflect.ValueOf(prev).Elem(), reflect.ValueOf(next).Elem(), path, &faults)
	return faults
}

func changed(prev, next reflect.Value, path string, faults *[]*arm.Error) {
	for _, f := range fieldsOf(prev.Type()) {
		if f.unknown || f.readonly || f.private {
			continue
		}
		p, n, at := prev.FieldByIndex(f.index), next.FieldByIndex(f.index), join(path, f.name)
		switch {
		case f.immutable && n.IsZero():
			n.Set(p)
		case f.immutable && !same(p, n):
			*faults = append(*faults, arm.Errorf(409, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", at).At(at))
		case f.immutable:
		case p.Kind() == reflect.Struct:
			changed(p, n, at, faults)
		case p.Kind() == reflect.Pointer && p.Type().Elem().Kind() == reflect.Struct && !p.IsNil() && !n.IsNil():
			changed(p.Elem(), n.Elem(), at, faults)
		}
	}
}

func same(a, b reflect.Value) bool {
	x, errX := Store(a.Interface())
	y, errY := Store(b.Interface())
	return errX == nil && errY == nil && bytes.EqualFold(x, y)
}
