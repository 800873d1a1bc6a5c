package management

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/control"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// subscriptionType is how the tree of management groups calls a subscription (managementgroups, ManagementGroupChildType).
const subscriptionType = "/subscriptions"

// node is a group or a subscription in the tree.
type node struct {
	typ, id, name, display string
	scope                  arm.ID
	parent                 string // key of the group that holds it; of the root group: empty
	below                  []*node
	seen                   bool // by the caller
}

// hierarchy is a tenant's tree as far as one caller sees it: the groups that it may read, the subscriptions in which it holds
// anything.
type hierarchy struct {
	grants *rbac.Grants
	all    map[string]*node // by key, seen or not
	list   []*node          // those seen, a holder before what it holds
}

func (p *provider) hierarchy(tx store.Tx, who authn.Principal) (*hierarchy, error) {
	tenant := strings.ToLower(who.TenantID)
	grants, err := p.rbac.Grants(tx, who)
	if err != nil {
		return nil, err
	}
	h := &hierarchy{grants: grants, all: map[string]*node{}}
	groups, err := groupsOf(tx, tenant)
	if err != nil {
		return nil, err
	}
	root := idOf(tenant, tenant).Key()
	for _, g := range groups {
		n := &node{typ: groupType, id: g.ID, name: g.Name, display: g.Properties.DisplayName, scope: idOf(tenant, g.Name), parent: root}
		if d := g.Properties.Details; d != nil && d.Parent != nil && d.Parent.Name != "" {
			n.parent = idOf(tenant, d.Parent.Name).Key()
		}
		h.all[n.scope.Key()] = n
	}
	h.all[root].parent = ""
	if err := h.addSubscriptions(tx, tenant, root); err != nil {
		return nil, err
	}
	for _, n := range h.all {
		n.seen = h.sees(n)
		if up := h.all[n.parent]; up != nil {
			up.below = append(up.below, n)
		}
	}
	h.order(h.all[root])
	return h, nil
}

// addSubscriptions puts each below the group it is in, or else below the root group.
func (h *hierarchy) addSubscriptions(tx store.Tx, tenant, root string) error {
	members, err := tx.List(store.Query{Kind: rbac.MemberKind, Prefix: idOf(tenant, "").Key()})
	if err != nil {
		return err
	}
	in := map[string]string{}
	for _, d := range members {
		group, sub, _ := strings.Cut(d.Key, "/subscriptions/")
		in[sub] = group
	}
	docs, err := tx.List(store.Query{Kind: control.SubscriptionKind, All: []string{"tenant:" + tenant}})
	if err != nil {
		return err
	}
	for _, d := range docs {
		var s control.Subscription
		if err := json.Unmarshal(d.Body, &s); err != nil {
			return err
		}
		n := &node{typ: subscriptionType, name: s.ID, display: s.Name, scope: arm.ID{Subscription: s.ID}, parent: in[strings.ToLower(s.ID)]}
		if n.id = n.scope.String(); n.parent == "" {
			n.parent = root
		}
		h.all[n.scope.Key()] = n
	}
	return nil
}

func (h *hierarchy) sees(n *node) bool {
	if n.typ == subscriptionType {
		return h.grants.Within(n.scope)
	}
	return h.grants.Allows(groupType+"/read", n.scope)
}

// order lists what is seen, from the root group down, groups first and by name.
func (h *hierarchy) order(n *node) {
	if n.seen {
		h.list = append(h.list, n)
	}
	slices.SortFunc(n.below, func(a, b *node) int {
		if a.typ != b.typ {
			return -strings.Compare(a.typ, b.typ)
		}
		return strings.Compare(a.name, b.name)
	})
	for _, c := range n.below {
		h.order(c)
	}
}

// above lists the groups that hold a node and that the caller sees, the root group first.
func (h *hierarchy) above(n *node) []*node {
	var up []*node
	for at := h.all[n.parent]; at != nil && at.seen && len(up) <= maxLevels; at = h.all[at.parent] {
		up = append(up, at)
	}
	slices.Reverse(up)
	return up
}

// visible are the nodes right below that the caller sees.
func (n *node) visible() []*node {
	return slices.DeleteFunc(slices.Clone(n.below), func(c *node) bool { return !c.seen })
}

// groupsOf lists a tenant's groups, the root group first.
func groupsOf(tx store.Tx, tenant string) ([]*control.Resource[Group], error) {
	root, err := get(tx, idOf(tenant, tenant))
	if err != nil {
		return nil, err
	}
	all, err := control.Select[Group](tx, store.Query{Kind: rbac.GroupKind, Prefix: idOf(tenant, "").Key()})
	return append([]*control.Resource[Group]{root}, all...), err
}

func list(_ context.Context, l *control.Listing) ([]*control.Resource[Group], error) {
	return groupsOf(l.Tx, strings.ToLower(l.Caller.Primary.TenantID))
}

// view adds the children that were asked for: $expand=children, of all depths with $recurse=true.
func (p *provider) view(_ context.Context, r *control.Read[Group]) error {
	expand, recurse := r.Query.Get("$expand"), strings.EqualFold(r.Query.Get("$recurse"), "true")
	if r.Query.Get("$filter") != "" {
		return arm.Errorf(400, "UnsupportedQuery", "The query parameter '$filter' of a management group is not supported.")
	}
	if expand == "" {
		return nil
	}
	if !strings.EqualFold(expand, "children") {
		return arm.Errorf(400, "UnsupportedQuery", "The value '%.100s' of the query parameter '$expand' is not supported: only 'children' is.", expand)
	}
	h, err := p.hierarchy(r.Tx, r.Caller.Primary)
	if err != nil {
		return err
	}
	if n := h.all[r.Resource.ParsedID().Key()]; n != nil {
		r.Resource.Properties.Children = children(n, recurse)
	}
	return nil
}

func children(n *node, recurse bool) []Child {
	var out []Child
	for _, c := range n.visible() {
		one := Child{Type: c.typ, ID: c.id, Name: c.name, DisplayName: c.display}
		if recurse {
			one.Children = children(c, true)
		}
		out = append(out, one)
	}
	return out
}
