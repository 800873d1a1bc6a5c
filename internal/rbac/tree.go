package rbac

import (
	"encoding/json"
	"fmt"
	"strings"

	"vitrine/internal/store"
)

const groupPath = "/providers/microsoft.management/managementgroups/"

// RootKey is the key of a tenant's root scope.
func RootKey(tenant string) string { return "/tenants/" + strings.ToLower(tenant) }

// ManagementGroupKey is the key of a management group. The group named like the tenant is the root group: it holds all.
func ManagementGroupKey(tenant, name string) string {
	return RootKey(tenant) + groupPath + strings.ToLower(name)
}

// tree is the management groups of a tenant.
type tree struct {
	root   string            // key of the root group
	parent map[string]string // of a group's key, or a subscription's: the key of the group that holds it
}

const maxDepth = 8 // Azure: six levels below the root group

// above lists the groups that hold a group or subscription, the nearest first; the root group holds everything.
func (t *tree) above(key string) []string {
	var up []string
	for at := t.parent[key]; at != "" && at != t.root && len(up) < maxDepth; at = t.parent[at] {
		up = append(up, at)
	}
	if key == t.root {
		return up
	}
	return append(up, t.root)
}

// readTree reads a tenant's management groups.
func readTree(tx store.Tx, tenant string) (*tree, error) {
	t := &tree{root: ManagementGroupKey(tenant, tenant), parent: map[string]string{}}
	docs, err := tx.List(store.Query{Prefix: RootKey(tenant) + groupPath})
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		switch d.Kind {
		case MemberKind:
			group, sub, _ := strings.Cut(d.Key, "/subscriptions/")
			t.parent["/subscriptions/"+sub] = group
		case GroupKind:
			var body struct {
				Properties struct {
					Details struct{ Parent struct{ ID string } }
				}
			}
			if err := json.Unmarshal(d.Body, &body); err != nil {
				return nil, fmt.Errorf("document %s: %w", d.Key, err)
			}
			t.parent[d.Key] = ScopeKey(body.Properties.Details.Parent.ID, tenant)
		}
	}
	return t, nil
}

// Above lists the keys of the scopes above a subscription, or of a management group's key, that are not in it: its management groups, then the root.
func (e *Engine) Above(tx store.Tx, tenant, key string) ([]string, error) {
	if key == RootKey(tenant) {
		return []string{key}, nil
	}
	t, err := readTree(tx, tenant)
	if err != nil {
		return nil, err
	}
	return append(t.above(key), RootKey(tenant)), nil
}
