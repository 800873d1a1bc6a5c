package resources

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// The tag names of a subscription: those that somebody declared, and those that resources have.

// tagNameRoutes serve …/tagNames.
func tagNameRoutes() []control.Route {
	const at = "/subscriptions/{subscription}/tagNames"
	return []control.Route{
		{Method: http.MethodGet, Pattern: at, Do: listTagNames},
		{Method: http.MethodPut, Pattern: at + "/{name}", Do: declareTag},
		{Method: http.MethodDelete, Pattern: at + "/{name}", Do: forgetTag},
		{Method: http.MethodPut, Pattern: at + "/{name}/tagValues/{value}", Do: declareValue},
		{Method: http.MethodDelete, Pattern: at + "/{name}/tagValues/{value}", Do: forgetValue},
	}
}

type tagCount struct {
	Type  string `json:"type"`
	Value int    `json:"value" arm:"always"`
}

type tagValueView struct {
	ID    string   `json:"id"`
	Value string   `json:"tagValue"`
	Count tagCount `json:"count"`
}

type tagNameView struct {
	ID     string         `json:"id"`
	Name   string         `json:"tagName"`
	Count  tagCount       `json:"count"`
	Values []tagValueView `json:"values" arm:"always"`
}

const tagNameRight = "Microsoft.Resources/subscriptions/tagNames/"

// usage is how often the caller sees each name and value, by lower-case name.
type usage struct {
	names  map[string]string // as first written
	values map[string]map[string]int
}

func (u *usage) add(name, value string, n int) {
	key := strings.ToLower(name)
	if _, ok := u.names[key]; !ok {
		u.names[key], u.values[key] = name, map[string]int{}
	}
	if value != "" || n > 0 {
		u.values[key][value] += n
	}
}

// used counts the tags of the groups and resources that the caller may read; all counts everybody's.
func used(c *control.Call, all bool) (*usage, error) {
	u := &usage{names: map[string]string{}, values: map[string]map[string]int{}}
	s, err := control.ReadSubscription(c.Tx, c.Names["subscription"])
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.TagNames)) {
		u.add(name, "", 0)
		for _, value := range s.TagNames[name] {
			u.add(name, value, 0)
		}
	}
	grants, err := c.Control.RBAC().Grants(c.Tx, c.Caller.Primary)
	if err != nil {
		return nil, err
	}
	docs, err := c.Tx.List(store.Query{Prefix: arm.ID{Subscription: c.Names["subscription"]}.Key() + "/"})
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		if !c.Control.Tracked(d.Kind) {
			continue
		}
		var head struct {
			ID, Type string
			Tags     map[string]string
		}
		if err := json.Unmarshal(d.Body, &head); err != nil {
			return nil, err
		}
		id, err := arm.ParseID(head.ID)
		if err != nil {
			return nil, err
		}
		if d.Kind == control.GroupKind {
			head.Type = "Microsoft.Resources/subscriptions/resourceGroups"
		}
		if len(head.Tags) == 0 || !all && !grants.Allows(head.Type+"/read", id) {
			continue
		}
		for name, value := range head.Tags {
			u.add(name, value, 1)
		}
	}
	return u, nil
}

func (u *usage) view(subscription, key string) tagNameView {
	id := "/subscriptions/" + subscription + "/tagNames/" + u.names[key]
	v := tagNameView{ID: id, Name: u.names[key], Count: tagCount{Type: "Total"}, Values: []tagValueView{}}
	for _, value := range slices.Sorted(maps.Keys(u.values[key])) {
		n := u.values[key][value]
		v.Count.Value += n
		v.Values = append(v.Values, tagValueView{id + "/tagValues/" + value, value, tagCount{"Total", n}})
	}
	return v
}

func listTagNames(_ context.Context, c *control.Call) (any, error) {
	if err := mayTagNames(c, "read"); err != nil {
		return nil, err
	}
	u, err := used(c, false)
	if err != nil {
		return nil, err
	}
	views := []tagNameView{}
	for _, key := range slices.Sorted(maps.Keys(u.names)) {
		views = append(views, u.view(c.Names["subscription"], key))
	}
	return control.Values(views), nil
}

func mayTagNames(c *control.Call, right string) error {
	return c.Control.RBAC().Check(c.Tx, c.Caller.Primary, tagNameRight+right, arm.ID{Subscription: c.Names["subscription"]})
}

// maxTagNames is how many names, and how many values of one, may be declared; ARM publishes no number.
const maxTagNames = 500

// declare changes what is declared; f gets the declared values of the name, and its spelling.
func declare(c *control.Call, right string, f func(names map[string][]string, known string) error) (any, error) {
	if err := mayTagNames(c, right); err != nil {
		return nil, err
	}
	name := c.Names["name"]
	if faults := arm.CheckTags(map[string]string{name: c.Names["value"]}); len(faults) > 0 {
		return nil, arm.Join(faults)
	}
	err := control.ChangeSubscription(c.Tx, c.Names["subscription"], func(s *control.Subscription) error {
		if s.TagNames == nil {
			s.TagNames = map[string][]string{}
		}
		known := ""
		for have := range s.TagNames {
			if strings.EqualFold(have, name) {
				known = have
			}
		}
		return f(s.TagNames, known)
	})
	if err != nil {
		return nil, err
	}
	u, err := used(c, false)
	if err != nil || u.names[strings.ToLower(name)] == "" {
		return nil, err
	}
	return u.view(c.Names["subscription"], strings.ToLower(name)), nil
}

func declareTag(_ context.Context, c *control.Call) (any, error) {
	return declare(c, "write", func(names map[string][]string, known string) error {
		if known != "" {
			return nil
		}
		if len(names) >= maxTagNames {
			return arm.Errorf(400, "TooManyTagNames", "A subscription may have %d declared tag names.", maxTagNames)
		}
		c.Status = http.StatusCreated
		names[c.Names["name"]] = []string{}
		return nil
	})
}

var errTagInUse = errors.New("in use")

// inUse refuses to forget what resources have.
func inUse(c *control.Call, value string, whole bool) error {
	u, err := used(c, true)
	if err != nil {
		return err
	}
	for held, n := range u.values[strings.ToLower(c.Names["name"])] {
		if n > 0 && (whole || held == value) {
			return errTagInUse
		}
	}
	return nil
}

func forgetTag(_ context.Context, c *control.Call) (any, error) {
	_, err := declare(c, "delete", func(names map[string][]string, known string) error {
		err := inUse(c, "", true)
		if errors.Is(err, errTagInUse) || err == nil && len(names[known]) > 0 {
			return arm.Errorf(409, "CannotDeleteTagName", "The tag name '%s' cannot be deleted because it has values, or resources have it.", c.Names["name"])
		}
		delete(names, known)
		return err
	})
	return nil, err
}

func declareValue(_ context.Context, c *control.Call) (any, error) {
	v, err := declare(c, "tagValues/write", func(names map[string][]string, known string) error {
		switch values := names[known]; {
		case known == "":
			return arm.Errorf(404, "TagNotFound", "The tag '%s' could not be found.", c.Names["name"])
		case slices.Contains(values, c.Names["value"]):
		case len(values) >= maxTagNames:
			return arm.Errorf(400, "TooManyTagValues", "A tag name may have %d declared values.", maxTagNames)
		default:
			c.Status = http.StatusCreated
			names[known] = append(values, c.Names["value"])
		}
		return nil
	})
	name, ok := v.(tagNameView)
	if err != nil || !ok {
		return nil, err
	}
	at := slices.IndexFunc(name.Values, func(v tagValueView) bool { return v.Value == c.Names["value"] })
	return name.Values[at], nil
}

func forgetValue(_ context.Context, c *control.Call) (any, error) {
	_, err := declare(c, "tagValues/delete", func(names map[string][]string, known string) error {
		err := inUse(c, c.Names["value"], false)
		if errors.Is(err, errTagInUse) {
			return arm.Errorf(409, "CannotDeleteTagValue", "The tag value '%s' of '%s' cannot be deleted because resources have it.", c.Names["value"], c.Names["name"])
		}
		names[known] = slices.DeleteFunc(names[known], func(v string) bool { return v == c.Names["value"] })
		if known == "" {
			delete(names, known)
		}
		return err
	})
	return nil, err
}
