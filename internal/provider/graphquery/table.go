package graphquery

import (
	"encoding/json"
	"slices"
	"strings"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/provider/graphquery/kql"
	"vitrine/internal/rbac"
	"vitrine/internal/store"
)

// columns are those of every table.
var columns = []string{"id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId", "managedBy", "sku", "plan", "properties",
	"tags", "identity", "zones", "extendedLocation"}

// newest is the api-version by which resources are shown.
const newest arm.Version = "9999-12-31"

// maxRows bounds what one query reads; the bound is ours.
const maxRows = 50000

// reader brings the rows of one request.
type reader struct {
	*control.Call
	grants *rbac.Grants
	tenant string
	only   []string // lower-case subscriptions; empty: all
	rows   []kql.Row
}

func newReader(c *control.Call, subscriptions []string) (*reader, error) {
	grants, err := c.Control.RBAC().Grants(c.Tx, c.Caller.Primary)
	r := &reader{Call: c, grants: grants, tenant: strings.ToLower(c.Caller.Primary.TenantID)}
	for _, s := range subscriptions {
		r.only = append(r.only, strings.ToLower(s))
	}
	return r, err
}

// subscriptions are those of the caller's tenant in which it holds anything.
func (r *reader) subscriptions() ([]store.Document, error) {
	docs, err := r.Tx.List(store.Query{Kind: control.SubscriptionKind, All: []string{"tenant:" + r.tenant}})
	return slices.DeleteFunc(docs, func(d store.Document) bool {
		id := strings.TrimPrefix(d.Key, "/subscriptions/")
		return len(r.only) > 0 && !slices.Contains(r.only, id) || !r.grants.Within(arm.ID{Subscription: id})
	}), err
}

// resources are all tracked ones that the caller may read.
func (r *reader) resources() error {
	subscriptions, err := r.subscriptions()
	if err != nil {
		return err
	}
	kinds := slices.Sorted(slices.Values(r.Control.TrackedKinds()))
	for _, s := range subscriptions {
		for _, kind := range kinds {
			if kind != control.GroupKind {
				if err := r.read(kind, s.Key+"/", ""); err != nil {
					return err
				}
			}
		}
	}
	slices.SortFunc(r.rows, byID) // of a table without order: always the same one
	return nil
}

func byID(a, b kql.Row) int {
	x, _ := a["id"].(string)
	y, _ := b["id"].(string)
	return strings.Compare(strings.ToLower(x), strings.ToLower(y))
}

// containers are subscriptions and resource groups.
func (r *reader) containers() error {
	subscriptions, err := r.subscriptions()
	if err != nil {
		return err
	}
	for _, d := range subscriptions {
		var s control.Subscription
		if err := json.Unmarshal(d.Body, &s); err != nil {
			return err
		}
		if id := (arm.ID{Subscription: s.ID}); r.grants.Allows("Microsoft.Resources/subscriptions/read", id) {
			r.rows = append(r.rows, kql.Row{"id": id.String(), "name": s.Name, "type": "microsoft.resources/subscriptions", "tenantId": r.tenant, "subscriptionId": strings.ToLower(s.ID),
				"kind": "", "location": "", "resourceGroup": "", "managedBy": "", "properties": map[string]any{"state": s.State}})
		}
		if err := r.read(control.GroupKind, d.Key+"/", "microsoft.resources/subscriptions/resourcegroups"); err != nil {
			return err
		}
	}
	return nil
}

// read adds the documents of a kind that the caller may read; typ is what Resource Graph calls it, when it is not its own name.
func (r *reader) read(kind, prefix, typ string) error {
	docs, err := r.Tx.List(store.Query{Kind: kind, Prefix: prefix, Limit: maxRows + 1 - len(r.rows)})
	if err != nil {
		return err
	}
	for _, d := range docs {
		s, ok, err := r.Control.Show(d, newest)
		if err != nil {
			return err
		}
		if !ok || !r.grants.Allows(s.Read, s.ID) {
			continue
		}
		if len(r.rows) == maxRows {
			return arm.Errorf(400, "ResponsePayloadTooLarge", "The query reads more than %d resources. Name fewer 'subscriptions'.", maxRows)
		}
		if err := r.add(s, typ); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) add(s control.Shown, typ string) error {
	row := kql.Row{}
	if err := json.Unmarshal(s.Body, &row); err != nil {
		return err
	}
	for name := range row {
		if !slices.Contains(columns, name) {
			delete(row, name) // such as etag
		}
	}
	if typ == "" {
		typ = s.ID.Type()
	}
	row["type"], row["tenantId"], row["subscriptionId"], row["resourceGroup"] = strings.ToLower(typ), r.tenant, strings.ToLower(s.ID.Subscription), strings.ToLower(s.ID.ResourceGroup)
	for _, name := range []string{"kind", "managedBy", "location"} { // texts that are never null
		if row[name] == nil {
			row[name] = ""
		}
	}
	r.rows = append(r.rows, row)
	return nil
}

// community is what community galleries show of themselves, to everybody.
func (r *reader) community(list func(store.Tx) ([]json.RawMessage, error)) error {
	if list == nil {
		return nil
	}
	docs, err := list(r.Tx)
	for _, d := range docs {
		row := kql.Row{}
		if err := json.Unmarshal(d, &row); err != nil {
			return err
		}
		r.rows = append(r.rows, row)
	}
	return err
}
