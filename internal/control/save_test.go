package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"vitrine/internal/arm"
	"vitrine/internal/control"
	"vitrine/internal/store"
	"vitrine/internal/store/memstore"
)

// TestSaveRefusesForeignKeys: a name that no provider checked never becomes the key of another resource.
func TestSaveRefusesForeignKeys(t *testing.T) {
	const typ = "Microsoft.Compute/disks"
	s := store.New(memstore.Open())
	group := arm.ID{Subscription: "22222222-2222-2222-2222-222222222222", ResourceGroup: "rg"}
	type props struct{}
	save := func(r *control.Resource[props]) error {
		return s.Update(context.Background(), func(tx store.Tx) error { return control.Save(tx, r) })
	}
	for _, name := range []string{"..", ".", "", "foo/bar", "/", "d/", "a/b/c", "a?b", "c#d", "a%2fb", strings.Repeat("x", 300),
		"d/providers/Microsoft.Authorization/roleAssignments/33333333-3333-3333-3333-333333333333",
		"d/providers/Microsoft.Compute/disks/e", "d/providers/Microsoft.Compute"} {
		err := save(control.Make[props](group.Child(typ, name), "eastus", time.Now()))
		var visible *arm.Error
		if err == nil || errors.As(err, &visible) {
			t.Errorf("name %q: %v; want a fault of ours", name, err)
		}
	}
	good := group.Child(typ, "d")
	for what, r := range map[string]*control.Resource[props]{
		"no ID":         {Name: "d", Type: typ},
		"root":          {ID: "/", Type: "Microsoft.Resources/tenants"},
		"other type":    {ID: good.String(), Name: "d", Type: "Microsoft.Compute/virtualMachines"},
		"other name":    {ID: good.String(), Name: "e", Type: typ},
		"doubled slash": {ID: "/" + good.String(), Name: "d", Type: typ},
	} {
		if save(r) == nil {
			t.Errorf("%s was saved", what)
		}
	}
	err := s.Update(context.Background(), func(tx store.Tx) error {
		if docs, err := tx.List(store.Query{}); err != nil || len(docs) > 0 {
			t.Errorf("%d documents, %v", len(docs), err)
		}
		if control.Remove(tx, arm.ID{}) == nil {
			t.Error("the root can be removed")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := save(control.Make[props](good, "eastus", time.Now())); err != nil {
		t.Error(err)
	}
}
