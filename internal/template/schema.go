package template

import (
	"fmt"
	"slices"
	"strings"

	"vitrine/internal/template/expr"
	"vitrine/internal/template/tree"
)

// schema is a type with its rules, of a parameter, an output, a part of either, or of a function's parameter or result.
type schema struct {
	typ        string // as typeName returns it; "" if only ref says
	ref        string // folded name of a definition, "" for none
	nullable   bool
	secure     bool // by the word securestring or secureobject
	veiled     bool // it, or what it refers to or holds, is secure
	allowed    []any
	bounds     map[string]int64 // minvalue, maxvalue, minlength, maxlength
	properties map[string]*schema
	names      []string // of properties, as written
	closed     bool     // additionalProperties: false, or items: false
	rest       *schema  // of further properties, or of elements beyond prefix
	prefix     []*schema
	selector   string             // discriminator.propertyName
	variants   map[string]*schema // discriminator.mapping
}

// schemas are the definitions of a template, by folded name.
type schemas map[string]*schema

// typeName returns the spelling that ARM answers of a type in any case, "" for one that does not exist.
func typeName(s string) string {
	for _, known := range []string{"String", "SecureString", "Int", "Bool", "Object", "SecureObject", "Array"} {
		if strings.EqualFold(s, known) {
			return known
		}
	}
	return ""
}

func hasType(typ string, v any) bool {
	switch v.(type) {
	case string:
		return typ == "String" || typ == "SecureString"
	case int64:
		return typ == "Int"
	case bool:
		return typ == "Bool"
	case *tree.Object:
		return typ == "Object" || typ == "SecureObject"
	case []any:
		return typ == "Array"
	}
	return false
}

// readDefinitions reads the section definitions.
func (r *reader) readDefinitions(all *tree.Object) {
	r.template.types = schemas{}
	_ = all.Each(func(name string, v any) error {
		r.owner = "definition '" + name + "'"
		if o, ok := v.(*tree.Object); ok {
			r.template.types[tree.Fold(name)] = r.readSchema(o)
		} else {
			r.add(invalid(all.At, "the template definition '%s' must be of type 'Object'; it is of type '%s'", name, tree.TypeName(v)))
		}
		return nil
	})
	for _, name := range all.Keys() {
		if _, err := r.template.types.base(r.template.types[tree.Fold(name)]); err != nil {
			r.add(invalid(all.At, "the template definition '%s' is not valid: %v", name, err))
		}
	}
}

// readSchema reads a type. What it cannot read is a fault; the schema is never nil.
func (r *reader) readSchema(o *tree.Object) *schema {
	s := &schema{bounds: map[string]int64{}}
	r.schemas = append(r.schemas, s)
	typ, _ := o.Get("type")
	ref, _ := o.Get("$ref")
	switch {
	case ref != nil:
		name, ok := ref.(string)
		name, local := strings.CutPrefix(name, "#/definitions/")
		if s.ref = tree.Fold(strings.NewReplacer("~1", "/", "~0", "~").Replace(name)); !ok || !local || !r.declared["definitions"][s.ref] {
			r.add(invalid(o.At, "the template %s refers to the definition '%v', which does not exist; a reference has the form '#/definitions/NAME'", r.owner, restore(ref)))
		}
	case typ == nil:
		r.require(o, "type")
	default:
		text, _ := typ.(string)
		if s.typ = typeName(text); s.typ == "" {
			r.add(invalid(o.At, "the template %s has the type '%v', which is not supported", r.owner, restore(typ)))
		}
		s.secure = strings.HasPrefix(s.typ, "Secure")
	}
	s.nullable, _ = r.flag(o, "nullable")
	r.readConstraints(s, o)
	r.readProperties(s, o)
	r.readElements(s, o)
	r.readVariants(s, o)
	return s
}

// flag reads a member that must be true or false.
func (r *reader) flag(o *tree.Object, name string) (value, given bool) {
	v, ok := o.Get(name)
	if !ok || v == nil {
		return false, false
	}
	b, ok := v.(bool)
	if !ok {
		r.add(invalid(o.At, "the %s of the template %s must be true or false", name, r.owner))
	}
	return b, true
}

func (r *reader) readConstraints(s *schema, o *tree.Object) {
	if v, _ := o.Get("allowedValues"); v != nil {
		list, ok := restore(v).([]any)
		if !ok || len(list) == 0 {
			r.add(invalid(o.At, "the allowedValues of the template %s must be an array with at least one value", r.owner))
		}
		s.allowed = list
	}
	for _, name := range []string{"minvalue", "maxvalue", "minlength", "maxlength"} {
		v, _ := o.Get(name)
		if v == nil {
			continue
		}
		n, ok := v.(int64)
		if !ok {
			r.add(invalid(o.At, "the %s of the template %s must be an integer", name, r.owner))
		}
		s.bounds[name] = n
	}
}

func (r *reader) readProperties(s *schema, o *tree.Object) {
	v, _ := o.Get("properties")
	all, ok := v.(*tree.Object)
	if v != nil && !ok {
		r.add(invalid(o.At, "the properties of the template %s must be of type 'Object'", r.owner))
	}
	s.properties = map[string]*schema{}
	_ = all.Each(func(name string, v any) error {
		if p, ok := v.(*tree.Object); ok {
			s.names = append(s.names, name)
			s.properties[tree.Fold(name)] = r.readSchema(p)
		} else {
			r.add(invalid(o.At, "the property '%s' of the template %s must be described by an object", name, r.owner))
		}
		return nil
	})
	r.readRest(s, o, "additionalProperties")
}

func (r *reader) readElements(s *schema, o *tree.Object) {
	v, _ := o.Get("prefixItems")
	list, ok := v.([]any)
	if v != nil && !ok {
		r.add(invalid(o.At, "the prefixItems of the template %s must be of type 'Array'", r.owner))
	}
	for _, e := range list {
		if p, ok := e.(*tree.Object); ok {
			s.prefix = append(s.prefix, r.readSchema(p))
		} else {
			r.add(invalid(o.At, "each of the prefixItems of the template %s must be of type 'Object'", r.owner))
		}
	}
	r.readRest(s, o, "items")
}

// readRest reads what may follow the named: a type, or whether anything may.
func (r *reader) readRest(s *schema, o *tree.Object, name string) {
	switch v, _ := o.Get(name); v := v.(type) {
	case nil:
	case bool:
		s.closed = s.closed || !v
	case *tree.Object:
		s.rest = r.readSchema(v)
	default:
		r.add(invalid(o.At, "the %s of the template %s must be a type, true or false", name, r.owner))
	}
}

func (r *reader) readVariants(s *schema, o *tree.Object) {
	v, _ := o.Get("discriminator")
	if v == nil {
		return
	}
	d, _ := v.(*tree.Object)
	name, _ := d.Get("propertyName")
	mapping, _ := d.Get("mapping")
	all, ok := mapping.(*tree.Object)
	if s.selector, _ = name.(string); s.selector == "" || !ok {
		r.add(invalid(o.At, "the discriminator of the template %s needs a propertyName and a mapping", r.owner))
		return
	}
	s.variants = map[string]*schema{}
	_ = all.Each(func(value string, v any) error {
		if p, ok := v.(*tree.Object); ok {
			s.variants[value] = r.readSchema(p)
		} else {
			r.add(invalid(o.At, "the discriminator of the template %s maps '%s' to no type", r.owner, value))
		}
		return nil
	})
}

// base follows references until a schema says a type itself.
func (t schemas) base(s *schema) (*schema, error) {
	for range len(t) + 1 {
		if s == nil {
			return nil, fmt.Errorf("it refers to a definition that does not exist")
		}
		if s.ref == "" {
			return s, nil
		}
		s = t[s.ref]
	}
	return nil, fmt.Errorf("it refers to itself")
}

// typeOf is the type that ARM shows of a schema.
func (t schemas) typeOf(s *schema) string {
	b, err := t.base(s)
	if err != nil {
		return ""
	}
	return b.typ
}

// secret says whether values must be neither stored in clear nor answered. One that is secret within makes all of it so.
func (t schemas) secret(s *schema) bool { return s.veiled }

// veil finds out which schemas are secret, through references in any order.
func (t schemas) veil(all []*schema) {
	for changed := true; changed; {
		changed = false
		for _, s := range all {
			if !s.veiled && (s.secure || t.holdsVeiled(s)) {
				s.veiled, changed = true, true
			}
		}
	}
}

func (t schemas) holdsVeiled(s *schema) bool {
	veiled := func(p *schema) bool { return p != nil && p.veiled }
	if veiled(t[s.ref]) || veiled(s.rest) || slices.ContainsFunc(s.prefix, veiled) {
		return true
	}
	for _, p := range s.properties {
		if veiled(p) {
			return true
		}
	}
	for _, p := range s.variants {
		if veiled(p) {
			return true
		}
	}
	return false
}

// optional says whether null, or nothing, will do.
func (t schemas) optional(s *schema) bool {
	for range len(t) + 1 {
		if s == nil || s.nullable {
			return s != nil
		}
		s = t[s.ref]
	}
	return false
}

// checker checks values against schemas; it names no value, for it may be a secret.
type checker struct {
	schemas
	owner string // "template parameter 'p'"
	hide  bool   // not even allowed values are named
	spend func(int) error
}

// check checks v, which stands at path within its owner.
func (c checker) check(s *schema, v any, path string, depth int) error {
	if err := c.spend(1); err != nil {
		return err
	}
	if depth > tree.MaxDepth {
		return fmt.Errorf("the value of the %s is nested deeper than %d levels", c.owner, tree.MaxDepth)
	}
	if v == nil && c.optional(s) {
		return nil
	}
	if s.ref != "" {
		if err := c.check(c.schemas[s.ref], v, path, depth+1); err != nil {
			return err
		}
	} else if !hasType(s.typ, v) {
		where := ""
		if path != "" {
			where = fmt.Sprintf(" at '%s'", path)
		}
		return fmt.Errorf("Template parameter JToken type is not valid. Expected '%s'. Actual '%s'. The parameter is '%s'%s. Please see https://aka.ms/arm-create-parameter-file for usage details",
			expected(s.typ), tree.TypeName(v), c.name(), where)
	}
	if err := c.rules(s, v); err != nil {
		return err
	}
	switch v := v.(type) {
	case *tree.Object:
		return c.object(s, v, path, depth)
	case []any:
		return c.array(s, v, path, depth)
	}
	return nil
}

// name is the owner's own name.
func (c checker) name() string {
	_, name, _ := strings.Cut(c.owner, "'")
	return strings.TrimSuffix(name, "'")
}

func (c checker) rules(s *schema, v any) error {
	provided := fmt.Sprintf("The provided value for the %s is not valid.", c.owner)
	if s.allowed != nil {
		n := 1
		if list, ok := v.([]any); ok {
			n += len(list)
		}
		if err := c.spend(n * len(s.allowed) / 8); err != nil {
			return err
		}
	}
	const see = "Please see https://aka.ms/arm-create-parameter-file for usage details"
	if s.allowed != nil && !s.allows(v) {
		shown, err := tree.Encode(s.allowed)
		if err != nil {
			return err
		}
		if c.hide {
			shown = []byte("…")
		}
		return fmt.Errorf("%s The value is not part of the allowed value(s): '%s'. %s", provided, strings.Trim(string(shown), "[]"), see)
	}
	n, suffix := int64(0), "length"
	switch v := v.(type) {
	case int64:
		n, suffix = v, "value"
	case string:
		n = int64(len([]rune(v)))
	case []any:
		n = int64(len(v))
	default:
		return nil
	}
	if low, ok := s.bounds["min"+suffix]; ok && n < low {
		return fmt.Errorf("%s The %s is less than the minimum '%d'. %s", provided, suffix, low, see)
	}
	if high, ok := s.bounds["max"+suffix]; ok && n > high {
		return fmt.Errorf("%s The %s is greater than the maximum '%d'. %s", provided, suffix, high, see)
	}
	return nil
}

// allows looks v up in the allowed values; of an array every element must be among them.
func (s *schema) allows(v any) bool {
	among := func(v any) bool {
		return slices.ContainsFunc(s.allowed, func(a any) bool { return tree.Equal(a, v) })
	}
	if list, ok := v.([]any); ok && !among(v) {
		return !slices.ContainsFunc(list, func(e any) bool { return !among(e) })
	}
	return among(v)
}

func (c checker) object(s *schema, o *tree.Object, path string, depth int) error {
	if err := c.spend(len(s.names)); err != nil {
		return err
	}
	if s.variants != nil {
		v, _ := o.Get(s.selector)
		value, _ := v.(string)
		chosen, ok := s.variants[value]
		if !ok {
			return fmt.Errorf("The provided value for the %s is not valid: the property '%s' must be one of the discriminator's values", c.owner, join(path, s.selector))
		}
		if err := c.check(chosen, o, path, depth+1); err != nil {
			return err
		}
	}
	for _, name := range s.names {
		p := s.properties[tree.Fold(name)]
		v, ok := o.Get(name)
		if !ok && !c.optional(p) {
			return fmt.Errorf("The provided value for the %s is not valid: the required property '%s' is missing", c.owner, join(path, name))
		}
		if ok {
			if err := c.check(p, v, join(path, name), depth+1); err != nil {
				return err
			}
		}
	}
	if !s.closed && s.rest == nil {
		return nil
	}
	return o.Each(func(name string, v any) error {
		switch {
		case s.properties[tree.Fold(name)] != nil || s.variants != nil:
			return nil
		case s.rest == nil:
			return fmt.Errorf("The provided value for the %s is not valid: the property '%s' is not allowed", c.owner, join(path, name))
		}
		return c.check(s.rest, v, join(path, name), depth+1)
	})
}

func (c checker) array(s *schema, list []any, path string, depth int) error {
	for i, v := range list {
		of := s.rest
		if i < len(s.prefix) {
			of = s.prefix[i]
		} else if of == nil && s.closed {
			return fmt.Errorf("The provided value for the %s is not valid: '%s' has more than %d elements", c.owner, path, len(s.prefix))
		}
		if of == nil {
			continue
		}
		if err := c.check(of, v, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	if len(list) < len(s.prefix) {
		return fmt.Errorf("The provided value for the %s is not valid: '%s' has fewer than %d elements", c.owner, path, len(s.prefix))
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// expected names a type in ARM's messages.
func expected(typ string) string {
	switch typ {
	case "Int":
		return "Integer"
	case "Bool":
		return "Boolean"
	case "String", "SecureString":
		return "String, Uri"
	case "SecureObject":
		return "Object"
	}
	return typ
}

// verify checks a value that ev made.
func (t *Template) verify(ev *expr.Evaluator, s *schema, owner string, v any) error {
	return checker{schemas: t.types, owner: owner, hide: t.types.secret(s), spend: ev.Spend}.check(s, v, "", 0)
}
