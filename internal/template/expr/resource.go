package expr

import (
	"fmt"
	"strings"

	"vitrine/internal/template/tree"
)

// resourceFunctions ask about resources and so wait until these are written. Never written to.
var resourceFunctions = map[string]function{
	"reference":    {min: 1, max: 3, eval: reference, late: true},
	"references":   {min: 1, max: 2, eval: references, late: true},
	"resourceinfo": {min: 1, max: 1, eval: resourceInfo, late: true},
}

// Find resolves what reference() and list*() call a resource: an ID, or the name of one in the template.
func (ev *Evaluator) Find(name string) (Target, bool) {
	t, ok := ev.Declared[tree.Fold(name)]
	switch {
	case ok:
		return t, !t.Ambiguous
	case strings.HasPrefix(name, "/"):
		return Target{ID: name, Index: -1}, true
	}
	// Type and name in turn without a scope: a resource beside those of the deployment.
	if segments := strings.Split(name, "/"); len(segments) >= 3 && len(segments)%2 == 1 && strings.Contains(segments[0], ".") {
		return Target{ID: ev.Env.Base() + "/providers/" + name, Index: -1}, true
	}
	return Target{}, false
}

// subject is the resource that a late function is about, with the api-version to read it with.
func (c *invocation) subject() (Target, error) {
	name, err := c.Text(0)
	if err != nil {
		return Target{}, err
	}
	t, ok := c.ev.Find(name)
	if !ok {
		return Target{}, fmt.Errorf("The resource '%s' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details", name)
	}
	if c.Has(1) && c.Args[1] != nil {
		t.APIVersion, err = c.Text(1)
	}
	return t, err
}

func reference(c *invocation) (any, error) {
	t, err := c.subject()
	if err != nil {
		return nil, err
	}
	full, err := c.full(2)
	if err != nil {
		return nil, err
	}
	return c.read(t, full)
}

// full says whether argument i asks for the whole resource.
func (c *invocation) full(i int) (bool, error) {
	if !c.Has(i) {
		return false, nil
	}
	mode, err := c.Text(i)
	switch {
	case err == nil && strings.EqualFold(mode, "full"):
		return true, nil
	case err == nil && strings.EqualFold(mode, "properties"):
		return false, nil
	}
	return false, c.Fail("expects its parameter '%d' to be 'Full' or 'Properties'", i+1)
}

// read asks for the state of a resource.
func (c *invocation) read(t Target, full bool) (any, error) {
	if c.ev.Runtime == nil {
		return nil, c.Fail("is not expected at this location")
	}
	v, err := c.ev.Runtime.Reference(t.ID, t.APIVersion, full)
	if err != nil {
		return nil, &RuntimeFailure{err}
	}
	return tree.Adopt(v)
}

// references reads every resource that a symbolic name with a copy loop stands for.
func references(c *invocation) (any, error) {
	name, err := c.Text(0)
	if err != nil {
		return nil, err
	}
	all, ok := c.ev.Symbols[tree.Fold(name)]
	if !ok {
		return nil, fmt.Errorf("The resource '%s' is not defined in the template by a symbolic name. Please see https://aka.ms/arm-syntax for usage details", name)
	}
	full, err := c.full(1)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, t := range all {
		v, err := c.read(t, full)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// resourceInfo says what the template itself knows of a resource.
func resourceInfo(c *invocation) (any, error) {
	t, err := c.subject()
	if err != nil {
		return nil, err
	}
	return tree.ObjectOf("id", t.ID, "name", t.Name, "type", t.Type, "apiVersion", t.APIVersion), nil
}

func list(c *invocation) (any, error) {
	t, err := c.subject()
	if err != nil {
		return nil, err
	}
	var body any
	if c.Has(2) {
		body = c.Args[2]
	}
	if c.ev.Runtime == nil {
		return nil, c.Fail("is not expected at this location")
	}
	v, err := c.ev.Runtime.List(c.Name, t.ID, t.APIVersion, body)
	if err != nil {
		return nil, &RuntimeFailure{err}
	}
	return tree.Adopt(v)
}
