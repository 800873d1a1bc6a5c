package rbac

import (
	"fmt"
	"testing"

	"vitrine/internal/store"
)

// Whoever can make groups can put anybody into more of them than one query has terms.
func TestMoreGroupsThanAQueryHasTerms(t *testing.T) {
	w := newWorld(t)
	var in []string
	for i := range store.MaxTerms + 100 {
		in = append(in, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
	}
	w.engine.groups = func(store.Tx, string, string) ([]string, error) { return in, nil }
	const read, write = "Microsoft.Compute/galleries/read", "Microsoft.Compute/galleries/write"
	p := principal(tenantA, alice)
	if err := w.check(p, read, gallery); err == nil {
		t.Error("groups alone give a right")
	}
	w.grant(contributor, in[len(in)-1], group) // the last one counts like the first
	for _, action := range []string{read, write} {
		if err := w.check(p, action, gallery); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	// Terms in two parts of the question: read once.
	w.put(store.Document{Key: "deny", Kind: DenyKind, Terms: []string{PrincipalTerm(in[0]), PrincipalTerm(in[len(in)-1])}, Body: []byte(
		`{"properties":{"denyAssignmentName":"d","scope":"` + group + `","permissions":[{"actions":["` + write + `"]}],"principals":[{"id":"` + in[0] + `"},{"id":"` + in[len(in)-1] + `"}]}}`)})
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		g, err := w.engine.Grants(tx, p)
		if err == nil && (len(g.list) != 1 || len(g.denies) != 1) {
			t.Errorf("%d grants and %d denies, want one each", len(g.list), len(g.denies))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := w.check(p, write, gallery); err == nil {
		t.Error("a deny for one of many groups is lost")
	}
	if err := w.check(p, read, gallery); err != nil {
		t.Error(err)
	}
}
