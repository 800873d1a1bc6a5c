// Package tree is JSON as templates need it: objects that keep their order and ignore the case of names, integers that stay
// exact, and the place of everything in the document. It owns no meaning: expressions are package expr's, templates
// package template's.
package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// A value is nil, bool, string, int64, json.Number (what is no int64), []any or *Object. In a document read with places strings that
// begin with a bracket are *Source.

// Object is a JSON object that keeps the order of its members and finds them without regard to case, as ARM does. Of
// two members whose names differ only in case the later one stands.
type Object struct {
	Names  []string // in order; members are added with Set only
	Values []any    // of Names
	At     Place
	index  map[string]int
}

// NewObject returns an empty object.
func NewObject() *Object { return &Object{index: map[string]int{}} }

// ObjectOf makes an object of names and values in turn.
func ObjectOf(pairs ...any) *Object {
	o := NewObject()
	for i := 0; i+1 < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}

// Len returns the number of members.
func (o *Object) Len() int {
	if o == nil {
		return 0
	}
	return len(o.Names)
}

// Get returns the member called name, in whatever case.
func (o *Object) Get(name string) (any, bool) {
	if o == nil {
		return nil, false
	}
	i, ok := o.index[Fold(name)]
	if !ok {
		return nil, false
	}
	return o.Values[i], true
}

// Keys returns the members' names in order.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return append([]string(nil), o.Names...)
}

// MarshalJSON writes the members in order.
func (o *Object) MarshalJSON() ([]byte, error) { return Encode(o) }

// Set adds a member or replaces the one of that name.
func (o *Object) Set(name string, v any) {
	key := Fold(name)
	if i, ok := o.index[key]; ok {
		o.Names[i], o.Values[i] = name, v
		return
	}
	o.index[key] = len(o.Names)
	o.Names = append(o.Names, name)
	o.Values = append(o.Values, v)
}

// Each calls f for every member in order until it fails.
func (o *Object) Each(f func(name string, v any) error) error {
	if o == nil {
		return nil
	}
	for i, name := range o.Names {
		if err := f(name, o.Values[i]); err != nil {
			return err
		}
	}
	return nil
}

// Source is a string that begins with a bracket and so may be an expression.
type Source struct {
	Text string
	At   Place
}

// decoder reads strict JSON into values.
type decoder struct {
	dec    *json.Decoder
	raw    []byte
	breaks []int // offsets of line breaks
	mark   bool  // strings that begin with a bracket become *Source
}

// Decode reads data as plain values.
func Decode(data []byte) (any, error) { return (&decoder{raw: data}).document(nil) }

// DecodePlaced reads a template, keeping the place of objects and of possible expressions.
func DecodePlaced(data []byte, root *Path) (any, error) {
	d := &decoder{raw: data, mark: true}
	for i, c := range data {
		if c == '\n' {
			d.breaks = append(d.breaks, i)
		}
	}
	return d.document(root)
}

func (d *decoder) document(root *Path) (any, error) {
	d.dec = json.NewDecoder(bytes.NewReader(d.raw))
	d.dec.UseNumber()
	v, err := d.value(root, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("content follows the value")
	}
	return v, nil
}

// here is the place of the token that ended at offset end and began after the separators behind start.
func (d *decoder) here(start int64, p *Path) Place {
	if !d.mark {
		return Place{}
	}
	off := int(start)
	for off < len(d.raw) && strings.IndexByte(" \t\r\n:,", d.raw[off]) >= 0 {
		off++
	}
	line := sort.SearchInts(d.breaks, off)
	column := off + 1
	if line > 0 {
		column = off - d.breaks[line-1]
	}
	return Place{Line: line + 1, Column: column, Path: p}
}

func (d *decoder) value(p *Path, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("the content is nested deeper than %d levels", MaxDepth)
	}
	start := d.dec.InputOffset()
	token, err := d.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return d.object(d.here(start, p), depth)
		}
		return d.array(p, depth)
	case json.Number:
		return Number(t), nil
	case string:
		if d.mark && strings.HasPrefix(t, "[") {
			return &Source{Text: t, At: d.here(start, p)}, nil
		}
	}
	return token, nil
}

func (d *decoder) object(at Place, depth int) (any, error) {
	o := NewObject()
	o.At = at
	for d.dec.More() {
		token, err := d.dec.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string)
		v, err := d.value(d.child(at.Path, name, 0), depth+1)
		if err != nil {
			return nil, err
		}
		o.Set(name, v)
	}
	_, err := d.dec.Token()
	return o, err
}

func (d *decoder) array(p *Path, depth int) (any, error) {
	list := []any{}
	for d.dec.More() {
		v, err := d.value(d.child(p, "", len(list)), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.dec.Token()
	return list, err
}

func (d *decoder) child(p *Path, name string, index int) *Path {
	if !d.mark {
		return nil
	}
	return &Path{parent: p, name: name, index: index}
}

// Number makes a value of n: an int64 if it is one.
func Number(n json.Number) any {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i
	}
	return n
}

// Encode writes v as compact JSON, at most MaxBytes bytes.
func Encode(v any) ([]byte, error) {
	var out bytes.Buffer
	if err := write(&out, v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func write(out *bytes.Buffer, v any) error {
	if out.Len() > MaxBytes {
		return fmt.Errorf("the value is larger than %d bytes", MaxBytes)
	}
	switch v := v.(type) {
	case *Object:
		return writeObject(out, v)
	case []any:
		out.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := write(out, e); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	case *Source:
		return write(out, v.Text)
	case nil, bool, string, int64, json.Number:
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err
		}
		out.Truncate(out.Len() - 1) // Encode ends with a line break
		return nil
	}
	return fmt.Errorf("a value of type %T cannot be written", v)
}

func writeObject(out *bytes.Buffer, o *Object) error {
	if o == nil {
		out.WriteString("null")
		return nil
	}
	out.WriteByte('{')
	for i, name := range o.Names {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := write(out, name); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := write(out, o.Values[i]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// Adopt makes a value of what a Runtime answered.
func Adopt(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int64, *Object:
		return v, nil
	case json.RawMessage:
		return Decode(v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("read the state of a resource: %w", err)
	}
	return Decode(data)
}

// Equal compares as equals() does: names of members and text with regard to case of text only, numbers by value.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case *Object:
		b, ok := b.(*Object)
		if !ok || a.Len() != b.Len() {
			return false
		}
		return a.Each(func(name string, v any) error {
			if other, ok := b.Get(name); !ok || !Equal(v, other) {
				return io.EOF
			}
			return nil
		}) == nil
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	}
	return a == b
}

func sameNumber(a, b json.Number) bool {
	x, errX := a.Float64()
	y, errY := b.Float64()
	return a == b || errX == nil && errY == nil && x == y
}

// TypeName is what ARM calls the type of a value in its messages.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "Null"
	case bool:
		return "Boolean"
	case string, *Source:
		return "String"
	case int64:
		return "Integer"
	case json.Number:
		return "Float"
	case []any:
		return "Array"
	case *Object:
		return "Object"
	}
	return "Expression"
}

// Place is where in a document something stands.
type Place struct {
	Line, Column int
	Path         *Path
}

// Path is a position in a JSON document, linked from the leaf upwards so that it costs nothing until a fault is shown.
type Path struct {
	parent *Path
	name   string
	index  int // used if name is ""
}

// Member is the path of a member of what is at p.
func (p *Path) Member(name string) *Path { return &Path{parent: p, name: name} }

// Element is the path of an element of what is at p.
func (p *Path) Element(index int) *Path { return &Path{parent: p, index: index} }

// String renders p as ARM does: properties.template.resources[0].name.
func (p *Path) String() string {
	switch {
	case p == nil:
		return ""
	case p.name == "":
		return fmt.Sprintf("%s[%d]", p.parent, p.index)
	case p.parent == nil:
		return p.name
	}
	return p.parent.String() + "." + p.name
}

// Fold makes names comparable: ARM compares types, names, parameters and functions without regard to case.
func Fold(s string) string { return strings.ToLower(s) }

// IsWord says whether c may stand in a name without quotes.
func IsWord(c byte) bool {
	return c == '_' || c == '$' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
