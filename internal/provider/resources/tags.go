package resources

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
)

// tagRoutes serve Microsoft.Resources/tags/default: the tags of a subscription, a group or a resource as a thing of their own,
// which the right to write tags alone may change.
func tagRoutes() []control.Route {
	const at = "{scope...}/providers/Microsoft.Resources/tags/default"
	return []control.Route{
		{Method: http.MethodGet, Pattern: at, Do: tags("read", nil)},
		{Method: http.MethodPut, Pattern: at, Do: tags("write", replaceTags)},
		{Method: http.MethodPatch, Pattern: at, Do: tags("write", patchTags)},
		{Method: http.MethodDelete, Pattern: at, Do: tags("delete", func(*control.Call, map[string]string) (map[string]string, error) { return nil, nil })},
	}
}

type tagsView struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Properties struct {
		Tags map[string]string `json:"tags" arm:"always"`
	} `json:"properties"`
}

// tags serves one verb; change makes the new tags of the old, nil for reading.
func tags(verb string, change func(*control.Call, map[string]string) (map[string]string, error)) func(context.Context, *control.Call) (any, error) {
	return func(_ context.Context, c *control.Call) (any, error) {
		id, err := arm.ParseID(c.Names["scope"])
		if err != nil {
			return nil, err
		}
		if err := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, "Microsoft.Resources/tags/"+verb, id); err != nil {
			return nil, err
		}
		d, err := taggable(c, id)
		if err != nil {
			return nil, err
		}
		old, err := tagsOf(d)
		if err != nil {
			return nil, err
		}
		v := tagsView{ID: id.String() + "/providers/Microsoft.Resources/tags/default", Name: "default", Type: "Microsoft.Resources/tags"}
		v.Properties.Tags = old
		if change == nil {
			return v, nil
		}
		next, err := change(c, old)
		if err != nil {
			return nil, err
		}
		if err := arm.Join(arm.CheckTags(next)); err != nil {
			return nil, err
		}
		if err := retag(c, d, next); err != nil || verb == "delete" {
			return nil, err
		}
		v.Properties.Tags = next
		return v, nil
	}
}

// taggable is the document of what the tags hang on.
func taggable(c *control.Call, id arm.ID) (store.Document, error) {
	d, err := c.Tx.Get(id.Key())
	switch {
	case errors.Is(err, store.ErrNotFound) && id.Namespace == "":
		return d, arm.Errorf(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", id.ResourceGroup)
	case errors.Is(err, store.ErrNotFound):
		return d, arm.Errorf(404, "ResourceNotFound", "The Resource '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", id)
	case err != nil:
		return d, err
	case id.Subscription == "" || d.Kind != control.SubscriptionKind && !c.Control.Tracked(d.Kind):
		return d, arm.Errorf(400, "ResourceTypeNotSupported", "The resource type '%s' does not support tags.", id.Type())
	}
	return d, nil
}

func tagsOf(d store.Document) (map[string]string, error) {
	var head struct{ Tags map[string]string }
	if err := json.Unmarshal(d.Body, &head); err != nil {
		return nil, err
	}
	if head.Tags == nil {
		head.Tags = map[string]string{}
	}
	return head.Tags, nil
}

// retag writes nothing but the tags: the rest of the document is its provider's.
func retag(c *control.Call, d store.Document, next map[string]string) error {
	var body map[string]json.RawMessage
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return err
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if body["tags"] = raw; len(next) == 0 {
		delete(body, "tags")
	}
	if d.Kind != control.SubscriptionKind {
		if body["changedAt"], err = json.Marshal(c.Control.Now().UTC().Format(time.RFC3339Nano)); err != nil {
			return err
		}
	}
	if d.Body, err = json.Marshal(body); err != nil {
		return err
	}
	_, err = c.Tx.Put(d)
	return err
}

type tagsRequest struct {
	Operation  string
	Properties struct{ Tags map[string]string }
}

func readTags(c *control.Call) (tagsRequest, error) {
	var q tagsRequest
	if err := json.Unmarshal(c.Body, &q); err != nil {
		return q, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	return q, nil
}

func replaceTags(c *control.Call, _ map[string]string) (map[string]string, error) {
	q, err := readTags(c)
	return unique(q.Properties.Tags), err
}

// unique drops all but one of the names that differ only in case; ARM compares names so.
func unique(tags map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range tags {
		set(out, name, value)
	}
	return out
}

func set(tags map[string]string, name, value string) {
	for known := range tags {
		if strings.EqualFold(known, name) {
			tags[known] = value
			return
		}
	}
	tags[name] = value
}

// patchTags applies Merge, Replace or Delete. Delete takes names, or names with values that must be the ones there.
func patchTags(c *control.Call, old map[string]string) (map[string]string, error) {
	q, err := readTags(c)
	if err != nil {
		return nil, err
	}
	next := maps.Clone(old)
	switch strings.ToLower(q.Operation) {
	case "replace":
		return unique(q.Properties.Tags), nil
	case "merge":
		for name, value := range unique(q.Properties.Tags) {
			set(next, name, value)
		}
	case "delete":
		for name, value := range q.Properties.Tags {
			maps.DeleteFunc(next, func(known, held string) bool {
				return strings.EqualFold(known, name) && (value == "" || value == held)
			})
		}
	default:
		return nil, arm.Errorf(400, "InvalidRequestContent", "The request content was invalid: the operation of a PATCH of tags must be 'Merge', 'Replace' or 'Delete'; it is '%.40s'.", q.Operation).At("operation")
	}
	return next, nil
}
