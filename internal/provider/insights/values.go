package insights

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/audit"
	"vitrine/internal/control"
)

// ReadAction is the permission that the log takes; Reader has it.
const ReadAction = "Microsoft.Insights/eventtypes/values/Read"

const (
	pageSize = 200                 // events; each is one or two lines
	oldest   = 90 * 24 * time.Hour // as far back as Azure answers
)

// Register adds the log to the table, at a subscription and at the tenant.
func Register(c *control.Control) {
	const path = "/providers/Microsoft.Insights/eventtypes/management/values"
	c.Handle(control.Route{Method: "GET", Pattern: "/subscriptions/{subscription}" + path, Do: values})
	c.Handle(control.Route{Method: "GET", Pattern: path, Do: values})
}

// values serves a page, newest first. The tenant's own list has what is in no subscription, as in Azure.
func values(_ context.Context, c *control.Call) (any, error) {
	tenant, subscription := c.Caller.Primary.TenantID, strings.ToLower(c.Names["subscription"])
	scope := arm.ID{Subscription: subscription}
	if subscription == "" {
		scope.Tenant = strings.ToLower(tenant)
	}
	if err := c.Control.RBAC().Check(c.Tx, c.Caller.Primary, ReadAction, scope); err != nil {
		return nil, err
	}
	f, err := parse(c.Query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	chosen, err := selected(c.Query.Get("$select"))
	if err != nil {
		return nil, err
	}
	now := c.Control.Now()
	if f.from.Before(now.Add(-oldest - 24*time.Hour)) {
		return nil, bad("The start time cannot be more than 90 days in the past.")
	}
	after, err := position(c, audit.Place(tenant, subscription))
	if err != nil {
		return nil, err
	}
	events, next, err := audit.List(c.Tx, audit.Query{Tenant: tenant, Subscription: subscription, From: f.from, To: f.to, After: after, Limit: pageSize, Match: f.matches})
	if err != nil {
		return nil, err
	}
	lines := []any{}
	for i := range events {
		for _, v := range views(&events[i]) {
			if f.status != "" && !strings.EqualFold(f.status, v.Status.Value) {
				continue
			}
			line, err := pick(v, chosen)
			if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
	}
	return control.Raw(struct {
		Value []any  `json:"value"`
		Next  string `json:"nextLink,omitempty"`
	}{lines, link(c, next)})
}

func link(c *control.Call, next string) string {
	if next == "" {
		return ""
	}
	q := url.Values{}
	for _, name := range []string{"api-version", "$filter", "$select"} {
		if v := c.Query.Get(name); v != "" {
			q.Set(name, v)
		}
	}
	q.Set("$skipToken", base64.RawURLEncoding.EncodeToString([]byte(next)))
	return c.Base + c.Path + "?" + q.Encode()
}

// position reads a $skipToken: a key below the place that is listed.
func position(c *control.Call, place string) (string, error) {
	token := c.Query.Get("$skipToken")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || token != "" && !strings.HasPrefix(string(raw), place) {
		return "", arm.Errorf(400, "BadRequest", "The $skipToken is not one that this server made.").At("$skipToken")
	}
	return string(raw), nil
}

// selected reads a $select: names of members, of which there are few.
func selected(text string) (map[string]bool, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxFilter {
		return nil, arm.Errorf(400, "BadRequest", "The $select is longer than %d bytes.", maxFilter).At("$select")
	}
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(text, ",") {
		chosen[strings.ToLower(strings.TrimSpace(name))] = true
	}
	return chosen, nil
}

func pick(v eventData, chosen map[string]bool) (any, error) {
	if chosen == nil {
		return v, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	for name := range all {
		if !chosen[strings.ToLower(name)] {
			delete(all, name)
		}
	}
	return all, nil
}
