package management

import (
	"context"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
)

// routes adds what is no resource: the tree as one list, and the question whether the tenant's subscriptions are in it yet.
func (p *provider) routes(c *control.Control) {
	const at = "/providers/Microsoft.Management/"
	c.Handle(control.Route{Method: "POST", Pattern: at + "getEntities", Do: p.entities})
	// Tenants of Azure that are older than management groups had their subscriptions brought in afterwards. Here all are in.
	c.Handle(control.Route{Method: "POST", Pattern: at + "tenantBackfillStatus", Do: backfilled})
	c.Handle(control.Route{Method: "POST", Pattern: at + "startTenantBackfill", Do: backfilled})
}

func backfilled(_ context.Context, c *control.Call) (any, error) {
	return control.Raw(map[string]string{"tenantId": c.Caller.Primary.TenantID, "status": "Completed"})
}

// entity is a line of getEntities (managementgroups, EntityInfo).
type entity struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Name       string `json:"name"`
	Properties struct {
		TenantID          string            `json:"tenantId"`
		DisplayName       string            `json:"displayName"`
		Parent            map[string]string `json:"parent"`
		Permissions       string            `json:"permissions"`
		Descendants       int               `json:"numberOfDescendants"`
		Children          int               `json:"numberOfChildren"`
		Groups            int               `json:"numberOfChildGroups"`
		DisplayNamesAbove []string          `json:"parentDisplayNameChain"`
		NamesAbove        []string          `json:"parentNameChain"`
	} `json:"properties"`
}

// entities lists the groups and subscriptions that the caller sees.
func (p *provider) entities(_ context.Context, c *control.Call) (any, error) {
	for name := range c.Query {
		if !strings.EqualFold(name, "api-version") {
			return nil, arm.Errorf(400, "UnsupportedQuery", "The query parameter '%.100s' of getEntities is not supported.", name)
		}
	}
	h, err := p.hierarchy(c.Tx, c.Caller.Primary)
	if err != nil {
		return nil, err
	}
	lines := []entity{}
	for _, n := range h.list {
		lines = append(lines, h.line(n, c.Caller.Primary.TenantID))
	}
	return control.Raw(map[string]any{"value": lines, "count": len(lines), "nextLink": ""})
}

func (h *hierarchy) line(n *node, tenant string) entity {
	e := entity{ID: n.id, Type: n.typ, Name: n.name}
	x := &e.Properties
	x.TenantID, x.DisplayName, x.Permissions = tenant, n.display, h.permissions(n)
	x.Parent, x.NamesAbove, x.DisplayNamesAbove = map[string]string{}, []string{}, []string{}
	for _, up := range h.above(n) {
		x.Parent = map[string]string{"id": up.id}
		x.NamesAbove = append(x.NamesAbove, up.name)
		x.DisplayNamesAbove = append(x.DisplayNamesAbove, up.display)
	}
	for _, c := range n.visible() {
		if x.Children++; c.typ == groupType {
			x.Groups++
		}
	}
	x.Descendants = descendants(n)
	return e
}

func descendants(n *node) int {
	count := 0
	for _, c := range n.visible() {
		count += 1 + descendants(c)
	}
	return count
}

// permissions is the most that the caller may do, by Azure's words (managementgroups, EntityInfoProperties).
func (h *hierarchy) permissions(n *node) string {
	prefix := groupType
	if n.typ == subscriptionType {
		prefix = "Microsoft.Resources/subscriptions"
	}
	for _, p := range []struct{ verb, word string }{{"/delete", "delete"}, {"/write", "edit"}, {"/read", "view"}} {
		if h.grants.Allows(prefix+p.verb, n.scope) {
			return p.word
		}
	}
	return "noaccess"
}
