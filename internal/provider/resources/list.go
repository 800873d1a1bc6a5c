package resources

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/control/paging"
	"vitrine/internal/pattern"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

type resourceView struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	SKU        json.RawMessage   `json:"sku,omitempty"`
	Identity   json.RawMessage   `json:"identity,omitempty"`
	Zones      []string          `json:"zones,omitempty"`
	ManagedBy  string            `json:"managedBy,omitempty"`
	Created    string            `json:"createdTime,omitempty"`
	Changed    string            `json:"changedTime,omitempty"`
	State      string            `json:"provisioningState,omitempty"`
	Properties struct {
		ProvisioningState string
	} `json:"properties,omitzero"`
	CreatedAt string `json:"createdAt,omitempty"`
	ChangedAt string `json:"changedAt,omitempty"`
}

// listResources serves the generic list: the tracked resources that the caller may read, filtered.
func listResources(_ context.Context, c *control.Call) (any, error) {
	f, err := parseResourceFilter(c.Query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	scope := arm.ID{Subscription: c.Names["subscription"], ResourceGroup: c.Names["group"]}
	if f.group != "" {
		scope.ResourceGroup = f.group
	}
	grants, err := c.Control.RBAC().Grants(c.Tx, c.Caller.Primary)
	if err != nil {
		return nil, err
	}
	if err := groupThere(c, grants.Allows); err != nil {
		return nil, err
	}
	cut, err := paging.Of(c.Query, "$top")
	if err != nil {
		return nil, err
	}
	docs, err := c.Tx.List(store.Query{Prefix: scope.Key() + "/", After: cut.After})
	if err != nil {
		return nil, err
	}
	expand, last := strings.ToLower(c.Query.Get("$expand")), ""
	list := []resourceView{}
	for _, d := range docs {
		v, err := shown(c, d, f, grants)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if len(list) == cut.Size {
			return control.Raw(map[string]any{"value": list, "nextLink": paging.Next(c.Base, c.Path, c.Query, last)})
		}
		list, last = append(list, v.expanded(expand)), d.Key
	}
	return control.Raw(map[string]any{"value": list})
}

// shown is a document as a row of the generic list; nil if it does not belong there, or the caller may not see it.
func shown(c *control.Call, d store.Document, f resourceFilter, grants *rbac.Grants) (*resourceView, error) {
	if !c.Control.Tracked(d.Kind) || d.Kind == control.GroupKind {
		return nil, nil
	}
	var v resourceView
	if err := json.Unmarshal(d.Body, &v); err != nil {
		return nil, err
	}
	id, err := arm.ParseID(v.ID)
	if err != nil || !f.matches(v) || !grants.Allows(v.Type+"/read", id) {
		return nil, err
	}
	return &v, nil
}

// listGroups serves the groups of a subscription; with az group list --tag, those of a tag.
func listGroups(_ context.Context, l *control.Listing) ([]*control.Resource[Group], error) {
	f, err := parseResourceFilter(l.Query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	if f.group != "" || f.typ != "" {
		return nil, arm.Errorf(400, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", l.Query.Get("$filter"))
	}
	all, err := control.Select[Group](l.Tx, store.Query{Kind: control.GroupKind, Prefix: l.Scope.Key() + "/"})
	return slices.DeleteFunc(all, func(g *control.Resource[Group]) bool {
		return !f.matches(resourceView{Name: g.Name, Location: g.Location, Tags: g.Tags})
	}), err
}

// groupThere refuses the list of a group that does not exist, to those who may know.
func groupThere(c *control.Call, allows func(action string, id arm.ID) bool) error {
	id := arm.ID{Subscription: c.Names["subscription"], ResourceGroup: c.Names["group"]}
	if id.ResourceGroup == "" || !allows("Microsoft.Resources/subscriptions/resourceGroups/read", id) {
		return nil
	}
	_, err := c.Tx.Get(id.Key())
	if errors.Is(err, store.ErrNotFound) {
		return arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.ResourceGroup)
	}
	return err
}

// expanded keeps of the stored document what the list shows.
func (v resourceView) expanded(expand string) resourceView {
	if strings.Contains(expand, "createdtime") {
		v.Created = v.CreatedAt
	}
	if strings.Contains(expand, "changedtime") {
		v.Changed = v.ChangedAt
	}
	if strings.Contains(expand, "provisioningstate") {
		v.State = v.Properties.ProvisioningState
	}
	v.CreatedAt, v.ChangedAt, v.Properties.ProvisioningState = "", "", ""
	return v
}

type resourceFilter struct {
	group, typ, name, location, tag string
	value                           *string // of the tag; nil: any
}

// filterTerm is "field eq 'value'", and the word before the next one.
var filterTerm = pattern.New(`(?i)^([a-z]+)\s+eq\s+'((?:[^']|'')*)'(?:$|\s+and\s+)`)

// parseResourceFilter knows terms joined by and, each field once; any other filter is refused by name.
func parseResourceFilter(text string) (resourceFilter, error) {
	var f resourceFilter
	var value string
	fields := map[string]*string{"resourcegroup": &f.group, "resourcetype": &f.typ, "name": &f.name, "location": &f.location,
		"tagname": &f.tag, "tagvalue": &value}
	invalid := arm.Errorf(400, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", text)
	for rest := strings.TrimSpace(text); rest != ""; {
		term := filterTerm.FindStringSubmatch(rest)
		if term == nil {
			return f, invalid
		}
		field := strings.ToLower(term[1])
		if fields[field] == nil || term[2] == "" && field != "tagvalue" {
			return f, invalid
		}
		*fields[field] = strings.ReplaceAll(term[2], "''", "'")
		if field == "tagvalue" {
			f.value = &value
		}
		delete(fields, field)
		rest = rest[len(term[0]):]
	}
	if f.value != nil && f.tag == "" { // of which tag?
		return f, invalid
	}
	return f, nil
}

func (f resourceFilter) matches(v resourceView) bool {
	eq := func(want, got string) bool { return want == "" || strings.EqualFold(want, got) }
	if !eq(f.typ, v.Type) || !eq(f.name, v.Name) || !eq(strings.ReplaceAll(f.location, " ", ""), v.Location) {
		return false
	}
	if f.tag == "" {
		return true
	}
	for name, value := range v.Tags { // of tags the names have no case, the values do
		if strings.EqualFold(name, f.tag) && (f.value == nil || *f.value == value) {
			return true
		}
	}
	return false
}
