package rbac

import (
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/store"
)

// TestDataAttributes: conditions of data actions are asked with the request's attributes and sub-operation, and a request
// that has none of them is not given what asks for them.
func TestDataAttributes(t *testing.T) {
	const blobReader, action, path = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read", "microsoft.storage/storageaccounts/blobservices/containers/blobs:path"
	const at = group + "/providers/Microsoft.Storage/storageAccounts/acc/blobServices/default/containers/box"
	mine := func() Attributes { return Attributes{Resource: map[string][]string{path: {"mine"}}} }
	listing := func() Attributes { return Attributes{Sub: "Blob.List"} }
	for _, c := range []struct {
		condition  string
		attributes func() Attributes
		want       bool
	}{
		{"@Resource[" + path + "] StringEquals 'mine'", mine, true},
		{"@Resource[" + path + "] StringEquals 'other'", mine, false},
		{"@Resource[" + path + "] StringEquals 'mine'", nil, false},
		{"NOT @Resource[" + path + "] StringEquals 'other'", listing, false},
		{"@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'box'", nil, true},
		{"SubOperationMatches{'Blob.List'}", listing, true},
		{"SubOperationMatches{'Blob.List'}", mine, false},
		{"!(ActionMatches{'" + action + "'} AND SubOperationMatches{'Blob.List'})", listing, false},
		{"!(ActionMatches{'" + action + "'} AND SubOperationMatches{'Blob.List'})", mine, true},
	} {
		w := newWorld(t)
		a := Assignment{Principal: alice, Scope: strings.ToLower(group)}
		body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/x/%s","principalId":%q,"scope":%q,"condition":%q,"conditionVersion":"2.0"}}`, blobReader, alice, group, c.condition)
		w.put(store.Document{Key: a.Scope + "/a/1", Kind: AssignmentKind, Terms: a.Terms(), Body: []byte(body)})
		err := w.store.View(t.Context(), func(tx store.Tx) error {
			return w.engine.CheckDataWith(tx, principal(tenantA, alice), action, id(at), c.attributes)
		})
		if (err == nil) != c.want {
			t.Errorf("%s: %v", c.condition, err)
		}
	}
}
